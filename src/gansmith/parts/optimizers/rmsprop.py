"""The RMSprop optimizer."""

from collections.abc import Iterable

import torch
from pydantic import Field
from torch import nn
from torch.optim import Optimizer

from gansmith.core.schedules import NotNegative
from gansmith.parts.optimizers.base import OptimizerPart, optimizers


@optimizers.register("rmsprop")
class RMSprop(OptimizerPart):
    """RMSprop, as in the WGAN paper. Source: Hinton 2012, lecture 6e; Graves 2013, arXiv:1308.0850, eq. 38."""

    lr: NotNegative = Field(5e-5, description="learning rate; a number or a ramp")
    alpha: float = Field(0.99, ge=0, lt=1, description="decay of the mean of squared gradients")
    eps: float = Field(1e-8, gt=0)

    def build(self, parameters: Iterable[nn.Parameter]) -> Optimizer:
        """Return torch's RMSprop of these parameters."""
        return torch.optim.RMSprop(parameters, alpha=self.alpha, eps=self.eps, foreach=True)
