"""Evaluate images of any tool: one set of images against another, without a model."""

import re
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from gansmith.core.errors import DataError, MetricError, counted
from gansmith.core.events import OnProgress, silent
from gansmith.data.base import DataOptions, ImageData
from gansmith.data.image_format import is_allowed, largest_inside
from gansmith.data.open import open_data
from gansmith.data.peek import NativeFormat, native_format
from gansmith.evaluation.evaluate import (
    EvaluationOptions,
    chosen_metrics,
    extractor_for,
    measured,
    refuse_other_depth,
    same_classes,
    side_of,
    stamp_of,
)
from gansmith.evaluation.features import default_extractor
from gansmith.evaluation.result import Evaluation, Protocol
from gansmith.imaging.images import LARGEST_SIDE, MODES, POINT
from gansmith.parts.extractors.base import Extractor
from gansmith.parts.extractors.own import FEWEST
from gansmith.parts.metrics.base import Evidence, Metric

NO_IMAGES = ("data.not_found", "data.empty", "data.unknown_format")  # codes of a path that holds no images
FOR_MODELS = ("num", "sets", "on_training", "raw", "truncation", "seed", "truth")  # options that images do not have
LEAST_CUT = 0.01  # share of an image above which it is said
CLAUSE = re.compile(r"(; |, or |^)(?:(?!; |, or ).)+")  # one way out of several in an advice
KEY_VALUE = re.compile(r"\b[a-z_]+=\S|--labels|--pairs")  # an option of training
FITTING = ", others cut around the centre and resized by Lanczos"


@dataclass(frozen=True)
class ImageSets:
    """Two sets of images, fitted to one size, and how they were before."""

    judged: ImageData
    reference: ImageData
    training: ImageData | None  # training images of the model that made the judged ones
    judged_native: NativeFormat
    reference_native: NativeFormat


def open_image_sets(
    judged: str,
    reference: str | None,
    training: str = "",
    *,
    root: Path | None = None,
    on_progress: OnProgress = silent,
) -> ImageSets:
    """Open the judged images and the reference set, all fitted to the size and channels of the reference set.

    The size is the typical one of the reference images, or the largest allowed size within it.
    Raises MetricError if ``judged`` is no set of images, without a reference set, and if it is the training set too.
    """
    try:
        with _naming("judged", judged):
            mine = native_format(judged, root)
    except DataError as problem:
        if problem.code not in NO_IMAGES:
            raise
        why = str(problem.__cause__).splitlines()[0]
        raise MetricError(
            "metric.neither_model_nor_images",
            f"'{judged}' is neither a model nor a set of images: {why}"
            "\n  pass a run folder, a model folder, a .safetensors file or hf:NAME/REPO,"
            "\n  or two sets of images: gansmith evaluate IMAGES_A IMAGES_B",
        ) from problem
    if reference is None:
        raise MetricError(
            "metric.no_reference_images",
            f"'{judged}' is a set of images, which needs a reference set"
            f"\n  pass one: gansmith evaluate {judged} IMAGES_B",
        )
    with _naming("reference", reference):
        its = native_format(reference, root)
    if _is_points(mine) != _is_points(its):
        raise MetricError(
            "metric.points_and_images",
            f"one of '{judged}' and '{reference}' is points in the plane, the other images: they cannot be compared"
            "\n  pass two sets of the same kind",
        )
    if mine.channels < its.channels and its.channels not in MODES:
        raise MetricError(
            "metric.bands_differ",
            f"the judged images, '{judged}', have {counted(mine.channels, 'channel')}, and the reference images,"
            f" '{reference}', {its.channels}\n  pass two sets with the same bands",
        )
    with _naming("reference", reference):
        second = open_data(reference, _options(its), root=root, on_progress=on_progress)
    options = _options(its).like(second.spec)  # one range for all
    with _naming("judged", judged):
        first = open_data(judged, options, root=root, on_progress=on_progress)
    third = None
    if training:
        with _naming("training", training):
            third = open_data(training, options, root=root, on_progress=on_progress)
    for each in (first, third):
        if each is not None:
            refuse_other_depth(f"'{reference}' holds", second.spec, each.spec)
    if third is not None and third.spec.pixels_sha256 == second.spec.pixels_sha256:
        raise MetricError(
            "metric.training_is_reference",
            f"--training '{training}' has the same images as the reference set"
            "\n  pass images as reference set that were not used for training",
        )
    return ImageSets(first, second, third, mine, its)


