"""Several archives as one source, such as the shards of a WebDataset."""

import glob
import os
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any

from gansmith.core.errors import DataError
from gansmith.core.file_names import escaped, path_of, printable
from gansmith.data.base import DataOptions, Item, Payload
from gansmith.data.sources.folders_archives import TAR_SUFFIXES, FileSource, TarSource, file_stamp
from gansmith.data.sources.layouts import TEXTS, Files
from gansmith.data.sources.walk import LeftOut, ending_of, rubbish_noun

SHARDS_PREFIX, BETWEEN = "shards:", "::"
RANGE = re.compile(r"\{(\d+)\.\.(\d+)\}")
MOST_SHARDS = 100_000


def is_archive(name: str) -> bool:
    """Say whether a file's name is one of a .tar, plain or compressed."""
    return name.lower().endswith(TAR_SUFFIXES)


def shards_in(folder: Path) -> list[Path]:
    """Return the .tar files of a folder that holds nothing else but texts; [] for other folders."""
    found = []
    try:
        with os.scandir(folder) as entries:
            for entry in sorted(entries, key=lambda entry: entry.name):
                if rubbish_noun(printable(os.fsencode(entry.name)), is_folder=entry.is_dir()):
                    continue
                if entry.is_file() and is_archive(entry.name):
                    found.append(Path(entry.path))
                elif entry.is_dir() or ending_of(entry.name) not in TEXTS:
                    return []
    except OSError:  # the folder's own source tells why
        return []
    return found


def shards_named(pattern: str) -> list[Path]:
    """Return the .tar files of a pattern such as x-{000..127}.tar or x-*.tar; [] for other texts.

    DataError for a shard of a range that does not exist.
    """
    if not is_archive(pattern) or not re.search(r"[*?\[{]", pattern):
        return []
    names = _expanded(pattern)
    if names == [pattern]:
        return [Path(name) for name in sorted(glob.glob(os.path.expanduser(pattern)))]
    paths = [path_of(name) for name in names]
    missing = [name for name, path in zip(names, paths, strict=True) if not path.is_file()]
    if missing:
        raise DataError(
            "data.not_found",
            f"{len(missing):,} of {len(names):,} shards of '{escaped(pattern)}' do not exist, the first is"
            f" '{escaped(missing[0])}'\n  change the range in braces to the shards that exist",
        )
    return paths


def _expanded(pattern: str) -> list[str]:
    found = RANGE.search(pattern)
    if found is None:
        return [pattern]
    first, last = int(found[1]), int(found[2])
    if not first <= last < first + MOST_SHARDS:
        raise DataError(
            "data.shard_range",
            f"'{escaped(pattern)}' has the range {found[0]}\n  write the first and last shard: x-{{000..127}}.tar",
        )
    numbers = (str(number).zfill(len(found[1])) for number in range(first, last + 1))
    return [
        name for number in numbers for name in _expanded(pattern[: found.start()] + number + pattern[found.end() :])
    ]


class ShardSource(FileSource):
    """Archives that are read as one, in their order."""

    items_per_job = 1

    def __init__(self, paths: Sequence[Path], location: str = "") -> None:
        """``location`` is the folder or pattern that names them. Raise DataError for a file that does not exist."""
        for path in paths:
            if not path.is_file():
                raise DataError("data.not_found", f"shard '{escaped(path)}' does not exist\n  pass files that exist")
        super().__init__(paths[0])
        self._shards = [TarSource(path) for path in paths]
        self.location = location or SHARDS_PREFIX + BETWEEN.join(shard.location for shard in self._shards)
        self.name = printable(paths[0].resolve().parent.name) or "shards"

    @classmethod
    def parse(cls, address: str) -> "ShardSource":
        """Return the shards with an address shards:A.tar::B.tar; DataError for files that do not exist."""
        return cls([path_of(part) for part in address.removeprefix(SHARDS_PREFIX).split(BETWEEN)])

    def under(self, options: DataOptions) -> "ShardSource":
        """Return these shards as read under some options."""
        other = super().under(options)
        other._shards = [shard.under(options) for shard in self._shards]
        return other

    def _stamp(self) -> str:
        return " ".join(file_stamp(shard.path) for shard in self._shards)

    def listed_files(self) -> tuple[Files, list[str]]:
        """Return the files of all shards below the names of their shards."""
        names: list[tuple[str, Any]] = []
        left_out, notes = LeftOut(), [f"{len(self._shards):,} archives are read as one set"]
        for number, shard in enumerate(self._shards):
            files, _ = shard.listed_files()
            names += [(f"{shard.name}/{name}", (number, locator)) for name, locator in files.names]
            left_out.counts.update(files.left_out.counts)
        where = escaped(self.path.parent)
        return Files(where, names, left_out, self.open_member, self._read_many, shards=True), notes

    def open_member(self, locator: Any) -> IO[bytes]:
        """Return the content of one member as a file in memory; DataError if it cannot be read."""
        number, inner = locator
        return self._shards[number].open_member(inner)

    def _stream_files(self, items: Sequence[Item]) -> Iterator[tuple[int, Callable[[], Payload]]]:
        """Yield the files of one shard after the other."""
        for number, shard in enumerate(self._shards):
            places = [place for place, item in enumerate(items) if item.locator[0] == number]
            if places:
                wanted = [Item("", -1, items[place].locator[1]) for place in places]
                for position, read in shard.stream(wanted):
                    yield places[position], read
