"""Several archives as one source: the shards of a WebDataset."""

import io
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gansmith.cli.train import data_and_overrides
from gansmith.data.base import DataOptions
from gansmith.data.find import find_source
from gansmith.data.open import open_data

pytestmark = pytest.mark.usefixtures("cache_folder")

PIXELS = np.random.default_rng(0).integers(0, 256, (12, 16, 16), np.uint8)


def write_shards(folder: Path) -> Path:
    """Write three shards of four images, whose keys begin anew in each."""
    folder.mkdir()
    for shard in range(3):
        with tarfile.open(folder / f"x-{shard:03d}.tar", "w") as archive:
            for number in range(4):
                buffer = io.BytesIO()
                Image.fromarray(PIXELS[4 * shard + number]).save(buffer, "PNG")
                for ending, content in (("png", buffer.getvalue()), ("cls", str(number % 2).encode())):
                    member = tarfile.TarInfo(f"{number:04d}.{ending}")
                    member.size = len(content)
                    archive.addfile(member, io.BytesIO(content))
    (folder / "info.json").write_text("{}")
    return folder


@pytest.mark.parametrize("pattern", ["", "/x-{000..002}.tar", "/x-*.tar"])
def test_shards_are_one_set(tmp_path, pattern):
    source = f"{write_shards(tmp_path / 'set')}{pattern}"
    data = open_data(source, DataOptions())
    assert (data.read(range(12))[..., 0] == PIXELS).all()
    assert data.spec.classes == ("0", "1")
    assert data.spec.name == "set"
    assert "3 archives are read as one set" in data.summary.notes
    assert find_source(data.summary.source).stamp() == find_source(source).stamp()  # a run resumes by its location


def test_a_shell_may_expand_the_pattern(tmp_path):
    shards = sorted(map(str, write_shards(tmp_path / "set").glob("*.tar")))
    (address,), overrides = data_and_overrides([*shards, "size=16"])
    assert overrides == ["size=16"]
    assert len(open_data(address, DataOptions())) == 12


def test_a_changed_shard_is_noticed(tmp_path):
    folder = write_shards(tmp_path / "set")
    assert len(open_data(folder, DataOptions())) == 12
    (folder / "x-001.tar").unlink()
    assert len(open_data(folder, DataOptions())) == 8


def test_missing_shards_and_odd_ranges_are_refused(tmp_path, refused):
    folder = write_shards(tmp_path / "set")
    with refused("data.not_found"):
        find_source(f"{folder}/x-{{000..004}}.tar")
    with refused("data.shard_range"):
        find_source(f"{folder}/x-{{4..2}}.tar")
    with refused("data.not_found"):
        find_source(f"shards:{folder}/x-000.tar::{folder}/y.tar")


def test_a_folder_with_images_beside_archives_is_a_folder(tmp_path):
    folder = write_shards(tmp_path / "set")
    for number in range(5):
        Image.fromarray(PIXELS[number]).save(folder / f"{number}.png")
    assert len(open_data(folder, DataOptions())) == 5
