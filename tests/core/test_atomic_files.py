import errno
import json
import os
from pathlib import Path

import pytest

from gansmith.core.atomic_files import commit_file, commit_json, sync_append


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
