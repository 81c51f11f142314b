"""The judgement of a model: samples and reference through one extractor, every metric, each number with a protocol."""

import re
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from gansmith.core.atomic_files import commit_json
from gansmith.core.errors import MetricError
from gansmith.core.events import OnProgress, Progress, silent
from gansmith.core.metric_name import TRAIN, MetricName
from gansmith.core.randomness import derive_seed, epoch_order, sample_latents, truncate
from gansmith.core.registry import FrozenModel
from gansmith.data.base import DataSpec, ImageData
from gansmith.evaluation.features import data_info_of, default_extractor, features_of
from gansmith.evaluation.reference import TRAINING
from gansmith.evaluation.result import FILE, PAIRS, Evaluation, Protocol
from gansmith.imaging.captions import captioned_grid
from gansmith.imaging.images import save_png
from gansmith.inference.model import Model
from gansmith.inference.model_record import ModelRecord
from gansmith.methods.latent import labels_by_share
from gansmith.parts.extractors.base import DataInfo, Extractor, extractors
from gansmith.parts.metrics.base import Evidence, Finding, Metric, Number, Side, metrics

FEWEST_SETS = 4
ORDER = (  # in which metrics are shown; others, as those of plugins, follow
    "frechet",
    "kernel",
    "precision_recall",
    "density_coverage",
    "class_coverage",
    "modes",
    "label_accuracy",
    "diversity",
    "bins",
    "memorisation",
    "sliced_wasserstein",
    "inception_score",
)
SPLIT_NAME = re.compile(r"[-_]?(train|test|valid|val|holdout)$")
NO_EXTRACTOR = Extractor("none", "", "none", (), lambda images: (torch.zeros(len(images), 1), None))


class EvaluationOptions(FrozenModel):
    """What is asked of a judgement."""

    num: int = 10_000  # images in a fake set
    sets: int = FEWEST_SETS  # independent fake sets for the Fréchet distance
    features: str = ""  # an extractor's name; "": fashion for the built-in kind of data, else own
    metrics: tuple[str, ...] = ()  # (): all
    weights: Path | None = None
    on_training: bool = False  # judge against the training images
    raw: bool = False
    truncation: float | None = None
    seed: int = 0
    truth: str = ""  # a data set: what translations should be, for models that learnt without pairs

    def check(self) -> None:
        """Raise MetricError for numbers that cannot be."""
        if self.num < 2:
            raise MetricError("metric.num_too_small", f"--num {self.num} is too few to judge; pass at least 100")
        if self.sets < FEWEST_SETS:
            raise MetricError(
                "metric.sets_too_few",
                f"--sets {self.sets}: the deviation of a distance needs at least {FEWEST_SETS} sets",
            )


def evaluate(
    model: Model,
    reference: ImageData,
    reference_name: str,
    request: EvaluationOptions,
    *,
    training: ImageData | None = None,
    on_progress: OnProgress = silent,
) -> tuple[Evaluation, Evidence]:
    """Judge a model against a reference; ``training`` is what memorisation and the extractor ``own`` look at.

    Raises MetricError for images that do not fit, an extractor that cannot be had, or fewer images than asked for.
    """
    request.check()
    if request.truth:
        raise MetricError(
            "metric.truth_without_translation",
            f"--truth {request.truth}: samples have no right answers\n  it is for models of --from and --to",
        )
    chosen = _chosen(request.metrics)
    _check_fit(model.record, reference.spec)
    check_finite(model, ("generator",), request.raw)
    start = time.monotonic()
    blind = not any(metric.by_features for metric in chosen)
    if blind:
        _refuse_weights(request)
    seen = training or reference
    extractor = NO_EXTRACTOR if blind else open_extractor(request, seen.spec, data_info_of(seen), on_progress)
    evidence = gather(model, reference, extractor, request, training=training, on_progress=on_progress)
    on_training = reference_name == TRAINING
    numbers: dict[str, Number] = {}
    words = notes(model.record, reference.spec, training)
    skipped: dict[str, str] = {}
    facts: dict[str, dict[str, Any]] = {}
    for index, metric in enumerate(chosen):
        on_progress(Progress(f"metric {metric.kind}", index, len(chosen)))
        if reason := metric.missing(evidence):
            skipped[metric.kind] = reason
            if request.metrics:
                raise MetricError("metric.evidence_missing", f"metric '{metric.kind}' {reason}")
            continue
        found = metric.judge(evidence)
        numbers |= _named(found, metric, extractor.name, on_training)
        words += found.words
        facts |= {metric.kind: found.facts} if found.facts else {}
    record, seconds = model.record, round(time.monotonic() - start, 1)
    stamp = protocol(model, request, extractor, reference, reference_name)
    found_all = Evaluation(record.name, record.kimg, stamp, numbers, tuple(words), skipped, seconds, facts)
    return found_all, evidence


