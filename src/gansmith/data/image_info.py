"""What one image says about itself: size, mode, colour, transparency, content hash."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image

from gansmith.core.errors import counted
from gansmith.data.base import Frame, Payload
from gansmith.data.signatures import Signature, signature_of
from gansmith.imaging.colour_profiles import other_profile
from gansmith.imaging.deep_files import band_names, checked, frames_of, has_alpha, open_any, read_values
from gansmith.imaging.images import (
    MODES,
    PIXEL_LIMIT,
    ImageError,
    Pages,
    decode_image,
    is_gray,
    is_transparent,
    to_pil,
    upright_shape,
)
from gansmith.imaging.pixel_art import block_of
from gansmith.imaging.values import ValueSample

FEW_PIXELS = 4096  # that are kept of a deep image


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
    axes: str = ""  # a note on those of a stack with channels
    recoloured: bool = False  # has a colour profile, and is converted from it to sRGB
    problem: str = ""  # why the image cannot be used
    name: str = ""  # set by ``survey``
    kind: str = "uint8"  # NumPy's name of the values' type
    bands: int = 0  # channels of a deep file or array, or of any where values were asked for; 0: not decoded as values
    deep: bool = False  # more than 8-bit gray or colour
    colours: bool = True  # the bands are gray, RGB, or RGB with alpha
    reducible: bool = False  # a deep file that can be read as an 8-bit picture too
    band_names: tuple[str, ...] = ()
    samples: tuple[ValueSample, ...] = ()  # of a deep image, or where asked for; two of a pair: source, target
    extremes: tuple[tuple[int, int], ...] = ()  # smallest and largest gray of a decoded picture; two of a pair


def digest(payload: Payload) -> bytes:
    """Return the SHA-256 of a file or of an array's shape and values."""
    if isinstance(payload, np.ndarray):
        kind = "" if payload.dtype == np.uint8 else str(payload.dtype)
        payload = f"{kind}{payload.shape}".encode() + payload.tobytes()
    if isinstance(payload, Frame):
        payload = payload.file + f"#{payload.pages}".encode()
    return hashlib.sha256(payload).digest()


def as_image(payload: Payload, limit: int = PIXEL_LIMIT) -> Image.Image:
    """Return a payload of 8 bits as an image in mode L, RGB or RGBA; ImageError if it cannot be decoded.

    A JPEG above ``limit`` pixels is decoded at a half, quarter or eighth of its sides.
    """
    if isinstance(payload, np.ndarray):
        if payload.dtype == bool:
            payload = payload * np.uint8(255)
        if is_deep_array(payload):
            raise ImageError(
                "image.not_8_bit",
                f"{counted(payload.shape[2], 'band')} of {payload.dtype}, but 8-bit gray or colour is needed here",
            )
        return to_pil(payload)
    file, frame = file_and_frame(payload)
    return decode_image(file, limit, shrink=True, frame=frame if isinstance(frame, int) else frame[0])


def is_deep_array(array: np.ndarray) -> bool:
    """Say whether an array (H, W, C) is more than 8-bit gray or colour."""
    return array.dtype != np.uint8 or array.shape[2] not in MODES


def as_values(payload: Payload, limit: int = PIXEL_LIMIT) -> np.ndarray:
    """Return a payload as values (H, W, C) in their own type; ImageError if it cannot be decoded.

    Raises ImageError for NaN and infinity too.
    """
    if isinstance(payload, np.ndarray):
        return checked(payload)
    file, pages = file_and_frame(payload)
    opened, deep = open_any(file, limit, pages)
    if deep:
        return read_values(file, opened, limit, pages)
    array = np.asarray(as_image(payload, limit))
    return array[..., None] if array.ndim == 2 else array


def read_info(
    read: Callable[[], Payload],
    *,
    decode: bool,
    sign: bool = False,
    limit: int = PIXEL_LIMIT,
    values: bool = False,
    keep: int = FEW_PIXELS,
    pairs: bool = False,
) -> ImageInfo:
    """Return the facts in an image's header; with ``decode`` those of its pixels too, with ``sign`` its signature.

    With ``values`` some pixels of every image are kept, at most about ``keep``; of deep images they always are.
    An image that cannot be read or decoded raises no error: its ``problem`` says why.
    """
    sha256 = b""
    try:
        payload = read()
        sha256 = digest(payload)
        if isinstance(payload, np.ndarray):
            deep = is_deep_array(payload)
            mode = "" if deep else MODES[payload.shape[2]]
            info = ImageInfo(sha256, payload.shape[0], payload.shape[1], mode)
        else:
            info, deep = _of_header(sha256, payload, limit)
        if deep or values:
            return _deep_info(info, payload, limit, keep, deep=deep, sign=sign, pairs=pairs)
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
            extremes=tuple(_extremes(image.crop(box)) for box in halves_of(image.size, pairs)),
        )
    except ImageError as problem:
        return ImageInfo(sha256, problem=str(problem))


