"""The meaning of stored pixels: number type, range in units, bands, and their picture."""

# Files hold values in units of their own: counts of a sensor, dB, metres, Hounsfield units. The cache stores them as
# uint8, uint16, or float32 in [-1, 1], with one range for a whole set. Networks always see [-1, 1]: ``tensors.py``.

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import gcd
from typing import Any

import numpy as np

STORED: dict[str, type[np.generic]] = {"8": np.uint8, "16": np.uint16, "float": np.float32}  # by depth
STEPS = {"8": 255, "16": 65535}  # between the ends of the range
MOST_BANDS = 32
QUANTILE, BEYOND = 0.001, 0.25  # a range ends at the extremes, at most a quarter of its width beyond these quantiles
FEW_VALUES = 8  # whole numbers in a set of masks or label maps, whatever their neighbours are
MOST_LABELS = 65  # values of label maps with even areas, at most: the ids of 64 classes and a mark
LEAST_EVEN, MOST_GENTLE = 0.5, 0.9  # neighbours of label maps: equal ones; those that differ by 1, of the unequal ones
MARK_BEYOND = 2  # a label further from the others than this times their range means "ignore"
LUMINANCE = (0.299, 0.587, 0.114)  # ITU-R BT.601


@dataclass(frozen=True)
class PixelValues:
    """How stored pixels become values in the units that came in.

    depth: "8", "16" or "float", the stored type: uint8, uint16, or float32 in [-1, 1].
    low, high: the values that networks see as -1 and 1; one for all channels, or one for each.
    kind: NumPy's name of the type in the files.
    bands: names of channels that are no colours; () for gray, RGB and RGB with alpha.
    preview: the bands of the picture, counted from 1; () for the first three, or the first of fewer.
    """

    depth: str
    low: tuple[float, ...]
    high: tuple[float, ...]
    kind: str
    bands: tuple[str, ...] = ()
    preview: tuple[int, ...] = ()

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> "PixelValues":
        """Return the values that ``dataclasses.asdict`` made, with lists as in JSON."""
        fields: dict[str, Any] = {name: tuple(each) if isinstance(each, list) else each for name, each in value.items()}
        return cls(**fields)

    @property
    def range_text(self) -> str:
        """Return the range as the option ``range`` is written: LOW:HIGH, one for each channel if they differ."""
        return ",".join(f"{low!r}:{high!r}" for low, high in zip(self.low, self.high, strict=True))

    @property
    def words(self) -> str:
        """Return type and range in words: "float32, -80 to 0 as floats"."""
        stored = {"8": "8-bit numbers", "16": "16-bit numbers", "float": "floats"}[self.depth]
        ranges = "; ".join(f"{low:g} to {high:g}" for low, high in zip(self.low, self.high, strict=True))
        return f"{self.kind}, {ranges} as {stored}"

    @property
    def is_whole(self) -> bool:
        """Say whether the files hold whole numbers."""
        return np.dtype(self.kind).kind in "uib"

    @property
    def is_8_bit(self) -> bool:
        """Say whether the files hold 8 bits or one."""
        return self.kind in ("uint8", "bool")

    @property
    def fits_png(self) -> bool:
        """Say whether PNG can hold the values as they are: whole numbers of 0 to 65535, as gray or colour."""
        return self.is_whole and min(self.low) >= 0 and max(self.high) <= STEPS["16"] and not self.bands

    def stored(self, values: np.ndarray) -> np.ndarray:
        """Convert values in units (..., C) to stored pixels; values outside the range are clipped to its ends."""
        low, high = np.asarray(self.low, np.float64), np.asarray(self.high, np.float64)
        share = ((values - low) / (high - low)).clip(0, 1)
        if self.depth == "float":
            return np.ascontiguousarray((share * 2 - 1).astype(np.float32))
        return np.ascontiguousarray((share * STEPS[self.depth]).round().astype(STORED[self.depth]))

    def in_units(self, pixels: np.ndarray) -> np.ndarray:
        """Convert stored pixels (..., C) to values in units, in the type of the files: whole numbers are rounded."""
        values = self._in_units(pixels)
        kind = np.dtype(self.kind)
        if kind.kind == "b":
            return np.asarray(values >= 0.5)
        if kind.kind in "ui":
            ends = np.iinfo(kind)
            values = values.round().clip(float(ends.min), float(ends.max))
        return values.astype(kind)

    def in_units_exactly(self, pixels: np.ndarray) -> np.ndarray:
        """Convert stored pixels (..., C) to float32 values in units, not rounded to whole numbers."""
        return self._in_units(pixels).astype(np.float32)

    def _in_units(self, pixels: np.ndarray) -> np.ndarray:
        low, high = np.asarray(self.low, np.float64), np.asarray(self.high, np.float64)
        return np.asarray(low + shares(pixels) * (high - low))

    def picture(self, pixels: np.ndarray) -> np.ndarray:
        """Convert stored pixels (..., C) to uint8 with 1, 3 or 4 channels: linear, low is black and high is white."""
        if bands := self._shown(pixels.shape[-1]):
            pixels = pixels[..., bands]
        if pixels.dtype == np.uint8:
            return np.ascontiguousarray(pixels)
        return np.ascontiguousarray((shares(pixels) * 255).round().astype(np.uint8))

    def _shown(self, channels: int) -> list[int]:
        """Return the positions of the channels in the picture; [] for all."""
        if self.preview:
            chosen = self.preview if len(self.preview) in (1, 3) else self.preview[:1]
            return [band - 1 for band in chosen]
        if self.bands or channels not in (1, 3, 4):
            return [0, 1, 2] if channels >= 3 else [0]
        return []


