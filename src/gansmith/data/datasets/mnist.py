"""MNIST, Fashion-MNIST and KMNIST: idx files of 28 x 28 gray images in ten classes."""

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np

from gansmith.core.errors import DataError
from gansmith.data.datasets.base import FileSet, register
from gansmith.data.sources.arrays import Arrays, ArraySource
from gansmith.data.sources.folders_archives import file_stamp
from gansmith.data.sources.idx_files import read_idx

OFFICIAL_COUNTS = {"train": 60_000, "test": 10_000}


class IdxSet(FileSet):
    """A data set of two idx files a split: images and labels, each plain or .gz."""

    classes: ClassVar[tuple[str, ...]]
    first_labels: ClassVar[dict[str, bytes]] = {}  # split -> its first 16 labels, by which its files are recognised

    def found(self) -> Sequence[Path]:
        """Return the file of images and the file of labels; empty if they are not found."""
        prefix = "train" if self.split == "train" else "t10k"
        names = f"{prefix}-images-idx3-ubyte", f"{prefix}-labels-idx1-ubyte"
        for folder in self.folders():
            paths = [path for name in names for path in (folder / name, folder / f"{name}.gz") if path.is_file()]
            if {path.name.removesuffix(".gz") for path in paths} == set(names):
                return paths[0], paths[-1]
        return ()

    def source(self) -> ArraySource:
        """Return the source of the split's images."""
        images, labels = self.obtain()

        def load() -> Arrays:
            pixels, numbers = read_idx(images), read_idx(labels)
            self._refuse_other_set(numbers, images.parent)
            notes = [f"read from {images.parent}"]
            if len(pixels) != OFFICIAL_COUNTS[self.split]:
                notes.append(f"{len(pixels):,} images; the official split has {OFFICIAL_COUNTS[self.split]:,}")
            return Arrays(pixels, numbers, self.classes, tuple(notes))

        stamp = f"{file_stamp(images)} {file_stamp(labels)}"
        return ArraySource(self.slug, self.title, lambda: stamp, load)

    def _refuse_other_set(self, labels: np.ndarray, folder: Path) -> None:
        """Raise DataError for files of another data set of this family, whose files have the same names."""
        start = labels[:16].tobytes()
        for other in (Mnist, FashionMnist):
            if other.kind != self.kind and start == other.first_labels[self.split]:
                raise DataError(
                    "data.other_data_set",
                    f"the files in {folder} belong to {other.kind}, not to {self.kind}"
                    f"\n  put the files of {self.kind} into {self.files_go_to()}, or train on {other.kind}",
                )


@register("mnist")
class Mnist(IdxSet):
    """Handwritten digits.

    Source: LeCun, Bottou, Bengio, Haffner 1998, yann.lecun.com/exdb/mnist.
    """

    about: ClassVar[str] = "handwritten digits; 60,000 train, 10,000 test; 28 x 28 gray; 10 classes; 12 MB"
    licence: ClassVar[str] = "CC BY-SA 3.0"
    torchvision: ClassVar[str] = "MNIST"
    place: ClassVar[str] = "MNIST/raw"
    classes: ClassVar[tuple[str, ...]] = tuple("0123456789")
    first_labels: ClassVar[dict[str, bytes]] = {
        "train": bytes([5, 0, 4, 1, 9, 2, 1, 3, 1, 4, 3, 5, 3, 6, 1, 7]),
        "test": bytes([7, 2, 1, 0, 4, 1, 4, 9, 5, 9, 0, 6, 9, 0, 1, 5]),
    }
    sums: ClassVar[dict[str, str]] = {
        "train-images-idx3-ubyte.gz": "f68b3c2dcbeaaa9fbdd348bbdeb94873",
        "train-labels-idx1-ubyte.gz": "d53e105ee54ea40749a09fcbcd1e9432",
        "t10k-images-idx3-ubyte.gz": "9fb629c4189551a2d022fa330f9573f3",
        "t10k-labels-idx1-ubyte.gz": "ec29112dd5afa0611ce80d1b7f02629c",
    }


@register("fashion-mnist")
class FashionMnist(IdxSet):
    """Photos of clothes.

    Source: Xiao, Rasul, Vollgraf 2017 (arXiv 1708.07747).
    """

    about: ClassVar[str] = "clothes; 60,000 train, 10,000 test; 28 x 28 gray; 10 classes; 31 MB"
    licence: ClassVar[str] = "MIT"
    torchvision: ClassVar[str] = "FashionMNIST"
    place: ClassVar[str] = "FashionMNIST/raw"
    classes: ClassVar[tuple[str, ...]] = (
        "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
    )  # fmt: skip
    first_labels: ClassVar[dict[str, bytes]] = {
        "train": bytes([9, 0, 0, 3, 0, 2, 7, 2, 5, 5, 0, 9, 5, 5, 7, 9]),
        "test": bytes([9, 2, 1, 1, 6, 1, 4, 6, 5, 7, 4, 5, 7, 3, 4, 1]),
    }
    sums: ClassVar[dict[str, str]] = {
        "train-images-idx3-ubyte.gz": "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
        "train-labels-idx1-ubyte.gz": "25c81989df183df01b3e8a0aad5dffbe",
        "t10k-images-idx3-ubyte.gz": "bef4ecab320f06d8554ea6380940ec79",
        "t10k-labels-idx1-ubyte.gz": "bb300cfdad3c16e7a12a480ee83cd310",
    }


@register("kmnist")
class Kmnist(IdxSet):
    """Cursive Japanese characters, one class for each row of hiragana.

    Source: Clanuwat et al. 2018 (arXiv 1812.01718).
    """

    about: ClassVar[str] = "cursive hiragana; 60,000 train, 10,000 test; 28 x 28 gray; 10 classes; 21 MB"
    licence: ClassVar[str] = "CC BY-SA 4.0"
    torchvision: ClassVar[str] = "KMNIST"
    place: ClassVar[str] = "KMNIST/raw"
    classes: ClassVar[tuple[str, ...]] = ("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo")
    sums: ClassVar[dict[str, str]] = {
        "train-images-idx3-ubyte.gz": "bdb82020997e1d708af4cf47b453dcf7",
        "train-labels-idx1-ubyte.gz": "e144d726b3acfaa3e44228e80efcd344",
        "t10k-images-idx3-ubyte.gz": "5c965bf0a639b31b8f53240b1b52f4d7",
        "t10k-labels-idx1-ubyte.gz": "7320c461ea6c1c855c0b718fb2a4b134",
    }
