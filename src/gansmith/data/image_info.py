"""What one image says about itself: size, mode, colour, transparency, content hash."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image

from gansmith.data.base import Frame, Payload
from gansmith.data.signatures import Signature, signature_of
from gansmith.imaging.colour_profiles import other_profile
from gansmith.imaging.images import (
    MODES,
    PIXEL_LIMIT,
    ImageError,
    decode_image,
    is_gray,
    is_transparent,
    num_frames,
    open_image,
    to_pil,
    upright_shape,
)
from gansmith.imaging.pixel_art import block_of


@dataclass(frozen=True, slots=True)
class ImageInfo:
    """Facts about one image of a source."""

    sha256: bytes = b""  # of the file; empty when it could not be read
    height: int = 0
    width: int = 0
    mode: str = ""  # Pillow's mode of the file
    gray: bool | None = None  # None: not decoded
    transparent: bool | None = None  # None: not decoded
    block: int | None = None  # of pixel art: how often each pixel is repeated; 0: none; None: not decoded
    signature: Signature | None = None  # None: not asked for
    frames: int = 1  # in the file; one of them is used
    recoloured: bool = False  # has a colour profile, and is converted from it to sRGB
    problem: str = ""  # why the image cannot be used


def digest(payload: Payload) -> bytes:
    """Return the SHA-256 of a file or of an array's shape and values."""
    if isinstance(payload, np.ndarray):
        payload = str(payload.shape).encode() + payload.tobytes()
    if isinstance(payload, Frame):
        payload = payload.file + f"#{payload.number}".encode()
    return hashlib.sha256(payload).digest()


def as_image(payload: Payload, limit: int = PIXEL_LIMIT) -> Image.Image:
    """Return a payload as an image in mode L, RGB or RGBA; ImageError if it cannot be decoded.

    A JPEG above ``limit`` pixels is decoded at a half, quarter or eighth of its sides.
    """
    if isinstance(payload, np.ndarray):
        return to_pil(payload)
    file, frame = (payload.file, payload.number) if isinstance(payload, Frame) else (payload, 0)
    return decode_image(file, limit, shrink=True, frame=frame)


def read_info(read: Callable[[], Payload], *, decode: bool, sign: bool = False, limit: int = PIXEL_LIMIT) -> ImageInfo:
    """Return the facts in an image's header; with ``decode`` those of its pixels too, with ``sign`` its signature.

    An image that cannot be read or decoded raises no error: its ``problem`` says why.
    """
    sha256 = b""
    try:
        payload = read()
        sha256 = digest(payload)
        if isinstance(payload, np.ndarray):
            info = ImageInfo(sha256, payload.shape[0], payload.shape[1], MODES[payload.shape[2]])
        else:
            info = _of_header(sha256, payload, limit)
        if not decode:
            return info
        image = as_image(payload, limit)
        signature = signature_of(image) if sign else None
        return replace(
            info,
            gray=is_gray(image),
            transparent=is_transparent(image),
            block=block_of(image),
            signature=signature,
        )
    except ImageError as problem:
        return ImageInfo(sha256, problem=str(problem))


def _of_header(sha256: bytes, payload: bytes | Frame, limit: int) -> ImageInfo:
    """Return the facts in the header of a file; those of a frame of it need the frame to be opened."""
    header = open_image(payload.file if isinstance(payload, Frame) else payload, limit, shrink=True)
    frames = 1 if isinstance(payload, Frame) else num_frames(header)
    if isinstance(payload, Frame) and payload.number:
        try:
            header.seek(payload.number)
        except (EOFError, OSError, SyntaxError, ValueError) as problem:
            raise ImageError("image.damaged", f"frame {payload.number} cannot be read ({problem})") from problem
    height, width = upright_shape(header)
    recoloured = other_profile(header) is not None
    return ImageInfo(sha256, height, width, header.mode, frames=frames, recoloured=recoloured)
