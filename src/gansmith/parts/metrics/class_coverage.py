"""Which classes samples show, according to a classifier."""

import math
from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor

from gansmith.parts.metrics.base import Evidence, Finding, Metric, jackknife, metrics


def shares(probabilities: Tensor) -> Tensor:
    """Return (K,): the share of each predicted class, from probabilities (N, K)."""
    counts = torch.bincount(probabilities.argmax(1), minlength=probabilities.shape[1])
    return counts.double() / len(probabilities)


def evenness(shares_of_classes: Tensor) -> float:
    """Return exp(entropy), 1 to K: the effective number of classes."""
    return float(torch.exp(-torch.xlogy(shares_of_classes, shares_of_classes).sum()))


@metrics.register("class_coverage")
class ClassCoverage(Metric):
    """Predicted classes of samples against those of real images.

    A class is missing if its share among samples is below ``missing_below`` times its share among real images, and
    over-represented above ``overfed_above`` times. ``classes`` is the effective number of classes of samples.
    Source: the mode counts of Metz et al. 2017, arXiv:1611.02163, section 3.3.1.
    """

    least: ClassVar[int] = 100
    best: ClassVar[dict[str, str]] = {"classes": "high", "missing_classes": "low"}

    missing_below: float = Field(0.2, gt=0, lt=1)
    overfed_above: float = Field(2.0, gt=1)

    def missing(self, evidence: Evidence) -> str:
        """Say whether classes are missing."""
        if not evidence.classes or evidence.fake[0].probabilities is None or evidence.real.probabilities is None:
            return "needs labels: put the images into one sub-folder for each class"
        return super().missing(evidence)

    def measure(self, evidence: Evidence) -> Finding:
        """Return ``classes`` and ``missing_classes``; as facts both histograms and the classes by name."""
        assert evidence.real.probabilities is not None
        assert evidence.fake[0].probabilities is not None
        probabilities, real = evidence.fake[0].probabilities, shares(evidence.real.probabilities)
        fake = shares(probabilities)
        ratio = fake / real.clamp(min=1e-12)
        present = real > 0
        gone = [evidence.classes[i] for i in torch.nonzero(present & (ratio < self.missing_below)).flatten().tolist()]
        fed = [evidence.classes[i] for i in torch.nonzero(present & (ratio > self.overfed_above)).flatten().tolist()]

        def count_missing(kept: Tensor) -> float:
            return float((present & (shares(probabilities[kept]) < self.missing_below * real)).sum())

        total = int(present.sum())
        words = [f"{total - len(gone)} of {total} classes are made" + (f"; missing: {', '.join(gone)}" if gone else "")]
        words += [f"made too often: {', '.join(fed)}"] if fed else []
        facts = {
            "classes": list(evidence.classes),
            "real_shares": [round(value, 6) for value in real.tolist()],
            "fake_shares": [round(value, 6) for value in fake.tolist()],
            "missing": gone,
            "over_fed": fed,
            "entropy_nats": round(math.log(evenness(fake)), 4),
        }
        numbers = {
            "classes": jackknife(lambda kept: evenness(shares(probabilities[kept])), len(probabilities)),
            "missing_classes": jackknife(count_missing, len(probabilities)),
        }
        return Finding(numbers, facts, tuple(words))
