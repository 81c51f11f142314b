"""Which images may be mirrored: drawn pictures and the built-in clothes."""

from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image

from drawn_pictures import glyphs, noise, scene
from gansmith.data.mirroring import UNLIKE, mirror_shares
from gansmith.data.open import open_data
from gansmith.data.signatures import thumbnail
from gansmith.imaging.images import to_pil

pytestmark = pytest.mark.usefixtures("cache_folder")


def share(images: list[Image.Image]) -> float:
    return mirror_shares([thumbnail(image) for image in images], [0] * len(images))[0]


@pytest.mark.slow
@pytest.mark.parametrize("character", "234567")
def test_digits_should_not_be_mirrored(character):
    assert share(glyphs(character, 120)) > UNLIKE


@pytest.mark.slow
@pytest.mark.parametrize("character", "8")
def test_a_symmetric_digit_may_be_mirrored(character):
    assert share(glyphs(character, 120)) < UNLIKE


@pytest.mark.slow
@pytest.mark.parametrize("make", [scene, noise])
def test_pictures_without_a_side_may_be_mirrored(make: Callable[[int], Image.Image]):
    assert 0.35 < share([make(seed) for seed in range(200)]) < 0.65


@pytest.mark.slow
def test_a_set_with_mirror_images_may_be_mirrored():
    images = glyphs("3", 200)
    flip = Image.Transpose.FLIP_LEFT_RIGHT
    assert 0.3 < share([image.transpose(flip) if at % 3 else image for at, image in enumerate(images)]) < 0.75


def test_a_set_of_one_picture():
    image = scene(0)
    symmetric = Image.fromarray(np.minimum(np.asarray(image), np.asarray(image)[:, ::-1]))
    assert share([symmetric] * 50) == 0.5
    assert share([image] * 50) == 1.0


@pytest.mark.slow
def test_shoes_point_to_the_left():
    """Fashion-MNIST: three of its ten classes, as measured when the limit was set."""
    data = open_data("fashion-sample")
    rows = np.concatenate([np.flatnonzero(data.labels == label)[:300] for label in range(10)])
    thumbnails = [thumbnail(to_pil(image)) for image in data.read(rows)]
    shares = mirror_shares(thumbnails, data.labels[rows].tolist())
    wrong = {data.spec.classes[label] for label, value in shares.items() if value > UNLIKE}
    assert wrong == {"Sandal", "Sneaker", "Ankle boot"}
