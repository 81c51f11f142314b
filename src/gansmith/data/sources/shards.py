"""Several .tar or .parquet files as one source, such as the shards of a WebDataset."""

import contextlib
import glob
import os
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import IO, Any

from gansmith.core.errors import DataError, GansmithError, counted, reason_of, some_of
from gansmith.core.file_names import escaped, printable
from gansmith.core.object_storage import answered, is_address, open_storage, refused
from gansmith.data.base import DataOptions, Item, Payload
from gansmith.data.sources.folders_archives import (
    PACKED,
    TAR_SUFFIXES,
    FileSource,
    TarSource,
    no_end_note,
    other_archive,
)
from gansmith.data.sources.layouts import OTHER_SPLITS, TEXTS, TRAIN, Files
from gansmith.data.sources.parquet import PARQUET_SUFFIX, ParquetSource
from gansmith.data.sources.stored_file import StoredFile
from gansmith.data.sources.walk import LeftOut, ending_of, rubbish_noun

SHARDS_PREFIX, BETWEEN = "shards:", "::"
RANGE = re.compile(r"\{(\d+)\.\.(\d+)\}")
MOST_SHARDS = 100_000
MOST_NAMED = 3


def is_shard(name: str) -> bool:
    """Say whether a file's name is one of a .tar, plain or compressed, or of a .parquet."""
    return name.lower().endswith((*TAR_SUFFIXES, PARQUET_SUFFIX))


def shards_in(folder: Path) -> list[StoredFile]:
    """Return the .tar or .parquet files of a folder that holds nothing else but texts; [] for other folders.

    They may lie in the one folder inside, such as data/ of a data set of the Hub.
    """
    found, inside = [], list[Path]()
    try:
        with os.scandir(folder) as entries:
            for entry in sorted(entries, key=lambda entry: entry.name):
                if rubbish_noun(printable(os.fsencode(entry.name)), is_folder=entry.is_dir()):
                    continue
                is_link = entry.is_symlink() and not entry.is_dir()  # if it leads nowhere, its shard is missing
                if (entry.is_file() or is_link) and is_shard(entry.name):
                    found.append(StoredFile(entry.path))
                elif entry.is_dir() and not inside:
                    inside.append(Path(entry.path))
                elif entry.is_dir() or ending_of(entry.name) not in TEXTS:
                    return []
        if inside:
            return [] if found else shards_in(inside[0])
    except OSError:  # the folder's own source tells why
        return []
    return found


def shards_named(pattern: str) -> list[StoredFile]:
    """Return the .tar or .parquet files of a pattern such as x-{000..127}.tar or x-*.tar; [] for other texts.

    A pattern may be an address of object storage, also one without a range. DataError for a shard of a range that does
    not exist.
    """
    if not is_shard(pattern) or not (is_address(pattern) or re.search(r"[*?\[{]", pattern)):
        return []
    names = _expanded(pattern)
    if names == [pattern] and re.search(r"[*?\[]", pattern):
        if not is_address(pattern):
            return [StoredFile(name) for name in sorted(glob.glob(os.path.expanduser(pattern)))]
        return [StoredFile(name) for name in _stored_like(pattern)]
    shards = [StoredFile(name) for name in names]
    missing = [shard.location for shard in shards if not shard.exists()]
    if missing:
        raise DataError(
            "data.not_found",
            f"{len(missing):,} of {len(names):,} shards of '{escaped(pattern)}' do not exist, the first is"
            f" '{escaped(missing[0])}'\n  change the range in braces to the shards that exist",
        )
    return shards


def _stored_like(pattern: str) -> list[str]:
    """Return the addresses of the files in object storage that a pattern with * fits; DataError if there are none."""
    files, place = open_storage(pattern, "data")
    try:
        found = sorted(answered(lambda: files.glob(place), pattern, "data"))
    except Exception as problem:  # fsspec's file systems raise many types
        raise refused(pattern, problem, "data") from problem
    if not found:
        raise DataError("data.not_found", f"no file in object storage fits '{escaped(pattern)}'\n  check the address")
    return [str(files.unstrip_protocol(name)) for name in found]


def training_shards(shards: Sequence[StoredFile]) -> tuple[list[StoredFile], list[str]]:
    """Return the shards of a folder that train, and a note on the others: train-0.tar and not test-0.tar.

    All shards, unless some are of a training part and others of another part.
    """
    parts: dict[bool | None, list[StoredFile]] = {}
    for shard in shards:
        words = re.split(r"[-_.\d]+", shard.path.name.lower())
        is_train = any(map(TRAIN.fullmatch, words))
        parts.setdefault(is_train or (False if any(map(OTHER_SPLITS.fullmatch, words)) else None), []).append(shard)
    if not (parts.get(True) and parts.get(False)):
        return list(shards), []
    others = [printable(shard.path.name) for shard in shards if shard not in parts[True]]
    first = parts[False][0].path
    word = next(word for word in re.split(r"[-_.\d]+", first.name) if OTHER_SPLITS.fullmatch(word))
    evaluate = f"gansmith evaluate RUN '{escaped(first.parent)}/*{word}*{ending_of(first.name)}'"
    note = f"splits: trained on {counted(len(parts[True]), 'file')} of the part for training, not on"
    return parts[True], [f"{note} {some_of(others, MOST_NAMED)}; to evaluate on it: {evaluate}"]