def _of_header(sha256: bytes, payload: bytes | Frame, limit: int) -> tuple[ImageInfo, bool]:
    """Return the facts in the header of a file, or of a frame of it, and whether it is deep."""
    file, pages = file_and_frame(payload)
    header, deep = open_any(file, limit, pages)
    frames, axes = ([pages], "") if isinstance(payload, Frame) else frames_of(file, header)
    if header is None:
        return ImageInfo(sha256, frames=len(frames), axes=axes), True
    if number := pages if isinstance(pages, int) else pages[0]:
        try:
            header.seek(number)
        except (EOFError, OSError, SyntaxError, ValueError) as problem:
            raise ImageError("image.damaged", f"frame {number} cannot be read ({problem})") from problem
    height, width = upright_shape(header)
    recoloured = not deep and other_profile(header) is not None
    reducible = deep and header.format == "PNG"
    info = ImageInfo(sha256, height, width, header.mode, frames=len(frames), axes=axes, recoloured=recoloured)
    return replace(info, reducible=reducible), deep


def file_and_frame(payload: bytes | Frame) -> tuple[bytes, Pages]:
    """Return the bytes of a file, and the page of a frame in it from 0, or those of its channels."""
    return (payload.file, payload.pages) if isinstance(payload, Frame) else (payload, 0)


def halves_of(size: tuple[int, int], pairs: bool) -> list[tuple[int, int, int, int]]:
    """Return the boxes (left, upper, right, lower) of the two images of a pair of (width, height), or of the image."""
    width, height = size
    middle = width // 2
    return [(0, 0, middle, height), (width - middle, 0, width, height)] if pairs else [(0, 0, width, height)]


def _extremes(image: Image.Image) -> tuple[int, int]:
    """Return the smallest and largest value of an image in mode L, RGB or RGBA; all values for one with alpha.

    A largest gray value that is further from the others than these from each other does not count: 255 of label maps,
    which means "ignore".
    """
    if is_transparent(image):
        return 0, 255
    if not is_gray(image):
        lows, highs = zip(*image.getextrema()[:3], strict=True)
        return int(min(lows)), int(max(highs))
    found = np.flatnonzero(image.histogram()[:256])  # of gray, or of red
    low, high = int(found[0]), int(found[-1])
    others = int(found[-2]) if len(found) > 2 else high
    return low, others if high - others >= others - low else high


def _deep_info(
    info: ImageInfo, payload: Payload, limit: int, count: int, *, deep: bool, sign: bool, pairs: bool
) -> ImageInfo:
    array = as_values(payload, limit)
    height, width, bands = array.shape
    file = None if isinstance(payload, np.ndarray) else file_and_frame(payload)[0]
    boxes = halves_of((width, height), pairs)
    kind = str(array.dtype.newbyteorder("="))
    mode = {1: kind}.get(bands, f"{kind} x {bands}") if deep else info.mode
    names = band_names(file) if deep and file is not None else ()
    is_whole = array.dtype.kind == "u"
    colours = bands in (1, 3) or (bands == 4 and (not deep or (file is not None and has_alpha(file))))
    return replace(
        info,
        height=height,
        width=width,
        mode=mode,
        gray=bands < 3 or (bands in MODES and bool((array[..., :3] == array[..., :1]).all())),
        transparent=colours and bands == 4 and is_whole and bool((array[..., 3] < np.iinfo(array.dtype).max).any()),
        signature=_signature_of_values(array) if sign else None,
        kind=kind,
        bands=bands,
        deep=deep,
        colours=colours,
        band_names=names if len(names) == bands else (),
        samples=tuple(ValueSample.of(array[:, left:right], count) for left, _, right, _ in boxes),
    )


def _signature_of_values(array: np.ndarray) -> Signature:
    """Return the signature of the picture of an image, by the ranks of its values, with the digest of its values.

    Scaled by its own range, marks for no data such as -9999 would make all images alike.
    """
    first = array[..., :1].astype(np.float64)
    ranks = np.unique(np.quantile(first, np.linspace(0, 1, 65), method="lower"))
    levels = np.searchsorted(ranks, first, "right") - 1
    found = signature_of(to_pil((levels * (255 / max(1, len(ranks) - 1))).round().astype(np.uint8)))
    return replace(found, pixels_sha256=hashlib.sha256(str(array.shape).encode() + array.tobytes()).digest())
