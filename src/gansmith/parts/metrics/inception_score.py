"""The Inception score: is each sample clearly of one class, and are all classes made?"""

from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor

from gansmith.parts.metrics.base import Evidence, Finding, Metric, Number, metrics


def inception_score(probabilities: Tensor) -> float:
    """Return exp(E KL(p(y|x) || p(y))) of class probabilities (N, K): 1 to K."""
    values = probabilities.double()
    marginal = values.mean(0, keepdim=True)
    divergence = torch.xlogy(values, values) - torch.xlogy(values, marginal)
    return float(divergence.sum(1).mean().exp())


@metrics.register("inception_score")
class InceptionScore(Metric):
    """Inception score of samples over ten splits; higher is better. It ignores the real images.

    It is meaningful only if the extractor's classes are those of the images.
    Source: Salimans et al. 2016, arXiv:1606.03498, section 4; Barratt and Sharma 2018, arXiv:1801.01973, on its limits.
    """

    least: ClassVar[int] = 100
    best: ClassVar[dict[str, str]] = {"is": "high"}

    splits: int = Field(10, ge=2, le=100)

    def missing(self, evidence: Evidence) -> str:
        """Say whether class probabilities are missing."""
        if evidence.fake[0].probabilities is None:
            return "needs an extractor that names classes of these images"
        return super().missing(evidence)

    def measure(self, evidence: Evidence) -> Finding:
        """Return ``is``; as a fact the score of the real images."""
        probabilities, real = evidence.fake[0].probabilities, evidence.real.probabilities
        assert probabilities is not None
        scores = torch.tensor([inception_score(part) for part in probabilities.chunk(self.splits)])
        over = f"{self.splits} splits"
        number = Number(float(scores.mean()), float(scores.std(correction=0)), over, len(probabilities))
        return Finding({"is": number}, {} if real is None else {"real": round(inception_score(real), 4)})
