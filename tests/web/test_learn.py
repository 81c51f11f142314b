"""The routes of the place Learn, with a child that is quick to start instead of one that imports torch."""

import asyncio
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gansmith.core.plain_files import read_json
from gansmith.web import learn
from gansmith.web.app import create_app

pytest.importorskip("fastapi", reason="needs the extra studio")
from fastapi.testclient import TestClient

CHILD = """
import json, sys, time
def write(**message): print(json.dumps(message, separators=(",", ":")), flush=True)
write(kind="ready", form={"properties": {}})
for line in sys.stdin:
    command = json.loads(line)
    settings = command.get("settings") or {}
    time.sleep(settings.get("slow", 0))
    if settings.get("die"):
        sys.exit("out of memory")
    if settings.get("wrong"):
        write(kind="answer", id=command["id"], error={"code": "web.learn_settings", "message": "wrong"})
        continue
    if settings:
        write(kind="started", settings=settings)
    for number in range(50):
        write(kind="frame", number=number)
    write(kind="answer", id=command["id"], asked=command)
"""


@pytest.fixture
def client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
    monkeypatch.setattr(learn, "WORKER", ("-c", CHILD))
    with TestClient(create_app([tmp_path]), base_url="http://127.0.0.1:8000") as made:
        yield made


def start(client: TestClient, **settings: Any) -> str:
    answer = client.post("/v1/learn", json={"settings": {"loss": "hinge", **settings}, "playing": True})
    assert answer.status_code == 201, answer.text
    return str(answer.json()["session"])


@pytest.mark.slow
def test_commands_reach_the_child_and_its_answers_come_back(client: TestClient) -> None:
    name = start(client)
    answer = client.post(f"/v1/learn/{name}", json={"step": "generator"}).json()
    assert answer == {"asked": {"id": 2, "step": "generator", "restart": False, "ahead": 0}}
    assert client.delete(f"/v1/learn/{name}").status_code == 204
    gone = client.post(f"/v1/learn/{name}", json={"step": "generator"})
    assert (gone.status_code, gone.json()["error"]["code"]) == (404, "web.unknown_session")


@pytest.mark.slow
def test_what_the_child_refuses_is_told(client: TestClient) -> None:
    name = start(client)
    answer = client.post(f"/v1/learn/{name}", json={"settings": {"wrong": True}})
    assert (answer.status_code, answer.json()["error"]["message"]) == (400, "wrong")
    answer = client.post("/v1/learn", json={"settings": {"wrong": True}})
    assert answer.status_code == 400


@pytest.mark.slow
@pytest.mark.parametrize(
    "body", [{"speed": -1}, {"ahead": 1001}, {"speed": 1e9}, {"step": "x"}, {"other": 1}, {"settings": 3}, []]
)
def test_commands_have_bounds(client: TestClient, body: Any) -> None:
    assert client.post("/v1/learn/any", json=body).status_code == 422


