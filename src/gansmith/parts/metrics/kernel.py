"""The kernel distance (KID): the squared maximum mean discrepancy of features."""

from typing import ClassVar

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from gansmith.parts.metrics.base import Evidence, Finding, Metric, Number, metrics


def kernel_distance(real: Tensor, fake: Tensor) -> float:
    """Return the unbiased estimate of MMD^2 of features (N, F) with k(a, b) = (a.b / F + 1)^3; it can be negative.

    Source: Binkowski et al. 2018, arXiv:1801.01401, equation 4 and section 3.1 (cubic kernel).
    """
    real, fake = real.double(), fake.double()
    width = real.shape[1]

    def kernel(left: Tensor, right: Tensor) -> Tensor:
        return torch.addmm(left.new_ones(1), left, right.T, alpha=1 / width).pow_(3)

    def within(values: Tensor) -> Tensor:
        matrix, count = kernel(values, values), len(values)
        return (matrix.sum() - matrix.trace()) / (count * (count - 1))

    return float(within(real) + within(fake) - 2 * kernel(real, fake).mean())


@metrics.register("kernel")
class Kernel(Metric):
    """Mean and deviation of the kernel distance over random subsets: unbiased, so it suits few images.

    Lower is better; about 0 for two sets of one distribution.
    Source: Binkowski et al. 2018, arXiv:1801.01401.
    """

    least: ClassVar[int] = 100
    best: ClassVar[dict[str, str]] = {"kid": "low"}

    subsets: int = Field(100, ge=2, le=1000)
    subset_size: int = Field(1000, ge=2, le=10_000, description="at most half of the smaller side is used")
    seed: int = 2020

    def measure(self, evidence: Evidence) -> Finding:
        """Return ``kid``."""
        real, fake = evidence.real.features, evidence.fake[0].features
        size = min(self.subset_size, len(real) // 2, len(fake) // 2)
        draws = np.random.default_rng(self.seed)
        values = []
        for _ in range(self.subsets):
            picked = [torch.from_numpy(draws.choice(len(side), size, replace=False)) for side in (real, fake)]
            values.append(kernel_distance(real[picked[0]], fake[picked[1]]))
        over = f"{self.subsets} subsets of {size:,}"
        return Finding({"kid": Number(float(np.mean(values)), float(np.std(values)), over, len(fake))})
