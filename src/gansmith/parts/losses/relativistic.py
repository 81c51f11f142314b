"""Relativistic pairing loss (RpGAN): each fake is compared with a real image."""

from typing import ClassVar

from torch import Tensor
from torch.nn.functional import softplus

from gansmith.parts.losses.base import AdversarialLoss, losses


@losses.register("relativistic")
class Relativistic(AdversarialLoss):
    """Relativistic pairing GAN loss (RpGAN): each fake is compared with one real image.

    D: E[softplus(-(s(x) - s(G(z))))]
    G: E[softplus(-(s(G(z)) - s(x)))]

    Real and fake logits must have the same shape: they are paired in order.
    Source: Jolicoeur-Martineau 2018, arXiv:1807.00734; Huang et al. 2024 (R3GAN), arXiv:2501.05441, eq. 2.
    Differs: none. R3GAN adds the penalties r1 and r2.
    """

    generator_needs_real: ClassVar[bool] = True

    @property
    def boundary(self) -> float | None:
        """Return None: a single score has no meaning."""
        return None

    def discriminator(self, real_logits: Tensor, fake_logits: Tensor) -> Tensor:
        """Return D's loss, 0-d."""
        return softplus(fake_logits - real_logits).mean()

    def generator(self, real_logits: Tensor | None, fake_logits: Tensor) -> Tensor:
        """Return G's loss, 0-d."""
        assert real_logits is not None, "generator_needs_real is set"
        return softplus(real_logits - fake_logits).mean()
