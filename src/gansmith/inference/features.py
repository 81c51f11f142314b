"""The discriminator's features of a data set, as arrays for other tasks."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gansmith.core.atomic_files import commit_file
from gansmith.core.events import OnProgress, PlainLines, Progress
from gansmith.core.output_paths import output_file
from gansmith.core.shared_work import in_shares
from gansmith.data.base import ImageData
from gansmith.inference.model import Model

AT_ONCE = 2048  # images read at a time


@dataclass(frozen=True)
class Features:
    """The features of N images, float32 (N, F), in the order of the data set, and the layers they come from."""

    values: np.ndarray
    labels: np.ndarray | None  # int64 (N,)
    classes: tuple[str, ...]
    layers: dict[str, int]  # the number of features of each layer; together F

    def save(self, out: str | Path) -> Path:
        """Write an .npz file: features, layers, layer_widths and, for labelled images, labels and class_names."""
        path = check_features_path(out)
        arrays = {
            "features": self.values,
            "layers": np.array([*self.layers]),
            "layer_widths": np.array([*self.layers.values()]),
        }
        if self.labels is not None:
            arrays |= {"labels": self.labels, "class_names": np.array(self.classes)}

        def write(temporary: Path) -> None:
            with temporary.open("wb") as file:
                np.savez(file, **arrays)  # type: ignore[arg-type]

        commit_file(path, write)
        return path


def check_features_path(out: str | Path) -> Path:
    """Return ``out`` as a path; GansmithError unless it ends in .npz and its folder can be made."""
    return output_file(out, "features", ".npz")


def features(
    model: Model,
    data: ImageData,
    layers: Sequence[str] = (),
    label: str | int | None = None,
    *,
    on_progress: OnProgress | None = None,
) -> Features:
    """Return the features of a data set from the named hidden ``layers`` of the discriminator (default: all).

    ``TrainedDiscriminator.features`` says how they are pooled and which label input it uses. Inside of ``shared_by``
    the processes share the images. Raises ModelError for an unknown hidden layer.
    """
    report = on_progress or PlainLines().show

    def extracted(start: int) -> tuple[np.ndarray]:
        rows = np.arange(start, min(start + AT_ONCE, len(data)))
        found = model.discriminator_features(data.read(rows), layers, label)
        report(Progress("discriminator features", int(rows[-1]) + 1, len(data)))
        return (found,)

    parts = in_shares(range(0, len(data), AT_ONCE), extracted)
    widths = model.discriminator("extract features").layer_widths
    chosen = {name: widths[name] for name in layers or widths}
    return Features(np.concatenate([part for (part,) in parts]), data.labels, data.spec.classes, chosen)
