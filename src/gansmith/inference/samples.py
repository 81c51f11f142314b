"""Generated images: show them as a grid, write them as files or as a data set."""

import io
import os
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import IO

import numpy as np
import PIL.Image

from gansmith.core.atomic_files import commit_bytes, commit_file
from gansmith.core.errors import GansmithError, counted
from gansmith.core.events import OnProgress, Progress, saying_what_is_there, silent
from gansmith.core.file_names import escaped
from gansmith.core.output_paths import FILE_ENDINGS, make_parent_folders, output_file, refuse_used_folder
from gansmith.core.plain_files import open_plain, read_bytes
from gansmith.data.image_info import as_values
from gansmith.imaging.captions import captioned_grid
from gansmith.imaging.deep_files import encode_png16, write_tiff
from gansmith.imaging.images import (
    POINT,
    QUALITY,
    WRITTEN_AS,
    encode_image,
    encode_png,
    from_levels,
    make_grid,
    quiet_readers,
    to_pil,
)
from gansmith.imaging.scatter import draw_points
from gansmith.imaging.values import PixelValues, picture_of, shares, units_of

TIFF = (".tif", ".tiff")
WRITTEN = (".png", ".npz", ".npy", *TIFF, ".zip")
GRID_PIXELS = 100_000_000
SHOWN, SHOWN_PIXELS = 64, 300_000  # in a notebook: most images, and most pixels of all together
# The last bytes of files: name and checksum of the end chunk, and the end marker.
ENDS = {"PNG": bytes.fromhex("49454e44ae426082"), "JPEG": b"\xff\xd9"}
OTHER_IMAGE_LEVELS = 2  # mean difference of 8-bit levels above which two images are not the same
ZIP_TIME = (1980, 1, 1, 0, 0, 0)  # a fixed time, so that equal samples give equal bytes


@dataclass(frozen=True)
class Picture:
    """One image, uint8 (H, W, C), which notebooks display; with the colour profile of the file that it comes from.

    A result of a model of deep data has its values too, (H, W, C) in the units of that data: .png of 16 bits, .tif and
    .npy hold them.
    """

    array: np.ndarray
    icc_profile: bytes | None = None
    values: np.ndarray | None = None
    meaning: PixelValues | None = None

    def save(self, path: str | Path, quality: int = QUALITY) -> Path:
        """Write a .png, .jpg, .webp, .tif, .bmp or .npy file, whole or not at all; GansmithError for another extension.

        ``encode_image`` explains ``quality``.
        """
        target = output_file(path, "a picture", *WRITTEN_AS, ".npy")
        if target.suffix.lower() == ".npy":
            array = self.array if self.values is None else self.values
            commit_file(target, lambda at: _save_npy(at, array))
            return target
        if self.values is not None and self.meaning is not None:
            content = _values_file(self.values, self.meaning, target.suffix.lower())
            if content is not None:
                commit_file(target, lambda at: at.write_bytes(content))
                return target
        data = encode_image(self.array, target.suffix, quality, self.icc_profile)
        commit_bytes(target, data)
        return target

    def __repr__(self) -> str:
        return f"Picture(uint8 {self.array.shape})"

    def to_pil(self) -> PIL.Image.Image:
        """Return it as a Pillow image."""
        return to_pil(self.array)

    def _repr_png_(self) -> bytes:
        return encode_image(self.array, ".png", icc_profile=self.icc_profile)


