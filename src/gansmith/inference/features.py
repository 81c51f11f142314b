"""What a discriminator sees in a data set, as arrays for other tasks."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gansmith.core.atomic_files import commit_file
from gansmith.core.events import PlainLines
from gansmith.core.output_paths import file_for
from gansmith.data.base import ImageData
from gansmith.inference.model import Model
from gansmith.parts.extractors.base import Progress

AT_ONCE = 2048  # images


@dataclass(frozen=True)
class Features:
    """Features float32 (N, F) of images in the order of their data set, and the layers that they are from."""

    values: np.ndarray
    labels: np.ndarray | None  # int64 (N,)
    classes: tuple[str, ...]
    layers: dict[str, int]  # how many of the F each gives, in order

    def save(self, out: str | Path) -> Path:
        """Write them as .npz: features, layers, layer_widths and, of labelled images, labels and class_names."""
        path = check_npz(out)
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


def check_npz(out: str | Path) -> Path:
    """Return the path of features; GansmithError for another ending, or with a file in the way of its folder."""
    return file_for(out, "features", ".npz")


def features(
    model: Model,
    data: ImageData,
    layers: Sequence[str] = (),
    label: str | int | None = None,
    *,
    on_progress: Progress | None = None,
) -> Features:
    """Return what the hidden ``layers`` of the discriminator, all without it, see in a data set.

    See ``Judge.features`` for how they are pooled and what a conditional discriminator is told. Raises ModelError for a
    name that is no hidden layer.
    """
    tell, found = on_progress or PlainLines().tell, []
    for start in range(0, len(data), AT_ONCE):
        part = np.arange(start, min(start + AT_ONCE, len(data)))
        found.append(model.discriminator_features(data.read(part), layers, label))
        tell("what the discriminator sees", int(part[-1]) + 1, len(data))
    widths = model.judge().layers
    chosen = {name: widths[name] for name in layers or widths}
    return Features(np.concatenate(found), data.labels, data.spec.classes, chosen)
