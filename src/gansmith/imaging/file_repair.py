"""Files that Pillow refuses: repair some, as viewers do, and name the true kind of others."""

import io
import struct

import numpy as np
from PIL import Image

JPEG_START, JPEG_END = b"\xff\xd8", b"\xff\xd9"
PNG_START = b"\x89PNG\r\n\x1a\n"
PNG_KEPT = (b"tRNS", b"gAMA", b"cHRM", b"sRGB", b"sBIT", b"pHYs", b"eXIf")  # what changes how pixels are shown
# The first bytes of files that have the extension of an image but are something else, and what they are.
OTHER_KINDS = (
    (b"version https://git-lfs", "a pointer of Git LFS, not an image: run 'git lfs pull' in its repository"),
    (b"/annex/objects/", "a pointer of git-annex, not an image: run 'git annex get'"),
    (b"<!doctype html", "an HTML page, not an image: its download failed"),
    (b"<html", "an HTML page, not an image: its download failed"),
    (b"<svg", "an SVG drawing: draw it as PNG first"),
    (b"%pdf", "a PDF: draw its pages as PNG first"),
    (b"%!ps", "a PostScript file: draw it as PNG first"),
    (b"pk\3\4", "a .zip archive, not an image"),
    (b"\x1f\x8b", "packed with gzip, not an image"),
    (b"8bps", "a Photoshop file: save it as PNG"),
    (b"\x93numpy", "a NumPy array: give it the extension .npy"),
    (b"<?xml", "an XML file, not an image: the server may have refused the download"),
    (b"{", "a text in JSON, not an image: the server may have refused the download"),
)
FTYP_KINDS = {
    b"avif": "an AVIF: a newer Pillow reads it: pip install -U pillow",
    b"heic": "a HEIC: pip install 'gansmith[formats]' reads it",
    b"mif1": "a HEIC: pip install 'gansmith[formats]' reads it",
    b"jxl ": "a JPEG XL: pip install pillow-jxl-plugin reads it",
    b"crx ": "a raw photo: convert it to PNG or TIFF",
}
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


def other_kind(data: bytes) -> str:
    """Return what a file is that Pillow does not know, with the remedy; "" if its first bytes do not say."""
    if not data.strip(b"\0"):
        return "only zero bytes: copy or download it again"
    start = data[:512].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if data[4:8] == b"ftyp":
        return FTYP_KINDS.get(data[8:12], "a video: make images of it: ffmpeg -i VIDEO FRAMES/%06d.png")
    if data[:2] == b"\xff\x0a" or data[4:8] == b"JXL ":
        return FTYP_KINDS[b"jxl "]
    found = next((kind for first, kind in OTHER_KINDS if start.startswith(first)), "")
    return "an SVG drawing: draw it as PNG first" if found.startswith("an XML") and b"<svg" in start else found
