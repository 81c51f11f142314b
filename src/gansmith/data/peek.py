"""A few images, decoded before all others: their inferred format and native size."""

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from gansmith.core.errors import DataError
from gansmith.data.base import DataOptions, Source
from gansmith.data.find import find_source
from gansmith.data.image_format import SAME_SHAPE, channels_of, infer_format, typical_shape
from gansmith.data.image_info import read_info
from gansmith.data.sources.options import with_options
from gansmith.data.survey import reading

PEEKED_AT, NATIVE_FROM = 64, 32  # images that are decoded
COLOURS = {1: "gray", 3: "colour", 4: "colour with alpha"}


def peek(source: Source, options: DataOptions) -> tuple[int, int, int, int] | None:
    """Return height, width and channels as inferred from at most 64 images, and the number of images in the source.

    None if none of the 64 can be read. Raises DataError where opening the data would.
    """
    source = with_options(source, options)
    with reading(source):
        items = source.scan().items
        sample = items[:: -(-len(items) // PEEKED_AT)]
        infos = [
            info
            for _, read in source.stream(sample)
            if not (info := read_info(read, decode=True, limit=options.max_pixels)).problem
        ]
    if not infos:
        return None
    inferred = infer_format(infos, options)
    return inferred.height, inferred.width, inferred.channels, len(items)


@dataclass(frozen=True)
class NativeFormat:
    """Size and channels of images as they come, before they are fitted."""

    height: int
    width: int
    channels: int
    is_uniform: bool  # at least 95 % have this size
    files: str = field(default="", compare=False)  # formats of all files by ending, the most frequent first

    def __str__(self) -> str:
        return f"{self.height} x {self.width} px {COLOURS[self.channels]}"


def native_format(source: str | Path, root: Path | None = None) -> NativeFormat:
    """Return the native format of a data set, from at most 32 of its images; DataError if none can be read."""
    found = find_source(source, root)
    with reading(found):
        items = found.scan().items
        step = max(1, len(items) // NATIVE_FROM)
        infos = [read_info(read, decode=True) for _, read in found.stream(items[::step][:NATIVE_FROM])]
    usable = [info for info in infos if not info.problem]
    if not usable:
        raise DataError(
            "data.none_readable",
            f"'{source}': none of {len(infos)} sampled images can be read; the first: {infos[0].problem}"
            "\n  'gansmith data check' lists the reasons for all images",
        )
    height, width = typical_shape(usable)
    same = sum((info.height, info.width) == (height, width) for info in usable)
    channels, _ = channels_of(usable, DataOptions())
    endings = Counter(PurePosixPath(item.name).suffix.lower().lstrip(".") for item in items)
    if set(endings) == {""}:
        endings = Counter({PurePosixPath(found.location).suffix.lstrip(".") or "array": len(items)})
    files = ", ".join(f"{count:,} {ending or 'other'}" for ending, count in endings.most_common(5))
    return NativeFormat(height, width, channels, same >= SAME_SHAPE * len(usable), files)
