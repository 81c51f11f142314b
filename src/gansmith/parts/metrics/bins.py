"""NDB: clusters of real images that samples fill too rarely or too often."""

import math
from typing import ClassVar

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from gansmith.parts.metrics.base import Evidence, Finding, Metric, Number, metrics, squared_distances

SIGNIFICANT = 1.959964  # two-sided, 5 %


def cluster(points: Tensor, count: int, seed: int, rounds: int = 20) -> Tensor:
    """Return the centres (count, F) of k-means on points (N, F), initialised by k-means++.

    Source: Lloyd 1982; Arthur and Vassilvitskii 2007.
    """
    draws = np.random.default_rng(seed)
    centres = points[int(draws.integers(len(points)))][None]
    nearest = squared_distances(points, centres)[:, 0]
    for _ in range(count - 1):
        cumulative = nearest.double().cumsum(0)
        if cumulative[-1] <= 0:  # fewer distinct points than centres
            break
        chosen = int(torch.searchsorted(cumulative, draws.random() * float(cumulative[-1]), right=True))
        added = points[min(chosen, len(points) - 1)][None]
        centres = torch.cat([centres, added])
        nearest = torch.minimum(nearest, squared_distances(points, added)[:, 0])
    for _ in range(rounds):
        home = squared_distances(points, centres).argmin(1)
        sums = torch.zeros_like(centres).index_add_(0, home, points)
        sizes = torch.bincount(home, minlength=len(centres))[:, None]
        centres = torch.where(sizes > 0, sums / sizes.clamp(min=1), centres)
    return centres


def proportions_differ(real: Tensor, fake: Tensor) -> Tensor:
    """Return the two-proportion z statistic (K,) of counts (K,); positive where fakes are too frequent."""
    real_total, fake_total = real.sum(), fake.sum()
    pooled = (real + fake) / (real_total + fake_total)
    error = (pooled * (1 - pooled) * (1 / real_total + 1 / fake_total)).sqrt()
    return (fake / fake_total - real / real_total) / error.clamp(min=1e-12)


@metrics.register("bins")
class Bins(Metric):
    """Share of k-means bins of real images that samples fill significantly too rarely or too often (NDB / K).

    Real images have 0.05 by chance; 1 is the worst. Half of the real images define the bins, and the other half is
    compared with the samples.
    Source: Richardson and Weiss 2018, arXiv:1805.12462, section 2.
    Differs: features instead of pixels; bins from half of the reference set.
    """

    least: ClassVar[int] = 400
    best: ClassVar[dict[str, str]] = {"ndb": "low", "empty_bins": "low"}

    most_bins: int = Field(100, ge=2, le=1000)
    images_per_bin: int = Field(20, ge=1, description="fewer bins where there are fewer real images")
    seed: int = 0

    def measure(self, evidence: Evidence) -> Finding:
        """Return ``ndb`` and ``empty_bins``: the share of bins with less than a fifth of the real images' share."""
        real, fake = evidence.real.features, evidence.fake[0].features
        half = len(real) // 2
        centres = cluster(real[:half], min(self.most_bins, half // self.images_per_bin), self.seed)
        counts = [
            torch.bincount(squared_distances(side, centres).argmin(1), minlength=len(centres)).double()
            for side in (real[half:], fake)
        ]
        score = proportions_differ(counts[0], counts[1])
        shares = [count / count.sum() for count in counts]
        different, empty = score.abs() > SIGNIFICANT, shares[1] < 0.2 * shares[0]
        bins = len(centres)

        def share_of(found: Tensor) -> Number:
            value = float(found.double().mean())
            return Number(value, math.sqrt(max(value * (1 - value), 1e-12) / bins), f"{bins} bins", len(fake))

        words = f"{int(different.sum())} of {bins} groups of similar images are made too rarely or too often"
        words += f"; {int(empty.sum())} are hardly made at all" if bool(empty.any()) else ""
        facts = {"z": [round(value, 2) for value in score.tolist()], "empty": torch.nonzero(empty).flatten().tolist()}
        return Finding({"ndb": share_of(different), "empty_bins": share_of(empty)}, facts, (words,))
