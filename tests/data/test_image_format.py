from dataclasses import replace

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
def test_a_size_in_another_form_is_refused(written):
    with pytest.raises(ValidationError, match="HEIGHTxWIDTH"):
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
        ((64, 20), (64, 20)),
        ((128, 512), (64, 256)),
        ((50, 150), (48, 144)),
        ((64, 1024), (32, 512)),
        ((32, 960), (20, 320)),
    ],
)
def test_inferred_size_is_the_nearest_below_and_never_enlarges(shape, expected):
    got = shape_of(seen(*[shape] * 20))
    assert got == expected


def test_notes_on_inferred_size_and_channels(prose):
    for shape in ((64, 64), (100, 100), (300, 300)):
        prose("notes on an inferred format", "\n".join(infer_format(seen(shape, shape), DataOptions()).notes))
    prose("notes on an inferred format", "\n".join(infer_format(seen((64, 64), (40, 60)), DataOptions()).notes))
    assert not infer_format(seen((64, 64)), DataOptions(size=64, channels=3)).notes


def test_mixed_shapes_become_the_median_square():
    assert shape_of(seen((40, 100), (64, 64), (300, 70), (80, 66), (66, 66))) == (64, 64)


def test_a_shape_that_practically_all_have_stays():
    assert shape_of(seen(*[(48, 64)] * 99, (500, 500))) == (48, 64)
    assert shape_of(seen(*[(48, 64)] * 9, (500, 500))) == (48, 64)


def test_what_would_be_cut_off_decides_the_fit(prose):
    both = seen(*[(120, 160)] * 5, *[(160, 120)] * 5)
    mostly = seen(*[(120, 160)] * 9, (160, 120))
    sprites = seen(*[(24, 16)] * 9, (16, 16), transparent=True)
    for infos, fit, shape in (
        (both, "pad", (112, 112)),
        (mostly, "crop", (96, 128)),
        (sprites, "pad", (24, 16)),
        (seen(*[(100, 110)] * 5, *[(110, 100)] * 5), "crop", (96, 96)),
    ):
        found = infer_format(infos, DataOptions())
        assert (found.fit, (found.height, found.width)) == (fit, shape)
        prose("notes on what is cut off", "\n".join(found.notes))
    for options, fit in (({"fit": "crop"}, "crop"), ({"size": 64}, "pad"), ({"size": 64, "fit": "stretch"}, "stretch")):
        assert infer_format(both, DataOptions(**options)).fit == fit
    prose("notes on what is cut off", "\n".join(infer_format(both, DataOptions(fit="crop")).notes))


def art(*shapes: tuple[int, int], block: int = 1) -> list[ImageInfo]:
    return [replace(info, block=block) for info in seen(*shapes)]


def test_pixel_art_keeps_its_pixels(prose):
    for infos, shape, block in (
        (art((20, 14), (24, 16), (18, 18)), (24, 20), 1),
        (art((40, 40), (64, 64), block=2) + art((96, 96), block=6), (48, 48), 2),
        (art((50, 20)), (52, 20), 1),
    ):
        found = infer_format(infos, DataOptions())
        assert (found.fit, (found.height, found.width), found.block) == ("pixels", shape, block)
        prose("notes on pixel art", "\n".join(found.notes))
    assert infer_format(art((32, 32)), DataOptions(fit="crop")).fit == "crop"
    assert infer_format(art((32, 32)), DataOptions(size=96)).fit == "pixels"
    assert infer_format(art((32, 32)), DataOptions(size=16)).fit == "crop"
    assert infer_format(seen((32, 32)), DataOptions(fit="pixels")).block == 1


@pytest.mark.parametrize(
    "infos",
    [art((32, 32)) + art((32, 32), block=0) * 3, art((300, 300)), art((16, 16), block=4), art((32, 32), block=0)],
    ids=["few", "large", "tiny", "none"],
)
def test_other_images_are_no_pixel_art(infos):
    assert infer_format(infos, DataOptions()).fit == "crop"


def test_notes_on_images_of_other_shapes(prose):
    infos = seen(*[(64, 64)] * 3, (32, 64))
    for options in ({"fit": "crop"}, {"fit": "pad"}, {"fit": "stretch"}, {"size": 128}):
        image_format = infer_format(infos, DataOptions(**{"size": 64, "channels": 3, **options}))
        prose("notes on other shapes", "\n".join(image_format.notes))


@pytest.mark.parametrize(
    ("size", "height", "width"), [(100, 96, 96), (9, 10, 10), (105, 112, 112), ("50x64", 48, 64), (1000, 1024, 1024)]
)
def test_a_size_that_networks_cannot_have_becomes_the_nearest(prose, size, height, width):
    image_format = infer_format(seen((64, 64)), DataOptions(size=size))
    assert (image_format.height, image_format.width) == (height, width)
    prose("notes on a fitted size", image_format.notes[0])


@pytest.mark.parametrize("size", [64, "48x64", 46])  # 46: unpadded convolutions
def test_a_size_that_networks_can_have_is_kept(size):
    image_format = infer_format(seen((256, 256)), DataOptions(size=size, channels=3))
    assert (image_format.height, image_format.width) == DataOptions(size=size).shape
    assert all("proportions" in note for note in image_format.notes)  # no note on another size


@pytest.mark.parametrize(
    ("size", "code"),
    [
        (1, "data.size_out_of_range"),
        (7, "data.size_out_of_range"),
        (5000, "data.size_out_of_range"),
        ("16x1024", "data.size_out_of_range"),
    ],
)
def test_a_size_far_from_any_allowed_one(refused, size, code):
    with refused(code):
        infer_format(seen((64, 64)), DataOptions(size=size))


def test_images_too_small(refused):
    for options in ({}, {"size": 64}):
        with refused("data.images_too_small"):
            shape_of(seen(*[(5, 5)] * 4), **options)


@pytest.mark.parametrize(
    ("infos", "channels"),
    [
        (seen((64, 64), mode="L", gray=True), 1),
        (seen((64, 64), gray=True), 1),
        (seen((64, 64), gray=True) + seen((64, 64)), 3),
        (seen((64, 64), mode="RGBA", transparent=True) * 3 + seen((64, 64)), 4),
        (seen((64, 64), mode="RGBA", transparent=True) + seen((64, 64)) * 3, 3),
        (seen((64, 64), mode="RGBA"), 3),
        (seen((64, 64), mode="LA", gray=True, transparent=True), 4),
    ],
    ids=["gray", "gray in colour", "mixed", "transparent", "one transparent", "opaque", "gray transparent"],
)
def test_channels_are_inferred(prose, infos, channels):
    image_format = infer_format(infos, DataOptions(size=64))
    assert image_format.channels == channels
    prose("notes on inferred channels", "\n".join(image_format.notes))


def test_channels_can_be_set(prose):
    for channels in (1, 3, 4):
        assert (
            infer_format(seen((64, 64), mode="RGBA", transparent=True), DataOptions(channels=channels)).channels
            == channels
        )
    notes = infer_format(seen((64, 64), mode="RGBA", transparent=True), DataOptions(channels=3, size=64)).notes
    prose("notes on blended transparency", "\n".join(notes))
