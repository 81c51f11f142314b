"""Memorization: are samples nearer to training images than held-out images are?"""

import math
from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor

from gansmith.imaging.images import POINT
from gansmith.parts.metrics.base import Evidence, Finding, Metric, Number, jackknife, metrics

AT_ONCE = 64_000_000  # distances at a time, 256 MB


def nearest(points: Tensor, others: Tensor) -> tuple[Tensor, Tensor]:
    """Return for each point (N, F) the distance to the nearest of others (M, F), and its index: (N,), (N,)."""
    centre = others.mean(0)  # rounding errors grow with the distance from 0
    near, far = points - centre, others - centre
    squares = far.square().sum(1)
    rows = max(1, AT_ONCE // len(others))
    found = [torch.addmm(squares, part, far.T, alpha=-2).argmin(1) for part in near.split(rows)]
    which = torch.cat(found)
    return (points - others[which]).norm(dim=1), which


def nearer(fake: Tensor, real: Tensor) -> float:
    """Return the probability that a sample is nearer to the training images than a held-out image.

    Arguments are the distances (N,) of samples and (M,) of held-out images. 0.5: no difference; 1: all samples are
    nearer. It is the Mann-Whitney statistic divided by N M.
    """
    ordered = real.sort().values
    above = len(real) - torch.searchsorted(ordered, fake, right=True)
    equal = torch.searchsorted(ordered, fake, right=True) - torch.searchsorted(ordered, fake, right=False)
    return float((above + equal / 2).double().mean() / len(real))


@metrics.register("memorization")
class Memorization(Metric):
    """Distances from samples to training images, against distances from held-out images to training images.

    ``nearer``: the probability that a sample is nearer than a held-out image. ``copies``: the share of samples that are
    nearer than all but ``rare`` of the held-out images, beyond the share expected by chance.
    Source: Meehan et al. 2020, arXiv:2004.05675 (data-copying test).
    Differs: over all images at once.
    """

    least: ClassVar[int] = 100
    best: ClassVar[dict[str, str]] = {"nearer": "chance", "copies": "low"}

    rare: float = Field(0.02, gt=0, lt=0.5, description="share of held-out images that are this near by chance")
    pairs: int = Field(16, ge=0, le=256, description="nearest pairs in the picture")

    def missing(self, evidence: Evidence) -> str:
        """Say whether training or held-out images are missing."""
        if evidence.real.images.shape[1:] == POINT:
            return "does not apply to points in the plane, many of which coincide by chance"
        if evidence.training is None and evidence.given:
            return "needs the training images: pass them with --training"
        if evidence.training is None:
            return "needs held-out images beside the training images: train with --holdout 0.1"
        return super().missing(evidence)

    def measure(self, evidence: Evidence) -> Finding:
        """Return ``nearer`` and ``copies``; as facts the nearest pairs [sample, training image, distance]."""
        assert evidence.training is not None
        training = evidence.training.features
        of_real, _ = nearest(evidence.real.features, training)
        of_fake, which = nearest(evidence.fake[0].features, training)
        limit = of_real.quantile(self.rare)

        def copies(kept: Tensor) -> float:
            share = float((of_fake[kept] < limit).double().mean())
            return max(0.0, (share - self.rare) / (1 - self.rare))

        count = len(of_fake)
        numbers: dict[str, Number] = {
            "nearer": jackknife(lambda kept: nearer(of_fake[kept], of_real), count),
            "copies": jackknife(copies, count),
        }
        chance = math.sqrt(self.rare * (1 - self.rare) * (1 / count + 1 / len(of_real)))
        found = float((of_fake < limit).double().mean())
        if found > self.rare + 5 * chance:
            words = f"about {numbers['copies'].value:.0%} of samples are copies of training images, or nearly"
        else:
            words = "samples are no nearer to training images than new images are: nothing is copied"
        order = of_fake.argsort()[: self.pairs]
        facts = {
            "pairs": [[int(i), int(which[i]), round(float(of_fake[i]), 4)] for i in order],
            "limit": round(float(limit), 4),
            "held_out_median": round(float(of_real.median()), 4),
            "sample_median": round(float(of_fake.median()), 4),
        }
        return Finding(numbers, facts, (words,))
