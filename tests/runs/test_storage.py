"""A copy of a run in object storage: a folder by file://, and a storage in memory that refuses."""

import shutil
import socket
import time
from collections.abc import Iterator
from concurrent.futures import wait
from contextlib import closing
from pathlib import Path
from unittest import mock

import pytest

from gansmith import api
from gansmith.runs import storage
from gansmith.runs.checkpoint import MANIFEST, list_checkpoints
from gansmith.runs.folder import RunFolder
from gansmith.runs.storage import OWNER, Store
from small_runs import STEPS, Listener, assert_same_run, resume, train

fsspec = pytest.importorskip("fsspec", reason="pip install 'gansmith[storage]'")


@pytest.fixture
def address(tmp_path) -> str:
    return f"file://{tmp_path}/bucket/faces"


def files_of(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.slow
def test_a_run_whose_machine_is_lost_goes_on_from_the_copy(tiny_file, tmp_path, address, refused):
    whole = train(tiny_file, tmp_path / "whole", "mlp-small").folder
    said = Listener()
    train(tiny_file, tmp_path / "run", "mlp-small", stop_at=9, store=address, on_event=said)
    assert said.said("stopped")[0].endswith(f"gansmith resume {tmp_path}/run")
    bucket = tmp_path / "bucket" / "faces"
    assert files_of(bucket) - {OWNER} == {name for name in files_of(tmp_path / "run") if name != ".lock"}
    shutil.rmtree(tmp_path / "run")
    shutil.copytree(bucket / "checkpoints/000000009", bucket / "checkpoints/000000010")
    (bucket / "checkpoints/000000010" / MANIFEST).unlink()  # it was being sent when the machine was lost
    with refused("run.storage_taken"):
        train(tiny_file, tmp_path / "other", "mlp-small", store=address)
    assert resume(tmp_path / "run", store=address).finished
    assert_same_run(whole, tmp_path / "run")
    kept = {folder.name for folder in list_checkpoints(tmp_path / "run" / "checkpoints")}
    there = {folder.name for folder in list_checkpoints(bucket / "checkpoints") if (folder / MANIFEST).exists()}
    assert kept == there
    assert {"model/model.json", "report.html"} <= files_of(bucket)


@pytest.mark.slow
def test_a_resume_copies_to_the_address_of_the_run_until_told_another_or_none(tiny_file, tmp_path, address, refused):
    run, bucket = tmp_path / "run", tmp_path / "bucket" / "faces"
    train(tiny_file, run, "mlp-small", stop_at=6, store=address)
    resume(run, stop_at=9)
    assert max(folder.name for folder in list_checkpoints(bucket / "checkpoints")) == "000000009"
    shutil.rmtree(bucket)
    bucket.write_text("no folder")
    with refused("run.storage_refused", hiding=["(?<=used: ).*"]):
        resume(run)
    resume(run, store=f"{address}-2", stop_at=10)
    assert RunFolder(run).record.store == f"{address}-2"
    assert resume(run, store="").finished
    assert RunFolder(run).record.store is None
    assert "report.html" not in files_of(tmp_path / "bucket" / "faces-2")


def made_by_hand(folder: Path, *names: str) -> RunFolder:
    for name in ("run.json", "log.jsonl", *(f"checkpoints/{n}/{f}" for n in names for f in ("state.json", MANIFEST))):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    return RunFolder(folder)


def test_a_checkpoint_is_sent_manifest_last_and_removed_manifest_first(tmp_path, refused):
    store, calls = Store("memory://whole/run"), []
    files = store._files
    store.claim()
    run = made_by_hand(tmp_path / "run", "000000004")

    def noting(name):
        real = getattr(files, name)

        def called(*given, **more):
            calls.append((name, str(given[-1]).removeprefix("/whole/run/")))
            return real(*given, **more)

        return called

    with mock.patch.multiple(files, **{name: noting(name) for name in ("put_file", "rm_file", "rm")}):
        store.push(run)
        assert [name for _, name in calls][-2:] == [
            "checkpoints/000000004/state.json",
            f"checkpoints/000000004/{MANIFEST}",
        ]
        with refused("run.storage_taken"):
            store.claim()
        calls.clear()
        shutil.rmtree(run.checkpoints)
        made_by_hand(tmp_path / "run", "000000008")
        store.push(run)
    assert ("put_file", "log.jsonl") in calls
    removed = [(kind, name) for kind, name in calls if kind.startswith("rm")]
    assert removed[:2] == [("rm_file", f"checkpoints/000000004/{MANIFEST}"), ("rm", "checkpoints/000000004")]
    sent = ("put_file", f"checkpoints/000000008/{MANIFEST}")
    assert calls.index(removed[0]) > calls.index(sent)  # one is always whole
    store.pull(tmp_path / "again")
    assert files_of(tmp_path / "again") == files_of(tmp_path / "run")


def test_a_storage_that_refuses(tmp_path, refused):
    with refused("run.storage_package", hiding=["(?<=opened: ).*"]):
        Store("nowhere://x")
    store = Store("memory://refusing/run")
    with (
        mock.patch.object(store._files, "pipe_file", side_effect=PermissionError("no rights")),
        refused("run.storage_refused"),
    ):
        store.claim()
    with refused("run.not_stored"):
        store.pull(tmp_path / "run")
    run = made_by_hand(tmp_path / "made", "000000004")
    store.push(run)
    with mock.patch.object(store._files, "get_file", side_effect=OSError("cut")), refused("run.storage_refused"):
        store.pull(tmp_path / "run")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["made"]


@pytest.mark.parametrize("address", ["", "faces", "file://", "file:///", "s3://"])
def test_an_address_without_a_place(address, refused, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with refused("run.storage_nowhere"):
        Store(address)
    assert list(tmp_path.iterdir()) == []


def test_a_copy_in_the_run_itself(tmp_path, refused):
    run = made_by_hand(tmp_path / "run", "000000004")
    before = files_of(run.path)
    with refused("run.storage_in_run"):
        Store(f"file://{run.path}").claim(run)
    with pytest.raises(api.GansmithError, match="not a copy of it elsewhere"):
        Store(f"file://{tmp_path}/new/copy").claim(out=tmp_path / "new")
    assert files_of(run.path) == before
    assert not (tmp_path / "new").exists()


@pytest.mark.slow
def test_training_goes_on_while_the_storage_has_no_room(tiny_file, tmp_path, address):
    said = Listener()
    with mock.patch.object(
        Store, "push", side_effect=[None, api.GansmithError("run.storage_refused", "full"), None, None]
    ):
        assert train(tiny_file, tmp_path / "run", "mlp-small", store=address, on_event=said, steps=STEPS).finished
    assert [text for text in said.said("warning") if "full\n  training goes on" in text] != []


@pytest.fixture
def silent() -> Iterator[socket.socket]:
    """A server that accepts connections and never answers."""
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        yield server


def test_a_storage_that_never_answers_is_given_up_until_it_does(tmp_path, silent, refused, monkeypatch):
    monkeypatch.setattr(storage, "SILENT_SEC", 1.0)
    store, run = Store("memory://silent/run"), made_by_hand(tmp_path / "run", "000000004")
    store.claim()
    waiting = closing(socket.create_connection(silent.getsockname()))

    def ask(*_):
        with waiting as connection:
            return connection.recv(1)

    with mock.patch.object(store._files, "put_file", side_effect=ask) as asked:
        with refused("run.storage_silent"):
            store.push(run)
        with pytest.raises(api.GansmithError, match="not answered an earlier request yet"):  # without waiting
            store.push(run)
        assert asked.call_count == 1
    silent.accept()[0].close()  # the request fails after all
    wait([store._unanswered], 10)
    store.push(run)
    store.pull(tmp_path / "again")
    assert files_of(tmp_path / "again") == files_of(run.path)


def test_a_large_file_has_more_time(tmp_path, monkeypatch):
    monkeypatch.setattr(storage, "SILENT_SEC", 0.1)
    monkeypatch.setattr(storage, "SLOWEST", 50)
    store, run = Store("memory://large/run"), made_by_hand(tmp_path / "run", "000000004")
    (run.path / "log.jsonl").write_text("x" * 500)
    real = store._files.put_file

    def slow(*given):
        time.sleep(0.3 if "log.jsonl" in given[0] else 0)
        real(*given)

    with mock.patch.object(store._files, "put_file", side_effect=slow):
        store.push(run)


def test_a_checkpoint_lists_the_storage_twice(tmp_path):
    store, run = Store("memory://listed/run"), made_by_hand(tmp_path / "run", "000000004")
    store.claim()
    with mock.patch.object(store, "_ask", wraps=store._ask) as asked:
        store.push(run)
    requests = [call.args[0] for call in asked.call_args_list]
    assert requests.count("find") == 2
    assert set(requests) == {"find", "cat_file", "makedirs", "put_file"}


def test_a_full_storage_keeps_its_files_and_gets_room_by_pruning(tmp_path):
    store, run = Store(f"file://{tmp_path}/bucket"), made_by_hand(tmp_path / "run", "000000004", "000000008")
    store.claim()
    store.push(run)
    before = {name: (tmp_path / "bucket" / name).read_text() for name in files_of(tmp_path / "bucket")}
    (run.path / "log.jsonl").write_text("a longer log")

    def full(path, place):
        Path(place).write_text(Path(path).read_text()[:5])
        raise OSError(28, "No space left on device", place)

    with mock.patch.object(store._files, "put_file", side_effect=full), pytest.raises(api.GansmithError, match="space"):
        store.push(run)
    assert {name: (tmp_path / "bucket" / name).read_text() for name in files_of(tmp_path / "bucket")} == before
    shutil.rmtree(run.checkpoints)
    made_by_hand(run.path, "000000008", "000000012")
    half = tmp_path / "bucket/checkpoints/000000010/state.json"  # of an upload that was cut
    half.parent.mkdir()
    half.write_text("{")
    with mock.patch.object(store._files, "put_file", side_effect=full), pytest.raises(api.GansmithError, match="space"):
        store.push(run)
    assert {path.name for path in (tmp_path / "bucket/checkpoints").iterdir()} == {"000000008"}
    store.push(run)
    assert files_of(tmp_path / "bucket") - {OWNER} == files_of(run.path)


def test_a_place_belongs_to_the_command_that_claimed_it_last(tmp_path, refused):
    run, address = made_by_hand(tmp_path / "run", "000000004"), "memory://claimed/run"
    first, second = Store(address), Store(address)
    first.claim()
    second.claim()  # at the same time: no checkpoint is there yet
    with refused("run.storage_taken_over", hiding=["process \\d+ on '.*'"]):
        first.push(run)
    second.push(run)
    second._files.rm(second._path, recursive=True)  # emptied, as a new disk is
    second.push(run)
    first.pull(tmp_path / "again")
    assert files_of(tmp_path / "again") == files_of(run.path)


@pytest.mark.slow
def test_a_copy_is_not_overwritten_by_another_run_or_an_earlier_state(tiny_file, tmp_path, address, refused):
    run = train(tiny_file, tmp_path / "run", "mlp-small", stop_at=9, store=address).folder
    other = train(tiny_file, tmp_path / "other", "mlp-small", stop_at=9, seed=7).folder
    bucket = tmp_path / "bucket/faces"
    before = files_of(bucket)
    with refused("run.storage_taken", hiding=["created .*"]):
        resume(other, store=address)
    shutil.rmtree(run / "checkpoints/000000009")
    with refused("run.storage_ahead"):
        resume(run, store=address)
    assert files_of(bucket) == before


def test_one_process_of_a_machine_fetches_and_the_others_wait(tmp_path, monkeypatch):
    store, folder = Store("memory://fetched/run"), tmp_path / "run"
    monkeypatch.setenv("LOCAL_RANK", "1")
    with mock.patch.object(storage.time, "sleep", side_effect=lambda _: folder.mkdir()) as waited:
        store.pull(folder)  # another process makes it meanwhile
    assert waited.call_count == 1


def test_names_in_storage_that_lead_out_of_the_run_are_not_fetched(tmp_path):
    made_by_hand(tmp_path / "run", "000000003")
    store = Store("memory://hostile/run")
    store.push(RunFolder(tmp_path / "run"))
    for name in ("../../escaped", "samples/../../../escaped", "\\escaped"):
        content = store._files.store["/hostile/run/run.json"]
        store._files.store[f"/hostile/run/{name}"] = content
    with mock.patch.object(store, "_list", return_value={**store._list(), "../../escaped": 8, "..\\escaped": 8}):
        store.pull(tmp_path / "a" / "b" / "fetched")
    assert "run.json" in files_of(tmp_path / "a" / "b" / "fetched")
    assert not list(tmp_path.rglob("*escaped*"))
    fsspec.filesystem("memory").rm("/hostile", recursive=True)
