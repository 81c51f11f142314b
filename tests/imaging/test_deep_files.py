"""Files of science that claim more than they hold are refused by their headers, before anything is unpacked."""

import gzip
import io
import logging
import struct
import tracemalloc
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import numpy as np
import pytest
from PIL import Image

from gansmith.imaging.deep_files import DEFLATED_DICOM, MOST_VALUES, open_any, read_dicom, read_nifti, read_values
from gansmith.imaging.images import ImageError, quiet_readers

FEW_MB = 60
SIDE = 30_000  # SIDE x SIDE is over the limit of values, and over that of pixels


@contextmanager
def few_mb() -> Iterator[None]:
    """Fail if the peak of memory is that of a reader that believed the header."""
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < FEW_MB * 2**20
    finally:
        tracemalloc.stop()


def dicom(rows: int, columns: int, frames: int, pixels: bytes) -> bytes:
    pydicom = pytest.importorskip("pydicom", reason="the extra science is not installed")
    file = pydicom.Dataset()
    file.Rows, file.Columns, file.NumberOfFrames = rows, columns, frames
    file.SamplesPerPixel, file.PhotometricInterpretation = 1, "MONOCHROME2"
    file.BitsAllocated = file.BitsStored = 16
    file.HighBit, file.PixelRepresentation = 15, 0
    file.add_new("PixelData", "OW", pixels)
    out = io.BytesIO()
    pydicom.dcmwrite(out, file, implicit_vr=True, little_endian=True)
    return out.getvalue()


def nifti(*sides: int, kind: type = np.int16, content: bytes = b"") -> bytes:
    nibabel = pytest.importorskip("nibabel", reason="the extra science is not installed")
    header = nibabel.Nifti1Header()
    header.set_data_shape(sides)
    header.set_data_dtype(kind)
    header["vox_offset"], header["magic"] = 352, b"n+1"
    return header.binaryblock + bytes(4) + content


@pytest.mark.parametrize("sides", [(SIDE, SIDE, 1), (512, 512, 2**20), (65535, 65535, 2**31 - 1)])
def test_a_dicom_that_claims_too_much(sides, refused):
    data = dicom(*sides, bytes(64))
    with few_mb(), refused("image.too_large"):
        read_dicom(data)


def test_a_dicom_with_fewer_pixels_than_it_claims(refused):
    data = dicom(64, 64, 3, bytes(2 * 64 * 64))
    with few_mb(), refused("image.damaged"):
        read_dicom(data)


def test_a_dicom_without_pixels(refused):
    """As reports, plans and contours beside the slices of a scan are."""
    pydicom = pytest.importorskip("pydicom", reason="the extra science is not installed")
    file, out = pydicom.Dataset(), io.BytesIO()
    file.PatientName = "nobody"
    pydicom.dcmwrite(out, file, implicit_vr=True, little_endian=True)
    with refused("image.no_pixels"):
        read_dicom(out.getvalue())


@pytest.mark.slow
def test_a_deflated_dicom_is_not_unpacked(refused):
    packed = zlib.compressobj(9, zlib.DEFLATED, -15)
    bomb = packed.compress(bytes(100 * 2**20)) + packed.flush()
    data = bytes(128) + b"DICM" + struct.pack("<HH2sH", 2, 16, b"UI", 22) + DEFLATED_DICOM + bomb
    with few_mb(), refused("image.packed_dicom"):
        read_dicom(data)


@pytest.mark.parametrize("sides", [(SIDE, SIDE), (1024, 1024, 1024), (32767, 32767, 32767, 32767)])
@pytest.mark.parametrize("packed", [False, True])
def test_a_nifti_that_claims_too_much(sides, packed, refused):
    data = gzip.compress(nifti(*sides)) if packed else nifti(*sides)
    with few_mb(), refused("image.too_large"):
        read_nifti(data)


@pytest.mark.slow
def test_a_packed_nifti_is_unpacked_only_as_far_as_its_header_says():
    values = np.arange(4 * 4 * 2, dtype=np.int16)
    bomb = gzip.compress(nifti(4, 4, 2, content=values.tobytes()) + bytes(200 * 2**20), 1)
    with few_mb():
        found = read_nifti(bomb)
    assert found.shape == (2, 4, 4, 1)
    assert sorted(found.flatten()) == list(range(32))


def test_a_nifti_that_is_cut(refused):
    with refused("image.damaged"):
        read_nifti(gzip.compress(nifti(64, 64, 8, content=bytes(100)))[:-20])


@pytest.mark.parametrize(
    ("start", "code"),
    [
        (f"P5 {SIDE} {SIDE} 65535\n", "image.too_large"),
        (f"PF {SIDE} {SIDE} -1.0\n", "image.too_large"),
        ("P5 64 64 65535\n", "image.damaged"),
        ("P2 64 64 65535\n", "image.damaged"),
        ("PF 64 64 -1.0\n", "image.damaged"),
    ],
)
def test_a_pnm_that_claims_more_than_it_holds(start, code, refused):
    data = start.encode() + bytes(100)
    with few_mb(), refused(code):
        opened, _ = open_any(data)
        read_values(data, opened)


@pytest.mark.parametrize("sides", [(SIDE, SIDE, 1), (4096, 4096, 64)])
def test_a_tiff_that_claims_too_much(sides, refused):
    tifffile = pytest.importorskip("tifffile", reason="the extra science is not installed")
    width, height, bands = sides
    out = io.BytesIO()
    with tifffile.TiffWriter(out) as writer:
        writer.write(
            np.zeros((64, 64, bands), np.uint16), planarconfig="contig" if bands > 1 else None, photometric="minisblack"
        )
    data = bytearray(out.getvalue())
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        for name, size in (("ImageWidth", width), ("ImageLength", height)):
            at = file.pages[0].tags[name].valueoffset
            data[at : at + 4] = (
                struct.pack("<I", size) if file.pages[0].tags[name].dtype == 4 else struct.pack("<HH", size, 0)
            )
    assert width * height * bands > MOST_VALUES
    with few_mb(), refused("image.too_large"):
        opened, _ = open_any(bytes(data))
        read_values(bytes(data), opened)


@pytest.mark.parametrize("gap", [b" " * 200, b"#\n" * 200, b" #\n\t" * 100], ids=["spaces", "remarks", "both"])
def test_a_pnm_of_many_gaps_without_a_size_takes_no_exponential_time(gap):
    with pytest.raises(ImageError):
        open_any(b"P5" + gap + b"x")


def test_what_the_library_says_of_a_damaged_file_is_silenced(caplog, capsys):
    pytest.importorskip("tifffile", reason="the extra science is not installed")
    out = io.BytesIO()
    Image.fromarray(np.arange(256, dtype=np.uint16).reshape(16, 16)).save(out, "TIFF")
    data = bytearray(out.getvalue())
    data[12] = 0  # the type of the first entry

    def read() -> None:
        with suppress(ImageError):
            read_values(bytes(data), open_any(bytes(data))[0])

    caplog.set_level(logging.WARNING, logger="tifffile")
    read()
    assert caplog.records
    caplog.clear()
    with quiet_readers():
        read()
    assert not caplog.records
    assert capsys.readouterr() == ("", "")
    assert logging.getLogger("tifffile").isEnabledFor(logging.ERROR)
