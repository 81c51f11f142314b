import errno
import json
import os
import resource
import shutil
import signal
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import SafetensorError

from gansmith.core.errors import DiskFullError
from gansmith.runs import checkpoint
from gansmith.runs.checkpoint import (
    MANIFEST,
    TENSORS,
    VALUES,
    list_checkpoints,
    load_checkpoint,
    load_latest,
    prune_checkpoints,
    save_checkpoint,
)

KILL_MOMENTS = 10  # a save fsyncs 7 times and replaces 3 times


def contents(number: int, size: int = 100) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    tensors = {
        "weights": torch.full((size,), float(number)),
        "steps": torch.tensor(number),
        "odd": torch.arange(6.0).reshape(2, 3).t() + number,  # not contiguous
        "half": torch.full((3,), float(number), dtype=torch.bfloat16),
    }
    values = {"iteration": number, "kimg": number / 10, "salt": 0, "seed": 0, "planned": True}
    return tensors, {**values, "log_sizes": {}, "recipe": {}}


def save(parent: Path, number: int, size: int = 100) -> Path:
    return save_checkpoint(parent / f"{number:09d}", *contents(number, size))


def check(loaded: checkpoint.Checkpoint, number: int, size: int = 100) -> None:
    tensors, values = contents(number, size)
    assert loaded.values == values
    assert loaded.tensors.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert torch.equal(loaded.tensors[name], tensor)
        assert loaded.tensors[name].dtype == tensor.dtype


def test_a_saved_checkpoint_loads_unchanged(tmp_path):
    folder = save(tmp_path / "new", 3)
    assert folder == tmp_path / "new" / "000000003"
    check(load_checkpoint(folder), 3)
    assert load_checkpoint(folder).folder == folder
    assert sorted(path.name for path in folder.iterdir()) == sorted([TENSORS, VALUES, MANIFEST])
    manifest = json.loads((folder / MANIFEST).read_text())
    assert manifest["format"] == 1
    assert sorted(manifest["files"]) == sorted([TENSORS, VALUES])


def test_the_commit_protocol(tmp_path, monkeypatch):
    done: list[tuple[str, str]] = []
    fsync, replace = os.fsync, os.replace

    def fsync_noted(descriptor: int) -> None:
        done.append(("fsync", Path(os.readlink(f"/proc/self/fd/{descriptor}")).name))
        fsync(descriptor)

    def replace_noted(source: Path, target: Path) -> None:
        assert Path(source).parent == Path(target).parent, "a rename is only atomic within a folder"
        done.append(("replace", Path(target).name))
        replace(source, target)

    monkeypatch.setattr(os, "fsync", fsync_noted)
    monkeypatch.setattr(os, "replace", replace_noted)
    save(tmp_path, 1)
    expected = []
    for name in (TENSORS, VALUES, MANIFEST):
        expected += [("fsync", f".{name}.{os.getpid()}.tmp"), ("replace", name), ("fsync", "000000001")]
    assert done == [*expected, ("fsync", tmp_path.name)]
    assert len(done) == KILL_MOMENTS


def in_child(work: Callable[[], None]) -> int:
    """Do some work in a forked process and return its wait status."""
    child = os.fork()
    if child == 0:
        try:
            work()
        except BaseException:
            os._exit(3)
        os._exit(0)
    return os.waitpid(child, 0)[1]


