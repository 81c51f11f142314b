"""CelebA: aligned faces of celebrities."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path, PurePosixPath
from typing import ClassVar

import numpy as np

from gansmith.core.errors import DataError
from gansmith.data.base import Item, Listing, Payload
from gansmith.data.datasets.base import FileSet, register
from gansmith.data.sources.folders_archives import FolderSource
from gansmith.imaging.images import ImageError, decode_image

FOLDER = "img_align_celeba"
NUMBERS = {"train": range(1, 162_771), "valid": range(162_771, 182_638), "test": range(182_638, 202_600)}
SIZE = (178, 218)  # width, height of every file
# 128 x 128 px around (89, 121), which lies between eyes and mouth: face and hair with little background, not scaled.
BOX = (89 - 64, 121 - 64, 89 + 64, 121 + 64)


@register("celeba")
class CelebA(FileSet):
    """Faces of celebrities, aligned by eyes and mouth; the official splits are ranges of file numbers.

    Source: Liu, Luo, Wang, Tang 2015 (arXiv 1411.7766).
    """

    about: ClassVar[str] = "faces; 162,770 train, 19,867 valid, 19,962 test; cut to 128 x 128 colour; 1.4 GB"
    licence: ClassVar[str] = "non-commercial research only"
    splits: ClassVar[tuple[str, ...]] = ("train", "valid", "test")
    torchvision: ClassVar[str] = "CelebA"
    place: ClassVar[str] = "celeba"
    sums: ClassVar[dict[str, str]] = {f"{FOLDER}.zip, unpacked": "00d2c5bc6d35e252742224ab0c1e8fcb"}

    def found(self) -> Sequence[Path]:
        """Return the folder of images; empty if it is not found."""
        for folder in self.folders():
            for path in (folder / FOLDER, folder):
                if path.name == FOLDER and path.is_dir():
                    return [path]
        return ()

    def source(self) -> "CelebASource":
        """Return the source of the split's images."""
        return CelebASource(self.obtain()[0], self)


class CelebASource(FolderSource):
    """The faces of one split, each cut to 128 x 128 px."""

    def __init__(self, path: Path, part: CelebA) -> None:
        super().__init__(path)
        self.name, self.location = part.slug, part.title
        self._numbers = NUMBERS[part.split]

    def scan(self) -> Listing:
        """List the images whose numbers belong to the split."""
        found = sorted((name, entry.path) for name, entry in self._walk() if _number(name) in self._numbers)
        if not found:
            raise DataError(
                "data.empty",
                f"no images of '{self.location}' in '{self.path}'\n  remove the folder to download it again",
            )
        return Listing(tuple(Item(name, -1, path) for name, path in found))

    def stream(self, items: Sequence[Item]) -> Iterator[tuple[int, Callable[[], Payload]]]:
        """Yield functions that return cut faces, uint8 (128, 128, 3)."""
        for position, read in super().stream(items):
            yield position, partial(_face, read)


def _number(name: str) -> int:
    """Return the number in a file's name; 0 without one."""
    stem = PurePosixPath(name).stem
    return int(stem) if stem.isdecimal() else 0


def _face(read: Callable[[], Payload]) -> np.ndarray:
    """Return the face in an image; ImageError if the image is not of the aligned size."""
    content = read()
    assert isinstance(content, bytes)
    image = decode_image(content)
    if image.size != SIZE:
        raise ImageError(
            "image.size", f"{image.width} x {image.height} px, but aligned faces have {SIZE[0]} x {SIZE[1]}"
        )
    return np.asarray(image.convert("RGB").crop(BOX))
