"""The server on a network: what is refused before it starts, and clients that are slow or many."""

import asyncio
import shutil
import socket
import sys
import threading
import time
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

pytest.importorskip("fastapi", reason="needs the extra studio")
import uvicorn

from gansmith.web import serving
from gansmith.web.drawing import DrawingQueue
from gansmith.web.serving import PatientProtocol, ServeOptions, StudioServer, serve

MANY = 300
OLD_RUN = Path(__file__).parents[1] / "old_run/finished"


def test_another_host_needs_a_token(refused):
    for host in ("0.0.0.0", "10.1.2.3", "::", "example.org"):
        with refused("web.host_needs_token", hiding=["--host [^ ]+"]):
            serve(ServeOptions((".",), host=host))


def test_a_port_that_is_taken(refused):
    with socket.create_server(("127.0.0.1", 0)) as taken, refused("web.cannot_listen", hiding=["port [0-9]+:"]):
        serve(ServeOptions((".",), port=taken.getsockname()[1]))


def test_a_host_that_is_elsewhere(refused):
    with refused("web.cannot_listen"):
        serve(ServeOptions((".",), host="192.0.2.1", port=0, token="x"))


def test_a_model_that_does_not_exist(refused):
    with refused("model.not_found"):
        serve(ServeOptions(("nothing.onnx",), page=False))


def test_the_extra_that_is_missing(shell, prose, monkeypatch):
    for name in [each for each in sys.modules if each.startswith("gansmith.web")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delattr("gansmith.web", raising=False)
    monkeypatch.setitem(sys.modules, "fastapi", None)
    code, _, err = shell("studio", "--port", "0")
    assert code == 2
    prose("studio without its extra", err)


async def accepted(use):
    """Return what ``use`` returns of a connection that the server has accepted and its client."""
    waiting = asyncio.get_running_loop().create_future()
    with serving._listen("127.0.0.1", 0) as listening:
        server = await asyncio.start_server(lambda _, writer: waiting.set_result(writer), sock=listening)
        _, client = await asyncio.open_connection(*server.sockets[0].getsockname())
        writer = await waiting
        found = use(writer.get_extra_info("socket"), client)
        for each in (client, writer, server):
            each.close()
    return found


def test_small_answers_are_sent_at_once():
    assert asyncio.run(accepted(lambda one, _: one.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))) == 1


@pytest.mark.skipif(not hasattr(socket, "TCP_NOTSENT_LOWAT"), reason="the system cannot bound what waits")
def test_little_waits_for_a_client_that_does_not_read():
    def fill(one, client):
        client.transport.pause_reading()
        sent, still = 0, one.dup()
        with still, suppress(BlockingIOError):
            still.setblocking(False)
            while sent < 2**24:
                sent += still.send(bytes(2**12))
        return sent

    assert asyncio.run(accepted(fill)) < 2**20


@contextmanager
def running(served):
    """Serve a folder on a thread; yield the port."""
    listening = socket.create_server(("127.0.0.1", 0), backlog=1024)
    app = ServeOptions((str(served),)).app()
    server = StudioServer(uvicorn.Config(app, log_config=None, access_log=False, http=PatientProtocol, ws="none"))
    thread = threading.Thread(target=server.run, args=([listening],))
    thread.start()
    while not server.started:
        time.sleep(0.01)
    try:
        yield listening.getsockname()[1]
    finally:
        server.should_exit = True
        thread.join(60)
        assert not thread.is_alive()


async def ask(port: int, path: str = "/v1/models/cond/image.png?seeds=3") -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost:{port}\r\nConnection: close\r\n\r\n".encode())
    answer = await reader.read()
    writer.close()
    return answer


@pytest.mark.slow
def test_clients_that_never_finish_their_request_are_left(served, monkeypatch):
    monkeypatch.setattr(serving, "HEADER_SEC", 0.2)

    async def main(port):
        first = await ask(port)
        silent, (slow, writer) = (
            await asyncio.open_connection("127.0.0.1", port),
            await asyncio.open_connection("127.0.0.1", port),
        )
        writer.write(b"GET / HTTP/1.1\r\nHost: loc")
        left = await asyncio.wait_for(asyncio.gather(silent[0].read(), slow.read()), 10)
        silent[1].close()
        writer.close()
        return first, left, await ask(port)

    with running(served) as port:
        first, left, after = asyncio.run(main(port))
    assert left[0] == b""
    assert left[1].startswith(b"HTTP/1.1 408")
    assert b"web.slow_head" in left[1]
    assert first.startswith(b"HTTP/1.1 200")
    assert after.partition(b"\r\n\r\n")[2] == first.partition(b"\r\n\r\n")[2]


@pytest.mark.slow
def test_many_idle_clients_do_not_keep_others_out(served):
    async def main(port):
        idle = [await asyncio.open_connection("127.0.0.1", port) for _ in range(MANY)]
        answers = await asyncio.gather(*(ask(port) for _ in range(20)))
        for _, writer in idle:
            writer.close()
        return answers

    with running(served) as port:
        answers = asyncio.run(main(port))
    assert len({answer.partition(b"\r\n\r\n")[2] for answer in answers}) == 1
    assert all(answer.startswith(b"HTTP/1.1 200") for answer in answers)


@pytest.mark.slow
@pytest.mark.parametrize("grace", [5, 0.2])
def test_the_server_ends_while_pages_follow_a_run_and_wait_for_an_image(grace, served, tmp_path, monkeypatch, caplog):
    """Long requests get ``GRACE_SEC``; nothing is printed of those that are cut off."""
    monkeypatch.setattr(serving, "GRACE_SEC", grace)
    shutil.copytree(served, tmp_path / "all")
    shutil.copytree(OLD_RUN, tmp_path / "all/run")
    begun, draw = threading.Event(), DrawingQueue.draw

    async def slow(*given, **more):
        begun.set()
        await asyncio.sleep(1)
        return await draw(*given, **more)

    monkeypatch.setattr(DrawingQueue, "draw", slow)
    answers = []
    with running(tmp_path / "all") as port, socket.create_connection(("127.0.0.1", port)) as page:
        page.sendall(f"GET /v1/runs/run/events HTTP/1.1\r\nHost: localhost:{port}\r\n\r\n".encode())
        assert page.recv(1000).startswith(b"HTTP/1.1 200")
        thread = threading.Thread(target=lambda: answers.append(asyncio.run(ask(port))))
        thread.start()
        assert begun.wait(60)
    thread.join(60)
    assert [each.startswith(b"HTTP/1.1 200") for each in answers] == [grace > 1]
    assert [each.getMessage() for each in caplog.records if each.levelname == "ERROR"] == []
