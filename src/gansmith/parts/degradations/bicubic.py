"""Degradation ``bicubic``: smaller, without other changes."""

from torch import Tensor

from gansmith.core.noise import Noise
from gansmith.parts.degradations.base import Degradation, degradations, reduced


@degradations.register("bicubic")
class Bicubic(Degradation):
    """The source is the image made smaller by bicubic interpolation with antialiasing.

    Source: Ledig et al. 2017 (SRGAN), arXiv:1609.04802, section 3.1; Keys 1981, doi:10.1109/TASSP.1981.1163711.
    Differs: SRGAN blurs, then drops pixels; most later papers reduce images as here.
    """

    def degrade(self, images: Tensor, scale: int, noise: Noise) -> Tensor:
        """Return the smaller images."""
        return reduced(images, scale)
