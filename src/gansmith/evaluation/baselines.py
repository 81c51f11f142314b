"""What a translator is worth: its results and what one would have without it, measured on the same images."""

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

FACTS = "translation"  # the key of an evaluation's facts


@dataclass(frozen=True)
class Candidate:
    """Images in the place of targets, in the targets' order."""

    images: np.ndarray  # uint8 (N, H, W, C)
    features: Tensor  # (N, F)
    measures: dict[str, np.ndarray]  # by name, one number for each image (N,)


@dataclass(frozen=True)
class BaselineComparison:
    """The numbers of translations in one direction, and of what one would have without the model."""

    title: str  # the direction; "" where there is one
    baseline: str  # what is in the place of the model
    model: dict[str, Number]
    without: dict[str, Number]  # of the baseline
    target: dict[str, Number]  # of the targets themselves, where that says something
    gains: dict[str, Number]  # model - baseline; the deviation is that of the difference on the same images

    def interval(self, name: str) -> tuple[float, float]:
        """Return between which values the difference of a number lies, as sure as noise is left out: about 95 %."""
        gain = self.gains[name]
        spread = NOISE * (gain.deviation or 0.0)
        return gain.value - spread, gain.value + spread

    def verdict(self, name: str) -> str:
        """Say whether the model is better or worse by more than noise; "" where no value is the best."""
        if name not in self.gains or not best_end(name):
            return ""
        low, high = self.interval(name)
        if low <= 0 <= high:
            return "noise"
        return "better" if badness(name, self.model[name]) < badness(name, self.without[name]) else "worse"

    def words(self) -> list[str]:
        """Return the verdicts as sentences."""
        heads = {
            "better": f"better than '{self.baseline}' by more than noise",
            "worse": f"worse than '{self.baseline}' by more than noise",
            "noise": f"no more than noise away from '{self.baseline}'",
        }
        start = f"{self.title}: " if self.title else ""
        by_verdict = {key: [name for name in self.gains if self.verdict(name) == key] for key in heads}
        return [f"{start}{heads[key]}: {', '.join(names)}" for key, names in by_verdict.items() if names]

    def names(self) -> list[str]:
        """Return the names of all numbers, in the order of their rows."""
        return list(dict.fromkeys([*self.model, *self.without, *self.target]))


def against(images: np.ndarray, targets: np.ndarray, seen: tuple[Tensor, Tensor], extractor: str) -> Candidate:
    """Return images measured against their targets; ``seen`` are the features (N, F) of both."""
    measures = {"psnr": psnr, "ssim": ssim, "l1": l1}
    found = {name: measure(images, targets) for name, measure in measures.items()}
    found[str(MetricName("feature_distance", extractor=extractor))] = feature_distance(*seen)
    return Candidate(images, seen[0], {**found, **in_colour(images)})


def in_colour(images: np.ndarray) -> dict[str, np.ndarray]:
    """Return the measure of colourfulness for images (N, H, W, C) that can have colour, else nothing."""
    return {"colourfulness": colourfulness(images)} if images.shape[3] > 1 else {}


def hold_contest(
    title: str, baseline: str, model: Candidate, without: Candidate, target: Candidate, extractor: str
) -> BaselineComparison:
    """Return the numbers of a model and its baseline: means of their measures, and their clouds against the target's.

    The target has as many images, in the same order where they are answers. A distance needs 100 images and is left
    out with fewer; its floor, between the halves of the targets, needs 200.
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
    """Return what is computed from a cloud of images, as functions of the places (M,) of those that stay."""
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
    """Return the distance of one half of the targets to the other, which no set of so many images is below by much."""
    half = len(target.images) // 2
    if half < Frechet.least:
        return {}
    first, second = target.features[:half], target.features[half : 2 * half]
    values = leave_out(lambda kept: frechet_distance(moments(first[kept]), moments(second[kept])), half)
    return {str(MetricName("fd", half, extractor)): jackknifed(values, half)}


def named(contests: Sequence[BaselineComparison], split: str) -> dict[str, Number]:
    """Return the numbers of a model by full name: with the direction, and ``split`` of the reference."""
    out = {}
    for each in contests:
        for text, number in each.model.items():
            name = MetricName.parse(text)
            assert name is not None, text
            out[str(replace(name, direction=each.title, split=split))] = number
    return out


def facts_of(contests: Sequence[BaselineComparison]) -> dict[str, dict[str, Any]]:
    """Return contests as the facts of an evaluation."""
    return {FACTS: {"contests": [asdict(each) for each in contests]}}


def contests_of(found: Evaluation) -> list[BaselineComparison]:
    """Return what ``facts_of`` made, [] for a model that does not translate; MetricError for facts of another form."""

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
            f"the evaluation of '{found.model}' cannot be read: {problem}\n  judge it again",
        ) from problem
