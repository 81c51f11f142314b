"""Folders and archives of .npy and .npz files: one image or several in each, and one range of values for all."""

import io
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from gansmith.core.errors import DataError, counted
from gansmith.data.base import Item, Listing, Payload
from gansmith.data.sources.arrays import read_array
from gansmith.imaging.images import MODES, ImageError

Stream = Callable[[Sequence[Item]], Iterator[tuple[int, Callable[[], Payload]]]]


@dataclass(frozen=True)
class ValueScale:
    """How values of a set of arrays become 0 to 255: (value + offset) * factor."""

    offset: float = 0.0
    factor: float = 1.0

    def apply(self, image: np.ndarray) -> np.ndarray:
        """Return an image as uint8 (H, W, C); ImageError for NaN and infinity."""
        if not np.isfinite(image).all():
            raise ImageError("image.not_finite", "has values that are NaN or infinite")
        if image.dtype == np.uint8 and self == ValueScale():
            return np.ascontiguousarray(image)
        values = (image.astype(np.float64) + self.offset) * self.factor
        return np.ascontiguousarray(values.round().clip(0, 255).astype(np.uint8))


class ArrayFiles:
    """The arrays of a listing's files; each file may hold several images."""

    def __init__(self, listing: Listing, stream: Stream) -> None:
        """Read every file once: its shape, and the range of its values."""
        self._stream = stream
        counts = dict[int, int]()
        kinds, low, high = set[str](), np.inf, -np.inf
        for position, read in stream(listing.items):
            try:
                images = _oriented(_load(read(), listing.items[position].name))
            except ImageError:
                continue  # the survey says why
            counts[position] = len(images)
            kinds.add(str(images.dtype))
            finite = images[np.isfinite(images)] if images.dtype.kind == "f" else images
            if finite.size:
                low, high = min(low, float(finite.min())), max(high, float(finite.max()))
        self._scale, note = _scale_for(kinds, low, high)
        items: list[Item] = []
        for position, item in enumerate(listing.items):
            count = counts.get(position, 1)
            names = [item.name] if count == 1 else [f"{item.name}#{row:05d}" for row in range(count)]
            items += [Item(name, item.label, (item.locator, row)) for row, name in enumerate(names)]
        stacks = sum(count > 1 for count in counts.values())
        notes = [f"{counted(stacks, 'file')} with several images"] if stacks else []
        self.listing = replace(listing, items=tuple(items), notes=(*listing.notes, *notes, *note))

    def stream(self, items: Sequence[Item]) -> Iterator[tuple[int, Callable[[], Payload]]]:
        """Yield functions that return images, uint8 (H, W, C)."""
        places: dict[Any, list[int]] = {}
        for position, item in enumerate(items):
            places.setdefault(item.locator[0], []).append(position)
        files = [Item(items[positions[0]].name, -1, locator) for locator, positions in places.items()]
        for at, read in self._stream(files):
            file = _OneFile(read, files[at].name)
            for position in places[files[at].locator]:
                yield position, partial(self._image, file, items[position].locator[1])

    def _image(self, file: "_OneFile", row: int) -> np.ndarray:
        images = file.images()
        return self._scale.apply(images[min(row, len(images) - 1)])


class _OneFile:
    """The images of one file, read on first use; threads share them."""

    def __init__(self, read: Callable[[], Payload], name: str) -> None:
        self._read, self._name, self._lock = read, name, threading.Lock()
        self._images: np.ndarray | None = None

    def images(self) -> np.ndarray:
        """Return (N, H, W, C)."""
        with self._lock:
            if self._images is None:
                self._images = _oriented(_load(self._read(), self._name))
            return self._images


def _load(content: Payload, name: str) -> np.ndarray:
    """Return the array in a file; ImageError if it is damaged, or no array of numbers."""
    assert isinstance(content, bytes)
    try:
        array = read_array(io.BytesIO(content), name, len(content))
    except DataError as problem:
        raise ImageError("image.unreadable_array", str(problem).partition("\n")[0]) from problem
    if array.dtype.kind not in "uifb":
        raise ImageError("image.unreadable_array", f"array of type {array.dtype}, not of numbers")
    return array


def _oriented(array: np.ndarray) -> np.ndarray:
    """Return one image or several as (N, H, W, C); ImageError for other shapes."""
    if array.ndim == 2:
        return array[None, ..., None]
    if array.ndim == 3 and array.shape[2] in MODES:
        return array[None]
    if array.ndim == 3 and array.shape[0] in MODES:
        return array.transpose(1, 2, 0)[None]
    if array.ndim == 3 and array.size:
        return array[..., None]
    if array.ndim == 4 and array.size and array.shape[3] in MODES:
        return array
    if array.ndim == 4 and array.size and array.shape[1] in MODES:
        return array.transpose(0, 2, 3, 1)
    raise ImageError(
        "image.array_shape",
        f"array of shape {array.shape}; allowed: (H, W), (H, W, C) or (N, H, W, C) with 1, 3 or 4 C",
    )


def _scale_for(kinds: Iterable[str], low: float, high: float) -> tuple[ValueScale, tuple[str, ...]]:
    """Return the scale from the values of a whole set to 0..255, and a note on it."""
    found = set(kinds)
    if not np.isfinite(low):
        return ValueScale(), ()
    if found <= {"uint8"}:
        return ValueScale(), ()
    if found <= {"bool"}:
        return ValueScale(0.0, 255.0), ("true becomes white, false black",)
    text = f"values {low:g} to {high:g}"
    if all(kind.startswith(("float", "bfloat")) for kind in found) and high <= 1.001 and low >= -1.001:
        signed = low < -0.001
        scale = ValueScale(1.0, 127.5) if signed else ValueScale(0.0, 255.0)
        return scale, (f"{text}: {'-1..1' if signed else '0..1'} is scaled to 8 bit",)
    if low >= 0 and high <= 255 and not any(kind.startswith("float") for kind in found) and high > 1:
        return ValueScale(), (f"{text} of {', '.join(sorted(found))}: taken as 0..255",)
    factor = 255.0 / (high - low) if high > low else 1.0
    return ValueScale(-low, factor), (f"{text} in the whole set become 0..255, the same for every file",)
