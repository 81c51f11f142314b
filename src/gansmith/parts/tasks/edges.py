"""Task ``edges``: line drawings to images."""

import torch
from pydantic import Field, model_validator
from torch import Tensor
from torch.nn import functional as F

from gansmith.core.noise import Noise
from gansmith.parts.tasks.base import Task, luminance, tasks


@tasks.register("edges")
class Edges(Task):
    """The source is white, with dark lines where luminance changes.

    m = |(Sx * y, Sy * y)| with Sobel's kernels divided by 4 and y in [0, 1]: a step from black to white has m = 1.
    source = 1 - 2 clip((m - low) / (high - low), 0, 1).
    Source: Sobel's operator, as in Gonzalez and Woods, Digital Image Processing, section 10.2.
    Differs: Isola et al. 2017 (arXiv:1611.07004) find edges with a trained network; this needs none.
    """

    low: float = Field(0.08, ge=0, le=1, description="strength up to which a change of luminance gives no line")
    high: float = Field(0.3, gt=0, le=1, description="strength from which the line is black")

    @model_validator(mode="after")
    def _ordered(self) -> "Edges":
        if self.low >= self.high:
            raise ValueError(f"low ({self.low:g}) must be below high ({self.high:g})")
        return self

    def source_channels(self, channels: int) -> int:
        """Return 1."""
        return 1

    def __call__(self, images: Tensor, noise: Noise) -> Tensor:
        """Return the lines."""
        return self.prepare(images)

    def prepare(self, images: Tensor, mask: Tensor | None = None) -> Tensor:
        """Return the lines (N, 1, H, W) of images."""
        light = (luminance(images) + 1) / 2
        across = light.new_tensor([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]]) / 4
        kernels = torch.stack([across, across.T])[:, None]
        slopes = F.conv2d(F.pad(light, (1, 1, 1, 1), mode="replicate"), kernels)
        strength = slopes.square().sum(1, keepdim=True).sqrt()
        return 1 - 2 * ((strength - self.low) / (self.high - self.low)).clamp(0, 1)
