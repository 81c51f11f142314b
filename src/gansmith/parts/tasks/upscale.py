"""Tasks ``upscale2`` and ``upscale4``: sharpen images enlarged by bicubic interpolation."""

from typing import ClassVar

from torch import Tensor
from torch.nn import functional as F

from gansmith.core.noise import Noise
from gansmith.parts.tasks.base import Task, tasks


class Upscale(Task):
    """The image averaged over squares of pixels, enlarged again by bicubic interpolation, clipped to [-1, 1]."""

    def __call__(self, images: Tensor, noise: Noise) -> Tensor:
        """Return images of the same size without details finer than ``scale`` pixels."""
        sides = [max(1, side // self.scale) for side in images.shape[2:]]
        return enlarged(F.interpolate(images, sides, mode="area"), images.shape[2], images.shape[3])

    def prepare(self, images: Tensor, mask: Tensor | None = None) -> Tensor:
        """Return the images enlarged ``scale`` times."""
        return enlarged(images, images.shape[2] * self.scale, images.shape[3] * self.scale)

    def baseline(self, sources: Tensor, channels: int, mean: Tensor | None = None) -> tuple[str, Tensor]:
        """Return the sources, which are enlarged already."""
        return "bicubic", sources


@tasks.register("upscale2")
class Upscale2(Upscale):
    """The source is the image at half its sides (means of 2 x 2 pixels), brought back by bicubic interpolation.

    Source: Dong et al. 2016 (SRCNN), arXiv:1501.00092, section 3: a network on the bicubic enlargement.
    Differs: the small image averages squares of pixels instead of using bicubic reduction.
    """

    scale: ClassVar[int] = 2


@tasks.register("upscale4")
class Upscale4(Upscale):
    """The source is the image at a quarter of its sides (means of 4 x 4 pixels), brought back by bicubic interpolation.

    Source: Dong et al. 2016 (SRCNN), arXiv:1501.00092, section 3.
    Differs: as ``upscale2``.
    """

    scale: ClassVar[int] = 4


def enlarged(images: Tensor, height: int, width: int) -> Tensor:
    """Return images (N, C, height, width), by bicubic interpolation, clipped to [-1, 1]."""
    return F.interpolate(images, (height, width), mode="bicubic", align_corners=False).clamp(-1, 1)
