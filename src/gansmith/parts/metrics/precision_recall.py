"""Precision and recall: samples within the real manifold, and the reverse."""

from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor

from gansmith.parts.metrics.base import Evidence, Finding, Metric, jackknife, metrics, radii, squared_distances


def precision(real_to_fake: Tensor, real_radii: Tensor) -> float:
    """Return the share of fakes within the radius of any real image, from distances (real, fake)."""
    return float((real_to_fake <= real_radii[:, None]).any(0).float().mean())


def recall(real_to_fake: Tensor, fake_radii: Tensor) -> float:
    """Return the share of real images within the radius of any fake, from distances (real, fake)."""
    return float((real_to_fake <= fake_radii).any(1).float().mean())


class Neighbourhoods:
    """Radii of the points in any subset of a set, without sorting its distances again."""

    def __init__(self, distances: Tensor, neighbours: int) -> None:
        """Keep more neighbours of each point than needed, from the set's squared distances (N, N)."""
        self._distances, self._neighbours = distances, neighbours
        most = min(len(distances), 4 * neighbours + 16)
        self._near = distances.topk(most, dim=1, largest=False, sorted=True)

    def radii(self, kept: Tensor) -> Tensor:
        """Return (N,): the radius of each kept point among the kept ones; -1 for the others, which contains nothing."""
        out = self._distances.new_full((len(self._distances),), -1.0)
        stays = torch.zeros(len(out), dtype=torch.bool).index_fill_(0, kept, True)
        rank = stays[self._near.indices[kept]].cumsum(1)
        place = (rank <= self._neighbours).sum(1)  # the nearest is the point itself
        if bool((place == rank.shape[1]).any()):  # nearly all neighbours of a point were left out
            out[kept] = radii(self._distances[kept][:, kept], self._neighbours)
        else:
            out[kept] = self._near.values[kept].gather(1, place[:, None])[:, 0]
        return out


@metrics.register("precision_recall")
class PrecisionRecall(Metric):
    """Improved precision (are samples plausible?) and recall (is every mode covered?), both 0 to 1.

    Source: Kynkaanniemi et al. 2019, arXiv:1904.06991, equations 1 and 2, k = 3.
    Differs: at most ``most`` images, equally many of both sides, because the cost is quadratic.
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
        inside = (across <= radii(squared_distances(real, real), self.neighbours)[:, None]).any(0).float()
        neighbourhoods = Neighbourhoods(squared_distances(fake, fake), self.neighbours)
        return Finding(
            {
                "precision": jackknife(lambda kept: float(inside[kept].mean()), count),
                "recall": jackknife(lambda kept: recall(across, neighbourhoods.radii(kept)), count),
            }
        )
