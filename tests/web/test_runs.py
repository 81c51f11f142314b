"""The routes of the place Watch."""

import asyncio
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

from gansmith.evaluation.health import TITLES
from gansmith.runs.folder import RunFolder
from gansmith.web import runs
from gansmith.web.app import create_app
from gansmith.web.run_control import RunControl, can_see_locks, lock_holder
from gansmith.web.run_log import RECENT
from gansmith.web.runs import Reader
from gansmith.web.state import State
from run_files import add_rows, write_run
from small_runs import train

pytest.importorskip("fastapi", reason="needs the extra studio")
from fastapi.testclient import TestClient

needs_locks = pytest.mark.skipif(not can_see_locks(), reason="only Linux tells who holds a lock")

HOLDER = """
import sys, time
from filelock import FileLock
lock = FileLock(sys.argv[1])
lock.acquire(timeout=0)
print("held", flush=True)
time.sleep(60)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_run(tmp_path / "runs" / "one")
    write_run(tmp_path / "runs" / "two", "wasserstein", ended="")
    return tmp_path / "runs"


@pytest.fixture
def client(folder: Path) -> Iterator[TestClient]:
    with TestClient(create_app([folder]), base_url="http://127.0.0.1:8000") as made:
        yield made


@pytest.mark.slow
def test_runs_are_listed_with_their_status(client: TestClient) -> None:
    found = client.get("/v1/runs").json()
    assert found["allow_control"] is False
    one, two = sorted(found["runs"], key=lambda run: run["id"])
    assert (one["id"], one["recipe"], one["data"], one["status"], one["verdict"], one["preview"]) == (
        "one", "by-hinge", "toys", "finished", "stalled", 6,
    )  # fmt: skip
    assert one["kimg"] == 0.6
    assert one["eta_sec"] is None
    assert two["status"] == ("ended" if can_see_locks() else "training")


def test_a_run_without_snapshots_says_why_it_has_no_verdict(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def reason(run: Path) -> Any:
        reader = Reader("a", run)
        reader.refresh()
        return reader.summary()["no_verdict"]

    run = write_run(tmp_path / "a")
    assert reason(run) is None
    (run / "snapshots.jsonl").unlink()
    assert "ended before its first snapshot" in reason(run)
    monkeypatch.setattr(runs, "lock_holder", lambda _: 1)
    assert "still to come" in reason(run)
    record = json.loads((run / "run.json").read_text()) | {"monitor": {"every": 0}}
    (run / "run.json").write_text(json.dumps(record))
    assert "takes no snapshots" in reason(run)


@pytest.mark.slow
def test_details_have_recipe_events_and_columns(client: TestClient) -> None:
    found = client.get("/v1/runs/one").json()
    assert found["recipe_values"]["method.loss.kind"] == "hinge"
    assert found["columns"] == ["loss_generator"]
    assert [event["kind"] for event in found["events"]] == ["started", "health", "finished"]
    assert found["events"][1]["verdict"] == "stalled"


@pytest.mark.slow
def test_rows_come_thinned(client: TestClient) -> None:
    found = client.get("/v1/runs/one/rows", params={"columns": "loss_generator", "from": 0.1, "to": 0.3}).json()
    assert found["iteration"] == [1, 2, 3]
    assert found["columns"]["loss_generator"]["mean"] == [2, 3, 4]


@pytest.mark.slow
@pytest.mark.parametrize("query", ["points=0", "points=1000000000", "points=NaN", "from=NaN", "to=inf", "from=x"])
def test_bounds_of_rows_are_checked(client: TestClient, query: str) -> None:
    answer = client.get(f"/v1/runs/one/rows?{query}")
    assert answer.status_code == 422
    assert answer.json()["error"]["code"] == "web.invalid"


@pytest.mark.slow
def test_snapshots_have_intervals_where_a_metric_is_a_share(client: TestClient) -> None:
    found = client.get("/v1/runs/one/snapshots").json()
    assert found["previews"] == [0, 4, 6]
    (row,) = found["rows"]
    assert row["metrics"] == {"fd2k_own_train": 3.5, "coverage2k_own_train": 0.25}
    low, high = row["intervals"]["coverage2k_own_train"]  # Wilson's interval of 500 of 2,000
    assert (low, high) == (0.23151, 0.26944)
    assert row["modes"] == {"a": [0.5, 0.7], "b": [0.5, 0.3]}
    titles = {column: meaning["title"] for column, meaning in found["meanings"].items()}
    assert titles == {"fd2k_own_train": "Fréchet distance", "coverage2k_own_train": "Coverage"}


def test_the_page_has_the_words_of_every_verdict() -> None:
    page = (files("gansmith.web") / "static" / "watch.js").read_text()
    table = page.partition("const VERDICTS = {")[2].partition("};")[0]
    assert dict(re.findall(r'(\w+): \["\w+", "([^"]+)"\]', table)) == TITLES


@pytest.mark.slow
def test_a_grid_is_the_file_of_the_run(client: TestClient, folder: Path) -> None:
    answer = client.get("/v1/runs/one/snapshots/4.png")
    assert answer.headers["content-type"] == "image/png"
    assert answer.content == (folder / "one" / "samples" / "000000004-ema.png").read_bytes()
    again = client.get("/v1/runs/one/snapshots/4.png", headers={"If-None-Match": answer.headers["etag"]})
    assert again.status_code == 304


@pytest.mark.slow
@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("three", 404), ("one/snapshots/5.png", 404), ("one/snapshots/4.png?weights=../x", 422),
        ("one/snapshots/..%2f..%2frun.json.png", 404), ("one/snapshots/run.json.png", 422), ("%2e%2e/rows", 404),
        ("one%2f..%2ftwo", 404), ("one/snapshots/real.png", 404), ("three/events", 404),
    ],
)  # fmt: skip
def test_what_is_not_there_is_told(client: TestClient, path: str, status: int) -> None:
    answer = client.get(f"/v1/runs/{path}")
    assert answer.status_code == status
    assert set(answer.json()) == {"error"}


@pytest.mark.slow
def test_control_needs_to_be_allowed(client: TestClient) -> None:
    answer = client.post("/v1/runs/one/pause")
    assert answer.status_code == 403
    assert answer.json()["error"]["code"] == "web.read_only"


@pytest.mark.slow
def test_a_run_whose_record_is_broken_is_listed_with_the_reason(client: TestClient, folder: Path) -> None:
    (folder / "one" / "run.json").write_text("{")
    found = {run["id"]: run["problem"] for run in client.get("/v1/runs").json()["runs"]}
    assert found["one"].startswith("this run cannot be read")
    assert found["two"] == ""
    assert client.get("/v1/runs/one").json()["error"]["code"] == "web.run_unreadable"


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may read everything")
def test_a_folder_without_rights_does_not_hide_the_others(client: TestClient, folder: Path) -> None:
    (folder / "one" / "run.json").chmod(0)
    found = {run["id"]: run["problem"] for run in client.get("/v1/runs").json()["runs"]}
    assert "no rights" in found["one"]
    assert found["two"] == ""


def without_rights(*_: Any) -> Any:
    raise PermissionError(13, "Permission denied")


@pytest.mark.slow
def test_rights_that_are_missing_are_told_in_plain_words(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs, "read_json", without_rights)
    found = client.get("/v1/runs").json()["runs"]
    assert {run["problem"] for run in found} == {"this folder cannot be read: the user of the server has no rights"}


class Stream:
    """The events of runs as a client receives them; ``last`` is the id of the last one."""

    def __init__(self, watch: runs.Watch, *names: str, last: str = "") -> None:
        self.texts, self.last = watch.follow(names, last), last

    async def next(self, most: int | None = None) -> list[tuple[str, Any]]:
        """Return the events of one message, or its first ones; [] at the end of the stream."""
        out = list[tuple[str, Any]]()
        try:
            text = await asyncio.wait_for(anext(self.texts), 5)
        except StopAsyncIteration:
            return out
        for part in text.strip().split("\n\n")[:most]:
            lines = dict(line.split(": ", 1) for line in part.split("\n"))
            self.last = lines.get("id", self.last)
            out.append((lines["event"], json.loads(lines["data"])))
        return out


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Streams that look and tell all the time."""
    monkeypatch.setattr(runs, "POLL_SEC", 0.001)
    monkeypatch.setattr(runs, "PAUSE_SEC", 0.001)


