import io
import struct
import warnings
import zlib

import numpy as np
import pytest
import torch
from PIL import Image

from gansmith.imaging import images, tensors
from gansmith.imaging.images import decode_image, fit_image


def encoded(image: Image.Image, kind: str = "PNG", **how: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **how)
    return buffer.getvalue()


def picture(height: int = 16, width: int = 24) -> Image.Image:
    """Red grows to the right, green grows downwards, blue is constant."""
    array = np.zeros((height, width, 3), np.uint8)
    array[..., 0] = np.linspace(0, 255, width)[None]
    array[..., 1] = np.linspace(0, 255, height)[:, None]
    array[..., 2] = 60
    return Image.fromarray(array)


def claims_to_be(width: int, height: int) -> bytes:
    """A PNG of a few bytes whose header claims a size."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b"\0" * 1000))
        + chunk(b"IEND", b"")
    )


def test_uint8_to_float_and_back_is_exact():
    every = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1).repeat(3, axis=3)
    there = tensors.to_float(every)
    assert there.shape == (1, 3, 16, 16)
    assert there.min() == -1
    assert there.max() == 1
    assert (tensors.to_uint8(there) == every).all()
    assert (tensors.to_uint8(torch.full((1, 1, 2, 2), 7.0)) == 255).all()


def test_grid_places_images_row_by_row():
    tiles = np.stack([np.full((2, 3, 1), value, np.uint8) for value in (10, 20, 30)])
    grid = images.make_grid(tiles, 2, gap_px=1)
    assert grid.shape == (7, 9, 1)
    assert grid[1, 1, 0] == 10
    assert grid[1, 5, 0] == 20
    assert grid[4, 1, 0] == 30
    assert grid[4, 5, 0] == 255


@pytest.mark.parametrize(
    ("mode", "kind", "out"),
    [
        ("1", "PNG", "L"),
        ("L", "PNG", "L"),
        ("LA", "PNG", "RGBA"),
        ("P", "PNG", "RGB"),
        ("RGB", "PNG", "RGB"),
        ("RGBA", "PNG", "RGBA"),
        ("L", "JPEG", "L"),
        ("RGB", "JPEG", "RGB"),
        ("CMYK", "JPEG", "RGB"),
        ("RGB", "WEBP", "RGB"),
        ("1", "BMP", "L"),
        ("L", "BMP", "L"),
        ("P", "BMP", "RGB"),
        ("RGB", "BMP", "RGB"),
        ("1", "TIFF", "L"),
        ("L", "TIFF", "L"),
        ("P", "TIFF", "RGB"),
        ("RGB", "TIFF", "RGB"),
        ("RGBA", "TIFF", "RGBA"),
        ("CMYK", "TIFF", "RGB"),
        ("P", "GIF", "RGB"),
    ],
)
def test_every_format_and_mode_keeps_its_picture(mode, kind, out):
    source = picture().convert(mode)
    decoded = decode_image(encoded(source, kind))
    assert decoded.mode == out
    assert decoded.size == source.size
    expected = np.asarray(source.convert("RGB"), int)
    lossy = kind in ("JPEG", "WEBP")
    assert np.abs(np.asarray(decoded.convert("RGB"), int) - expected).mean() < (6 if lossy else 0.01)


@pytest.mark.parametrize("options", [{}, {"lossless": True}, {"exif": b"Exif\0\0"}], ids=["VP8", "VP8L", "VP8X"])
def test_a_large_webp_is_refused_before_pillow_takes_memory_for_it(options, monkeypatch):
    data = encoded(Image.new("RGB", (300, 200)), "WEBP", **options)
    monkeypatch.setattr(images, "_opened", lambda _: pytest.fail("Pillow takes memory for two images at once"))
    with pytest.raises(images.ImageError, match="300 x 200 px is over the limit"):
        images.open_image(data, limit=59_999)


def test_webp_keeps_alpha():
    decoded = decode_image(encoded(Image.new("RGBA", (16, 16), (10, 20, 30, 128)), "WEBP", lossless=True))
    assert decoded.getpixel((3, 3)) == (10, 20, 30, 128)


def test_first_frame_of_an_animation():
    frames = [Image.new("RGB", (16, 16), colour) for colour in ("red", "blue", "lime")]
    for kind in ("GIF", "WEBP", "TIFF", "PNG"):
        data = encoded(
            frames[0], kind, save_all=True, append_images=frames[1:], **({"lossless": True} if kind == "WEBP" else {})
        )
        assert decode_image(data).convert("RGB").getpixel((8, 8)) == (255, 0, 0), kind


@pytest.mark.parametrize(("kind", "dtype"), [("PNG", "<u2"), ("TIFF", "<u2"), ("TIFF", ">u2"), ("TIFF", "<i4")])
def test_sixteen_bits_are_scaled_by_their_full_range(kind, dtype):
    ramp = np.linspace(0, 65535, 2048).round().reshape(8, 256)
    source = Image.fromarray(ramp.astype(dtype))
    out = np.asarray(decode_image(encoded(source, kind)), float)
    assert np.abs(out - ramp / 257).max() <= 0.5001
    assert len(np.unique(out)) == 256  # Pillow's own conversion clips nearly all of it to 255


def test_values_of_twelve_bits_in_sixteen_are_said_to_be_dark(recwarn):
    ramp = np.linspace(0, 4095, 256).round().reshape(16, 16)
    images._say_nearly_black.cache_clear()
    decode_image(encoded(Image.fromarray((ramp * 16).astype("<u2"))))
    assert list(recwarn) == []
    for _ in range(2):
        decode_image(encoded(Image.fromarray(ramp.astype("<u2"))))
    assert ["no value above 4,095 of 65,535" in str(said.message) for said in recwarn.list] == [True]


def test_floats_are_scaled_from_0_to_1_and_nothing_else(refused):
    ramp = np.linspace(0, 1, 256, dtype=np.float32).reshape(16, 16)
    assert (np.asarray(decode_image(encoded(Image.fromarray(ramp), "TIFF"))).ravel() == np.arange(256)).all()
    with refused("image.values_out_of_range"):
        decode_image(encoded(Image.fromarray(ramp * 255), "TIFF"))
    ramp[3, 3] = np.nan
    with refused("image.values_out_of_range"):
        decode_image(encoded(Image.fromarray(ramp), "TIFF"))
    with refused("image.values_out_of_range"):
        decode_image(encoded(Image.fromarray(np.array([[-5, 5]], np.int32)), "TIFF"))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_rotation_is_honoured(kind, orientation):
    upright = np.zeros((16, 32), np.uint8)
    upright[:8, :16] = 255  # only the upper left quarter is white
    back = {
        1: lambda a: a,
        2: lambda a: a[:, ::-1],
        3: lambda a: a[::-1, ::-1],
        4: lambda a: a[::-1],
        5: lambda a: a.T,
        6: lambda a: a.T[::-1],
        7: lambda a: a.T[::-1, ::-1],
        8: lambda a: a.T[:, ::-1],
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(Image.fromarray(np.ascontiguousarray(back(upright))).convert("RGB"), kind, exif=exif)
    assert images.upright_shape(images.open_image(data)) == (16, 32)
    assert np.abs(np.asarray(decode_image(data).convert("L"), int) - upright).mean() < 4


def test_damaged_exif_turns_nothing():
    data = encoded(picture(), "JPEG", exif=b"Exif\0\0MM\0*\xff\xff\xff\xff\xff\xff")
    with images.quiet_readers():
        assert decode_image(data).size == (24, 16)


@pytest.mark.parametrize("kind", ["PNG", "GIF"])
def test_palette_transparency(kind):
    source = Image.new("P", (16, 16), 0)
    source.putpalette([255, 0, 0, 0, 0, 255])
    source.paste(1, (0, 0, 8, 16))
    decoded = decode_image(encoded(source, kind, transparency=1))
    assert decoded.mode == "RGBA"
    assert decoded.getpixel((12, 3)) == (255, 0, 0, 255)
    assert decoded.getpixel((3, 3))[3] == 0


def test_one_transparent_gray_or_colour():
    for mode, colour in (("L", 7), ("RGB", (7, 7, 7))):
        source = Image.new(mode, (4, 4), colour)
        source.putpixel((0, 0), 200 if mode == "L" else (200, 0, 0))
        decoded = decode_image(encoded(source, "PNG", transparency=colour))
        assert decoded.mode == "RGBA"
        assert decoded.getpixel((2, 2))[3] == 0
        assert decoded.getpixel((0, 0))[3] == 255


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "image.empty"),
        (b"hello, I am text", "image.unknown_format"),
        (encoded(picture(200, 200), "JPEG")[:1500], "image.damaged"),
        (encoded(picture(200, 200), "PNG")[:300], "image.damaged"),
        (claims_to_be(12000, 12000), "image.too_large"),
        (claims_to_be(40000, 40000), "image.too_large"),
        (claims_to_be(64, 64), "image.damaged"),
        (encoded(picture(), "PCX"), "image.unknown_format"),
    ],
    ids=["empty", "text", "cut jpeg", "cut png", "144 Mpx", "1600 Mpx", "no pixels", "pcx"],
)
def test_bad_files_have_a_reason(refused, data, code):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with images.quiet_readers(), refused(code, hiding=[r"(?<=damaged \().*(?=\))"]):  # Pillow's own words
            decode_image(data)


def test_the_pixel_limit_is_checked_before_decoding(refused, monkeypatch):
    monkeypatch.setattr(Image.Image, "load", lambda self: pytest.fail("decoded"))
    with images.quiet_readers(), refused("image.too_large"):
        decode_image(claims_to_be(8000, 6000))


def test_crop_keeps_the_centre():
    source = Image.new("L", (48, 16), 0)
    source.paste(200, (16, 0, 32, 16))
    assert (fit_image(source, 16, 16, 1, "crop") == 200).all()
    upright = source.transpose(Image.Transpose.ROTATE_90)
    assert np.abs(fit_image(upright, 8, 8, 1, "crop")[2:-2].astype(int) - 200).max() <= 3


def test_pad_adds_white_or_nothing():
    source = Image.new("RGB", (32, 16), (10, 20, 30))
    for channels, border in ((1, [255]), (3, [255, 255, 255]), (4, [255, 255, 255, 0])):
        out = fit_image(source, 16, 16, channels, "pad")
        assert out.shape == (16, 16, channels)
        assert out[0, 0].tolist() == border
        assert out[3, 8].tolist() == border
        assert out[8, 8].tolist() == ([18] if channels == 1 else [10, 20, 30, 255][:channels])


def test_stretch_keeps_all_of_the_picture():
    out = fit_image(picture(16, 64), 16, 16, 3, "stretch")
    assert out[:, 0, 0].max() < 20
    assert out[:, -1, 0].min() > 235


def test_resizing_is_antialiased():
    stripes = Image.fromarray(np.tile(np.array([[0, 255]], np.uint8), (64, 32)))
    assert np.abs(fit_image(stripes, 16, 16, 1)[:, 2:-2].astype(int) - 127).max() <= 8


def test_hidden_colours_do_not_bleed_into_the_edges():
    array = np.zeros((32, 32, 4), np.uint8)
    array[..., 1] = 255  # hidden green
    array[:, 16:] = (255, 0, 0, 255)
    out = fit_image(Image.fromarray(array), 8, 8, 4)
    seen = out[out[..., 3] > 0]
    assert seen[:, 1].max() <= 2
    assert out[0, 0].tolist() == [255, 255, 255, 0]
    on_white = fit_image(Image.fromarray(array), 8, 8, 3)
    assert on_white[0, 0].tolist() == [255, 255, 255]
    assert on_white[0, 7].tolist() == [255, 0, 0]


def test_the_same_size_keeps_every_pixel():
    source = picture(16, 24)
    assert (fit_image(source, 16, 24, 3) == np.asarray(source)).all()


@pytest.mark.parametrize("size", [(7, 1000), (1000, 7), (333, 217), (1, 1)])
@pytest.mark.parametrize("fit", ["crop", "pad", "stretch"])
def test_every_proportion_can_be_fitted(size, fit):
    for channels in (1, 3, 4):
        assert fit_image(Image.new("RGB", size), 48, 64, channels, fit).shape == (48, 64, channels)


def test_gray_and_transparent_are_seen():
    assert images.is_gray(picture().convert("L").convert("RGB"))
    assert not images.is_gray(picture())
    assert images.is_gray(Image.new("RGBA", (4, 4), (255, 0, 0, 0)))
    assert images.is_transparent(Image.new("RGBA", (4, 4), (255, 0, 0, 254)))
    assert not images.is_transparent(Image.new("RGBA", (4, 4), (255, 0, 0, 255)))
    assert not images.is_transparent(picture())


def test_stages_take_as_many_doublings_as_can_be():
    assert images.stages(28, 28) == (7, 7, 2)
    assert images.stages(32, 32) == (4, 4, 3)
    assert images.stages(48, 64) == (3, 4, 4)
    assert images.stages(8, 8) == (4, 4, 1)
    assert images.stages(100, 100) is None
    assert images.stages(8, 64) is None
