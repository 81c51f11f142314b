"""What a metric is."""

from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from gansmith.core.errors import MetricError
from gansmith.core.registry import Part, Registry

BLOCKS = 10  # left out in turn by the jackknife


@dataclass(frozen=True)
class Side:
    """One side of a comparison: images, and what an extractor made of them."""

    images: np.ndarray  # uint8 (N, H, W, C)
    features: Tensor  # (N, F) float32
    probabilities: Tensor | None = None  # (N, K) of the classes in ``Evidence.classes``
    labels: Tensor | None = None  # (N,) int64: what a real image is, what a fake was asked to be
    modes: Tensor | None = None  # (N,) int64 below ``Evidence.num_modes``: which mode each shows; -1: none

    def __len__(self) -> int:
        return len(self.features)

    def first(self, count: int) -> "Side":
        """Return the first images."""
        return Side(
            self.images[:count],
            self.features[:count],
            None if self.probabilities is None else self.probabilities[:count],
            None if self.labels is None else self.labels[:count],
            None if self.modes is None else self.modes[:count],
        )


@dataclass(frozen=True)
class Evidence:
    """All that metrics look at. Images are in an order that says nothing (drawn, or shuffled by a seed)."""

    real: Side  # the reference: held out, a test split, or training images where asked for
    fake: tuple[Side, ...]  # independent sets of one size
    training: Side | None = None  # only of a run whose reference is not its training images
    classes: tuple[str, ...] = ()
    num_modes: int = 0  # 0: nothing is known of modes


@dataclass(frozen=True)
class Number:
    """A value and how sure it is."""

    value: float
    deviation: float | None  # one standard deviation
    over: str  # what the deviation is over
    count: int  # images of each fake set that it rests on


@dataclass(frozen=True)
class Finding:
    """What a metric found: numbers by short name, facts for a report (JSON values), and sentences for a person."""

    numbers: dict[str, Number]
    facts: dict[str, Any] = field(default_factory=dict)
    words: tuple[str, ...] = ()


class Metric(Part):
    """A measure of how fakes compare with real images; its fields are its protocol."""

    least: ClassVar[int] = 2  # images on each side below which it says nothing
    by_features: ClassVar[bool] = True  # its value depends on the extractor
    best: ClassVar[dict[str, str]] = {}  # by name of a number: low, high, one, or chance (0.5 or less)

    def missing(self, evidence: Evidence) -> str:
        """Say in words what the evidence lacks for this metric, or return ""."""
        samples, real = min(len(side) for side in evidence.fake), len(evidence.real)
        if min(samples, real) >= self.least:
            return ""
        got = f"{samples:,} samples: pass --num {self.least}" if samples <= real else f"{real:,} real images: pass more"
        return f"needs {self.least:,} images on each side, got {got}"

    def evaluate(self, evidence: Evidence) -> Finding:
        """Return what is found; MetricError where something is missing or not finite."""
        if reason := self.missing(evidence):
            raise MetricError("metric.evidence_missing", f"metric '{self.kind}' {reason}")
        for name, side in (("real", evidence.real), *(("fake", each) for each in evidence.fake)):
            if not bool(side.features.isfinite().all()):
                raise MetricError(
                    "metric.features_not_finite", f"metric '{self.kind}': features of {name} images are not finite"
                )
        return self.measure(evidence)

    @abstractmethod
    def measure(self, evidence: Evidence) -> Finding:
        """Return what is found in evidence that is complete."""


metrics: Registry[Metric] = Registry("metric", "gansmith.parts.metrics")


def over_sets(values: Sequence[float], count: int) -> Number:
    """Return the mean and deviation of a value over independent fake sets of ``count`` images."""
    deviation = float(np.std(values, ddof=1)) if len(values) > 1 else None
    return Number(float(np.mean(values)), deviation, f"{len(values)} independent fake sets", count)


def jackknife(statistic: Callable[[Tensor], float], count: int) -> Number:
    """Return a statistic of all ``count`` images and its jackknife deviation, a tenth of them left out at a time.

    ``statistic`` gets the indices (M,) of the images that stay.
    Source: Quenouille 1956; Tukey 1958; deviation^2 = (B - 1) / B sum_b (s_b - mean)^2 over B blocks.
    """
    return jackknifed(leave_out(statistic, count), count)


def leave_out(statistic: Callable[[Tensor], float], count: int) -> np.ndarray:
    """Return a statistic (BLOCKS + 1,): of all images, then without each block in turn."""
    everything = torch.arange(count)
    return np.array([statistic(everything), *(statistic(everything[everything % BLOCKS != b]) for b in range(BLOCKS))])


def jackknifed(values: np.ndarray, count: int) -> Number:
    """Return the value and jackknife deviation of what ``leave_out`` returned, or of a difference of two such."""
    deviation = float(np.sqrt((BLOCKS - 1) * np.var(values[1:])))
    return Number(float(values[0]), deviation, f"jackknife of {BLOCKS} blocks", count)


def squared_distances(left: Tensor, right: Tensor) -> Tensor:
    """Return (N, M) squared Euclidean distances of rows, float32, never below 0."""
    centre = left.mean(0)  # rounding errors grow with the distance from 0
    left, right = left - centre, right - centre
    product = left @ right.T
    return product.mul_(-2).add_(left.square().sum(1)[:, None]).add_(right.square().sum(1)).clamp_(min=0)


def radii(distances: Tensor, neighbours: int) -> Tensor:
    """Return (N,): the squared distance of each point to its k-th neighbour, from a set's own (N, N) distances."""
    return distances.kthvalue(neighbours + 1, dim=1).values  # the nearest is the point itself