def following(folder: Path, during: Callable[[int], None], others: int = 0) -> list[tuple[str, Any]]:
    """Follow the run ``one`` for some looks at it, beside other streams; ``during`` happens after each."""

    async def follow() -> list[tuple[str, Any]]:
        watch, out = runs.Watch(State.of([folder]), followed=others), list[tuple[str, Any]]()
        stream = Stream(watch, "one")
        for number in range(5):
            out += await stream.next()
            during(number)
        await stream.texts.aclose()  # type: ignore[attr-defined]
        assert watch.followed == others
        return out

    return asyncio.run(follow())


@pytest.mark.usefixtures("quick")
def test_new_rows_events_and_pictures_are_sent(folder: Path) -> None:
    def during(number: int) -> None:
        if number == 0:
            add_rows(folder / "one", 6, 2)
        elif number == 1:
            with open(folder / "one" / "log.jsonl", "a") as file:
                file.write('{"event": "rollback", "iteration": 7, "kimg": 0.7, "message": "not finite"}\n')
        else:
            shutil.copy(folder / "one/samples/000000006-ema.png", folder / f"one/samples/00000000{number + 5}-ema.png")

    found = following(folder, during)
    kinds = [name for name, _ in found]
    assert kinds[:3] == ["state", "rows", "events"]
    assert [row["iteration"] for row in found[1][1]["rows"]] == [6, 7]
    assert found[2][1]["events"][-1]["message"] == "not finite"
    assert ("snapshots", [0, 4, 6, 7]) in [(name, data.get("previews")) for name, data in found]


