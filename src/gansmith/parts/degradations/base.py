"""The base class of degradations, helpers, and the registry of degradations."""

from abc import abstractmethod
from typing import Annotated

from torch import Tensor
from torch.nn import functional as F

from gansmith.core.noise import Noise
from gansmith.core.registry import Part, PartOf, Registry


class Degradation(Part):
    """A batched map from images (N, C, H, W) to (N, C, H / scale, W / scale), both float in [-1, 1].

    All random numbers come from the ``Noise`` argument, separate ones for each image, so the same noise makes the same
    sources. A fourth channel, alpha, is only made smaller.
    """

    def __call__(self, images: Tensor, scale: int, noise: Noise) -> Tensor:
        """Return the sources, in the 256 levels of an image file; sides of images must be multiples of ``scale``."""
        return quantized(self.degrade(images, scale, noise))

    @abstractmethod
    def degrade(self, images: Tensor, scale: int, noise: Noise) -> Tensor:
        """Return the sources; values may leave [-1, 1] and need not be levels of a file."""


degradations: Registry[Degradation] = Registry("degradation", "gansmith.parts.degradations")
DegradationField = Annotated[Degradation, PartOf(degradations)]


def reduced(images: Tensor, scale: int) -> Tensor:
    """Return images (N, C, H / scale, W / scale), by bicubic interpolation with antialiasing."""
    if scale == 1:
        return images
    sides = [side // scale for side in images.shape[2:]]
    return F.interpolate(images, sides, mode="bicubic", align_corners=False, antialias=True)


def quantized(images: Tensor) -> Tensor:
    """Return images clipped to [-1, 1] and rounded to the 256 levels of an image file."""
    return (images.clamp(-1, 1) * 127.5 + 127.5).round() / 127.5 - 1