@pytest.mark.slow
def test_pages_are_told_when_there_are_too_many(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(learn.Session, "is_alone", False)  # as if a page listened to each
    most = learn.Sessions().most
    for _ in range(most):
        start(client)
    answer = client.post("/v1/learn", json={"settings": {}})
    assert (answer.status_code, answer.json()["error"]["code"]) == (429, "web.too_many_sessions")
    assert int(answer.headers["retry-after"]) > 0


@pytest.mark.slow
def test_a_session_that_nobody_looks_at_makes_room(client: TestClient) -> None:
    names = [start(client) for _ in range(learn.Sessions().most + 1)]
    assert client.post(f"/v1/learn/{names[0]}", json={}).status_code == 404
    assert client.post(f"/v1/learn/{names[-1]}", json={}).status_code == 200


async def begun(*settings: dict[str, Any]) -> learn.Session:
    session = await learn.Session.start()
    for each in settings:
        await session.ask({"settings": each})
    return session


@pytest.fixture
def quick_child(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(learn, "WORKER", ("-c", CHILD))


@pytest.mark.usefixtures("quick_child")
def test_a_slow_page_misses_pictures_and_never_the_newest() -> None:
    async def follow() -> list[bytes]:
        session = await begun({"a": 1}, {"b": 2})
        stream = session.listen()
        first = await anext(stream)
        await session.ask({"settings": {"c": 3}})
        second = await anext(stream)
        await stream.aclose()
        await session.end()
        return [first, second]

    first, second = asyncio.run(follow())
    assert first.split(b"\n\n")[:2] == [
        b'event: started\ndata: {"kind":"started","settings":{"b":2}}',
        b'event: frame\ndata: {"kind":"frame","number":49}',
    ]
    assert second.startswith(b'event: started\ndata: {"kind":"started","settings":{"c":3}}')
    assert second.count(b"event: frame") == 1


@pytest.mark.usefixtures("quick_child")
def test_a_quiet_stream_says_that_it_lives_and_one_that_is_asked_for_again_repeats_the_newest(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(learn, "KEEP_ALIVE_SEC", 0.05)

    async def follow() -> list[bytes]:
        session = await begun({"a": 1})
        stream = session.listen()
        found = [await anext(stream), await asyncio.wait_for(anext(stream), 10)]
        await stream.aclose()
        again = session.listen()
        found.append(await anext(again))
        await again.aclose()
        await session.end()
        return found

    first, quiet, again = asyncio.run(follow())
    assert quiet == b"event: here\ndata: {}\n\n"
    assert again == first


@pytest.mark.usefixtures("quick_child")
def test_a_child_ends_when_its_page_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(learn, "GRACE_SEC", 0.05)

    async def leave() -> tuple[int | None, int]:
        session = await begun({"a": 1})
        stream = session.listen()
        await anext(stream)
        await asyncio.sleep(0.2)
        during = session.process.returncode
        await stream.aclose()
        return during, await asyncio.wait_for(session.process.wait(), 10)

    during, after = asyncio.run(leave())
    assert during is None
    assert after != 0


@pytest.mark.usefixtures("quick_child")
def test_a_child_that_is_slow_to_answer_is_not_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(learn, "GRACE_SEC", 0.05)

    async def wait() -> dict[str, Any]:
        session = await learn.Session.start()
        answer = await session.ask({"settings": {"slow": 0.3}})
        await session.process.wait()
        return answer

    assert asyncio.run(wait())["asked"]["settings"] == {"slow": 0.3}


@pytest.mark.usefixtures("quick_child")
def test_a_child_that_dies_tells_its_last_words() -> None:
    async def die() -> list[bytes]:
        session = await begun({"a": 1})
        stream = session.listen()
        await anext(stream)
        with pytest.raises(learn.GansmithError, match="out of memory"):
            await session.ask({"settings": {"die": True}})
        return [part async for part in stream]

    *_, last = asyncio.run(die())
    assert b"event: ended" in last
    assert b"ended with code 1: out of memory" in last


@pytest.mark.slow
def test_no_child_outlives_the_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(learn, "WORKER", ("-c", CHILD))
    kept = list[learn.Session]()
    begin = learn.Session.start

    async def keeping() -> learn.Session:
        kept.append(await begin())
        return kept[-1]

    monkeypatch.setattr(learn.Session, "start", keeping)
    with TestClient(create_app([tmp_path]), base_url="http://127.0.0.1:8000") as client:
        start(client)
        assert kept[0].process.returncode is None
    assert kept[0].process.returncode is not None


@pytest.mark.slow
def test_experiments_have_three_sentences_and_a_page_to_read_on(client: TestClient) -> None:
    presets = client.get("/v1/learn/presets").json()
    assert presets == read_json(learn.PRESETS)
    assert {"mode-collapse", "vanishing-gradients", "oscillation"} <= {each["name"] for each in presets}
    for preset in presets:
        for text in (preset["text"], preset.get("remedy", preset)["text"]):
            assert text.count(". ") == 2, text
            assert text.endswith(".")
        page = client.get(f"/v1/learn/docs/{preset['doc']}").text
        assert page.startswith("# ")
        assert "include" not in page
        for picture in re.findall(r"!\[.*\]\(\.\./pictures/lessons/(.*\.png)\)", page):
            assert client.get(f"/v1/learn/docs/{picture}").content.startswith(b"\x89PNG")
    assert client.get("/v1/learn/docs/none").status_code == 404
    assert client.get("/v1/learn/docs/..%2findex").status_code == 404


def test_the_real_child_can_be_started_as_the_server_does() -> None:
    assert learn.WORKER == ("-m", "gansmith.web.learn_worker")
    assert sys.executable
