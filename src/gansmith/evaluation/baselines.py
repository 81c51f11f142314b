"""Compare a translation model with a trivial baseline on the same images."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from torch import Tensor

from gansmith.core.errors import MetricError
from gansmith.core.metric_name import MetricName
from gansmith.evaluation.result import NOISE, Evaluation, badness, best_end
from gansmith.parts.metrics.base import Number, jackknifed, leave_out
from gansmith.parts.metrics.frechet import Frechet, frechet_distance, moments
from gansmith.parts.metrics.image_similarity import colourfulness, feature_distance, l1, mean_of, psnr, ssim

FACTS = "translation"  # key in the facts of an evaluation


@dataclass(frozen=True)
class Candidate:
    """Images to compare with targets, in the order of the targets."""

    images: np.ndarray  # stored pixels (N, H, W, C)
    features: Tensor  # (N, F)
    measures: dict[str, np.ndarray]  # by metric, one value for each image (N,)


@dataclass(frozen=True)
class BaselineComparison:
    """Metrics of a model and of its baseline, in one direction of translation."""

    title: str  # the direction, such as a_to_b; "" for a model with one direction
    baseline: str  # how the baseline is called, such as 'the source' or bicubic
    model: dict[str, Number]
    without: dict[str, Number]  # without the model: of the baseline
    target: dict[str, Number]  # of the targets themselves: the floor of fd, and colourfulness
    gains: dict[str, Number]  # model - baseline, with the deviation of the difference on the same images

    def interval(self, name: str) -> tuple[float, float]:
        """Return the 95 % interval (2 standard deviations) of the difference between model and baseline."""
        gain = self.gains[name]
        spread = NOISE * (gain.deviation or 0.0)
        return gain.value - spread, gain.value + spread

    def verdict(self, name: str) -> str:
        """Return ``better``, ``worse`` or ``noise`` for the model; "" if no value of the metric is best."""
        if name not in self.gains or not best_end(name):
            return ""
        low, high = self.interval(name)
        if low <= 0 <= high:
            return "noise"
        return "better" if badness(name, self.model[name]) < badness(name, self.without[name]) else "worse"

    def words(self) -> list[str]:
        """Return one sentence for each verdict."""
        heads = {
            "better": f"better than '{self.baseline}' by more than noise",
            "worse": f"worse than '{self.baseline}' by more than noise",
            "noise": f"not different from '{self.baseline}' by more than noise",
        }
        start = f"{self.title}: " if self.title else ""
        by_verdict = {key: [name for name in self.gains if self.verdict(name) == key] for key in heads}
        return [f"{start}{heads[key]}: {', '.join(names)}" for key, names in by_verdict.items() if names]

    def names(self) -> list[str]:
        """Return the names of all metrics, in the order of their rows."""
        return list(dict.fromkeys([*self.model, *self.without, *self.target]))


def against(images: np.ndarray, targets: np.ndarray, seen: tuple[Tensor, Tensor], extractor: str) -> Candidate:
    """Measure images against their targets; ``seen`` has the features (N, F) of both."""
    measures = {"psnr": psnr, "ssim": ssim, "l1": l1}
    found = {name: measure(images, targets) for name, measure in measures.items()}
    found[str(MetricName("feature_distance", extractor=extractor))] = feature_distance(*seen)
    return Candidate(images, seen[0], {**found, **in_colour(images)})


def in_colour(images: np.ndarray) -> dict[str, np.ndarray]:
    """Return the colourfulness of images (N, H, W, C); nothing for one channel."""
    return {"colourfulness": colourfulness(images)} if images.shape[3] > 1 else {}


def compare_with_baseline(
    title: str, baseline: str, model: Candidate, without: Candidate, target: Candidate, extractor: str
) -> BaselineComparison:
    """Return the metrics of a model and of its baseline: means over images, fd to the targets, colourfulness_ratio.

    ``target`` has as many images as both. The Fréchet distance needs 100 images, its floor needs 200: the distance
    between the two halves of the targets. Both are left out with fewer images.
    """
    count = len(target.images)
    rows, parts = [], []
    for each in (model, without):
        statistics = _statistics(each, target, extractor)
        parts.append({name: leave_out(statistic, count) for name, statistic in statistics.items()})
        means = {name: mean_of(values) for name, values in each.measures.items()}
        rows.append({**means, **{name: jackknifed(values, count) for name, values in parts[-1].items()}})
    gains = {
        name: mean_of(values - without.measures[name])
        for name, values in model.measures.items()
        if name in without.measures
    }
    gains |= {name: jackknifed(values - parts[1][name], count) for name, values in parts[0].items()}
    own = {name: mean_of(values) for name, values in target.measures.items()} | _floor(target, extractor)
    return BaselineComparison(title, baseline, rows[0], rows[1], own, gains)


def _statistics(candidate: Candidate, target: Candidate, extractor: str) -> dict[str, Callable[[Tensor], float]]:
    """Return the metrics of a whole set, as functions of the indices (M,) of the images that the jackknife keeps."""
    found: dict[str, Callable[[Tensor], float]] = {}
    if len(target.images) >= Frechet.least:
        found[str(MetricName("fd", len(target.images), extractor))] = lambda kept: frechet_distance(
            moments(target.features[kept]), moments(candidate.features[kept])
        )
    real, made = (each.measures.get("colourfulness") for each in (target, candidate))
    if real is not None and made is not None and real.any():
        found["colourfulness_ratio"] = lambda kept: float(made[kept.numpy()].mean() / real[kept.numpy()].mean())
    return found


def _floor(target: Candidate, extractor: str) -> dict[str, Number]:
    """Return the Fréchet distance between both halves of the targets: about the lowest value that is possible."""
    half = len(target.images) // 2
    if half < Frechet.least:
        return {}
    first, second = target.features[:half], target.features[half : 2 * half]
    values = leave_out(lambda kept: frechet_distance(moments(first[kept]), moments(second[kept])), half)
    return {str(MetricName("fd", half, extractor)): jackknifed(values, half)}


def full_names(comparisons: Sequence[BaselineComparison], split: str) -> dict[str, Number]:
    """Return the metrics of a model by full name, with direction and split."""
    out = {}
    for each in comparisons:
        for text, number in each.model.items():
            name = MetricName.parse(text)
            assert name is not None, text
            out[str(replace(name, direction=each.title, split=split))] = number
    return out


def as_facts(comparisons: Sequence[BaselineComparison]) -> dict[str, dict[str, Any]]:
    """Return comparisons as facts of an evaluation."""
    return {FACTS: {"contests": [asdict(each) for each in comparisons]}}


def baseline_comparisons(found: Evaluation) -> list[BaselineComparison]:
    """Read comparisons from the facts of an evaluation: none for samples; MetricError for broken facts."""

    def numbers(values: Mapping[str, Any]) -> dict[str, Number]:
        return {name: Number(**value) for name, value in values.items()}

    try:
        return [
            BaselineComparison(
                each["title"],
                each["baseline"],
                *(numbers(each[key]) for key in ("model", "without", "target", "gains")),
            )
            for each in found.facts.get(FACTS, {}).get("contests", [])
        ]
    except (KeyError, TypeError, AttributeError) as problem:
        raise MetricError(
            "metric.unreadable_evaluation",
            f"the evaluation of '{found.model}' cannot be read: {problem}\n  evaluate the model again",
        ) from problem
