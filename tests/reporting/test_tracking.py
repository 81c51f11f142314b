"""Loggers have each step of a run once, whatever happens between; a tracker never stops a run."""

import importlib.util
import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from gansmith import api
from gansmith.core.registry import load_plugins
from gansmith.imaging.images import save_png
from gansmith.recipes.load import load_recipe
from gansmith.reporting import tracking
from gansmith.reporting.loggers.base import Logger, LoggerPart, loggers
from gansmith.reporting.tracking import Tracking, parse_loggers
from gansmith.runs.folder import RunFolder
from gansmith.runs.length import RunLength
from gansmith.runs.log import append_row, read_rows
from gansmith.runs.options import RunOptions
from small_runs import PAUSE_AT, RHYTHM, Listener, record_of, resume, small, train

PAGE = Path(__file__).parents[2] / "docs" / "trackers.md"
(LINES,) = re.findall(r"^```python\n(import json\n.*?)^```", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
TRACKERS = ("tensorboard", "wandb", "trackio", "mlflow")
PATIENCE_SEC = 600  # for what takes a moment, on a machine that does much else
KEY = "0123456789abcdef0123456789abcdef01234567"


def missing(name: str) -> pytest.MarkDecorator:
    """Skip a test without the package of a tracker."""
    reason = f"{name} is not installed: pip install 'gansmith[trackers]'"
    return pytest.mark.skipif(importlib.util.find_spec(name) is None, reason=reason)


class KilledError(BaseException):
    """Ends the thread of a logger at once, as SIGKILL does: nothing catches it."""


@pytest.fixture
def plugin(tmp_path) -> Path:
    """The logger of the page for authors."""
    path = tmp_path / "lines.py"
    path.write_text(LINES)
    (tmp_path / "store").mkdir()
    return path


@pytest.fixture
def part(plugin, tmp_path) -> LoggerPart:
    """The same, for lines in ``store``."""
    load_plugins((plugin,))
    return loggers.parse({"kind": "lines", "folder": str(tmp_path / "store")})


@pytest.fixture
def run(tmp_path) -> RunFolder:
    """A run folder without rows."""
    folder = RunFolder.create(tmp_path / "run")
    folder.recipe.write_text(load_recipe("mlp-small").to_yaml())
    folder.write_record(record_of(RunLength(2.0, 20, 4, 8, 8, "a test")))
    return folder


def write(run: RunFolder, *iterations: int, salt: float = 0.0) -> None:
    """Write what a run writes: a row at each iteration, a grid at every second row."""
    for iteration in iterations:
        at = {"iteration": iteration, "kimg": iteration / 10}
        append_row(run.log, {**at, "loss_generator": 1 / iteration + salt, "d_real": None})
        append_row(run.timing, {**at, "wall_sec": time.perf_counter(), "img_per_sec": 9.0, "eta_sec": 1.0})
        if iteration % 8 == 0:
            save_png(np.zeros((8, 8, 1), np.uint8), run.samples / f"{iteration:09d}-ema.png")


def cut_back(run: RunFolder, iteration: int) -> None:
    """Remove what was written after an iteration, as a resume and a rollback do."""
    for path in (run.log, run.timing):
        rows = [row for row in read_rows(path) if row["iteration"] <= iteration]
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    run.drop_samples_after(iteration)


def send(run: RunFolder, part: LoggerPart, until: int, outcome: str = "paused") -> Listener:
    """Send a run up to an iteration, as a process that then ends; return what it told the user."""
    listener = Listener()
    found = Tracking.open(run, [part], listener)
    assert found is not None
    found.follow(until)
    found.close(outcome)
    return listener


def wait_for(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE_SEC
    while not condition():
        assert time.monotonic() < end, "it took too long"
        time.sleep(0.005)


def lines_of(part: LoggerPart, number: int = 1) -> list[dict[str, Any]]:
    """Return the rows in the store of one run of the tracker: the first, or that with a number."""
    (file,) = [each for each in part.folder.glob("*.jsonl") if each.name.count("-") == number]
    return [json.loads(line) for line in file.read_text().splitlines()]


def assert_stored(run: RunFolder, rows: list[dict[str, Any]]) -> None:
    """Fail unless a store has every step of the log once, in order, with the same numbers."""
    wanted = {row["iteration"]: row for row in read_rows(run.log) if "event" not in row}
    assert [row["iteration"] for row in rows if "loss/generator" in row] == [*wanted]
    assert len({row["iteration"] for row in rows}) == len(rows)
    for row in rows:
        if row["iteration"] in wanted:
            assert row["loss/generator"] == pytest.approx(wanted[row["iteration"]]["loss_generator"], rel=1e-6)


def test_a_step_has_numbers_grid_and_events(run, part):
    write(run, 4, 8)
    append_row(run.log, {"event": "health", "iteration": 8, "kimg": 0.8, "message": "full mode collapse"})
    append_row(run.snapshots, {"iteration": 8, "kimg": 0.8, "fd2k_own_train": 7.5, "verdict": "collapse", "found": {}})
    write(run, 12)
    told = send(run, part, 8)
    first, second = lines_of(part)
    assert first["grid"] is False
    assert first["run/img_per_sec"] == 9
    assert not {"d/real", "run/eta_sec", "run/iteration"} & {*first}
    assert (second["grid"], second["snapshot/fd2k_own_train"]) == (True, 7.5)
    assert second["events"] == [["health", "full mode collapse"]]
    assert told.said("warning") == []


def test_a_finished_run_sends_its_summary_once(run, part, monkeypatch):
    got = []
    monkeypatch.setattr(type(part.open(_tracked(run))), "finish", lambda self, *given: got.append(given))
    write(run, 4, 8)
    append_row(run.snapshots, {"iteration": 4, "kimg": 0.4, "fd2k_own_train": 7.5, "verdict": "healthy"})
    run.model.mkdir()
    send(run, part.model_copy(update={"model": True}), 8, "finished")
    send(run, part, 8, "finished")
    ((summary, model),) = got
    assert (summary["iteration"], summary["best/fd2k_own_train"], summary["final/loss_generator"]) == (8, 7.5, 1 / 8)
    assert model == run.model


def _tracked(run: RunFolder) -> Any:
    return tracking.TrackedRun("0" * 12, "run", run.path, {}, 0)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.parametrize("asked", [True, False], ids=["asked", "not_asked"])
@pytest.mark.parametrize("moment", ["before", "within", "after"])
def test_a_kill_between_doubles_nothing_and_leaves_nothing_out(moment, asked, run, part, monkeypatch):
    """Before the send, after it and before its record, or after that."""
    kind = type(part.open(_tracked(run)))
    deliver, commit = kind.send, tracking.Sender._commit
    if not asked:
        monkeypatch.setattr(kind, "last_step", Logger.last_step)

    def killed_before(self, step):
        if step.iteration == 8:
            raise KilledError
        deliver(self, step)

    def killed_after(self, record):
        if moment == "after":
            commit(self, record)
        if record.sent.step == 8:
            raise KilledError
        if moment == "within":
            commit(self, record)

    write(run, 4, 8, 12)
    with monkeypatch.context() as patch:
        if moment == "before":
            patch.setattr(kind, "send", killed_before)
        else:
            patch.setattr(tracking.Sender, "_commit", killed_after)
        send(run, part, 12)
    stored = [row["iteration"] for row in lines_of(part)]
    assert stored == ([4] if moment == "before" else [4, 8])
    cut_back(run, 4)
    write(run, 8, 12, 16)
    send(run, part, 16)
    if moment == "within" and not asked:  # the only case where nobody can know
        assert [row["iteration"] for row in lines_of(part)] == [4, 8, 8, 12, 16]
    else:
        assert_stored(run, lines_of(part))


@pytest.mark.slow
def test_a_store_that_lost_its_last_steps_gets_them_again(run, part):
    write(run, 4, 8, 12)
    send(run, part, 12)
    (file,) = part.folder.iterdir()
    file.write_text("".join(file.read_text().splitlines(keepends=True)[:1]))
    send(run, part, 12)
    assert_stored(run, lines_of(part))


@pytest.mark.slow
def test_a_run_folder_may_be_renamed(run, part, tmp_path):
    write(run, 4)
    send(run, part, 4)
    moved = RunFolder(run.path.rename(tmp_path / "elsewhere"))
    write(moved, 8)
    send(moved, part, 8)
    assert_stored(moved, lines_of(part))


@pytest.mark.slow
def test_an_older_checkpoint_repeats_nothing(run, part):
    write(run, 4, 8, 12)
    send(run, part, 12)
    cut_back(run, 4)
    send(run, part, 4)
    write(run, 8, 12, 16)
    send(run, part, 16, "finished")
    assert_stored(run, lines_of(part))


@pytest.mark.slow
@pytest.mark.parametrize("later", [(8, 12, 16), (8,), (6, 12)], ids=["longer", "shorter", "other_steps"])
def test_steps_that_changed_make_a_new_run_with_all_steps(later, run, part):
    write(run, 4, 8, 12)
    send(run, part, 12)
    old = lines_of(part)
    cut_back(run, 4)
    append_row(run.log, {"event": "changed", "iteration": 4, "kimg": 0.4, "message": "recipe lr: 1 -> 2"})
    write(run, *later, salt=1.0)
    send(run, part, later[-1], "finished")
    assert lines_of(part) == old
    assert_stored(run, lines_of(part, 2))
    assert [row["events"] for row in lines_of(part, 2) if row["events"]] == [[["changed", "recipe lr: 1 -> 2"]]]


@pytest.mark.slow
def test_an_accepted_change_alone_continues_the_run(run, part):
    write(run, 4, 8)
    send(run, part, 8)
    append_row(run.log, {"event": "changed", "iteration": 8, "kimg": 0.8, "message": "schedule: 1 kimg -> 2 kimg"})
    write(run, 12)
    send(run, part, 12)
    send(run, part, 12)
    assert_stored(run, lines_of(part))
    assert [row["events"] for row in lines_of(part)] == [[], [], [["changed", "schedule: 1 kimg -> 2 kimg"]]]


@pytest.mark.slow
def test_a_rollback_while_it_sends(run, part):
    listener = Listener()
    found = Tracking.open(run, [part], listener)
    write(run, 4, 8, 12)
    found.follow(12)
    wait_for(lambda: any(part.folder.iterdir()) and len(lines_of(part)) == 3)
    cut_back(run, 4)
    append_row(run.log, {"event": "rollback", "iteration": 4, "kimg": 0.4, "message": "back"})
    found.follow(3)
    write(run, 8, 12, salt=1.0)
    found.follow(12)
    found.close("finished")
    assert_stored(run, lines_of(part, 2))
    assert listener.said("warning") == []


@pytest.mark.slow
def test_a_tracker_that_fails_is_reported_once_and_gets_the_rest_later(run, part, monkeypatch, prose):
    kind = type(part.open(_tracked(run)))
    with monkeypatch.context() as patch:
        patch.setattr(kind, "send", lambda *_: (_ for _ in ()).throw(OSError("no route to host")))
        patch.setattr(tracking, "RETRY_SEC", -1.0)
        write(run, 4, 8)
        told = send(run, part, 8)
        (text,) = told.said("warning")
    prose("a tracker that fails", text)
    send(run, part, 8)
    assert_stored(run, lines_of(part))


@pytest.mark.slow
def test_a_failure_is_tried_again_while_the_run_goes_on(run, part, monkeypatch):
    kind, failures = type(part.open(_tracked(run))), iter([True])
    deliver = kind.send

    def fail_once(self, step):
        deliver(self, step)
        if next(failures, False):
            raise OSError("it arrived, but the answer did not")

    monkeypatch.setattr(kind, "send", fail_once)
    monkeypatch.setattr(tracking, "RETRY_SEC", -1.0)
    write(run, 4, 8)
    assert len(send(run, part, 8).said("warning")) == 1
    assert_stored(run, lines_of(part))


@pytest.mark.slow
def test_a_tracker_that_hangs_keeps_no_one_waiting(run, part, monkeypatch, prose):
    reached, released, kind = threading.Event(), threading.Event(), type(part.open(_tracked(run)))
    deliver = kind.send

    def hang(self, step):
        reached.set()
        released.wait(PATIENCE_SEC)
        deliver(self, step)

    monkeypatch.setattr(kind, "send", hang)
    monkeypatch.setattr(tracking, "SLOW_SEC", 0.0)
    monkeypatch.setattr(tracking, "END_SEC", 0.0)
    listener = Listener()
    found = Tracking.open(run, [part], listener)
    for iteration in (4, 8, 12):
        write(run, iteration)
        found.follow(iteration)
    assert reached.wait(PATIENCE_SEC)
    wait_for(lambda: found.follow(12) or bool(listener.said("warning")))
    found.close("finished")
    assert list(part.folder.iterdir()) == []  # it still hangs
    (text,) = listener.said("warning")
    prose("a tracker that hangs", text)
    released.set()
    (thread,) = [each for each in threading.enumerate() if each.name == "logger lines"]
    thread.join(PATIENCE_SEC)
    assert [row["iteration"] for row in lines_of(part)] == [4]  # it may not go on beside a resume in this process
    monkeypatch.undo()
    send(run, part, 12)
    assert_stored(run, lines_of(part))


def test_a_run_that_ends_with_a_tracker_that_hangs_says_so(run, part, monkeypatch, prose):
    released, kind = threading.Event(), type(part.open(_tracked(run)))
    monkeypatch.setattr(kind, "send", lambda *_: released.wait(PATIENCE_SEC) and None)
    monkeypatch.setattr(tracking, "END_SEC", 0.0)
    write(run, 4)
    (text,) = send(run, part, 4).said("warning")
    released.set()
    prose("a tracker that hangs at the end", text)


@pytest.mark.parametrize(
    ("specs", "code"),
    [
        (["wandbb"], "recipe.unknown_part"),
        (["{kind: [}"], "recipe.unknown_part"),
        ([""], "recipe.part_form"),
        (["{kind: tensorboard, projekt: faces}"], "recipe.unknown_part_field"),
        (["{kind: tensorboard, model: 7}"], "recipe.invalid_value"),
        (["tensorboard", "{kind: tensorboard}"], "run.logger_twice"),
    ],
)
def test_loggers_that_are_refused(specs, code, refused):
    pytest.importorskip("tensorboard")
    with refused(code):
        parse_loggers(specs)


def test_one_logger_needs_no_list():
    pytest.importorskip("tensorboard")
    assert [part.kind for part in parse_loggers("tensorboard")] == ["tensorboard"]
    assert RunOptions.of("photos", loggers="tensorboard").loggers == ("tensorboard",)


@pytest.mark.parametrize("name", TRACKERS)
def test_a_missing_package_is_refused(name, monkeypatch, refused):
    monkeypatch.setitem(sys.modules, name, None)
    with refused("run.logger_not_installed"):
        parse_loggers([name])


def test_a_package_that_is_broken_is_refused(monkeypatch, tmp_path, refused):
    (tmp_path / "tensorboard").mkdir()
    (tmp_path / "tensorboard" / "__init__.py").write_text("raise ImportError('no protobuf')")
    for name in [name for name in sys.modules if name.partition(".")[0] == "tensorboard"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.syspath_prepend(tmp_path)
    with refused("run.logger_not_installed"):
        parse_loggers(["tensorboard"])


def test_a_dry_run_checks_loggers(tiny_file, refused):
    with refused("recipe.unknown_part"):
        api.dry_run(tiny_file, recipe="mlp-small", overrides=small("mlp-small"), loggers=["wand"])


def test_wandb_without_a_login_is_refused(monkeypatch, refused):
    wandb = pytest.importorskip("wandb")
    monkeypatch.setattr(wandb, "login", lambda **_: False)
    settings = SimpleNamespace(mode="online")
    monkeypatch.setattr(wandb, "setup", lambda: SimpleNamespace(settings=settings))  # the real one starts a process
    with refused("run.logger_login"):
        parse_loggers(["wandb"])


@missing("mlflow")
def test_mlflow_with_an_unusable_store_is_refused(monkeypatch, tmp_path, refused):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"file://{tmp_path}/runs")  # MLflow 3.17 refuses folders
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    with refused("run.logger_store", hiding=[r"(?<=store: ).*"]):
        parse_loggers(["mlflow"])


@pytest.mark.slow
def test_a_run_remembers_its_loggers(tiny_file, plugin, tmp_path, monkeypatch, shell):
    monkeypatch.setattr(api, "write_results", lambda *_: None)
    spec = {"kind": "lines", "folder": str(tmp_path / "store")}
    paused = train(tiny_file, tmp_path / "run", "mlp-small", stop_at=PAUSE_AT, plugins=[plugin], loggers=[spec])
    run, part = RunFolder(paused.folder), loggers.parse(spec)
    assert run.record.loggers == ({**spec, "model": False},)
    assert_stored(run, lines_of(part))
    assert [row["iteration"] for row in lines_of(part)] == [0, 3, 4, 6, 8, 9]
    assert resume(paused.folder).finished
    assert resume(paused.folder, kimg=0.128).finished
    assert_stored(run, lines_of(part))
    assert [row["iteration"] for row in lines_of(part)] == [0, 3, 4, 6, 8, 9, 12, 15, 16]
    code, _, err = shell("resume", paused.folder, "--logger", "none")
    assert code == 0, err
    assert run.record.loggers == ()
    assert len(lines_of(part)) == 9


@pytest.mark.slow
def test_a_recipe_names_loggers_and_the_option_replaces_them(tiny_file, plugin, tmp_path, monkeypatch, refused):
    monkeypatch.setattr(api, "write_results", lambda *_: None)
    spec = {"kind": "lines", "folder": str(tmp_path / "store")}
    chosen = f"monitor.loggers=[{{kind: lines, folder: {tmp_path / 'store'}}}]"
    done = train(tiny_file, tmp_path / "run", "mlp-small", chosen, plugins=[plugin])
    assert RunFolder(done.folder).record.loggers == ({**spec, "model": False},)
    assert_stored(RunFolder(done.folder), lines_of(loggers.parse(spec)))
    other = {**spec, "folder": str(tmp_path / "other")}
    done = train(tiny_file, tmp_path / "second", "mlp-small", chosen, plugins=[plugin], loggers=[other])
    assert RunFolder(done.folder).record.loggers == ({**other, "model": False},)
    for start in (api.train, api.dry_run):
        with refused("recipe.unknown_part"):
            start(tiny_file, recipe="mlp-small", overrides=small("mlp-small", "monitor.loggers=[wand]"), device="cpu")


@pytest.mark.slow
def test_without_loggers_a_run_has_no_files_of_any(tiny_file, tmp_path, monkeypatch):
    monkeypatch.setattr(api, "write_results", lambda *_: None)
    done = train(tiny_file, tmp_path / "run", "mlp-small")
    assert not {"tensorboard", "loggers", "wandb"} & {path.name for path in done.folder.iterdir()}


# The real packages in their offline modes. They read their settings once, so each run has a process of its own.

WORK = """
import json, os, shutil, signal, sys, threading
from pathlib import Path
from gansmith import api
from gansmith.core.events import silent
from gansmith.reporting import tracking
from gansmith.runs.folder import RunFolder
from gansmith.runs.log import read_rows

folder, data, names, *overrides = sys.argv[1:]
folder, names = Path(folder), names.split()
api.write_results = lambda run, model, *_: model.save(run.model)  # no film and no curves
tracking.END_SEC = tracking.MODEL_SEC  # the machine may be busy
commit, all_sent = tracking.Sender._commit, threading.Barrier(len(names))

def killed(self, record):
    if record.sent.step == 8:  # every logger has sent this step, and none has noted it
        all_sent.wait()
        os.kill(os.getpid(), signal.SIGKILL)
    commit(self, record)

if not folder.exists():
    tracking.Sender._commit = killed
    specs = [{"kind": name, "model": name != "tensorboard"} for name in names]
    api.train(data, recipe="mlp-small", out=folder, steps=12, seed=3, precision="fp32", device="cpu", loggers=specs,
              overrides=overrides)

api.resume(folder)
run = RunFolder(Path(shutil.copytree(folder, folder.with_name("again"), symlinks=True)))
rows = [{**row, "loss_generator": row["loss_generator"] + (row["iteration"] > 4)} for row in read_rows(run.log)]
run.log.write_text("".join(json.dumps(row) + "\\n" for row in rows))
again = tracking.Tracking.open(run, tracking.parse_loggers(run.record.loggers), silent)
again.follow(12)
again.close("finished")
"""


def installed() -> list[str]:
    return [name for name in TRACKERS if importlib.util.find_spec(name)]


@pytest.fixture(scope="module")
def killed_run(tmp_path_factory, session_cache, tiny_file) -> tuple[Path, Path]:
    """A run that was killed with every tracker between a send and its record, resumed, and copied with another past."""
    place = tmp_path_factory.mktemp("trackers")
    env = {
        **os.environ,
        "GANSMITH_CACHE": str(session_cache), "TRACKIO_DIR": str(place / "trackio"), "HF_HUB_OFFLINE": "1",
        "WANDB_MODE": "offline", "WANDB_API_KEY": KEY, "WANDB_ERROR_REPORTING": "false", "DO_NOT_TRACK": "1",
        "MLFLOW_TRACKING_URI": f"sqlite:///{place}/mlflow.db", "MLFLOW_DISABLE_TELEMETRY": "true",
    }  # fmt: skip

    run, endings = place / "run", []
    for _ in range(2):
        words = [run, tiny_file, " ".join(installed()), *small("mlp-small", *RHYTHM)]
        command = [sys.executable, "-c", WORK, *map(str, words)]
        done = subprocess.run(command, env=env, cwd=place, capture_output=True, text=True, check=False)
        print(done.stderr)
        assert done.stdout == "", "stdout is for results"
        endings.append(done.returncode)
    assert endings == [-signal.SIGKILL, 0]
    return run, place / "again"


def stored(name: str, run: Path) -> list[dict[str, Any]]:
    """Return the rows that a tracker has of a run, each with its iteration, in the order of its store."""
    record = json.loads((run / "loggers" / f"{name}.json").read_text())
    if name == "tensorboard":
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

        events = EventAccumulator(str(run / "tensorboard"), size_guidance={"scalars": 0}).Reload()
        found = [(each.step, tag, each.value) for tag in events.Tags()["scalars"] for each in events.Scalars(tag)]
    elif name == "wandb":
        from gansmith.reporting.loggers.wandb import read_records

        files = sorted(run.glob(f"wandb/offline-run-*-{record['id']}/*.wandb"))
        rows = [each.history for file in files for each in read_records(file) if each.HasField("history")]
        return [
            {"iteration": row.step.num, **{"/".join(i.nested_key) or i.key: json.loads(i.value_json) for i in row.item}}
            for row in rows
        ]
    elif name == "trackio":
        with sqlite3.connect(run.parent / "trackio" / "gansmith.db") as store:
            select = "select step, metrics from metrics where run_name like '%' || ? order by id"
            return [{**json.loads(text), "iteration": step} for step, text in store.execute(select, [record["id"]])]
    else:
        with sqlite3.connect(run.parent / "mlflow.db") as store:
            select = (
                "select step, m.key, m.value from metrics m join tags t on m.run_uuid = t.run_uuid "
                "where t.key = 'gansmith.id' and t.value = ? order by step"
            )
            found = [each for each in store.execute(select, [record["id"]]) if each[1] != "iteration"]
    counts = Counter((step, tag) for step, tag, _ in found)
    assert {*counts.values()} == {1}, "a step is there twice"
    steps = sorted({step for step, _, _ in found})
    return [{"iteration": step, **{tag: value for at, tag, value in found if at == step}} for step in steps]


@pytest.mark.slow
@pytest.mark.parametrize("name", [pytest.param(name, marks=missing(name)) for name in TRACKERS])
def test_a_killed_run_is_whole_in_the_store_of_the_tracker(name, killed_run):
    for folder, number in zip(killed_run, (1, 2), strict=True):
        record = json.loads((folder / "loggers" / f"{name}.json").read_text())
        assert (record["number"], record["sent"]["step"], record["finished"]) == (number, 12, 12)
        assert_stored(RunFolder(folder), stored(name, folder))


@pytest.mark.slow
def test_credentials_are_not_in_the_run_folder(killed_run):
    files = [path for path in killed_run[0].rglob("*") if path.is_file()]
    assert len(files) > 20
    assert [path for path in files if KEY.encode() in path.read_bytes()] == []


@pytest.mark.slow
@missing("wandb")
def test_wandb_has_config_grids_summary_and_model(killed_run):
    from gansmith.reporting.loggers.wandb import read_records

    *_, last = sorted(killed_run[0].glob("wandb/offline-run-*/*.wandb"))
    records = list(read_records(last))
    config = {
        each.key: json.loads(each.value_json) for r in records if r.HasField("config") for each in r.config.update
    }
    assert config["method"]["kind"] == "latent"
    assert config["run"]["data"] == "tiny"
    summary = {each.key for r in records if r.HasField("summary") for each in r.summary.update}
    assert {"final/loss_generator", "training_sec", "verdict"} <= summary
    ((files, kind),) = [
        ({each.path for each in r.artifact.manifest.contents}, r.artifact.type)
        for r in records
        if r.HasField("artifact")
    ]
    assert (kind, "model.json" in files) == ("model", True)
    grids = [row["iteration"] for row in stored("wandb", killed_run[0]) if any("samples" in key for key in row)]
    assert grids == [0, 3, 6, 9, 12]


@missing("wandb")
def test_wandb_files_without_rows_are_an_empty_store(tmp_path):
    from gansmith.reporting.loggers.wandb import last_stored_step

    (tmp_path / "killed.wandb").write_bytes(b"")
    assert last_stored_step([tmp_path / "killed.wandb"]) == -1
    assert last_stored_step([]) is None


@pytest.mark.slow
@missing("trackio")
def test_trackio_has_config_grids_summary_and_model(killed_run):
    name = json.loads((killed_run[0] / "loggers" / "trackio.json").read_text())["id"]
    assert [row["iteration"] for row in stored("trackio", killed_run[0]) if "samples" in row] == [0, 3, 6, 9, 12]
    with sqlite3.connect(killed_run[0].parent / "trackio" / "gansmith.db") as store:
        ((config,),) = store.execute("select config from configs where run_name like '%' || ?", [name])
        assert json.loads(config)["run"]["data"] == "tiny"
        ((text,),) = store.execute("select text from alerts where title = 'summary' and run_name like '%' || ?", [name])
        assert "final/loss_generator" in text
        ((manifest,),) = store.execute(
            "select manifest from artifact_versions where producer_run_name like '%' || ?", [name]
        )
        assert "model.json" in manifest


@pytest.mark.slow
@missing("mlflow")
def test_mlflow_has_parameters_grids_summary_and_model(killed_run):
    name = json.loads((killed_run[0] / "loggers" / "mlflow.json").read_text())["id"]
    with sqlite3.connect(killed_run[0].parent / "mlflow.db") as store:
        ((run,),) = store.execute("select run_uuid from tags where key = 'gansmith.id' and value = ?", [name])
        params = dict(store.execute("select key, value from params where run_uuid = ?", [run]))
        tags = dict(store.execute("select key, value from tags where run_uuid = ?", [run]))
        ((status, place),) = store.execute("select status, artifact_uri from runs where run_uuid = ?", [run])
    assert (params["method.kind"], params["run.data"]) == ("latent", "tiny")
    assert status == "KILLED"  # because the copy of the run has replaced it
    assert float(tags["summary.iteration"]) == 12
    artifacts = Path(place)
    steps = sorted(int(re.split(r"\W", path.name)[2]) for path in (artifacts / "images").glob("*.png"))
    assert steps == [0, 3, 6, 9, 12]
    assert (artifacts / "model" / "model.json").is_file()


@pytest.mark.slow
def test_tensorboard_has_grids_and_summary(killed_run):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(killed_run[0] / "tensorboard"), size_guidance={"images": 0}).Reload()
    assert b"kind: mlp" in events.Tensors("config/text_summary")[0].tensor_proto.string_val[0]
    assert [each.step for each in events.Images("samples")] == [0, 3, 6, 9, 12]
    assert "summary/text_summary" in events.Tags()["tensors"]
    assert "run/iteration" not in events.Tags()["scalars"]
