"""The cache folder on disk: entries of decoded images, the index for fast starts, cleaning."""

import contextlib
import hashlib
import json
import math
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NotRequired

import numpy as np
from filelock import Timeout
from pydantic import TypeAdapter
from typing_extensions import TypedDict  # pydantic reads this one before Python 3.12

from gansmith.core.array_files import load_array
from gansmith.core.atomic_files import commit_json, file_lock, one_at_a_time, release_lock, sync_file, sync_folder
from gansmith.core.errors import DataError
from gansmith.core.plain_files import parse_json, read_json, sha256_of, text_lines
from gansmith.core.registry import NotNegative, Positive
from gansmith.core.user_folders import user_folder
from gansmith.data.base import DataOptions, Source
from gansmith.data.image_format import IMAGE_FORMAT
from gansmith.imaging.values import STORED, PixelValues

VERSION = 1  # of the files below
DECODING = 7  # grows when files are decoded in another way, so that sources are read again
PIXELS, LABELS, DIGESTS, QUARANTINE, META = "pixels.u8", "labels.npy", "digests.npy", "quarantine.jsonl", "meta.json"
STREAMED = "-streamed"  # end of the name of an entry without pixels
NEWER = ("depth", "range", "bands", "preview", "stream")  # options that older index records lack
ABANDONED_AFTER_SEC, JUST_MADE_SEC = 24 * 3600, 60
LOCK = ".lock"


def cache_folder() -> Path:
    """Return the cache folder: $GANSMITH_CACHE, else gansmith in $XDG_CACHE_HOME or ~/.cache."""
    return user_folder("GANSMITH_CACHE", "XDG_CACHE_HOME", ".cache")


def data_folder(part: str) -> Path:
    """Return the folder "entries", "index" or "reports" of the data cache; make it if it is missing."""
    folder = cache_folder() / "data" / part
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as problem:
        raise DataError(
            "data.cache_not_writable",
            f"cache folder '{folder}' cannot be made: {problem.strerror}"
            "\n  set GANSMITH_CACHE to a folder you may write to",
        ) from problem
    return folder


class _Values(TypedDict):
    depth: Literal["8", "16", "float"]
    low: list[float]
    high: list[float]
    kind: str
    bands: NotRequired[list[str]]
    preview: NotRequired[list[int]]


class _Meta(TypedDict):
    """The description of an entry, as JSON."""

    version: int
    fingerprint: str
    count: NotNegative
    height: Positive
    width: Positive
    channels: Positive
    classes: list[str]
    copies: int
    pixels_sha256: str
    bytes: dict[str, int]
    sums: NotRequired[dict[str, str]]  # absent from older entries, as all below
    sum: NotRequired[str]
    fit: NotRequired[str]
    gray_sides: NotRequired[list[bool]]
    source_scale: NotRequired[int]
    values: NotRequired[_Values]
    source_values: NotRequired[_Values]
    format: NotRequired[dict[str, Any]]  # of entries that are streamed, like the next
    shards: NotRequired[list[NotNegative] | None]


class _Index(TypedDict):
    """The index record of a source, as JSON."""

    version: int
    stamp: str
    name: str
    source: str
    fingerprint: str
    ignored: dict[str, int]
    notes: list[str]
    stream: NotRequired[Positive]
    sum: NotRequired[str]


_META, _INDEX = TypeAdapter(_Meta), TypeAdapter(_Index)


