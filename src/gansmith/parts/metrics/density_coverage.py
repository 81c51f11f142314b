"""Density and coverage: precision and recall that are robust to outliers."""

from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor

from gansmith.parts.metrics.base import BLOCKS, Evidence, Finding, Metric, jackknife, metrics, radii, squared_distances


def density(real_to_fake: Tensor, real_radii: Tensor, neighbours: int) -> float:
    """Return the mean number of real neighbourhoods around a fake, divided by k: 1 for real images, or more."""
    return float((real_to_fake <= real_radii[:, None]).sum(0).float().mean() / neighbours)


def coverage(real_to_fake: Tensor, real_radii: Tensor) -> float:
    """Return the share of real images with a fake in their neighbourhood, from distances (real, fake)."""
    return float((real_to_fake.min(1).values <= real_radii).float().mean())


@metrics.register("density_coverage")
class DensityCoverage(Metric):
    """Density (0 or more; 1 for real images) and coverage (0 to 1) of the neighbourhoods of real images.

    Source: Naeem et al. 2020, arXiv:2002.09797, equations 5 and 6, k = 5.
    Differs: at most ``most`` images, equally many of both sides.
    """

    least: ClassVar[int] = 100
    best: ClassVar[dict[str, str]] = {"density": "one", "coverage": "high"}

    neighbours: int = Field(5, ge=1, le=50)
    most: int = Field(5000, ge=100, le=50_000)

    def measure(self, evidence: Evidence) -> Finding:
        """Return ``density`` and ``coverage``."""
        count = min(self.most, len(evidence.real), len(evidence.fake[0]))
        real, fake = evidence.real.features[:count], evidence.fake[0].features[:count]
        inside = squared_distances(real, fake) <= radii(squared_distances(real, real), self.neighbours)[:, None]
        per_fake = inside.sum(0).double() / self.neighbours
        by_block = torch.stack([inside[:, block::BLOCKS].any(1) for block in range(BLOCKS)])
        return Finding(
            {
                "density": jackknife(lambda kept: float(per_fake[kept].mean()), count),
                "coverage": jackknife(lambda kept: _covered(by_block[(kept % BLOCKS).unique()]), count),
            }
        )


def _covered(by_block: Tensor) -> float:
    return float(by_block.any(0).double().mean())
