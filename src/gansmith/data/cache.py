"""Decode once: look at every image, decide, decode and fit in parallel into a memory-mapped file, remember it."""

import hashlib
import json
import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import PIL

from gansmith.core.atomic_files import commit_json, is_disk_full
from gansmith.core.errors import DataError, DiskFullError
from gansmith.data import cache_folder as store
from gansmith.data.base import DataOptions, DataSpec, DataSummary, ImageData, Listing, Payload, Progress, Source
from gansmith.data.infer import ImageFormat, ImageInfo, as_image, digest, infer
from gansmith.data.survey import Steps, in_threads, num_workers, survey
from gansmith.imaging.images import POINT, ImageError, fit_image, quiet_pillow

MOST_BAD = 0.05
MOST_NAMED = 10


@dataclass(frozen=True)
class Work:
    """What is to be built."""

    source: Source
    listing: Listing
    facts: Sequence[ImageInfo]
    plan: ImageFormat
    options: DataOptions

    def fingerprint(self) -> str:
        """Return a SHA-256 of everything the pixels depend on, and of the names."""
        plan, classes = self.plan, self.listing.classes
        fixed = ["gansmith data", store.VERSION, plan.height, plan.width, plan.channels, self.options.fit, classes]
        fixed += ["pairs"] if self.options.pairs else []
        total = hashlib.sha256(json.dumps(fixed).encode())
        for item, fact in zip(self.listing.items, self.facts, strict=True):
            total.update(f"\n{json.dumps(item.name)} {item.label} {fact.sha256.hex()}".encode())
        return total.hexdigest()

    def decode(self, position: int, read: Callable[[], Payload]) -> tuple[int, bytes, bytes, str]:
        """Return (position, fitted pixels, digests, "") of one item, or (position, nothing, nothing, why not)."""
        try:
            payload = read()
            if digest(payload) != self.facts[position].sha256:
                name = self.listing.items[position].name
                raise DataError(
                    "data.changed_while_read",
                    f"'{name}' in '{self.source.location}' changed while it was read\n  start again",
                )
            pixels = self._fitted(payload).tobytes()
            return position, pixels, self.facts[position].sha256[:16] + hashlib.sha256(pixels).digest()[:16], ""
        except ImageError as problem:
            return position, b"", b"", str(problem)

    def _fitted(self, payload: Payload) -> np.ndarray:
        shape = (self.plan.height, self.plan.width, self.plan.channels)
        if isinstance(payload, np.ndarray) and payload.shape == shape and self.plan.channels < 4:
            return payload
        image = as_image(payload)
        if not self.options.pairs:
            return fit_image(image, *shape, self.options.fit)
        half, middle = (shape[0], shape[1] // 2, shape[2]), image.width // 2
        boxes = [(0, 0, middle, image.height), (image.width - middle, 0, image.width, image.height)]
        return np.concatenate([fit_image(image.crop(box), *half, self.options.fit) for box in boxes], axis=1)


def load_or_build(source: Source, options: DataOptions, on_progress: Progress | None = None) -> ImageData:
    """Return the whole data set from the cache, building the entry first if sizes, times or contents have changed."""
    stamp = source.stamp()
    record = store.read_index(store.index_path(source, options), stamp)
    entry = store.find_entry(record["fingerprint"]) if record else None
    if record is None or entry is None:
        try:
            with quiet_pillow():
                entry, work = _build(source, options, on_progress)
            record = _record(entry, work, options)
            if all(fact.sha256 for fact in work.facts):  # else the next start tries again, although nothing changed
                exact = options.decided(work.plan.height, work.plan.width, work.plan.channels)  # a run resumes with it
                for each, known in ((options, record), (exact, _record(entry, work, exact))):
                    commit_json(store.index_path(source, each), {**known, "version": store.VERSION, "stamp": stamp})
        except (OSError, DiskFullError) as problem:
            raise _cannot_write(problem) from problem
    return _assemble(entry, record, options.pairs)


def _build(source: Source, options: DataOptions, on_progress: Progress | None) -> tuple[store.Entry, Work]:
    """Return the entry and what it was built from."""
    listing = source.scan()
    on_step = Steps(on_progress, len(listing.items), passes=2)
    facts = survey(source, listing, False, on_step)
    refuse_many_bad(source, listing, [fact.problem for fact in facts])
    work = Work(source, listing, facts, infer(facts, options), options)
    fingerprint = work.fingerprint()
    entry = store.find_entry(fingerprint)
    if entry is None:
        store.remove_abandoned()
        folder = Path(tempfile.mkdtemp(prefix=".building-", dir=store.data_folder("entries")))
        try:
            store.commit_entry(
                folder, {**_fill(folder, work, on_step), "name": source.name, "fingerprint": fingerprint}
            )
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        entry = store.find_entry(fingerprint)
        assert entry is not None
    on_step.finish()
    return entry, work


def _record(entry: store.Entry, work: Work, options: DataOptions) -> dict[str, Any]:
    """Return what is remembered of a source; its notes say what was inferred under these options."""
    copies = entry.meta["copies"]
    is_points = (work.plan.height, work.plan.width, work.plan.channels) == POINT  # which coincide by chance
    notes = [f"{copies:,} images are exact copies of others" if copies > 1 else "1 image is an exact copy of another"]
    return {
        "name": work.source.name,
        "source": work.source.location,
        "fingerprint": entry.meta["fingerprint"],
        "ignored": work.listing.ignored,
        "notes": [*infer(work.facts, options).notes, *work.listing.notes, *(notes if copies and not is_points else [])],
    }


def _fill(folder: Path, work: Work, on_step: Callable[[], None]) -> dict[str, Any]:
    """Write pixels, labels, digests and quarantine into a folder and return what describes them."""
    plan, items = work.plan, work.listing.items
    row_bytes = plan.height * plan.width * plan.channels
    problems = [fact.problem for fact in work.facts]
    usable = [position for position, problem in enumerate(problems) if not problem]
    row_of = {position: row for row, position in enumerate(usable)}
    _check_room(folder, len(usable) * row_bytes)
    digests = np.zeros((len(usable), 2, 16), np.uint8)
    jobs = ((usable[row], read) for row, read in work.source.stream([items[position] for position in usable]))
    workers = num_workers(float(np.mean([fact.height * fact.width for fact in work.facts])))
    results = in_threads(lambda job: work.decode(*job), jobs, work.source.items_per_job, workers)
    next_row = 0
    with (folder / store.PIXELS).open("wb", 1 << 20) as file:
        for position, pixels, hashes, problem in results:
            on_step()
            problems[position] = problem
            if pixels:
                row = row_of[position]
                if row != next_row:  # a seek empties the buffer
                    file.seek(row * row_bytes)
                file.write(pixels)
                digests[row] = np.frombuffer(hashes, np.uint8).reshape(2, 16)
                next_row = row + 1
    refuse_many_bad(work.source, work.listing, problems)
    kept = [row for row, position in enumerate(usable) if not problems[position]]
    pixels_sha256 = _close_gaps(folder / store.PIXELS, kept, row_bytes)
    np.save(folder / store.LABELS, np.array([items[usable[row]].label for row in kept], np.int64))
    np.save(folder / store.DIGESTS, digests[kept])
    (folder / store.QUARANTINE).write_text(_as_lines(work.listing, problems))
    return {
        "count": len(kept),
        "height": plan.height,
        "width": plan.width,
        "channels": plan.channels,
        "classes": work.listing.classes,
        "copies": len(kept) - len(np.unique(digests[kept, 1], axis=0)),
        "pixels_sha256": pixels_sha256,
        "pillow": PIL.__version__,
    }


def _close_gaps(path: Path, kept: Sequence[int], row_bytes: int) -> str:
    """Move the rows that are kept up, in their order, cut the file behind them and return its SHA-256."""
    with path.open("r+b") as file:
        for target, row in enumerate(kept):
            if target != row:
                file.seek(row * row_bytes)
                pixels = file.read(row_bytes)
                file.seek(target * row_bytes)
                file.write(pixels)
        file.truncate(len(kept) * row_bytes)
        file.seek(0)
        return hashlib.file_digest(file, "sha256").hexdigest()


def _as_lines(listing: Listing, problems: Sequence[str]) -> str:
    """Return the quarantine as JSON lines."""
    pairs = zip(listing.items, problems, strict=True)
    return "".join(json.dumps({"file": item.name, "reason": problem}) + "\n" for item, problem in pairs if problem)


def refuse_many_bad(source: Source, listing: Listing, problems: Sequence[str]) -> None:
    """Raise DataError with the list when more than one in twenty images is bad."""
    bad = [f"{item.name} ({problem})" for item, problem in zip(listing.items, problems, strict=True) if problem]
    if len(bad) <= MOST_BAD * len(problems):
        return
    key = hashlib.sha256(source.location.encode("utf-8", "surrogateescape")).hexdigest()[:16]
    path = store.data_folder("reports") / f"{source.name}-{key}.jsonl"
    path.write_text(_as_lines(listing, problems))
    more = f"; and {len(bad) - MOST_NAMED:,} more" if len(bad) > MOST_NAMED else ""
    raise DataError(
        "data.too_many_bad",
        f"{len(bad):,} of {len(problems):,} images in '{source.location}' are bad, more than {MOST_BAD:.0%}"
        f"\n  {'; '.join(bad[:MOST_NAMED])}{more}\n  repair or remove them; the whole list is in {path}",
    )


def _check_room(folder: Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise DataError(
            "data.cache_full",
            f"no room for the decoded images: {needed:,} bytes needed, {free:,} free in {store.cache_folder()}"
            "\n  empty the cache with 'gansmith data clean', set GANSMITH_CACHE to another disk,"
            " or pass a smaller size",
        )


def _cannot_write(problem: OSError | DiskFullError) -> DataError:
    full = isinstance(problem, DiskFullError) or is_disk_full(problem)
    return DataError(
        "data.cache_full" if full else "data.cache_not_writable",
        f"the cache {store.cache_folder()} {'is full' if full else 'cannot be written'}: {problem}"
        "\n  set GANSMITH_CACHE to a folder with room, or empty it with 'gansmith data clean'",
    )


def _assemble(entry: store.Entry, record: dict[str, Any], pairs: bool) -> ImageData:
    """Return the whole data set of an entry, as one source sees it."""
    count, height, width, channels = entry.shape
    classes = tuple(entry.meta["classes"])
    spec = DataSpec(
        name=record["name"],
        height=height,
        width=width,
        channels=channels,
        count=count,
        classes=classes,
        fingerprint=entry.meta["fingerprint"],
        pixels_sha256=entry.meta["pixels_sha256"],
        pairs=pairs,
    )
    labels = entry.array(store.LABELS) if classes else None
    counts = () if labels is None else tuple(np.bincount(labels, minlength=len(classes)).tolist())
    notes = tuple(record["notes"])
    summary = DataSummary(record["source"], spec, counts, record["ignored"], notes, tuple(entry.quarantine()))
    return ImageData(spec, summary, labels, entry.pixels(), np.arange(count), entry.array(store.DIGESTS))
