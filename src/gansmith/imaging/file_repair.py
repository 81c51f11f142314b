"""Image files that viewers show and Pillow refuses: JPEGs without end marker, PNGs with large texts or profiles."""

import io
import struct

import numpy as np
from PIL import Image

JPEG_START, JPEG_END = b"\xff\xd8", b"\xff\xd9"
PNG_START = b"\x89PNG\r\n\x1a\n"
PNG_KEPT = (b"tRNS", b"gAMA", b"cHRM", b"sRGB", b"sBIT", b"pHYs", b"eXIf")  # what changes how pixels are shown
MOST_UNLIKE = 0.01  # share of pixels that may be lost at the end of a JPEG


def with_jpeg_end(data: bytes, formats: tuple[str, ...]) -> bytes | None:
    """Return a JPEG with the end marker that it lacks; None if pixels are missing too, and for other files.

    The decoder fills up missing pixels without an error. So the file is decoded twice, with different bytes before the
    marker: they change no pixel of a JPEG that is whole.
    """
    if not data.startswith(JPEG_START):
        return None
    body = data.rstrip(b"\xff")
    tails = (b"", bytes(range(1, 128)) * 2)
    pixels = []
    for tail in tails:
        try:
            with Image.open(io.BytesIO(body + tail + JPEG_END), formats=formats) as image:
                pixels.append(np.asarray(image))
        except (OSError, SyntaxError, ValueError):
            return None
    if pixels[0].shape != pixels[1].shape:
        return None
    unlike = (pixels[0] != pixels[1]).reshape(*pixels[0].shape[:2], -1).any(axis=2).mean()
    return body + JPEG_END if unlike <= MOST_UNLIKE else None


def without_png_extras(data: bytes) -> bytes | None:
    """Return a PNG without texts, profiles and other chunks that pixels do not need; None for other files."""
    if not data.startswith(PNG_START):
        return None
    kept, at = [PNG_START], len(PNG_START)
    while at + 12 <= len(data):
        (length,) = struct.unpack(">I", data[at : at + 4])
        kind = data[at + 4 : at + 8]
        if kind[:1].isupper() or kind in PNG_KEPT:
            kept.append(data[at : at + length + 12])
        at += length + 12
    return b"".join(kept)
