"""The AdamW optimizer."""

from collections.abc import Iterable

import torch
from pydantic import Field
from torch import nn
from torch.optim import Optimizer

from gansmith.parts.optimizers.adam import Adam
from gansmith.parts.optimizers.base import optimizers


@optimizers.register("adamw")
class AdamW(Adam):
    """Adam with decoupled weight decay. Source: Loshchilov and Hutter 2019, arXiv:1711.05101, Algorithm 2."""

    weight_decay: float = Field(0.01, ge=0)

    def build(self, parameters: Iterable[nn.Parameter]) -> Optimizer:
        """Return torch's AdamW of these parameters."""
        return torch.optim.AdamW(parameters, eps=self.eps, weight_decay=self.weight_decay, fused=True)