def protocol(
    model: Model, request: EvaluationOptions, extractor: Extractor, reference: ImageData, reference_name: str
) -> Protocol:
    """Return the stamp of a judgement."""
    split = reference.spec.split
    chosen = f"{split.name} share, {split.share:g} by seed {split.seed}" if split.share else "all of them"
    weights = "raw"
    if not request.raw and any(name.endswith("-raw") for name in model.networks):
        weights = "averaged"
    elif not request.raw and not any(name.startswith("discriminator") for name in model.networks):
        weights = "one file's"  # which does not say whether they were averaged
    return Protocol(
        features=extractor.name,
        features_sha256=extractor.sha256,
        resize=extractor.resize,
        num_fake=request.num,
        num_sets=request.sets,
        num_real=len(reference),
        reference=reference_name,
        reference_fingerprint=reference.spec.fingerprint,
        reference_split=chosen,
        weights=weights,
        truncation=request.truncation,
    )


def gather(
    model: Model,
    reference: ImageData,
    extractor: Extractor,
    request: EvaluationOptions,
    *,
    training: ImageData | None = None,
    on_progress: OnProgress = silent,
) -> Evidence:
    """Return reference and samples as the extractor sees them."""
    real = _side(reference, extractor, on_progress)
    seen = None if training is None or training is reference else _side(training, extractor, on_progress)
    latents, labels = _inputs(model, reference, request)
    fakes = []
    for index in range(request.sets):
        part = slice(index * request.num, (index + 1) * request.num)
        on_progress(Progress("samples", index * request.num, request.sets * request.num))
        images = model.draw(latents[part], None if labels is None else labels[part], raw=request.raw)
        features, probabilities = extractor(images)
        asked = None if labels is None else labels[part]
        modes = extractor.mode_of(features, probabilities) if extractor.mode_of else None
        fakes.append(Side(images, features, probabilities if _knows(extractor, reference) else None, asked, modes))
    classes = extractor.classes if _same_classes(extractor, reference) else ()
    return Evidence(real, tuple(fakes), seen, classes, extractor.num_modes)


def _side(data: ImageData, extractor: Extractor, on_progress: OnProgress) -> Side:
    """Return a data set as the extractor sees it, shuffled the same way each time."""
    order = epoch_order(0, 0, len(data))
    features, probabilities = features_of(data, order, extractor, on_progress)
    labels = data.read_labels(order)
    known = None if labels is None or not _same_classes(extractor, data) else torch.from_numpy(labels)
    modes = extractor.mode_of(features, probabilities) if extractor.mode_of else None
    return Side(data.read(order), features, probabilities if _knows(extractor, data) else None, known, modes)


def _same_classes(extractor: Extractor, data: ImageData) -> bool:
    return bool(extractor.classes) and extractor.classes == data.spec.classes


def _knows(extractor: Extractor, data: ImageData) -> bool:
    """Say whether an extractor's classes mean something here: the data's own, or Inception's for colour pictures."""
    return _same_classes(extractor, data) or (extractor.name == "inception" and data.spec.channels == 3)


