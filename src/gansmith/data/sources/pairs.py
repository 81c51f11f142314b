"""Pairs from two folders: sources in one, targets in the other, matched by file name."""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path, PurePosixPath

import numpy as np

from gansmith.core.errors import DataError, counted
from gansmith.data.base import DataOptions, Item, Listing, Payload, Source
from gansmith.data.sources.folders_archives import FolderSource, read_file
from gansmith.imaging.images import ImageError, decode_image, fit_image, is_gray, is_transparent

PAIRS_PREFIX, BETWEEN = "pairs:", "::"
MOST_NAMED = 5  # files in an error
SAME_PROPORTIONS = 0.02  # relative difference of width / height up to which a pair fits


class FolderPairs:
    """A folder of sources and a folder of targets; partners have the same name, but may differ in extension.

    Each pair is read as one array: at the left the source, scaled to the size of the target, at the right the target.
    """

    items_per_job = 8

    def __init__(self, sources: Path, targets: Path) -> None:
        """Raise DataError for a path that is not a folder."""
        paths = (sources.expanduser(), targets.expanduser())
        for path in paths:
            if not path.is_dir():
                raise DataError(
                    "data.not_a_folder", f"'{path}' is not a folder\n  pass two folders of images with the same names"
                )
        self._sides = [FolderSource(path) for path in paths]
        self.location = PAIRS_PREFIX + BETWEEN.join(side.location for side in self._sides)
        self.name = "-to-".join(side.name for side in self._sides)

    @classmethod
    def parse(cls, address: str) -> "FolderPairs":
        """Return the pairs with an address pairs:SOURCES::TARGETS; DataError for any other address."""
        parts = address.removeprefix(PAIRS_PREFIX).split(BETWEEN)
        if len(parts) != 2 or not all(parts):
            raise DataError(
                "data.pairs_address", f"'{address}' does not name two folders\n  write pairs:SOURCES::TARGETS"
            )
        return cls(*map(Path, parts))

    def stamp(self) -> str:
        """Return a digest of both folders' stamps."""
        return hashlib.sha256(" ".join(side.stamp() for side in self._sides).encode()).hexdigest()

    def scan(self) -> Listing:
        """List the pairs under the names of the targets; DataError, with the files, for any without a partner."""
        listings = [side.scan() for side in self._sides]
        sources, targets = (self._by_name(side, listing) for side, listing in zip(self._sides, listings, strict=True))
        for side, alone in (
            (self._sides[0], sources.keys() - targets.keys()),
            (self._sides[1], targets.keys() - sources.keys()),
        ):
            if alone:
                more = f" and {len(alone) - MOST_NAMED:,} more" if len(alone) > MOST_NAMED else ""
                raise DataError(
                    "data.without_partner",
                    f"{counted(len(alone), 'image')} in '{side.location}' without a partner in the other folder: "
                    f"{', '.join(sorted(alone)[:MOST_NAMED])}{more}"
                    "\n  add or remove files until both folders have the same names",
                )
        items = [Item(each.name, -1, (sources[key].locator, each.locator)) for key, each in targets.items()]
        ignored = sum((Counter(listing.ignored) for listing in listings), Counter[str]())
        return Listing(tuple(items), (), dict(ignored))

    def stream(self, items: Sequence[Item]) -> Iterator[tuple[int, Callable[[], Payload]]]:
        """Yield functions that read and decode pairs, uint8 (H, 2 W, C)."""
        for position, item in enumerate(items):
            yield position, partial(_read_pair, *item.locator)

    def _by_name(self, side: FolderSource, listing: Listing) -> dict[str, Item]:
        """Return the items of a folder by name without extension; DataError for two with the same name."""
        found: dict[str, Item] = {}
        for item in listing.items:
            name = str(PurePosixPath(item.name).with_suffix(""))
            if name in found:
                raise DataError(
                    "data.ambiguous_partner",
                    f"'{found[name].name}' and '{item.name}' in '{side.location}' differ only in their extension"
                    "\n  rename or remove one, so that each target has one source",
                )
            found[name] = item
        return found


def check_pairs(source: Source, options: DataOptions) -> None:
    """Raise DataError if the options ask for single images from two folders of pairs."""
    if isinstance(source, FolderPairs) and not options.pairs:
        raise DataError(
            "data.pairs_as_single_images",
            f"'{source.location}' holds pairs, but pairs=false asks for single images"
            "\n  pass --pairs (pairs=true), or one of the folders",
        )


def _read_pair(source: str, target: str) -> np.ndarray:
    return joined(read_file(source), read_file(target))


def joined(source: bytes, target: bytes) -> np.ndarray:
    """Return source and target side by side at the target's size, uint8 (H, 2 W, C); ImageError if they do not fit."""
    left, right = decode_image(source), decode_image(target)
    if abs(left.width * right.height / (left.height * right.width) - 1) > SAME_PROPORTIONS:
        raise ImageError(
            "image.pair_proportions",
            f"source and target differ in proportions: {left.width} x {left.height} px and"
            f" {right.width} x {right.height} px",
        )
    both = (left, right)
    channels = 4 if any(map(is_transparent, both)) else 1 if all(map(is_gray, both)) else 3
    halves = [fit_image(each, right.height, right.width, channels, "stretch") for each in both]
    return np.concatenate(halves, axis=1)
