"""Preview pictures, small enough to be embedded in a page."""

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

import numpy as np
from PIL import Image

from gansmith.core.plain_files import read_bytes
from gansmith.imaging.images import ImageError, decode_image, encode_png, enlarge, fit_image, on_white, to_pil
from gansmith.imaging.video import spread

PICTURE_BYTES = 600_000  # at most, for each large picture
SLIDER_BYTES, MAX_SLIDER, MIN_SLIDER = (
    3_300_000,
    40,
    12,
)  # bytes of all slider pictures together; most and fewest pictures
LARGE_PIXELS = 2_000_000  # pictures with more pixels are always shrunk
SHARP_PX = 512  # smaller pictures are enlarged by a whole factor, because browsers blur


@dataclass(frozen=True)
class Picture:
    """An embedded PNG."""

    uri: str
    width: int
    height: int


def load_picture(path: Path, *, at_least_px: int = SHARP_PX, limit_bytes: int = PICTURE_BYTES) -> Picture | None:
    """Return a picture of at most ``limit_bytes``, or None for a file that cannot be read.

    To fit, the picture loses in this order: its enlargement, all but 256 colours, its size.
    """
    try:
        image = decode_image(read_bytes(path, 2**28))
    except (OSError, ImageError):
        return None
    array = np.asarray(image)
    array = on_white(array) if array.ndim == 3 else array[..., None]
    pixels = array.shape[0] * array.shape[1]
    enlarged = enlarge(array, at_least_px)
    tries = [enlarged, array] if enlarged.shape != array.shape else [array]
    for each in tries if pixels <= LARGE_PIXELS else []:
        data = encode_png(each)
        if len(data) <= limit_bytes:
            return _picture(data, to_pil(each))
    scale = min(1.0, (LARGE_PIXELS / pixels) ** 0.5)
    while True:
        height, width = max(1, round(image.height * scale)), max(1, round(image.width * scale))
        small = to_pil(array if scale == 1 else fit_image(image, height, width, 3, "stretch"))
        data = _png(small.quantize(256, Image.Quantize.FASTOCTREE))
        if len(data) <= limit_bytes or max(height, width) <= 64:
            return _picture(data, small)
        scale *= min(0.9, (limit_bytes / len(data)) ** 0.5)


def slider_pictures(paths: Sequence[Path]) -> list[tuple[Path, Picture]]:
    """Return at most 40 pictures, evenly spaced, with the first and the last; 12 or more if they are large."""
    if not paths:
        return []
    last = load_picture(paths[-1], at_least_px=1, limit_bytes=SLIDER_BYTES // MIN_SLIDER)
    if last is None:
        return []
    count = min(MAX_SLIDER, max(MIN_SLIDER, SLIDER_BYTES * 4 // (3 * len(last.uri))))
    chosen = [paths[index] for index in spread(len(paths), count)]
    limit = SLIDER_BYTES // max(len(chosen), 1)
    pictures = [(path, load_picture(path, at_least_px=1, limit_bytes=limit)) for path in chosen]
    return [(path, picture) for path, picture in pictures if picture is not None]


def img_tag(picture: Picture, alt: str) -> str:
    """Return a picture as an HTML tag; ``alt`` is plain text."""
    return f'<img width="{picture.width}" height="{picture.height}" alt="{escape(alt)}" src="{picture.uri}">'


def _png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def _picture(data: bytes, image: Image.Image) -> Picture:
    return Picture("data:image/png;base64," + base64.b64encode(data).decode(), image.width, image.height)
