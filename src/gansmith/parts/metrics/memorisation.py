"""Are samples copies of training images?"""

import math
from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor

from gansmith.imaging.images import POINT
from gansmith.parts.metrics.base import Evidence, Finding, Metric, Number, jackknife, metrics

AT_ONCE = 64_000_000  # distances, 256 MB


def nearest(points: Tensor, others: Tensor) -> tuple[Tensor, Tensor]:
    """Return for points (N, F) the distance to the nearest of others (M, F), and which it is: (N,), (N,)."""
    centre = others.mean(0)  # rounding errors grow with the distance from 0
    near, far = points - centre, others - centre
    squares = far.square().sum(1)
    rows = max(1, AT_ONCE // len(others))
    found = [torch.addmm(squares, part, far.T, alpha=-2).argmin(1) for part in near.split(rows)]
    which = torch.cat(found)
    return (points - others[which]).norm(dim=1), which


def nearer(fake: Tensor, real: Tensor) -> float:
    """Return the chance that a fake is nearer to the training images than a new real image, of distances (N,), (M,).

    0.5: no difference; 1: every fake is nearer. It is the Mann-Whitney statistic over N M.
    """
    ordered = real.sort().values
    above = len(real) - torch.searchsorted(ordered, fake, right=True)
    equal = torch.searchsorted(ordered, fake, right=True) - torch.searchsorted(ordered, fake, right=False)
    return float((above + equal / 2).double().mean() / len(real))


@metrics.register("memorisation")
class Memorisation(Metric):
    """How near samples are to training images, against how near new real images are.

    ``nearer`` is the chance that a sample is nearer to the training set than a held-out image; ``copies`` is the share
    of samples that are nearer than all but ``rare`` of the held-out images, less the share expected by chance.
    Source: Meehan et al. 2020, arXiv:2004.05675 (data-copying test, here over all images at once).
    """

    least: ClassVar[int] = 100
    best: ClassVar[dict[str, str]] = {"nearer": "chance", "copies": "low"}

    rare: float = Field(0.02, gt=0, lt=0.5, description="share of held-out images that are as near by chance")
    pairs: int = Field(16, ge=0, le=256, description="nearest pairs kept for a picture")

    def missing(self, evidence: Evidence) -> str:
        """Ask for training images beside held-out ones."""
        if evidence.real.images.shape[1:] == POINT:
            return "says nothing of points in the plane, many of which coincide by chance"
        if evidence.training is None:
            return "needs held-out images beside the training images: train with --holdout 0.1"
        return super().missing(evidence)

    def measure(self, evidence: Evidence) -> Finding:
        """Return ``nearer`` and ``copies``, and as facts the nearest pairs (sample, training image)."""
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
