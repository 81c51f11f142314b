"""CIFAR-10 and CIFAR-100, from the official archive or the batches unpacked from it."""

import hashlib
import io
import pickle
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from gansmith.core.errors import DataError, reason_of
from gansmith.core.plain_files import open_plain
from gansmith.data.datasets.base import FileSet, register
from gansmith.data.sources.arrays import Arrays, ArraySource
from gansmith.data.sources.folders_archives import file_stamp

MAX_BATCH_BYTES = 200 * 10**6  # more than any official batch has


class ArrayUnpickler(pickle.Unpickler):
    """An unpickler for plain values and NumPy arrays; any other class is an error."""

    known: ClassVar[dict[tuple[str, str], Any]] = {
        ("numpy.core.multiarray", "_reconstruct"): np.empty(0).__reduce__()[0],  # its name in Python 2
        ("numpy", "ndarray"): np.ndarray,
        ("numpy", "dtype"): np.dtype,
    }

    def find_class(self, module: str, name: str) -> Any:
        """Return one of the three known classes; DataError for any other."""
        if (module, name) not in self.known:
            raise DataError(
                "data.unsafe_pickle",
                f"a CIFAR batch refers to {module}.{name}, which no official file does"
                "\n  none of its code was run; download CIFAR again",
            )
        return self.known[module, name]


def read_batch(content: bytes, md5: str, where: str, url: str) -> dict[str, Any]:
    """Return the values of an official batch; DataError for any other content, before any of it is unpickled.

    Pickle can run code, so gansmith reads it nowhere else. Here it is safe, because the MD5 of exactly these bytes is
    the published one. MD5 is broken for collisions, where an attacker makes both files; nobody can make another file
    for a given sum. As a second guard the unpickler accepts no class but arrays.
    """
    found = hashlib.md5(content, usedforsecurity=False).hexdigest()
    if found != md5:
        raise DataError(
            "data.not_official",
            f"'{where}' is not the official file: its MD5 is {found}, expected {md5}"
            f"\n  it was not read, because such files can run code; download {url} again",
        )
    return dict(ArrayUnpickler(io.BytesIO(content), encoding="latin1").load())


class CifarSet(FileSet):
    """A CIFAR data set: the batches of each split, and a file of class names."""

    url: ClassVar[str]
    label_key: ClassVar[str]
    names: ClassVar[tuple[str, str]]  # the file of class names, and its key
    batches: ClassVar[dict[str, tuple[str, ...]]]  # split -> files
    batch_sums: ClassVar[dict[str, str]]  # file -> MD5

    @property
    def _wanted(self) -> tuple[str, ...]:
        return (*self.batches[self.split], self.names[0])

    def found(self) -> Sequence[Path]:
        """Return the batches and the file of names, or the archive alone; empty if neither is found."""
        (archive,) = self.sums
        for folder in self.folders():
            paths = [folder / name for name in self._wanted]
            if all(path.is_file() for path in paths):
                return paths
            if (folder / archive).is_file():
                return [folder / archive]
        return ()

    def source(self) -> ArraySource:
        """Return the source of the split's images."""
        paths = self.obtain()
        stamp = " ".join(map(file_stamp, paths))
        return ArraySource(self.slug, self.title, lambda: stamp, lambda: self._load(paths))

    def _load(self, paths: Sequence[Path]) -> Arrays:
        contents = dict(_members(paths[0], self._wanted) if len(paths) == 1 else _unpacked(paths))
        missing = [name for name in self._wanted if name not in contents]
        if missing:
            raise DataError("data.incomplete", f"'{paths[0]}' lacks {', '.join(missing)}\n  download {self.url} again")
        batches = {
            name: read_batch(contents[name], self.batch_sums[name], f"{paths[0].parent}/{name}", self.url)
            for name in self._wanted
        }
        parts = [batches[name] for name in self.batches[self.split]]
        images = np.concatenate([part["data"] for part in parts]).reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
        labels = np.concatenate([part[self.label_key] for part in parts]).astype(np.int64)
        file, key = self.names
        names = tuple(str(name) for name in batches[file][key])
        return Arrays(images, labels, names, (f"read from {paths[0].parent}",))


