"""The SGD optimizer."""

from collections.abc import Iterable

import torch
from pydantic import Field
from torch import nn
from torch.optim import Optimizer

from gansmith.core.schedules import Moment, NotNegative, Share, value_at
from gansmith.parts.optimizers.base import OptimizerPart, optimizers


@optimizers.register("sgd")
class SGD(OptimizerPart):
    """Gradient descent, with momentum if wanted. Source: Goodfellow et al. 2014, arXiv:1406.2661, Algorithm 1.

    With ``momentum`` m each step follows v = m v + gradient: Sutskever et al. 2013, equation 1, with lr outside of v.
    """

    lr: NotNegative = Field(1e-2, description="learning rate; a number or a ramp")
    momentum: Share = Field(0.0, description="decay of the sum of gradients; 0: plain gradient descent")

    def build(self, parameters: Iterable[nn.Parameter]) -> Optimizer:
        """Return torch's SGD of these parameters."""
        return torch.optim.SGD(parameters, foreach=True)

    def settings_at(self, moment: Moment) -> dict[str, float | tuple[float, float]]:
        """Return learning rate and momentum at a moment."""
        return {**super().settings_at(moment), "momentum": value_at(self.momentum, moment)}
