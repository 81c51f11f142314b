"""Labelled training and test images at the size of a model."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from gansmith.core.errors import DataError
from gansmith.core.events import OnProgress, PlainLines
from gansmith.core.randomness import derive_seed, epoch_order
from gansmith.data.base import DataOptions, ImageData
from gansmith.data.datasets.base import FileSet, data_sets, named_set
from gansmith.data.open import open_data
from gansmith.evaluation.reference import run_data_at, without_table
from gansmith.inference.model import Model

TEST_SHARE = 0.2  # of the images, if there is no test split


@dataclass(frozen=True)
class Parts:
    """Training and test images of classifiers, and a sentence on the test images."""

    train: ImageData
    test: ImageData
    words: str


def open_fitted(
    model: Model,
    path: str | Path,
    source: str | Path,
    *,
    data_root: str | Path | None = None,
    on_progress: OnProgress | None = None,
) -> ImageData:
    """Return the data set ``source`` with the size and channels of the model at ``path``.

    Images are fitted as those of its run were; for a model folder without a run they are cropped at the centre.
    """
    return _open(model, run_data_at(Path(path)), source, 0.0, 0, data_root, on_progress or PlainLines().show)


def open_parts(
    model: Model,
    path: str | Path,
    source: str | Path,
    *,
    data_root: str | Path | None = None,
    on_progress: OnProgress | None = None,
) -> Parts:
    """Return labelled training and test images, fitted as by ``open_fitted``.

    The test images are, by preference: NAME:test of a named data set, the images that the model's run held out, a
    fifth of the images. Raises DataError for images without labels.
    """
    run_data, name, report = run_data_at(Path(path)), str(source), on_progress or PlainLines().show
    if name in data_sets.names():
        part = named_set(name)
        if isinstance(part, FileSet) and "test" in part.splits and part.split != "test":
            train, test = (_open(model, run_data, each, 0.0, 0, data_root, report) for each in (name, f"{name}:test"))
            return _labelled(Parts(train, test, f"tested on the {len(test):,} images of {name}:test"))
    share, seed, whose = TEST_SHARE, 0, "unseen by the classifiers; the model may have seen them, without their labels"
    if run_data and run_data["source"] == name and run_data["holdout"]:
        share, seed, whose = run_data["holdout"], model.record.data.split.seed, "which the model's run held out"
    whole = _open(model, run_data, source, share, seed, data_root, report)
    assert whole.held_out is not None
    return _labelled(Parts(whole, whole.held_out, f"tested on {len(whole.held_out):,} images of '{name}', {whose}"))


def draw_of_each(data: ImageData, per_class: int, seed: int, *, option: str = "--per-class") -> np.ndarray:
    """Return the indices (classes, per_class) of random images; a smaller ``per_class`` gives the first columns.

    Raises DataError if a class has fewer images.
    """
    assert data.labels is not None
    order = epoch_order(derive_seed("labelled", seed), 0, len(data))
    drawn = []
    for number, name in enumerate(data.spec.classes):
        members = order[data.labels[order] == number]
        if len(members) < per_class:
            raise DataError(
                "data.class_too_small",
                f"{per_class} training images of each class are needed, but class '{name}' of '{data.spec.name}' has "
                f"{len(members):,}\n  pass a smaller number: {option} {max(1, len(members))}",
            )
        drawn.append(members[:per_class])
    return np.stack(drawn)


def _labelled(parts: Parts) -> Parts:
    for data in (parts.train, parts.test):
        if data.labels is None or len(data.spec.classes) < 2:
            raise DataError(
                "data.no_labels",
                f"'{data.spec.name}' has no labels\n  put the images into one sub-folder for each class,"
                " or pass a data set that has labels",
            )
    if parts.train.spec.classes != parts.test.spec.classes:
        raise DataError(
            "data.classes_differ",
            f"'{parts.train.spec.name}' and '{parts.test.spec.name}' do not have the same classes"
            "\n  pass training and test images of the same classes",
        )
    return parts


def _open(
    model: Model,
    run_data: dict[str, Any] | None,
    source: str | Path,
    share: float,
    seed: int,
    data_root: str | Path | None,
    on_progress: OnProgress,
) -> ImageData:
    spec = model.record.data
    options = DataOptions(**run_data["reading"] if run_data else {}).like(spec)
    if run_data is None or run_data["source"] != str(source):
        options = without_table(options)
    if options.labels == "none":
        options = options.model_copy(update={"labels": None})  # a model without labels; its classifiers need them
    place = data_root or (run_data["root"] if run_data else None)
    return open_data(
        source,
        options,
        holdout=share,
        seed=seed,
        root=Path(place) if place else None,
        on_progress=on_progress,
    )
