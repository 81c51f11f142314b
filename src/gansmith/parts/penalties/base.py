"""The base class of penalties, their inputs, and their registry."""

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from gansmith.core.noise import Noise
from gansmith.core.registry import Part, PartOf, Registry
from gansmith.core.schedules import Moment, NotNegative
from gansmith.core.terms import fault_of_term

Critic = Callable[[Tensor], Tensor]  # images (kN, C, H, W) in [-1, 1] -> logits; labels and augmentation are bound


@dataclass(frozen=True)
class Scored:
    """Real and fake images in [-1, 1] with D's logits, which still have their graph.

    ``real`` and ``fake`` require gradients when a penalty that differentiates them is due.
    """

    real: Tensor  # (N, C, H, W)
    fake: Tensor  # (N, C, H, W)
    real_logits: Tensor
    fake_logits: Tensor


class Penalty(Part):
    """A term of the discriminator's loss that uses gradients of its logits with respect to images.

    It is due every ``interval`` iterations and is then multiplied by ``interval``, which keeps its mean weight (lazy
    regularisation: Karras et al. 2020, arXiv:1912.04958, appendix B). It is added to D's loss in the same optimizer
    step, so Adam's settings need no correction.
    """

    differentiates: ClassVar[tuple[Literal["real", "fake"], ...]] = ()

    weight: NotNegative = Field(1.0, description="weight of the term; a number or a ramp")
    interval: int = Field(1, ge=1, description="iterations from one use of the penalty to the next")

    def due(self, moment: Moment) -> bool:
        """Say whether the penalty is added in this iteration."""
        return moment.iteration % self.interval == 0

    @abstractmethod
    def __call__(self, critic: Critic, scored: Scored, noise: Noise) -> Tensor:
        """Return the unweighted penalty, 0-d."""

    def fault_in(self, method: str, result: Any, arguments: tuple[Any, ...]) -> str:
        """Return what is wrong with a penalty that a plugin's method returned."""
        return fault_of_term(result, (arguments[1].real_logits,)) if method == "__call__" else ""


def input_gradient(logits: Tensor, images: Tensor) -> Tensor:
    """Return the gradient of sum(logits) with respect to images, (N, C, H, W); it can be differentiated again."""
    # float32 under autocast too: the squares of gradients overflow half precision.
    with torch.autocast(logits.device.type, enabled=False):
        (gradient,) = torch.autograd.grad(logits.float().sum(), images, create_graph=True)
    return gradient


penalties: Registry[Penalty] = Registry("penalty", "gansmith.parts.penalties")
PenaltyField = Annotated[Penalty, PartOf(penalties)]
