"""Decode, fit, convert and encode images, and lay them out in a grid."""

# In files and caches images are uint8 (H, W, C); inside a run they are float32 (N, C, H, W) in [-1, 1]: ``tensors.py``.

import io
import logging
import math
import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
from PIL import Image, ImageChops, ImageOps, UnidentifiedImageError, features

from gansmith.core.atomic_files import commit_bytes
from gansmith.core.errors import DataError, GansmithWarning
from gansmith.imaging.colour_profiles import to_srgb
from gansmith.imaging.file_repair import other_kind, with_jpeg_end, without_png_extras
from gansmith.imaging.pixel_art import block_of, scaled_by_whole_factor

MODES = {1: "L", 3: "RGB", 4: "RGBA"}
FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "TIFF", "GIF", "PPM")
ENDINGS = (
    ".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".bmp", ".tif", ".tiff", ".gif", ".ppm", ".pgm", ".pbm", ".pnm",
    ".pfm",
)  # fmt: skip
# Formats that are written, by ending.
WRITTEN_AS = {
    ".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".jpe": "JPEG", ".jfif": "JPEG", ".webp": "WEBP", ".tif": "TIFF",
    ".tiff": "TIFF", ".bmp": "BMP",
}  # fmt: skip
STACKS = ("GIF", "TIFF", "WEBP", "PNG", "AVIF", "HEIF")  # formats whose files may have several frames
NEW_SUBFILE_TYPE, REDUCED, MASK = 254, 1, 4  # a tag of TIFF, and bits of it
MOST_MIXED = 1000  # pages of a TIFF among which copies and masks are looked for: reading each of many takes minutes
JPEGS = ("JPEG", "MPO")  # MPO: of phones, with a second picture
LONGEST_SIDE_PX = {"JPEG": 65_500, "WEBP": 16_383}
QUALITY = 95  # of JPEG and WebP: compression is hard to see
FULL_COLOUR_QUALITY = 90  # from here on JPEG keeps the colour of every pixel
TIFF_STARTS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
LIBRARIES = ("PIL", "tifffile", "pydicom", "nibabel")  # that read images
LOGGERS = ("PIL.TiffImagePlugin", "tifffile", "pydicom", "nibabel.global")  # theirs
TWELVE_BITS = 4096
PIXEL_LIMIT = 40_000_000
NO_MEMORY = re.compile("out of memory|not enough memory|cannot allocate|failed to allocate", re.IGNORECASE)
STARTS = range(3, 9)  # shorter sides of the smallest feature maps, px
LONGEST_PROPORTION = 16  # of the longer side to the shorter one
LARGEST_SIDE = 1024  # px
PIXELS_IN_A_BATCH = 65536  # of samples
POINT = (1, 2, 1)  # height, width and channels of an "image" that is a point in the plane: x and y in [-1, 1]


Fit = Literal["crop", "pad", "stretch", "pixels"]
Pages = int | tuple[int, ...]  # of one frame of a file: its page from 0, or those of its channels


class ImageError(DataError):
    """One image cannot be used; the message gives the reason."""


@cache
def image_formats() -> dict[str, tuple[str, ...]]:
    """Return the endings of each format that can be read here; the ones that are always there are under ""."""
    found: dict[str, tuple[str, ...]] = {"": (*ENDINGS, ".mpo")}  # MPO: a JPEG of phones, with a second picture
    found["ICO"] = (".ico",)
    if features.check("jpg_2000"):
        found["JPEG2000"] = (".jp2", ".j2k", ".jpx", ".jpf", ".j2c")
    if features.check("avif"):
        found["AVIF"] = (".avif", ".avifs")
    with suppress(ImportError):
        import pillow_heif  # an extra: imported here so that gansmith starts without it

        pillow_heif.register_heif_opener()
        found["HEIF"] = (".heic", ".heif")
    with suppress(ImportError):
        import pillow_jxl  # noqa: F401  # not an extra, because of its licence; registers itself with Pillow

        found["JXL"] = (".jxl",)
    return found


def image_endings() -> tuple[str, ...]:
    """Return the endings of files that are read as images."""
    return tuple(ending for endings in image_formats().values() for ending in endings)


