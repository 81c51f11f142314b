"""The base class of adversarial losses, and their registry."""

from abc import abstractmethod
from typing import Annotated, Any, ClassVar

from torch import Tensor

from gansmith.core.registry import Part, PartOf, Registry
from gansmith.core.terms import fault_of_term


class AdversarialLoss(Part):
    """The losses of discriminator and generator, computed from logits of any shape ((N,), (N, 1, h, w), ...).

    A loss sees logits only: no networks, images, labels, noise, devices or optimizers. A sigmoid belongs here, not in
    the discriminator.
    """

    generator_needs_real: ClassVar[bool] = False  # True for relativistic losses
    logits_are_probabilities: ClassVar[bool] = False  # True where sigmoid(logit) estimates P(real)

    @property
    def boundary(self) -> float | None:
        """Return the logit above which D takes an image for real; None if only differences of logits mean anything."""
        return 0.0

    @abstractmethod
    def discriminator(self, real_logits: Tensor, fake_logits: Tensor) -> Tensor:
        """Return the discriminator's loss, 0-d, to be minimised."""

    @abstractmethod
    def generator(self, real_logits: Tensor | None, fake_logits: Tensor) -> Tensor:
        """Return the generator's loss, 0-d, to be minimised; ``real_logits`` is None if it is not needed."""

    def fault_in(self, method: str, result: Any, arguments: tuple[Any, ...]) -> str:
        """Return what is wrong with a loss that a plugin's method returned."""
        return fault_of_term(result, arguments) if method in ("discriminator", "generator") else ""


losses: Registry[AdversarialLoss] = Registry("loss", "gansmith.parts.losses")
LossField = Annotated[AdversarialLoss, PartOf(losses)]