@pytest.mark.usefixtures("quick")
def test_beside_many_pages_rows_and_verdicts_wait_and_other_events_do_not(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runs, "LONGEST_PAUSE_SEC", 1e9)
    monkeypatch.setattr(runs, "KEEP_ALIVE_SEC", 0.05)

    def during(number: int) -> None:
        if number in (0, 1):
            add_rows(folder / "one", 6 + number, 1)
        elif number in (2, 3):
            event = ({"event": "health", "verdict": "grainy"}, {"event": "rollback"})[number - 2]
            with open(folder / "one" / "log.jsonl", "a") as file:
                file.write(json.dumps({**event, "iteration": 7, "kimg": 0.7}) + "\n")

    found = following(folder, during, others=10**13)
    assert [name for name, _ in found] == ["state", "here", "here", "here", "rows", "events"]
    assert [row["iteration"] for row in found[4][1]["rows"]] == [6, 7]


@pytest.mark.usefixtures("quick")
def test_a_run_that_is_deleted_while_it_is_watched_ends_the_stream(folder: Path) -> None:
    found = following(folder, lambda _: shutil.rmtree(folder / "one", ignore_errors=True))
    assert [name for name, _ in found] == ["state", "gone"]
    assert found[1][1] == {"run": "one", "message": "the folder of this run is gone"}


