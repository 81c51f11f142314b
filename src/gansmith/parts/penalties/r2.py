"""R2: a zero-centred gradient penalty on fakes."""

from typing import ClassVar, Literal

from pydantic import Field
from torch import Tensor

from gansmith.core.noise import Noise
from gansmith.core.schedules import NotNegative
from gansmith.parts.penalties.base import Critic, Penalty, Scored, input_gradient, penalties


@penalties.register("r2")
class R2(Penalty):
    """R2: 1/2 E[||grad_x D(x)||^2] over fakes; ``weight`` is gamma.

    It uses the logits that D's loss has computed: no second forward pass.
    Source: Mescheder et al. 2018, arXiv:1801.04406, eq. 10; Huang et al. 2024 (R3GAN), arXiv:2501.05441, eq. 5.
    Differs: none.
    """

    differentiates: ClassVar[tuple[Literal["real", "fake"], ...]] = ("fake",)

    weight: NotNegative = Field(10.0, description="gamma; larger images need more, larger batches less")

    def __call__(self, critic: Critic, scored: Scored, noise: Noise) -> Tensor:
        """Return the unweighted penalty, 0-d."""
        return input_gradient(scored.fake_logits, scored.fake).square().sum((1, 2, 3)).mean() / 2
