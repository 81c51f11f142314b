"""Several archives as one source: the shards of a WebDataset."""

import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
from PIL import Image

from gansmith.cli.train import data_and_overrides
from gansmith.core import object_storage
from gansmith.core.errors import GansmithError
from gansmith.data.base import DataOptions
from gansmith.data.find import find_source
from gansmith.data.open import open_data
from small_images import write_shards

pytestmark = pytest.mark.usefixtures("cache_folder", "restored_readers")

PIXELS = np.random.default_rng(0).integers(0, 256, (12, 16, 16), np.uint8)


@pytest.fixture
def shards(tmp_path) -> Path:
    """Return a folder of three shards of four images, with a text beside them."""
    folder = write_shards(tmp_path / "set", PIXELS, 3)
    (folder / "info.json").write_text("{}")
    return folder


@pytest.mark.parametrize("pattern", ["", "/x-{000..002}.tar", "/x-*.tar"])
def test_shards_are_one_set(shards, pattern):
    source = f"{shards}{pattern}"
    data = open_data(source, DataOptions())
    assert (data.read(range(12))[..., 0] == PIXELS).all()
    assert data.spec.classes == ("0", "1")
    assert data.spec.name == "set"
    assert "3 archives are read as one set" in data.summary.notes
    assert find_source(data.summary.source).stamp() == find_source(source).stamp()  # a run resumes by its location


def test_a_shell_may_expand_the_pattern(shards):
    (address,), overrides = data_and_overrides([*sorted(map(str, shards.glob("*.tar"))), "size=16"])
    assert overrides == ["size=16"]
    assert len(open_data(address, DataOptions())) == 12


def test_a_changed_shard_is_noticed(shards):
    assert len(open_data(shards, DataOptions())) == 12
    (shards / "x-001.tar").unlink()
    assert len(open_data(shards, DataOptions())) == 8


def test_shards_that_are_cut_off_between_two_members_are_named_once(shards):
    whole = shards / "x-001.tar"
    with tarfile.open(whole) as archive:
        last = archive.getmembers()[-2].offset  # image and label of the fourth
    assert not any("cut off" in note for note in open_data(shards, DataOptions()).summary.notes)
    for name in ("x-000.tar", "x-001.tar"):
        (shards / name).write_bytes((shards / name).read_bytes()[:last])
    data = open_data(shards, DataOptions())
    assert len(data) == 10
    (said,) = (note for note in data.summary.notes if "cut off" in note)
    assert "'x-000.tar', 'x-001.tar'" in said


def test_shards_of_the_training_part_are_read(shards):
    for old, new in (("0", "faces-train-000"), ("1", "faces-train-001"), ("2", "faces-val-000")):
        (shards / f"x-00{old}.tar").rename(shards / f"{new}.tar")
    data = open_data(shards, DataOptions())
    assert (data.read(range(8))[..., 0] == PIXELS[:8]).all()
    assert len(data) == 8
    assert any("not on faces-val-000.tar" in note for note in data.summary.notes)
    (shards / "faces-val-000.tar").unlink()
    assert len(open_data(shards, DataOptions())) == 8


def test_missing_shards_and_odd_ranges_are_refused(shards, refused):
    folder = shards
    with refused("data.not_found"):
        find_source(f"{folder}/x-{{000..004}}.tar")
    with refused("data.shard_range"):
        find_source(f"{folder}/x-{{4..2}}.tar")
    with refused("data.not_found"):
        find_source(f"shards:{folder}/x-000.tar::{folder}/y.tar")
    with refused("data.mixed_shards"):
        (folder / "y.parquet").touch()
        find_source(folder)


def test_a_link_to_nowhere_is_a_missing_shard(shards, refused):
    (shards / "x-003.tar").symlink_to(shards.with_name("lost.tar"))
    with refused("data.not_found"):
        find_source(shards)


def test_a_folder_with_images_beside_archives_is_a_folder(shards):
    for number in range(5):
        Image.fromarray(PIXELS[number]).save(shards / f"{number}.png")
    assert len(open_data(shards, DataOptions())) == 5


