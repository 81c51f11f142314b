"""Compare the images of an exported file with those that gansmith makes itself."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import torch

from gansmith.core.errors import ModelError, counted
from gansmith.core.version import __version__
from gansmith.exporting.graph import Graph
from gansmith.imaging.values import PixelValues, shares
from gansmith.inference.onnx_file import EXPORT_FORMAT

Run = Callable[[tuple[np.ndarray, ...]], np.ndarray]  # inputs -> images, for any number of rows
FIRST_BATCHES = (1, 3)  # the batches after them have the size that ``sample`` uses


@dataclass(frozen=True)
class Agreement:
    """How near the images of an export are to those of torch."""

    worst: int  # largest difference, in levels of 255
    equal: float  # share of equal values

    def words(self) -> str:
        """Return both numbers for a person."""
        share = math.floor(1e5 * self.equal) / 1e3  # never 100 % of nearly all
        return f"largest difference {counted(self.worst, 'level')}, {share:g} % of values equal"

    def require(self, what: str, worst: int, equal: float, hint: str) -> None:
        """Raise ModelError, which ends with ``hint``, for a larger difference or a smaller share of equal values."""
        if self.worst > worst or self.equal < equal:
            raise ModelError(
                "export.differs",
                f"{what} makes other images than torch, so no file was kept: {self.words()}"
                f"\n  allowed: {counted(worst, 'level')}, and at least {100 * equal:.4g} % equal\n  {hint}",
            )


def compare(graph: Graph, run: Run, eager: Run | None = None) -> Agreement:
    """Return how near the images of ``run`` are to those that the model makes, at several batch sizes.

    The model makes all in its own batch size, so that its images do not depend on their number; ``eager``, if given,
    makes each of these batches instead.
    """
    worst, same, values, meaning = 0, 0, 0, graph.model.record.data.values
    for inputs in graph.draw():
        arrays = tuple(each.numpy() for each in inputs)
        whole = graph.made_here(inputs) if eager is None else np.empty(0)
        for start, end in _batches(len(arrays[0]), graph.model.record.sample_batch):
            batch = tuple(each[start:end] for each in arrays)
            made, wanted = _levels(run(batch), meaning), whole[start:end] if eager is None else eager(batch)
            apart = np.abs(made - _levels(wanted, meaning).reshape(made.shape))
            worst, same, values = max(worst, int(apart.max())), same + int((apart == 0).sum()), values + apart.size
    return Agreement(worst, same / values)


def facts_of(graph: Graph, found: Agreement, **own: Any) -> dict[str, Any]:
    """Return the entry EXPORT_KEY of a file's metadata; ``own`` are facts of its format."""
    return {
        "format": EXPORT_FORMAT,
        "gansmith": __version__,
        "torch": torch.__version__,
        **own,
        "raw": graph.raw,
        "multiple": graph.multiple,
        "scale": graph.scale,
        "mixes_labels": graph.mixes_labels,
        "sample_batch": graph.model.record.sample_batch,
        "direction": graph.name if graph.name != "generator" else None,
        "largest_difference": found.worst,
        "equal": found.equal,
    }


def size_words(content: bytes) -> str:
    """Return the size of a file for a person."""
    return f"{len(content) / 1e6:.1f} MB" if len(content) >= 1e6 else f"{len(content) / 1e3:.1f} kB"


def _batches(count: int, batch: int) -> list[tuple[int, int]]:
    edges = [0]
    for size in FIRST_BATCHES:
        edges.append(min(count, edges[-1] + size))
    edges += [*range(edges[-1] + batch, count, batch), count]
    return [(start, end) for start, end in pairwise(edges) if end > start]


def _levels(images: np.ndarray, values: PixelValues | None) -> np.ndarray:
    """Return uint8 images as they are, and coordinates in [-1, 1] as ``to_uint8`` rounds them; both int32.

    Values in units become 255ths of their range.
    """
    if values is not None:
        return (shares(values.stored(images)) * 255).round().astype(np.int32)
    if images.dtype == np.uint8:
        return images.astype(np.int32)
    return ((images + np.float32(1)) * np.float32(127.5)).round().clip(0, 255).astype(np.int32)
