"""Images of a set that is larger than the disk, decoded piece by piece when needed."""

# A piece is a run of rows that lie together in the source, a shard where it has shards. An epoch takes the pieces in
# an order of its own, so many at a time (a window), and shuffles their images; both orders are functions of seed and
# epoch. Thus any batch is found again without the batches before it. Pieces lie in the cache folder, where all
# processes of a machine share them, and those that were used longest ago are removed: never more than ``room`` bytes.

import contextlib
import hashlib
import io
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import PIL
from filelock import Timeout

from gansmith.core.array_files import load_array
from gansmith.core.atomic_files import LOCK_FAILS, commit_bytes, file_lock, if_supported, is_disk_full, release_lock
from gansmith.core.errors import DataError, DiskFullError, GansmithError
from gansmith.core.randomness import derive_seed
from gansmith.data.base import DataOptions, Item, Payload, Source
from gansmith.data.fitted import fitted
from gansmith.data.image_format import ImageFormat
from gansmith.data.image_info import digest
from gansmith.data.threads import in_threads, num_workers
from gansmith.imaging.images import ImageError, silence_readers

WINDOWS = 4  # that the room holds: the one in use, the next one, and as much for what others use
PIECES, FEWEST_SHARDS = 64, 4  # of a window: as small as this without shards; shards are cut if there would be fewer
MOST_MAPPED = 4 * PIECES  # files of pieces that a process keeps open
SUM_BYTES = 32  # at the end of the file of places: the SHA-256 of all before it
AGAIN_SEC = 0.2  # until a process looks again for a piece that another one decodes


