"""An estimate of the earth mover's distance; needs a Lipschitz discriminator."""

from torch import Tensor

from gansmith.parts.losses.base import AdversarialLoss, losses


@losses.register("wasserstein")
class Wasserstein(AdversarialLoss):
    """Wasserstein GAN loss on raw scores; add ``weight_clip`` (WGAN) or ``gradient_penalty`` (WGAN-GP).

    D: E[s(G(z))] - E[s(x)]
    G: -E[s(G(z))]

    Source: Arjovsky et al. 2017, arXiv:1701.07875, eq. 2 and Algorithm 1.
    Differs: signs, so that both sides minimise.
    """

    @property
    def boundary(self) -> float | None:
        """Return None: a score means nothing on its own."""
        return None

    def discriminator(self, real_logits: Tensor, fake_logits: Tensor) -> Tensor:
        """Return what D minimises, 0-d."""
        return fake_logits.mean() - real_logits.mean()

    def generator(self, real_logits: Tensor | None, fake_logits: Tensor) -> Tensor:
        """Return what G minimises, 0-d."""
        return -fake_logits.mean()
