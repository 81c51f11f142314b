"""Wasserstein loss: raw scores of a Lipschitz discriminator."""

from torch import Tensor

from gansmith.parts.losses.base import AdversarialLoss, losses


@losses.register("wasserstein")
class Wasserstein(AdversarialLoss):
    """Wasserstein GAN loss on raw scores: minus D's loss estimates the earth mover's distance.

    The estimate needs a Lipschitz discriminator: add ``weight_clip`` (WGAN) or ``gradient_penalty`` (WGAN-GP).

    D: E[s(G(z))] - E[s(x)]
    G: -E[s(G(z))]

    Source: Arjovsky et al. 2017, arXiv:1701.07875, eq. 2 and Algorithm 1.
    Differs: signs are turned, because here both losses are minimised.
    """

    @property
    def boundary(self) -> float | None:
        """Return None: a single score has no meaning."""
        return None

    def discriminator(self, real_logits: Tensor, fake_logits: Tensor) -> Tensor:
        """Return D's loss, 0-d."""
        return fake_logits.mean() - real_logits.mean()

    def generator(self, real_logits: Tensor | None, fake_logits: Tensor) -> Tensor:
        """Return G's loss, 0-d."""
        return -fake_logits.mean()
