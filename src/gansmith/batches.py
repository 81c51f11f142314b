"""The stream of real images: which batch a draw reads is a function of the seed and the draw's number alone."""

from functools import lru_cache

import numpy as np
import torch

from gansmith.data.base import ImageData
from gansmith.engine import Engine
from gansmith.images import to_float
from gansmith.methods.base import Batch
from gansmith.randomness import derive_seed, epoch_order, per_image


class BatchStream:
    """Endless epochs of a data set, each in its own order, cut into global batches across their borders."""

    def __init__(self, data: ImageData, batch_size: int, seed: int, engine: Engine, *, mirror: bool) -> None:
        self._data, self._batch_size, self._seed, self._engine, self._mirror = data, batch_size, seed, engine, mirror
        self._first, self._count = engine.slice_of(batch_size)
        self._order = lru_cache(maxsize=2)(lambda epoch: epoch_order(seed, epoch, len(data)))

    def indices(self, draw: int) -> np.ndarray:
        """Return the images of this process's slice of a draw, int64 (count,)."""
        start = draw * self._batch_size + self._first
        epochs, places = np.divmod(np.arange(start, start + self._count), len(self._data))
        parts = [self._order(int(epoch))[places[epochs == epoch]] for epoch in np.unique(epochs)]
        return np.concatenate(parts)

    def read(self, draw: int) -> Batch:
        """Return this process's slice of a draw."""
        indices = self.indices(draw)
        images = to_float(self._data.read(indices))
        if self._mirror:
            seeds = [derive_seed("mirror", self._seed, draw, self._first + row) for row in range(self._count)]
            flipped = images.unflatten(3, (2 if self._data.spec.pairs else 1, -1)).flip(4).flatten(3)
            images = torch.where(per_image((1, 1, 1), seeds, uniform=True) < 0.5, flipped, images)
        labels = self._data.read_labels(indices)
        device = self._engine.device
        return Batch(
            images.to(device, memory_format=torch.channels_last, non_blocking=True),
            None if labels is None else torch.from_numpy(labels).to(device, non_blocking=True),
        )
