"""What a model is judged against, and its features, computed once and kept in the cache."""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from gansmith.data.base import DataOptions, DataSpec, ImageData, open_data
from gansmith.data.kind import Kind, kind_of
from gansmith.data.store import cache_folder
from gansmith.errors import DataError, MetricError
from gansmith.extractors.base import Domain, Extractor, Progress
from gansmith.extractors.fashion import CLASSES, SIDE
from gansmith.files import commit_file
from gansmith.recipe import read_run_recipe
from gansmith.run_folder import RunFolder

TRAINING, HELD_OUT = "training images", "held-out images"


def features_of(
    data: ImageData, order: np.ndarray, extractor: Extractor, on_progress: Progress
) -> tuple[Tensor, Tensor]:
    """Return features (N, F) and probabilities (N, K) of a data set in an order; the cache is never trusted blindly."""
    spec = data.spec
    identity = f"{extractor.sha256} {spec.fingerprint} {spec.split} {len(order)} {order[:16].tolist()} 1"
    path = cache_folder() / "judge" / f"features-{hashlib.sha256(identity.encode()).hexdigest()[:40]}.safetensors"
    try:
        kept = load_file(path)
        if len(kept["features"]) == len(kept["probabilities"]) == len(order):
            return kept["features"], kept["probabilities"]
    except (OSError, SafetensorError, KeyError):
        pass  # not there, or half of it: computed again
    found = extractor(
        data.read(order), lambda done: on_progress(f"reference images as {extractor.name} sees them", done, len(order))
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    tensors = {"features": found[0].contiguous(), "probabilities": found[1].contiguous()}
    commit_file(path, lambda temporary: save_file(tensors, temporary))
    return found


def domain_of(data: ImageData) -> Domain:
    """Return what an extractor is told of a data set."""
    spec = data.spec
    return Domain(
        spec.height,
        spec.width,
        spec.channels,
        spec.classes,
        f"{spec.fingerprint[:24]}{spec.split.name}{spec.split.share:g}s{spec.split.seed}",
        lambda: (data.read(np.arange(len(data))), data.labels),
        cache_folder() / "judge",
    )


def default_extractor(spec: DataSpec) -> str:
    """Return ``points`` for points, ``fashion`` or ``fashion_stacked`` for Fashion-MNIST, else ``own``."""
    if spec.is_points:
        return "points"
    if spec.name.startswith("stacked-fashion") and spec.channels == 3 and SIDE <= spec.height == spec.width <= 32:
        return "fashion_stacked"
    return "fashion" if spec.classes == CLASSES and spec.channels == 1 and spec.height <= 32 else "own"


def run_data_of(run: RunFolder) -> dict[str, Any]:
    """Return what a run says of its data: ``source``, ``root``, ``holdout``, ``fit``."""
    recipe = read_run_recipe(run.recipe)
    return {**run.record["data"], "fit": recipe.data.fit}


def open_reference(
    spec: DataSpec,
    run_data: dict[str, Any] | None,
    source: str | None,
    *,
    root: Path | None = None,
    on_training: bool = False,
    on_progress: Progress = lambda *_: None,
) -> tuple[ImageData, str, ImageData | None]:
    """Return (reference, its name, training images or None) for a model of images as ``spec`` says.

    The reference is ``source`` where it is given, else the held-out share of the run; training images are the
    reference only with ``on_training``. ``run_data`` is what ``run_data_of`` returns. Raises MetricError where there is
    nothing to judge against, or the images of the run have changed.
    """
    fit = run_data["fit"] if run_data else "crop"
    options = DataOptions(fit=fit, pairs=spec.pairs).decided(spec.height, spec.width, spec.channels)
    place = root or (Path(run_data["root"]) if run_data and run_data.get("root") else None)

    def read(name: str, holdout: float, seed: int) -> ImageData:
        def tell(done: int, of: int) -> None:
            on_progress("reading images", done, of)

        return open_data(name, options, holdout=holdout, seed=seed, root=place, on_progress=tell)

    training = None
    if run_data is not None:
        try:
            training = read(run_data["source"], run_data["holdout"], spec.split.seed)
        except DataError:
            if source is None:
                raise
    if source is None:
        return _of_run(training, spec, on_training)
    _check_kind(source, run_data["source"] if training is not None and run_data else None, spec, place)
    data = read(source, 0.0, 0)
    if training is None or data.spec.pixels_sha256 != training.spec.pixels_sha256:
        return data, data.spec.name, training
    if not on_training:
        raise MetricError(
            "metric.on_training_images",
            f"'{source}' is what this model was trained on: its own training images flatter it"
            "\n  pass other images, or --on-training (the names of the numbers will say so)",
        )
    return training, TRAINING, training


def open_truth(spec: DataSpec, run_data: dict[str, Any] | None, source: str, root: Path | None) -> ImageData | None:
    """Return the known answers for a model of images as ``spec`` says, fitted as its images are; None for ""."""
    if not source:
        return None
    options = DataOptions(fit=run_data["fit"] if run_data else "crop").decided(spec.height, spec.width, spec.channels)
    return open_data(source, options, root=root)


def _check_kind(source: str, trained_on: str | None, spec: DataSpec, place: Path | None) -> None:
    """Raise MetricError for images of other channels or another size than those of the training, or than the model's.

    Larger pictures of any size are fitted as the training images were; smaller ones would only be blurred.
    """
    its = kind_of(source, place)
    native = Kind(spec.height, spec.width, spec.channels, is_uniform=trained_on is not None)
    known = native if trained_on is None else kind_of(trained_on, place)
    is_smaller = its.height < min(spec.height, known.height) or its.width < min(spec.width, known.width)
    other_size = its.is_uniform and known.is_uniform and (its.height, its.width) != (known.height, known.width)
    if its.channels != known.channels or is_smaller or other_size:
        trained = "" if known == native or trained_on is None else f", trained on {known} ones"
        raise MetricError(
            "metric.size_differs",
            f"this model makes {native} images{trained}, but '{source}' has {its} ones"
            "\n  judge it against images of its own kind: DATA that its training images could have come from",
        )


def _of_run(training: ImageData | None, spec: DataSpec, on_training: bool) -> tuple[ImageData, str, ImageData]:
    """Return what a run itself offers to be judged by."""
    if training is None:
        raise MetricError(
            "metric.no_reference", "there is nothing to judge against\n  pass images: gansmith evaluate MODEL DATA"
        )
    if training.spec.fingerprint != spec.fingerprint:
        raise MetricError(
            "metric.reference_changed",
            f"'{training.summary.source}' has changed: its images are not those that this model was trained on"
            "\n  bring them back, or pass other images as DATA",
        )
    if on_training:
        return training, TRAINING, training
    if training.held_out is None:
        raise MetricError(
            "metric.nothing_held_out",
            "this run kept no images back to judge it by\n  pass other images as DATA, or train with --holdout 0.1,"
            "\n  or pass --on-training (the names of the numbers will say so)",
        )
    return training.held_out, HELD_OUT, training