def shares(pixels: np.ndarray) -> np.ndarray:
    """Return stored pixels as float64 in [0, 1]."""
    if pixels.dtype == np.float32:
        return ((pixels.astype(np.float64) + 1) / 2).clip(0, 1)
    return pixels / np.float64(np.iinfo(pixels.dtype).max)


def levels_of(pixels: np.ndarray) -> np.ndarray:
    """Return stored pixels of any type as float64 in 0 to 255, without rounding."""
    return pixels.astype(np.float64) if pixels.dtype == np.uint8 else shares(pixels) * 255


def picture_of(pixels: np.ndarray, values: PixelValues | None) -> np.ndarray:
    """Return the picture of stored pixels (..., C), uint8; ordinary 8-bit images, with ``values`` None, as they are."""
    return pixels if values is None else values.picture(pixels)


def units_of(pixels: np.ndarray, values: PixelValues | None) -> np.ndarray:
    """Return stored pixels (..., C) in the units that came in; ordinary 8-bit images as they are."""
    return pixels if values is None else values.in_units(pixels)


@dataclass(frozen=True)
class ValueSample:
    """The range of an image's values in each channel, and some of them, to find the range of a set."""

    low: np.ndarray  # float64 (C,)
    high: np.ndarray  # float64 (C,)
    some: np.ndarray  # float32 (M, C)
    even: float = 0.0  # share of neighbours in a row that are equal, of whole numbers
    gentle: float = 0.0  # share of those that differ by 1

    @classmethod
    def of(cls, values: np.ndarray, count: int) -> "ValueSample":
        """Return the sample of values (H, W, C), with at most about ``count`` pixels, evenly spread."""
        pixels = values.reshape(-1, values.shape[2])
        step = max(1, len(pixels) // max(1, count))
        while step > 1 and gcd(step, values.shape[1]) > 1:  # else all of them would be from a few columns
            step += 1
        low, high = pixels.min(0).astype(np.float64), pixels.max(0).astype(np.float64)
        return cls(low, high, pixels[::step].astype(np.float32), *_neighbours(values))

    def scaled(self, factor: float) -> "ValueSample":
        """Return the sample of all values times a factor."""
        if factor == 1:
            return self
        return replace(self, low=self.low * factor, high=self.high * factor, some=self.some * factor)


def _neighbours(values: np.ndarray) -> tuple[float, float]:
    """Return the shares of neighbours in the rows of (H, W, C) that are equal, and that differ by 1."""
    if values.dtype.kind not in "ui" or values.shape[1] < 2:
        return 0.0, 0.0
    left, right = values[:, :-1, 0], values[:, 1:, 0]
    distance = np.maximum(left, right) - np.minimum(left, right)
    return float((distance == 0).mean()), float((distance == 1).mean())


def robust_range(samples: Sequence[ValueSample], *, each_channel: bool) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return (low, high) of a set, for all channels together or for each.

    They are the smallest and largest value, but no further than a quarter of the distance of the 0.1 % and 99.9 %
    quantiles beyond these: single broken pixels do not squeeze all others together.
    """
    low = np.min([sample.low for sample in samples], axis=0)
    high = np.max([sample.high for sample in samples], axis=0)
    some = np.concatenate([sample.some for sample in samples]).astype(np.float64)
    if not each_channel:
        low, high, some = low.min(keepdims=True), high.max(keepdims=True), some.reshape(-1, 1)
    first, last = np.quantile(some, [QUANTILE, 1 - QUANTILE], axis=0)
    width = last - first
    wide = width > 0  # else nearly all values are the same, and the others are what is to be seen
    low = np.where(wide, np.maximum(low, first - BEYOND * width), low)
    high = np.where(wide, np.minimum(high, last + BEYOND * width), high)
    high = np.where(high > low, high, low + 1)
    return tuple(low.tolist()), tuple(high.tolist())


def are_labels(samples: Sequence[ValueSample]) -> bool:
    """Say whether whole numbers look like masks or label maps: few values, or areas of one value with hard edges.

    Dark pictures may have few values too, but their neighbours are unequal, or differ by 1 as in shades.
    """
    found: set[float] = set()
    for sample in samples:
        found.update(np.unique(sample.some).tolist())
        found.update(sample.high.tolist())
        if len(found) > MOST_LABELS:
            return False
    even, gentle = (float(np.mean([getattr(sample, name) for sample in samples])) for name in ("even", "gentle"))
    return len(found) <= FEW_VALUES or (even >= LEAST_EVEN and gentle <= MOST_GENTLE * (1 - even))


def mark_for_ignored(samples: Sequence[ValueSample]) -> float | None:
    """Return the label that is far from all others, such as 255 of 0 to 20, which means "ignore"; None without."""
    found = sorted({value for sample in samples for value in np.unique(sample.some).tolist()})
    if len(found) < 3:
        return None
    if found[-1] - found[-2] > MARK_BEYOND * (found[-2] - found[0]):
        return float(found[-1])
    return float(found[0]) if found[1] - found[0] > MARK_BEYOND * (found[-1] - found[1]) else None
