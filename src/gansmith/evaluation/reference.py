"""The reference set of an evaluation: images of the user, or those that the run held out."""

from pathlib import Path
from typing import Any

from gansmith.core.errors import DataError, MetricError
from gansmith.core.events import OnProgress, silent
from gansmith.data.base import DataOptions, DataSpec, ImageData
from gansmith.data.open import open_data
from gansmith.data.peek import NativeFormat, native_format
from gansmith.recipes.load import read_run_recipe
from gansmith.runs.folder import RunFolder, run_of

TRAINING, HELD_OUT = "training images", "held-out images"


def run_data_of(run: RunFolder) -> dict[str, Any]:
    """Return the record of a run's data: ``source``, ``root``, ``holdout``, ``reading`` (options for its files)."""
    recipe = read_run_recipe(run.recipe)
    return {**run.record.data.model_dump(mode="json"), "reading": recipe.data.reading()}


def run_data_at(path: Path) -> dict[str, Any] | None:
    """Return ``run_data_of`` the run that a model's path is in; None for a path outside any run."""
    run = run_of(path)
    return None if run is None else run_data_of(run)


def open_reference(
    spec: DataSpec,
    run_data: dict[str, Any] | None,
    source: str | None,
    *,
    root: Path | None = None,
    on_training: bool = False,
    on_progress: OnProgress = silent,
) -> tuple[ImageData, str, ImageData | None]:
    """Return (reference set, its name, training images or None) for a model that makes images of ``spec``.

    The reference set is ``source`` if given, else the held-out images of the run. Training images are used only with
    ``on_training``. ``run_data`` comes from ``run_data_at``. Raises MetricError if there is no reference set, and if
    the images of the run have changed.
    """
    reading = run_data["reading"] if run_data else {}
    options = DataOptions(**reading, pairs=spec.pairs).like(spec)
    place = root or (Path(run_data["root"]) if run_data and run_data.get("root") else None)

    def read(name: str, holdout: float, seed: int, options: DataOptions = options) -> ImageData:
        return open_data(name, options, holdout=holdout, seed=seed, root=place, on_progress=on_progress)

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
    data = read(source, 0.0, 0, without_table(options))
    if training is None or data.spec.pixels_sha256 != training.spec.pixels_sha256:
        return data, data.spec.name, training
    if not on_training:
        raise MetricError(
            "metric.on_training_images",
            f"this model was trained on '{source}', and training images make a model look better than it is"
            "\n  pass other images, or --on-training (names of metrics then end in _train)",
        )
    return training, TRAINING, training


def open_truth(spec: DataSpec, run_data: dict[str, Any] | None, source: str, root: Path | None) -> ImageData | None:
    """Return the known translations at the size of ``spec``, fitted as the images of the run; None for ""."""
    if not source:
        return None
    options = DataOptions(**run_data["reading"] if run_data else {})
    fitted = without_table(options).like(spec)
    return open_data(source, fitted, root=root)


def without_table(options: DataOptions) -> DataOptions:
    """Return the options without a table of labels: it names the images of the run, not others."""
    is_table = options.labels not in (None, "none", "folders")
    return options.model_copy(update={"labels": None}) if is_table else options


def _check_kind(source: str, trained_on: str | None, spec: DataSpec, place: Path | None) -> None:
    """Raise MetricError for images with other channels or another size than the training images, or the model's.

    Larger images of mixed sizes are fitted as the training images were. Smaller ones would be enlarged and blurred.
    """
    its = native_format(source, place)
    native = NativeFormat(spec.height, spec.width, spec.channels, is_uniform=trained_on is not None)
    known = native if trained_on is None else native_format(trained_on, place)
    is_smaller = its.height < min(spec.height, known.height) or its.width < min(spec.width, known.width)
    other_size = its.is_uniform and known.is_uniform and (its.height, its.width) != (known.height, known.width)
    if its.channels != known.channels or is_smaller or other_size:
        trained = "" if known == native or trained_on is None else f", trained on {known} ones"
        raise MetricError(
            "metric.size_differs",
            f"this model makes {native} images{trained}, but '{source}' has {its} ones"
            "\n  pass DATA of the same kind as the training images",
        )


def _of_run(training: ImageData | None, spec: DataSpec, on_training: bool) -> tuple[ImageData, str, ImageData]:
    """Return the reference set that a run has itself: its held-out or its training images."""
    if training is None:
        raise MetricError("metric.no_reference", "there is no reference set\n  pass one: gansmith evaluate MODEL DATA")
    if training.spec.fingerprint != spec.fingerprint:
        raise MetricError(
            "metric.reference_changed",
            f"the images in '{training.summary.source}' have changed since this model was trained"
            "\n  bring the old ones back, or pass other images as DATA",
        )
    if on_training:
        return training, TRAINING, training
    if training.held_out is None:
        raise MetricError(
            "metric.nothing_held_out",
            "this run held out no images\n  pass other images as DATA, or train with --holdout 0.1,"
            "\n  or pass --on-training (names of metrics then end in _train)",
        )
    return training.held_out, HELD_OUT, training
