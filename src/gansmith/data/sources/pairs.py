"""Pairs from two folders: sources in one, targets in the other, matched by file name."""

import copy
import hashlib
import os
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path, PurePosixPath

import numpy as np
from PIL import Image

from gansmith.core.errors import DataError, counted, some_of
from gansmith.core.file_names import escaped, path_of
from gansmith.data.base import DataOptions, Item, Listing, Payload, Source
from gansmith.data.image_info import as_image, as_values, file_and_frame, is_deep_array
from gansmith.data.sources.folders_archives import FolderSource
from gansmith.data.sources.options import NO_LABELS, with_options
from gansmith.imaging.deep_files import open_any
from gansmith.imaging.images import (
    PIXEL_LIMIT,
    ImageError,
    fit_image,
    fit_values,
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
    takes_frames = True  # each side reads its own stacks

    def __init__(self, sources: Path, targets: Path) -> None:
        """Raise DataError for a path that is not a folder, and for one folder as both sides."""
        paths = (path_of(sources), path_of(targets))
        for path in paths:
            if not path.is_dir():
                raise DataError(
                    "data.not_a_folder",
                    f"'{escaped(path)}' is not a folder"
                    "\n  pass two folders of images with the same names; unpack archives",
                )
        if paths[0].resolve() == paths[1].resolve():
            raise DataError(
                "data.same_folder",
                f"sources and targets are the same folder, '{escaped(paths[0])}'\n  pass two folders: SOURCES TARGETS",
            )
        self._sides: list[Source] = [FolderSource(path) for path in paths]
        self._target_first = False
        self._limit = PIXEL_LIMIT
        self._allow_left_out = False
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
        other._sides = [with_options(side, plain) for side in self._sides]
        other._target_first = options.direction == "target-source"
        other._limit = options.max_pixels
        other._allow_left_out = options.allow_left_out
        return other

    def stamp(self) -> str:
        """Return a digest of both folders' stamps."""
        return hashlib.sha256(" ".join(side.stamp() for side in self._sides).encode()).hexdigest()

    def scan(self) -> Listing:
        """List the pairs under the names of the second folder.

        Images without a partner are left out; DataError, with their names, if they are more than the pairs.
        """
        listings = [side.scan() for side in self._sides]
        names = [[_without_ending(item.name) for item in listing.items] for listing in listings]
        notes = [
            f"{side.name}: {note}"
            for side, listing in zip(self._sides, listings, strict=True)
            for note in listing.notes
            if not note.startswith("no labels:")
        ]
        parts, written = [_tops(each) for each in names], names
        names = _matching(names)
        first, second = (
            self._by_name(side, listing, keys) for side, listing, keys in zip(self._sides, listings, names, strict=True)
        )
        both = first.keys() & second.keys()
        if names is not written and both:
            key = min(both)
            notes.append(f"pairs: '{first[key].name}' with '{second[key].name}', and so on")
        alone = [[item.name for key, item in side.items() if key not in both] for side in (first, second)]
        for number, left in enumerate(alone):
            if left and (not both or (sum(map(len, alone)) > len(both) and not self._allow_left_out)):
                raise self._without_partner(number, left, len(both), parts)
            if left:
                side = escaped(self._sides[number].name)
                notes.append(f"{counted(len(left), 'image')} of {side} without a partner left out: {_some(left)}")
        items = [Item(each.name, -1, (first[key], each)) for key, each in second.items() if key in both]
        ignored = sum((Counter(listing.ignored) for listing in listings), Counter[str]())
        scale, sizes = self._scale(items)
        return Listing(tuple(items), (), dict(ignored), (*notes, *sizes), scale)

    def _without_partner(self, number: int, alone: list[str], pairs: int, parts: list[set[str]]) -> DataError:
        """Return the error for the images of one side that have no partner; ``parts`` are the top folders of both."""
        side, tops = self._sides[number], parts[number]
        advice = "add or remove files until both folders have the same names"
        if pairs:
            advice += f"; to go on with {counted(pairs, 'pair')}: allow_left_out=true"
        if len(tops) > 1 and not tops & parts[1 - number]:  # LR/X2 and LR/X4 beside HR
            first, *_ = sorted(tops)
            advice = f"of its sub-folders ({', '.join(sorted(tops)[:MOST_NAMED])}) pass one: '{side.location}/{first}'"
        return DataError(
            "data.without_partner",
            f"{counted(len(alone), 'image')} in '{side.location}' without a partner in the other folder: {_some(alone)}"
            f"\n  {advice}",
        )

    def _scale(self, items: Sequence[Item]) -> tuple[int, list[str]]:
        """Return how often sources fit into their targets, from the headers of a few pairs, and a note on it."""
        found, other = set(), ""
        for item in items[:: max(1, len(items) // HEADERS_READ)]:
            reads = self._reads(item)[:: -1 if self._target_first else 1]
            try:
                (height, width), (tall, wide) = (_shape_of(read(), self._limit) for read in reads)
            except ImageError:
                continue
            is_factor = (tall % height, wide % width, tall * width) == (0, 0, wide * height)
            found.add(tall // height if is_factor else 1)
            other = other or (f"such as {height} x {width} and {tall} x {wide} px" if not is_factor else "")
        scale = found.pop() if len(found) == 1 else 1
        if other:
            return 1, [f"sources and targets of other sizes, {other}: both are fitted to one size"]
        if scale == 1:
            return 1, []
        advice = f"; to train a model that enlarges: --recipe srresnet scale={scale}" if scale in (2, 4) else ""
        return scale, [f"the sides of targets are {scale} times longer than those of their sources{advice}"]

    def stream(self, items: Sequence[Item]) -> Iterator[tuple[int, Callable[[], Payload]]]:
        """Yield functions that read and decode pairs, (H, 2 W, C): uint8 of pictures, else in a type for both sides."""
        # A side yields its files in an order of its own, and keeps a file of many images while its functions are there.
        first, second = (
            dict(side.stream([item.locator[number] for item in items])) for number, side in enumerate(self._sides)
        )
        for position in range(len(items)):
            reads = first.pop(position), second.pop(position)
            yield position, partial(_read_pair, *reads, limit=self._limit, target_first=self._target_first)

    def _reads(self, item: Item) -> list[Callable[[], Payload]]:
        """Return the functions that read the two images of a pair."""
        return [next(side.stream([each]))[1] for side, each in zip(self._sides, item.locator, strict=True)]

    def _by_name(self, side: Source, listing: Listing, names: Sequence[str]) -> dict[str, Item]:
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


def _tops(names: Sequence[str]) -> set[str]:
    """Return the top folders of names."""
    return {name.partition("/")[0] for name in names if "/" in name}


def _some(names: Sequence[str]) -> str:
    return some_of(sorted(names), MOST_NAMED)


def _matching(names: list[list[str]]) -> list[list[str]]:
    """Return the names of both sides in the form that joins most: as they are, without what all of one side share, or
    also in small letters and without zeros before numbers.
    """
    bare = [_without_affixes(each) for each in names]
    loose = [[[_loosely(name) for name in side] for side in both] for both in (names, bare)]
    return max([names, bare, *loose], key=lambda both: len({*both[0]} & {*both[1]}))  # of equals the first


def _loosely(name: str) -> str:
    return re.sub(r"(?<!\d)0+(?=\d)", "", name).casefold()


def _without_affixes(names: Sequence[str]) -> list[str]:
    """Return names without what all of them begin and end with: source_1_lr, source_2_lr become 1, 2."""
    start = len(os.path.commonprefix(names))  # noqa: RUF071  (of names)
    rest = [name[start:] for name in names]
    end = len(os.path.commonprefix([name[::-1] for name in rest]))  # noqa: RUF071
    return [name[: len(name) - end] for name in rest]


def _without_ending(name: str) -> str:
    """Return a name without its ending; the number of an image within a file stays: x.npy#3 becomes x#3."""
    file, mark, number = name.partition("#")
    return str(PurePosixPath(file.removesuffix(".gz")).with_suffix("")) + mark + number


def _read_pair(
    first: Callable[[], Payload], second: Callable[[], Payload], *, limit: int, target_first: bool
) -> np.ndarray:
    return joined(first(), second(), limit=limit, target_first=target_first)


def _is_deep(payload: Payload) -> bool:
    if isinstance(payload, np.ndarray):
        return is_deep_array(payload)
    file, _ = file_and_frame(payload)
    return open_any(file)[1]


def _shape_of(payload: Payload, limit: int) -> tuple[int, int]:
    """Return height and width, from the header where Pillow opens the file."""
    if isinstance(payload, bytes) and not _is_deep(payload):
        return upright_shape(open_image(payload, limit, shrink=True))
    height, width, _ = as_values(payload, limit).shape
    return height, width


def joined(first: Payload, second: Payload, *, limit: int = PIXEL_LIMIT, target_first: bool = False) -> np.ndarray:
    """Return two images side by side at the size of the target, (H, 2 W, C); ImageError if they do not fit.

    Two pictures are uint8; if one has more than 8 bits or other values, both keep theirs, in a type that holds both.
    The target is the second, or the first with ``target_first``. Where it is a whole number of times larger, each pixel
    of the source is repeated, so that super-resolution finds the source again. JPEGs above ``limit`` pixels are decoded
    smaller.
    """
    if _is_deep(first) or _is_deep(second):
        return _joined_values(as_values(first, limit), as_values(second, limit), target_first=target_first)
    left, right = (as_image(each, limit) for each in (first, second))
    target = left if target_first else right
    _check_proportions(left.size, right.size)
    both = (left, right)
    channels = 4 if any(map(is_transparent, both)) else 1 if all(map(is_gray, both)) else 3
    halves = []
    for each in both:
        if each.size != target.size and not (target.width % each.width or target.height % each.height):
            each = each.resize(target.size, Image.Resampling.NEAREST)
        halves.append(fit_image(each, target.height, target.width, channels, "stretch"))
    return np.concatenate(halves, axis=1)


def _check_proportions(left: tuple[int, int], right: tuple[int, int]) -> None:
    """Raise ImageError for (width, height) of other proportions."""
    if abs(left[0] * right[1] / (left[1] * right[0]) - 1) > SAME_PROPORTIONS:
        raise ImageError(
            "image.pair_proportions",
            f"source and target differ in proportions: {left[0]} x {left[1]} px and {right[0]} x {right[1]} px",
        )


def _joined_values(left: np.ndarray, right: np.ndarray, *, target_first: bool) -> np.ndarray:
    """Return two images of values side by side at the size of the target; one band stands for all of the other."""
    _check_proportions(left.shape[1::-1], right.shape[1::-1])
    height, width = (left if target_first else right).shape[:2]
    bands, dtype = max(left.shape[2], right.shape[2]), np.result_type(left, right)
    halves = []
    for each in (left, right):
        if each.shape[2] not in (1, bands):
            raise ImageError("image.array_shape", f"source and target have {left.shape[2]} and {right.shape[2]} bands")
        down, across = height // each.shape[0], width // each.shape[1]
        if (each.shape[0] * down, each.shape[1] * across) == (height, width):
            each = each.repeat(down, axis=0).repeat(across, axis=1)
        else:
            fitted = fit_values(each, height, width, "stretch", nearest=False, empty=np.zeros(each.shape[2]))
            each = (fitted.round() if dtype.kind in "uib" else fitted).astype(dtype)
        halves.append(np.broadcast_to(each, (height, width, bands)).astype(dtype))
    return np.concatenate(halves, axis=1)
