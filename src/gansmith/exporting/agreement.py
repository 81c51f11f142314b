"""Compare the images of an exported file with those that gansmith makes itself."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from gansmith.core.errors import ModelError, counted
from gansmith.exporting.graph import Graph

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

    def require(self, what: str, worst: int, equal: float) -> None:
        """Raise ModelError for a larger difference, or a smaller share of equal values."""
        if self.worst > worst or self.equal < equal:
            raise ModelError(
                "export.differs",
                f"{what} makes other images than torch, so no file was kept: {self.words()}"
                f"\n  allowed: {counted(worst, 'level')}, and at least {100 * equal:.4g} % equal"
                "\n  networks that draw random numbers cannot be exported; else please report this",
            )


def compare(graph: Graph, run: Callable[[tuple[np.ndarray, ...]], np.ndarray]) -> Agreement:
    """Return how near ``run``, which makes images from inputs, is to the model, at several batch sizes."""
    worst, same, values = 0, 0, 0
    for inputs in graph.draw():
        wanted, arrays = graph.made_here(inputs), tuple(each.numpy() for each in inputs)
        for start, end in _batches(len(wanted), graph.model.record.sample_batch):
            made = _levels(run(tuple(each[start:end] for each in arrays)))
            apart = np.abs(made - _levels(wanted[start:end]).reshape(made.shape))
            worst, same, values = max(worst, int(apart.max())), same + int((apart == 0).sum()), values + apart.size
    return Agreement(worst, same / values)


def _batches(count: int, batch: int) -> list[tuple[int, int]]:
    edges = [0]
    for size in FIRST_BATCHES:
        edges.append(min(count, edges[-1] + size))
    edges += [*range(edges[-1] + batch, count, batch), count]
    return [(start, end) for start, end in pairwise(edges) if end > start]


def _levels(images: np.ndarray) -> np.ndarray:
    """Return uint8 images as they are, and coordinates in [-1, 1] as ``to_uint8`` rounds them; both int32."""
    if images.dtype == np.uint8:
        return images.astype(np.int32)
    return ((images + np.float32(1)) * np.float32(127.5)).round().clip(0, 255).astype(np.int32)