def die_at(moment: int, *, torn: bool) -> None:
    """Make this process be killed at its k-th fsync or replace; a torn file that was not fsynced has lost its end."""
    count = 0

    def counted(call: Callable[..., None]) -> Callable[..., None]:
        def run(*arguments: object) -> None:
            nonlocal count
            if count == moment:
                if torn and isinstance(arguments[0], int) and stat.S_ISREG(os.fstat(arguments[0]).st_mode):
                    os.truncate(arguments[0], os.fstat(arguments[0]).st_size // 2)
                os.kill(os.getpid(), signal.SIGKILL)
            count += 1
            call(*arguments)

        return run

    os.fsync, os.replace = counted(os.fsync), counted(os.replace)


@pytest.mark.slow
@pytest.mark.parametrize("torn", [False, True])
@pytest.mark.parametrize("again", [False, True])
@pytest.mark.parametrize("moment", range(KILL_MOMENTS))
def test_a_kill_at_any_moment_loses_at_most_one_checkpoint(tmp_path, moment, again, torn):
    save(tmp_path, 1)
    if again:  # the folder is there already, as after a rollback
        save(tmp_path, 2, 50)

    def work() -> None:
        die_at(moment, torn=torn)
        save(tmp_path, 2)

    assert os.WTERMSIG(in_child(work)) == signal.SIGKILL
    loaded, reasons = load_latest(tmp_path)
    number = loaded.values["iteration"]
    check(loaded, number)
    assert number == (2 if moment >= KILL_MOMENTS - 2 else 1)  # whole as soon as its manifest is in place
    assert len(reasons) == 2 - number
    save(tmp_path, 2)  # and a new attempt is not disturbed by what is left
    check(load_latest(tmp_path)[0], 2)


def test_a_save_that_is_not_killed_ends(tmp_path):
    def work() -> None:
        die_at(KILL_MOMENTS, torn=False)
        save(tmp_path, 2)

    assert in_child(work) == 0
    check(load_latest(tmp_path)[0], 2)


BYTES = (r"[\d,]+ bytes are needed, [\d,]+ bytes are free",)  # differ from disk to disk


def flip(path: Path, position: int) -> None:
    data = bytearray(path.read_bytes())
    data[position] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("name", [TENSORS, VALUES])
@pytest.mark.parametrize("harm", ["flip first", "flip middle", "flip last", "truncate", "empty", "grow"])
def test_an_altered_file_falls_back_to_the_checkpoint_before_and_says_so(refused, tmp_path, name, harm):
    save(tmp_path, 1)
    path = save(tmp_path, 2) / name
    data = path.read_bytes()
    if harm.startswith("flip"):
        flip(path, {"flip first": 0, "flip middle": len(data) // 2, "flip last": -1}[harm])
    else:
        path.write_bytes({"truncate": data[:-1], "empty": b"", "grow": data + b"\0"}[harm])
    with refused("checkpoint.altered") as caught:
        load_checkpoint(path.parent)
    loaded, reasons = load_latest(tmp_path)
    check(loaded, 1)
    assert reasons == [str(caught.value)]


@pytest.mark.parametrize("name", [TENSORS, VALUES, MANIFEST])
def test_a_missing_file(tmp_path, name):
    save(tmp_path, 1)
    folder = save(tmp_path, 2)
    (folder / name).unlink()
    loaded, reasons = load_latest(tmp_path)
    check(loaded, 1)
    assert reasons == [f"{folder} is not a complete checkpoint: {name} is missing"]


ODD_MANIFESTS = ["", "{", "null", "[]", "3", "{}", '{"format": 1}', '{"format": "new"}', "\x00"]
ODD_MANIFESTS += ['{"format": 1, "files": []}', '{"format": 1, "files": {"state.safetensors": 3}}']


@pytest.mark.parametrize("text", ODD_MANIFESTS)
def test_an_odd_manifest(tmp_path, text):
    save(tmp_path, 1)
    folder = save(tmp_path, 2)
    (folder / MANIFEST).write_text(text)
    loaded, reasons = load_latest(tmp_path)
    check(loaded, 1)
    assert len(reasons) == 1
    assert reasons[0].startswith(f"{folder} cannot be read: ")


@pytest.mark.slow
def test_a_flipped_bit_of_the_manifest(tmp_path):
    save(tmp_path, 1)
    folder = save(tmp_path, 2)
    for position in range(0, (folder / MANIFEST).stat().st_size, 7):
        flip(folder / MANIFEST, position)
        loaded, _ = load_latest(tmp_path)
        check(loaded, loaded.values["iteration"])
        flip(folder / MANIFEST, position)


def test_a_newer_format(refused, tmp_path):
    folder = save(tmp_path, 1)
    manifest = json.loads((folder / MANIFEST).read_text())
    (folder / MANIFEST).write_text(json.dumps({**manifest, "format": 2}))
    with refused("checkpoint.newer_format"):
        load_checkpoint(folder)


def test_no_checkpoint_at_all(refused, tmp_path):
    with refused("checkpoint.none_whole") as caught:
        load_latest(tmp_path / "run" / "checkpoints")
    for number in range(4):
        (save(tmp_path, number) / VALUES).unlink()
    with refused("checkpoint.none_whole") as caught:
        load_latest(tmp_path)
    first, *rest = str(caught.value).split("\n  ")
    assert first == f"no complete checkpoint in {tmp_path}"
    folders = [tmp_path / f"00000000{number}" for number in (3, 2)]
    assert rest == [f"{folder} is not a complete checkpoint: state.json is missing" for folder in folders]


def test_the_newest_that_is_accepted(tmp_path):
    for number in (1, 2, 10):
        save(tmp_path, number)
    (tmp_path / "notes").mkdir()
    assert [folder.name for folder in list_checkpoints(tmp_path)] == ["000000010", "000000002", "000000001"]
    loaded, reasons = load_latest(tmp_path, accept=lambda each: each.values["iteration"] < 10)
    check(loaded, 2)
    assert reasons == []


# a full disk


def full_disk_message(parent: Path, number: int, caught: pytest.ExceptionInfo) -> str:
    text = str(caught.value)
    start, rest = text.split(" bytes are needed, ")
    assert start.startswith(("the disk is too full to", "cannot"))
    assert f" write the checkpoint {parent / f'{number:09d}'}: " in start
    needed = int(start.rsplit(" ", 1)[1].replace(",", ""))
    tensors, _ = contents(number)
    assert sum(tensor.numel() * tensor.element_size() for tensor in tensors.values()) < needed < 2**21
    free, todo = rest.split("\n  ")
    assert todo == "the previous checkpoint is intact; make room, then continue from it with 'gansmith resume'"
    return free


def test_too_little_room_is_seen_before_anything_is_written(refused, tmp_path, monkeypatch):
    save(tmp_path, 1)
    usage = shutil.disk_usage(tmp_path)._replace(free=12_345)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    with refused("disk.full", BYTES) as caught:
        save(tmp_path, 2)
    assert full_disk_message(tmp_path, 2, caught) == "12,345 bytes are free"
    assert [folder.name for folder in list_checkpoints(tmp_path)] == ["000000001"]
    check(load_latest(tmp_path)[0], 1)


def test_a_first_checkpoint_that_finds_no_room_promises_no_earlier_one(refused, tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)._replace(free=12_345)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    with refused("disk.full", BYTES) as caught:
        save(tmp_path / "run" / "checkpoints", 0)
    assert f"make room, remove {tmp_path / 'run'} and start the run again" in str(caught.value)
    with refused("checkpoint.none_whole"):
        load_latest(tmp_path / "run" / "checkpoints")


def no_space() -> OSError:
    return OSError(errno.ENOSPC, "No space left on device")


PLACES = ("save_file", "save_file in rust", "quota in rust", "fsync", "replace", "mkdir", "json", "quota", "size")


@pytest.mark.parametrize("place", PLACES)
def test_a_disk_that_fills_up_while_saving(refused, tmp_path, monkeypatch, place):
    save(tmp_path, 1)
    numbers = {"quota": errno.EDQUOT, "size": errno.EFBIG}

    def fail(*_: object, **__: object) -> None:
        raise OSError(numbers[place], os.strerror(numbers[place])) if place in numbers else no_space()

    def fail_in_rust(*_: object) -> None:
        reason = "Disk quota exceeded (os error 122)" if "quota" in place else "No space left on device (os error 28)"
        raise SafetensorError(f"Error while serializing: I/O error: {reason}")

    with monkeypatch.context() as patch:
        if "rust" in place:
            patch.setattr(checkpoint, "save_file", fail_in_rust)
        elif place == "save_file":
            patch.setattr(checkpoint, "save_file", fail)
        elif place == "json":
            patch.setattr(Path, "write_bytes", fail)
        elif place == "mkdir":
            patch.setattr(Path, "mkdir", lambda self, *_, **options: None if options.get("exist_ok") else fail())
        else:
            patch.setattr(os, "fsync" if place in numbers else place, fail)
        with refused("disk.full", BYTES) as caught:
            save(tmp_path, 2)
    left = full_disk_message(tmp_path, 2, caught)
    other = {"quota": "the quota is used up", "size": "the limit on the size of a file is reached (ulimit -f)"}
    assert left == other[place.split()[0]] if place.split()[0] in other else left.endswith(" bytes are free")
    assert [folder.name for folder in list_checkpoints(tmp_path)] == ["000000001"], "nothing is left behind"
    check(load_latest(tmp_path)[0], 1)


@pytest.mark.slow
def test_a_real_limit_on_the_size_of_files(tmp_path):
    save(tmp_path, 1)

    def work() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))
        try:
            save(tmp_path, 2, size=100_000)
        except DiskFullError as problem:
            (tmp_path / "message").write_text(str(problem))

    assert in_child(work) == 0
    text = (tmp_path / "message").read_text()
    assert text.startswith(f"cannot write the checkpoint {tmp_path / '000000002'}: 1,4")  # 400 kB and 1 MiB
    assert "(ulimit -f)" in text
    assert [folder.name for folder in list_checkpoints(tmp_path)] == ["000000001"]
    check(load_latest(tmp_path)[0], 1)


# modes


@pytest.mark.parametrize(("mask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_file_modes_follow_the_umask(tmp_path, mask, mode):
    before = os.umask(mask)
    try:
        folder = save(tmp_path, 1)
        assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {mode}
    finally:
        assert os.umask(before) == mask, "and the umask is as it was"


# pruning


def test_pruning_keeps_what_is_named(tmp_path):
    folders = [save(tmp_path, number) for number in range(5)]
    prune_checkpoints(tmp_path, {folders[1], folders[4]})
    assert list_checkpoints(tmp_path) == [folders[4], folders[1]]
    check(load_checkpoint(folders[1]), 1)


def test_a_half_pruned_checkpoint_does_not_exist(tmp_path, monkeypatch):
    folders = [save(tmp_path, number) for number in range(2)]
    unlink, gone = Path.unlink, []

    def killed(path: Path, missing_ok: bool = False) -> None:
        if gone:
            raise OSError("as if killed after the first file went")
        gone.append(path)
        unlink(path)

    monkeypatch.setattr(Path, "unlink", killed)
    prune_checkpoints(tmp_path, {folders[0]})
    assert gone == [folders[1] / MANIFEST]
    loaded, reasons = load_latest(tmp_path)
    check(loaded, 0)
    assert reasons == [f"{folders[1]} is not a complete checkpoint: manifest.json is missing"]


@pytest.mark.parametrize(
    "change", [{"iteration": None}, {"iteration": "x"}, {"kimg": []}, {"log_sizes": {"log.jsonl": -1}}, {"recipe": 1}]
)
def test_values_that_are_not_those_of_a_run(refused, tmp_path, change):
    tensors, values = contents(3)
    kept = {name: value for name, value in {**values, **change}.items() if value is not None}
    folder = save_checkpoint(tmp_path / "000000003", tensors, kept)
    with refused("checkpoint.unreadable"):
        load_checkpoint(folder)
    with refused("checkpoint.none_whole"):
        load_latest(tmp_path)
