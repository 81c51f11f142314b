"""Read images of more than 8 bits, floats or many bands as values in their own units."""

import gzip
import html
import io
import math
import re
import struct
import zlib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from gansmith.core.errors import counted
from gansmith.imaging.images import (
    MOST_MIXED,
    PIXEL_LIMIT,
    TIFF_STARTS,
    ImageError,
    Pages,
    frame_numbers,
    is_copy_or_mask,
    lacks_memory,
    open_image,
    whole_pages,
)
from gansmith.imaging.values import MOST_BANDS

PNG_START = b"\x89PNG\r\n\x1a\n"
GRAY_AND_ALPHA = 4  # colour type of PNG
DICOM_ENDINGS = (".dcm", ".dicom", ".ima")
SCIENCE_ENDINGS = (*DICOM_ENDINGS, ".nii", ".nii.gz")
MOST_VALUES = 2**27  # of a file: as many as a volume of 512 x 512 x 512; in units they take 8 bytes each
MOST_UNPACKED = 2 * 10**9  # bytes of a .nii.gz
DEFLATED_DICOM = b"1.2.840.10008.1.2.1.99"  # its whole content is packed, and pydicom unpacks it without a limit
# Tags of TIFF.
BITS, PHOTOMETRIC, DESCRIPTION, BANDS, EXTRA, SAMPLE_FORMAT, GDAL_METADATA = 258, 262, 270, 277, 338, 339, 42112
WHITE_IS_ZERO, RGB_PHOTOMETRIC = 0, 2
_PNM_GAP = rb"(?:\s|#[^\n]*\n)++"  # without going back: many spaces would take exponential time
PNM_HEADER = re.compile(rb"P[2356Ff]%b(\d+)%b(\d+)%b([-+.\deE]+)\s" % (3 * (_PNM_GAP,)))
PNM_BANDS = {b"P2": 1, b"P3": 3, b"P5": 1, b"P6": 3, b"PF": 3, b"Pf": 1}
# Descriptions of TIFF stacks that may have channels: of ImageJ, OME and tifffile.
OF_CHANNELS = re.compile(r'\AImageJ=[^\0]*\nchannels=(?!1\b)|\bSizeC="(?!1")|\A\{[^}]*"axes": "[A-Z]*C[A-Z]*YX')
# Of stacks whose only page stands for all images; the second is that of tifffile.
WITHOUT_PAGES = re.compile(r'\AImageJ=[^\0]*\nimages=(?!1\b)(\d+)|\A\{"shape": \[(.*?)\].*"truncated": true')
OME_SIZES = re.compile(r"<(?:\w+:)?Pixels\b[^>]*>")
OME_NAMES = re.compile(r'<(?:\w+:)?Channel\b[^>]*\bName="([^"]*)"')
MOST_OF_PAGE = 64  # planes that OME may count for each page of the file
AXES = {"T": "T (times)", "Z": "Z (slices)"}


@dataclass(frozen=True)
class Hyperstack:
    """A TIFF stack of ImageJ, OME or tifffile whose channels are pages of their own."""

    axes: str  # such as "TZCYX"
    frames: tuple[tuple[int, ...], ...]  # the pages of the channels of each frame
    names: tuple[str, ...]  # of the channels, () without

    @property
    def note(self) -> str:
        """Return what is taken as what."""
        channels, others = len(self.frames[0]), [AXES.get(axis, axis) for axis in self.axes if axis not in "CYXS"]
        frames = f", {' and '.join(others)} as frames" if others else ""
        return f"axes {self.axes}: C ({channels} channels) taken as bands of one image{frames}"


def open_any(data: bytes, limit: int = PIXEL_LIMIT, pages: Pages = 0) -> tuple[Image.Image | None, bool]:
    """Return Pillow's image of a file, None if it opens no such TIFF, and whether the file is deep; ImageError."""
    try:
        opened = open_image(data, limit, shrink=True)
    except ImageError as problem:
        if problem.code == "image.too_large" or not (data.startswith(TIFF_STARTS) or data[:2] == b"PF"):
            raise
        return None, True
    return opened, isinstance(pages, tuple) or is_deep(data, opened)


