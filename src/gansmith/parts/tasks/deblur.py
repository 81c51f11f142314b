"""Task ``deblur``: blurred to sharp."""

import math

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from gansmith.core.noise import Noise
from gansmith.parts.tasks.base import Task, tasks


@tasks.register("deblur")
class Deblur(Task):
    """The source is the image under a Gaussian blur, cut off at three deviations; border pixels are repeated outwards.

    Source: Gonzalez and Woods, Digital Image Processing, section 5.
    Differs: one blur for all images; motion blur is not covered.
    """

    sigma_px: float = Field(1.5, gt=0, le=20, description="standard deviation of the blur")

    def __call__(self, images: Tensor, noise: Noise) -> Tensor:
        """Return the blurred images."""
        radius = math.ceil(3 * self.sigma_px)
        places = torch.arange(-radius, radius + 1, device=images.device)
        kernel = torch.exp(-places.square() / (2 * self.sigma_px**2)).to(images.dtype)
        kernel = kernel / kernel.sum()
        channels = images.shape[1]
        padded = F.pad(images, (radius,) * 4, mode="replicate")
        for shape in ((1, 1, -1, 1), (1, 1, 1, -1)):
            padded = F.conv2d(padded, kernel.view(shape).expand(channels, -1, -1, -1), groups=channels)
        return padded
