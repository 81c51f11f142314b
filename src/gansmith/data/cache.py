"""The cache of decoded images: built once per source and options, then memory-mapped."""

import errno
import hashlib
import json
import os
import re
import warnings
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import PIL

from gansmith.core.atomic_files import is_disk_full, is_file_limit
from gansmith.core.errors import DataError, DiskFullError, GansmithWarning, by_reason, counted, some_of
from gansmith.core.events import OnProgress
from gansmith.core.runtime import Runtime
from gansmith.core.shared_work import ALONE, together
from gansmith.data.base import MOST_BAD, DataOptions, DataSpec, DataSummary, ImageData, Listing, Pixels, Source
from gansmith.data.cache_check import damaged_rows
from gansmith.data.cache_folder import (
    DIGESTS,
    LABELS,
    PIXELS,
    QUARANTINE,
    VERSION,
    Entry,
    building_folder,
    cache_folder,
    commit_entry,
    data_folder,
    find_entry,
    index_path,
    only_builder,
    read_index,
    remove_entry,
    write_index,
)
from gansmith.data.decoding import (
    NOTHING_TO_DECODE,
    EntryPlan,
    decode_together,
    help_decoding,
    values_of,
)
from gansmith.data.image_format import IMAGE_FORMAT, infer_format
from gansmith.data.streaming import StreamedItems, StreamedPixels, shard_edges, window_of
from gansmith.data.survey import StepCounter, reading, survey
from gansmith.data.value_format import needs_values
from gansmith.imaging.images import POINT

MOST_REASONS = 3  # for bad images, in an error
MOST_COLOURS = 256  # of a palette


def load_or_build(source: Source, options: DataOptions, on_progress: OnProgress | None = None) -> ImageData:
    """Return the whole data set from the cache; build the entry first if files have changed since.

    Inside of ``shared_by`` the processes share the decoding.
    """
    runtime = together()
    if runtime.world_size == 1:
        return _load_or_build(source, options, on_progress, runtime)
    if runtime.is_main:
        try:
            return _load_or_build(source, options, on_progress, runtime)
        finally:  # also after a mistake, which the others then meet themselves
            runtime.broadcast_text(NOTHING_TO_DECODE)
    while (told := runtime.broadcast_text(NOTHING_TO_DECODE)) != NOTHING_TO_DECODE:
        help_decoding(Path(told), source, options, runtime)
    return _load_or_build(source, options, on_progress, ALONE)  # another disk may lack what the main process made


def _load_or_build(source: Source, options: DataOptions, on_progress: OnProgress | None, runtime: Runtime) -> ImageData:
    stamp, place = source.stamp(), index_path(source, options)
    record, entry = _cached(source, place, stamp)
    if record is None or entry is None:
        try:
            # Processes that share the decoding must not wait for another run.
            with only_builder(place) if runtime.world_size == 1 else nullcontext():
                record, entry = _cached(source, place, stamp)  # another run may have built it by now
                if record is None or entry is None:
                    entry, record = _build_and_index(source, options, on_progress, runtime, stamp)
        except (OSError, DiskFullError) as problem:
            if isinstance(problem, FileNotFoundError) and not _is_in_cache(problem):
                raise  # a file of the source
            raise _cannot_write(problem) from problem
    return _assemble(entry, record, source, options)


def _cached(source: Source, place: Path, stamp: str) -> tuple[dict[str, Any] | None, Entry | None]:
    """Return the index record of a source at a path, and its entry; None for what is not there or damaged."""
    record = read_index(place, stamp)
    return record, _whole_entry(record["fingerprint"], source, is_streamed="stream" in record) if record else None


