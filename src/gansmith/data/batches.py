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
from gansmith.data.streaming import StreamedPixels, windowed_order
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
        self._order = lru_cache(maxsize=3 * domains)(self._shuffled)
        self._at: list[tuple[int, int]] = []  # epoch and window of each domain, of a set that is streamed

    def indices(self, draw: int) -> np.ndarray:
        """Return the indices of the images in this process's slice of batch number ``draw``, int64 (count,)."""
        start = draw * self._batch_size + self._first
        turns, domains = np.divmod(np.arange(start, start + self._count), len(self._members))
        out = np.empty(self._count, np.int64)
        for domain, members in enumerate(self._members):
            epochs, places = np.divmod(turns[domains == domain], len(members))
            parts = [self._order(domain, int(epoch))[0][places[epochs == epoch]] for epoch in np.unique(epochs)]
            out[domains == domain] = np.concatenate(parts)
        return out

    def _shuffled(self, domain: int, epoch: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the indices of a domain's images in the order of an epoch, and the ends of the windows in it."""
        # each domain has an order of its own: otherwise the same images would always meet, like pairs
        seed, members = derive_seed("domain", self._seed, domain) if domain else self._seed, self._members[domain]
        pixels = self._data.pixels
        if not isinstance(pixels, StreamedPixels):
            return members[epoch_order(seed, epoch, len(members))], np.array([len(members)])
        pieces = pixels.piece_of(self._data.rows[members])
        windows = windowed_order(seed, epoch, pieces, pixels.sizes, pixels.window(len(self._members)))
        return members[np.concatenate(windows)], np.cumsum([len(each) for each in windows])

    def _decode_ahead(self, draw: int, pixels: StreamedPixels) -> None:
        """Say which pieces are needed now and next, if that has changed since the last batch."""
        turn, at = draw * self._batch_size // len(self._members), list[tuple[int, int]]()
        for domain, members in enumerate(self._members):
            epoch, place = divmod(turn, len(members))
            at.append((epoch, int(np.searchsorted(self._order(domain, epoch)[1], place, "right"))))
        if at == self._at:
            return
        self._at = at
        rows = [
            [self._window(domain, epoch, number + ahead) for domain, (epoch, number) in enumerate(at)]
            for ahead in (0, 1)
        ]
        pieces = pixels.piece_of(self._data.rows[np.concatenate([each for part in rows for each in part])])
        pixels.expect(list(dict.fromkeys(pieces.tolist())))

    def _window(self, domain: int, epoch: int, number: int) -> np.ndarray:
        """Return the indices of the images in a window of an epoch, or in the first one of the next epoch."""
        order, ends = self._order(domain, epoch)
        if number == len(ends):
            return self._window(domain, epoch + 1, 0)
        return order[ends[number - 1] if number else 0 : ends[number]]

    def read(self, draw: int) -> Batch:
        """Return this process's slice of batch number ``draw``."""
        if isinstance(self._data.pixels, StreamedPixels):
            self._decode_ahead(draw, self._data.pixels)
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