@dataclass(frozen=True)
class Samples:
    """Generated images, stored pixels (N, H, W, C), with their label inputs for a conditional model.

    Stored pixels are uint8; of a model of deep data ``values`` says what they mean, and ``in_units`` converts them.
    """

    images: np.ndarray
    labels: np.ndarray | None  # int64 (N,)
    classes: tuple[str, ...]
    columns: int = 8
    names: tuple[str, ...] = ()  # as --seeds names them: 12, or 7:12 for seed 7
    values: PixelValues | None = None  # None: ordinary 8-bit images

    def __len__(self) -> int:
        return len(self.images)

    def in_units(self) -> np.ndarray:
        """Return the images in the units of the data that the model was trained on, (N, H, W, C) in their type."""
        return units_of(self.images, self.values)

    def pictures(self) -> np.ndarray:
        """Return the images as pictures, uint8 (N, H, W, C): low values are black and high ones white."""
        return picture_of(self.images, self.values)

    def __repr__(self) -> str:
        shown = len(self._shown())
        part = "" if shown == len(self) else f"; a notebook shows the first {shown}"
        return f"Samples({counted(len(self), 'image')}, {self.images.dtype} {self.images.shape}{part})"

    def _repr_png_(self) -> bytes:
        return self._shown().grid()._repr_png_()

    def _shown(self) -> "Samples":
        """Return the first samples, few enough for a notebook; all if they are points."""
        count = SHOWN_PIXELS // (self.images.shape[1] * self.images.shape[2])
        return self if self.are_points else replace(self, images=self.images[: max(1, min(SHOWN, count))])

    def to_pil(self) -> list[PIL.Image.Image]:
        """Return the images as Pillow images."""
        return [to_pil(image) for image in self.pictures()]

    @property
    def are_points(self) -> bool:
        """Say whether the images are points in the plane."""
        return self.images.shape[1:] == POINT

    def grid(self, columns: int | None = None, *, numbered: bool = False) -> Picture:
        """Return all images as one picture; points in the plane are drawn as a scatter plot.

        ``numbered`` enlarges small images and writes each image's name below it.
        """
        if self.are_points:
            return Picture(draw_points(self.images))
        columns = min(columns or self.columns, len(self.images))
        if not numbered:
            return Picture(make_grid(self.pictures(), columns))
        return Picture(captioned_grid(self.pictures(), self.names or [*map(str, range(len(self)))], columns))

    def save(self, out: str | Path, *, numbered: bool = False) -> Path:
        """Write a grid (.png), arrays (.npz, .npy), the pages of a .tif, or files in a .zip or in a new folder.

        Images of deep data are written in the units of that data: a grid as PNG of 16 bits where it can hold them,
        else as a picture; files as PNG where it can hold them, else as TIFF. gansmith can train on all but the grid.
        Points in the plane can be a .png, or an .npz with ``points`` too: float32 (N, 2), x and y in [-1, 1].
        Raises GansmithError for a form that cannot be written, and for a folder that is not empty.
        """
        path = check_samples_path(out, numbered=numbered)
        if numbered and self.are_points:
            raise _points_form("numbers into a plot of points")
        make_parent_folders(path)
        if path.suffix.lower() == ".png":
            if self.values is not None and self.values.fits_png and not self.values.is_8_bit and not numbered:
                grid = encode_values_png(make_grid(self.in_units(), min(self.columns, len(self))), self.values)
                commit_file(path, lambda at: at.write_bytes(grid))
                return path
            return self.grid(numbered=numbered).save(path)
        count, shape = len(self), self.images.shape[1:]
        drawn = DrawnSamples(
            lambda first, number: self.images[first : first + number], count, shape, self.labels, self.classes,
            values=self.values,
        )  # fmt: skip
        return drawn.save(path)


