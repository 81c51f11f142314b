"""Arrays as sources: .npy, .npz and idx files, and named data sets; never pickle."""

import os
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from math import isqrt
from pathlib import Path
from typing import IO, Any

import numpy as np

from gansmith.core.array_files import load_array, parsed_again
from gansmith.core.errors import DataError
from gansmith.core.file_names import escaped, printable
from gansmith.core.plain_files import open_plain
from gansmith.data.base import Item, Listing, Payload
from gansmith.data.sources.idx_files import is_idx, labels_beside, read_idx
from gansmith.data.sources.label_tables import no_classes
from gansmith.data.sources.layouts import TEXTS
from gansmith.data.sources.walk import ending_of, rubbish_noun
from gansmith.imaging.images import MODES, POINT, as_levels
from gansmith.imaging.values import MOST_BANDS

BY_PLACE = "arr_"  # names of numpy.savez for arrays without one: arr_0, arr_1
IMAGE_KEYS = ("images", "x", "arr_0")
LABEL_KEYS, OTHER_LABEL_KEYS = ("labels", "y"), ("label", "targets", "target")
# Names of other programs, in lower case: Keras, MedMNIST, and their like. Training images come first.
SPLIT_KEYS = (
    ("x_train", "y_train"), ("train_images", "train_labels"), ("train_x", "train_y"), ("xtrain", "ytrain"),
    ("trainx", "trainy"), ("training_images", "training_labels"), ("train_data", "train_labels"),
    ("train_data", "train_label"), ("train_images", "train_label"), ("train_imgs", "train_labels"),
    ("data", "target"), ("data", "targets"), ("data", "labels"), ("data", "y"), ("image", "label"), ("data", "label"),
    ("imgs", "labels"), ("x_test", "y_test"), ("test_images", "test_labels"),
)  # fmt: skip
NPY_PAIRS = (("images", "labels"), ("x", "y"), *SPLIT_KEYS)
CLASS_KEY = "class_names"
HEADER_READERS: dict[tuple[int, int], Any] = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}
MAX_NPZ_BYTES = 4 * 10**9  # of the arrays that are read, unpacked


@dataclass(frozen=True)
class Arrays:
    """Images as stored, with labels (numbers or names) if there are any."""

    images: np.ndarray  # (N, H, W), (N, H, W, C) or (N, C, H, W)
    labels: np.ndarray | None = None  # (N,)
    class_names: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()  # remarks for the summary


