"""The Fréchet distance between two sets of features: FID for Inception's."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from gansmith.parts.metrics.base import Evidence, Finding, Metric, jackknife, metrics, over_sets


@dataclass(frozen=True)
class Moments:
    """Mean (F,) and covariance (F, F) of features, float64."""

    mean: Tensor
    covariance: Tensor


def moments(features: Tensor) -> Moments:
    """Return the moments of features (N, F), N >= 2; the covariance is divided by N - 1."""
    values = features.double()
    return Moments(values.mean(0), torch.cov(values.T).reshape(values.shape[1], -1))


def frechet_distance(real: Moments, fake: Moments) -> float:
    """Return ||m_r - m_f||^2 + tr(C_r + C_f - 2 (C_r C_f)^(1/2)), 0 or more.

    The trace of the root is the sum of the roots of the eigenvalues of C_r^(1/2) C_f C_r^(1/2), which is symmetric.
    """
    values, vectors = torch.linalg.eigh(real.covariance)
    root = (vectors * values.clamp(min=0).sqrt()) @ vectors.T
    shared = torch.linalg.eigvalsh(root @ fake.covariance @ root).clamp(min=0).sqrt().sum()
    traces = real.covariance.trace() + fake.covariance.trace()
    distance = (real.mean - fake.mean).square().sum() + traces - 2 * shared
    return max(0.0, float(distance))


def frechet_distances(real: Tensor, fake: Sequence[Tensor]) -> list[float]:
    """Return the distance of each fake set of features (N, F) to the real one."""
    reference = moments(real)
    return [frechet_distance(reference, moments(features)) for features in fake]


@metrics.register("frechet")
class Frechet(Metric):
    """Fréchet distance between Gaussians fitted to real and fake features, called FID for Inception's features.

    Lower is better; 0 for identical moments. Its bias depends on the number of images, so the name has this number,
    and its deviation is taken over independent sets of samples, or over the jackknife of a single set, not over
    bootstrap samples.
    Source: Heusel et al. 2017, arXiv:1706.08500, equation 6; Dowson and Landau 1982.
    """

    least: ClassVar[int] = 100
    best: ClassVar[dict[str, str]] = {"fd": "low"}

    def measure(self, evidence: Evidence) -> Finding:
        """Return ``fd``."""
        if len(evidence.fake) == 1:
            reference, features = moments(evidence.real.features), evidence.fake[0].features
            count = len(features)
            return Finding({"fd": jackknife(lambda kept: frechet_distance(reference, moments(features[kept])), count)})
        values = frechet_distances(evidence.real.features, [side.features for side in evidence.fake])
        return Finding({"fd": over_sets(values, len(evidence.fake[0]))})
