"""R1: a zero-centred gradient penalty on real images."""

from typing import ClassVar, Literal

from pydantic import Field
from torch import Tensor

from gansmith.core.noise import Noise
from gansmith.core.schedules import NotNegative
from gansmith.parts.penalties.base import Critic, Penalty, Scored, input_gradient, penalties


@penalties.register("r1")
class R1(Penalty):
    """R1: 1/2 E[||grad_x D(x)||^2] over real images; ``weight`` is gamma.

    It uses the logits that D's loss has computed: no second forward pass.
    Source: Mescheder et al. 2018, arXiv:1801.04406, eq. 9.
    Differs: none.
    """

    differentiates: ClassVar[tuple[Literal["real", "fake"], ...]] = ("real",)

    weight: NotNegative = Field(10.0, description="gamma; larger images need more, larger batches less")

    def __call__(self, critic: Critic, scored: Scored, noise: Noise) -> Tensor:
        """Return the unweighted penalty, 0-d."""
        return input_gradient(scored.real_logits, scored.real).square().sum((1, 2, 3)).mean() / 2