class ArraySource:
    """Images in an array; ``load`` is only called when the cache has to be built.

    Raises DataError for a shape, a type or values that images cannot have.
    """

    items_per_job = 256
    is_one_file = True  # of many images

    def __init__(self, name: str, location: str, stamp: Callable[[], str], load: Callable[[], Arrays]) -> None:
        self.name = name
        self.location = location
        self.stamp = stamp
        self._load = load
        self._images: np.ndarray | None = None

    def scan(self) -> Listing:
        """Check the arrays and list their rows."""
        arrays = self._load()
        self._images, notes = self._oriented(arrays.images)
        if self._images.shape[1:] == POINT and self._images.dtype != np.uint8:
            self._images, note = self._point_levels(self._images)
            notes.append(note)
        labels, classes = self._labels(arrays, len(self._images), notes)
        items = tuple(Item(f"{row:08d}", label, row) for row, label in enumerate(labels.tolist()))
        return Listing(items, classes, {}, (*notes, *arrays.notes))

    def stream(self, items: Sequence[Item]) -> Iterator[tuple[int, Callable[[], Payload]]]:
        """Yield functions that return rows (H, W, C) in the type of the array."""
        for position, item in enumerate(items):
            yield position, partial(self._row, item.locator)

    def _row(self, row: int) -> np.ndarray:
        assert self._images is not None
        return np.ascontiguousarray(self._images[row])

    def _oriented(self, images: np.ndarray) -> tuple[np.ndarray, list[str]]:
        """Return the images as (N, H, W, C), and notes on the axes; DataError for an unclear or wrong shape."""
        shape = images.shape
        if images.dtype.kind not in "uifb":
            raise DataError(
                "data.array_type",
                f"array of type {images.dtype} in '{self.location}' cannot be read as images"
                "\n  allowed: whole numbers, floats and bool; store other values as several bands of floats",
            )
        notes = []
        if len(shape) == 2 and _flat_side(shape[1]) and images.size:
            images = unflattened(images)
            side = images.shape[1]
            notes = [f"array {shape} read as {shape[0]:,} flat images of {side} x {side} x {images.shape[3]}"]
            return images, notes
        if len(shape) == 3 and (turned := stack_first(images)).shape != shape:
            notes = [f"array {shape} read as {shape[2]:,} images along the third axis"]
            images, shape = turned, turned.shape
        first, last = (_can_be_bands(shape, axis) for axis in (1, 3))
        if first == last and len(shape) == 4:
            first, last = (shape[axis] in MODES for axis in (1, 3))
        if len(shape) == 3:
            images = images[..., None]
        elif shape[1:] == POINT:
            pass
        elif len(shape) == 4 and not (first or last) and shape[0] == shape[1] and shape[2] in MODES:
            return self._not_empty(images.transpose(3, 0, 1, 2)), [f"array {shape} read as (H, W, C, N), as of MATLAB"]
        elif len(shape) != 4 or first == last:
            wrong = "can be read in two ways" if first else "does not hold images"
            raise DataError(
                "data.array_shape",
                f"array of shape {shape} in '{self.location}' {wrong}"
                f"\n  allowed: (N, H, W), (N, H, W, C) or (N, C, H, W) with C of 1 to {MOST_BANDS}"
                "\n  reshape or transpose it to (N, H, W, C), with more rows and columns than channels",
            )
        elif first:
            return self._not_empty(images.transpose(0, 2, 3, 1)), [f"array {shape} read as (N, C, H, W)"]
        return self._not_empty(images), notes

    def _point_levels(self, points: np.ndarray) -> tuple[np.ndarray, str]:
        """Return points in the plane, (N, 1, 2, 1) in [-1, 1], as uint8, and a note; DataError outside [-1, 1]."""
        low, high = float(points.min()), float(points.max())
        if not (low >= -1.001 and high <= 1.001):  # also for NaN
            raise DataError(
                "data.array_range",
                f"points in '{self.location}' have coordinates from {low:g} to {high:g}"
                "\n  allowed: -1 to 1; scale them",
            )
        return as_levels(points.astype(np.float64)), f"float values {low:g} to {high:g}: -1 to 1 is scaled to 8 bits"

    def _not_empty(self, images: np.ndarray) -> np.ndarray:
        if images.size == 0:
            raise DataError(
                "data.empty",
                f"no images in '{self.location}': the array has shape {images.shape}\n  pass a file with images",
            )
        return images

    def _labels(self, arrays: Arrays, count: int, notes: list[str]) -> tuple[np.ndarray, tuple[str, ...]]:
        """Return labels, int64 (count,), and class names; -1 and () without labels, with a note if they are none."""
        if arrays.labels is None:
            return np.full(count, -1), ()
        labels = _plain_labels(arrays.labels.reshape(-1) if arrays.labels.shape == (count, 1) else arrays.labels)
        if labels.shape != (count,) or labels.dtype.kind not in "iuU":
            raise DataError(
                "data.labels_shape",
                f"labels in '{self.location}' have shape {labels.shape} and type {labels.dtype}"
                f"\n  allowed: {count} whole numbers or names, one for each image",
            )
        values, numbers = np.unique(labels, return_inverse=True)
        if not arrays.class_names or labels.dtype.kind == "U":
            names = tuple(printable(str(value)) for value in values)
            if reason := no_classes([names[number] for number in numbers.tolist()]):
                advice = "" if labels.dtype.kind == "U" else f"; an array '{CLASS_KEY}' in an .npz makes them classes"
                notes.append(f"no labels: they are {reason}{advice}")
                return np.full(count, -1), ()
            return numbers.astype(np.int64), names
        known = len(arrays.class_names)
        if values[0] < 0 or values[-1] >= known:
            raise DataError(
                "data.labels_range",
                f"labels in '{self.location}' run from {values[0]} to {values[-1]}"
                f"\n  allowed: 0 to {known - 1}, one for each of the {known} class names",
            )
        return labels.astype(np.int64), arrays.class_names


