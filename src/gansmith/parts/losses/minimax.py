"""Minimax loss: the original, saturating GAN loss."""

from torch import Tensor
from torch.nn.functional import softplus

from gansmith.parts.losses.base import losses
from gansmith.parts.losses.non_saturating import NonSaturating


@losses.register("minimax")
class Minimax(NonSaturating):
    """Saturating (minimax) GAN loss: the generator minimises log(1 - D(G(z))), whose gradient vanishes as D(G(z)) -> 0.

    D: -E[log D(x)] - E[log(1 - D(G(z)))]
    G:  E[log(1 - D(G(z)))]                     with D = sigmoid(logit)

    D's loss and label smoothing are the same as in ``non_saturating``.
    Source: Goodfellow et al. 2014, arXiv:1406.2661, eq. 1.
    Differs: none.
    """

    def generator(self, real_logits: Tensor | None, fake_logits: Tensor) -> Tensor:
        """Return G's loss, 0-d and negative."""
        return -softplus(fake_logits).mean()  # log(1 - sigmoid(l))
