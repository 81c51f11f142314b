"""Files that viewers show are decoded; those that lack pixels are damaged; no memory is not the file's fault."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from gansmith.core.errors import DataError
from gansmith.data.image_info import read_info
from gansmith.imaging import images
from gansmith.imaging.images import ImageError, decode_image, quiet_readers

Y, X = np.mgrid[:64, :64]
PICTURE = Image.fromarray(np.dstack([X * 4, Y * 4, (X + Y) * 2]).astype(np.uint8))
NOISE = Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8))


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


@pytest.mark.parametrize("image", [PICTURE, NOISE, PICTURE.convert("L")])
@pytest.mark.parametrize("progressive", [False, True])
def test_a_jpeg_without_its_end_marker_is_whole(image, progressive):
    whole = encoded(image, "JPEG", progressive=progressive)
    for cut in (1, 2):
        assert np.array_equal(np.asarray(decode_image(whole[:-cut])), np.asarray(decode_image(whole)))


@pytest.mark.parametrize("image", [PICTURE, NOISE])
@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("share", [0.5, 0.8])
def test_a_jpeg_that_lacks_pixels_is_damaged(image, progressive, share):
    whole = encoded(image, "JPEG", progressive=progressive)
    with pytest.raises(ImageError, match=r"(?i)truncated"):
        decode_image(whole[: int(len(whole) * share)])


@pytest.mark.parametrize(
    "extra",
    [
        chunk(b"tEXt", b"Comment\0" + b"x" * 2_000_000),
        chunk(b"zTXt", b"Comment\0\0" + zlib.compress(b"x" * 2_000_000)),
        chunk(b"iTXt", b"Comment\0\0\0\0\0" + b"x" * 2_000_000),
        chunk(b"iCCP", b"icc\0\0" + zlib.compress(np.random.default_rng(0).bytes(2_000_000))),
        chunk(b"tEXt", b"a\0b")[:-4] + b"sum?",
    ],
    ids=["text", "packed text", "international text", "profile", "wrong sum"],
)
def test_a_png_with_large_or_broken_extras_has_its_pixels(extra):
    plain = encoded(PICTURE, "PNG")
    for place in (plain.index(b"IDAT") - 4, plain.index(b"IEND") - 4):
        found = decode_image(plain[:place] + extra + plain[place:])
        assert np.array_equal(np.asarray(found), np.asarray(PICTURE))


def test_a_png_that_lacks_pixels_is_damaged():
    with pytest.raises(ImageError):
        decode_image(encoded(NOISE, "PNG")[:5000])


def test_a_jpeg_above_the_limit_is_decoded_smaller_for_training():
    large = encoded(PICTURE.resize((400, 200)), "JPEG")
    with quiet_readers():
        info = read_info(lambda: large, decode=True, limit=30_000)
        assert (info.height, info.width, info.problem) == (200, 400, "")
        assert decode_image(large, 30_000, shrink=True).size == (200, 100)
        with pytest.raises(ImageError, match=r"over the limit of 0\.03 Mpx"):
            decode_image(large, 30_000)  # verbs that take files keep the size
        with pytest.raises(ImageError, match="over the limit"):
            decode_image(encoded(PICTURE.resize((400, 200)), "PNG"), 30_000, shrink=True)


@pytest.mark.parametrize("name", ["load", "open"])
def test_no_memory_says_nothing_about_the_file(refused, monkeypatch, name):
    def fail(*args, **options):
        raise MemoryError

    monkeypatch.setattr(images.Image, "open", fail) if name == "open" else monkeypatch.setattr(
        "PIL.ImageFile.ImageFile.load", fail
    )
    with refused("machine.no_memory") as caught:
        read_info(lambda: encoded(PICTURE, "BMP") if name == "load" else b"BM", decode=True)
    assert not isinstance(caught.value, ImageError)
    assert isinstance(caught.value, DataError)


@pytest.mark.parametrize("text", ["out of memory error when reading image file", "broken data stream"])
def test_decoders_that_get_no_memory_call_no_file_damaged(monkeypatch, text):
    """Under ulimit -v many of them say that the file is damaged."""

    def fail(*args, **options):
        raise OSError(text)

    def no_room(*args, **options):
        raise MemoryError

    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", fail)
    if "memory" not in text:
        with pytest.raises(ImageError, match="truncated or damaged"):
            decode_image(encoded(PICTURE, "BMP"))
        monkeypatch.setattr(images.np, "empty", no_room)
    with pytest.raises(DataError) as caught:
        decode_image(encoded(PICTURE, "BMP"))
    assert caught.value.code == "machine.no_memory"


def test_a_webp_that_gets_no_memory_has_no_damaged_header(monkeypatch):
    def fail(*args, **options):
        raise OSError("could not create decoder object")

    def no_room(size, kind):
        if size >= 4 * 2 * 64 * 64:  # two images
            raise MemoryError

    monkeypatch.setattr(images.Image, "open", fail)
    monkeypatch.setattr(images.np, "empty", no_room)
    with pytest.raises(DataError) as caught:
        decode_image(encoded(PICTURE, "WEBP"))
    assert caught.value.code == "machine.no_memory"


@pytest.mark.parametrize("kind", ["PPM", "AVIF"])
def test_more_formats(kind):
    if kind == "AVIF" and ".avif" not in images.image_endings():
        pytest.skip("this Pillow reads no AVIF")
    assert decode_image(encoded(PICTURE, kind)).size == (64, 64)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "git lfs pull"),
        (b"/annex/objects/SHA256E-s1--0.png\n", "git annex get"),
        (b"\xef\xbb\xbf\n<!DOCTYPE HTML><title>404", "its download failed"),
        (b"<?xml version='1.0'?>\n<svg xmlns='x'/>", "draw it as PNG"),
        (b"<?xml version='1.0'?><Error><Code>AccessDenied", "refused the download"),
        (b'{"error": 403}', "refused the download"),
        (b"%PDF-1.4", "a PDF"),
        (b"\0\0\0\x20ftypisom", "a video"),
        (b"\0\0\0\x0cJXL \r\n\x87\n", "a JPEG XL"),
        (bytes(100), "only zero bytes"),
        (b"no image", "not an image in a known format"),
    ],
)
def test_a_file_that_is_no_image_is_called_what_it_is(content, said):
    info = read_info(lambda: content, decode=True)
    assert said in info.problem
