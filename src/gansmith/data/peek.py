"""A look at a few images before any are decoded: what size and how many channels would be inferred."""

from dataclasses import dataclass
from pathlib import Path

from gansmith.core.errors import DataError
from gansmith.data.base import DataOptions, Source
from gansmith.data.find import find_source
from gansmith.data.infer import SAME_SHAPE, ImageInfo, channels_of, infer, look, typical_shape
from gansmith.imaging.images import quiet_pillow

LOOKED_AT = 64


def glance(source: Source, options: DataOptions) -> tuple[int, int, int, int] | None:
    """Return height, width and channels that a few images speak for, and how many there are; None if none can be read.

    Raises DataError as opening the data would.
    """
    items = source.scan().items
    with quiet_pillow():
        some = items[:: -(-len(items) // LOOKED_AT)]
        facts = [fact for _, read in source.stream(some) if not (fact := look(read, True)).problem]
    if not facts:
        return None
    plan = infer(facts, options)
    return plan.height, plan.width, plan.channels, len(items)


LOOKED_AT = 32


COLOURS = {1: "gray", 3: "colour", 4: "colour with alpha"}


@dataclass(frozen=True)
class Kind:
    """Size and channels of images as they came."""

    height: int
    width: int
    channels: int
    is_uniform: bool  # practically all have this size

    def __str__(self) -> str:
        return f"{self.height} x {self.width} px {COLOURS[self.channels]}"


def kind_of(source: str | Path, root: Path | None = None) -> Kind:
    """Return the kind of images of a data set, by at most 32 of them; DataError where there are none to look at."""
    found: Source = find_source(source, root)
    items = found.scan().items
    step = max(1, len(items) // LOOKED_AT)
    facts: list[ImageInfo] = [look(read, decode=True) for _, read in found.stream(items[::step][:LOOKED_AT])]
    usable = [fact for fact in facts if not fact.problem]
    if not usable:
        raise DataError(
            "data.none_readable", f"'{source}': none of {len(facts)} images looked at can be read\n  {facts[0].problem}"
        )
    height, width = typical_shape(usable)
    same = sum((fact.height, fact.width) == (height, width) for fact in usable)
    channels, _ = channels_of(usable, DataOptions())
    return Kind(height, width, channels, same >= SAME_SHAPE * len(usable))
