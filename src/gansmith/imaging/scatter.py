"""Points in the plane as a picture: real ones gray, made ones in colour, what the discriminator thinks behind them."""

import numpy as np
from PIL import Image, ImageDraw

from gansmith.imaging.images import to_float

SIDE_PX, REACH = 480, 1.05  # of the picture, and how far the plane is shown
SHARPER = 2  # times as large while it is drawn
REAL, FAKE = (150, 150, 150), (208, 52, 44)
DOT_PX = {REAL: 2.0, FAKE: 2.6}  # diameters
LOWEST, HIGHEST, BANDS = (255, 246, 224), (206, 226, 245), 9  # from what D takes for fake to what it takes for real
LEVELS_SIDE = 60


def plane() -> np.ndarray:
    """Return uint8 (3600, 1, 2, 1): points on a grid of 60 x 60 over [-1, 1], row by row from the upper left."""
    places = np.linspace(0, 255, LEVELS_SIDE).round()
    x, y = np.tile(places, LEVELS_SIDE), np.repeat(places[::-1], LEVELS_SIDE)
    return np.stack([x, y], axis=1).astype(np.uint8).reshape(-1, 1, 2, 1)


def draw_points(fake: np.ndarray, real: np.ndarray | None = None, scores: np.ndarray | None = None) -> np.ndarray:
    """Return uint8 (480, 480, 3) of points uint8 (N, 1, 2, 1), y upwards; ``scores`` (3600,) are those of ``plane``.

    The scores are shown as bands that hold equally many of the plane's points, light blue where they are highest.
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
        for x, y in _places(points).tolist():
            draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=colour)
    return np.asarray(picture.resize((SIDE_PX, SIDE_PX), Image.Resampling.BOX))


def _places(points: np.ndarray) -> np.ndarray:
    """Return where points lie in the picture while it is drawn, (N, 2), in px from the upper left."""
    values = to_float(points).flatten(1).numpy() * (1, -1)
    return np.asarray((values / REACH + 1) / 2 * SIDE_PX * SHARPER)


def _bands(scores: np.ndarray, side: int) -> np.ndarray:
    """Return uint8 (side, side, 3): tints by rank, the border between two of them following the scores smoothly."""
    edges = np.quantile(scores, np.linspace(0, 1, BANDS + 1)[1:-1])
    square = scores.reshape(LEVELS_SIDE, LEVELS_SIDE).astype(np.float32)
    smooth = np.asarray(Image.fromarray(square).resize((side, side), Image.Resampling.BICUBIC))
    tints = np.linspace(LOWEST, HIGHEST, BANDS).round().astype(np.uint8)
    return tints[np.searchsorted(edges, smooth)]
