"""Weight clipping, as in WGAN."""

from pydantic import Field
from torch import nn

from gansmith.parts.constraints.base import Constraint, constraints


@constraints.register("weight_clip")
class WeightClip(Constraint):
    """Clip every parameter to [-limit, limit] after each step, which bounds the Lipschitz constant.

    Source: Arjovsky et al. 2017 (WGAN), arXiv:1701.07875, Algorithm 1 (c = 0.01).
    Differs: none; parameters of normalisation layers are clipped too, as in the authors' code.
    """

    limit: float = Field(0.01, gt=0, description="largest absolute value of a parameter (c)")

    def apply_(self, network: nn.Module) -> None:
        """Clip in place."""
        for parameter in network.parameters():
            parameter.clamp_(-self.limit, self.limit)
