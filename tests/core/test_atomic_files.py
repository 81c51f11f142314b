import errno
import json
import os
from pathlib import Path

import pytest
from safetensors import SafetensorError

from gansmith.core import atomic_files
from gansmith.core.atomic_files import commit_file, commit_json, is_disk_full, sync_append
from gansmith.core.errors import DiskFullError, GansmithError, GansmithWarning


def test_a_file_that_cannot_be_written_leaves_the_old_one(tmp_path):
    path = tmp_path / "run.json"
    commit_json(path, {"a": 1})

    def half(temporary: Path) -> None:
        temporary.write_text("{")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        commit_file(path, half)
    with pytest.raises(ValueError, match="not JSON compliant"):
        commit_json(path, {"a": float("nan")})
    assert json.loads(path.read_text()) == {"a": 1}
    assert [each.name for each in tmp_path.iterdir()] == ["run.json"]


def test_a_full_disk_names_the_file(refused, tmp_path):
    def write(_: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with refused("disk.full", [r"[\d,]+ (?=bytes are free)"]):
        commit_file(tmp_path / "run.json", write)


@pytest.mark.parametrize(("problem", "expected"), [
    (OSError(errno.ENOSPC, "No space left on device"), True), (OSError(errno.EDQUOT, "Disk quota exceeded"), True),
    (SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)"), True),
    (DiskFullError("disk.full", "the disk is too full"), True), (OSError(errno.EACCES, "Permission denied"), False),
    (GansmithError("output.exists", "No space"), False),
])  # fmt: skip
def test_what_says_that_the_disk_is_full(problem, expected):
    assert is_disk_full(problem) is expected


def test_logs_are_made_durable(tmp_path, monkeypatch):
    log = tmp_path / "log.jsonl"
    assert sync_append(log) == 0
    log.write_text("{}\n")
    synced = []
    fsync = os.fsync
    monkeypatch.setattr(os, "fsync", lambda descriptor: (synced.append(descriptor), fsync(descriptor)))
    assert sync_append(log) == 3
    assert len(synced) == 1
    assert log.read_text() == "{}\n"


@pytest.mark.parametrize(("call", "number"), [("chmod", errno.EPERM), ("fsync", errno.EINVAL)])
def test_a_file_system_that_refuses_modes_or_the_flush_of_a_folder(tmp_path, monkeypatch, prose, call, number):
    """As GCS FUSE, S3, CIFS do."""
    monkeypatch.setattr(atomic_files, "_said", set())
    real = getattr(os, call)

    def refuse(where: int | str, *more: int) -> None:
        if call == "chmod" or os.path.isdir(f"/proc/self/fd/{where}"):
            raise OSError(number, os.strerror(number))
        real(where, *more)

    monkeypatch.setattr(os, call, refuse)
    with pytest.warns(GansmithWarning) as said:
        commit_json(tmp_path / "run.json", 1)
    prose(f"a file system without {call}", str(said[0].message))
    commit_json(tmp_path / "run.json", 2)  # a second warning would be an error
    assert (tmp_path / "run.json").read_text() == "2\n"


@pytest.mark.parametrize(
    ("call", "number"),
    [
        ("fsync", errno.EINVAL),
        ("fsync", errno.ENOSYS),
        ("chmod", errno.EACCES),
        ("open", errno.EACCES),
        ("open", errno.EISDIR),
    ],
)
def test_other_refusals_of_such_file_systems(tmp_path, monkeypatch, call, number):
    """A file cannot be flushed; a mode is not permitted; a folder cannot be opened."""
    monkeypatch.setattr(atomic_files, "_said", set())
    real = getattr(os, call)

    def refuse(where: int | str | Path, *more: int) -> int | None:
        if call != "open" or Path(where) == tmp_path:
            raise OSError(number, os.strerror(number))
        return real(where, *more)

    monkeypatch.setattr(os, call, refuse)
    with pytest.warns(GansmithWarning):
        commit_json(tmp_path / "run.json", 1)
    commit_json(tmp_path / "run.json", 2)  # a second warning would be an error
    assert (tmp_path / "run.json").read_text() == "2\n"


def test_a_disk_that_fails_to_flush_a_file_is_an_error(tmp_path, monkeypatch):
    def refuse(_: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(OSError, match="Input/output error"):
        commit_json(tmp_path / "run.json", 1)
    assert not list(tmp_path.iterdir())


def test_a_folder_without_rights_is_an_error(tmp_path, monkeypatch):
    def refuse(*_: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(PermissionError):
        commit_json(tmp_path / "run.json", 1)