def frames_of(data: bytes, opened: Image.Image | None) -> tuple[Sequence[Pages], str]:
    """Return the pages of each frame of a file, and a note on its axes; ``opened`` is Pillow's image, None without.

    ImageError for a damaged TIFF.
    """
    if found := hyperstack(data, opened):
        return found.frames, found.note
    return _page_numbers(data) if opened is None else frame_numbers(opened), ""


def axes_notes(found: Iterable[str]) -> list[str]:
    """Return the notes on the axes of stacks, "" for other files, with the number of files of each."""
    return [f"{counted(count, 'stack')} with {text}" for text, count in Counter(filter(None, found)).most_common()]


def hyperstack(data: bytes, opened: Image.Image | None) -> Hyperstack | None:
    """Return the stack of a TIFF whose channels are pages; None for other files.

    ImageError without tifffile, and for images that no page describes.
    """
    if not data.startswith(TIFF_STARTS):
        return None
    tags: Any = getattr(opened, "tag_v2", {})
    text = str(tags.get(DESCRIPTION, "")) if opened is not None else str(_tiff_page(data).description)
    hidden = WITHOUT_PAGES.search(text)
    if not (hidden or OF_CHANNELS.search(text)):
        return None
    num_pages = len(_tiff(data).pages) if opened is None else getattr(opened, "n_frames", 1)
    if hidden and num_pages == 1:
        count = hidden[1] or f"shape {hidden[2]}"
        raise ImageError(
            "image.hidden_frames",
            f"holds images ({count}) that no page describes, as tifffile's truncate=True writes: write it again with a"
            " page for each, tifffile.imwrite(path, tifffile.imread(path))",
        )
    if num_pages == 1 or not OF_CHANNELS.search(text):
        return None
    file = _tiff(data)
    try:
        for pixels in OME_SIZES.findall(text):  # tifffile would take memory for all that it counts
            if math.prod(map(int, re.findall(r'\bSize[CZT]="(\d+)"', pixels))) > MOST_OF_PAGE * len(file.pages):
                return None
        series = file.series[0]
        axes, numbers = str(series.axes), [page.index for page in series.pages]
        planes = axes[: axes.index("YX")]
        order = np.array(numbers).reshape(series.shape[: len(planes)])
        rows = np.moveaxis(order, planes.index("C"), -1)
    except Exception:  # a damaged or incomplete description: the pages are frames
        return None
    if rows.shape[-1] < 2:
        return None
    names = tuple(html.unescape(name).strip() for name in OME_NAMES.findall(text))
    frames = tuple(tuple(row) for row in rows.reshape(-1, rows.shape[-1]).tolist())
    return Hyperstack(axes, frames, names if len(names) == rows.shape[-1] else ())


def is_deep(data: bytes, opened: Image.Image | None) -> bool:
    """Say whether a file holds more than 8-bit gray or colour; ``opened`` is Pillow's image, None if it has none."""
    if data.startswith(PNG_START):
        return data[24:25] == b"\x10"
    if data.startswith(TIFF_STARTS):
        if opened is None:
            return True
        if opened.format != "TIFF" or opened.mode.startswith(("I", "F")):
            return True
        tags: Any = opened.tag_v2  # type: ignore[attr-defined]
        bands, bits, forms = tags.get(BANDS, 1), tags.get(BITS, (1,)), tags.get(SAMPLE_FORMAT, (1,))
        is_alpha = bool(tags.get(EXTRA)) and all(kind in (1, 2) for kind in np.atleast_1d(tags[EXTRA]))
        colours = {0: 1, 1: 1, 2: 3, 3: 1}.get(tags.get(PHOTOMETRIC, 1), bands)
        if max(np.atleast_1d(bits)) > 8 or max(np.atleast_1d(forms)) > 1 or (bands > colours and not is_alpha):
            return True
        return hyperstack(data, opened) is not None
    if (header := _pnm_header(data)) is not None:
        return header[3] > 255
    return opened is not None and opened.mode.startswith(("I", "F"))


def has_alpha(payload: Any) -> bool:
    """Say whether the fourth band of a deep file is alpha: of PNG, and of TIFF with a tag that says so."""
    if not isinstance(payload, bytes) or payload.startswith(PNG_START):
        return isinstance(payload, bytes)
    page = _tiff_page(payload)
    return bool(page.extrasamples) and page.extrasamples[0] in (1, 2) and page.photometric == RGB_PHOTOMETRIC


