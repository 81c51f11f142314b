"""Diversity: mean distance between samples, relative to real images."""

from typing import ClassVar

from pydantic import Field
from torch import Tensor

from gansmith.parts.metrics.base import Evidence, Finding, Metric, jackknife, metrics, squared_distances


def mean_distance(features: Tensor) -> float:
    """Return the mean Euclidean distance between two different rows of features (N, F)."""
    count = len(features)
    return float(squared_distances(features, features).fill_diagonal_(0).sqrt().sum() / (count * (count - 1)))


@metrics.register("diversity")
class Diversity(Metric):
    """Mean distance between two samples, divided by the mean distance between two real images.

    1: as diverse as real images; 0: all samples are equal.

    Source: the mean pairwise distance used for diversity since Zhu et al. 2017, arXiv:1711.11586, section 5.1.
    Differs: features instead of pixels, and relative to real images.
    """

    least: ClassVar[int] = 20
    best: ClassVar[dict[str, str]] = {"diversity": "one"}

    most: int = Field(2000, ge=20)

    def measure(self, evidence: Evidence) -> Finding:
        """Return ``diversity``."""
        count = min(self.most, len(evidence.real), len(evidence.fake[0]))
        real, fake = mean_distance(evidence.real.features[:count]), evidence.fake[0].features[:count]
        return Finding({"diversity": jackknife(lambda kept: mean_distance(fake[kept]) / max(real, 1e-12), count)})