@pytest.mark.usefixtures("quick")
def test_one_stream_tells_of_several_runs_in_their_order(folder: Path) -> None:
    async def follow() -> None:
        watch = runs.Watch(State.of([folder]))
        stream = Stream(watch, "two", "one", "three")
        first = await stream.next()
        assert [(name, data["run"]) for name, data in first] == [("state", "two"), ("state", "one"), ("gone", "three")]
        assert first[2][1]["message"].startswith("unknown run 'three'")
        assert watch.followed == 3
        add_rows(folder / "one", 6, 1)
        add_rows(folder / "two", 6, 2)
        found = list[tuple[str, Any]]()
        while len(found) < 2:
            found += await stream.next()
        rows = [(data["run"], [row["iteration"] for row in data["rows"]]) for _, data in found]
        assert sorted(rows) == [("one", [6]), ("two", [6, 7])]
        shutil.rmtree(folder / "two")
        assert await stream.next() == [("gone", {"run": "two", "message": "the folder of this run is gone"})]
        add_rows(folder / "one", 7, 1)
        ((name, data),) = await stream.next()  # the others go on
        assert (name, data["run"]) == ("rows", "one")
        shutil.rmtree(folder / "one")
        assert [name for name, _ in await stream.next()] == ["gone"]
        assert await stream.next() == []
        assert watch.followed == 0

    asyncio.run(follow())


@pytest.mark.usefixtures("quick")
def test_a_stream_goes_on_where_each_run_was(folder: Path) -> None:
    """A client that lost its stream in the middle of a message gets the rest of it, each thing once."""

    async def follow() -> None:
        watch = runs.Watch(State.of([folder]))
        stream = Stream(watch, "one", "two")
        await stream.next()
        await stream.texts.aclose()  # type: ignore[attr-defined]
        add_rows(folder / "one", 6, 2)
        add_rows(folder / "two", 6, 1)
        with open(folder / "one" / "log.jsonl", "a") as file:
            file.write('{"event": "rollback", "iteration": 7, "kimg": 0.7, "message": "not finite"}\n')
        shutil.copy(folder / "one/samples/000000006-ema.png", folder / "one/samples/000000007-ema.png")

        stream = Stream(watch, "one", "two", last=stream.last)
        ((name, data),) = await stream.next(1)
        assert (name, data["run"], [row["iteration"] for row in data["rows"]]) == ("rows", "one", [6, 7])
        await stream.texts.aclose()  # type: ignore[attr-defined]
        stream = Stream(watch, "one", "two", last=stream.last)
        found = await stream.next()
        assert [(name, data["run"]) for name, data in found] == [
            ("events", "one"), ("snapshots", "one"), ("state", "one"), ("rows", "two"), ("state", "two"),
        ]  # fmt: skip
        assert found[1][1]["previews"] == [0, 4, 6, 7]
        assert [row["iteration"] for row in found[3][1]["rows"]] == [6]
        stream = Stream(watch, "one", "two", last=stream.last)
        assert [name for name, _ in await stream.next()] == ["state", "state"]

    asyncio.run(follow())


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("why", ["another server", "no id", "rows beyond those in memory", "a rollback"])
def test_where_a_stream_cannot_go_on_the_client_is_to_ask_anew(folder: Path, why: str) -> None:
    async def follow() -> None:
        watch = runs.Watch(State.of([folder]))
        stream = Stream(watch, "one", "two")
        await stream.next()
        last = stream.last
        if why == "another server":
            watch = runs.Watch(State.of([folder]))
        elif why == "no id":
            last = "1.2,NaN"
        elif why == "a rollback":
            lines = (folder / "one" / "log.jsonl").read_text().splitlines(keepends=True)
            (folder / "one" / "log.jsonl").write_text("".join(lines[:3]))
        else:
            add_rows(folder / "one", 6, RECENT + 1)
        found = [(name, data["run"]) for name, data in await Stream(watch, "one", "two", last=last).next()]
        assert found[0] == ("reset", "one")
        assert (("reset", "two") in found) == (why in ("another server", "no id"))

    asyncio.run(follow())


