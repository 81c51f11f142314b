"""Degradation ``real_esrgan``: blur, reduction, noise and JPEG, once or twice."""

import math
from typing import Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor
from torch.nn import functional as F

from gansmith.core.noise import Noise
from gansmith.parts.degradations.base import Degradation, degradations, reduced
from gansmith.parts.degradations.jpeg import jpeg_compressed

RADIUS_PX = 10  # of blur kernels: 21 x 21


@degradations.register("real_esrgan")
class RealESRGAN(Degradation):
    """The source is the image blurred, made smaller, noisy and compressed; ``order: 2`` repeats all four steps.

    Blur: a Gaussian with two deviations and an angle, drawn for each image. Reduction: mean of squares of pixels,
    bilinear or bicubic. Noise: Gaussian, gray or coloured. JPEG: quality uniform between two bounds.
    Source: Wang et al. 2021 (Real-ESRGAN), arXiv:2107.10833, sections 3.1 to 3.3 and appendix; ranges of order 1.
    Differs: Gaussian kernels only, no Poisson noise, no sinc filter. Order 2 reduces by scale / 2, then by 2, where the
    paper draws random sizes in between. Default noise and blur are weaker, for small images.
    """

    order: Literal[1, 2] = Field(1, description="1: each step once; 2: all steps twice")
    blur_px: float = Field(1.5, gt=0, le=10, description="largest deviation of the blur, px before reduction")
    noise: float = Field(0.1, ge=0, le=1, description="largest deviation of the noise; 0.1 is 13 of 255 levels")
    gray_noise: float = Field(0.4, ge=0, le=1, description="share of images with gray noise")
    worst_quality: int = Field(40, ge=1, le=100, description="lowest JPEG quality")
    best_quality: int = Field(95, ge=1, le=100, description="highest JPEG quality")

    @model_validator(mode="after")
    def _ordered(self) -> "RealESRGAN":
        if self.worst_quality > self.best_quality:
            raise ValueError(f"worst_quality ({self.worst_quality}) must not be above best_quality")
        return self

    def degrade(self, images: Tensor, scale: int, noise: Noise) -> Tensor:
        """Return the smaller images."""
        colours, alpha = images[:, :3], images[:, 3:]
        scales = (scale,) if self.order == 1 else (scale // 2, 2)
        for number, part in enumerate(scales):
            colours = self._once(colours, part, noise, f"degradation/{number}")
        return torch.cat([colours, reduced(alpha, scale)], 1) if alpha.shape[1] else colours

    def _once(self, images: Tensor, scale: int, noise: Noise, role: str) -> Tensor:
        strength, angle, way, spread, coloured, quality = noise.uniform(role, 7).split([2, 1, 1, 1, 1, 1], 1)
        made = _resized(_blurred(images, 0.1 + (self.blur_px - 0.1) * strength, angle * math.pi), scale, way)
        grain = noise.normal(f"{role}/noise", *made.shape[1:])
        is_gray = (coloured < self.gray_noise)[:, :, None, None]
        grain = torch.where(is_gray, grain[:, :1], grain)
        made = made + self.noise * spread[:, :, None, None] * grain
        worst, best = self.worst_quality, self.best_quality
        return jpeg_compressed(made, (worst + quality[:, 0] * (best - worst + 1)).floor().clamp(max=best))


def _blurred(images: Tensor, deviations: Tensor, angles: Tensor) -> Tensor:
    """Return images, each blurred by its Gaussian with deviations (N, 2) in px along an angle (N, 1) and across it."""
    places = torch.arange(-RADIUS_PX, RADIUS_PX + 1, device=images.device, dtype=images.dtype)
    down, right = places[None, :, None], places[None, None, :]
    cos, sin = angles.cos()[:, :, None], angles.sin()[:, :, None]
    along, across = cos * right + sin * down, cos * down - sin * right
    first, second = deviations[:, :1, None], deviations[:, 1:, None]
    kernels = torch.exp(-((along / first).square() + (across / second).square()) / 2)
    kernels = kernels / kernels.sum((1, 2), keepdim=True)
    count, channels, height, width = images.shape
    padded = F.pad(images, (RADIUS_PX,) * 4, mode="replicate").reshape(1, count * channels, *_grown(height, width))
    weights = kernels.repeat_interleave(channels, 0)[:, None]
    return F.conv2d(padded, weights, groups=count * channels).view(count, channels, height, width)


def _grown(height: int, width: int) -> tuple[int, int]:
    return height + 2 * RADIUS_PX, width + 2 * RADIUS_PX


def _resized(images: Tensor, scale: int, way: Tensor) -> Tensor:
    """Return images at 1 / scale of their sides; ``way`` (N, 1) in [0, 1) chooses one of three methods for each."""
    if scale == 1:
        return images
    sides = [side // scale for side in images.shape[2:]]
    ways = [
        F.interpolate(images, sides, mode="area"),
        F.interpolate(images, sides, mode="bilinear", align_corners=False, antialias=True),
        reduced(images, scale),
    ]
    chosen = (way * len(ways)).long()[:, :, None, None]
    out = ways[0]
    for number, each in enumerate(ways[1:], 1):
        out = torch.where(chosen == number, each, out)
    return out
