"""Non-saturating loss: the usual GAN loss, with label smoothing."""

from typing import ClassVar

from pydantic import Field
from torch import Tensor
from torch.nn.functional import softplus

from gansmith.parts.losses.base import AdversarialLoss, losses


def smoothed_cross_entropy(real_logits: Tensor, fake_logits: Tensor, real_label: float, fake_label: float) -> Tensor:
    """Return D's binary cross-entropy, 0-d, with the targets ``real_label`` and ``fake_label`` in [0, 1].

    -t log sigmoid(l) - (1 - t) log(1 - sigmoid(l)) = softplus(-l) + (1 - t) l, stable for any logit.
    """
    real = softplus(-real_logits) + (1 - real_label) * real_logits
    fake = softplus(-fake_logits) + (1 - fake_label) * fake_logits
    return real.mean() + fake.mean()


@losses.register("non_saturating")
class NonSaturating(AdversarialLoss):
    """Non-saturating GAN loss: the generator maximises log D(G(z)).

    D: -E[log D(x)] - E[log(1 - D(G(z)))]
    G: -E[log D(G(z))]                          with D = sigmoid(logit)

    Label smoothing replaces D's targets 1 and 0: set ``real_label`` to 0.9 for one-sided smoothing, both for two-sided.
    Source: Goodfellow et al. 2014, arXiv:1406.2661, section 3; smoothing: Salimans et al. 2016, arXiv:1606.03498, 3.4.
    Differs: none.
    """

    logits_are_probabilities: ClassVar[bool] = True

    real_label: float = Field(1.0, ge=0.5, le=1, description="D's target for real images; 1 = no smoothing")
    fake_label: float = Field(0.0, ge=0, lt=0.5, description="D's target for fakes; 0 = no smoothing")

    def discriminator(self, real_logits: Tensor, fake_logits: Tensor) -> Tensor:
        """Return D's loss, 0-d."""
        return smoothed_cross_entropy(real_logits, fake_logits, self.real_label, self.fake_label)

    def generator(self, real_logits: Tensor | None, fake_logits: Tensor) -> Tensor:
        """Return G's loss, 0-d."""
        return softplus(-fake_logits).mean()  # -log sigmoid(l)
