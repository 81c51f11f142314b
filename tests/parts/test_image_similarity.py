"""Measures of likeness, in closed form."""

import numpy as np
import pytest
import torch

from gansmith.evaluation.result import best_end
from gansmith.parts.metrics.image_similarity import colourfulness, feature_distance, l1, mean_of, psnr, ssim, window_px

IMAGES = np.random.default_rng(0).integers(40, 200, (3, 16, 20, 3)).astype(np.uint8)


def flat(value: int, shape: tuple[int, ...] = (2, 16, 16, 1)) -> np.ndarray:
    return np.full(shape, value, np.uint8)


@pytest.mark.parametrize("error", [1, 10, 40])
def test_psnr_and_l1_of_a_known_error(error):
    shifted = IMAGES + np.uint8(error)
    for one, other in ((IMAGES, shifted), (shifted, IMAGES)):  # no wrapping of uint8 either way
        assert psnr(one, other) == pytest.approx(20 * np.log10(255 / error))
        assert l1(one, other) == pytest.approx(error)


def test_psnr_of_equal_images_is_that_of_the_smallest_error():
    off = IMAGES.copy()
    off[:, 0, 0, 0] += 1
    assert psnr(IMAGES, IMAGES) == pytest.approx(psnr(off, IMAGES))
    assert psnr(off, IMAGES) == pytest.approx(10 * np.log10(255**2 * 16 * 20 * 3))


def test_ssim_of_equal_images_is_1_and_of_flat_ones_by_the_formula():
    assert ssim(IMAGES, IMAGES) == pytest.approx(1)
    c1 = (0.01 * 255) ** 2
    expected = (2 * 100 * 150 + c1) / (100**2 + 150**2 + c1)
    assert ssim(flat(100), flat(150)) == pytest.approx(expected)


def test_ssim_of_a_shift_and_a_change_of_contrast_in_one_window():
    x = np.random.default_rng(1).integers(50, 120, (1, 11, 11, 1)).astype(np.uint8)
    places = np.arange(11) - 5
    line = np.exp(-(places**2) / (2 * 1.5**2))
    weights = np.outer(line, line) / line.sum() ** 2
    mean = (weights * x[0, ..., 0]).sum()
    spread = (weights * (x[0, ..., 0] - mean) ** 2).sum()
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    shifted = (2 * mean * (mean + 30) + c1) / (mean**2 + (mean + 30) ** 2 + c1)
    assert ssim(x + np.uint8(30), x) == pytest.approx(shifted)
    doubled = (2 * mean * 2 * mean + c1) / (5 * mean**2 + c1) * (4 * spread + c2) / (5 * spread + c2)
    assert ssim(x * np.uint8(2), x) == pytest.approx(doubled)


def test_ssim_is_symmetric_sees_each_channel_and_does_not_depend_on_the_batch():
    other = np.random.default_rng(2).integers(0, 256, IMAGES.shape).astype(np.uint8)
    found = ssim(IMAGES, other)
    assert found == pytest.approx(ssim(other, IMAGES))
    assert (found < 0.5).all()
    each = np.mean([ssim(IMAGES[..., c : c + 1], other[..., c : c + 1]) for c in range(3)], axis=0)
    assert found == pytest.approx(each)
    assert found[1:2] == pytest.approx(ssim(IMAGES[1:2], other[1:2]))


@pytest.mark.parametrize(("sides", "window"), [((64, 64), 11), ((11, 30), 11), ((10, 30), 9), ((8, 8), 7), ((1, 5), 1)])
def test_the_window_of_small_images(sides, window):
    assert window_px(*sides) == window
    assert ssim(flat(9, (1, *sides, 1)), flat(9, (1, *sides, 1))) == pytest.approx(1)


def test_colourfulness_of_gray_and_of_two_colours():
    gray = np.repeat(IMAGES[..., :1], 3, axis=3)
    assert (colourfulness(gray) == 0).all()
    picture = np.zeros((1, 4, 4, 4), np.uint8)  # the last channel is alpha
    picture[0, :2, :, 0] = 200  # red: rg 200, yb 100
    picture[0, 2:, :, 2] = 100  # blue: rg 0, yb -100
    assert colourfulness(picture) == pytest.approx(np.hypot(100, 100) + 0.3 * 100)
    one_red = np.zeros((1, 4, 4, 3), np.uint8)
    one_red[..., 0] = 200
    assert colourfulness(one_red) == pytest.approx(0.3 * np.hypot(200, 100))


def test_feature_distance_is_of_directions():
    one = torch.tensor([[1.0, 0], [1, 0], [1, 0], [0, 0]])
    other = torch.tensor([[5.0, 0], [0, 3], [-2, 0], [0, 0]])
    assert feature_distance(one, other) == pytest.approx([0, 2, 4, 0])


def test_the_mean_has_the_standard_error():
    found = mean_of(np.array([1.0, 2, 3, 6]))
    assert (found.value, found.count, found.over) == (3, 4, "4 images")
    assert found.deviation == pytest.approx((14 / 3) ** 0.5 / 2)


@pytest.mark.parametrize(
    ("name", "end"),
    {
        "psnr": "high", "ssim_a_to_b": "high", "l1_train": "low", "feature_distance_own": "low", "fd500_own": "low",
        "fd500_own_a_to_b": "low", "fid500": "low", "colourfulness": "", "colourfulness_ratio": "one", "change": "",
        "cycle_error_b_to_a": "low", "l10_own": "",
    }.items(),
)  # fmt: skip
def test_where_the_best_value_lies(name, end):
    assert best_end(name) == end
