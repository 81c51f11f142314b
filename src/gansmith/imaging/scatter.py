"""Plot points in the plane: real gray, generated red, the scores of D behind them."""

import numpy as np
from PIL import Image, ImageDraw

from gansmith.imaging.images import from_levels

SIDE_PX, REACH = 480, 1.05  # the picture shows the plane from -1.05 to 1.05
SHARPER = 2  # drawn twice as large and then reduced
REAL, FAKE = (150, 150, 150), (208, 52, 44)
DOT_PX = {REAL: 2.0, FAKE: 2.6}  # diameters
LOWEST, HIGHEST, BANDS = (255, 246, 224), (206, 226, 245), 9  # colours of the lowest and highest scores of D
GRID_SIDE = 60


def plane() -> np.ndarray:
    """Return uint8 (3600, 1, 2, 1): points on a grid of 60 x 60 over [-1, 1], row by row from the upper left."""
    levels = np.linspace(0, 255, GRID_SIDE).round()
    x, y = np.tile(levels, GRID_SIDE), np.repeat(levels[::-1], GRID_SIDE)
    return np.stack([x, y], axis=1).astype(np.uint8).reshape(-1, 1, 2, 1)


def draw_points(fake: np.ndarray, real: np.ndarray | None = None, scores: np.ndarray | None = None) -> np.ndarray:
    """Plot points uint8 (N, 1, 2, 1), y upwards, as uint8 (480, 480, 3); ``scores`` (3600,) belong to ``plane``.

    The scores are drawn as 9 bands with equally many points of the plane, light blue where they are highest.
    """
    picture = Image.new("RGB", (SIDE_PX, SIDE_PX), (255, 255, 255))
    if scores is not None:
        inside = round(SIDE_PX / REACH)
        picture.paste(Image.fromarray(_bands(scores, inside)), ((SIDE_PX - inside) // 2,) * 2)
    picture = picture.resize((SIDE_PX * SHARPER,) * 2, Image.Resampling.BILINEAR)
    draw = ImageDraw.Draw(picture)
    for points, colour in ((real, REAL), (fake, FAKE)):
        if points is None:
            continue
        radius = DOT_PX[colour] * SHARPER / 2
        for x, y in _positions(points).tolist():
            draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=colour)
    return np.asarray(picture.resize((SIDE_PX, SIDE_PX), Image.Resampling.BOX))


def _positions(points: np.ndarray) -> np.ndarray:
    """Return the positions of points in the enlarged picture, (N, 2), in px from the upper left."""
    values = from_levels(points).reshape(-1, 2) * (1, -1)
    return np.asarray((values / REACH + 1) / 2 * SIDE_PX * SHARPER)


def _bands(scores: np.ndarray, side: int) -> np.ndarray:
    """Return uint8 (side, side, 3): colours by the rank of the scores, with smooth borders between bands."""
    edges = np.quantile(scores, np.linspace(0, 1, BANDS + 1)[1:-1])
    square = scores.reshape(GRID_SIDE, GRID_SIDE).astype(np.float32)
    smooth = np.asarray(Image.fromarray(square).resize((side, side), Image.Resampling.BICUBIC))
    tints = np.linspace(LOWEST, HIGHEST, BANDS).round().astype(np.uint8)
    return tints[np.searchsorted(edges, smooth)]
