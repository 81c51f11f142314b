"""A look at a few images before any are decoded: what size and how many channels would be inferred."""

from pathlib import Path

from gansmith.data.base import DataOptions
from gansmith.data.find import find_source
from gansmith.data.infer import infer, look
from gansmith.images import quiet_pillow

LOOKED_AT = 64


def glance(source: str, options: DataOptions, root: Path | None = None) -> tuple[int, int, int, int] | None:
    """Return height, width and channels that a few images speak for, and how many there are; None if none can be read.

    Raises DataError as opening the data would.
    """
    found = find_source(source, root)
    items = found.scan().items
    with quiet_pillow():
        some = items[:: -(-len(items) // LOOKED_AT)]
        facts = [fact for _, read in found.stream(some) if not (fact := look(read, True)).problem]
    if not facts:
        return None
    plan = infer(facts, options)
    return plan.height, plan.width, plan.channels, len(items)
