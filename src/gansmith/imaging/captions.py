"""Lay out figures: enlarged tiles, captions below them, rows and columns of pictures."""

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from gansmith.imaging.images import enlarge, on_white

TILE_PX = 96  # smaller images are enlarged by a whole factor
GAP_PX, CAPTION_PX, SIGN_PX = 8, 22, 36
INK = 40  # a gray level, so that gray pictures stay gray


def text_strip(text: str, width: int, height: int) -> np.ndarray:
    """Return one line of dark text on white, uint8 (height, width, 1); the font shrinks until the text fits."""
    strip = Image.new("L", (width, height), 255)
    draw = ImageDraw.Draw(strip)
    size = 16
    while size > 8 and draw.textlength(text, ImageFont.load_default(size)) > width - 16:
        size -= 1
    draw.text((8, height / 2), text, INK, ImageFont.load_default(size), anchor="lm")
    return np.asarray(strip)[..., None]


def tile(image: np.ndarray) -> np.ndarray:
    """Return an image (H, W, C) on white as uint8 (H, W, 3), enlarged without blur to at least 96 px."""
    return enlarge(on_white(image), TILE_PX)


def captioned(picture: np.ndarray, caption: str) -> np.ndarray:
    """Return a picture (H, W, 3) with a line of text below it."""
    strip = text_strip(caption, picture.shape[1], CAPTION_PX).repeat(3, axis=2)
    return np.concatenate([picture, strip])


def beside(pictures: Sequence[np.ndarray]) -> np.ndarray:
    """Return pictures (H, W, 3) in a row on white, aligned at the bottom."""
    height = max(picture.shape[0] for picture in pictures)
    raised = [np.pad(each, ((height - each.shape[0], 0), (0, 0), (0, 0)), constant_values=255) for each in pictures]
    return _with_gaps(raised, axis=1)


def stacked(pictures: Sequence[np.ndarray]) -> np.ndarray:
    """Return pictures (H, W, 3) in a column on white, aligned at the left."""
    width = max(picture.shape[1] for picture in pictures)
    widened = [np.pad(each, ((0, 0), (0, width - each.shape[1]), (0, 0)), constant_values=255) for each in pictures]
    return _with_gaps(widened, axis=0)


def _with_gaps(pictures: Sequence[np.ndarray], axis: int) -> np.ndarray:
    shape = list(pictures[0].shape)
    shape[axis] = GAP_PX
    gap = np.full(shape, 255, np.uint8)
    return np.concatenate([part for picture in pictures for part in (gap, picture)][1:], axis)


def sign(text: str) -> np.ndarray:
    """Return a large character as a picture as high as a captioned tile, centred on the tile."""
    picture = Image.new("L", (SIGN_PX, TILE_PX + CAPTION_PX), 255)
    middle = (SIGN_PX / 2, TILE_PX / 2)
    ImageDraw.Draw(picture).text(middle, text, INK, ImageFont.load_default(SIGN_PX), anchor="mm")
    return np.asarray(picture)[..., None].repeat(3, axis=2)


def framed(picture: np.ndarray) -> np.ndarray:
    """Return a picture (H, W, 3) with a white margin."""
    return np.pad(picture, ((GAP_PX, GAP_PX), (GAP_PX, GAP_PX), (0, 0)), constant_values=255)


def captioned_grid(images: np.ndarray, captions: Sequence[str], columns: int) -> np.ndarray:
    """Return images (N, H, W, C) as a grid of captioned tiles, row by row."""
    tiles = [captioned(tile(image), caption) for image, caption in zip(images, captions, strict=True)]
    rows = [beside(tiles[start : start + columns]) for start in range(0, len(tiles), columns)]
    return framed(stacked(rows))
