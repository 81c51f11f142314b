"""What a data set is to the rest of gansmith, and the one function that opens one.

A source (a registered name, a folder, an archive, an array file) lists its items and streams them; ``cache.py`` decodes
and fits them once into a memory-mapped file; ``ImageData`` reads batches from it. A new named data set is one file: a
``DataSetPart`` with ``@register("name")`` whose ``source()`` returns a ``Source``, for example an ``ArraySource``.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, Protocol

import numpy as np
from pydantic import field_validator

from gansmith.core.registry import FrozenModel
from gansmith.imaging.images import POINT

Progress = Callable[[int, int], None]
Payload = bytes | np.ndarray  # an encoded file, or uint8 (H, W, C)


class DataOptions(FrozenModel):
    """What a recipe may say about its images; None means inferred from them.

    size: one side, or (height, width); also written "64", "48x64" (height x width) or [48, 64].
    fit: cut to the shape around the centre, add a border (white, or transparent with 4 channels), or stretch.
    channels: 1 gray, 3 colour, 4 colour with alpha.
    mirror: flip at random from left to right while training.
    pairs: each image is two side by side, a source and its target; size is that of each.
    """

    size: int | tuple[int, int] | None = None
    fit: Literal["crop", "pad", "stretch"] = "crop"
    channels: Literal[1, 3, 4] | None = None
    mirror: bool = False
    pairs: bool = False

    @field_validator("size", mode="before")
    @classmethod
    def _canonical_size(cls, value: Any) -> Any:
        """Return None, one side, or (height, width) with two sides that differ."""
        if value is None:
            return None
        sides = value.lower().replace("*", "x").split("x") if isinstance(value, str) else value
        sides = list(sides) if isinstance(sides, list | tuple) else [sides]
        try:
            numbers = [int(side) for side in sides]
        except (TypeError, ValueError):
            numbers = []
        if len(numbers) not in (1, 2) or any(str(n) != str(s).strip() for n, s in zip(numbers, sides, strict=True)):
            raise ValueError(f"size is one side or HEIGHTxWIDTH, for example 64 or 48x64, got {value!r}")
        return numbers[0] if len(set(numbers)) == 1 else (numbers[0], numbers[1])

    @field_validator("channels", mode="before")
    @classmethod
    def _number_of_channels(cls, value: Any) -> Any:
        return int(value) if isinstance(value, str) and value.strip().isdigit() else value

    @property
    def shape(self) -> tuple[int, int] | None:
        """Return (height, width), or None when it is to be inferred."""
        return (self.size, self.size) if isinstance(self.size, int) else self.size

    def decided(self, height: int, width: int, channels: int) -> "DataOptions":
        """Return the options that ask for what images are stored as, two side by side where they are pairs."""
        size = (height, width // 2 if self.pairs else width)
        return DataOptions.model_validate({**self.model_dump(), "size": size, "channels": channels})


@dataclass(frozen=True)
class Split:
    """Which part of a data set: "all", or "train" and "holdout" by a share and the seed that chose it."""

    name: str = "all"
    share: float = 0.0
    seed: int = 0


@dataclass(frozen=True)
class DataSpec:
    """What a network, a run and a metric have to know about a data set."""

    name: str
    height: int
    width: int
    channels: int  # 1, 3 or 4
    count: int  # images in this split
    classes: tuple[str, ...]  # () when there are no labels
    fingerprint: str  # SHA-256 of names, labels and contents of all splits, and of size, fit and channels
    held_out: int = 0  # images in the holdout split
    split: Split = Split()
    pixels_sha256: str = ""  # of the decoded and fitted images of all splits
    pairs: bool = False  # each image is two side by side, ``width`` that of both: source and target

    @property
    def is_points(self) -> bool:
        """Say whether the images are points in the plane."""
        return (self.height, self.width, self.channels) == POINT

    @property
    def contents(self) -> str:
        """Return in words how many images of which size there are."""
        if self.is_points:
            return f"{self.count:,} points in the plane"
        return f"{self.count:,} images of {self.height} x {self.width} px, {self.channels} channels"

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {**asdict(self), "classes": list(self.classes)}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> "DataSpec":
        """Return what ``to_json`` wrote."""
        return cls(**{**value, "classes": tuple(value["classes"]), "split": Split(**value["split"])})


@dataclass(frozen=True)
class DataSummary:
    """What was found in a source and what was decided, for a person and for the run folder."""

    source: str
    spec: DataSpec
    class_counts: tuple[int, ...]  # of this split, () without labels
    ignored: int  # files that are no images by their name
    notes: tuple[str, ...]  # what was inferred and why, and what else should be known
    quarantine: tuple[dict[str, str], ...]  # {"file", "reason"} of every image left out

    def lines(self) -> list[str]:
        """Return it in plain words."""
        spec = self.spec
        kind = {1: "gray", 3: "colour", 4: "colour with alpha"}[spec.channels] + (", in pairs" if spec.pairs else "")
        classes = f", {len(spec.classes)} classes" if spec.classes else ", no labels"
        images = f"{spec.count:,} images, {spec.height} x {spec.width}, {kind}"
        out = [f"{spec.name}: {spec.contents if spec.is_points else images}{classes}"]
        if spec.held_out:
            out.append(f"held out: {spec.held_out:,} images are kept for judging and never trained on")
        if spec.classes:
            pairs = [f"{name} {count:,}" for name, count in zip(spec.classes, self.class_counts, strict=True)]
            out.append("classes: " + ", ".join(pairs[:12]) + (", ..." if len(pairs) > 12 else ""))
        out += self.notes
        if self.ignored:
            out.append(f"ignored: {self.ignored:,} files that are no images by their name")
        if self.quarantine:
            named = [f"{entry['file']} ({entry['reason']})" for entry in self.quarantine[:3]]
            more = f" and {len(self.quarantine) - 3:,} more" if len(self.quarantine) > 3 else ""
            out.append(f"left out: {len(self.quarantine):,} bad files: {'; '.join(named)}{more}")
        return out

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {**asdict(self), "spec": self.spec.to_json(), "lines": self.lines()}


@dataclass(frozen=True)
class ImageData:
    """An open data set: one split of a memory-mapped cache of uint8 images."""

    spec: DataSpec
    summary: DataSummary
    labels: np.ndarray | None  # int64 (count,)
    pixels: np.ndarray  # uint8 (all splits, H, W, C), memory-mapped
    rows: np.ndarray  # int64 (count,): where this split's images lie in ``pixels``
    digests: np.ndarray  # uint8 (all splits, 2, 16): of each image's file, and of its pixels as they are here
    held_out: "ImageData | None" = None

    def __len__(self) -> int:
        return self.spec.count

    def read(self, indices: np.ndarray | Sequence[int]) -> np.ndarray:
        """Return uint8 (N, H, W, C), a copy; IndexError for an index that is not in the split."""
        return np.asarray(self.pixels[self.rows[np.asarray(indices, np.int64)]])

    def read_labels(self, indices: np.ndarray | Sequence[int]) -> np.ndarray | None:
        """Return int64 (N,), or None when there are no labels."""
        return None if self.labels is None else self.labels[np.asarray(indices, np.int64)]

    @property
    def class_frequencies(self) -> np.ndarray | None:
        """Return each class's share of the split, float64 summing to 1, or None when there are no labels."""
        if self.labels is None:
            return None
        return np.bincount(self.labels, minlength=len(self.spec.classes)) / self.spec.count


