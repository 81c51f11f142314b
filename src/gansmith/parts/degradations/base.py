"""What a degradation is: how a small source image is made from a large target."""

from abc import abstractmethod
from typing import Annotated

from torch import Tensor
from torch.nn import functional as F

from gansmith.core.randomness import Noise
from gansmith.core.registry import Part, PartOf, Registry


class Degradation(Part):
    """A batched map from images (N, C, H, W) to (N, C, H / scale, W / scale), both float in [-1, 1].

    Draws are those of the ``Noise`` that is given, one for each image, so the same noise makes the same sources. A
    fourth channel, alpha, is made smaller and nothing else.
    """

    def __call__(self, images: Tensor, scale: int, noise: Noise) -> Tensor:
        """Return the sources, in the 256 steps of a file; sides of images are multiples of ``scale``."""
        return as_in_a_file(self.lose(images, scale, noise))

    @abstractmethod
    def lose(self, images: Tensor, scale: int, noise: Noise) -> Tensor:
        """Return the sources, of any values."""


degradations: Registry[Degradation] = Registry("degradation", "gansmith.parts.degradations")
DegradationField = Annotated[Degradation, PartOf(degradations)]


def reduced(images: Tensor, scale: int) -> Tensor:
    """Return images (N, C, H / scale, W / scale) by bicubic interpolation with antialiasing."""
    if scale == 1:
        return images
    sides = [side // scale for side in images.shape[2:]]
    return F.interpolate(images, sides, mode="bicubic", align_corners=False, antialias=True)


def as_in_a_file(images: Tensor) -> Tensor:
    """Return images clipped to [-1, 1] and rounded to the 256 steps of a file."""
    return (images.clamp(-1, 1) * 127.5 + 127.5).round() / 127.5 - 1
