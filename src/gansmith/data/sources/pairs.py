"""Pairs from two folders: sources in one, targets in the other, matched by file name."""

import copy
import hashlib
import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path, PurePosixPath

import numpy as np
from PIL import Image

from gansmith.core.errors import DataError, counted
from gansmith.core.file_names import escaped, path_of
from gansmith.data.base import DataOptions, Item, Listing, Payload, Source
from gansmith.data.sources.folders_archives import FolderSource, read_file
from gansmith.data.sources.options import NO_LABELS
from gansmith.imaging.images import (
    PIXEL_LIMIT,
    ImageError,
    decode_image,
    fit_image,
    is_gray,
    is_transparent,
    open_image,
    upright_shape,
)

PAIRS_PREFIX, BETWEEN = "pairs:", "::"
MOST_NAMED = 5  # files in an error
HEADERS_READ = 8  # pairs from which the sizes are told
SAME_PROPORTIONS = 0.02  # relative difference of width / height up to which a pair fits


class FolderPairs:
    """A folder of sources and a folder of targets; partners have the same name, but may differ in extension.

    Each pair is read as one array: at the left the source, scaled to the size of the target, at the right the target.
    """

    items_per_job = 8

    def __init__(self, sources: Path, targets: Path) -> None:
        """Raise DataError for a path that is not a folder."""
        paths = (path_of(sources), path_of(targets))
        for path in paths:
            if not path.is_dir():
                raise DataError(
                    "data.not_a_folder",
                    f"'{escaped(path)}' is not a folder\n  pass two folders of images with the same names",
                )
        self._sides: list[FolderSource] = [FolderSource(path) for path in paths]
        self._target_first = False
        self._limit = PIXEL_LIMIT
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

    def under(self, options: DataOptions) -> "FolderPairs":
        """Return these pairs as read under some options; the folders' own labels are of no use."""
        other = copy.copy(self)
        plain = options.model_copy(update={"labels": NO_LABELS})
        other._sides = [side.under(plain) for side in self._sides]
        other._target_first = options.direction == "target-source"
        other._limit = options.max_pixels
        return other

    def stamp(self) -> str:
        """Return a digest of both folders' stamps."""
        return hashlib.sha256(" ".join(side.stamp() for side in self._sides).encode()).hexdigest()

    def scan(self) -> Listing:
        """List the pairs under the names of the second folder; DataError, with the files, for any without a partner."""
        listings = [side.scan() for side in self._sides]
        names = [[str(PurePosixPath(item.name).with_suffix("")) for item in listing.items] for listing in listings]
        notes = []
        if len({*names[0]} & {*names[1]}) < min(map(len, names)):
            bare = [_without_affixes(each) for each in names]
            if len({*bare[0]} & {*bare[1]}) > len({*names[0]} & {*names[1]}):
                notes = [f"pairs: '{listings[0].items[0].name}' with '{listings[1].items[0].name}', and so on"]
                names = bare
        first, second = (
            self._by_name(side, listing, keys) for side, listing, keys in zip(self._sides, listings, names, strict=True)
        )
        for side, alone in (
            (self._sides[0], first.keys() - second.keys()),
            (self._sides[1], second.keys() - first.keys()),
        ):
            if alone:
                more = f" and {len(alone) - MOST_NAMED:,} more" if len(alone) > MOST_NAMED else ""
                raise DataError(
                    "data.without_partner",
                    f"{counted(len(alone), 'image')} in '{side.location}' without a partner in the other folder: "
                    f"{', '.join(sorted(alone)[:MOST_NAMED])}{more}"
                    "\n  add or remove files until both folders have the same names",
                )
        items = [Item(each.name, -1, (first[key].locator, each.locator)) for key, each in second.items()]
        ignored = sum((Counter(listing.ignored) for listing in listings), Counter[str]())
        scale, sizes = self._scale(items)
        return Listing(tuple(items), (), dict(ignored), (*notes, *sizes), scale)

    def _scale(self, items: Sequence[Item]) -> tuple[int, list[str]]:
        """Return how often sources fit into their targets, from the headers of a few pairs, and a note on it."""
        found = set()
        for item in items[:: max(1, len(items) // HEADERS_READ)]:
            locators = item.locator[::-1] if self._target_first else item.locator
            try:
                (height, width), (tall, wide) = (
                    upright_shape(open_image(read_file(place), self._limit, shrink=True)) for place in locators
                )
            except ImageError:
                continue
            found.add(tall // height if (tall % height, wide % width, tall * width) == (0, 0, wide * height) else 1)
        scale = found.pop() if len(found) == 1 else 1
        if scale == 1:
            return 1, []
        advice = f"; to train a model that enlarges: --recipe srresnet scale={scale}" if scale in (2, 4) else ""
        return scale, [f"the sides of targets are {scale} times longer than those of their sources{advice}"]

    def stream(self, items: Sequence[Item]) -> Iterator[tuple[int, Callable[[], Payload]]]:
        """Yield functions that read and decode pairs, uint8 (H, 2 W, C)."""
        for position, item in enumerate(items):
            yield position, partial(_read_pair, *item.locator, limit=self._limit, target_first=self._target_first)

    def _by_name(self, side: FolderSource, listing: Listing, names: Sequence[str]) -> dict[str, Item]:
        """Return the items of a folder by the names that join them; DataError for two with the same name."""
        found: dict[str, Item] = {}
        for item, name in zip(listing.items, names, strict=True):
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


def _without_affixes(names: Sequence[str]) -> list[str]:
    """Return names without what all of them begin and end with: source_1_lr, source_2_lr become 1, 2."""
    start = len(os.path.commonprefix(names))  # noqa: RUF071  (of names)
    rest = [name[start:] for name in names]
    end = len(os.path.commonprefix([name[::-1] for name in rest]))  # noqa: RUF071
    return [name[: len(name) - end] for name in rest]


def _read_pair(first: str, second: str, *, limit: int, target_first: bool) -> np.ndarray:
    return joined(read_file(first), read_file(second), limit=limit, target_first=target_first)


def joined(first: bytes, second: bytes, *, limit: int = PIXEL_LIMIT, target_first: bool = False) -> np.ndarray:
    """Return two images side by side at the size of the target, uint8 (H, 2 W, C); ImageError if they do not fit.

    The target is the second, or the first with ``target_first``. Where it is a whole number of times larger, each pixel
    of the source is repeated, so that super-resolution finds the source again. JPEGs above ``limit`` pixels are decoded
    smaller.
    """
    left, right = (decode_image(each, limit, shrink=True) for each in (first, second))
    target = left if target_first else right
    if abs(left.width * right.height / (left.height * right.width) - 1) > SAME_PROPORTIONS:
        raise ImageError(
            "image.pair_proportions",
            f"source and target differ in proportions: {left.width} x {left.height} px and"
            f" {right.width} x {right.height} px",
        )
    both = (left, right)
    channels = 4 if any(map(is_transparent, both)) else 1 if all(map(is_gray, both)) else 3
    halves = []
    for each in both:
        if each.size != target.size and not (target.width % each.width or target.height % each.height):
            each = each.resize(target.size, Image.Resampling.NEAREST)
        halves.append(fit_image(each, target.height, target.width, channels, "stretch"))
    return np.concatenate(halves, axis=1)
