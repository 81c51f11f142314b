import errno
import json
import os
import signal
from concurrent.futures import ThreadPoolExecutor
from functools import reduce
from operator import getitem
from pathlib import Path

import pytest

from gansmith.core import atomic_files
from gansmith.core.errors import CheckpointError, GansmithError, GansmithWarning
from gansmith.runs.folder import RECORD, RunFolder, make_next_folder, remove_leftovers
from gansmith.runs.length import RunLength
from gansmith.runs.log import append_row, read_rows
from gansmith.runs.record import RECORD_FORMAT
from small_runs import record_of


def row(iteration: int, **more: object) -> dict[str, object]:
    return {"iteration": iteration, "kimg": iteration / 10, **more}


LENGTH = RunLength(0.016, 2, log_every=1, preview_every=1, checkpoint_every=1, source="a test")


def test_a_new_folder(tmp_path):
    run = RunFolder.create(tmp_path / "runs" / "a")
    assert run.samples.is_dir()
    assert run.checkpoints.is_dir()
    (tmp_path / "empty").mkdir()
    assert RunFolder.create(tmp_path / "empty").samples.is_dir()


def test_a_folder_in_which_a_run_has_just_begun(tmp_path):
    """Two commands with one --out: the second must not advise to remove what the first one writes."""
    run = RunFolder.create(tmp_path / "a")
    run.lock()
    with pytest.raises(GansmithError) as caught:
        RunFolder.check_free(run.path)
    assert caught.value.code == "run.locked"
    run.unlock()
    with pytest.raises(GansmithError) as caught:
        RunFolder.check_free(run.path)
    assert caught.value.code == "run.folder_not_empty"


def test_a_folder_that_exists(refused, tmp_path):
    run = RunFolder.create(tmp_path / "a")
    with refused("run.folder_not_empty"):
        RunFolder.create(run.path)
    run.write_record(record_of(LENGTH))
    (run.checkpoints / "000000000").mkdir()  # without one there is nothing to go on with
    with refused("run.folder_not_empty"):
        RunFolder.create(run.path)
    file = tmp_path / "file"
    file.write_text("")
    with refused("run.file_in_the_way"):
        RunFolder.create(file)
    with refused("run.cannot_make_folder"):
        RunFolder.check_free(file / "a" / "b")
    RunFolder.check_free(tmp_path / "a" / "b")
    RunFolder.check_free(Path("new"))


def test_a_folder_without_a_record_is_refused(refused, tmp_path):
    with refused("run.not_a_run"):
        RunFolder.open(tmp_path)


def test_the_record(refused, tmp_path):
    run = RunFolder.create(tmp_path / "a")
    whole = record_of(LENGTH, seed=3)
    run.write_record(whole)
    assert RunFolder.open(run.path).record == whole
    (run.path / "run.json").write_text('{"format": ')
    with refused("run.unreadable_record"):
        _ = RunFolder.open(run.path).record


@pytest.mark.parametrize(
    "change",
    [{"seed": None}, {"length": {}}, {"format": RECORD_FORMAT + 1}, {"sead": 3}],
    ids=["null", "missing", "newer format", "unknown field"],
)
def test_a_record_with_a_wrong_field_is_refused(change, refused, tmp_path):
    run = RunFolder.create(tmp_path / "a")
    (run.path / RECORD).write_text(json.dumps({**record_of(LENGTH).model_dump(mode="json"), **change}))
    with refused("run.unreadable_record"):
        _ = run.record


@pytest.mark.parametrize(
    ("place", "value"),
    [
        ("data.spec.count", -1), ("data.spec.held_out", -1), ("data.spec.source_scale", 0),
        ("data.holdout", 1.0), ("length.log_every", 0), ("length.schedule_kimg", 0), ("length.iterations", -1),
        ("numerics.threads", 0), ("numerics.processes", 0),
    ],
)  # fmt: skip
def test_a_record_with_a_number_out_of_range_is_refused(place, value, refused, tmp_path):
    run, record = RunFolder.create(tmp_path / "a"), record_of(LENGTH).model_dump(mode="json")
    *above, last = place.split(".")
    reduce(getitem, above, record)[last] = value
    (run.path / RECORD).write_text(json.dumps(record))
    with refused("run.unreadable_record"):
        _ = run.record


@pytest.mark.slow
def test_one_writer_at_a_time_and_a_dead_one_does_not_count(refused, tmp_path):
    run = RunFolder.create(tmp_path / "a")
    heard, said = os.pipe()
    other = os.fork()
    if other == 0:
        try:
            mine = RunFolder(run.path)
            mine.lock()
            os.write(said, b"locked")
            signal.pause()
        finally:
            os._exit(1)
    os.close(said)
    try:
        assert os.read(heard, 6) == b"locked"
        with refused("run.locked"):
            run.lock()
    finally:
        os.kill(other, signal.SIGKILL)
        os.waitpid(other, 0)
        os.close(heard)
    run.lock()
    with refused("run.locked"):
        RunFolder(run.path).lock()
    run.unlock()
    RunFolder(run.path).lock()


def test_rows_come_back_and_a_torn_last_line_is_left_out(tmp_path):
    log = tmp_path / "log.jsonl"
    assert read_rows(log) == []
    rows = [row(1, loss=0.1), row(2, event="health", message="caf\u00e9")]
    for each in rows:
        append_row(log, each)
    assert read_rows(log) == rows
    whole = log.read_bytes()
    append_row(log, row(3, event="health", message="\u00e9"))
    for end in range(len(whole) + 1, log.stat().st_size - 1):
        torn = tmp_path / "torn.jsonl"
        torn.write_bytes(log.read_bytes()[:end])
        assert read_rows(torn) == rows
    with pytest.raises(ValueError, match="not JSON compliant"):
        append_row(log, {"loss": float("nan")})


