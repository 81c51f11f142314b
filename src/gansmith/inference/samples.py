"""Generated images: show them as a grid, write them as files or as a data set."""

import zipfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image

from gansmith.core.errors import GansmithError, counted
from gansmith.core.output_paths import make_parent_folders, output_file, refuse_used_folder
from gansmith.imaging.captions import captioned_grid
from gansmith.imaging.images import POINT, encode_png, from_levels, make_grid, save_png, to_pil
from gansmith.imaging.scatter import draw_points

WRITTEN = (".png", ".npz", ".zip")
NOT_WRITTEN = (".jpg", ".jpeg", ".gif", ".webp", ".bmp", ".tif", ".tiff", ".npy", ".tar", ".mp4")
SHOWN, SHOWN_PIXELS = 64, 300_000  # in a notebook: most images, and most pixels of all together
ZIP_TIME = (1980, 1, 1, 0, 0, 0)  # a fixed time, so that equal samples give equal bytes


@dataclass(frozen=True)
class Picture:
    """One image, uint8 (H, W, C), which notebooks display."""

    array: np.ndarray

    def save(self, path: str | Path) -> Path:
        """Write a PNG file; GansmithError for another ending."""
        target = output_file(path, "a picture", ".png")
        save_png(self.array, target)
        return target

    def __repr__(self) -> str:
        return f"Picture(uint8 {self.array.shape})"

    def to_pil(self) -> PIL.Image.Image:
        """Return it as a Pillow image."""
        return to_pil(self.array)

    def _repr_png_(self) -> bytes:
        return encode_png(self.array)


@dataclass(frozen=True)
class Samples:
    """Generated images, uint8 (N, H, W, C), with their label inputs for a conditional model."""

    images: np.ndarray
    labels: np.ndarray | None  # int64 (N,)
    classes: tuple[str, ...]
    columns: int = 8
    names: tuple[str, ...] = ()  # as --seeds names them: 12, or 7:12 for seed 7

    def __len__(self) -> int:
        return len(self.images)

    def __repr__(self) -> str:
        shown = len(self._shown())
        part = "" if shown == len(self) else f"; a notebook shows the first {shown}"
        return f"Samples({counted(len(self), 'image')}, uint8 {self.images.shape}{part})"

    def _repr_png_(self) -> bytes:
        return self._shown().grid()._repr_png_()

    def _shown(self) -> "Samples":
        """Return the first samples, few enough for a notebook; all if they are points."""
        count = SHOWN_PIXELS // (self.images.shape[1] * self.images.shape[2])
        return self if self.are_points else replace(self, images=self.images[: max(1, min(SHOWN, count))])

    def to_pil(self) -> list[PIL.Image.Image]:
        """Return the images as Pillow images."""
        return [to_pil(image) for image in self.images]

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
            return Picture(make_grid(self.images, columns))
        return Picture(captioned_grid(self.images, self.names or [*map(str, range(len(self)))], columns))

    def save(self, out: str | Path, *, numbered: bool = False) -> Path:
        """Write a grid (.png), arrays that gansmith can train on (.npz), or PNG files in a .zip or in a new folder.

        Points in the plane can be a .png, or an .npz with ``points`` too: float32 (N, 2), x and y in [-1, 1].
        Raises GansmithError for a form that cannot be written, and for a folder that is not empty.
        """
        path = check_samples_path(out)
        if numbered and path.suffix.lower() != ".png":
            raise GansmithError(
                "output.numbered_without_grid",
                f"only a grid can show numbers, and '{path}' is not a grid\n  allowed: grid.png",
            )
        if self.are_points and (numbered or path.suffix.lower() not in (".png", ".npz")):
            wrong = "numbers into a plot of points" if numbered else f"points in the plane as '{path}'"
            raise GansmithError(
                "output.points_form",
                f"cannot write {wrong}\n  allowed: picture.png, or x.npz, which holds their coordinates",
            )
        make_parent_folders(path)
        if path.suffix.lower() == ".png":
            return self.grid(numbered=numbered).save(path)
        if path.suffix.lower() == ".npz":
            arrays: dict[str, Any] = {"images": self.images}
            if self.labels is not None:
                arrays |= {"labels": self.labels, "class_names": np.array(self.classes)}
            if self.are_points:
                arrays |= {"points": from_levels(self.images).reshape(-1, 2)}
            np.savez_compressed(path, **arrays)
        elif path.suffix.lower() == ".zip":
            with zipfile.ZipFile(path, "w") as archive:
                for name, png in self._files():
                    archive.writestr(zipfile.ZipInfo(name, ZIP_TIME), png)
        else:
            for name, png in self._files():
                target = path / name
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(png)
        return path

    def _files(self) -> list[tuple[str, bytes]]:
        out, folders = [], _folder_names(self.classes)
        for index, image in enumerate(self.images):
            folder = "" if self.labels is None else folders[self.labels[index]] + "/"
            out.append((f"{folder}{index:06d}.png", encode_png(image)))
        return out


def check_samples_path(out: str | Path) -> Path:
    """Return ``out`` as a path; GansmithError for an ending that cannot be written, or a folder that is not empty."""
    path = Path(out)
    if path.suffix.lower() in NOT_WRITTEN:
        raise GansmithError(
            "output.unknown_ending",
            f"cannot write samples as '{path.suffix}'\n  allowed: grid.png, x.npz, x.zip or a folder",
        )
    if path.suffix.lower() not in WRITTEN:
        refuse_used_folder(path)
    return path


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
