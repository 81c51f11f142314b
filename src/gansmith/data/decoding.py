"""Decode all images of a set once, alone or shared by the processes of a run."""

import hashlib
import json
import shutil
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from gansmith.core.array_files import load_array
from gansmith.core.atomic_files import commit_json
from gansmith.core.errors import DataError, GansmithError
from gansmith.core.plain_files import read_json
from gansmith.core.runtime import Runtime
from gansmith.data.base import DataOptions, Listing, Payload, Source
from gansmith.data.cache_folder import PIXELS, VERSION, cache_folder, data_folder
from gansmith.data.fitted import fitted
from gansmith.data.image_format import IMAGE_FORMAT, ImageFormat
from gansmith.data.image_info import ImageInfo, digest
from gansmith.data.sources.domains import DOMAINS
from gansmith.data.survey import reading
from gansmith.data.threads import in_threads, num_workers
from gansmith.imaging.images import ImageError
from gansmith.imaging.values import STORED, PixelValues

STREAM_BYTES = 4 * 2**30  # of disk that images go through which do not fit it
NOTHING_TO_DECODE = "-"
SHARED, SUMS = "shared.json", "sums.npy"  # what the other processes need; they are removed before the entry is made


@dataclass(frozen=True)
class EntryPlan:
    """All that determines a cache entry: the images, their format and the options."""

    source: Source
    listing: Listing
    infos: Sequence[ImageInfo]
    image_format: ImageFormat
    options: DataOptions

    @property
    def row_bytes(self) -> int:
        """Return the bytes of one image in the cache."""
        stored = self.image_format
        values, _ = values_of(stored)
        return stored.height * stored.width * stored.channels * (STORED[values.depth]().nbytes if values else 1)

    def usable(self) -> list[int]:
        """Return the positions of the images that the survey could read."""
        return [position for position, info in enumerate(self.infos) if not info.problem]

    def room(self) -> int:
        """Return the bytes of disk that decoded images are streamed through; 0: all are kept.

        DataError if the disk has room for neither.
        """
        needed, free = len(self.usable()) * self.row_bytes, shutil.disk_usage(data_folder("entries")).free
        room = self.options.stream or (STREAM_BYTES if needed > free else 0)
        if room > free:
            raise DataError(
                "data.cache_full",
                f"no room for the decoded images: {needed:,} bytes needed, {free:,} free in {cache_folder()}"
                "\n  empty the cache with 'gansmith data clean', set GANSMITH_CACHE to another disk, or pass a smaller"
                "\n  size; or decode them as they are needed, through less room: stream=SIZE, for example stream=500M",
            )
        return room

    def fingerprint(self) -> str:
        """Return a SHA-256 of everything the pixels depend on, and of the images' names and labels."""
        stored, classes = self.image_format, self.listing.classes
        fixed = ["gansmith data", VERSION, stored.height, stored.width, stored.channels, stored.fit, classes]
        fixed += ["block", stored.block] if stored.block > 1 else []
        fixed += ["sRGB"] if any(info.recoloured for info in self.infos) else []
        fixed += ["pairs"] if self.options.pairs else []
        if stored.values is not None:
            fixed += [[asdict(side) for side in stored.values.sides()], stored.values.white_of_8_bits]
            fixed += [list(stored.values.nearest)]
        fixed += [self.options.direction] if self.options.pairs and self.options.direction != "source-target" else []
        total = hashlib.sha256(json.dumps(fixed).encode())
        for item, info in zip(self.listing.items, self.infos, strict=True):
            total.update(f"\n{json.dumps(item.name)} {item.label} {info.sha256.hex()}".encode())
        return total.hexdigest()

    def decode(self, position: int, read: Callable[[], Payload]) -> tuple[int, bytes, bytes, str]:
        """Return (position, fitted pixels, digests, ""), or (position, b"", b"", reason) if the image is bad."""
        try:
            payload = read()
            if digest(payload) != self.infos[position].sha256:
                name = self.listing.items[position].name
                raise DataError(
                    "data.changed_while_read",
                    f"'{name}' in '{self.source.location}' changed while it was read\n  start again",
                )
            pixels = fitted(payload, self.image_format, self.options).tobytes()
            return position, pixels, self.infos[position].sha256[:16] + hashlib.sha256(pixels).digest()[:16], ""
        except ImageError as problem:
            return position, b"", b"", str(problem)


def values_of(stored: ImageFormat) -> tuple[PixelValues | None, PixelValues | None]:
    """Return the meaning of pixels, and of those of the sources of pairs; None for ordinary 8-bit images."""
    if stored.values is None or stored.values.is_ordinary:
        return None, None
    return stored.values.values, stored.values.source


@dataclass
class Decoded:
    """What is known of the images of one share after they were decoded."""

    digests: np.ndarray  # uint8 (N, 2, 16)
    problems: list[str]  # of each image, "" for a good one
    gray: list[bool]  # whether all sources and all targets are gray, of pairs or two domains stored in colour

    def save(self, folder: Path, rank: int) -> None:
        """Write it for the main process."""
        np.save(folder / f"digests-{rank}.npy", self.digests)
        bad = {row: problem for row, problem in enumerate(self.problems) if problem}
        commit_json(folder / f"share-{rank}.json", {"problems": bad, "gray": self.gray})

    @classmethod
    def take(cls, folder: Path, rank: int) -> "Decoded | None":
        """Return what another process wrote, and remove it; None if it wrote nothing."""
        files = folder / f"digests-{rank}.npy", folder / f"share-{rank}.json"
        if not files[1].is_file():
            return None
        digests, known = load_array(files[0]), read_json(files[1])
        for file in files:
            file.unlink()
        return cls(digests, [known["problems"].get(str(row), "") for row in range(len(digests))], known["gray"])


