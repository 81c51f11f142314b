"""Evaluate a model: samples and reference set through one extractor, then every metric."""

import re
import time
from collections.abc import Sequence
from dataclasses import replace
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
from gansmith.evaluation.result import FILE, PAIRS, REAL, SAMPLES, Evaluation, Protocol
from gansmith.imaging.captions import captioned_grid
from gansmith.imaging.images import POINT, make_grid, save_png
from gansmith.imaging.values import picture_of
from gansmith.inference.model import Model
from gansmith.inference.model_record import ModelRecord
from gansmith.methods.latent import labels_by_share
from gansmith.parts.extractors.base import DataInfo, Extractor, extractors
from gansmith.parts.metrics.base import Evidence, Finding, Metric, Number, Side, metrics

FEWEST_SETS = 4
ORDER = (  # of the metrics in the output; metrics of plugins follow
    "frechet",
    "kernel",
    "precision_recall",
    "density_coverage",
    "class_coverage",
    "modes",
    "label_accuracy",
    "diversity",
    "bins",
    "memorization",
    "sliced_wasserstein",
    "texture",
    "inception_score",
)
SPLIT_NAME = re.compile(r"[-_]?(train|test|valid|val|holdout)$")
SHOWN, SHOWN_COLUMNS = 64, 8  # images in the pictures of an evaluation
NO_EXTRACTOR = Extractor("none", "", "none", (), lambda images: (torch.zeros(len(images), 1), None))


class EvaluationOptions(FrozenModel):
    """Options of an evaluation."""

    num: int = 10_000  # images in a set of samples
    sets: int = FEWEST_SETS  # independent sets of samples
    features: str = ""  # name of an extractor; "": see ``default_extractor``
    metrics: tuple[str, ...] = ()  # (): all
    weights: Path | None = None  # file of the extractor inception
    on_training: bool = False  # the training images are the reference set
    raw: bool = False  # weights without averaging
    truncation: float | None = None  # of latents, in standard deviations
    seed: int = 0
    truth: str = ""  # data set of known translations, for a model trained without pairs
    training: str = ""  # data set that the maker of the judged images was trained on, for images without a model

    def check(self) -> None:
        """Raise MetricError for numbers out of range."""
        if self.num < 2:
            raise MetricError("metric.num_too_small", f"--num {self.num} is too few images; pass at least 100")
        if self.sets < FEWEST_SETS:
            raise MetricError(
                "metric.sets_too_few",
                f"--sets {self.sets}: the deviation of a distance needs at least {FEWEST_SETS} sets"
                f"\n  leave out --sets to make {FEWEST_SETS}",
            )


def evaluate(
    model: Model,
    reference: ImageData,
    reference_name: str,
    options: EvaluationOptions,
    *,
    training: ImageData | None = None,
    on_progress: OnProgress = silent,
) -> tuple[Evaluation, Evidence]:
    """Measure samples of a model against a reference set; return the metrics and the images that they rest on.

    ``training`` has the training images, for the metric ``memorization`` and the extractor ``own``. Raises MetricError
    for images that do not fit the model, an extractor that is not available, and too few images for a metric that
    ``options`` name.
    """
    options.check()
    if options.truth:
        raise MetricError(
            "metric.truth_without_translation",
            f"--truth {options.truth}: samples have no known translations\n  it is for models trained --from A --to B",
        )
    if options.training:
        raise MetricError(
            "metric.training_of_model",
            f"--training {options.training}: a run knows its training images"
            "\n  leave it out: it is for judged images whose model is not at hand",
        )
    chosen = chosen_metrics(options.metrics)
    _check_fit(model.record, reference.spec)
    check_finite(model, ("generator",), options.raw)
    start = time.monotonic()
    extractor = extractor_for(chosen, options, training or reference, on_progress)
    evidence = gather(model, reference, extractor, options, training=training, on_progress=on_progress)
    found = Evaluation(
        model.record.name,
        model.record.kimg,
        protocol(model, options, extractor, reference, reference_name),
        {},
        tuple(notes(model.record, reference.spec, training)),
        {},
        0.0,
    )
    found = measured(found, evidence, chosen, optional=not options.metrics, on_progress=on_progress)
    return replace(found, seconds=round(time.monotonic() - start, 1)), evidence


def measured(
    found: Evaluation,
    evidence: Evidence,
    chosen: Sequence[Metric],
    *,
    optional: bool,
    on_progress: OnProgress = silent,
) -> Evaluation:
    """Return the evaluation with the numbers, sentences and facts of metrics added.

    Metrics that the evidence does not suffice for are skipped if ``optional``, else they raise MetricError.
    """
    on_training = found.protocol.reference == TRAINING
    numbers: dict[str, Number] = {}
    words = list(found.words)
    skipped: dict[str, str] = {}
    facts = dict(found.facts)
    for index, metric in enumerate(chosen):
        on_progress(Progress(f"metric {metric.kind}", index, len(chosen)))
        if reason := metric.missing(evidence):
            skipped[metric.kind] = reason
            if not optional:
                raise MetricError("metric.evidence_missing", f"metric '{metric.kind}' {reason}")
            continue
        finding = metric.evaluate(evidence)
        numbers |= _named(finding, metric, found.protocol.features, on_training)
        words += finding.words
        facts |= {metric.kind: finding.facts} if finding.facts else {}
    return replace(found, numbers=numbers, words=tuple(words), skipped=skipped, facts=facts)