def read_values(data: bytes, opened: Image.Image | None, limit: int = PIXEL_LIMIT, pages: Pages = 0) -> np.ndarray:
    """Return the values of a deep file, or of a frame of it, as (H, W, C) in their own type; ImageError."""
    try:
        if pages == 0 and (found := hyperstack(data, opened)):
            pages = found.frames[0]
        if data.startswith(PNG_START):
            values = _read_png(data)
        elif (header := _pnm_header(data)) is not None:
            values = _read_pnm(data, *header, limit)
        elif isinstance(pages, int) and opened is not None and opened.mode.startswith(("I", "F")):
            values = _read_gray(opened, pages)
        else:
            values = _read_tiff(data, pages, limit)
    except ImageError:
        raise
    except MemoryError:
        raise
    except Exception as problem:  # decoders raise many error types on damaged files
        if lacks_memory(problem, 0 if opened is None else opened.width * opened.height):
            raise MemoryError from problem
        raise ImageError("image.damaged", f"truncated or damaged ({problem})") from problem
    return checked(values)


def checked(values: np.ndarray) -> np.ndarray:
    """Return values (H, W, C); ImageError for a type that is no number, NaN, infinity, no values, and many bands."""
    if values.dtype.kind not in "uifb":
        raise ImageError("image.unreadable_array", f"values of type {values.dtype}, not numbers")
    if not values.size:
        raise ImageError("image.array_shape", f"no values: an array of shape {values.shape}")
    if values.shape[2] > MOST_BANDS:
        raise ImageError(
            "image.array_shape",
            f"{values.shape[2]} bands; at most {MOST_BANDS} are read: leave some out; frames=all"
            " takes the times of a NIfTI file as images",
        )
    if values.dtype.kind == "f" and not (finite := np.isfinite(values)).all():
        missing = int(values.size - finite.sum())
        raise ImageError(
            "image.not_finite",
            f"has {missing:,} of {values.size:,} values that are NaN or infinite: fill them with a number that means"
            " no data, numpy.nan_to_num(values, nan=-9999)",
        )
    return values


def _refuse_many(values: int) -> None:
    """Raise ImageError for more values than are read from one file."""
    if values > MOST_VALUES:
        raise ImageError("image.too_large", f"{values:,} values are over the limit of {MOST_VALUES:,} for one file")


def band_names(data: bytes) -> tuple[str, ...]:
    """Return the names that GDAL wrote for the bands of a TIFF file, or OME for channels; () without."""
    if not data.startswith(TIFF_STARTS):
        return ()
    try:
        with Image.open(io.BytesIO(data)) as opened:
            if found := hyperstack(data, opened):
                return found.names
            text = str(opened.tag_v2.get(GDAL_METADATA, ""))  # type: ignore[attr-defined]
    except Exception:  # Pillow does not open TIFF files of many bands
        try:
            tag = _tiff_page(data).tags.get(GDAL_METADATA)
        except ImageError:
            return ()
        text = "" if tag is None else str(tag.value)
    named = re.findall(r'<Item name="DESCRIPTION" sample="(\d+)"[^>]*>([^<]*)</Item>', text)
    return tuple(html.unescape(name.strip()) for _, name in sorted((int(band), name) for band, name in named))


def _read_gray(opened: Image.Image, frame: int) -> np.ndarray:
    """Return the values of an image that Pillow opens in mode I or F, with its own decoder."""
    if frame:
        opened.seek(frame)
    opened.load()
    values = np.asarray(opened)
    if opened.format in ("TIFF", "PNG") and opened.mode == "I":  # 32 bits; Pillow reads uint32 as signed
        tags: Any = getattr(opened, "tag_v2", {})
        forms = np.atleast_1d(tags.get(SAMPLE_FORMAT, 1))
        bits = int(np.max(np.atleast_1d(tags.get(BITS, 32))))
        if bits == 32 and forms[0] == 1:
            values = values.view(np.uint32)
        elif bits == 16 and forms[0] == 2:
            values = values.astype(np.int16)
    if values.dtype.byteorder == ">":
        values = values.astype(values.dtype.newbyteorder("="))
    if opened.format == "TIFF" and opened.tag_v2.get(PHOTOMETRIC) == WHITE_IS_ZERO:  # type: ignore[attr-defined]
        values = _inverted(values)
    return values[..., None]


