"""Precision and recall: fakes inside the real manifold, real images inside that of the fakes."""

from typing import ClassVar

from pydantic import Field
from torch import Tensor

from gansmith.metrics.base import Evidence, Finding, Metric, jackknife, metrics, radii, squared_distances


def precision(real_to_fake: Tensor, real_radii: Tensor) -> float:
    """Return the share of fakes that lie within the radius of some real image; distances (real, fake)."""
    return float((real_to_fake <= real_radii[:, None]).any(0).float().mean())


def recall(real_to_fake: Tensor, fake_radii: Tensor) -> float:
    """Return the share of real images that lie within the radius of some fake; distances (real, fake)."""
    return float((real_to_fake <= fake_radii).any(1).float().mean())


@metrics.register("precision_recall")
class PrecisionRecall(Metric):
    """Improved precision (are fakes plausible?) and recall (is every kind of real image made?), both in [0, 1].

    Source: Kynkaanniemi et al. 2019, arXiv:1904.06991, equations 1 and 2, k = 3.
    Differs: at most ``most`` images of each side, the same number of both, since the cost is their product.
    """

    least: ClassVar[int] = 100
    best: ClassVar[dict[str, str]] = {"precision": "high", "recall": "high"}

    neighbours: int = Field(3, ge=1, le=50)
    most: int = Field(5000, ge=100, le=50_000)

    def measure(self, evidence: Evidence) -> Finding:
        """Return ``precision`` and ``recall``."""
        count = min(self.most, len(evidence.real), len(evidence.fake[0]))
        real, fake = evidence.real.features[:count], evidence.fake[0].features[:count]
        across = squared_distances(real, fake)
        real_radii, among_fakes = radii(squared_distances(real, real), self.neighbours), squared_distances(fake, fake)

        def recall_of(kept: Tensor) -> float:
            return recall(across[:, kept], radii(among_fakes[kept][:, kept], self.neighbours))

        return Finding(
            {
                "precision": jackknife(lambda kept: precision(across[:, kept], real_radii), count),
                "recall": jackknife(recall_of, count),
            }
        )
