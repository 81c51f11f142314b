"""What an adversarial loss is."""

from abc import abstractmethod
from typing import Annotated, ClassVar

from torch import Tensor

from gansmith.core.registry import Part, PartOf, Registry


class AdversarialLoss(Part):
    """Both sides of one game, as arithmetic on logits of any shape ((N,), (N, 1, h, w), ...).

    A loss never sees networks, images, labels, noise, devices or optimizers. Sigmoids live here, not in a
    discriminator.
    """

    generator_needs_real: ClassVar[bool] = False  # True for relativistic losses
    logits_are_probabilities: ClassVar[bool] = False  # True where sigmoid(logit) estimates P(real)

    @property
    def boundary(self) -> float | None:
        """Return the logit above which D takes an image for real; None where differences alone mean something."""
        return 0.0

    @abstractmethod
    def discriminator(self, real_logits: Tensor, fake_logits: Tensor) -> Tensor:
        """Return what the discriminator minimises, 0-d."""

    @abstractmethod
    def generator(self, real_logits: Tensor | None, fake_logits: Tensor) -> Tensor:
        """Return what the generator minimises, 0-d; ``real_logits`` is None unless ``generator_needs_real``."""


losses: Registry[AdversarialLoss] = Registry("loss", "gansmith.parts.losses")
LossField = Annotated[AdversarialLoss, PartOf(losses)]
