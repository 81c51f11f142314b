"""Folders and archives of .npy, .npz, DICOM and NIfTI files: one image or several in each."""

import io
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from gansmith.core.errors import DataError, counted
from gansmith.data.base import Item, Listing, Payload
from gansmith.data.sources.arrays import read_array, stack_first, unflattened
from gansmith.data.sources.label_tables import FEW_LABELS
from gansmith.data.sources.walk import ARRAY_ENDINGS, START_BYTES, ending_by_content, ending_of
from gansmith.imaging.deep_files import DICOM_ENDINGS, read_dicom, read_nifti
from gansmith.imaging.images import MODES, ImageError
from gansmith.imaging.values import MOST_BANDS

FLAT_IMAGES = (784, 3072)  # values of a flat image of MNIST's or CIFAR's size, as Quick, Draw! has them
Stream = Callable[[Sequence[Item]], Iterator[tuple[int, Callable[[], Payload]]]]


class ArrayFiles:
    """The arrays of a listing's files; each file may hold several images.

    With a ``step`` (of frames=all: 1, of every:N: N) each N-th image is taken, and bands that are a guess are images.
    """

    def __init__(self, listing: Listing, stream: Stream, step: int | None = None) -> None:
        """Read every file once, for the number of its images."""
        self._stream = stream
        self._split, step = step is not None, step or 1
        counts, guessed = dict[int, int](), Counter[int]()
        for position, read in stream(listing.items):
            try:
                images, is_guess = _read_images(read(), listing.items[position].name)
            except ImageError:
                continue  # the survey says why
            bands = images.shape[3] if is_guess else 1
            counts[position] = len(images) * (bands if self._split else 1)
            guessed[bands] += is_guess
        items: list[Item] = []
        for position, item in enumerate(listing.items):
            count = counts.get(position, 1)
            names = [item.name] if count == 1 else [f"{item.name}#{row:05d}" for row in range(count)]
            images_of = [Item(name, item.label, (item.locator, row, item.name)) for row, name in enumerate(names)]
            items += images_of[::step]
        stacks = sum(count > 1 for count in counts.values())
        unused = sum(count - -(-count // step) for count in counts.values())
        notes = [f"{counted(stacks, 'file')} with several images" + (f", {unused:,} not used" if unused else "")]
        notes = notes if stacks else []
        if (most := guessed.most_common(1)) and most[0][0] > 1 and not self._split:
            bands = most[0][0]
            notes.append(
                f"a guess: {bands} layers of a file are the bands of one image; frames=all takes each as an image"
            )
        are_volumes = any(ending_of(item.name) not in (".npy", ".npz") for item in listing.items)
        if 1 < stacks == len(listing.items) <= FEW_LABELS and not listing.classes and not are_volumes:
            notes[0] += "; to make a class of each, put it into a folder of its own"
        self.listing = replace(listing, items=tuple(items), notes=(*listing.notes, *notes))

    def stream(self, items: Sequence[Item]) -> Iterator[tuple[int, Callable[[], Payload]]]:
        """Yield functions that return images (H, W, C) in the type of the file."""
        places: dict[Any, list[int]] = {}
        for position, item in enumerate(items):
            places.setdefault(item.locator[0], []).append(position)
        files = [Item(items[positions[0]].locator[2], -1, locator) for locator, positions in places.items()]
        for at, read in self._stream(files):
            file = _OneFile(read, files[at].name, split=self._split)
            for position in places[files[at].locator]:
                yield position, partial(self._image, file, items[position].locator[1])

    def _image(self, file: "_OneFile", row: int) -> np.ndarray:
        images = file.images()
        return np.ascontiguousarray(images[min(row, len(images) - 1)])


class _OneFile:
    """The images of one file, read on first use; threads share them."""

    def __init__(self, read: Callable[[], Payload], name: str, *, split: bool) -> None:
        self._read, self._name, self._split, self._lock = read, name, split, threading.Lock()
        self._images: np.ndarray | None = None

    def images(self) -> np.ndarray:
        """Return (N, H, W, C)."""
        with self._lock:
            if self._images is None:
                images, is_guess = _read_images(self._read(), self._name)
                if is_guess and self._split:
                    images = images.transpose(0, 3, 1, 2).reshape(-1, *images.shape[1:3], 1)
                self._images = images
            return self._images


def images_in(content: Payload, name: str) -> np.ndarray:
    """Return the images of a file, (N, H, W, C); ImageError if it is damaged, or no array of numbers."""
    return _read_images(content, name)[0]


def _read_images(content: Payload, name: str) -> tuple[np.ndarray, bool]:
    """Return the images of a file, and whether it is a guess that their last axis holds bands, and not images."""
    assert isinstance(content, bytes)
    ending = ending_of(name)
    ending = ending if ending in ARRAY_ENDINGS else ending_by_content(content[:START_BYTES])
    if ending in DICOM_ENDINGS:
        return read_dicom(content), False
    if ending in (".nii", ".nii.gz"):
        images = read_nifti(content)
        return images, images.shape[3] > 1  # often times
    try:
        array = read_array(io.BytesIO(content), name, len(content))
    except DataError as problem:
        text = str(problem).partition("\n")[0].replace(f" in '{name}'", "")  # whoever reports it says the name
        raise ImageError("image.unreadable_array", text) from problem
    if array.dtype.kind not in "uifb":
        raise ImageError("image.unreadable_array", f"array of type {array.dtype}, not of numbers")
    images = _oriented(array)
    return images, array.ndim == 3 and len(images) == 1 and images.shape[3] not in MODES


def _oriented(array: np.ndarray) -> np.ndarray:
    """Return one image or several as (N, H, W, C); ImageError for other shapes."""
    if array.dtype == np.uint8 and array.ndim == 2 and array.shape[1] in FLAT_IMAGES and array.size:
        return unflattened(array)
    if array.ndim == 2:
        return array[None, ..., None]
    if array.ndim == 3 and array.size and not _are_bands(array.shape[2], array.shape[:2]):
        if _are_bands(array.shape[0], array.shape[1:]):
            return array.transpose(1, 2, 0)[None]
        return stack_first(array)[..., None]
    if array.ndim == 3 and array.size:
        return array[None]
    if array.ndim == 4 and array.size and _are_bands(array.shape[3], array.shape[1:3]):
        return array
    if array.ndim == 4 and array.size and _are_bands(array.shape[1], array.shape[2:]):
        return array.transpose(0, 2, 3, 1)
    raise ImageError(
        "image.array_shape",
        f"array of shape {array.shape}; allowed: (H, W), (H, W, C) or (N, H, W, C) with C of 1 to {MOST_BANDS}",
    )


def _are_bands(count: int, sides: tuple[int, ...]) -> bool:
    """Say whether an axis can be the bands of an image with these sides: short, and the shortest."""
    return count <= MOST_BANDS and count < min(sides)
