import pytest
from pydantic import ValidationError

from gansmith.data.base import DataOptions
from gansmith.data.image_format import SIDES, infer_format
from gansmith.data.image_info import ImageInfo


def seen(*shapes: tuple[int, int], mode: str = "RGB", gray: bool = False, transparent: bool = False) -> list[ImageInfo]:
    return [ImageInfo(b"x" * 32, height, width, mode, gray, transparent) for height, width in shapes]


def shape_of(infos: list[ImageInfo], **options: object) -> tuple[int, int]:
    image_format = infer_format(infos, DataOptions(**options))
    return image_format.height, image_format.width


@pytest.mark.parametrize(
    ("written", "kept"), [("64", 64), (64, 64), ("48x64", (48, 64)), ([48, 64], (48, 64)), ((64, 64), 64), (None, None)]
)
def test_size_is_written_in_many_ways_and_kept_in_one(written, kept):
    options = DataOptions(size=written)
    assert options.size == kept
    assert DataOptions.model_validate(options.model_dump(mode="json")) == options
    assert options.shape == ((kept, kept) if isinstance(kept, int) else kept)


@pytest.mark.parametrize("written", ["big", 64.5, "1x2x3", True, [], "64x"])
def test_a_size_that_cannot_be_read(written):
    with pytest.raises(ValidationError, match="size is one side or HEIGHTxWIDTH, for example 64 or 48x64"):
        DataOptions(size=written)


def test_equal_options_dump_equally():
    assert (
        DataOptions(size="64x64", channels="3").model_dump_json() == DataOptions(size=64, channels=3).model_dump_json()
    )


def test_sides_are_three_to_eight_times_a_power_of_two():
    assert SIDES[:12] == [8, 10, 12, 14, 16, 20, 24, 28, 32, 40, 48, 56]
    assert SIDES[-1] == 1024


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((64, 64), (64, 64)),
        ((28, 28), (28, 28)),
        ((100, 100), (96, 96)),
        ((63, 63), (56, 56)),
        ((48, 64), (48, 64)),
        ((8, 8), (8, 8)),
        ((300, 300), (128, 128)),
        ((218, 178), (128, 112)),
        ((64, 20), (32, 12)),
    ],
)
def test_inferred_size_is_the_nearest_below_and_never_enlarges(shape, expected):
    got = shape_of(seen(*[shape] * 20))
    assert got == expected


def test_what_was_inferred_is_said():
    notes = " ".join(infer_format(seen(*[(100, 100)] * 3), DataOptions()).notes)
    assert "inferred size 96 x 96: all images are 100 x 100 px, fitted to the nearest size below" in notes
    assert "inferred channels 3: there is colour in 3 of 3 images looked at" in notes
    notes = " ".join(infer_format(seen((300, 300)), DataOptions()).notes)
    assert "128 is the most that is chosen unasked" in notes
    assert "pass size=256 for more" in notes
    assert not infer_format(seen((64, 64)), DataOptions(size=64, channels=3)).notes


def test_mixed_shapes_become_the_median_square():
    assert shape_of(seen((40, 100), (64, 64), (300, 70), (80, 66), (66, 66))) == (64, 64)


def test_a_shape_that_practically_all_have_stays():
    assert shape_of(seen(*[(48, 64)] * 99, (500, 500))) == (48, 64)
    assert shape_of(seen(*[(48, 64)] * 9, (500, 500))) == (48, 48)


def test_what_happens_to_other_shapes_is_said():
    infos = seen(*[(64, 64)] * 3, (32, 64))
    for fit, words in (("crop", "cut around the centre"), ("pad", "given a white border"), ("stretch", "stretched")):
        notes = infer_format(infos, DataOptions(size=64, fit=fit)).notes
        assert any(f"1 images of other proportions are {words} (fit={fit})" in note for note in notes)
    notes = infer_format(infos, DataOptions(size=128)).notes
    assert "4 images are smaller than 128 x 128 and are enlarged, which adds no detail" in notes


@pytest.mark.parametrize(
    ("size", "height", "width"), [(100, 96, 96), (9, 10, 10), (105, 112, 112), ("50x64", 48, 64), (1000, 1024, 1024)]
)
def test_another_size_is_fitted_to_the_nearest_and_said(size, height, width):
    image_format = infer_format(seen((64, 64)), DataOptions(size=size))
    assert (image_format.height, image_format.width) == (height, width)
    got, took = (f"{height}", f"{size}") if height == width else (f"{height}x{width}", size)
    assert f"size {took} is fitted to {got}, the nearest (sides are 3 to 8 times a power of two)" in image_format.notes


@pytest.mark.parametrize("size", [64, "48x64", 46])  # 46: unpadded convolutions
def test_a_size_that_networks_grow_to_is_taken_as_it_is(size):
    image_format = infer_format(seen((64, 64)), DataOptions(size=size))
    assert (image_format.height, image_format.width) == DataOptions(size=size).shape
    assert not any("fitted" in note for note in image_format.notes)


@pytest.mark.parametrize(
    ("size", "code"),
    [
        (1, "data.size_out_of_range"),
        (7, "data.size_out_of_range"),
        (5000, "data.size_out_of_range"),
        ("16x1024", "data.size_out_of_range"),
    ],
)
def test_a_size_that_networks_do_not_grow_to(refused, size, code):
    with refused(code):
        infer_format(seen((64, 64)), DataOptions(size=size))


def test_images_too_small(refused):
    for options in ({}, {"size": 64}):
        with refused("data.images_too_small"):
            shape_of(seen(*[(5, 5)] * 4), **options)


@pytest.mark.parametrize(
    ("infos", "channels", "words"),
    [
        (seen((64, 64), mode="L", gray=True), 1, "all images are gray"),
        (seen((64, 64), gray=True), 1, "all images are gray"),
        (seen((64, 64), gray=True) + seen((64, 64)), 3, "colour in 1 of 2"),
        (seen((64, 64), mode="RGBA", transparent=True) * 3 + seen((64, 64)), 4, "3 of 4 images looked at"),
        (seen((64, 64), mode="RGBA", transparent=True) + seen((64, 64)) * 3, 3, "1 have transparent parts, blended"),
        (seen((64, 64), mode="RGBA"), 3, "colour in 1 of 1"),
        (seen((64, 64), mode="LA", gray=True, transparent=True), 4, "have transparent parts"),
    ],
)
def test_channels_are_inferred(infos, channels, words):
    image_format = infer_format(infos, DataOptions())
    assert image_format.channels == channels
    assert any(words in note for note in image_format.notes)


def test_channels_can_be_set():
    for channels in (1, 3, 4):
        assert (
            infer_format(seen((64, 64), mode="RGBA", transparent=True), DataOptions(channels=channels)).channels
            == channels
        )
    notes = infer_format(seen((64, 64), mode="RGBA", transparent=True), DataOptions(channels=3, size=64)).notes
    assert notes == ("transparency of 1 images is blended onto white",)


def test_deep_images_are_said():
    notes = infer_format(seen((64, 64), (64, 64), mode="I;16", gray=True), DataOptions()).notes
    assert "2 images of 16-bit gray scaled by their full range 0..65535 to 8 bit" in notes
    notes = infer_format(seen((64, 64), mode="F", gray=True), DataOptions()).notes
    assert "1 images of floats scaled from 0..1 to 8 bit" in notes
