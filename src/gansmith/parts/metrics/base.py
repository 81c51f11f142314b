"""The base class of metrics: their input, their result, deviations, distances."""

from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from gansmith.core.errors import MetricError
from gansmith.core.registry import Part, Registry
from gansmith.imaging.values import PixelValues

BLOCKS = 10  # of images, left out in turn by the jackknife


@dataclass(frozen=True)
class Side:
    """Images of one side, real or fake, and their features."""

    images: np.ndarray  # stored pixels (N, H, W, C)
    features: Tensor  # (N, F) float32
    probabilities: Tensor | None = None  # (N, K) of ``Evidence.classes``
    labels: Tensor | None = None  # (N,) int64: true classes of real images, label inputs of fakes
    modes: Tensor | None = None  # (N,) int64: the mode of each image, 0 to ``Evidence.num_modes`` - 1, or -1 for none

    def __len__(self) -> int:
        return len(self.features)

    def first(self, count: int) -> "Side":
        """Return the first ``count`` images."""
        return Side(
            self.images[:count],
            self.features[:count],
            None if self.probabilities is None else self.probabilities[:count],
            None if self.labels is None else self.labels[:count],
            None if self.modes is None else self.modes[:count],
        )


@dataclass(frozen=True)
class Evidence:
    """All input of metrics. Images are in random order."""

    real: Side  # the reference set
    fake: tuple[Side, ...]  # independent sets of samples, of one size
    training: Side | None = None  # training images, unless they are the reference set or not at hand
    classes: tuple[str, ...] = ()
    num_modes: int = 0  # 0: unknown
    given: bool = False  # the judged images were given by the user, not drawn from a model
    values: PixelValues | None = None  # the meaning of stored pixels; None: ordinary 8-bit images


@dataclass(frozen=True)
class Number:
    """A value and its uncertainty."""

    value: float
    deviation: float | None  # standard deviation
    over: str  # what the deviation was computed over
    count: int  # images of each set of samples that were used


@dataclass(frozen=True)
class Finding:
    """The result of a metric: numbers by short name, facts for a report (JSON values), sentences for a person."""

    numbers: dict[str, Number]
    facts: dict[str, Any] = field(default_factory=dict)
    words: tuple[str, ...] = ()


class Metric(Part):
    """A comparison of samples with real images; its fields belong to the protocol."""

    least: ClassVar[int] = 2  # images needed on each side
    by_features: ClassVar[bool] = True  # False: it needs no extractor
    best: ClassVar[dict[str, str]] = {}  # the best value of each number: low, high, one, zero, or chance (0.5 or less)

    def missing(self, evidence: Evidence) -> str:
        """Say what the evidence lacks for this metric, "" if nothing."""
        samples, real = min(len(side) for side in evidence.fake), len(evidence.real)
        if min(samples, real) >= self.least:
            return ""
        got = f"{samples:,} samples: pass --num {self.least}" if samples <= real else f"{real:,} real images: pass more"
        if evidence.given:
            got = f"{samples:,} judged and {real:,} reference images"
        return f"needs {self.least:,} images on each side, got {got}"

    def evaluate(self, evidence: Evidence) -> Finding:
        """Return the result; MetricError if something is missing or not finite."""
        if reason := self.missing(evidence):
            raise MetricError("metric.evidence_missing", f"metric '{self.kind}' {reason}")
        for name, side in (("real", evidence.real), *(("fake", each) for each in evidence.fake)):
            if not bool(side.features.isfinite().all()):
                raise MetricError(
                    "metric.features_not_finite",
                    f"metric '{self.kind}': features of {name} images are not finite"
                    "\n  the extractor fails on these images: choose another with --features",
                )
        return self.measure(evidence)

    @abstractmethod
    def measure(self, evidence: Evidence) -> Finding:
        """Return the result for complete evidence."""


metrics: Registry[Metric] = Registry("metric", "gansmith.parts.metrics")


def over_sets(values: Sequence[float], count: int) -> Number:
    """Return mean and deviation of a value over independent sets of ``count`` samples."""
    deviation = float(np.std(values, ddof=1)) if len(values) > 1 else None
    return Number(float(np.mean(values)), deviation, f"{len(values)} independent fake sets", count)


def jackknife(statistic: Callable[[Tensor], float], count: int) -> Number:
    """Return a statistic of all ``count`` images and its jackknife deviation, leaving out a tenth of them at a time.

    ``statistic`` takes the indices (M,) of the images to use.
    Source: Quenouille 1956; Tukey 1958; deviation^2 = (B - 1) / B sum_b (s_b - mean)^2 over B blocks.
    """
    return jackknifed(leave_out(statistic, count), count)


def leave_out(statistic: Callable[[Tensor], float], count: int) -> np.ndarray:
    """Return a statistic (BLOCKS + 1,) of all images, then of all but each block."""
    everything = torch.arange(count)
    return np.array([statistic(everything), *(statistic(everything[everything % BLOCKS != b]) for b in range(BLOCKS))])


def jackknifed(values: np.ndarray, count: int) -> Number:
    """Return value and jackknife deviation from ``leave_out`` values, or from a difference of two of them."""
    deviation = float(np.sqrt((BLOCKS - 1) * np.var(values[1:])))
    return Number(float(values[0]), deviation, f"jackknife of {BLOCKS} blocks", count)


def squared_distances(left: Tensor, right: Tensor) -> Tensor:
    """Return (N, M) squared Euclidean distances of rows, float32, never below 0."""
    centre = left.mean(0)  # rounding errors grow with the distance from the origin
    left, right = left - centre, right - centre
    product = left @ right.T
    return product.mul_(-2).add_(left.square().sum(1)[:, None]).add_(right.square().sum(1)).clamp_(min=0)


def radii(distances: Tensor, neighbours: int) -> Tensor:
    """Return (N,): the squared distance of each point to its k-th neighbour, from (N, N) distances within a set."""
    return distances.kthvalue(neighbours + 1, dim=1).values  # the nearest is the point itself
