"""A few images, decoded before all others: their inferred format and native size."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from gansmith.core.errors import DataError
from gansmith.data.base import DataOptions, Item, Source, channel_words
from gansmith.data.find import find_source
from gansmith.data.image_format import SAME_SHAPE, channels_of, infer_format, typical_shape
from gansmith.data.image_info import ImageInfo, read_info
from gansmith.data.sources.options import with_options
from gansmith.data.survey import reading
from gansmith.data.value_format import needs_values

PEEKED_AT, NATIVE_FROM = 64, 32  # images that are decoded


def peek(source: Source, options: DataOptions) -> tuple[int, int, int, int] | None:
    """Return height, width and channels as inferred from at most 64 images, and the number of images in the source.

    None if none of the 64 can be read. Raises DataError where opening the data would.
    """
    source = with_options(source, options)
    with reading(source):
        items = source.scan().items
        sample = items[:: -(-len(items) // PEEKED_AT)]
        infos = _infos(source, sample, options)
        if needs_values(infos, options):
            infos = _infos(source, sample, options, values=True)
        infos = [info for info in infos if not info.problem]
    if not infos:
        return None
    inferred = infer_format(infos, options)
    return inferred.height, inferred.width, inferred.channels, len(items)


def _infos(source: Source, items: Sequence[Item], options: DataOptions, *, values: bool = False) -> list[ImageInfo]:
    limit, pairs = options.max_pixels, options.pairs
    return [read_info(read, decode=True, limit=limit, values=values, pairs=pairs) for _, read in source.stream(items)]


@dataclass(frozen=True)
class NativeFormat:
    """Size and channels of images as they come, before they are fitted."""

    height: int
    width: int
    channels: int
    is_uniform: bool  # at least 95 % have this size
    files: str = field(default="", compare=False)  # formats of all files by ending, the most frequent first

    def __str__(self) -> str:
        return f"{self.height} x {self.width} px {channel_words(self.channels)}"


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