@pytest.mark.slow
def test_streams_of_several_runs_are_refused_in_plain_words(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    for query, status, told in [
        ("", 422, "run: Field required"),
        ("&".join(["run=one"] * 17), 422, "at most 16 items"),
        ("run=three&run=four", 404, "unknown run 'three'"),
        ("run=one&runs=two", 422, "unknown parameter 'runs'"),
        ("run=one&after=" + 4001 * "1", 422, "at most 4000 characters"),
    ]:
        answer = client.get(f"/v1/events?{query}")
        assert answer.status_code == status
        assert told in answer.json()["error"]["message"]
    monkeypatch.setattr(runs, "MOST_FOLLOWED", 1)
    answer = client.get("/v1/events?run=one&run=two")
    assert answer.status_code == 429
    assert answer.headers["Retry-After"] == "1"
    assert answer.json()["error"]["message"].startswith("pages follow 0 runs already; together at most 1")


@pytest.fixture
def holder(folder: Path) -> Iterator["subprocess.Popen[str]"]:
    """A process that holds the lock of run ``two``, as its training would."""
    command = [sys.executable, "-c", HOLDER, str(folder / "two" / ".lock")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


@pytest.mark.slow
@needs_locks
def test_a_run_trains_while_a_process_holds_its_lock(
    client: TestClient, folder: Path, holder: "subprocess.Popen[str]"
) -> None:
    assert lock_holder(folder / "two" / ".lock") == holder.pid
    assert {run["id"]: run["status"] for run in client.get("/v1/runs").json()["runs"]} == {
        "one": "finished", "two": "training",
    }  # fmt: skip


@pytest.mark.slow
@needs_locks
def test_the_holder_of_the_lock_alone_is_signalled(folder: Path, holder: "subprocess.Popen[str]", refused: Any) -> None:
    (folder / "one" / ".lock").touch()
    with open(folder / "one" / ".lock"), refused("web.run_not_training"):  # open, and not locked
        RunControl().pause(folder / "one")
    with refused("web.run_is_training"):
        RunControl().resume(folder / "two")
    with TestClient(create_app([folder], allow_control=True), base_url="http://127.0.0.1:8000") as client:
        assert client.post("/v1/runs/one/pause").status_code == 409
        assert client.post("/v1/runs/two/pause").json() == {"asked": "pause"}
    assert holder.wait(10) == -signal.SIGTERM
    with refused("web.run_not_training"):
        RunControl().stop(folder / "two")


@needs_locks
def test_another_process_at_the_number_of_a_run_is_spared(
    folder: Path, monkeypatch: pytest.MonkeyPatch, refused: Any
) -> None:
    """The lock is looked up again when the handle is open: the holder ended, and its number went to another process."""
    answers = iter([os.getppid(), None])
    monkeypatch.setattr("gansmith.web.run_control.lock_holder", lambda _: next(answers))
    sent = list[Any]()
    monkeypatch.setattr(signal, "pidfd_send_signal", lambda *what: sent.append(what))
    with refused("web.run_not_training"):
        RunControl().pause(folder / "two")
    assert sent == []


@pytest.mark.slow
@pytest.mark.parametrize(("processes", "more"), [(1, []), (2, ["--processes", "2"]), (None, [])])
def test_a_run_is_resumed_in_as_many_processes_as_before(
    processes: int | None, more: list[str], tiny_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = RunFolder(train(tiny_file, tmp_path / "run", "mlp-small", stop_at=1).folder)
    record = json.loads((run.path / "run.json").read_text())
    (run.path / "run.json").write_text(json.dumps({**record, "numerics": {"processes": processes}}))
    started = list[list[str]]()
    monkeypatch.setattr(subprocess, "Popen", lambda command, **_: started.append(command))
    RunControl().resume(run.path)
    assert [command[3:] for command in started] == [["resume", str(run.path), *more]]


@pytest.mark.slow
def test_a_resume_that_fails_says_why(folder: Path) -> None:
    control = RunControl()
    control.resume(folder / "one")
    control._children[folder / "one"].process.wait(60)
    assert "cannot be read" in control.failure(folder / "one")
    assert control.failure(folder / "one") == ""
