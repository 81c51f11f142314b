"""Pixel art is recognised, scaled without blur, and keeps its colours."""

import numpy as np
import pytest
from PIL import Image

from gansmith.imaging.images import fit_image, to_pil
from gansmith.imaging.pixel_art import block_of, nearest_colours, scaled_by_whole_factor

COLOURS = np.random.default_rng(0).integers(0, 256, (12, 3), np.uint8)
ART = COLOURS[np.random.default_rng(1).integers(0, 12, (20, 14))]
RAMP = np.broadcast_to(np.arange(0, 40, dtype=np.uint8)[None, :, None], (40, 40, 3))
PHOTO = np.random.default_rng(2).integers(0, 256, (32, 32, 3), np.uint8)


def enlarged(pixels: np.ndarray, times: int) -> np.ndarray:
    return pixels.repeat(times, axis=0).repeat(times, axis=1)


@pytest.mark.parametrize("times", [1, 2, 5, 16])
def test_the_enlargement_of_pixel_art_is_found(times):
    assert block_of(to_pil(enlarged(ART, times))) == times


@pytest.mark.parametrize("pixels", [PHOTO, RAMP, np.zeros((16, 16, 3), np.uint8)], ids=["photo", "ramp", "plain"])
def test_photos_ramps_and_plain_pictures_are_no_pixel_art(pixels):
    assert block_of(to_pil(pixels)) == 0


def test_many_colours_are_pixel_art_only_with_plain_areas():
    shades = np.random.default_rng(3).integers(0, 256, (100, 3), np.uint8)
    dense = shades[np.random.default_rng(4).integers(0, 100, (40, 40))]
    sprite = np.zeros((80, 80, 3), np.uint8)
    sprite[20:60, 20:60] = dense
    assert (block_of(to_pil(dense)), block_of(to_pil(sprite))) == (0, 1)
    assert block_of(to_pil(ART)) == 1  # dense, but of 12 colours


def test_colours_of_transparent_pixels_do_not_count():
    alpha = np.zeros((20, 14, 1), np.uint8)
    alpha[5:15] = 255
    hidden = np.where(alpha == 0, PHOTO[:20, :14], ART)
    few = to_pil(np.concatenate([np.where(alpha == 0, np.uint8(0), ART), alpha], axis=2))
    assert block_of(few) == 1
    fitted = fit_image(to_pil(np.concatenate([hidden, alpha], axis=2)), 20, 14, 4, "pixels", 1)
    assert (fitted[fitted[..., 3] == 0][:, :3] == 255).all()  # one colour, which nobody sees


@pytest.mark.parametrize(("height", "width", "times"), [(20, 14, 1), (41, 30, 2), (64, 64, 3)])
def test_pixels_are_repeated_a_whole_number_of_times(height, width, times):
    small = scaled_by_whole_factor(to_pil(enlarged(ART, 4)), height, width, block=4)
    assert (np.asarray(small) == enlarged(ART, times)).all()


def test_larger_pictures_lose_whole_rows_but_get_no_new_colour():
    small = np.asarray(scaled_by_whole_factor(to_pil(ART), 12, 12, block=1))
    assert (small == ART[::2, ::2]).all()


@pytest.mark.parametrize("block", [0, 4])
def test_pixel_art_is_put_in_the_middle_of_its_border(block):
    fitted = fit_image(to_pil(enlarged(ART, 4)), 24, 16, 3, "pixels", block)
    assert (fitted[2:22, 1:15] == ART).all()
    assert (fitted[0] == 255).all()


def test_samples_get_the_nearest_colours():
    near = (ART.astype(int) + np.random.default_rng(3).integers(-3, 4, ART.shape)).clip(0, 255).astype(np.uint8)
    assert (nearest_colours(near[None], COLOURS)[0] == ART).all()
    assert Image.fromarray(nearest_colours(PHOTO[None], COLOURS)[0]).getcolors(12) is not None