@contextmanager
def _naming(role: str, source: str) -> Iterator[None]:
    """Let errors in one of the sets say which of them it is, and advise nothing that only training takes."""
    try:
        yield
    except DataError as problem:
        text = without_options(str(problem)).removeprefix(f"'{source}': ")
        named = "" if source in text.partition("\n")[0] else f" '{source}'"
        raise DataError(problem.code, f"{role} images{named}: {text}") from problem


def without_options(text: str) -> str:
    """Return the message of an error without advice to pass KEY=VALUE, which images that are judged do not have."""
    first, *advice = text.split("\n")
    lines = [re.sub("^(; |, or )", "", CLAUSE.sub(_unless_option, line.strip())) for line in advice]
    if advice and not any(lines):
        lines = ["change the folder until 'gansmith data check' accepts it"]
    return "\n  ".join([first, *filter(None, lines)])


def _unless_option(clause: re.Match[str]) -> str:
    return "" if KEY_VALUE.search(clause[0]) else clause[0]


def _is_points(native: NativeFormat) -> bool:
    return (native.height, native.width, native.channels) == POINT


def _options(native: NativeFormat) -> DataOptions:
    if _is_points(native):
        return DataOptions()
    height, width = min(native.height, LARGEST_SIDE), min(native.width, LARGEST_SIDE)
    if not is_allowed(height, width):
        height, width = largest_inside(height, width, native.width / native.height)
    return DataOptions().with_format(height, width, native.channels, "crop")


def evaluate_images(
    sets: ImageSets, options: EvaluationOptions, *, on_progress: OnProgress = silent
) -> tuple[Evaluation, Evidence]:
    """Measure the judged images against the reference set; return the metrics and the images that they rest on.

    Raises MetricError for options that are only for models, an extractor that is not available, too few images for a
    metric that ``options`` name, and too few for any metric.
    """
    _check_options(options)
    start = time.monotonic()
    judged, reference, chosen = sets.judged, sets.reference, chosen_metrics(options.metrics)
    seen = sets.training or reference
    if not options.metrics and min(len(judged), len(reference)) < min(metric.least for metric in chosen):
        raise _too_few(len(judged), len(reference), chosen)  # before an extractor is trained
    words = _words(sets)
    if not options.features and default_extractor(seen.spec) == "own" and any(metric.by_features for metric in chosen):
        if len(seen) < FEWEST:
            options = options.model_copy(update={"features": "untrained"})
            words.append(
                f"{len(seen):,} images are too few to train the extractor 'own' ({FEWEST} or more), so 'untrained' is "
                "used: it sees textures and layout, but no objects"
            )
        elif sets.training is None:
            words.append(
                "the extractor 'own' was trained on the reference images, so it knows them better than the judged "
                "ones: pass --training DATA, or --features NAME"
            )
    extractor = extractor_for(chosen, options, seen, on_progress)
    evidence = _gather(sets, extractor, on_progress)
    spec = reference.spec
    stamp = Protocol(
        **stamp_of(extractor, reference, spec.name),
        num_fake=len(judged),
        num_sets=1,
        weights="none",
        judged_files=f"{sets.judged_native.files} of {sets.judged_native}",
        reference_files=f"{sets.reference_native.files} of {sets.reference_native}",
        fit=f"{spec.height} x {spec.width} px {spec.kind_words}{'' if spec.is_points else FITTING}",
    )
    facts = {"judged_images": {"source": judged.summary.source, "fingerprint": judged.spec.fingerprint}}
    found = Evaluation(judged.spec.name, None, stamp, {}, tuple(words), {}, 0.0, facts)
    found = measured(found, evidence, chosen, optional=not options.metrics, on_progress=on_progress)
    if not found.numbers:
        raise _too_few(len(judged), len(reference), chosen)
    features, fewest = evidence.real.features.shape[1], min(len(judged), len(reference))
    if any(name.startswith(("fd", "fid")) for name in found.numbers) and fewest <= features:
        bias = (
            f"{fewest:,} images are few for {features:,} features, so fd is mostly bias: compare it only with fd of "
            "equally many images, and read kid"
        )
        found = replace(found, words=(*found.words, bias))
    return replace(found, seconds=round(time.monotonic() - start, 1)), evidence