def _build_and_index(
    source: Source, options: DataOptions, on_progress: OnProgress | None, runtime: Runtime, stamp: str
) -> tuple[Entry, dict[str, Any]]:
    """Build the entry of a source, unless it is there, and write its index records; return it with the first one."""
    with reading(source):
        entry, plan, room = _build(source, options, on_progress, runtime)
    record = _record(entry, plan, options, room, stamp)
    if all(info.sha256 for info in plan.infos):  # else the next start tries the unreadable files again
        data, form = _assemble(entry, record, source, options), plan.image_format
        if isinstance(data.pixels, StreamedPixels):
            data.pixels.items.keep([item.locator for item in data.pixels.items.good(plan.listing.items)])
        write_index(index_path(source, options), record)
        for fit in {options.fit, form.fit}:  # a run resumes with the latter
            exact = options.like(data.spec).model_copy(update={"fit": fit, "stream": data.room})
            write_index(index_path(source, exact), _record(entry, plan, exact, room, stamp))
    return entry, record


def _build(
    source: Source, options: DataOptions, on_progress: OnProgress | None, runtime: Runtime
) -> tuple[Entry, EntryPlan, int]:
    """Return the entry, built unless the cache has one with its fingerprint, its plan, and ``EntryPlan.room``."""
    listing = source.scan()
    if not listing.items:
        raise DataError("data.empty", f"no images in '{source.location}'\n  pass files that hold some")
    on_step = StepCounter(on_progress, len(listing.items), passes=2)
    infos = survey(source, listing, on_step, limit=options.max_pixels, pairs=options.pairs)
    if needs_values(infos, options):
        infos = survey(source, listing, lambda: None, limit=options.max_pixels, values=True, pairs=options.pairs)
    refuse_many_bad(source, listing, [info.problem for info in infos])
    plan = EntryPlan(source, listing, infos, infer_format(infos, options), options)
    fingerprint = plan.fingerprint()
    entry = None if options.stream else _whole_entry(fingerprint, source)
    room = plan.room() if entry is None else 0
    is_streamed = room > 0
    if is_streamed:
        entry = find_entry(fingerprint, is_streamed=True)
    if entry is None:
        with building_folder() as folder:
            filled = _fill(folder, plan, on_step, runtime, is_streamed=is_streamed)
            commit_entry(folder, {**filled, "name": source.name, "fingerprint": fingerprint})
        entry = find_entry(fingerprint, is_streamed=is_streamed)
        if entry is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(data_folder("entries") / fingerprint))
    on_step.finish()
    return entry, plan, room


def _whole_entry(fingerprint: str, source: Source, *, is_streamed: bool = False) -> Entry | None:
    """Return the entry of a fingerprint; remove it, with a GansmithWarning, and return None if images are damaged."""
    entry = find_entry(fingerprint, is_streamed=is_streamed)
    if entry is None or is_streamed or not (damaged := damaged_rows(entry)):
        return entry
    text = f"{counted(len(damaged), 'image')} of {entry.shape[0]:,} in the cache of '{source.location}' are damaged"
    warnings.warn(GansmithWarning(f"{text}\n  all images are read again from there"), stacklevel=2)
    remove_entry(entry.folder)
    return None


def _record(entry: Entry, plan: EntryPlan, options: DataOptions, room: int, stamp: str) -> dict[str, Any]:
    """Return the index record of a source; its notes say what was inferred under these options."""
    copies = entry.meta["copies"]
    stored = plan.image_format
    is_points = (stored.height, stored.width, stored.channels) == POINT  # points coincide by chance
    notes = [f"{copies:,} images are exact copies of others" if copies > 1 else "1 image is an exact copy of another"]
    return {
        "version": VERSION,
        "stamp": stamp,
        "name": plan.source.name,
        "source": plan.source.location,
        "fingerprint": entry.meta["fingerprint"],
        "ignored": dict(plan.listing.ignored),
        "notes": [
            *infer_format(plan.infos, options).notes,
            *plan.listing.notes,
            *(notes if copies and not is_points else []),
            *([_streamed_note(entry.shape[0] * plan.row_bytes, room, plan.row_bytes)] if room else []),
        ],
        **({"stream": room} if room else {}),
    }