def _format_names() -> tuple[str, ...]:
    """Return the names of all formats that can be read here."""
    return (*FORMATS, *(name for name in image_formats() if name))


def from_levels(images: np.ndarray) -> np.ndarray:
    """Convert uint8 images to float32 in [-1, 1]."""
    return images.astype(np.float32) / np.float32(127.5) - np.float32(1)


def as_levels(values: np.ndarray) -> np.ndarray:
    """Convert float in [-1, 1] to uint8, rounded and clipped."""
    return ((values + np.float32(1)) * np.float32(127.5)).round().clip(0, 255).astype(np.uint8)


def sample_batch(height: int, width: int) -> int:
    """Return the batch size for all samples of this image size, 4 to 64.

    Results change slightly with the batch size. With one fixed size an image does not depend on the images beside it.
    """
    return max(4, min(64, PIXELS_IN_A_BATCH // max(1, height * width)))


def padded_batches(count: int, batch: int) -> Iterator[np.ndarray]:
    """Yield the positions of ``count`` images in batches of one size; the last position fills up the last batch."""
    for start in range(0, count, batch):
        yield np.arange(start, start + batch).clip(max=count - 1)


def make_grid(images: np.ndarray, columns: int, *, gap_px: int = 2) -> np.ndarray:
    """Lay out images (N, H, W, C) row by row on white, as one picture (H, W, C) of their type."""
    count, height, width, channels = images.shape
    rows = -(-count // columns)
    shape = (rows * (height + gap_px) + gap_px, columns * (width + gap_px) + gap_px, channels)
    grid = np.full(shape, 255 if images.dtype == np.uint8 else images.max(), images.dtype)
    for index, image in enumerate(images):
        top = gap_px + index // columns * (height + gap_px)
        left = gap_px + index % columns * (width + gap_px)
        grid[top : top + height, left : left + width] = image
    return grid


def enlarge(image: np.ndarray, at_least_px: int) -> np.ndarray:
    """Enlarge uint8 (H, W, C) by a whole factor without blur, until the shorter side has ``at_least_px``."""
    factor = max(1, -(-at_least_px // min(image.shape[:2])))
    return image.repeat(factor, axis=0).repeat(factor, axis=1)


def on_white(image: np.ndarray) -> np.ndarray:
    """Convert uint8 (H, W, C) with 1, 3 or 4 channels to uint8 (H, W, 3); alpha is blended onto white."""
    if image.shape[2] == 4:
        alpha = image[..., 3:].astype(np.float32) / 255
        return (image[..., :3] * alpha + 255 * (1 - alpha)).round().astype(np.uint8)
    return image if image.shape[2] == 3 else image.repeat(3, axis=2)


def to_pil(image: np.ndarray) -> Image.Image:
    """Convert uint8 (H, W, C) with 1, 3 or 4 channels to a Pillow image."""
    return Image.fromarray(image[..., 0] if image.shape[2] == 1 else image, MODES[image.shape[2]])


def encode_png(image: np.ndarray) -> bytes:
    """Encode uint8 (H, W, C) as PNG."""
    buffer = io.BytesIO()
    to_pil(image).save(buffer, "PNG")
    return buffer.getvalue()


def encode_image(image: np.ndarray, ending: str, quality: int = QUALITY, icc_profile: bytes | None = None) -> bytes:
    """Encode uint8 (H, W, C) in the format of an ending in WRITTEN_AS, with a colour profile that fits its colours.

    ``quality``, 1 to 100, is for JPEG and WebP. JPEG and BMP have no alpha: it is blended onto white. Raises ImageError
    for a side that the format cannot hold.
    """
    form = WRITTEN_AS[ending.lower()]
    height, width = image.shape[:2]
    if max(height, width) > LONGEST_SIDE_PX.get(form, max(height, width)):
        raise ImageError(
            "image.side_too_long",
            f"{width} x {height} px cannot be written as {form}, which holds sides up to {LONGEST_SIDE_PX[form]:,} px"
            "\n  write another format: --format png",
        )
    if (form, image.shape[2]) in (("WEBP", 1), ("JPEG", 4), ("BMP", 4)):
        image = on_white(image)
    space = b"GRAY" if image.shape[2] == 1 else b"RGB "
    profile = icc_profile if icc_profile is not None and icc_profile[16:20] == space else None
    options: dict[str, Any] = {} if profile is None else {"icc_profile": profile}
    if form in ("JPEG", "WEBP"):
        options["quality"] = quality
    if form == "JPEG" and quality >= FULL_COLOUR_QUALITY:
        options["subsampling"] = "4:4:4"
    if form == "TIFF":
        options["compression"] = "tiff_adobe_deflate"
    buffer = io.BytesIO()
    to_pil(image).save(buffer, form, **options)
    return buffer.getvalue()


def save_png(image: np.ndarray, path: Path) -> None:
    """Write uint8 (H, W, C) as a PNG file, whole or not at all."""
    commit_bytes(path, encode_png(image))


def stages(height: int, width: int, padding: int = 1) -> tuple[int, int, int] | None:
    """Return (start height, start width, doublings) for networks that grow to a size by doubling, or None.

    The shorter start is 3 to 8 px and the longer one up to 16 times as long, with as many doublings as possible. Kernel
    4, stride 2 and ``padding`` 0 turn a side n into 2n + 2 px instead of 2n.
    """
    extra = 2 - 2 * padding
    for doublings in reversed(range(LARGEST_SIDE.bit_length())):
        rows, row_rest = divmod(height + extra, 2**doublings)
        columns, column_rest = divmod(width + extra, 2**doublings)
        shorter, longer = sorted((rows - extra, columns - extra))
        is_near = longer in STARTS or (longer <= LONGEST_PROPORTION * shorter and doublings >= 2)
        if row_rest == column_rest == 0 and shorter in STARTS and is_near:
            return rows - extra, columns - extra, doublings
    return None


@contextmanager
def quiet_readers() -> Iterator[None]:
    """Silence what the libraries say of odd files; enter it in the main thread, because filters are global.

    They quote the files as they are, with control characters too. Pillow's own limit of pixels is lifted:
    ``open_image`` has one.
    """
    limit = Image.MAX_IMAGE_PIXELS
    loggers = [logging.getLogger(name) for name in LOGGERS]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings():
        silence_readers()
        try:
            yield
        finally:
            Image.MAX_IMAGE_PIXELS = limit
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)


def silence_readers() -> None:
    """Do the same for good, for threads that decode while others work."""
    warnings.filterwarnings("ignore", module=rf"({'|'.join(LIBRARIES)})\b")
    warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)
    for name in LOGGERS:
        logging.getLogger(name).setLevel(logging.CRITICAL)
    Image.MAX_IMAGE_PIXELS = None


def open_image(data: bytes, limit: int = PIXEL_LIMIT, *, shrink: bool = False) -> Image.Image:
    """Open an image and read its header only; ImageError for an unknown format or more than ``limit`` pixels.

    With ``shrink`` a larger JPEG is accepted up to 64 times the limit; ``decode_image`` then reads a half, quarter or
    eighth of its sides.
    """
    if not data:
        raise ImageError("image.empty", "empty file")
    if shape := _webp_shape(data):  # Pillow takes memory for two whole images when it opens one
        _refuse_large(*shape, limit)
    try:
        image = _opened(data)
        if image.format == "TIFF" and is_copy_or_mask(_page_kind(image)):  # a thumbnail before the image
            image.seek(frame_numbers(image)[0])
    except Image.DecompressionBombError as problem:
        raise ImageError("image.too_large", f"over the limit of {PIXEL_LIMIT // 10**6} Mpx") from problem
    except UnidentifiedImageError as problem:
        kind = other_kind(data) or f"not an image in a known format ({', '.join(FORMATS)})"
        raise ImageError("image.unknown_format", kind) from problem
    except MemoryError as problem:
        raise no_memory("an image") from problem
    except Exception as problem:  # decoders raise many error types on damaged files
        if lacks_memory(problem, 3 * math.prod(shape or (0,))):
            raise no_memory("an image") from problem
        raise ImageError("image.damaged", f"damaged header ({problem})") from problem
    _refuse_large(image.width, image.height, limit, factor=64 if shrink and image.format in JPEGS else 1)
    return image


def _refuse_large(width: int, height: int, limit: int, factor: int = 1) -> None:
    """Raise ImageError for more than ``factor * limit`` pixels."""
    if width * height > factor * limit:
        million = width * height / 10**6
        raise ImageError(
            "image.too_large",
            f"{width} x {height} px is over the limit of {limit / 10**6:g} Mpx ({million:.0f})",
        )


def _webp_shape(data: bytes) -> tuple[int, int] | None:
    """Return (width, height) from the first chunk of a WebP file (RFC 9649, sections 2.5 to 2.7); None for others."""
    if data[:4] != b"RIFF" or data[8:12] != b"WEBP" or len(data) < 30:
        return None
    if data[12:16] == b"VP8X":
        return 1 + int.from_bytes(data[24:27], "little"), 1 + int.from_bytes(data[27:30], "little")
    if data[12:16] == b"VP8L":
        bits = int.from_bytes(data[21:25], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    return int.from_bytes(data[26:28], "little") & 0x3FFF, int.from_bytes(data[28:30], "little") & 0x3FFF


def _opened(data: bytes) -> Image.Image:
    """Open an image; a PNG whose texts or profile are over Pillow's limits is opened without them."""
    try:
        return Image.open(io.BytesIO(data), formats=_format_names())
    except (Image.DecompressionBombError, MemoryError):
        raise
    except Exception:
        smaller = without_png_extras(data)
        if smaller is None or len(smaller) == len(data):
            raise
        return Image.open(io.BytesIO(smaller), formats=_format_names())


def upright_shape(image: Image.Image) -> tuple[int, int]:
    """Return (height, width) after EXIF rotation, read from the header."""
    height, width = image.height, image.width
    if image.format == "PNG" and "exif" not in image.info:
        return height, width  # to search for EXIF at the end, Pillow would decode the whole PNG
    try:
        exif = image.getexif()
    except Exception:  # an unreadable EXIF block means no rotation
        return height, width
    if image.format == "TIFF":  # some versions of Pillow have rotated the size already
        height, width = exif.get(0x0101, height), exif.get(0x0100, width)
    return (width, height) if exif.get(0x0112) in (5, 6, 7, 8) else (height, width)


def frame_numbers(image: Image.Image) -> Sequence[int]:
    """Return the numbers of the frames of an opened stack or animation; one for others, and if they cannot be counted.

    Pages of a TIFF that are smaller copies of others, such as overviews, or masks, are no frames, unless there are more
    than ``MOST_MIXED`` pages.
    """
    now = image.tell()
    if image.format not in STACKS:
        return [now]
    try:
        count = max(1, getattr(image, "n_frames", 1))
        if image.format != "TIFF" or count == 1 or count > MOST_MIXED:
            return range(count)  # a file may say billions
        kinds = []
        for number in range(count):
            image.seek(number)
            kinds.append(_page_kind(image))
        image.seek(now)
        return whole_pages(kinds)
    except MemoryError:
        raise
    except Exception:  # decoders raise many error types on damaged files
        return [now]


def whole_pages(kinds: Sequence[int]) -> Sequence[int]:
    """Return the numbers of the pages of a TIFF, by NewSubfileType, that are no copies or masks; all without any."""
    return [number for number, kind in enumerate(kinds) if not is_copy_or_mask(kind)] or range(len(kinds))


def is_copy_or_mask(kind: int) -> bool:
    """Say whether a page of a TIFF with this NewSubfileType is a smaller copy of another page, or a mask."""
    return bool(kind & (REDUCED | MASK))


def _page_kind(image: Image.Image) -> int:
    """Return the NewSubfileType of the present page of an opened TIFF."""
    tags: Any = getattr(image, "tag_v2", {})
    kind = tags.get(NEW_SUBFILE_TYPE, 0)
    return kind if isinstance(kind, int) else 0


def decode_image(
    data: bytes, limit: int = PIXEL_LIMIT, *, shrink: bool = False, frame: int = 0, keep_profile: bool = False
) -> Image.Image:
    """Decode one frame of an image file, upright, in mode L, RGB or RGBA and in sRGB; ImageError with the reason.

    16-bit gray is scaled from 0..65535. With ``keep_profile`` colours stay as they are, with their profile. With
    ``shrink`` a JPEG above ``limit`` pixels is decoded at a half, quarter or eighth of its sides. DataError if memory
    runs out: that says nothing of the file.
    """
    image = open_image(data, limit, shrink=shrink)
    size = f"{image.width} x {image.height} px"
    try:
        if frame:
            image.seek(frame)
        image = to_srgb(_loaded(image, data, limit), only_cmyk=keep_profile)
        try:
            image = ImageOps.exif_transpose(image)
        except Exception:  # an unreadable EXIF block means no rotation
            image = image.copy()
        if image.mode.startswith(("I", "F")):
            return _eight_bits(image)
        if image.has_transparency_data:
            return image.convert("RGBA")
        return image.convert("L" if image.mode in ("1", "L") else "RGB")
    except ImageError:
        raise
    except MemoryError as problem:
        raise no_memory(f"an image of {size}") from problem
    except Exception as problem:  # decoders raise many error types on damaged files
        if lacks_memory(problem, image.width * image.height):
            raise no_memory(f"an image of {size}") from problem
        raise ImageError("image.damaged", f"truncated or damaged ({problem})") from problem


def lacks_memory(problem: BaseException, pixels: int = 0) -> bool:
    """Say whether a decoder failed because memory ran out: it says so, or so many pixels more do not fit.

    Many decoders call a file damaged when they get no memory.
    """
    if isinstance(problem, MemoryError) or NO_MEMORY.search(str(problem)):
        return True
    try:
        np.empty(4 * pixels, np.uint8)
    except MemoryError:
        return True
    return False


def no_memory(what: str) -> DataError:
    """Return the error for memory that ran out while something was decoded."""
    return DataError(
        "machine.no_memory",
        f"no memory left to decode {what}"
        "\n  free memory, use fewer threads (OMP_NUM_THREADS=1), or leave large images out: max_pixels=10M",
    )


def _loaded(image: Image.Image, data: bytes, limit: int) -> Image.Image:
    """Return an opened image with its pixels, also of a JPEG without end marker and a PNG with oversized extras."""
    _reduce(image, limit)
    try:
        image.load()
    except (MemoryError, ImageError):
        raise
    except Exception as problem:
        if lacks_memory(problem, image.width * image.height):
            raise MemoryError from problem
        mended = with_jpeg_end(data, ("JPEG",)) or without_png_extras(data)
        if mended is None or mended == data:
            raise
        image = Image.open(io.BytesIO(mended), formats=_format_names())
        _reduce(image, limit)
        image.load()
    return image


def _reduce(image: Image.Image, limit: int) -> None:
    """Have a JPEG above the limit decoded at a half, quarter or eighth of its sides."""
    factor = 1
    while image.width * image.height > limit * factor**2 and factor < 8:
        factor *= 2
    if factor > 1 and image.format in JPEGS:
        image.draft(image.mode, (image.width // factor, image.height // factor))


def _eight_bits(image: Image.Image) -> Image.Image:
    """Convert 16-bit integers, or floats in 0..1, to mode L; Pillow's own conversion clips at 255."""
    values = np.asarray(image)
    top = 1.0 if image.mode.startswith("F") else 65535.0
    low, high = float(values.min()), float(values.max())
    if not (low >= 0 and high <= top):
        raise ImageError(
            "image.values_out_of_range", f"values {low:g} to {high:g} in mode {image.mode}, expected 0 to {top:g}"
        )
    if top > 1 and 0 < high < TWELVE_BITS:
        _say_nearly_black()
    return Image.fromarray((values * (255.0 / top)).round().astype(np.uint8))


@cache
def _say_nearly_black() -> None:
    """Say once that values of 12 bits are dark on a scale of 16."""
    text = f"a picture of 16 bits has no value above {TWELVE_BITS - 1:,} of 65,535, so it is nearly black here"
    warnings.warn(GansmithWarning(f"{text}\n  if it has 12 bits, multiply its values by 16"), stacklevel=4)


def is_gray(image: Image.Image) -> bool:
    """Return whether an image in mode L, RGB or RGBA is gray everywhere."""
    if image.mode == "L":
        return True
    red, green, blue = (image.convert("RGBa") if image.mode == "RGBA" else image).split()[:3]
    return not (ImageChops.difference(red, green).getbbox() or ImageChops.difference(green, blue).getbbox())


def is_transparent(image: Image.Image) -> bool:
    """Return whether an image has pixels that are not opaque."""
    return image.mode == "RGBA" and bool(np.asarray(image.getchannel("A")).min() < 255)


def fit_values(
    values: np.ndarray,
    height: int,
    width: int,
    fit: Fit,
    *,
    nearest: bool,
    empty: np.ndarray,
) -> np.ndarray:
    """Resize values (H, W, C) in their own units to float64 (height, width, C), as ``fit_image`` resizes pictures.

    ``nearest`` repeats and drops pixels instead of mixing them, for masks and label maps. A border of ``pad`` has the
    value ``empty`` (C,); pixels is pad with ``nearest`` here. Images of this size already stay exactly as they are.
    """
    if values.shape[:2] == (height, width):
        return values.astype(np.float64)
    resample = Image.Resampling.NEAREST if nearest or fit == "pixels" else Image.Resampling.LANCZOS
    out = np.empty((height, width, values.shape[2]))
    for band in range(values.shape[2]):
        # relative to a value of the image: single precision is exact enough for the differences
        base = float(values[0, 0, band])
        plane = Image.fromarray((values[..., band].astype(np.float64) - base).astype(np.float32))
        across, down = width / plane.width, height / plane.height
        if fit in ("pad", "pixels"):
            scale = min(across, down)
            size = (min(width, max(1, round(plane.width * scale))), min(height, max(1, round(plane.height * scale))))
            small, left, top = plane.resize(size, resample), (width - size[0]) // 2, (height - size[1]) // 2
            out[..., band] = empty[band]
            out[top : top + size[1], left : left + size[0], band] = np.asarray(small, np.float64) + base
            continue
        scale = max(across, down)
        cut_x = max(0.0, (plane.width - width / scale) / 2)
        cut_y = max(0.0, (plane.height - height / scale) / 2)
        box = (cut_x, cut_y, plane.width - cut_x, plane.height - cut_y) if fit == "crop" else None
        out[..., band] = np.asarray(plane.resize((width, height), resample, box=box), np.float64) + base
    return out


def fit_image(
    image: Image.Image, height: int, width: int, channels: int, fit: Fit = "crop", block: int = 0
) -> np.ndarray:
    """Resize an image in mode L, RGB or RGBA to uint8 (height, width, channels), with Lanczos and antialiasing.

    ``fit``: crop cuts around the centre, pad adds a border (white, or transparent with 4 channels), stretch changes the
    proportions; pixels scales pixel art by a whole factor without blur, and adds a border (each pixel is repeated
    ``block`` times in the file; 0: as the image shows). Colours are weighted by alpha while resizing. Below 4 channels
    alpha is blended onto white; fully transparent pixels become white.
    """
    image = image.convert("RGBA") if channels == 4 else image
    across, down = width / image.width, height / image.height
    if fit in ("pad", "pixels"):
        scale = min(across, down)
        size = (min(width, max(1, round(image.width * scale))), min(height, max(1, round(image.height * scale))))
        if fit == "pixels":
            small = scaled_by_whole_factor(image, height, width, block or max(1, block_of(image)))
        else:
            small = image.resize(size, Image.Resampling.LANCZOS)
        image = Image.new(image.mode, (width, height), (255, 255, 255, 0)[: len(image.getbands())])
        image.paste(small, ((width - small.width) // 2, (height - small.height) // 2))
    else:
        scale = max(across, down)
        cut_x = max(0.0, (image.width - width / scale) / 2)
        cut_y = max(0.0, (image.height - height / scale) / 2)
        box = (cut_x, cut_y, image.width - cut_x, image.height - cut_y) if fit == "crop" else None
        image = image.resize((width, height), Image.Resampling.LANCZOS, box=box)
    if image.mode == "RGBA":
        array = np.array(image)
        array[array[..., 3] == 0, :3] = 255
        if channels == 4:
            return array
        image = to_pil(on_white(array))
    array = np.asarray(image.convert(MODES[channels]))
    return array[..., None] if channels == 1 else array