def _plain_labels(labels: np.ndarray) -> np.ndarray:
    """Return labels of type bool, whole floats and bytes as whole numbers and names; others as they are."""
    if labels.dtype.kind == "S":
        return np.char.decode(labels, "utf-8", "backslashreplace")
    is_whole = labels.dtype.kind == "f" and bool(((labels == labels.round()) & (np.abs(labels) < 2**53)).all())
    return labels.astype(np.int64) if is_whole or labels.dtype.kind == "b" else labels


def stack_first(array: np.ndarray) -> np.ndarray:
    """Return (N, H, W) of three axes; (H, W, N), as MATLAB stores a stack, is told by its first two that are equal."""
    rows, columns, depth = array.shape
    return array.transpose(2, 0, 1) if rows == columns != depth else array


def unflattened(array: np.ndarray) -> np.ndarray:
    """Return rows of square images, gray (N, S * S) or colour (N, 3 * S * S), as (N, H, W, C)."""
    side, count = _flat_side(array.shape[1]), len(array)
    if side * side == array.shape[1]:
        return array.reshape(count, side, side, 1)
    return array.reshape(count, 3, side, side).transpose(0, 2, 3, 1)


def _flat_side(length: int) -> int:
    """Return the side of the square image with so many values, gray or colour; 0 if there is none of 16 px or more."""
    for values in (length, length // 3 if length % 3 == 0 else 0):
        side = isqrt(values)
        if side >= 16 and side * side == values:
            return side
    return 0


def _can_be_bands(shape: tuple[int, ...], axis: int) -> bool:
    """Say whether an axis of (N, H, W, C) or (N, C, H, W) can be the channels."""
    if len(shape) != 4:
        return False
    sides = [length for at, length in enumerate(shape) if at not in (0, axis)]
    return shape[axis] in MODES or (shape[axis] <= MOST_BANDS and shape[axis] < min(sides))


def array_file(path: Path, *, name: str = "") -> ArraySource:
    """Return a .npy, .npz or idx file as a source; a ``name`` replaces its path, so the file may lie anywhere."""
    path = path.resolve()
    is_npy = path.suffix.lower() == ".npy"
    labels = labels_beside(path) if is_idx(path.name) else _npy_labels_beside(path) if is_npy else None

    def load() -> Arrays:
        if is_idx(path.name):
            return Arrays(read_idx(path), read_idx(labels) if labels else None, (), _beside_notes(path, labels))
        if not is_npy:
            return read_npz(path)
        arrays = read_npy(path)
        if labels is None:
            return arrays
        found, name = read_npy(labels).images, printable(labels.name)
        if found.ndim not in (1, 2) or len(found) != len(arrays.images):
            return replace(arrays, notes=(f"'{name}' is not used: it has the shape {found.shape}",))
        single, notes = _single_labels(np.asarray(found), name)
        return replace(arrays, labels=single, notes=(*_beside_notes(path, labels), *notes))

    def stamp() -> str:
        stats = [file.stat() for file in (path, labels) if file]
        return " ".join(f"{status.st_size} {status.st_mtime_ns}" for status in stats)

    return ArraySource(name or printable(path.stem), name or escaped(path), stamp, load)


def _npy_labels_beside(path: Path) -> Path | None:
    """Return the file of labels beside one of images, such as y_train.npy beside x_train.npy; None without one."""
    wanted = [labels for images, labels in NPY_PAIRS if images == path.stem.lower()]
    beside = {each.stem.lower(): each for each in sorted(path.parent.glob("*.npy")) if each.is_file()} if wanted else {}
    return next((beside[name] for name in wanted if name in beside), None)


def _beside_notes(path: Path, labels: Path | None) -> tuple[str, ...]:
    known = {name for pair in NPY_PAIRS for name in pair} if path.suffix.lower() == ".npy" else ()
    left = [each.name for each in sorted(path.parent.glob("*.npy")) if each.stem.lower() in known]
    left = [printable(name) for name in left if name not in (path.name, labels.name if labels else "")]
    more = f"; not read: {', '.join(left)}" if left else ""
    told = printable(labels.name) if labels else "none beside it"
    return (f"images: {printable(path.name)}; labels: {told}{more}",)


def array_alone_in(folder: Path) -> Path | None:
    """Return the one .npy, .npz or idx file of many images in a folder with nothing else but texts; None for others.

    Of several idx files it is the one of training images, and so it is of .npy files that are named like x_train and
    y_train.
    """
    found: list[Path] = []
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                name = printable(os.fsencode(entry.name))
                if rubbish_noun(name, is_folder=entry.is_dir()) or (entry.is_file() and ending_of(name) in TEXTS):
                    continue
                if not entry.is_file():
                    return None
                found.append(Path(entry.path))
        if found and all("ubyte" in path.name.lower() for path in found):
            images = sorted(path for path in found if is_idx(path.name))
            return next((path for path in images if "train" in path.name.lower()), images[0] if images else None)
        if len(found) > 1 and all(path.suffix.lower() == ".npy" for path in found):
            stems = {path.stem.lower(): path for path in found}
            pairs = [pair for pair in NPY_PAIRS if stems.keys() >= {*pair}]
            is_known = stems.keys() <= {name for pair in NPY_PAIRS for name in pair}
            return stems[pairs[0][0]] if pairs and is_known and _are_set(*(stems[name] for name in pairs[0])) else None
        is_one = len(found) == 1 and found[0].suffix.lower() in (".npy", ".npz")
        return found[0] if is_one and not _is_single_image(found[0]) else None
    except OSError:  # the folder's own source tells why
        return None


def _are_set(images: Path, labels: Path) -> bool:
    """Say whether two .npy files hold many images and their labels, and not an image and its mask."""
    try:
        return len(read_npy(labels).images.shape) == 1 or not _is_single_image(images)
    except DataError:  # array_file tells why
        return True


def _is_single_image(path: Path) -> bool:
    """Say whether a .npy or .npz file holds one image: (H, W), or (H, W, C) with few channels."""
    try:
        if path.suffix.lower() == ".npy":
            shape = read_npy(path).images.shape
        else:
            with open_plain(path) as packed, zipfile.ZipFile(packed) as archive:
                members = {name.removesuffix(".npy"): archive.getinfo(name) for name in archive.namelist()}
                images, _ = _keys(tuple(members), path, lambda key: _shape_in(archive, members[key]))
                shape = _shape_in(archive, members[images])
    except (DataError, zipfile.BadZipFile, ValueError, NotImplementedError):  # array_file tells why
        return False
    return len(shape) < 3 or (len(shape) == 3 and shape[2] <= MOST_BANDS and shape[2] < min(shape[:2]))


def read_npy(path: Path) -> Arrays:
    """Return the array of a .npy file, memory-mapped."""
    try:
        with open_plain(path) as file:
            _check_header(file, path, path.stem, path.stat().st_size)
        return Arrays(load_array(path, mmap_mode="r"))
    except DataError:
        raise
    except (ValueError, OSError) as problem:
        raise DataError(
            "data.damaged_array", f"array file '{path}' is damaged: {problem}\n  save it again with numpy.save"
        ) from problem


def read_npz(path: Path) -> Arrays:
    """Return the images, labels and class names of a .npz file.

    The images are the array ``images``, ``x`` or ``arr_0``, a name of ``SPLIT_KEYS``, or the only array but labels.
    """
    try:
        with open_plain(path) as packed, zipfile.ZipFile(packed) as archive:
            members = {name.removesuffix(".npy"): _member_of(archive, name) for name in archive.namelist()}
            images, labels = _keys(tuple(members), path, lambda key: _shape_in(archive, members[key]))
            by_place = (labels or "").startswith(BY_PLACE)
            wanted = [images, *([labels] if labels else []), *([CLASS_KEY] if CLASS_KEY in members else [])]
            for key in wanted:
                with archive.open(members[key]) as file:
                    _check_header(file, path, key, members[key].file_size)
            if sum(members[key].file_size for key in wanted) > MAX_NPZ_BYTES:
                raise DataError(
                    "data.array_too_large",
                    f"the arrays in '{path}' take more than {MAX_NPZ_BYTES // 10**9} GB of memory"
                    "\n  save the images as a .npy file, which is not loaded into memory",
                )
        with open_plain(path) as packed, np.load(packed, allow_pickle=False) as arrays:
            read = {key: parsed_again(partial(arrays.__getitem__, key)) for key in wanted}
            names = tuple(printable(str(name)) for name in read[CLASS_KEY].tolist()) if CLASS_KEY in wanted else ()
            left = sorted(members.keys() - set(wanted))
            notes = [f"images: array '{images}'; not read: {', '.join(left)}"] if left else []
            found, more = _single_labels(read[labels] if labels else None, labels or "")
            if by_place and found is not None and _plain_labels(found).dtype.kind not in "iuU":
                found, more = None, [f"no labels: '{labels}' holds neither whole numbers nor names"]
            return Arrays(read[images], found, names, (*notes, *more))
    except (DataError, MemoryError):
        raise
    except Exception as problem:  # zipfile, zlib and numpy raise many types for damaged files
        raise DataError(
            "data.damaged_array", f"array file '{path}' is damaged: {problem}\n  save it again with numpy.savez"
        ) from problem


def read_array(file: IO[bytes], name: str, size: int) -> np.ndarray:
    """Return the array of a .npy file, or the images of a .npz file; DataError where that fails."""
    try:
        if not name.lower().endswith(".npz"):
            _check_header(file, Path(name), "the array", size)
            file.seek(0)
            return np.asarray(load_array(file))
        with zipfile.ZipFile(file) as archive:
            members = {entry.removesuffix(".npy"): _member_of(archive, entry) for entry in archive.namelist()}
            images, _ = _keys(tuple(members), Path(name), lambda key: _shape_in(archive, members[key]))
            with archive.open(members[images]) as member:
                _check_header(member, Path(name), images, members[images].file_size)
        file.seek(0)
        with np.load(file, allow_pickle=False) as arrays:
            return np.asarray(parsed_again(partial(arrays.__getitem__, images)))
    except (DataError, MemoryError):
        raise
    except Exception as problem:  # zipfile, zlib and numpy raise many types for damaged files
        raise DataError(
            "data.damaged_array", f"damaged array ({problem})\n  save it again with numpy.save"
        ) from problem


def _member_of(archive: zipfile.ZipFile, name: str) -> zipfile.ZipInfo:
    """Return an entry of a .npz; ValueError for a method that numpy does not write and zipfile unpacks at once."""
    entry = archive.getinfo(name)
    if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise ValueError(f"'{name}' is packed with another method than numpy.savez uses")
    return entry


def _keys(keys: Sequence[str], path: Path, shape_of: Callable[[str], tuple[int, ...]]) -> tuple[str, str | None]:
    """Return the names of the arrays of images and of labels; DataError if it is not clear which holds the images.

    Where no name says it, the only array with three axes or more has the images, else the only one with two. Of arrays
    without names (arr_0, arr_1) the one beside the images has the labels, if it has a row for each image.
    """

    def num_axes(key: str) -> int:
        return len(shape_of(key))

    named = {key.lower(): key for key in sorted(keys)}  # where two differ in capitals alone, the one in small letters
    plain = [key for key in OTHER_LABEL_KEYS if key in named and num_axes(named[key]) < 3]
    labels = next((named[key] for key in (*LABEL_KEYS, *plain) if key in named), None)
    if not labels and all(key.startswith(BY_PLACE) for key in named):
        for first, second in ((0, 1), (1, 0)):
            images, beside = (named.get(f"{BY_PLACE}{place}") for place in (first, second))
            if not images or not beside:
                continue
            shape, axes = shape_of(beside), len(shape_of(images))
            if axes > 1 and (len(shape) == 1 or shape[1:] == (1,) or (axes > 2 and len(shape) == 2)):
                return images, beside if shape[0] == shape_of(images)[0] else None
    if known := [named[key] for key in IMAGE_KEYS if key in named]:
        return known[0], labels
    for images, _ in SPLIT_KEYS:
        if images in named:
            pairs = [second for first, second in SPLIT_KEYS if first == images and second in named]
            return named[images], named[pairs[0]] if pairs else labels
    others = [key for key in keys if key != labels and key.lower() not in (*LABEL_KEYS, CLASS_KEY)]
    if len(others) > 1:
        others = [key for key in others if num_axes(key) > 2] or [key for key in others if num_axes(key) == 2]
    if len(others) == 1:
        return others[0], labels
    raise DataError(
        "data.no_image_array",
        f"cannot tell which array in '{path}' holds the images"
        f"\n  its arrays: {', '.join(sorted(keys)) or 'none'}"
        f"\n  name the array of images {_choice(IMAGE_KEYS)} (and the array of labels {_choice(LABEL_KEYS)})",
    )


def _shape_in(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> tuple[int, ...]:
    """Return the shape of an array in a .npz file; () for what is no array."""
    try:
        with archive.open(member) as file:
            return _header(file)[0]
    except (ValueError, EOFError, KeyError):
        return ()


def _single_labels(labels: np.ndarray | None, key: str) -> tuple[np.ndarray | None, list[str]]:
    """Return labels of one class for each image, also of one-hot rows; None and a note for several at once."""
    if labels is None or labels.ndim != 2 or labels.shape[1] < 2 or labels.dtype.kind not in "uifb":
        return labels, []
    is_one_hot = bool(((labels == 0) | (labels == 1)).all() and (labels.sum(axis=1) == 1).all())
    if is_one_hot:
        return labels.argmax(axis=1), []
    return None, [f"no labels: '{key}' has {labels.shape[1]} values for each image, not one class"]


def _choice(names: Sequence[str]) -> str:
    return " or ".join(f"'{name}'" for name in names)


def _header(file: IO[bytes]) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Return shape and type of the array that begins here; raises what numpy does, and KeyError for an odd version."""
    start = file.tell()

    def read() -> tuple[tuple[int, ...], np.dtype[Any]]:
        file.seek(start)
        shape, _, dtype = HEADER_READERS[np.lib.format.read_magic(file)](file)
        return shape, dtype

    return parsed_again(read)


def _check_header(file: IO[bytes], path: Path, key: str, size: int) -> None:
    """Raise DataError for a file that is not an array, holds Python objects, or is shorter than its header says."""
    try:
        shape, dtype = _header(file)
    except Exception as problem:  # numpy evaluates the text of the header, with errors of the parser of Python
        raise DataError(
            "data.damaged_array", f"'{key}' in '{path}' is not a numpy array: {problem}\n  save it with numpy.save"
        ) from problem
    if dtype.hasobject:
        raise DataError(
            "data.pickled_array",
            f"array '{key}' in '{path}' holds Python objects; only pickle reads them, and pickle can run code"
            "\n  save numbers of one type, and images of one shape",
        )
    needed = int(np.prod(shape, dtype=object)) * dtype.itemsize
    if needed > size:
        raise DataError(
            "data.damaged_array",
            f"array '{key}' in '{path}' is cut off: it should have {needed:,} bytes but has {size:,}"
            "\n  copy the file again",
        )