def window_of(room: int, row_bytes: int, domains: int = 1) -> int:
    """Return the number of images that are shuffled together, where so many domains take turns."""
    return max(1, room // (WINDOWS * domains * row_bytes))


def shard_edges(source: Source, items: Sequence[Item]) -> list[int] | None:
    """Return the first row of each shard of a source; None for a source without shards."""
    shard_of: Callable[[Item], int] | None = getattr(source, "shard_of", None)
    if shard_of is None or not items:
        return None
    return [0, *(1 + np.flatnonzero(np.diff([shard_of(item) for item in items]))).tolist()]


def cut_in_pieces(shards: Sequence[int] | None, count: int, window: int) -> list[int]:
    """Return the first row of each piece; ``shards`` has the first row of each shard, None without shards."""
    least = max(1, window // PIECES)
    if shards is None:
        return list(range(0, count, least))
    most, firsts = max(1, window // FEWEST_SHARDS), [0]
    for first, end in pairwise([*shards, count]):
        if first - firsts[-1] >= least:
            firsts.append(first)
        while end - firsts[-1] > most:
            firsts.append(firsts[-1] + most)
    return firsts


def windowed_order(seed: int, epoch: int, pieces: np.ndarray, sizes: np.ndarray, window: int) -> list[np.ndarray]:
    """Return the places of an epoch's images, window by window.

    ``pieces`` (N,) has the piece of each place, ``sizes`` the rows of each piece. A window ends with the piece that
    fills it with at least ``window`` rows.
    """
    random = np.random.Generator(np.random.Philox(derive_seed("order", seed, epoch)))
    by_piece = np.argsort(pieces, kind="stable")
    found, starts = np.unique(pieces[by_piece], return_index=True)
    groups = np.split(by_piece, starts[1:])
    order = random.permutation(len(found))
    ends = np.cumsum(sizes[found[order]])
    window_of = np.concatenate([[0], ends[:-1] // window])
    return [
        random.permutation(np.concatenate([groups[number] for number in order[window_of == each]]))
        for each in np.unique(window_of)
    ]


@dataclass
class StreamedItems:
    """The item of each row of a streamed set; the places of items in shards, which are numbers, are kept in a file."""

    source: Source
    bad: frozenset[str]  # names of the images that were left out
    labels: np.ndarray  # int64 (N,)
    kept: Path  # the file
    _locators: Any = None  # one for each row
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def of(self, rows: np.ndarray) -> list[Item]:
        """Return the items of rows; their names may be missing."""
        with self._lock:
            if self._locators is None:
                self._locators = self._read()
        found = [self._locators[row] for row in rows]
        if isinstance(self._locators, np.ndarray):
            found = [tuple(place.tolist()) for place in found]
        return [Item("", int(self.labels[row]), place) for row, place in zip(rows, found, strict=True)]

    def place(self, row: int) -> str:
        """Return where a row's image lies, for messages: it lists the shard again, else the source."""
        place_of: Callable[[Item], str] | None = getattr(self.source, "place_of", None)
        if place_of is not None:
            return place_of(self.of(np.array([row]))[0])
        name = f"image {row}"
        with contextlib.suppress(GansmithError, OSError):
            name = self._scan()[row].name
        return f"'{name}' in '{self.source.location}'"

    def _read(self) -> Any:
        """Return the locators from the file, if it is whole, else from the source."""
        with contextlib.suppress(OSError, ValueError):
            content = np.memmap(self.kept, np.uint8, "r")
            if hashlib.sha256(content[:-SUM_BYTES].data).digest() == content[-SUM_BYTES:].tobytes():
                kept = load_array(self.kept, mmap_mode="r")
                if len(kept) == len(self.labels):
                    return kept
        found = [item.locator for item in self._scan()]
        self.keep(found)
        return found

    def keep(self, locators: Sequence[Any]) -> None:
        """Write the file, if the source has shards: their items are found by numbers alone."""
        if hasattr(self.source, "shard_of") and all(type(part) is int for place in locators for part in place):
            buffer = io.BytesIO()
            np.save(buffer, np.array(locators, np.int64))
            content = buffer.getvalue()
            with contextlib.suppress(OSError, DiskFullError):
                commit_bytes(self.kept, content + hashlib.sha256(content).digest(), flush=False)

    def good(self, items: Sequence[Item]) -> list[Item]:
        """Return the items that were not left out."""
        return [item for item in items if item.name not in self.bad]

    def _scan(self) -> list[Item]:
        found = self.good(self.source.scan().items)
        if len(found) == len(self.labels):
            return found
        raise DataError(
            "data.changed_while_read",
            f"'{self.source.location}' has {len(found):,} readable images, and had {len(self.labels):,} at the first"
            " start\n  bring the old files back, then 'gansmith resume' goes on",
        )


@dataclass
class StreamedPixels:
    """The images of a set as an array (N, H, W, C) whose rows are decoded on demand; DataError for changed files.

    ``expect`` names the pieces that are needed now and next: they are decoded ahead and stay on disk. Rows of other
    pieces are decoded for the caller alone, and so are those of the first pieces named, while they are not on disk:
    a run begins before them if its source finds single images quickly.
    """

    folder: Path  # of the pieces
    source: Source
    options: DataOptions
    stored: ImageFormat
    dtype: np.dtype[Any]
    digests: np.ndarray  # uint8 (N, 2, 16), as of the cache
    shards: Sequence[int] | None  # the first row of each, None for a source without shards
    room: int  # bytes
    items: "StreamedItems"
    _maps: dict[int, np.ndarray] = field(default_factory=dict)
    _checked: set[int] = field(default_factory=set)
    _expected: list[int] = field(default_factory=list)
    _is_start: bool = False  # ``expect`` was called once, and no piece has failed since
    _ahead: threading.Thread | None = None

    def __post_init__(self) -> None:
        silence_readers()
        self.firsts = np.array(cut_in_pieces(self.shards, len(self), self.window()))  # the first row of each piece

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Return (N, H, W, C)."""
        return len(self.digests), self.stored.height, self.stored.width, self.stored.channels

    def __len__(self) -> int:
        return len(self.digests)

    @property
    def sizes(self) -> np.ndarray:
        """Return the number of rows of each piece."""
        return np.diff(self.firsts, append=len(self))

    def window(self, domains: int = 1) -> int:
        """Return the number of images that are shuffled together, where so many domains take turns."""
        return window_of(self.room, int(np.prod(self.shape[1:])) * self.dtype.itemsize, domains)

    def piece_of(self, rows: np.ndarray) -> np.ndarray:
        """Return the piece of each row."""
        return np.searchsorted(self.firsts, rows, "right") - 1

    def expect(self, pieces: Sequence[int]) -> None:
        """Decode pieces ahead, in this order, in a thread; earlier ones that are not named may be removed."""
        self._is_start = not self._expected
        self._expected, wanted = list(pieces), set(pieces)
        self._maps = {piece: mapped for piece, mapped in self._maps.items() if piece in wanted}
        for piece in pieces:
            with contextlib.suppress(OSError):
                os.utime(self._path(piece))  # used last
        if self._ahead is None or not self._ahead.is_alive():
            self._ahead = threading.Thread(target=self._decode_ahead, name="decode ahead", daemon=True)
            self._ahead.start()

    def __getitem__(self, key: Any) -> np.ndarray:
        rows = np.arange(len(self))[key]
        out = np.empty((rows.size, *self.shape[1:]), self.dtype)
        pieces = self.piece_of(rows.ravel())
        for piece in np.unique(pieces):
            places = np.flatnonzero(pieces == piece)
            wanted = rows.ravel()[places]
            there = self._mapped(int(piece))
            out[places] = self._decoded(wanted) if there is None else there[wanted - self.firsts[piece]]
        return out.reshape(*rows.shape, *self.shape[1:])

    def _path(self, piece: int) -> Path:
        return self.folder / f"{piece:08d}.u8"

    def _rows_of(self, piece: int) -> np.ndarray:
        return np.arange(self.firsts[piece], self.firsts[piece] + self.sizes[piece])

    def _mapped(self, piece: int) -> np.ndarray | None:
        """Return the pixels of a piece; None for one that is neither on disk nor expected."""
        if (known := self._maps.get(piece)) is not None:
            return known
        if not self._path(piece).is_file():
            if piece not in self._expected or (self._is_start and self._can_pick(piece)):
                return None
            with self._alone(piece):
                self._build(piece)
        found = self._opened(piece)
        if found is None:  # damaged, or removed by another process
            return self._mapped(piece) if piece in self._expected else None
        if len(self._maps) >= MOST_MAPPED:
            self._maps.clear()
        self._maps[piece] = found
        return found

    def _can_pick(self, piece: int) -> bool:
        """Say whether single images of a piece are read without those before them."""
        can_pick: Callable[[Item], bool] | None = getattr(self.source, "can_pick", None)
        return can_pick is not None and can_pick(self.items.of(self.firsts[[piece]])[0])

    def _opened(self, piece: int) -> np.ndarray | None:
        """Return the pixels of a piece on disk, None if it is not whole; its sums are checked the first time."""
        rows, path = self._rows_of(piece), self._path(piece)
        try:
            pixels = np.memmap(path, self.dtype, "r", shape=(len(rows), *self.shape[1:]))
        except (OSError, ValueError):
            path.unlink(missing_ok=True)
            return None
        sums = self.digests[rows, 1]
        if piece not in self._checked and any(_sum(each) != sums[at].tobytes() for at, each in enumerate(pixels)):
            path.unlink(missing_ok=True)
            return None
        self._checked.add(piece)
        return pixels

    @contextlib.contextmanager
    def _alone(self, piece: int, wait_sec: float = -1) -> Iterator[None]:
        """Hold the lock of a piece; Timeout if another process or thread has it for longer (-1: wait for ever)."""
        lock = file_lock(self._path(piece).with_suffix(".lock"), wait_sec)
        with if_supported("locks", "several processes decode the same images", self.folder, *LOCK_FAILS):
            lock.acquire()
        try:
            yield
        finally:
            release_lock(lock)

    def _decode_ahead(self) -> None:
        """Decode the expected pieces; one that another process has begun is left to it."""
        # Whoever reads a piece meets its problem, and raises it. RuntimeError: the interpreter is about to end.
        with contextlib.suppress(GansmithError, OSError, RuntimeError):
            self._decode_expected()
            return
        self._is_start = False

    def _decode_expected(self) -> None:
        """Decode the expected pieces, in turns with other processes."""
        is_done = False
        while not is_done:
            expected, is_done = self._expected, True
            for piece in expected:
                if expected is not self._expected:
                    break
                try:
                    if not self._path(piece).is_file():
                        with self._alone(piece, wait_sec=0):
                            self._build(piece)
                except Timeout:
                    is_done = False
            is_done = is_done and expected is self._expected
            if not is_done:
                time.sleep(AGAIN_SEC)

    def _build(self, piece: int) -> None:
        """Decode a piece to disk, where it is whole or not at all, and remove those that were used longest ago."""
        if self._path(piece).is_file():
            return
        pixels = self._decoded(self._rows_of(piece))
        self._make_room(pixels.nbytes)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)  # someone may have removed the cache
            commit_bytes(self._path(piece), pixels.tobytes(), flush=False)
        except (OSError, DiskFullError) as problem:
            raise DataError(
                "data.cache_full" if is_disk_full(problem) else "data.cache_not_writable",
                f"decoded images cannot be kept in '{self.folder}': {problem}"
                f"\n  the run needs {self.room:,} bytes there (stream=SIZE): make room, then 'gansmith resume' goes on",
            ) from problem

    def _make_room(self, needed: int) -> None:
        """Remove pieces until ``needed`` bytes fit the room; never those that are expected."""
        found = list[tuple[float, int, Path]]()
        for path in self.folder.glob("*.u8"):
            with contextlib.suppress(OSError):
                found.append((path.stat().st_mtime, path.stat().st_size, path))
        total, keep = sum(size for _, size, _ in found) + needed, {self._path(piece) for piece in self._expected}
        for _, size, path in sorted(found):
            if total <= self.room * 3 // 4:  # the rest is for other processes, which write at the same time
                break
            if path not in keep:
                with contextlib.suppress(OSError):  # another process was faster, or has it open on Windows
                    path.unlink()
                    path.with_suffix(".lock").unlink(missing_ok=True)
                total -= size

    def _decoded(self, rows: np.ndarray) -> np.ndarray:
        """Return rows, decoded from the source; DataError for a file that is not what it was."""
        unique, back = np.unique(rows, return_inverse=True)
        out, found = np.empty((len(unique), *self.shape[1:]), self.dtype), np.zeros(len(unique), bool)

        def decode(job: tuple[int, Callable[[], Payload]]) -> tuple[int, np.ndarray]:
            at, read = job
            row = unique[at]
            try:
                payload = read()
                if digest(payload)[:16] != self.digests[row, 0].tobytes():
                    raise self._changed(row, "its content is another one")
                pixels = fitted(payload, self.stored, self.options)
            except ImageError as problem:
                raise self._changed(row, str(problem)) from problem
            if _sum(pixels) != self.digests[row, 1].tobytes():
                raise self._changed(row, f"Pillow {PIL.__version__} decodes it to other pixels")
            return at, pixels

        workers = num_workers(float(self.shape[1] * self.shape[2]))
        jobs = self.source.stream(self.items.of(unique))
        for at, pixels in in_threads(decode, jobs, self.source.items_per_job, workers):
            out[at], found[at] = pixels, True
        if not found.all():
            raise self._changed(unique[found.argmin()], "it is missing")
        return out if len(unique) == len(rows) and (back[1:] > back[:-1]).all() else out[back]

    def _changed(self, row: int, what: str) -> DataError:
        return DataError(
            "data.changed_while_read",
            f"{self.items.place(row)} has changed since the first start: {what}"
            "\n  bring the old files back, then 'gansmith resume' goes on",
        )


def _sum(pixels: np.ndarray) -> bytes:
    return hashlib.sha256(np.ascontiguousarray(pixels).data).digest()[:16]