def _inputs(model: Model, reference: ImageData, request: EvaluationOptions) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Return latents and labels of all sets; labels come as often as in the reference, or evenly without labels."""
    method, count = model.latent_method("evaluate"), request.num * request.sets
    latents = truncate(
        sample_latents(derive_seed("evaluate", request.seed), 0, count, method.config.latent_dim), request.truncation
    )
    if not method.num_classes:
        return latents, None
    # Each set has each class as often as the shares say: no luck of the draw between sets.
    one_set = labels_by_share(reference.class_frequencies, request.num, method.num_classes, request.seed)
    return latents, one_set.repeat(request.sets)


def _chosen(names: Sequence[str]) -> list[Metric]:
    last = len(ORDER)
    every = sorted(metrics.names(), key=lambda name: ORDER.index(name) if name in ORDER else last)
    return [metrics.parse(name) for name in names or every]


def _named(found: Finding, metric: Metric, extractor: str, on_training: bool) -> dict[str, Number]:
    """Return numbers under names that carry the protocol."""
    features, split = extractor if metric.by_features else "", TRAIN if on_training else ""
    return {
        str(MetricName(name, number.count, features, split=split)): number for name, number in found.numbers.items()
    }


def _check_fit(record: ModelRecord, spec: DataSpec) -> None:
    model, data = record.data, spec
    mine, its = (model.height, model.width, model.channels), (data.height, data.width, data.channels)
    if mine != its:
        raise MetricError(
            "metric.size_differs",
            f"'{record.name}' makes {mine[0]} x {mine[1]} px with {mine[2]} channels, but '{data.name}' has"
            f" {its[0]} x {its[1]} px with {its[2]}\n  judge it against images of its own kind",
        )
    if model.classes and data.classes and model.classes != data.classes:
        raise MetricError(
            "metric.classes_differ",
            f"'{record.name}' knows the classes {', '.join(model.classes[:5])}, but '{data.name}' has"
            f" {', '.join(data.classes[:5])}\n  judge it against the data set that it was trained on",
        )


def check_finite(model: Model, generators: Sequence[str], raw: bool) -> None:
    """Raise MetricError for generators whose images would be made of what is not finite."""
    chosen = [model.network(f"{name}-raw" if raw else name) for name in generators]
    if not all(bool(value.isfinite().all()) for network in chosen for value in network.state_dict().values()):
        raise MetricError(
            "metric.model_not_finite",
            f"'{model.record.name}' has weights that are NaN or infinite: its images mean nothing"
            "\n  judge a model of before training diverged",
        )


def notes(record: ModelRecord, spec: DataSpec, training: ImageData | None) -> list[str]:
    """Return what must be said before numbers: that other images are judged against than those of the training."""
    trained_on = training.spec.name if training else record.data.name
    if SPLIT_NAME.sub("", spec.name) == SPLIT_NAME.sub("", trained_on):
        return []
    return [
        f"'{spec.name}' is another data set than '{trained_on}', on which it was trained: that shows in the numbers"
    ]


def open_extractor(request: EvaluationOptions, spec: DataSpec, domain: DataInfo, on_progress: OnProgress) -> Extractor:
    """Return the extractor that is asked for, or the one that suits a data set; MetricError if it cannot be had."""
    if (request.features or "own") in ("own", "fashion"):
        _refuse_weights(request)
    name = request.features or default_extractor(spec)
    return extractors.parse(name).open(domain, request.weights, on_progress)


def _refuse_weights(request: EvaluationOptions) -> None:
    if request.weights:
        raise MetricError(
            "metric.weights_without_extractor",
            f"--weights {request.weights}: only an extractor of others takes a file\n  pass --features inception",
        )


def write_evaluation(found: Evaluation, evidence: Evidence, folder: Path) -> Path:
    """Write evaluation.json and, where memorisation was looked at, a picture of the nearest pairs; return the JSON."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / FILE
    commit_json(path, found.to_json())
    pairs = found.facts.get("memorisation", {}).get("pairs", [])
    if pairs and evidence.training is not None:
        shown, captions = [], []
        for sample, image, distance in pairs:
            shown += [evidence.fake[0].images[sample], evidence.training.images[image]]
            captions += [f"sample, {distance:.2f}", "nearest image"]
        save_png(captioned_grid(np.stack(shown), captions, 8), folder / PAIRS)
    return path
