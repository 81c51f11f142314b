"""Hinge loss: margins on raw scores."""

from torch import Tensor
from torch.nn.functional import relu

from gansmith.parts.losses.base import AdversarialLoss, losses


@losses.register("hinge")
class Hinge(AdversarialLoss):
    """Hinge GAN loss on raw scores.

    D: E[max(0, 1 - s(x))] + E[max(0, 1 + s(G(z)))]
    G: -E[s(G(z))]

    Source: Lim and Ye 2017, arXiv:1705.02894; Miyato et al. 2018, arXiv:1802.05957, eq. 16 and 17.
    Differs: none.
    """

    def discriminator(self, real_logits: Tensor, fake_logits: Tensor) -> Tensor:
        """Return D's loss, 0-d."""
        return relu(1 - real_logits).mean() + relu(1 + fake_logits).mean()

    def generator(self, real_logits: Tensor | None, fake_logits: Tensor) -> Tensor:
        """Return G's loss, 0-d."""
        return -fake_logits.mean()