@pytest.fixture
def stored(shards) -> Iterator[str]:
    """Return the address of the shards in a storage in memory."""
    files = pytest.importorskip("fsspec", reason="pip install 'gansmith[storage]'").filesystem("memory")
    for path in shards.glob("*.tar"):
        files.pipe_file(f"/bucket/{path.name}", path.read_bytes())
    yield "memory://bucket"
    files.rm("/bucket", recursive=True)


@pytest.mark.slow
@pytest.mark.parametrize("pattern", ["x-{000..002}.tar", "x-*.tar"])
def test_shards_are_read_from_object_storage(stored, pattern):
    data = open_data(f"{stored}/{pattern}")
    assert (data.read(range(12))[..., 0] == PIXELS).all()
    assert (data.spec.name, data.spec.classes) == ("bucket", ("0", "1"))
    assert data.summary.source == f"{stored}/{pattern}"
    assert (open_data(f"{stored}/x-001.tar").read(range(4))[..., 0] == PIXELS[4:8]).all()


def test_shards_of_object_storage_are_streamed(stored, refused):
    files = pytest.importorskip("fsspec").filesystem("memory")
    data = open_data(f"{stored}/x-*.tar", DataOptions(stream="1M"))
    assert (data.read([11, 3])[..., 0] == PIXELS[[11, 3]]).all()
    with mock.patch.object(files, "open", side_effect=PermissionError("no rights")), refused("data.storage_refused"):
        data.read([0])
    files.pipe_file("/bucket/x-000.tar", files.cat_file("/bucket/x-000.tar")[:1000])
    with refused("data.damaged_archive"):
        data.read([2])
    files.rm_file("/bucket/x-001.tar")
    with refused("data.not_found"):
        data.read([4])


def test_shards_that_are_other_files(shards, refused):
    for content in (b"version https://git-lfs.github.com/spec/v1\n", b"<html>"):
        (shards / "x-001.tar").write_bytes(content)
        with refused("data.other_archive"):
            open_data(shards, DataOptions())


def test_object_storage_that_refuses(stored, refused):
    files = pytest.importorskip("fsspec").filesystem("memory")
    with refused("data.not_found"):
        find_source(f"{stored}/x-{{000..009}}.tar")
    with refused("data.not_found"):
        find_source(f"{stored}/y-*.tar")
    with refused("data.unknown_format"):
        find_source(f"{stored}/images")
    with refused("data.storage_package", [r"(?<=opened: ).*"]):
        find_source("nowhere://x/y.tar")
    with mock.patch.object(files, "isfile", side_effect=PermissionError("no rights")), refused("data.storage_refused"):
        find_source(f"{stored}/x-000.tar")


class Stuck:
    """A file that opens and answers no read."""

    def __init__(self, until: threading.Event) -> None:
        self._until = until

    def seek(self, *_: int) -> int:
        return 0

    def read(self, _: int) -> bytes:
        self._until.wait(60)
        return b""

    def close(self) -> None:
        pass


@pytest.mark.parametrize(
    ("request_", "pattern"),
    [("glob", "x-*.tar"), *((each, "x-000.tar") for each in ("isfile", "info", "open", "read"))],
)
def test_object_storage_that_never_answers(stored, monkeypatch, request_, pattern):
    files, done = pytest.importorskip("fsspec").filesystem("memory"), threading.Event()
    monkeypatch.setattr(object_storage, "SILENT_SEC", 0.2)
    answer = {"return_value": Stuck(done)} if request_ == "read" else {"side_effect": lambda *_: done.wait(60)}
    with mock.patch.object(files, "open" if request_ == "read" else request_, **answer):
        with pytest.raises(GansmithError, match=r"bucket/.* has not answered for 0 s") as caught:
            open_data(f"{stored}/{pattern}")
        done.set()
    assert caught.value.code == "data.storage_silent"
