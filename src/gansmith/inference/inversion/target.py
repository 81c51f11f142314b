"""The image that an inversion looks for, and the mask of what is missing from it."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from gansmith.core.errors import DataError
from gansmith.data.base import DataSpec
from gansmith.imaging.images import decode_image, fit_image


@dataclass(frozen=True)
class Target:
    """An image at a model's size, uint8 (H, W, C), and where it is missing, bool (H, W), if anywhere."""

    image: np.ndarray
    missing: np.ndarray | None = None

    @property
    def known(self) -> np.ndarray:
        """Return where the image is known, bool (H, W)."""
        return np.ones(self.image.shape[:2], bool) if self.missing is None else ~self.missing

    def with_hole(self) -> np.ndarray:
        """Return the image with gray where it is missing."""
        return np.where(self.known[..., None], self.image, np.uint8(128))


def load_target(image: str | Path | np.ndarray, mask: str | Path | None, spec: DataSpec) -> Target:
    """Return an image file, or uint8 (H, W, C) of the model's size, with a mask: white is missing, black is known.

    Files are cut around their centre to the model's proportions and resized. Raises DataError for a file that cannot be
    read, an array of another shape, a mask of another size than the image, and one that leaves nothing or everything.
    """
    if isinstance(image, np.ndarray):
        if image.dtype != np.uint8 or image.shape != (spec.height, spec.width, spec.channels):
            wanted = (spec.height, spec.width, spec.channels)
            raise DataError(
                "data.image_array_shape", f"the image must be uint8 {wanted}, got {image.dtype} {image.shape}"
            )
        size, fitted = (spec.width, spec.height), image
    else:
        opened = _open(image, "image")
        size, fitted = (
            opened.size,
            fit_image(opened, spec.height, spec.width, spec.channels).copy(),
        )  # writable, for torch
    if mask is None:
        return Target(fitted)
    painted = _open(mask, "mask")
    if painted.size != size:
        raise DataError(
            "data.mask_size",
            f"mask '{mask}' is {painted.width} x {painted.height} px, the image is {size[0]} x {size[1]} px"
            "\n  they must be of one size: white where the image is missing, black where it is known",
        )
    missing = fit_image(painted, spec.height, spec.width, 1)[..., 0] >= 128
    if missing.all() or not missing.any():
        raise DataError(
            "data.mask_says_nothing",
            f"mask '{mask}' says that {'all' if missing.all() else 'nothing'} of the image is missing"
            "\n  paint white where it is missing, and black where it is known",
        )
    return Target(fitted, missing)


def _open(path: str | Path, what: str) -> Image.Image:
    try:
        return decode_image(Path(path).read_bytes())
    except DataError as problem:
        raise DataError("data.unreadable_image", f"{what} '{path}' cannot be read: {problem}") from problem
    except OSError as problem:
        raise DataError("data.unreadable_image", f"{what} '{path}' cannot be read: {problem.strerror}") from problem
