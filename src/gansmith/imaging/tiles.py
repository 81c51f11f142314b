"""Process large images in overlapping tiles that fade into each other."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from gansmith.core.events import OnProgress, Progress, silent

TILE_PX, OVERLAP_PX = 512, 128


@dataclass(frozen=True)
class Tiling:
    """The tiles along one side, in px: their starts, the length of a tile, and the length of the side."""

    starts: tuple[int, ...]
    tile: int
    length: int

    @classmethod
    def of(cls, length: int, step: int, shrink: int = 1) -> "Tiling":
        """Return the tiles of a side whose ``length`` is a multiple of ``step``; each tile starts at a multiple too.

        Tiles have 1 / ``shrink`` of 512 px, and overlap by 1 / ``shrink`` of 128 px.
        """
        tile_px, overlap_px = TILE_PX // shrink, OVERLAP_PX // shrink
        overlap = -(-overlap_px // step) * step
        tile = overlap + -(-(tile_px - overlap_px) // step) * step
        if length <= tile:
            return cls((0,), length, length)
        starts = [*range(0, length - tile, tile - overlap), length - tile]
        return cls(tuple(starts), tile, length)

    def weights(self) -> list[np.ndarray]:
        """Return each tile's weights (tile,), float32: linear in the overlap, with sum 1 at every pixel."""
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
    on_progress: OnProgress = silent,
) -> np.ndarray:
    """Apply ``work`` to the tiles of uint8 (H, W, C) and blend the results to uint8 (scale H, scale W, channels).

    ``work`` maps uint8 (h, w, C) to float32 (scale h, scale w, channels) in 0 to 255. H and W are multiples of
    ``step``; ``Tiling.of`` explains ``shrink``. Besides both images, memory holds one row of tiles. ``on_progress`` is
    called after each tile; what it raises ends the work. A float32 image becomes float32, in the scale of ``work``.
    """
    rows, columns = (Tiling.of(side, step, shrink) for side in image.shape[:2])
    out = np.empty((image.shape[0] * scale, image.shape[1] * scale, channels), image.dtype)
    band = np.zeros((rows.tile * scale, out.shape[1], channels), np.float32)
    done_tiles, all_tiles = 0, len(rows.starts) * len(columns.starts)
    for top, end, weights_down in _bands(rows, scale):
        for left, weights_right in zip(columns.starts, columns.weights(), strict=True):
            tile = work(image[top : top + rows.tile, left : left + columns.tile])
            tile = tile * weights_down[:, None, None] * weights_right.repeat(scale)[None, :, None]
            band[:, left * scale : (left + columns.tile) * scale] += tile
            done_tiles += 1
            on_progress(Progress("tiles", done_tiles, all_tiles))
        done = (end - top) * scale  # rows before the next band
        part = band[:done]
        out[top * scale : end * scale] = (part + 0.5).clip(0, 255).astype(np.uint8) if out.dtype == np.uint8 else part
        band[: len(band) - done] = band[done:].copy()
        band[len(band) - done :] = 0
    return out


def _bands(rows: Tiling, scale: int) -> Iterator[tuple[int, int, np.ndarray]]:
    """Yield each row of tiles: its top, the top of the next row (or the end), and its weights down the result."""
    ends = [*rows.starts[1:], rows.length]
    for top, end, weights in zip(rows.starts, ends, rows.weights(), strict=True):
        yield top, end, weights.repeat(scale)
