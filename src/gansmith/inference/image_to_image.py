"""A generator that makes images from images, as arrays, whatever runs it."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from gansmith.core.errors import ModelError
from gansmith.core.events import OnProgress, silent
from gansmith.imaging.images import MODES
from gansmith.imaging.tiles import in_tiles


@dataclass(frozen=True)
class ImageToImage:
    """A generator's sizes, and its work on one image or tile."""

    # uint8 (h, w, C) to float32 (scale h, scale w, channels) in 0 to 255; of deep data float32 to float32, in [-1, 1]
    work: Callable[[np.ndarray], np.ndarray]
    channels: int  # of a result
    given_channels: int  # of an image that a user passes
    scale: int  # sides of a result divided by sides of its image
    step: int = 1  # the sides of an image are multiples of it
    least: tuple[int, int] = (1, 1)  # smallest height and width of an image
    takes_mask: bool = False  # an additional last channel is 255 where pixels are missing, else 0

    def enlarge(self, image: np.ndarray, on_progress: OnProgress = silent) -> np.ndarray:
        """Enlarge uint8 (H, W, C) to uint8 (scale H, scale W, C); ModelError for another number of channels.

        Large images are processed in overlapping tiles, which are smaller for a larger scale, so memory stays the same.
        """
        channels = self.given_channels
        if image.dtype not in (np.uint8, np.float32) or image.ndim != 3 or image.shape[2] != channels or not image.size:
            raise ModelError(
                "model.images_shape",
                f"images must be uint8 (N, H, W, {channels}): this model enlarges {MODES.get(channels, 'deep')} images"
                f"\n  got an image of {image.dtype} {image.shape}",
            )
        return in_tiles(
            image, self.step, self.scale, self.work, self.channels, shrink=self.scale, on_progress=on_progress
        )
