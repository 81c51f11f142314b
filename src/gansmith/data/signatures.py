"""Signatures by which images are compared: a content hash, a thumbnail, a perceptual hash."""

import hashlib
from dataclasses import dataclass

import numpy as np
from PIL import Image

from gansmith.imaging.images import fit_image

THUMBNAIL_SIDE_PX, HASH_SIDE = 8, 16
HASH_BITS = HASH_SIDE * HASH_SIDE
PLAIN = 4.0  # an image whose gray values (0 to 255) deviate by less shows no shape to compare


@dataclass(frozen=True, slots=True)
class Signature:
    """The few bytes of an image that are kept to compare it with others."""

    pixels_sha256: bytes = b""
    thumbnail: bytes = b""  # uint8 (8, 8, 3)
    perceptual_hash: bytes = b""  # 256 bits; empty for a plain image, and without the library


def can_hash() -> bool:
    """Say whether the library for perceptual hashes is installed."""
    try:
        import imagehash  # noqa: F401  # an extra: imported here so that gansmith starts without it
    except ModuleNotFoundError:
        return False
    return True


def signature_of(image: Image.Image) -> Signature:
    """Return the signature of an image in mode L, RGB or RGBA."""
    pixels_sha256 = hashlib.sha256(f"{image.mode} {image.size} ".encode() + image.tobytes()).digest()
    gray = fit_image(image, 4 * HASH_SIDE, 4 * HASH_SIDE, 1, "stretch")[..., 0]
    if gray.std() < PLAIN or not can_hash():
        return Signature(pixels_sha256, thumbnail(image))
    import imagehash  # an extra: imported here so that gansmith starts without it

    perceptual_hash = imagehash.phash(Image.fromarray(gray), HASH_SIDE).hash
    return Signature(pixels_sha256, thumbnail(image), np.packbits(perceptual_hash).tobytes())


def thumbnail(image: Image.Image) -> bytes:
    """Return an image at 8 x 8 px in colour, uint8 (8, 8, 3) as bytes."""
    return fit_image(image, THUMBNAIL_SIDE_PX, THUMBNAIL_SIDE_PX, 3, "stretch").tobytes()
