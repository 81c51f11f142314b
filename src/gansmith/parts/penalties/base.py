"""What a penalty is."""

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from gansmith.core.randomness import Noise
from gansmith.core.registry import Part, PartOf, Registry
from gansmith.core.schedules import Moment, NotNegative

Critic = Callable[[Tensor], Tensor]  # images (kN, C, H, W) in [-1, 1] -> logits; labels and augmentation are bound


@dataclass(frozen=True)
class Scored:
    """What the discriminator has just judged: images in [-1, 1], and logits still attached to them.

    ``real`` and ``fake`` require gradients when a penalty that differentiates them is due.
    """

    real: Tensor  # (N, C, H, W)
    fake: Tensor  # (N, C, H, W)
    real_logits: Tensor
    fake_logits: Tensor


class Penalty(Part):
    """A term of the discriminator's loss that needs gradients of its logits with respect to images.

    Every ``interval`` iterations it is due; it then counts ``interval`` times, so that its mean weight stays the same
    (lazy regularisation: Karras et al. 2020, arXiv:1912.04958, appendix B). It is a term of the same optimizer step,
    so Adam's numbers need no correction.
    """

    differentiates: ClassVar[tuple[Literal["real", "fake"], ...]] = ()

    weight: NotNegative = Field(1.0, description="weight of the term; a number or a ramp")
    interval: int = Field(1, ge=1, description="due every so many iterations")

    def due(self, moment: Moment) -> bool:
        """Say whether this iteration pays the penalty."""
        return moment.iteration % self.interval == 0

    @abstractmethod
    def __call__(self, critic: Critic, scored: Scored, noise: Noise) -> Tensor:
        """Return the penalty, 0-d, not yet weighted."""


def input_gradient(logits: Tensor, images: Tensor) -> Tensor:
    """Return the gradient of sum(logits) with respect to images, (N, C, H, W), itself differentiable."""
    # Penalties are computed in float32 under autocast too: their squares overflow half precision.
    with torch.autocast(logits.device.type, enabled=False):
        (gradient,) = torch.autograd.grad(logits.float().sum(), images, create_graph=True)
    return gradient


penalties: Registry[Penalty] = Registry("penalty", "gansmith.parts.penalties")
PenaltyField = Annotated[Penalty, PartOf(penalties)]
