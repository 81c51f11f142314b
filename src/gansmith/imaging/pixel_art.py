"""Pixel art: recognise it, and scale it by whole factors without blur."""

import math

import numpy as np
from PIL import Image

FEW_COLOURS, MOST_COLOURS = 32, 128  # of one picture; more than few only in pictures with plain areas
MOST_DIFFERING = 0.5  # share of neighbours that differ in a picture with plain areas
SOFT_LEVELS, MOST_SOFT = 8, 0.1  # differences of neighbours that look soft, and their share in pixel art
MOST_ENLARGED = 16  # times that a picture is searched to be enlarged


def block_of(image: Image.Image) -> int:
    """Return how often each pixel of a picture in mode L, RGB or RGBA is repeated in both directions; 0: no pixel art.

    Pixel art has 2 to 128 colours, and neighbours that differ at all differ by much. With more than 32 colours, most
    neighbours must be equal: a photo reduced to a palette is none. A plain picture says nothing and is none.
    """
    colours = image.getcolors(MOST_COLOURS)
    if colours is None or len(colours) < 2:
        return 0
    pixels = np.asarray(image).reshape(image.height, image.width, -1)
    if pixels.shape[2] == 4:  # colours that nobody sees
        pixels = np.where(pixels[..., 3:] == 0, np.uint8(0), pixels)
    block = math.gcd(*(_repeats(pixels, axis) for axis in (0, 1)))
    small = pixels[::block, ::block].astype(np.int16)
    steps = [np.abs(np.diff(small, axis=axis)).max(axis=2, initial=0) for axis in (0, 1)]
    differing = sum(int((step > 0).sum()) for step in steps)
    soft = sum(int(((step > 0) & (step <= SOFT_LEVELS)).sum()) for step in steps)
    is_plain = differing <= MOST_DIFFERING * sum(step.size for step in steps)
    is_art = soft <= MOST_SOFT * differing and (is_plain or len(colours) <= FEW_COLOURS)
    return block if differing and is_art else 0


def _repeats(pixels: np.ndarray, axis: int) -> int:
    """Return how often each row (axis 0) or column (axis 1) is repeated: the greatest common divisor of the changes."""
    changes = np.flatnonzero(np.diff(pixels, axis=axis).any(axis=(1 - axis, 2))) + 1
    found = int(np.gcd.reduce(np.append(changes, pixels.shape[axis])))
    return next(factor for factor in range(min(found, MOST_ENLARGED), 0, -1) if found % factor == 0)


def whole_factors(height: int, width: int, target: tuple[int, int]) -> tuple[int, int]:
    """Return (times larger, times smaller), one of them 1, with which a picture fits into a target size."""
    larger = min(target[0] // height, target[1] // width)
    if larger:
        return larger, 1
    return 1, max(-(-height // target[0]), -(-width // target[1]))


def scaled_by_whole_factor(image: Image.Image, height: int, width: int, block: int) -> Image.Image:
    """Return a picture whose pixels are repeated ``block`` times, as large as fits into height x width, without blur.

    It is enlarged by a whole factor, or, if it is too large, every second, third, ... pixel is taken.
    """
    native = (-(-image.height // block), -(-image.width // block))
    larger, smaller = whole_factors(*native, (height, width))
    pixels = np.asarray(image)[:: block * smaller, :: block * smaller]
    return Image.fromarray(np.ascontiguousarray(pixels.repeat(larger, axis=0).repeat(larger, axis=1)), image.mode)


def nearest_colours(images: np.ndarray, palette: np.ndarray) -> np.ndarray:
    """Return uint8 (N, H, W, C) with each pixel replaced by the nearest colour of a palette, uint8 (K, C)."""
    colours = palette.astype(np.int32)
    flat = images.reshape(-1, images.shape[-1])
    out = np.empty_like(flat)
    for start in range(0, len(flat), 1 << 16):
        part = flat[start : start + (1 << 16)].astype(np.int32)
        distances = ((part[:, None] - colours) ** 2).sum(2)
        out[start : start + len(part)] = palette[distances.argmin(1)]
    return out.reshape(images.shape)