def decode_together(
    folder: Path, plan: EntryPlan, on_step: Callable[[], None], runtime: Runtime, *, is_streamed: bool
) -> list[Decoded]:
    """Decode all images, into the file of pixels in a folder unless they are streamed; return the shares in order."""
    if runtime.world_size == 1:
        return [decode_share(folder, plan, 0, 1, on_step, is_streamed=is_streamed)]
    stored = IMAGE_FORMAT.dump_python(plan.image_format, mode="json")
    side = float(np.mean([info.height * info.width for info in plan.infos])) ** 0.5
    commit_json(folder / SHARED, {"format": stored, "side": side, "is_streamed": is_streamed})
    sums = [b"" if info.problem else info.sha256 for info in plan.infos]
    np.save(folder / SUMS, np.stack([np.frombuffer(each.ljust(32, b"\0"), np.uint8) for each in sums]))
    runtime.broadcast_text(str(folder))
    ranks = _who_sees(folder, runtime)
    try:
        found = [decode_share(folder, plan, 0, len(ranks), on_step, is_streamed=is_streamed)]
    finally:
        runtime.barrier()
    for name in (SHARED, SUMS):
        (folder / name).unlink()
    for number, rank in enumerate(ranks[1:], 1):
        # A process that had a problem wrote nothing: it is met again here, and told of.
        theirs = Decoded.take(folder, rank)
        found.append(theirs or decode_share(folder, plan, number, len(ranks), on_step, is_streamed=is_streamed))
    return found


def help_decoding(folder: Path, source: Source, options: DataOptions, runtime: Runtime) -> None:
    """Decode this process's share of the images that the main process is decoding into a folder, if it is seen here."""
    ranks = _who_sees(folder, runtime)
    try:
        if runtime.rank in ranks:
            with suppress(GansmithError, OSError), reading(source):  # the main process meets the problem again
                known, listing = read_json(folder / SHARED), source.scan()
                sums, side = load_array(folder / SUMS), round(known["side"])
                # An image without a sum is one that the main process could not read.
                infos = [
                    ImageInfo(row.tobytes(), side, side) if row.any() else ImageInfo(problem="unreadable")
                    for row in sums
                ]
                plan = EntryPlan(source, listing, infos, IMAGE_FORMAT.validate_python(known["format"]), options)
                number, is_streamed = ranks.index(runtime.rank), known["is_streamed"]
                share = decode_share(folder, plan, number, len(ranks), lambda: None, is_streamed=is_streamed)
                share.save(folder, runtime.rank)
    finally:
        runtime.barrier()


def _who_sees(folder: Path, runtime: Runtime) -> list[int]:
    """Return the ranks of the processes that see a folder of the main process, which has another disk elsewhere."""
    seen = runtime.gather_text("yes" if (folder / SHARED).is_file() else "no")
    return [rank for rank, text in enumerate(seen) if text == "yes"]


def decode_share(
    folder: Path, plan: EntryPlan, number: int, shares: int, on_step: Callable[[], None], *, is_streamed: bool
) -> Decoded:
    """Decode one of so many shares: rows that lie together, so that each shard is read by few processes."""
    items, usable = plan.listing.items, plan.usable()
    first, end = (len(usable) * each // shares for each in (number, number + 1))
    mine = usable[first:end]
    row_of = {position: row for row, position in enumerate(mine)}
    out = Decoded(np.zeros((len(mine), 2, 16), np.uint8), [""] * len(mine), _may_be_gray(plan))
    jobs = ((mine[at], read) for at, read in plan.source.stream([items[position] for position in mine]))
    workers = num_workers(float(np.mean([info.height * info.width for info in plan.infos])))
    next_row = -1
    with (folder / PIXELS).open("r+b", 1 << 20) as file:
        for position, pixels, hashes, problem in in_threads(
            lambda job: plan.decode(*job), jobs, plan.source.items_per_job, workers
        ):
            on_step()
            row = row_of[position]
            out.problems[row] = problem
            if not pixels:
                continue
            if not is_streamed:
                if row != next_row:  # a seek flushes the buffer
                    file.seek((first + row) * plan.row_bytes)
                file.write(pixels)
            next_row = row + 1
            out.digests[row] = np.frombuffer(hashes, np.uint8).reshape(2, 16)
            if any(out.gray):
                _see_colours(out.gray, pixels, items[position].label, plan)
    return out


def _may_be_gray(plan: EntryPlan) -> list[bool]:
    """Return whether it is asked if sources and targets are gray."""
    is_ordinary = values_of(plan.image_format) == (None, None) and plan.image_format.channels == 3
    return [is_ordinary and (plan.options.pairs or plan.listing.classes == DOMAINS)] * 2


def _see_colours(gray: list[bool], pixels: bytes, label: int, plan: EntryPlan) -> None:
    """Note which side of an image, or the image itself if it is not a pair, has colours."""
    stored = plan.image_format
    image = np.frombuffer(pixels, np.uint8).reshape(stored.height, stored.width, 3)
    sides = enumerate(np.split(image, 2, axis=1)) if plan.options.pairs else [(label, image)]
    for side, part in sides:
        gray[side] = gray[side] and bool((part == part[..., :1]).all())