@dataclass(frozen=True)
class DrawnSamples:
    """Samples that are drawn while they are written, so that memory does not grow with their number."""

    draw: Callable[[int, int], np.ndarray]  # (first, number) to stored pixels (number, H, W, C)
    count: int
    shape: tuple[int, ...]  # H, W, C
    labels: np.ndarray | None  # int64 (count,)
    classes: tuple[str, ...]
    at_once: int = 256  # images that are drawn at a time
    values: PixelValues | None = None  # the meaning of stored pixels; None: ordinary 8-bit images

    def mapped(self, change: Callable[[np.ndarray], np.ndarray]) -> "DrawnSamples":
        """Return these samples with ``change`` applied to their stored pixels."""
        return replace(self, draw=lambda first, number: change(self.draw(first, number)))

    def save(
        self,
        out: str | Path,
        *,
        resume: bool = False,
        share: tuple[int, int] = (0, 1),
        on_progress: OnProgress = silent,
    ) -> Path:
        """Write x.npz, x.npy, x.tif, x.zip or files in a new folder; single files appear when they are whole.

        Images of deep data are written in the units of that data, as ``Samples.save`` explains.

        ``resume`` goes on in a folder: it draws only the images that are missing. ``share`` is the number of a process
        and how many there are: of a folder each writes its part. Raises GansmithError for a form that cannot be
        written, a folder that is not empty, and a folder of other images to be continued.
        """
        path = check_samples_path(out, resume=resume or share[1] > 1)
        ending = path.suffix.lower()
        if self.shape == POINT and ending not in (".npz", ".npy"):
            raise _points_form(f"points in the plane as '{path}'")
        make_parent_folders(path)
        with saying_what_is_there(lambda: self._stopped(path) if share[0] == 0 else ""):
            if ending in WRITTEN:
                self._write_file(path, ending, on_progress)
            else:
                self._write_folder(path, on_progress, share, resume=resume)
        return path

    def _stopped(self, path: Path) -> str:
        """Return what is there of an interrupted ``save``, and how to go on."""
        if path.suffix.lower() in WRITTEN:
            return f"stopped: '{escaped(path)}' is not written; with --out FOLDER such work can be continued"
        done = sum((path / self._name(number)).exists() for number in range(self.count))
        images = f"{done:,} of {counted(self.count, 'image')} are in '{escaped(path)}'"
        return f"stopped: {images}; the same command with --continue goes on"

    def _write_file(self, path: Path, ending: str, on_progress: OnProgress) -> None:
        if ending == ".npz":
            commit_file(path, lambda at: self._write_npz(at, on_progress))
        elif ending == ".npy":
            commit_file(path, lambda at: self._write_npy(at, on_progress))
        elif ending in TIFF:
            commit_file(path, lambda at: write_tiff(at, self._pages(on_progress), self._bands))
        else:
            commit_file(path, lambda at: self._write_zip(at, on_progress))

    def _parts(self, on_progress: OnProgress) -> Iterator[range]:
        """Yield the numbers of the images of each part; tell about progress if there are several."""
        for first in range(0, self.count, self.at_once):
            end = min(first + self.at_once, self.count)
            yield range(first, end)
            if self.count > self.at_once:
                on_progress(Progress("samples", end, self.count))

    def _write_npz(self, path: Path, on_progress: OnProgress) -> None:
        """Write ``images``, ``labels``, ``class_names`` and ``points``, with the bytes of np.savez_compressed."""
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            points = []
            with archive.open("images.npy", "w", force_zip64=True) as file:
                self._write_header(file)
                for part in self._parts(on_progress):
                    images = self.draw(part.start, len(part))
                    file.write(np.ascontiguousarray(units_of(images, self.values)).data)
                    if self.shape == POINT:
                        points.append(from_levels(images).reshape(-1, 2))
            arrays = dict[str, np.ndarray]()
            if self.labels is not None:
                arrays |= {"labels": self.labels, "class_names": np.array(self.classes)}
            if points:
                arrays |= {"points": np.concatenate(points)}
            for name, array in arrays.items():
                with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                    np.lib.format.write_array(file, array, allow_pickle=False)

    def _write_header(self, file: IO[bytes]) -> None:
        """Write the header of an array of all images in the units that came in."""
        kind = np.dtype(np.uint8 if self.values is None else self.values.kind)
        shape = (self.count, *self.shape)
        header = {"descr": np.lib.format.dtype_to_descr(kind), "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(file, header)

    def _write_npy(self, path: Path, on_progress: OnProgress) -> None:
        with path.open("wb") as file:
            self._write_header(file)
            for page in self._pages(on_progress):
                file.write(np.ascontiguousarray(page).data)

    def _pages(self, on_progress: OnProgress) -> Iterator[np.ndarray]:
        """Yield each image in the units that came in, (H, W, C)."""
        for part in self._parts(on_progress):
            yield from units_of(self.draw(part.start, len(part)), self.values)

    @property
    def _bands(self) -> tuple[str, ...]:
        return self.values.bands if self.values else ()

    @property
    def _ending(self) -> str:
        """Return the ending of single files: .png where it can hold the values, else .tif."""
        return ".png" if self.values is None or self.values.fits_png else ".tif"

    def _encoded(self, image: np.ndarray) -> bytes:
        """Return the content of the file of one image, stored pixels (H, W, C)."""
        if self.values is None:
            return encode_png(image)
        values = self.values.in_units(image)
        if self.values.fits_png:
            return encode_values_png(values, self.values)
        buffer = io.BytesIO()
        write_tiff(buffer, [values], self._bands)
        return buffer.getvalue()

    def _write_zip(self, path: Path, on_progress: OnProgress) -> None:
        with zipfile.ZipFile(path, "w") as archive:
            for part in self._parts(on_progress):
                for number, image in zip(part, self.draw(part.start, len(part)), strict=True):
                    archive.writestr(zipfile.ZipInfo(self._name(number), ZIP_TIME), self._encoded(image))

    def _write_folder(self, folder: Path, on_progress: OnProgress, share: tuple[int, int], *, resume: bool) -> None:
        """Write files as they are drawn; with ``resume`` a part with a file is compared with it before going on."""
        compared = not resume
        for part in islice(self._parts(on_progress), share[0], None, share[1]):
            there = {number: folder / self._name(number) for number in part} if resume else {}
            there = {number: path for number, path in there.items() if is_whole(path)}
            if compared and len(there) == len(part):
                continue
            images = self.draw(part.start, len(part))
            if there and not compared:
                number, compared = next(iter(there)), True
                _refuse_other_image(there[number], images[number - part.start], self.values, folder)
            for number, image in zip(part, images, strict=True):
                if number not in there:
                    path, content = folder / self._name(number), self._encoded(image)
                    path.parent.mkdir(parents=True, exist_ok=True)
                    commit_bytes(path, content, flush=False)

    @cached_property
    def _folders(self) -> list[str]:
        return _folder_names(self.classes)

    def _name(self, number: int) -> str:
        folder = "" if self.labels is None else self._folders[self.labels[number]] + "/"
        return f"{folder}{number:06d}{self._ending}"


def check_samples_path(out: str | Path, *, numbered: bool = False, resume: bool = False) -> Path:
    """Return ``out`` as a path; GansmithError for an extension that cannot be written, or a folder that is not empty.

    Only a grid can be ``numbered``; only a folder can be continued (``resume``), and it may have files.
    """
    path = Path(out)
    if path.suffix.lower() in FILE_ENDINGS - {*WRITTEN}:
        raise GansmithError(
            "output.unknown_ending",
            f"cannot write samples as '{path.suffix}'\n  allowed: grid.png, x.npz, x.npy, x.tif, x.zip or a folder",
        )
    if path.suffix.lower() in WRITTEN:
        if resume:
            raise GansmithError(
                "output.cannot_continue",
                f"--continue goes on in a folder, and '{path}' is not one"
                "\n  leave out --continue, or pass a folder to --out",
            )
    elif not resume or path.is_file():
        refuse_used_folder(path)
    if numbered and path.suffix.lower() != ".png":
        raise GansmithError(
            "output.numbered_without_grid",
            f"only a grid can show numbers, and '{path}' is not a grid\n  allowed: grid.png",
        )
    return path


def refuse_large_grid(count: int, height: int, width: int) -> None:
    """Raise GansmithError if a grid of ``count`` images would have more pixels than programs open."""
    if count * height * width > GRID_PIXELS:
        raise GansmithError(
            "output.grid_too_large",
            f"a grid of {count:,} images of {width} x {height} px is too large for one picture"
            f"\n  allowed: {GRID_PIXELS // (height * width):,} images"
            "\n  write them one by one: --out FOLDER, x.zip or x.npz",
        )


def _points_form(wrong: str) -> GansmithError:
    return GansmithError(
        "output.points_form",
        f"cannot write {wrong}\n  allowed: picture.png, or x.npz, which holds their coordinates",
    )


def is_whole(path: Path) -> bool:
    """Return whether a file exists, and, if it is a PNG or JPEG, ends as one does; a power cut can cut it short."""
    end = ENDS.get(WRITTEN_AS.get(path.suffix.lower(), ""))
    if end is None:
        return path.is_file() and path.stat().st_size > 0
    try:
        with open_plain(path) as file:
            file.seek(-len(end), os.SEEK_END)
            return file.read() == end
    except OSError:  # it does not exist, or is shorter
        return False


def _refuse_other_image(path: Path, image: np.ndarray, values: PixelValues | None, folder: Path) -> None:
    """Raise GansmithError if a file shows another image than ``image``; another device may change a level."""
    with quiet_readers():
        there = as_values(read_bytes(path))
    there = there if values is None or there.shape != image.shape else shares(values.stored(there)) * 255
    image = image if values is None else shares(image) * 255
    if there.shape != image.shape or np.abs(there.astype(float) - image).mean() > OTHER_IMAGE_LEVELS:
        raise GansmithError(
            "output.other_samples",
            f"'{folder}' cannot be continued: '{path.name}' is not the image that this model and these options make"
            "\n  pass the same model, --seed, --label and --truncation, or name another folder",
        )


def deep_picture(pixels: np.ndarray, meaning: PixelValues) -> Picture:
    """Return stored pixels (H, W, C) of deep data as a picture with values."""
    return Picture(meaning.picture(pixels), None, meaning.in_units(pixels), meaning)


def save_stack(pictures: Sequence[Picture], path: str | Path) -> Path:
    """Write pictures of one size as one .npy (N, H, W, C), or as the pages of a .tif; GansmithError for other files."""
    target = output_file(path, f"a stack of {len(pictures):,} images", ".npy", *TIFF)
    arrays = [each.array if each.values is None else each.values for each in pictures]
    bands = pictures[0].meaning.bands if pictures[0].meaning is not None else ()
    if target.suffix.lower() == ".npy":
        commit_file(target, lambda at: _save_npy(at, np.stack(arrays)))
    else:
        commit_file(target, lambda at: write_tiff(at, arrays, bands))
    return target


def _save_npy(path: Path, array: np.ndarray) -> None:
    with path.open("wb") as file:  # numpy.save would add an ending to the name
        np.save(file, array)


def _values_file(values: np.ndarray, meaning: PixelValues, ending: str) -> bytes | None:
    """Return the content of a file of values (H, W, C); None for an ending that cannot hold them."""
    buffer = io.BytesIO()
    if ending in TIFF:
        write_tiff(buffer, [values], meaning.bands)
    elif ending == ".png" and meaning.fits_png:
        return encode_values_png(values, meaning)
    else:
        return None
    return buffer.getvalue()


def encode_values_png(values: np.ndarray, meaning: PixelValues) -> bytes:
    """Encode whole numbers (H, W, C) as PNG: of 8 bits if the files had them, else of 16 bits."""
    if meaning.is_8_bit:
        return encode_png(values.astype(np.uint8))
    return encode_png16(values)


def image_name(seed: int, number: int) -> str:
    """Return the name of image ``number`` of a seed, as --seeds reads it: ``7:12``, or ``12`` for seed 0."""
    return f"{seed}:{number}" if seed else str(number)


def _folder_names(classes: tuple[str, ...]) -> list[str]:
    """Return a folder name for each class, valid on every system; equal names get the class number."""
    names = ["".join(each if each.isalnum() or each in " -_" else "-" for each in name).strip() for name in classes]
    folded = [name.casefold() for name in names]
    return [
        name if name and folded.count(name.casefold()) == 1 else f"{name or 'class'} {number}"
        for number, name in enumerate(names)
    ]