def _gather(sets: ImageSets, extractor: Extractor, on_progress: OnProgress) -> Evidence:
    """Return images and features of all sets. Class probabilities count where they fit the reference set."""
    real, fake = (side_of(data, extractor, on_progress) for data in (sets.reference, sets.judged))
    if real.probabilities is not None and fake.probabilities is None:
        fake = replace(fake, probabilities=extractor(fake.images)[1])
    training = None if sets.training is None else side_of(sets.training, extractor, on_progress)
    classes = extractor.classes if same_classes(extractor, sets.reference) else ()
    values = sets.reference.spec.values
    return Evidence(real, (fake,), training, classes, extractor.num_modes, given=True, values=values)


def _check_options(options: EvaluationOptions) -> None:
    default = EvaluationOptions()
    for name in FOR_MODELS:
        if getattr(options, name) != getattr(default, name):
            option = f"--{name.replace('_', '-')}"
            raise MetricError(
                "metric.option_for_models_only",
                f"{option} is only for models, and these are two sets of images, which are used as they are"
                f"\n  leave out {option}",
            )


def _too_few(judged: int, reference: int, chosen: Sequence[Metric]) -> MetricError:
    by_least: dict[int, list[str]] = {}
    for metric in sorted(chosen, key=lambda metric: metric.least):
        by_least.setdefault(metric.least, []).append(metric.kind)
    needed = "; ".join(f"{least} ({', '.join(kinds)})" for least, kinds in by_least.items())
    return MetricError(
        "metric.nothing_measured",
        f"no number of {judged:,} judged and {reference:,} reference images would mean anything"
        f"\n  images needed on each side: {needed}\n  pass more images",
    )


def _words(sets: ImageSets) -> list[str]:
    """Return sentences on what was left out, how the sets were fitted, and images that are in both."""
    spec = sets.reference.spec
    pairs = (("judged", sets.judged), ("reference", sets.reference))
    out = [f"{name} images: {line}" for name, data in pairs for line in data.summary.not_used()]
    now = f"{spec.height} x {spec.width} px {spec.kind_words}"
    shape = (spec.height, spec.width, spec.channels)
    for name, native in (("judged", sets.judged_native), ("reference", sets.reference_native)):
        if spec.is_points or (native.is_uniform and (native.height, native.width, native.channels) == shape):
            continue
        before = str(native) if native.is_uniform else "of mixed sizes"
        is_small = native.height < spec.height or native.width < spec.width
        blur = ": enlarged images are blurred, and the metrics include that" if is_small else ""
        proportions = sorted((native.width / native.height, spec.width / spec.height))
        lost = 1 - proportions[0] / proportions[1] if native.is_uniform else 0
        cut = f", which cuts off {lost:.0%} of each" if lost >= LEAST_CUT else ""
        text = f"the {name} images are {before} and were fitted to {now}, the format of the reference set{cut}{blur}"
        out.append(text)
    known = {digest.tobytes() for digest in sets.reference.digests[sets.reference.rows, 1]}
    shared = sum(digest.tobytes() in known for digest in sets.judged.digests[sets.judged.rows, 1])
    if shared:
        out.append(
            f"{shared:,} of {counted(len(sets.judged), 'judged image')} are also in the reference set, pixel for pixel"
        )
    return out
