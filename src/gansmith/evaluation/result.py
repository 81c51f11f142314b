"""What was found of a model, and the protocol under which numbers may be compared."""

import json
import math
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from gansmith.core.errors import MetricError
from gansmith.core.metric_name import MetricName
from gansmith.core.registry import FrozenModel
from gansmith.core.version import __version__
from gansmith.parts.metrics.base import Number, metrics
from gansmith.parts.metrics.image_similarity import BEST

FOLDER, FILE, PAIRS = "evaluation", "evaluation.json", "nearest.png"  # within a model's folder
TRANSLATIONS = "translations.png"  # beside them, for models that translate
NOISE = 2.0  # differences above so many deviations are more than noise


class Protocol(FrozenModel):
    """What a number depends on apart from the model. Numbers of different protocols are never compared."""

    features: str
    features_sha256: str
    resize: str
    num_fake: int
    num_sets: int
    num_real: int
    reference: str  # "held-out images", "training images" or the name of a data set
    reference_fingerprint: str
    reference_split: str  # "all of them", or the share that was kept and the seed that chose it
    gansmith: str = __version__
    weights: str = "averaged"  # or raw, or one file's
    truncation: float | None = None
    sources: str = ""  # of what translations are judged, and how they were made; "": samples are judged

    def differences(self, other: "Protocol") -> list[str]:
        """Return in words what forbids a comparison."""
        mine, its = self.model_dump(), other.model_dump()
        return [f"{name}: {mine[name]} and {its[name]}" for name in mine if mine[name] != its[name]]

    def lines(self) -> list[str]:
        """Return it in words, as it is printed with the numbers."""
        cut = "no truncation" if self.truncation is None else f"truncation {self.truncation:g}"
        drawn = f"samples: {self.num_sets} sets of {self.num_fake:,}, {self.weights} weights, {cut}"
        if self.sources:
            drawn = f"translations of: {self.sources}, {self.weights} weights"
        seen = f"features: {self.features} ({self.features_sha256[:12]}), resized: {self.resize}"
        return [
            f"reference set: {self.num_real:,} images, {self.reference} ({self.reference_fingerprint[:12]}), "
            f"{self.reference_split}",
            drawn,
            seen if self.features_sha256 else "features: none",
        ]


@dataclass(frozen=True)
class Evaluation:
    """What was found of one model."""

    model: str
    kimg: float
    protocol: Protocol
    numbers: dict[str, Number]  # names carry the protocol: fd10k_fashion, fid10k_train, ...
    words: tuple[str, ...]
    skipped: dict[str, str]  # metric -> why
    seconds: float
    facts: dict[str, dict[str, Any]] = field(default_factory=dict)  # by metric

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {**asdict(self), "protocol": self.protocol.model_dump(mode="json")}

    @classmethod
    def read(cls, path: Path) -> "Evaluation":
        """Return what ``to_json`` made, from a file; MetricError if it cannot be."""
        try:
            value = json.loads(path.read_text())
            numbers = {name: Number(**number) for name, number in value["numbers"].items()}
            rest = {key: value[key] for key in ("model", "kimg", "skipped", "seconds", "facts")}
            return cls(protocol=Protocol(**value["protocol"]), numbers=numbers, words=tuple(value["words"]), **rest)
        except (OSError, ValueError, KeyError, TypeError) as problem:
            raise MetricError(
                "metric.unreadable_evaluation", f"'{path}' is no evaluation: {problem}\n  judge the model again"
            ) from problem


def last_evaluation(folder: Path) -> Evaluation | None:
    """Return the last judgement of the model in a folder, None if there was none; MetricError for a broken file."""
    path = folder / FOLDER / FILE
    return Evaluation.read(path) if path.is_file() else None


def best_end(name: str) -> str:
    """Return where the best value of a number lies: low, high, one, or chance (0.5 or less); "" if it is not known."""
    parsed = MetricName.parse(name)
    if parsed is None:
        return ""
    if parsed.count is None:
        return BEST.get(parsed.metric, "")
    by_metric = {metric: end for kind in metrics.names() for metric, end in metrics.get(kind).best.items()}
    return by_metric.get(parsed.metric, "")


def badness(name: str, number: Number) -> float:
    """Return how far a number is from the best; lower is better."""
    value = number.value
    ends = {"low": value, "high": -value, "one": abs(value - 1), "chance": max(0.0, value - 0.5)}
    return ends.get(best_end(name), math.nan)


def is_more_than_noise(left: Number, right: Number) -> bool:
    """Say whether two numbers differ by more than twice the root of the sum of their squared deviations.

    A deviation is that of one fake set, one subset or the jackknife, so the rule errs on the side of "noise". It is
    about these two models: whether two recipes differ takes several seeds of each.
    """
    spread = math.hypot(left.deviation or 0.0, right.deviation or 0.0)
    return abs(left.value - right.value) > NOISE * spread