@dataclass(frozen=True, slots=True)
class Item:
    """One image of a source: its name there, its class (-1: none), and what the source finds it by."""

    name: str
    label: int
    locator: Any


@dataclass(frozen=True)
class Listing:
    """What a source holds, before anything is decoded: items sorted by name."""

    items: tuple[Item, ...]
    classes: tuple[str, ...] = ()
    ignored: int = 0
    notes: tuple[str, ...] = ()


class Source(Protocol):
    """Where the images of a data set come from; ``sources.py`` has those of files."""

    name: str
    location: str  # absolute path or registered name: the key of the fast start
    items_per_job: int  # how many items one thread takes at a time

    def stamp(self) -> str:
        """Return a text that changes with any size or time of the files, without reading them."""
        ...

    def scan(self) -> Listing:
        """List the items; DataError when there are none."""
        ...

    def stream(self, items: Sequence[Item]) -> Iterator[tuple[int, Callable[[], Payload]]]:
        """Yield, in the order that is best for the source, each item's position in ``items`` and how to read it.

        The call that reads may be made in another thread and raises ImageError for an item that cannot be read.
        """
        ...


def random_images(shape: tuple[int, int, int], count: int) -> ImageData:
    """Return so many random images of a shape (height, width, channels), the same ones each time: to measure speed."""
    spec, rows = DataSpec("random", *shape, count, (), ""), np.arange(count)
    pixels = np.random.Generator(np.random.Philox(0)).integers(0, 256, (count, *shape), np.uint8)
    digests = np.zeros((count, 2, 16), np.uint8)
    return ImageData(spec, DataSummary("", spec, (), 0, (), ()), None, pixels, rows, digests)
