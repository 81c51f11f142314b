"""Each degradation in closed form and against Pillow."""

import io
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from pydantic import ValidationError

from gansmith.imaging.tensors import to_float, to_uint8
from gansmith.parts.degradations.base import degradations
from gansmith.parts.degradations.jpeg import jpeg_compressed
from gansmith.parts.degradations.real_esrgan import _blurred
from small_runs import NOISE as FEW

NOISE = replace(FEW, positions=range(64), batch_size=64)


def picture(height: int, width: int, channels: int) -> np.ndarray:
    coarse = np.random.default_rng(0).integers(0, 256, (height // 6, width // 6, 4), np.uint8)
    return np.asarray(Image.fromarray(coarse, "RGBA").resize((width, height)))[..., :channels].copy()


def psnr(left: np.ndarray, right: np.ndarray) -> float:
    return float(10 * np.log10(255**2 / np.square(left.astype(float) - right).mean()))


@pytest.mark.parametrize("quality", [5, 40, 90])
@pytest.mark.parametrize("channels", [1, 3])
def test_jpeg_has_the_losses_of_a_file(quality, channels):
    image = picture(42, 51, channels)  # no multiples of 8 or 2
    file = io.BytesIO()
    Image.fromarray(image[..., 0] if channels == 1 else image).save(file, "JPEG", quality=quality)
    kept = np.asarray(Image.open(file)).reshape(image.shape)
    ours = to_uint8(jpeg_compressed(to_float(image[None]), torch.tensor([float(quality)])))[0]
    assert psnr(ours, kept) > psnr(kept, image) + 6, "much nearer to the file than the file is to the image"
    assert psnr(ours, image) == pytest.approx(psnr(kept, image), abs=0.3)


def test_jpeg_has_a_quality_for_each_image():
    images = to_float(np.stack([picture(24, 24, 3)] * 2))
    both = jpeg_compressed(images, torch.tensor([10.0, 90.0]))
    assert torch.equal(both[1:], jpeg_compressed(images[1:], torch.tensor([90.0])))
    assert (both[0] - images[0]).abs().mean() > 2 * (both[1] - images[1]).abs().mean()


def test_a_blur_spreads_a_point_along_its_angle():
    point = torch.zeros(2, 1, 41, 41)
    point[..., 20, 20] = 1
    narrow, wide = 0.5, 3.0
    blurred = _blurred(point, torch.tensor([[wide, narrow]] * 2), torch.tensor([[0.0], [torch.pi / 2]]))
    assert blurred.sum((1, 2, 3)).tolist() == pytest.approx([1, 1], abs=1e-5)
    along = (blurred[0, 0, 20, 23] / blurred[0, 0, 20, 20]).item()
    assert along == pytest.approx(np.exp(-9 / (2 * wide**2)), abs=1e-5)
    torch.testing.assert_close(blurred[1, 0], blurred[0, 0].T)
    assert blurred[0, 0, 23, 20] < 1e-6


def test_bicubic_keeps_constants_and_brightness():
    task, even = degradations.parse("bicubic"), torch.full((2, 3, 16, 16), 0.2)
    assert (task(even, 4, NOISE) - 0.2).abs().max() <= 1 / 255
    ramp = torch.linspace(-0.8, 0.8, 32).expand(1, 1, 32, 32)
    torch.testing.assert_close(
        task(ramp, 4, NOISE)[0, 0, 0, 2:6], ramp.unfold(3, 4, 4).mean(4)[0, 0, 0, 2:6], atol=0.01, rtol=0
    )


@pytest.mark.slow
def test_real_esrgan_differs_from_image_to_image_and_a_second_order_loses_more():
    images = to_float(np.stack([picture(32, 32, 4)] * 64))
    once, twice = (degradations.parse({"kind": "real_esrgan", "order": order})(images, 2, NOISE) for order in (1, 2))
    plain = degradations.parse("bicubic")(images, 2, NOISE)
    assert len({image.numpy().tobytes() for image in once}) == 64
    assert torch.equal(once[:, 3], plain[:, 3]), "alpha is made smaller and nothing else"
    lost = [(each - plain)[:, :3].abs().mean() for each in (once, twice)]
    assert 0.03 < lost[0] < lost[1]


def test_gray_noise_is_gray():
    even = torch.zeros(64, 3, 16, 16)
    noisy = {"kind": "real_esrgan", "noise": 0.2, "worst_quality": 100, "best_quality": 100}
    spread = [
        (made := degradations.parse({**noisy, "gray_noise": share})(even, 2, NOISE)).std(1).mean() / made.std()
        for share in (0, 1)
    ]
    assert spread[0] > 3 * spread[1]


def test_qualities_that_cross_are_refused():
    with pytest.raises(ValidationError, match=r"worst_quality \(96\) must not be above best_quality"):
        degradations.parse({"kind": "real_esrgan", "worst_quality": 96})
