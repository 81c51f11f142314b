"""WGAN-GP's gradient penalty at points between real and fake images."""

import torch
from pydantic import Field
from torch import Tensor

from gansmith.core.noise import Noise
from gansmith.core.schedules import NotNegative
from gansmith.parts.penalties.base import Critic, Penalty, Scored, input_gradient, penalties


@penalties.register("gradient_penalty")
class GradientPenalty(Penalty):
    """WGAN-GP: E[(||grad_x D(x)||_2 - target)^2] at x = e real + (1 - e) fake, e uniform in [0, 1) for each image.

    Source: Gulrajani et al. 2017, arXiv:1704.00028, eq. 3 and Algorithm 1 (weight 10, five D steps for each G step).
    Differs: ``target`` may be 0 (Thanh-Tung et al. 2019, arXiv:1902.03984).
    """

    weight: NotNegative = Field(10.0, description="lambda")
    target: float = Field(1.0, ge=0, description="gradient norm without penalty")

    def __call__(self, critic: Critic, scored: Scored, noise: Noise) -> Tensor:
        """Return the unweighted penalty, 0-d."""
        share = noise.uniform("gradient_penalty", 1, 1, 1)
        between = torch.lerp(scored.fake.detach(), scored.real.detach(), share).requires_grad_()
        gradient = input_gradient(critic(between), between)
        norm = gradient.square().sum((1, 2, 3)).add(1e-12).sqrt()  # at 0 the root's gradient is infinite
        return (norm - self.target).square().mean()
