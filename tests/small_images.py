"""Forty small photos whose pixels a test knows, and a look into the cache that they are decoded into."""

import io
import tarfile
from pathlib import Path

import numpy as np
from PIL import Image

from gansmith.data.base import ImageData

PIXELS = np.random.default_rng(0).integers(0, 256, (40, 16, 16, 3), np.uint8)


def png(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def write_photos(folder: Path) -> Path:
    folder.mkdir()
    for index, pixels in enumerate(PIXELS):
        (folder / f"{index:02d}.png").write_bytes(png(pixels))
    return folder


def write_shards(folder: Path, pixels: np.ndarray, shards: int) -> Path:
    """Write images of two classes as the shards x-000.tar, x-001.tar, ..., whose keys begin anew in each."""
    folder.mkdir()
    for shard, part in enumerate(np.split(pixels, shards)):
        with tarfile.open(folder / f"x-{shard:03d}.tar", "w") as archive:
            for number, image in enumerate(part):
                for ending, content in (("png", png(image)), ("cls", str(number % 2).encode())):
                    member = tarfile.TarInfo(f"{number:04d}.{ending}")
                    member.size = len(content)
                    archive.addfile(member, io.BytesIO(content))
    return folder


def entries(cache_folder: Path) -> list[Path]:
    return list((cache_folder / "data" / "entries").iterdir())


def assert_right(data: ImageData) -> None:
    assert (data.read(range(len(PIXELS))) == PIXELS).all()
