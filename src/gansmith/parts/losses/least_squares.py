"""Least-squares loss (LSGAN): scores are regressed to targets."""

from pydantic import Field
from torch import Tensor

from gansmith.parts.losses.base import AdversarialLoss, losses


@losses.register("least_squares")
class LeastSquares(AdversarialLoss):
    """Least-squares GAN loss on raw scores.

    D: 1/2 E[(s(x) - b)^2] + 1/2 E[(s(G(z)) - a)^2]
    G: 1/2 E[(s(G(z)) - c)^2]

    b is ``real_label``, a is ``fake_label``, c is ``generator_label``; b = 0.9 is one-sided label smoothing.
    Source: Mao et al. 2017, arXiv:1611.04076, eq. 9 (a = 0, b = c = 1).
    Differs: none.
    """

    real_label: float = Field(1.0, description="D's target for real images (b)")
    fake_label: float = Field(0.0, description="D's target for fakes (a)")
    generator_label: float = Field(1.0, description="the score that G wants D to give fakes (c)")

    @property
    def boundary(self) -> float | None:
        """Return the middle between D's two targets."""
        return (self.real_label + self.fake_label) / 2

    def discriminator(self, real_logits: Tensor, fake_logits: Tensor) -> Tensor:
        """Return D's loss, 0-d."""
        return ((real_logits - self.real_label) ** 2).mean() / 2 + ((fake_logits - self.fake_label) ** 2).mean() / 2

    def generator(self, real_logits: Tensor | None, fake_logits: Tensor) -> Tensor:
        """Return G's loss, 0-d."""
        return ((fake_logits - self.generator_label) ** 2).mean() / 2
