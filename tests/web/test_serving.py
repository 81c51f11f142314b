"""The server on a network: what is refused before it starts, and clients that are slow or many."""

import asyncio
import socket
import sys
import threading
import time
from contextlib import contextmanager, suppress

import pytest

pytest.importorskip("fastapi", reason="needs the extra studio")
import uvicorn

from gansmith.web import serving
from gansmith.web.serving import PatientProtocol, ServeOptions, serve

MANY = 300


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
    config = uvicorn.Config(ServeOptions((str(served),)).app(), log_level="critical", http=PatientProtocol, ws="none")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, args=([listening],))
    thread.start()
    while not server.started:
        time.sleep(0.01)
    try:
        yield listening.getsockname()[1]
    finally:
        server.should_exit = True
        thread.join()


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
