"""The registry of named data sets, and where their files are."""

import contextlib
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import ClassVar

from gansmith.core.errors import DataError, reason_of
from gansmith.core.registry import Part, Registry
from gansmith.data.base import Source


class DataSetPart(Part):
    """A data set with a name; ``about`` and ``licence`` are for 'gansmith data list'."""

    about: ClassVar[str] = ""  # what, how many, which size, how large a download
    licence: ClassVar[str] = ""

    def files_go_to(self) -> Path | None:
        """Return the folder of its files; None when it needs none."""
        return None

    def is_here(self) -> bool:
        """Say whether it can be read without a download."""
        return True

    def source(self) -> Source:
        """Return where its images come from."""
        raise NotImplementedError


data_sets: Registry[DataSetPart] = Registry("data set", "gansmith.data.datasets")


register = data_sets.register


def data_root() -> Path:
    """Return where named data sets lie: $GANSMITH_DATA, else gansmith in $XDG_DATA_HOME or ~/.local/share."""
    own = os.environ.get("GANSMITH_DATA")
    if own:
        return Path(own).expanduser()
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share").expanduser() / "gansmith"


class FileSet(DataSetPart):
    """A named data set in files: found in one of ``folders``, else downloaded by torchvision's class of it."""

    splits: ClassVar[tuple[str, ...]] = ("train", "test")
    torchvision: ClassVar[str]
    place: ClassVar[str]  # below the root, as torchvision has it
    sums: ClassVar[dict[str, str]]  # MD5 of each file that is downloaded

    split: str = "train"
    root: Path | None = None

    @property
    def title(self) -> str:
        """Return the name that leads here again."""
        return self.kind if self.split == self.splits[0] else f"{self.kind}:{self.split}"

    @property
    def slug(self) -> str:
        """Return a name that may be part of a file's."""
        return self.title.replace(":", "-")

    def files_go_to(self) -> Path:
        """Return the folder that the files are downloaded to, and looked for in first."""
        return (self.root or data_root()) / self.place

    def is_here(self) -> bool:
        """Say whether the files of every split are there."""
        return all(self.model_copy(update={"split": split}).found() for split in self.splits)

    def folders(self) -> Iterator[Path]:
        """Yield the folders that may hold the files: torchvision's, one of the data set's name, the root itself."""
        root = self.root or data_root()
        yield from (root / self.place, (root / self.place).parent, root / self.kind, root)

    def found(self) -> Sequence[Path]:
        """Return the files of the split in the first folder that has them all, or nothing."""
        raise NotImplementedError

    def obtain(self) -> Sequence[Path]:
        """Return the files of the split, downloaded if they are nowhere; DataError saying what to put where."""
        return self.found() or self._downloaded()

    def _downloaded(self) -> Sequence[Path]:
        try:
            import torchvision.datasets

            cls = getattr(torchvision.datasets, self.torchvision)
            how = {"split": self.split} if self.torchvision == "CelebA" else {"train": self.split == "train"}
            with contextlib.redirect_stdout(sys.stderr):  # ours is for results
                cls(self.root or data_root(), download=True, **how)
            reason = "the download left no such files"
        except ModuleNotFoundError as problem:
            library = str(problem.name).partition(".")[0]
            reason = f"{library}, which downloads it, is not installed (pip install 'gansmith[data]')"
        except Exception as problem:  # torchvision and the network raise many kinds
            reason = "the download failed: " + reason_of(problem)
        found = self.found()
        if not found:
            files = ", ".join(f"{name} (MD5 {md5})" for name, md5 in self.sums.items())
            raise DataError(
                "data.not_downloaded",
                f"data set '{self.title}' is not here, and {reason}"
                f"\n  put its files into {self.files_go_to()}, or pass --data-root with the folder that has them"
                f"\n  expected: {files}",
            )
        return found