def _streamed_note(whole: int, room: int, row_bytes: int) -> str:
    """Return a note on images that are streamed."""
    return (
        f"streamed: all decoded images take {whole / 10**9:,.1f} GB; those in use take up to {room / 10**9:,.1f} GB of"
        f" disk (stream=SIZE); {window_of(room, row_bytes):,} at a time are shuffled"
    )


def _fill(
    folder: Path, plan: EntryPlan, on_step: Callable[[], None], runtime: Runtime, *, is_streamed: bool
) -> dict[str, Any]:
    """Write pixels, labels, digests and quarantine into a folder; return the entry's description.

    Processes that see the folder decode a share each. An entry that is streamed has no pixels, but all that is known
    only when all images were decoded once.
    """
    stored, items, usable = plan.image_format, plan.listing.items, plan.usable()
    values, source = values_of(stored)
    with open(folder / PIXELS, "wb") as file:
        file.truncate(0 if is_streamed else len(usable) * plan.row_bytes)
    parts = decode_together(folder, plan, on_step, runtime, is_streamed=is_streamed)
    digests = np.concatenate([part.digests for part in parts])
    problems = [info.problem for info in plan.infos]
    for position, problem in zip(usable, (each for part in parts for each in part.problems), strict=True):
        problems[position] = problem
    refuse_many_bad(plan.source, plan.listing, problems)
    kept = [row for row, position in enumerate(usable) if not problems[position]]
    if is_streamed:
        (folder / PIXELS).unlink()
        pixels_sha256 = hashlib.sha256(b"streamed" + digests[kept].tobytes()).hexdigest()
    else:
        pixels_sha256 = _close_gaps(folder / PIXELS, kept, plan.row_bytes)
    kept_items = [items[usable[row]] for row in kept]
    np.save(folder / LABELS, np.array([item.label for item in kept_items], np.int64))
    np.save(folder / DIGESTS, digests[kept])
    (folder / QUARANTINE).write_text(_as_lines(plan.listing, problems), encoding="utf-8")
    return {
        "count": len(kept),
        "height": stored.height,
        "width": stored.width,
        "channels": stored.channels,
        "fit": stored.fit,
        "gray_sides": [bool(kept) and all(part.gray[side] for part in parts) for side in (0, 1)],
        "classes": plan.listing.classes,
        "source_scale": plan.listing.source_scale,
        "copies": len(kept) - len(np.unique(digests[kept, 1], axis=0)),
        "pixels_sha256": pixels_sha256,
        "pillow": PIL.__version__,
        **({"values": asdict(values)} if values else {}),
        **({"source_values": asdict(source)} if source else {}),
        **(
            {"format": IMAGE_FORMAT.dump_python(stored, mode="json"), "shards": shard_edges(plan.source, kept_items)}
            if is_streamed
            else {}
        ),
    }


def _close_gaps(path: Path, kept: Sequence[int], row_bytes: int) -> str:
    """Move the kept rows to the front, in order, truncate the file behind them and return its SHA-256."""
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
    """Return the quarantine, bad images with their reasons, as JSON lines."""
    pairs = zip(listing.items, problems, strict=True)
    return "".join(json.dumps({"file": item.name, "reason": problem}) + "\n" for item, problem in pairs if problem)


def refuse_many_bad(source: Source, listing: Listing, problems: Sequence[str]) -> None:
    """Raise DataError when more than 5 % of the images are bad; a report file gets the full list."""
    bad = [(item.name, problem) for item, problem in zip(listing.items, problems, strict=True) if problem]
    if len(bad) <= MOST_BAD * len(problems):
        return
    key = hashlib.sha256(source.location.encode()).hexdigest()[:16]
    path = data_folder("reports") / f"{re.sub(r'[^A-Za-z0-9_.-]+', '-', source.name)}-{key}.jsonl"
    path.write_text(_as_lines(listing, problems), encoding="utf-8")
    raise DataError(
        "data.too_many_bad",
        f"{len(bad):,} of {len(problems):,} images in '{source.location}' are bad, more than {MOST_BAD:.0%}"
        f"\n  {some_of(by_reason(bad), MOST_REASONS, '; ')}\n  repair or remove them; the full list is in {path}",
    )