@pytest.mark.parametrize("value", [
    {"modes": 5}, {"modes": {"a": [0.5]}}, {"modes": {"a": ["0.5", 0.7]}}, {"kinds": []}, {"verdict": 3},
    {"deviations": {"fd": "x"}}, {"deviations": 0}, {"fd_of_one": {}}, {"fd2k_own_train": "x"},
], ids=str)  # fmt: skip
def test_a_snapshot_of_another_shape_is_no_row(value, tmp_path):
    log = tmp_path / "snapshots.jsonl"
    append_row(log, {**row(1), "modes": {"a": [1, 0.5]}, "deviations": {"fd": None}, "verdict": "healthy"})
    assert len(read_rows(log)) == 1
    append_row(log, {**row(2), **value})
    with pytest.raises(CheckpointError, match=next(iter(value))):
        read_rows(log)


def test_logs_are_cut_back_to_a_checkpoint(tmp_path):
    run = RunFolder.create(tmp_path / "a")
    append_row(run.log, row(1))
    sizes = run.sizes()
    assert sizes == {"log.jsonl": run.log.stat().st_size, "timing.jsonl": 0, "snapshots.jsonl": 0}
    append_row(run.log, row(2))
    append_row(run.timing, row(2))
    append_row(run.snapshots, row(2))
    run.truncate(sizes)
    assert read_rows(run.log) == [row(1)]
    assert run.timing.stat().st_size == run.snapshots.stat().st_size == 0
    run.truncate({"log.jsonl": 10_000})  # never longer than it is
    assert run.log.stat().st_size == sizes["log.jsonl"]


def test_previews_after_a_checkpoint_are_removed(tmp_path):
    run = RunFolder.create(tmp_path / "a")
    for name in ("000000005-ema.png", "000000006-ema.png", "000000010-raw.png", "real.png"):
        (run.samples / name).write_bytes(b"")
    run.drop_samples_after(5)
    assert sorted(path.name for path in run.samples.iterdir()) == ["000000005-ema.png", "real.png"]


def test_quarantine_is_written_when_there_is_one(tmp_path):
    run = RunFolder.create(tmp_path / "a")
    run.copy_of_quarantine([])
    assert not (run.path / "quarantine.jsonl").exists()
    entries = [{"file": "x.png", "reason": "empty file"}]
    run.copy_of_quarantine(entries)
    assert json.loads((run.path / "quarantine.jsonl").read_text()) == entries[0]


def test_the_next_free_folder(tmp_path):
    runs = tmp_path / "runs"
    assert make_next_folder(runs, "dcgan") == runs / "dcgan-001"
    (runs / "dcgan-002").write_text("")
    assert make_next_folder(runs, "dcgan") == runs / "dcgan-003"
    assert (runs / "dcgan-003").is_dir()


def test_runs_that_start_together_get_a_folder_each(tmp_path):
    with ThreadPoolExecutor(8) as pool:
        folders = list(pool.map(lambda _: make_next_folder(tmp_path, "dcgan"), range(40)))
    assert sorted(folders) == [tmp_path / f"dcgan-{number:03d}" for number in range(1, 41)]


def test_a_place_for_runs_that_cannot_be_made(tmp_path, refused):
    (tmp_path / "file").write_text("")
    with refused("run.cannot_make_folder"):
        make_next_folder(tmp_path / "file", "dcgan")


def test_temporary_files_of_a_killed_process_are_removed(tmp_path):
    run = RunFolder.create(tmp_path / "a")
    (run.checkpoints / "000000001").mkdir()
    left = [run.path / ".run.json.123.tmp", run.checkpoints / "000000001" / ".state.json.9.tmp"]
    for path in left:
        path.write_text("{")
    (run.path / ".folder.abcdefgh.tmp").mkdir()
    mine = [run.path / "notes.tmp", run.path / ".notes.tmp", run.path / "mine" / ".run.json.123.tmp"]
    mine[2].parent.mkdir()
    for path in mine:
        path.write_text("mine")
    remove_leftovers(run)
    assert not any(path.exists() for path in left)
    assert not (run.path / ".folder.abcdefgh.tmp").exists()
    assert all(path.exists() for path in mine)


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS, errno.EIO, errno.ESTALE])
def test_a_file_system_without_locks(tmp_path, monkeypatch, prose, number):
    """As Lustre and NFS may be."""
    import fcntl

    def refuse(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(atomic_files, "_said", set())
    monkeypatch.setattr(fcntl, "flock", refuse)
    run = RunFolder.create(tmp_path / "a")
    with pytest.warns(GansmithWarning) as said:
        run.lock()
    prose(f"a file system without locks, {errno.errorcode[number]}", str(said[0].message))
    assert [each.category for each in said] == [GansmithWarning]
    again = RunFolder(tmp_path / "a")  # a process on another machine, after this one was killed
    again.lock()
    run.unlock()


def test_a_file_system_that_loses_a_lock(tmp_path, monkeypatch):
    """As NFS does after its server has started anew: the results of the run are there all the same."""
    import fcntl

    def lost(*_: object) -> None:
        raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))

    run = RunFolder.create(tmp_path / "a")
    run.lock()
    monkeypatch.setattr(fcntl, "flock", lost)
    run.unlock()