def extractor_for(
    chosen: Sequence[Metric], options: EvaluationOptions, seen: ImageData, on_progress: OnProgress
) -> Extractor:
    """Return the extractor that metrics need; ``own`` learns from the images ``seen``."""
    if any(metric.by_features for metric in chosen):
        return open_extractor(options, seen.spec, data_info_of(seen), on_progress)
    _refuse_weights(options)
    return NO_EXTRACTOR


def protocol(
    model: Model, options: EvaluationOptions, extractor: Extractor, reference: ImageData, reference_name: str
) -> Protocol:
    """Return the protocol of an evaluation."""
    weights = "raw"
    if not options.raw and any(name.endswith("-raw") for name in model.networks):
        weights = "averaged"
    elif not options.raw and not any(name.startswith("discriminator") for name in model.networks):
        weights = "one file's"  # which does not tell whether they are averaged
    return Protocol(
        **stamp_of(extractor, reference, reference_name),
        num_fake=options.num,
        num_sets=options.sets,
        weights=weights,
        truncation=options.truncation,
    )


def stamp_of(extractor: Extractor, reference: ImageData, reference_name: str) -> dict[str, Any]:
    """Return the fields of a protocol that say which extractor and which reference set."""
    split = reference.spec.split
    return {
        "features": extractor.name,
        "features_sha256": extractor.sha256,
        "resize": extractor.resize,
        "num_real": len(reference),
        "values": "" if reference.spec.values is None else reference.spec.values.words,
        "reference": reference_name,
        "reference_fingerprint": reference.spec.fingerprint,
        "reference_split": f"{split.name} share, {split.share:g} by seed {split.seed}"
        if split.share
        else "all of them",
    }


def gather(
    model: Model,
    reference: ImageData,
    extractor: Extractor,
    options: EvaluationOptions,
    *,
    training: ImageData | None = None,
    on_progress: OnProgress = silent,
) -> Evidence:
    """Draw samples and return images and features of samples, reference set and training images."""
    real = side_of(reference, extractor, on_progress)
    seen = None if training is None or training is reference else side_of(training, extractor, on_progress)
    latents, labels = _inputs(model, reference, options)
    fakes = []
    for index in range(options.sets):
        part = slice(index * options.num, (index + 1) * options.num)
        on_progress(Progress("samples", index * options.num, options.sets * options.num))
        images = model.in_palette(model.draw(latents[part], None if labels is None else labels[part], raw=options.raw))
        features, probabilities = extractor(images)
        asked = None if labels is None else labels[part]
        modes = extractor.mode_of(features, probabilities) if extractor.mode_of else None
        fakes.append(Side(images, features, probabilities if _knows(extractor, reference) else None, asked, modes))
    classes = extractor.classes if same_classes(extractor, reference) else ()
    return Evidence(real, tuple(fakes), seen, classes, extractor.num_modes, values=reference.spec.values)


def side_of(data: ImageData, extractor: Extractor, on_progress: OnProgress) -> Side:
    """Return images and features of a data set, always shuffled in the same way."""
    order = epoch_order(0, 0, len(data))
    features, probabilities = features_of(data, order, extractor, on_progress)
    labels = data.read_labels(order)
    known = None if labels is None or not same_classes(extractor, data) else torch.from_numpy(labels)
    modes = extractor.mode_of(features, probabilities) if extractor.mode_of else None
    return Side(data.read(order), features, probabilities if _knows(extractor, data) else None, known, modes)


def same_classes(extractor: Extractor, data: ImageData) -> bool:
    """Say whether the extractor's classes are those of the data."""
    return bool(extractor.classes) and extractor.classes == data.spec.classes


def _knows(extractor: Extractor, data: ImageData) -> bool:
    """Say whether the extractor's classes fit the data: equal classes, or Inception's for colour images."""
    return same_classes(extractor, data) or (extractor.name == "inception" and data.spec.channels == 3)


def _inputs(model: Model, reference: ImageData, options: EvaluationOptions) -> tuple[np.ndarray, torch.Tensor | None]:
    """Return latents and labels of all sets; labels are as frequent as in the reference set, or evenly distributed."""
    method, count = model.latent_method("evaluate"), options.num * options.sets
    latents = truncate(
        sample_latents(derive_seed("evaluate", options.seed), 0, count, method.config.latent_dim), options.truncation
    )
    if not method.num_classes:
        return latents, None
    # Each set has the same number of images of each class, so that sets do not differ by chance in that.
    one_set = labels_by_share(reference.class_frequencies, options.num, method.num_classes, options.seed)
    return latents, one_set.repeat(options.sets)