def _inverted(values: np.ndarray, bits: int = 0) -> np.ndarray:
    """Return whole numbers from 0 with white and black exchanged; floats and signed numbers as they are."""
    if values.dtype.kind != "u":
        return values
    return np.asarray(values.dtype.type(2 ** (bits or 8 * values.itemsize) - 1) - values)


def _pnm_header(data: bytes) -> tuple[int, int, int, float, int] | None:
    """Return bands, width, height, the largest value and the position of the pixels of a PNM or PFM; None for others.

    The largest value of PFM, whose pixels are floats, is infinity; negative where they are little-endian.
    """
    if data[:2] not in PNM_BANDS:
        return None
    found = PNM_HEADER.match(data)
    if found is None:
        return None
    top = float(found[3])
    return PNM_BANDS[data[:2]], int(found[1]), int(found[2]), top if data[1:2] not in b"Ff" else np.inf, found.end()


def _read_pnm(data: bytes, bands: int, width: int, height: int, top: float, at: int, limit: int) -> np.ndarray:
    """Return the values of a PNM of more than 8 bits, or a PFM, as they are in the file."""
    if height * width > limit:
        raise _too_large(width, height, limit)
    count = height * width * bands
    if top == np.inf:
        order = "<" if float(data[:at].split()[-1]) < 0 else ">"
        values = np.frombuffer(data, f"{order}f4", count, at).astype(np.float32).reshape(height, width, bands)[::-1]
        return np.ascontiguousarray(values)
    if data[:2] in (b"P2", b"P3"):
        numbers = re.sub(rb"#[^\n]*", b"", data[at:]).split()
        return np.array(numbers[:count], np.int64).astype(np.uint16).reshape(height, width, bands)
    return np.frombuffer(data, ">u2", count, at).astype(np.uint16).reshape(height, width, bands)


def _too_large(width: int, height: int, limit: int) -> ImageError:
    return ImageError(
        "image.too_large",
        f"{width} x {height} px is over the limit of {limit / 10**6:g} Mpx ({height * width / 10**6:.0f})",
    )


def _read_png(data: bytes) -> np.ndarray:
    """Return the values of a PNG of 16 bits, uint16 (H, W, C); gray with alpha as RGBA.

    Pillow keeps only the upper byte of colours. Its unpackers of the two byte orders give one byte each; two values of
    gray and alpha have as many bytes as a pixel of RGBA.
    """
    if data[25] == GRAY_AND_ALPHA:
        image = Image.open(io.BytesIO(data), formats=("PNG",))
        name, box, offset, (_, *rest) = _tile(image)
        image.tile = [(name, box, offset, ("RGBA", *rest))]  # type: ignore[list-item]
        image.load()
        four = np.asarray(image).astype(np.uint16)
        return (four[..., ::2] << 8 | four[..., 1::2])[..., [0, 0, 0, 1]]
    halves = []
    for order in ("B", "L"):
        image = Image.open(io.BytesIO(data), formats=("PNG",))
        name, box, offset, (mode, *rest) = _tile(image)
        if image.mode.startswith("I"):
            image.load()
            return np.asarray(image).astype(np.uint16)[..., None]
        image.tile = [(name, box, offset, (f"{mode.split(';')[0]};16{order}", *rest))]  # type: ignore[list-item]
        image.load()
        halves.append(np.asarray(image).astype(np.uint16))
    return halves[0] << 8 | halves[1]


def _tile(image: Image.Image) -> tuple[str, Any, int, tuple[Any, ...]]:
    name, box, offset, options = image.tile[0]  # type: ignore[attr-defined]
    return name, box, offset, options if isinstance(options, tuple) else (options,)


def _tifffile() -> Any:
    try:
        import tifffile  # an extra: imported here so that gansmith starts without it
    except ModuleNotFoundError as problem:
        raise ImageError(
            "image.needs_library",
            "a TIFF of many bands or of 16-bit colour, which needs a library: pip install 'gansmith[science]'",
        ) from problem
    return tifffile


def _tiff(data: bytes) -> Any:
    """Return a TIFF as tifffile opens it; ImageError for a damaged one."""
    tifffile = _tifffile()
    try:
        return tifffile.TiffFile(io.BytesIO(data))
    except Exception as problem:  # damaged files
        raise ImageError("image.damaged", f"damaged TIFF ({problem})") from problem


