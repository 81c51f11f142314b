"""What one image says about itself: size, mode, colour, transparency, content hash."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image

from gansmith.data.base import Payload
from gansmith.data.signatures import Signature, signature_of
from gansmith.imaging.images import (
    MODES,
    PIXEL_LIMIT,
    ImageError,
    decode_image,
    is_gray,
    is_transparent,
    open_image,
    to_pil,
    upright_shape,
)


@dataclass(frozen=True, slots=True)
class ImageInfo:
    """Facts about one image of a source."""

    sha256: bytes = b""  # of the file; empty when it could not be read
    height: int = 0
    width: int = 0
    mode: str = ""  # Pillow's mode of the file
    gray: bool | None = None  # None: not decoded
    transparent: bool | None = None  # None: not decoded
    signature: Signature | None = None  # None: not asked for
    problem: str = ""  # why the image cannot be used


def digest(payload: Payload) -> bytes:
    """Return the SHA-256 of a file or of an array's shape and values."""
    if isinstance(payload, np.ndarray):
        payload = str(payload.shape).encode() + payload.tobytes()
    return hashlib.sha256(payload).digest()


def as_image(payload: Payload, limit: int = PIXEL_LIMIT) -> Image.Image:
    """Return a payload as an image in mode L, RGB or RGBA; ImageError if it cannot be decoded.

    A JPEG above ``limit`` pixels is decoded at a half, quarter or eighth of its sides.
    """
    return decode_image(payload, limit, shrink=True) if isinstance(payload, bytes) else to_pil(payload)


def read_info(read: Callable[[], Payload], *, decode: bool, sign: bool = False, limit: int = PIXEL_LIMIT) -> ImageInfo:
    """Return the facts in an image's header; with ``decode`` those of its pixels too, with ``sign`` its signature.

    An image that cannot be read or decoded raises no error: its ``problem`` says why.
    """
    sha256 = b""
    try:
        payload = read()
        sha256 = digest(payload)
        if isinstance(payload, bytes):
            header = open_image(payload, limit, shrink=True)
            (height, width), mode = upright_shape(header), header.mode
        else:
            (height, width), mode = payload.shape[:2], MODES[payload.shape[2]]
        if not decode:
            return ImageInfo(sha256, height, width, mode)
        image = as_image(payload, limit)
        signature = signature_of(image) if sign else None
        return ImageInfo(sha256, height, width, mode, is_gray(image), is_transparent(image), signature)
    except ImageError as problem:
        return ImageInfo(sha256, problem=str(problem))
