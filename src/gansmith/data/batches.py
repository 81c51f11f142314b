"""Batches of real images: each is a function of the seed and its number alone."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from gansmith.core.errors import DataError, RecipeError
from gansmith.core.randomness import derive_seed, epoch_order, per_image
from gansmith.core.runtime import Runtime
from gansmith.data.base import ImageData
from gansmith.imaging.tensors import to_float


@dataclass(frozen=True)
class Batch:
    """One process's slice of a global batch, on its device."""

    images: Tensor  # (N, C, H, W) float32 in [-1, 1], channels_last
    labels: Tensor | None = None  # (N,) int64


class BatchStream:
    """Endless shuffled epochs of a data set, cut into global batches; a batch may span two epochs.

    With ``domains`` above 1 that many classes take turns, image by image, each in endless epochs of its own: every
    process's slice of every batch has equally many images of each.
    """

    def __init__(
        self, data: ImageData, batch_size: int, seed: int, runtime: Runtime, *, mirror: bool, domains: int = 1
    ) -> None:
        self._data, self._batch_size, self._seed, self._runtime, self._mirror = data, batch_size, seed, runtime, mirror
        self._first, self._count = runtime.slice_of(batch_size)
        if self._count % domains:
            raise RecipeError(
                "recipe.batch_size_of_domains",
                f"batch_size {batch_size} cannot be split equally between {domains} domains on each process"
                f"\n  use a multiple of {domains * runtime.world_size}",
            )
        self._members = [_members(data, domain) for domain in range(domains)] if domains > 1 else [np.arange(len(data))]
        self._order = lru_cache(maxsize=2 * domains)(self._shuffled)

    def indices(self, draw: int) -> np.ndarray:
        """Return the indices of the images in this process's slice of batch number ``draw``, int64 (count,)."""
        start = draw * self._batch_size + self._first
        turns, domains = np.divmod(np.arange(start, start + self._count), len(self._members))
        out = np.empty(self._count, np.int64)
        for domain, members in enumerate(self._members):
            epochs, places = np.divmod(turns[domains == domain], len(members))
            parts = [self._order(domain, int(epoch))[places[epochs == epoch]] for epoch in np.unique(epochs)]
            out[domains == domain] = np.concatenate(parts)
        return out

    def _shuffled(self, domain: int, epoch: int) -> np.ndarray:
        """Return the indices of a domain's images in the order of an epoch."""
        # each domain has an order of its own: otherwise the same images would always meet, like pairs
        seed = derive_seed("domain", self._seed, domain) if domain else self._seed
        return self._members[domain][epoch_order(seed, epoch, len(self._members[domain]))]

    def read(self, draw: int) -> Batch:
        """Return this process's slice of batch number ``draw``."""
        indices = self.indices(draw)
        images = to_float(self._data.read(indices))
        if self._mirror:
            seeds = [derive_seed("mirror", self._seed, draw, self._first + row) for row in range(self._count)]
            flipped = images.unflatten(3, (2 if self._data.spec.pairs else 1, -1)).flip(4).flatten(3)
            images = torch.where(torch.from_numpy(per_image((1, 1, 1), seeds, uniform=True)) < 0.5, flipped, images)
        labels = self._data.read_labels(indices)
        device = self._runtime.device
        return Batch(
            images.to(device, memory_format=torch.channels_last, non_blocking=True),
            None if labels is None else torch.from_numpy(labels).to(device, non_blocking=True),
        )


def _members(data: ImageData, label: int) -> np.ndarray:
    """Return the indices of the images of a class; DataError if there are none."""
    found = np.flatnonzero(data.labels == label)
    if not len(found):
        raise DataError(
            "data.class_without_images",
            f"'{data.spec.name}' has no training image of class '{data.spec.classes[label]}'"
            "\n  'gansmith data check' lists the images that were left out",
        )
    return found
