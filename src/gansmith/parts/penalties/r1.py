"""Zero-centred gradient penalty on real images."""

from typing import ClassVar, Literal

from pydantic import Field
from torch import Tensor

from gansmith.core.randomness import Noise
from gansmith.core.schedules import NotNegative
from gansmith.parts.penalties.base import Critic, Penalty, Scored, input_gradient, penalties


@penalties.register("r1")
class R1(Penalty):
    """R1: 1/2 E[||grad_x D(x)||^2] over real images; ``weight`` is gamma.

    Uses the logits already computed: no second forward.
    Source: Mescheder et al. 2018, arXiv:1801.04406, eq. 9.
    Differs: none.
    """

    differentiates: ClassVar[tuple[Literal["real", "fake"], ...]] = ("real",)

    weight: NotNegative = Field(10.0, description="gamma; grows with resolution, falls with batch size")

    def __call__(self, critic: Critic, scored: Scored, noise: Noise) -> Tensor:
        """Return the penalty, 0-d, not yet weighted."""
        return input_gradient(scored.real_logits, scored.real).square().sum((1, 2, 3)).mean() / 2
