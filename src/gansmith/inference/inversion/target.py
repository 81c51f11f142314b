"""The target image of an inversion, and its mask of missing pixels."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gansmith.core.errors import DataError
from gansmith.data.base import DataSpec
from gansmith.data.value_format import stored_image
from gansmith.imaging.images import fit_image
from gansmith.inference.image_files import ImageLike, open_picture, read_as_values


@dataclass(frozen=True)
class Target:
    """An image at the model's size, stored pixels (H, W, C), and its missing pixels, bool (H, W), or None."""

    image: np.ndarray
    missing: np.ndarray | None = None

    @property
    def known(self) -> np.ndarray:
        """Return the known pixels, bool (H, W)."""
        return np.ones(self.image.shape[:2], bool) if self.missing is None else ~self.missing

    def with_hole(self) -> np.ndarray:
        """Return the image with its missing pixels in gray."""
        middle = 0 if self.image.dtype == np.float32 else (np.iinfo(self.image.dtype).max + 1) // 2
        return np.where(self.known[..., None], self.image, self.image.dtype.type(middle))


def load_target(image: ImageLike, mask: str | Path | None, spec: DataSpec) -> Target:
    """Return the target of an image and of a mask file, which is white where pixels are missing.

    The image is a file, its bytes, or stored pixels (H, W, C) of the model's size. Files are cropped around their
    centre to the model's proportions and resized. Raises DataError for a file that cannot be read, an array of another
    shape, a mask of another size than the image, or an all black or white mask.
    """
    if isinstance(image, np.ndarray):
        if image.dtype != spec.stored_type or image.shape != (spec.height, spec.width, spec.channels):
            wanted = (spec.height, spec.width, spec.channels)
            raise DataError(
                "data.image_array_shape",
                f"the image must be {spec.stored_type} {wanted}, got {image.dtype} {image.shape}"
                "\n  pass a file name to have the image fitted to the model",
            )
        size, fitted = (spec.width, spec.height), image
    else:
        size, fitted = _read(image, spec)
    if mask is None:
        return Target(fitted)
    painted = open_picture(mask)
    if painted.size != size:
        raise DataError(
            "data.mask_size",
            f"mask '{mask}' is {painted.width} x {painted.height} px, the image is {size[0]} x {size[1]} px"
            "\n  both must have the same size: white where the image is missing, black where it is known",
        )
    missing = fit_image(painted, spec.height, spec.width, 1, spec.fit)[..., 0] >= 128
    if missing.all() or not missing.any():
        raise DataError(
            "data.mask_says_nothing",
            f"mask '{mask}' marks {'every pixel' if missing.all() else 'no pixel'} as missing"
            "\n  paint missing pixels white and known pixels black",
        )
    return Target(fitted, missing)


def _read(image: str | Path | bytes, spec: DataSpec) -> tuple[tuple[int, int], np.ndarray]:
    """Return the size of a file, (width, height), and its stored pixels at the model's size."""
    if spec.values is None:
        opened = open_picture(image)
        fitted = fit_image(opened, spec.height, spec.width, spec.channels, spec.fit)
        return opened.size, fitted.copy()  # torch needs a writable array
    array = read_as_values(image)
    return (array.shape[1], array.shape[0]), stored_image(array, spec)