def _unpacked(paths: Sequence[Path]) -> Iterator[tuple[str, bytes]]:
    """Yield (name, content) of files."""
    for path in paths:
        with open_plain(path) as file:
            yield path.name, file.read(MAX_BATCH_BYTES)


def _members(archive: Path, wanted: Sequence[str]) -> Iterator[tuple[str, bytes]]:
    """Yield (name, content) of the wanted files in an archive, read as a stream."""
    try:
        with open_plain(archive) as packed, tarfile.open(fileobj=packed, mode="r:*") as members:
            for member in members:
                name = member.name.rpartition("/")[2]
                file = members.extractfile(member) if member.isreg() and name in wanted else None
                if file is not None:
                    yield name, file.read(MAX_BATCH_BYTES)
    except MemoryError:
        raise
    except Exception as problem:  # tarfile and the decompressors raise many types
        raise DataError(
            "data.damaged_archive", f"archive '{archive}' is damaged: {reason_of(problem)}\n  download it again"
        ) from problem


@register("cifar10")
class Cifar10(CifarSet):
    """Small photos of animals and vehicles.

    Source: Krizhevsky 2009, Learning Multiple Layers of Features from Tiny Images.
    """

    about: ClassVar[str] = "photos of things; 50,000 train, 10,000 test; 32 x 32 colour; 10 classes; 170 MB"
    licence: ClassVar[str] = "none stated; cite Krizhevsky 2009"
    torchvision: ClassVar[str] = "CIFAR10"
    place: ClassVar[str] = "cifar-10-batches-py"
    url: ClassVar[str] = "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz"
    sums: ClassVar[dict[str, str]] = {"cifar-10-python.tar.gz": "c58f30108f718f92721af3b95e74349a"}
    label_key: ClassVar[str] = "labels"
    names: ClassVar[tuple[str, str]] = ("batches.meta", "label_names")
    batches: ClassVar[dict[str, tuple[str, ...]]] = {
        "train": tuple(f"data_batch_{number}" for number in range(1, 6)),
        "test": ("test_batch",),
    }
    batch_sums: ClassVar[dict[str, str]] = {
        "data_batch_1": "c99cafc152244af753f735de768cd75f",
        "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
        "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
        "data_batch_4": "634d18415352ddfa80567beed471001a",
        "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
        "test_batch": "40351d587109b95175f43aff81a1287e",
        "batches.meta": "5ff9c542aee3614f3951f8cda6e48888",
    }


@register("cifar100")
class Cifar100(CifarSet):
    """Small photos in a hundred fine classes.

    Source: Krizhevsky 2009, Learning Multiple Layers of Features from Tiny Images.
    """

    about: ClassVar[str] = "photos of things; 50,000 train, 10,000 test; 32 x 32 colour; 100 classes; 169 MB"
    licence: ClassVar[str] = "none stated; cite Krizhevsky 2009"
    torchvision: ClassVar[str] = "CIFAR100"
    place: ClassVar[str] = "cifar-100-python"
    url: ClassVar[str] = "https://www.cs.toronto.edu/~kriz/cifar-100-python.tar.gz"
    sums: ClassVar[dict[str, str]] = {"cifar-100-python.tar.gz": "eb9058c3a382ffc7106e4002c42a8d85"}
    label_key: ClassVar[str] = "fine_labels"
    names: ClassVar[tuple[str, str]] = ("meta", "fine_label_names")
    batches: ClassVar[dict[str, tuple[str, ...]]] = {"train": ("train",), "test": ("test",)}
    batch_sums: ClassVar[dict[str, str]] = {
        "train": "16019d7e3df5f24257cddd939b257f8d",
        "test": "f0ef6b0ae62326f3e7ffdfab6717acfc",
        "meta": "7973b15100ade9c7d40fb424638fde48",
    }
