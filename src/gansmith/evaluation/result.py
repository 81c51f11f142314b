"""The result of an evaluation: metrics of a model and their protocol."""

import math
from dataclasses import asdict, dataclass, field
from html import escape
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from gansmith.core.errors import MetricError, reason_of
from gansmith.core.html import table
from gansmith.core.metric_name import MetricName
from gansmith.core.plain_files import read_json
from gansmith.core.registry import FrozenModel
from gansmith.core.version import __version__
from gansmith.evaluation.facts import Facts
from gansmith.parts.metrics.base import Number, metrics
from gansmith.parts.metrics.image_similarity import BEST

FOLDER, FILE, PAIRS = "evaluation", "evaluation.json", "nearest.png"  # within a model's folder
REAL, SAMPLES = "real.png", "samples.png"  # beside it: images of the reference set, and samples
TRANSLATIONS = "translations.png"  # beside them, for models that translate
NOISE = 2.0  # larger differences, in standard deviations, count as more than noise


class Protocol(FrozenModel):
    """Everything that a metric depends on apart from the model. Only metrics of equal protocols are compared."""

    features: str
    features_sha256: str
    resize: str
    num_fake: int  # images in a set of samples
    num_sets: int  # independent sets of samples
    num_real: int  # images in the reference set
    reference: str  # "held-out images", "training images" or the name of a data set
    reference_fingerprint: str
    reference_split: str  # "all of them", or the held-out share and the seed that chose it
    gansmith: str = __version__
    weights: str = "averaged"  # or raw, or one file's
    truncation: float | None = None
    sources: str = ""  # the images that were translated, and how they were made; "" for samples
    judged_files: str = ""  # file formats and size of the judged images before fitting; "" for a model
    reference_files: str = ""  # the same of the reference set
    fit: str = ""  # how both sets got the same size and channels; "" for a model
    values: str = ""  # type and range of the values that are compared; "" for 8-bit pictures

    def differences(self, other: "Protocol") -> list[str]:
        """Return each field that differs, with both values: such evaluations cannot be compared."""
        mine, its = self.model_dump(), other.model_dump()
        return [f"{name}: {mine[name]} and {its[name]}" for name in mine if mine[name] != its[name]]

    def lines(self) -> list[str]:
        """Return the protocol as lines, which are printed above the metrics."""
        cut = "no truncation" if self.truncation is None else f"truncation {self.truncation:g}"
        drawn = f"samples: {self.num_sets} sets of {self.num_fake:,}, {self.weights} weights, {cut}"
        if self.sources:
            drawn = f"translations of: {self.sources}, {self.weights} weights"
        if self.judged_files:
            drawn = f"judged images: {self.num_fake:,} images, {self.judged_files}"
        seen = f"features: {self.features} ({self.features_sha256[:12]}), resized: {self.resize}"
        return [
            f"reference set: {self.num_real:,} images, {self.reference} ({self.reference_fingerprint[:12]}), "
            f"{self.reference_split}",
            drawn,
            *([f"reference files: {self.reference_files}", f"compared at: {self.fit}"] if self.fit else []),
            *([f"values: {self.values}"] if self.values else []),
            seen if self.features_sha256 else "features: none",
        ]


@dataclass(frozen=True)
class Evaluation:
    """The metrics of one model, or of one set of images."""

    model: str  # or the name of the judged images
    kimg: float | None  # None: images were judged, not a model
    protocol: Protocol
    numbers: dict[str, Number]  # by the text of a MetricName: fd10k_fashion, fid10k_train, ...
    words: tuple[str, ...]  # sentences for a person
    skipped: dict[str, str]  # metrics that could not be measured, and why
    seconds: float  # that the evaluation took
    facts: Facts = field(default_factory=dict)  # details for the report, by metric; JSON values

    @property
    def title(self) -> str:
        """Return the model and its training length, or the name of the judged images."""
        return self.model if self.kimg is None else f"{self.model} at {self.kimg:,.1f} kimg"

    def to_json(self) -> dict[str, Any]:
        """Return all fields as JSON values."""
        return {**asdict(self), "protocol": self.protocol.model_dump(mode="json")}

    def skipped_by_reason(self) -> dict[str, list[str]]:
        """Return the metrics that were not measured, by reason."""
        out: dict[str, list[str]] = {}
        for kind, reason in self.skipped.items():
            out.setdefault(reason, []).append(kind)
        return out

    @property
    def records(self) -> list[dict[str, Any]]:
        """Return a flat record for each metric: ``pandas.DataFrame(evaluation.records)`` is a table of them."""
        return [{"metric": name, **asdict(number)} for name, number in self.numbers.items()]

    def _repr_html_(self) -> str:
        rows = []
        for name, number in self.numbers.items():
            spread = "" if number.deviation is None else f"{number.deviation:.3g} ({escape(number.over)})"
            rows.append((escape(name), f"{number.value:.4g}", spread))
        words = [*self.protocol.lines(), *self.words, *(f"no {name}: {why}" for name, why in self.skipped.items())]
        said = "".join(f"<div>{escape(line)}</div>" for line in words)
        title = f"<strong>{escape(self.title)}</strong>"
        return f"<div>{title}{table(('metric', 'value', 'deviation'), rows)}{said}</div>"

    @classmethod
    def read(cls, path: Path) -> "Evaluation":
        """Read a file of ``to_json`` values; MetricError if it is missing or broken."""
        try:
            return _EVALUATION.validate_python(read_json(path))
        except (OSError, ValueError) as problem:
            raise MetricError(
                "metric.unreadable_evaluation",
                f"'{path}' is no evaluation ({_reason(problem)})\n  evaluate the model again",
            ) from problem


_EVALUATION = TypeAdapter(Evaluation)


def _reason(problem: Exception) -> str:
    """Return in words why a file of an evaluation cannot be read."""
    if not isinstance(problem, ValidationError):
        return reason_of(problem)
    first = problem.errors(include_url=False)[0]
    return f"{'.'.join(map(str, first['loc']))}: {first['msg']}"


def last_evaluation(folder: Path) -> Evaluation | None:
    """Return the last evaluation of the model in a folder, None if there is none; MetricError for a broken file."""
    path = folder / FOLDER / FILE
    return Evaluation.read(path) if path.is_file() else None


def best_end(name: str) -> str:
    """Return the best value of a metric: low, high, one, zero, or chance (0.5 or less); "" if no value is best."""
    parsed = MetricName.parse(name)
    if parsed is None:
        return ""
    if parsed.count is None:
        return BEST.get(parsed.metric, "")
    by_metric = {metric: end for kind in metrics.names() for metric, end in metrics.get(kind).best.items()}
    return by_metric.get(parsed.metric, "")


def badness(name: str, number: Number) -> float:
    """Return the distance of a value from the best one, so that lower is better; NaN if no value is best."""
    value = number.value
    ends = {"low": value, "high": -value, "one": abs(value - 1), "zero": abs(value), "chance": max(0.0, value - 0.5)}
    return ends.get(best_end(name), math.nan)


def is_more_than_noise(left: Number, right: Number) -> bool:
    """Say whether two values differ by more than 2 standard deviations of their difference.

    The deviations are those of one set of samples, of one subset or of the jackknife, so the rule rather says "noise".
    It compares two models. To compare two recipes, train each with several seeds.
    """
    spread = math.hypot(left.deviation or 0.0, right.deviation or 0.0)
    return abs(left.value - right.value) > NOISE * spread