def _page_numbers(data: bytes) -> Sequence[int]:
    """Return what ``frame_numbers`` does, of a file that Pillow does not open; ImageError for a damaged TIFF."""
    if not data.startswith(TIFF_STARTS):
        return [0]
    pages = _tiff(data).pages
    try:
        if len(pages) > MOST_MIXED:
            return range(len(pages))
        kinds = [int(page.subfiletype) for page in pages]
    except Exception as problem:  # damaged files
        raise ImageError("image.damaged", f"damaged TIFF ({problem})") from problem
    if not kinds:
        raise ImageError("image.damaged", "damaged TIFF (it has no pages)")
    return whole_pages(kinds)


def _tiff_page(data: bytes, number: int = 0) -> Any:
    pages = _tiff(data).pages
    try:
        if not number and is_copy_or_mask(int(pages[0].subfiletype)):  # a thumbnail before the image
            number = _page_numbers(data)[0]
        return pages[number]
    except Exception as problem:  # damaged files
        raise ImageError("image.damaged", f"damaged TIFF ({problem})") from problem


def _read_tiff(data: bytes, pages: Pages, limit: int) -> np.ndarray:
    """Return the values of a page of a TIFF, or of several as bands; ImageError for more pixels than ``limit``."""
    found = [_tiff_page(data, number) for number in (pages if isinstance(pages, tuple) else (pages,))]
    height, width = int(found[0].imagelength), int(found[0].imagewidth)
    if height * width > limit:
        raise _too_large(width, height, limit)
    _refuse_many(sum(math.prod(page.shape) for page in found))
    return np.concatenate([_page_values(page) for page in found], axis=2)


def _page_values(page: Any) -> np.ndarray:
    values = np.asarray(page.asarray())
    if values.ndim not in (2, 3) or not values.size:
        raise ImageError("image.array_shape", f"a TIFF of shape {values.shape}; allowed: (H, W) or (H, W, bands)")
    if page.photometric == WHITE_IS_ZERO:
        values = _inverted(values)
    if values.ndim == 2:
        return values[..., None]
    return values.transpose(1, 2, 0) if "S" in page.axes and page.axes[0] == "S" else values


def read_dicom(data: bytes) -> np.ndarray:
    """Return the slices of a DICOM file, (N, H, W, C), in the units of its rescale tags (Hounsfield units for CT)."""
    try:
        import pydicom  # an extra: imported here so that gansmith starts without it
        from pydicom.pixels.processing import apply_color_lut, apply_rescale
    except ModuleNotFoundError as problem:
        raise _needs_science("DICOM") from problem
    try:
        if DEFLATED_DICOM in data[:4096]:
            raise ImageError("image.packed_dicom", "a deflated DICOM file: unpack it (dcmconv +te)")
        file = pydicom.dcmread(io.BytesIO(data), force=True)  # also files without the mark at byte 128
        if "Rows" not in file:
            raise ImageError("image.no_pixels", "a DICOM file without pixels, such as a report, a plan or a directory")
        sides = (file.Rows, file.Columns, getattr(file, "SamplesPerPixel", 1), getattr(file, "NumberOfFrames", 1) or 1)
        _refuse_many(math.prod(map(int, sides)))
        if "TransferSyntaxUID" not in file.file_meta:
            file.file_meta.TransferSyntaxUID = pydicom.uid.ImplicitVRLittleEndian
        stored = file.pixel_array
        if file.PhotometricInterpretation == "PALETTE COLOR":
            stored = apply_color_lut(stored, file)
        values = apply_rescale(stored, file)
        if file.PhotometricInterpretation == "MONOCHROME1" and "RescaleSlope" not in file:  # low is white
            values = _inverted(values, int(file.BitsStored))
    except (ImageError, MemoryError):
        raise
    except Exception as problem:  # pydicom raises many types
        raise ImageError("image.damaged", f"damaged or packed DICOM ({problem})") from problem
    # The header decides, not the values: an empty slice of a PET must have the type of the others.
    is_whole = all(float(getattr(file, tag, 0) or 0).is_integer() for tag in ("RescaleSlope", "RescaleIntercept"))
    if values.dtype.kind == "f" and is_whole and np.array_equal(values, values.round()):
        values = values.astype(stored.dtype if np.array_equal(values, stored) else np.int32)
    if int(getattr(file, "SamplesPerPixel", 1)) > 1 or file.PhotometricInterpretation == "PALETTE COLOR":
        return values if values.ndim == 4 else values[None]
    return values[..., None] if values.ndim == 3 else values[None, ..., None]