def open_shards(
    shards: Sequence[StoredFile], location: str = "", notes: Sequence[str] = ()
) -> "ShardSource | ParquetSource":
    """Return shards as one source; ``location`` is the folder or pattern that names them.

    Raise DataError for a file that does not exist, and for .tar beside .parquet.
    """
    missing = [shard.location for shard in shards if not shard.is_remote and not shard.exists()]
    if missing:
        raise DataError("data.not_found", f"shard '{missing[0]}' does not exist\n  pass files that exist")
    tables = [shard.location.lower().endswith(PARQUET_SUFFIX) for shard in shards]
    location = location or SHARDS_PREFIX + BETWEEN.join(shard.location for shard in shards)
    if not any(tables):
        return ShardSource(shards, location, notes)
    if all(tables):
        return ParquetSource(shards, location, notes)
    raise DataError(
        "data.mixed_shards", f"'{location}' has .tar and .parquet files\n  pass files of one of the two formats"
    )


def parse_shards(address: str) -> "ShardSource | ParquetSource":
    """Return the shards with an address shards:A.tar::B.tar; DataError for files that do not exist."""
    return open_shards([StoredFile(part) for part in address.removeprefix(SHARDS_PREFIX).split(BETWEEN)])


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


class StoredTar(TarSource):
    """A .tar on a disk or in object storage."""

    def __init__(self, file: StoredFile) -> None:
        super().__init__(file.path)
        self._file, self.location = file, file.location

    def _stamp(self) -> str:
        return self._file.stamp()

    def _open(self) -> IO[bytes]:
        return self._file.open()

    def _size(self) -> int:
        return self._file.size

    def _damaged(self, problem: Exception) -> GansmithError:
        if not self._file.is_remote and other_archive(self.path):
            return super()._damaged(problem)
        return self._file.problem(problem, reason_of(problem))

    def can_pick(self, item: Item) -> bool:
        """Say that it is on a disk; of object storage a whole block is fetched for each item."""
        return super().can_pick(item) and not self._file.is_remote


class ShardSource(FileSource):
    """Archives that are read as one, in their order."""

    items_per_job = 1

    def __init__(self, shards: Sequence[StoredFile], location: str, notes: Sequence[str] = ()) -> None:
        super().__init__(shards[0].path)
        self._notes = notes
        self._shards = [StoredTar(shard) for shard in shards]
        self.location = location
        self.name = printable(PurePosixPath(shards[0].location).parent.name) or "shards"

    def under(self, options: DataOptions) -> "ShardSource":
        """Return these shards as read under some options."""
        other = super().under(options)
        other._shards = [shard.under(options) for shard in self._shards]
        return other

    def _stamp(self) -> str:
        return " ".join(shard.stamp() for shard in self._shards)

    def listed_files(self) -> tuple[Files, list[str]]:
        """Return the files of all shards below the names of their shards."""
        names: list[tuple[str, Any]] = []
        left_out, notes = LeftOut(), [*self._notes, f"{len(self._shards):,} archives are read as one set"]
        for number, shard in enumerate(self._shards):
            files, _ = shard.listed_files()
            names += [(f"{shard.name}/{name}", (number, *locator)) for name, locator in files.names]
            left_out.counts.update(files.left_out.counts)
        if cut := [f"'{printable(shard.path.name)}'" for shard in self._shards if not shard.has_end]:
            notes.append(no_end_note(some_of(cut, MOST_NAMED)))
        where = self.location
        return Files(where, names, left_out, self.open_member, self._read_many, shards=True), notes

    def open_member(self, locator: Any) -> IO[bytes]:
        """Return the content of one member as a file in memory; DataError if it cannot be read."""
        return self._shards[locator[0]].open_member(locator[1:])

    def shard_of(self, item: Item) -> int:
        """Return the number of the shard that an item lies in."""
        number: int = (item.locator[0] if self._arrays else item.locator)[0]
        return number

    def can_pick(self, item: Item) -> bool:
        """Say whether an item is read without those before it."""
        return super().can_pick(item) and self._shards[item.locator[0]].can_pick(Item("", -1, item.locator[1:]))

    def place_of(self, item: Item) -> str:
        """Return an item's name and shard, for messages; the shard is listed again."""
        shard = self._shards[self.shard_of(item)]
        at = tuple((item.locator[0] if self._arrays else item.locator)[1:])
        with contextlib.suppress(GansmithError, OSError):
            for name, _, _, locator in shard._members():
                if locator == at:
                    return f"'{printable(name)}' in '{shard.location}'"
        where = f"file {at[0] + 1:,}" if at[1] == PACKED else f"the file at byte {at[0]:,}"
        return f"{where} in '{shard.location}'"

    def _stream_files(self, items: Sequence[Item]) -> Iterator[tuple[int, Callable[[], Payload]]]:
        """Yield the files of one shard after the other."""
        places_in = dict[int, list[int]]()
        for place, item in enumerate(items):
            places_in.setdefault(item.locator[0], []).append(place)
        for number, places in sorted(places_in.items()):
            wanted = [Item("", -1, items[place].locator[1:]) for place in places]
            for position, read in self._shards[number].stream(wanted):
                yield places[position], read
