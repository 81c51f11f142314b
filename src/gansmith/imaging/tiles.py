"""A map of large images, tile by tile: tiles overlap, and where they do one fades into the next."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

TILE_PX, OVERLAP_PX = 512, 128


@dataclass(frozen=True)
class Tiling:
    """Tiles along one side: where each starts, and how long it is and all of them are, in pixels."""

    starts: tuple[int, ...]
    tile: int
    length: int

    @classmethod
    def of(cls, length: int, step: int, shrink: int = 1) -> "Tiling":
        """Return the tiles of a length; they start at multiples of ``step``, of which the length is one.

        They are 1 / ``shrink`` of the usual ones in size and overlap.
        """
        tile_px, overlap_px = TILE_PX // shrink, OVERLAP_PX // shrink
        overlap = -(-overlap_px // step) * step
        tile = overlap + -(-(tile_px - overlap_px) // step) * step
        if length <= tile:
            return cls((0,), length, length)
        starts = [*range(0, length - tile, tile - overlap), length - tile]
        return cls(tuple(starts), tile, length)

    def weights(self) -> list[np.ndarray]:
        """Return each tile's share (tile,) of every pixel, float32: linear where tiles overlap; they add up to 1."""
        ramp = np.minimum(np.arange(1, self.tile + 1), np.arange(self.tile, 0, -1)).astype(np.float32)
        total = np.zeros(self.length, np.float32)
        for start in self.starts:
            total[start : start + self.tile] += ramp
        return [ramp / total[start : start + self.tile] for start in self.starts]


def in_tiles(
    image: np.ndarray,
    step: int,
    scale: int,
    work: Callable[[np.ndarray], np.ndarray],
    channels: int,
    *,
    shrink: int = 1,
) -> np.ndarray:
    """Return uint8 (scale H, scale W, channels) of uint8 (H, W, C): ``work`` on every tile, blended.

    ``work`` maps uint8 (h, w, C) to float32 (scale h, scale w, channels) in 0 to 255. H and W are multiples of
    ``step``; tiles have 1 / ``shrink`` of their usual sides. What is in memory beside both images is one band of tiles.
    """
    rows, columns = (Tiling.of(side, step, shrink) for side in image.shape[:2])
    out = np.empty((image.shape[0] * scale, image.shape[1] * scale, channels), np.uint8)
    band = np.zeros((rows.tile * scale, out.shape[1], channels), np.float32)
    for top, end, weights_down in _bands(rows, scale):
        for left, weights_right in zip(columns.starts, columns.weights(), strict=True):
            tile = work(image[top : top + rows.tile, left : left + columns.tile])
            tile = tile * weights_down[:, None, None] * weights_right.repeat(scale)[None, :, None]
            band[:, left * scale : (left + columns.tile) * scale] += tile
        done = (end - top) * scale  # the next band begins there
        out[top * scale : end * scale] = (band[:done] + 0.5).clip(0, 255).astype(np.uint8)
        band[: len(band) - done] = band[done:].copy()
        band[len(band) - done :] = 0
    return out


def _bands(rows: Tiling, scale: int) -> Iterator[tuple[int, int, np.ndarray]]:
    ends = [*rows.starts[1:], rows.length]
    for top, end, weights in zip(rows.starts, ends, rows.weights(), strict=True):
        yield top, end, weights.repeat(scale)