def read_nifti(data: bytes) -> np.ndarray:
    """Return the slices of a NIfTI volume along its last axis of space, (N, H, W, C), in the units of its header."""
    try:
        import nibabel  # an extra: imported here so that gansmith starts without it
    except ModuleNotFoundError as problem:
        raise _needs_science("NIfTI") from problem
    try:
        packed = data[:2] == b"\x1f\x8b"
        with gzip.GzipFile(fileobj=io.BytesIO(data)) if packed else io.BytesIO(data) as file:
            start = file.read(540)
            is_second = start[:4] in (struct.pack("<i", 540), struct.pack(">i", 540))
            form = nibabel.Nifti2Image if is_second else nibabel.Nifti1Image
            header: Any = form.header_class(start[: form.header_class.sizeof_hdr], check=False)  # type: ignore[no-untyped-call]
            count = math.prod(int(side) for side in header.get_data_shape())
            if count < 1:
                raise ImageError("image.damaged", f"damaged NIfTI (it has the shape {header.get_data_shape()})")
            _refuse_many(count)
            size = int(header["vox_offset"]) + count * header.get_data_dtype().itemsize
            content = start + file.read(max(0, min(size, MOST_UNPACKED) - len(start))) if packed else data
        image: Any = form.from_bytes(content)
        slope, offset = image.dataobj.slope, image.dataobj.inter
        values = np.asarray(image.dataobj)
        if (slope, offset) == (1.0, 0.0):
            values = values.astype(image.get_data_dtype())
    except (ImageError, MemoryError):
        raise
    except Exception as problem:  # nibabel raises many types
        raise ImageError("image.damaged", f"damaged NIfTI ({problem})") from problem
    values = values[..., None, None] if values.ndim == 2 else values.reshape(*values.shape[:3], -1)
    return np.ascontiguousarray(values.transpose(2, 1, 0, 3)[:, ::-1])


def _needs_science(what: str) -> ImageError:
    return ImageError("image.needs_library", f"{what} needs a library: pip install 'gansmith[science]'")


def encode_png16(values: np.ndarray) -> bytes:
    """Encode whole numbers of 0 to 65535 (H, W, C), with 1 to 4 channels (2: gray and alpha), as PNG of 16 bits."""
    height, width, channels = values.shape
    rows = values.astype(">u2").reshape(height, -1).view(np.uint8)
    packed = zlib.compress(np.concatenate([np.zeros((height, 1), np.uint8), rows], axis=1).tobytes(), 6)
    header = struct.pack(">IIBBBBB", width, height, 16, {1: 0, 2: GRAY_AND_ALPHA, 3: 2, 4: 6}[channels], 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", packed), (b"IEND", b""))
    parts = [
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body)) for name, body in chunks
    ]
    return PNG_START + b"".join(parts)


def write_tiff(path: Any, pages: Any, bands: tuple[str, ...] = ()) -> None:
    """Write arrays (H, W, C) as the pages of a TIFF file, in their own type; ImageError without tifffile."""
    tifffile = _tifffile()
    with tifffile.TiffWriter(path) as file:
        for values in pages:
            channels = values.shape[2]
            values = values.astype(np.uint8) if values.dtype == bool else values
            is_colour = channels in (3, 4) and not bands and values.dtype.kind == "u"
            extra = {"extrasamples": ("unassalpha",)} if is_colour and channels == 4 else {}
            file.write(
                values[..., 0] if channels == 1 else values,
                photometric="rgb" if is_colour else "minisblack",
                planarconfig="contig" if channels > 1 else None,
                compression="zlib",
                metadata=None,
                extratags=_names_tag(bands),
                **extra,
            )


def _names_tag(bands: tuple[str, ...]) -> list[tuple[int, str, int, str, bool]]:
    """Return GDAL's tag with the names of bands."""
    if not bands:
        return []
    items = "".join(
        f'<Item name="DESCRIPTION" sample="{at}" role="description">{html.escape(name)}</Item>'
        for at, name in enumerate(bands)
    )
    return [(GDAL_METADATA, "s", 0, f"<GDALMetadata>{items}</GDALMetadata>", True)]
