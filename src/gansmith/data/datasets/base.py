"""The registry of named data sets, and how their files are found or downloaded."""

import contextlib
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

from gansmith.core.errors import DataError, reason_of, unknown_name
from gansmith.core.registry import Part, Registry
from gansmith.core.user_folders import user_folder
from gansmith.data.base import Source


class DataSetPart(Part):
    """A named data set; ``gansmith data list`` prints its ``about`` and ``licence``.

    A new one is one file: a subclass with ``@register("name")`` whose ``source()`` returns a ``Source``, for example an
    ``ArraySource``.
    """

    about: ClassVar[str] = ""  # content, number of images, their size, classes, size of the download
    licence: ClassVar[str] = ""

    def files_go_to(self) -> Path | None:
        """Return the folder of its files; None if it has no files."""
        return None

    def is_here(self) -> bool:
        """Say whether it can be read without a download."""
        return True

    def source(self) -> Source:
        """Return the source of its images."""
        raise NotImplementedError


data_sets: Registry[DataSetPart] = Registry("data set", "gansmith.data.datasets")
register = data_sets.register


def data_root() -> Path:
    """Return the folder of named data sets: $GANSMITH_DATA, else gansmith in $XDG_DATA_HOME or ~/.local/share."""
    return user_folder("GANSMITH_DATA", "XDG_DATA_HOME", ".local/share")


class FileSet(DataSetPart):
    """A named data set in files: found in one of ``folders``, else downloaded through torchvision."""

    splits: ClassVar[tuple[str, ...]] = ("train", "test")
    torchvision: ClassVar[str]  # name of the class in torchvision.datasets
    place: ClassVar[str]  # folder below the root, as torchvision lays it out
    sums: ClassVar[dict[str, str]]  # file name -> MD5, of each download

    split: str = "train"
    root: Path | None = None

    @property
    def title(self) -> str:
        """Return the address of this split: NAME for the first split, NAME:SPLIT for others."""
        return self.kind if self.split == self.splits[0] else f"{self.kind}:{self.split}"

    @property
    def slug(self) -> str:
        """Return the title in a form for file names."""
        return self.title.replace(":", "-")

    def files_go_to(self) -> Path:
        """Return the download folder, which is also searched first."""
        return (self.root or data_root()) / self.place

    def is_here(self) -> bool:
        """Say whether the files of every split are here."""
        return all(self.model_copy(update={"split": split}).found() for split in self.splits)

    def folders(self) -> Iterator[Path]:
        """Yield the folders to search: torchvision's, one with the data set's name, the root itself."""
        root = self.root or data_root()
        yield from (root / self.place, (root / self.place).parent, root / self.kind, root)

    def found(self) -> Sequence[Path]:
        """Return the files of the split from the first folder that has them all; empty if none has."""
        raise NotImplementedError

    def obtain(self) -> Sequence[Path]:
        """Return the files of the split, after a download if needed; DataError with the files to get if that fails."""
        return self.found() or self._downloaded()

    def _downloaded(self) -> Sequence[Path]:
        try:
            import torchvision.datasets  # an extra: imported here so that gansmith starts without it

            cls = getattr(torchvision.datasets, self.torchvision)
            how = {"split": self.split} if self.torchvision == "CelebA" else {"train": self.split == "train"}
            with contextlib.redirect_stdout(sys.stderr):  # stdout is for results
                cls(self.root or data_root(), download=True, **how)
            reason = "the download did not bring its files"
        except ModuleNotFoundError as problem:
            library = str(problem.name).partition(".")[0]
            reason = f"its download needs {library} (pip install 'gansmith[data]')"
        except Exception as problem:  # torchvision and the network raise many types
            reason = "the download failed: " + reason_of(problem)
        found = self.found()
        if not found:
            files = ", ".join(f"{name} (MD5 {md5})" for name, md5 in self.sums.items())
            raise DataError(
                "data.not_downloaded",
                f"data set '{self.title}' is not here, and {reason}"
                f"\n  put its files into {self.files_go_to()}, or pass their folder as --data-root"
                f"\n  expected: {files}",
            )
        return found


def named_set(address: str, root: Path | None = None) -> DataSetPart:
    """Return the data set NAME or NAME:SPLIT; DataError for a split that it does not have."""
    name, colon, split = address.partition(":")
    part = data_sets.get(name)
    if not issubclass(part, FileSet):
        if colon:
            raise DataError("data.no_splits", f"data set '{name}' has no splits, got '{split}'\n  write {name}")
        return part()
    if colon and split not in part.splits:
        raise DataError("data.unknown_split", f"data set '{name}': {unknown_name('split', split, part.splits)}")
    return part(split=split or part.splits[0], root=root)


def list_named_sets(root: Path | None = None) -> list[dict[str, Any]]:
    """Return each named data set as JSON values: description, licence, splits, whether it is here, its folder."""
    sets = [named_set(name, root) for name in data_sets.names()]
    return [
        {
            "name": part.kind,
            "splits": list(part.splits) if isinstance(part, FileSet) else [],
            "about": part.about or (part.__doc__ or "").strip().partition("\n")[0],
            "licence": part.licence,
            "here": part.is_here(),
            "folder": str(part.files_go_to()) if part.files_go_to() else None,
        }
        for part in sets
    ]