@dataclass(frozen=True)
class Entry:
    """A finished set of decoded images in the cache, with its description."""

    folder: Path
    meta: dict[str, Any]

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Return (count, height, width, channels)."""
        return (self.meta["count"], self.meta["height"], self.meta["width"], self.meta["channels"])

    @property
    def dtype(self) -> np.dtype[Any]:
        """Return the stored type of pixels."""
        stored = self.values()[0]
        return np.dtype(STORED[stored.depth] if stored else np.uint8)

    def pixels(self) -> np.ndarray:
        """Return the images, (count, height, width, channels) in their stored type, memory-mapped."""
        return np.memmap(self.folder / PIXELS, self.dtype, "r", shape=self.shape)

    def values(self) -> tuple[PixelValues | None, PixelValues | None]:
        """Return the meaning of the pixels, and of those of the sources of pairs; None: ordinary 8-bit images."""
        values, source = (self.meta.get(name) for name in ("values", "source_values"))
        return (
            None if values is None else PixelValues.from_json(values),
            None if source is None else PixelValues.from_json(source),
        )

    def array(self, name: str) -> np.ndarray:
        """Return the array ``LABELS`` or ``DIGESTS``."""
        return load_array(self.folder / name)

    def quarantine(self) -> list[dict[str, str]]:
        """Return {"file", "reason"} of each image that was left out."""
        return [parse_json(line) for _, line in text_lines(self.folder / QUARANTINE)]


def find_entry(fingerprint: str, entries: Path | None = None, *, is_streamed: bool = False) -> Entry | None:
    """Return the entry of a fingerprint; None unless every file is there with the described size and sum.

    The sums of the pixels are those of ``cache_check``. An entry that is streamed has no pixels.
    """
    folder = (entries or data_folder("entries")) / (fingerprint + STREAMED * is_streamed)
    try:
        meta = read_json(folder / META)
        if meta["version"] != VERSION or meta["fingerprint"] != fingerprint:
            return None
        entry = Entry(folder, meta)
        if not _is_sound(entry, is_streamed):
            return None
        if any((folder / name).stat().st_size != size for name, size in meta["bytes"].items()):
            return None
        if any(sha256_of(folder / name) != each for name, each in meta.get("sums", {}).items()):
            return None
        if meta.get("sum", "") != (_sum_of(meta) if "sum" in meta else ""):
            return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    return entry


def _is_sound(entry: Entry, is_streamed: bool) -> bool:
    """Say whether a description has the types that it should have, and pixels that fill their file."""
    _META.validate_python(entry.meta, strict=True)
    if is_streamed:
        IMAGE_FORMAT.validate_python(entry.meta["format"])
        return "shards" in entry.meta
    return bool(entry.meta["bytes"][PIXELS] == math.prod(entry.shape) * entry.dtype.itemsize)


def _sum_of(meta: dict[str, Any]) -> str:
    """Return the SHA-256 of a description without its own sum."""
    rest = {name: value for name, value in meta.items() if name != "sum"}
    return hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()


def commit_entry(building: Path, meta: dict[str, Any]) -> None:
    """Turn a folder that was built under a temporary name into an entry.

    The files are flushed to disk first, the description is written last, then the folder is renamed. If another process
    has finished the same entry, that entry stays and this folder is removed.
    """
    is_streamed = not (building / PIXELS).exists()
    files = (LABELS, DIGESTS, QUARANTINE) if is_streamed else (PIXELS, LABELS, DIGESTS, QUARANTINE)
    sizes = {name: (building / name).stat().st_size for name in files}
    for name in sizes:
        sync_file(building / name)
    sums = {name: sha256_of(building / name) for name in sizes if name != PIXELS}  # digests.npy has those of pixels
    described = {**meta, "version": VERSION, "bytes": sizes, "sums": sums}
    commit_json(building / META, {**described, "sum": _sum_of(described)})
    sync_folder(building)
    final = data_folder("entries") / (meta["fingerprint"] + STREAMED * is_streamed)
    if final.exists() and find_entry(meta["fingerprint"], is_streamed=is_streamed) is None:
        remove_entry(final)
    try:
        building.rename(final)
    except OSError:
        if find_entry(meta["fingerprint"], is_streamed=is_streamed) is None:
            raise
        shutil.rmtree(building, ignore_errors=True)
    sync_folder(final.parent)


def remove_entry(folder: Path) -> None:
    """Remove a damaged entry; processes that have it open keep their view of it."""
    broken = folder.with_name(f".building-broken-{os.getpid()}-{folder.name[:16]}")
    with contextlib.suppress(FileNotFoundError):  # another process has moved it
        folder.rename(broken)
    shutil.rmtree(broken, ignore_errors=True)


@contextlib.contextmanager
def building_folder() -> Iterator[Path]:
    """Yield a new folder to build an entry in; it is removed in the end, and by a later start after a kill."""
    remove_abandoned()
    folder = Path(tempfile.mkdtemp(prefix=".building-", dir=data_folder("entries")))
    lock = file_lock(folder.with_name(folder.name + LOCK))
    with contextlib.suppress(OSError, NotImplementedError):  # without locks, age decides
        lock.acquire(timeout=0)
    try:
        yield folder
    finally:
        release_lock(lock)
        shutil.rmtree(folder, ignore_errors=True)
        Path(lock.lock_file).unlink(missing_ok=True)


def only_builder(index: Path) -> contextlib.AbstractContextManager[None]:
    """Wait until no other run builds the entry of an index record; a GansmithWarning says so. Without locks, go on."""
    return one_at_a_time(index.with_suffix(LOCK), "another run reads the same images; this one waits for it")


def remove_abandoned() -> None:
    """Remove folders that killed processes left half built: no process holds their lock.

    Without a lock their age decides, which a jump of the clock can make large: a locked folder is never too old.
    """
    for folder in data_folder("entries").glob(".building-*"):
        with contextlib.suppress(FileNotFoundError):
            beside = folder.with_name(folder.name + LOCK)
            age = time.time() - folder.stat().st_mtime
            if folder.name.endswith(LOCK):
                if age > JUST_MADE_SEC and not folder.with_name(folder.name.removesuffix(LOCK)).exists():
                    folder.unlink(missing_ok=True)
            elif _is_free(beside) if beside.exists() else age > ABANDONED_AFTER_SEC:
                shutil.rmtree(folder, ignore_errors=True)
                beside.unlink(missing_ok=True)


def _is_free(lock: Path) -> bool:
    """Say whether no process holds a lock; where the file system has no locks, whether it is a day old."""
    found = file_lock(lock)
    try:
        found.acquire(timeout=0)
    except Timeout:
        return False
    except (OSError, NotImplementedError):
        return time.time() - lock.stat().st_mtime > ABANDONED_AFTER_SEC
    release_lock(found)
    return True


def index_path(source: Source, options: DataOptions) -> Path:
    """Return the path of the index record of a source under some options."""
    excluded = {"mirror", "palette"} if options.pairs else {"mirror", "palette", "pairs"}
    excluded |= {name for name in NEWER if getattr(options, name) == DataOptions.model_fields[name].default}
    key = json.dumps([VERSION, DECODING, source.location, options.model_dump(mode="json", exclude=excluded)])
    return data_folder("index") / f"{hashlib.sha256(key.encode()).hexdigest()[:32]}.json"


def read_index(path: Path, stamp: str) -> dict[str, Any] | None:
    """Return the index record at a path; None if there is none, it is damaged, or the source has changed since."""
    try:
        record: dict[str, Any] = read_json(path)
        _INDEX.validate_python(record, strict=True)
    except (OSError, ValueError):
        return None
    is_whole = "sum" not in record or record["sum"] == _sum_of(record)  # older records have none
    return record if is_whole and record["version"] == VERSION and record["stamp"] == stamp else None


def write_index(path: Path, record: dict[str, Any]) -> None:
    """Write the index record of a source, with its sum."""
    commit_json(path, {**record, "sum": _sum_of(record)})


def clean_cache() -> int:
    """Remove all decoded data sets and return the number of bytes freed."""
    folder = cache_folder() / "data"
    freed = _bytes_in(folder)
    shutil.rmtree(folder, ignore_errors=True)
    return freed


def _bytes_in(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