def _is_in_cache(problem: OSError) -> bool:
    """Say whether an error of the system names a file of the cache."""
    return str(problem.filename).startswith(str(cache_folder()))


def _cannot_write(problem: OSError | DiskFullError) -> DataError:
    if isinstance(problem, FileNotFoundError):
        return DataError(
            "data.cache_removed",
            f"the cache {cache_folder()} was removed while images were decoded into it: {problem}"
            "\n  start again; empty the cache only while no other command reads images",
        )
    full = is_disk_full(problem) and not is_file_limit(problem)
    advice = "with room, or empty it with 'gansmith data clean'" if is_disk_full(problem) else "you may write to"
    return DataError(
        "data.cache_full" if full else "data.cache_not_writable",
        f"the cache {cache_folder()} {'is full' if full else 'cannot be written'}: {problem}"
        f"\n  set GANSMITH_CACHE to a folder {advice}",
    )


def _assemble(entry: Entry, record: dict[str, Any], source: Source, options: DataOptions) -> ImageData:
    """Return the data set of an entry, with the name and the notes of one source."""
    room = record.get("stream")
    pixels = _streamed(entry, source, record["stamp"], options, room) if room else entry.pixels()
    count, height, width, channels = entry.shape
    values, source_values = entry.values()
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
        pairs=options.pairs,
        source_scale=entry.meta.get("source_scale", 1) if options.pairs else 1,
        fit=entry.meta.get("fit", "crop"),
        palette=_palette(pixels) if options.palette else (),
        gray_sides=tuple(entry.meta.get("gray_sides", (False, False))),
        values=values,
        source_values=source_values,
    )
    labels = entry.array(LABELS) if classes else None
    counts = () if labels is None else tuple(np.bincount(labels, minlength=len(classes)).tolist())
    notes = tuple(record["notes"])
    summary = DataSummary(record["source"], spec, counts, record["ignored"], notes, tuple(entry.quarantine()))
    return ImageData(spec, summary, labels, pixels, np.arange(count), entry.array(DIGESTS))


def _streamed(entry: Entry, source: Source, stamp: str, options: DataOptions, room: int) -> StreamedPixels:
    """Return the pixels of an entry that is streamed through so many bytes of disk."""
    folder = entry.folder / f"pieces-{room}"
    folder.mkdir(exist_ok=True)
    bad = frozenset(each["file"] for each in entry.quarantine())
    key = hashlib.sha256(f"{source.location} {stamp}".encode()).hexdigest()[:16]
    items = StreamedItems(source, bad, entry.array(LABELS), entry.folder / f"offsets-{key}.npy")
    stored = IMAGE_FORMAT.validate_python(entry.meta["format"])
    return StreamedPixels(
        folder, source, options, stored, entry.dtype, entry.array(DIGESTS), entry.meta["shards"], room, items
    )


def _palette(pixels: Pixels) -> tuple[str, ...]:
    """Return all colours of a set in hexadecimal digits; DataError for more than 256."""
    found = np.empty((0, pixels.shape[3]), np.uint8)
    for start in range(0, len(pixels), 1024):
        colours = pixels[start : start + 1024].reshape(-1, pixels.shape[3])
        found = np.unique(np.concatenate([found, np.unique(colours, axis=0)]), axis=0)
        if len(found) > MOST_COLOURS:
            raise DataError(
                "data.palette_too_large",
                f"palette=keep is for images of at most {MOST_COLOURS} colours together; these have more"
                "\n  leave out palette=keep; photos and images that are scaled with blur have no palette",
            )
    return tuple(colour.tobytes().hex() for colour in found)
