"""The Adam optimizer."""

from collections.abc import Iterable
from typing import ClassVar

import torch
from pydantic import Field
from torch import nn
from torch.optim import Optimizer

from gansmith.core.schedules import Moment, Share, value_at
from gansmith.parts.optimizers.base import OptimizerPart, optimizers


@optimizers.register("adam")
class Adam(OptimizerPart):
    """Adam, with torch's fused kernel. Source: Kingma and Ba 2015, arXiv:1412.6980, Algorithm 1."""

    skips_by_itself: ClassVar[bool] = True

    beta1: Share = Field(0.5, description="decay of the mean of gradients; Radford et al. 2016 use 0.5 for GANs")
    beta2: Share = Field(0.999, description="decay of the mean of squared gradients")
    eps: float = Field(1e-8, gt=0)

    def build(self, parameters: Iterable[nn.Parameter]) -> Optimizer:
        """Return torch's Adam of these parameters."""
        return torch.optim.Adam(parameters, eps=self.eps, fused=True)

    def settings_at(self, moment: Moment) -> dict[str, float | tuple[float, float]]:
        """Return learning rate and betas at a moment."""
        betas = (value_at(self.beta1, moment), value_at(self.beta2, moment))
        return {**super().settings_at(moment), "betas": betas}
