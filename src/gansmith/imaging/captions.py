"""Pictures with words: tiles of one size, captions under them, pictures side by side and one above the other."""

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from gansmith.imaging.images import enlarge, on_white

TILE_PX = 96  # smaller images are enlarged by a whole factor
GAP_PX, CAPTION_PX, SIGN_PX = 8, 22, 36
INK = 40  # a gray, so that what is gray stays gray


def text_strip(text: str, width: int, height: int) -> np.ndarray:
    """Return uint8 (height, width, 1): one line of dark text on white, smaller if it would not fit."""
    strip = Image.new("L", (width, height), 255)
    draw = ImageDraw.Draw(strip)
    size = 16
    while size > 8 and draw.textlength(text, ImageFont.load_default(size)) > width - 16:
        size -= 1
    draw.text((8, height / 2), text, INK, ImageFont.load_default(size), anchor="lm")
    return np.asarray(strip)[..., None]


def tile(image: np.ndarray) -> np.ndarray:
    """Return uint8 (H, W, 3) of a generated image (H, W, C): on white, at least 96 px, without blur."""
    return enlarge(on_white(image), TILE_PX)


def captioned(picture: np.ndarray, caption: str) -> np.ndarray:
    """Return a picture (H, W, 3) with a line of text below."""
    strip = text_strip(caption, picture.shape[1], CAPTION_PX).repeat(3, axis=2)
    return np.concatenate([picture, strip])


def beside(pictures: Sequence[np.ndarray]) -> np.ndarray:
    """Return pictures (H, W, 3) in a row on white, their lower edges on one line."""
    height = max(picture.shape[0] for picture in pictures)
    raised = [np.pad(each, ((height - each.shape[0], 0), (0, 0), (0, 0)), constant_values=255) for each in pictures]
    return _with_gaps(raised, axis=1)


def stacked(pictures: Sequence[np.ndarray]) -> np.ndarray:
    """Return pictures (H, W, 3) one above the other on white, their left edges on one line."""
    width = max(picture.shape[1] for picture in pictures)
    widened = [np.pad(each, ((0, 0), (0, width - each.shape[1]), (0, 0)), constant_values=255) for each in pictures]
    return _with_gaps(widened, axis=0)


def _with_gaps(pictures: Sequence[np.ndarray], axis: int) -> np.ndarray:
    shape = list(pictures[0].shape)
    shape[axis] = GAP_PX
    gap = np.full(shape, 255, np.uint8)
    return np.concatenate([part for picture in pictures for part in (gap, picture)][1:], axis)


def sign(text: str) -> np.ndarray:
    """Return a large character as a picture that stands in a row beside captioned tiles, in the middle of a tile."""
    picture = Image.new("L", (SIGN_PX, TILE_PX + CAPTION_PX), 255)
    middle = (SIGN_PX / 2, TILE_PX / 2)
    ImageDraw.Draw(picture).text(middle, text, INK, ImageFont.load_default(SIGN_PX), anchor="mm")
    return np.asarray(picture)[..., None].repeat(3, axis=2)


def framed(picture: np.ndarray) -> np.ndarray:
    """Return a picture (H, W, 3) with a white margin."""
    return np.pad(picture, ((GAP_PX, GAP_PX), (GAP_PX, GAP_PX), (0, 0)), constant_values=255)


def captioned_grid(images: np.ndarray, captions: Sequence[str], columns: int) -> np.ndarray:
    """Return images (N, H, W, C) as tiles with captions, row by row."""
    tiles = [captioned(tile(image), caption) for image, caption in zip(images, captions, strict=True)]
    rows = [beside(tiles[start : start + columns]) for start in range(0, len(tiles), columns)]
    return framed(stacked(rows))