def chosen_metrics(names: Sequence[str]) -> list[Metric]:
    """Return the metrics of these names, all in their usual order for none; GansmithError for an unknown name.

    A number that a metric gives, such as fd or recall, names the metric too.
    """
    last = len(ORDER)
    every = sorted(metrics.names(), key=lambda name: ORDER.index(name) if name in ORDER else last)
    by_number = {number: name for name in every for number in metrics.get(name).best} | {"fid": "frechet"}
    kinds = [name if name in every else by_number.get(name, name) for name in names or every]
    return [metrics.parse(kind) for kind in dict.fromkeys(kinds)]


def _named(found: Finding, metric: Metric, extractor: str, on_training: bool) -> dict[str, Number]:
    """Return the numbers of a metric by full name."""
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
            f" {its[0]} x {its[1]} px with {its[2]}\n  pass DATA with images of that size",
        )
    refuse_other_depth(f"'{record.name}' makes", model, data)
    if model.classes and data.classes and model.classes != data.classes:
        raise MetricError(
            "metric.classes_differ",
            f"'{record.name}' knows the classes {', '.join(model.classes[:5])}, but '{data.name}' has"
            f" {', '.join(data.classes[:5])}\n  pass the data set that it was trained on",
        )


def refuse_other_depth(subject: str, mine: DataSpec, its: DataSpec) -> None:
    """Raise MetricError for images whose numbers have another meaning; ``subject`` says whose are compared with them.

    Numbers of 8-bit pictures are levels of white; all others have units of their own.
    """
    if mine.values is None and its.values is None:
        return
    kinds = [spec.values.kind if spec.values else "uint8" for spec in (mine, its)]
    if (kinds[0] == "uint8") == (kinds[1] == "uint8") and (mine.values is None) == (its.values is None):
        return
    words = [
        "8-bit pictures" if spec.values is None or spec.values.is_8_bit else spec.values.words for spec in (mine, its)
    ]
    raise MetricError(
        "metric.depth_differs",
        f"{subject} images of other values than '{its.name}': {words[0]}, and {words[1]}"
        "\n  their numbers have different meanings; pass images in the units of the training images",
    )


def check_finite(model: Model, generators: Sequence[str], raw: bool) -> None:
    """Raise MetricError if a generator has weights that are NaN or infinite."""
    chosen = [model.network(f"{name}-raw" if raw else name) for name in generators]
    if not all(bool(value.isfinite().all()) for network in chosen for value in network.state_dict().values()):
        raise MetricError(
            "metric.model_not_finite",
            f"'{model.record.name}' has weights that are NaN or infinite: training diverged"
            "\n  evaluate an earlier checkpoint",
        )


def notes(record: ModelRecord, spec: DataSpec, training: ImageData | None) -> list[str]:
    """Return a note if the reference set comes from another data set than the training images."""
    trained_on = training.spec.name if training else record.data.name
    if SPLIT_NAME.sub("", spec.name) == SPLIT_NAME.sub("", trained_on):
        return []
    return [
        f"the model was trained on '{trained_on}', and the reference set is '{spec.name}': the metrics include that gap"
    ]


def open_extractor(options: EvaluationOptions, spec: DataSpec, domain: DataInfo, on_progress: OnProgress) -> Extractor:
    """Return the extractor that ``options`` name, or the default one; MetricError if it is not available."""
    name = options.features or default_extractor(spec)
    if name.partition(":")[0] != "inception":
        _refuse_weights(options)
    return extractors.parse(name).open(domain, options.weights, on_progress)


def _refuse_weights(options: EvaluationOptions) -> None:
    if options.weights:
        raise MetricError(
            "metric.weights_without_extractor",
            f"--weights {options.weights}: only the extractor inception takes a file\n  pass --features inception",
        )


def write_evaluation(found: Evaluation, evidence: Evidence, folder: Path) -> Path:
    """Write evaluation.json, pictures of real images and samples, and of nearest pairs if memorization was measured.

    Returns the JSON file.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / FILE
    commit_json(path, found.to_json())
    if not found.protocol.fit and evidence.real.images.shape[1:] != POINT:
        for name, side in ((REAL, evidence.real), (SAMPLES, evidence.fake[0])):
            shown_first = picture_of(side.images[:SHOWN], evidence.values)
            save_png(make_grid(shown_first, SHOWN_COLUMNS), folder / name)
    pairs = found.facts.get("memorization", {}).get("pairs", [])
    if pairs and evidence.training is not None:
        shown, captions = [], []
        for sample, image, distance in pairs:
            shown += [evidence.fake[0].images[sample], evidence.training.images[image]]
            captions += [f"sample, {distance:.2f}", "nearest image"]
        picture = picture_of(np.stack(shown), evidence.values)
        save_png(captioned_grid(picture, captions, 8), folder / PAIRS)
    return path
