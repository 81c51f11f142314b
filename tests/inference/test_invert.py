"""Inversion, filling of holes, and what they are made of: target, distance, blend."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from gansmith import api
from gansmith.inference.inversion.blend import blend
from gansmith.inference.inversion.distance import NORM_WEIGHT, Distance
from gansmith.inference.inversion.invert import psnr_db
from gansmith.inference.inversion.target import Target, load_target
from gansmith.inference.latents import find_latents
from gansmith.inference.load import load_model
from gansmith.inference.model import Model
from small_models import CLASSES, make_model

STEPS = 60


@pytest.fixture(scope="module")
def model() -> Model:
    return make_model("hidden=[16]")


@pytest.fixture(scope="module")
def conditional() -> Model:
    return make_model("hidden=[16]", "conditional=true", classes=CLASSES)


@pytest.fixture
def hole(tmp_path):
    """A mask of 8 x 8 with a hole of 3 x 3."""
    mask = np.zeros((8, 8), np.uint8)
    mask[3:6, 2:5] = 255
    Image.fromarray(mask).save(tmp_path / "mask.png")
    return tmp_path / "mask.png"


@pytest.mark.slow
@pytest.mark.parametrize("name", ["model", "convolutional"])
def test_an_image_of_the_model_is_found_again(prose, name, request):
    made = request.getfixturevalue(name)
    wanted = made.sample(5, seed=99).images[4]
    lines = []
    found = api.invert(made, wanted, steps=STEPS, on_progress=lines.append)
    assert found.psnr_db > 30
    assert found.psnr_db > found.random_db[0] > found.random_db[1]
    assert np.array_equal(api.pick(made, found.latents).images[0], found.image)
    prose("terms of the distance", found.compared)
    assert lines[0].startswith("step 0 of 60: distance ")
    assert lines[-1].startswith("step 60 of 60: distance ")
    before, after = (float(line.split()[-1]) for line in (lines[0], lines[-1]))
    assert after < 0.2 * before


@pytest.mark.slow
def test_more_steps_come_nearer(model):
    wanted = model.sample(5, seed=99).images[4]
    assert api.invert(model, wanted, steps=STEPS).psnr_db > api.invert(model, wanted, steps=2).psnr_db


@pytest.mark.slow
def test_the_same_arguments_give_the_same_latent(model):
    state = torch.random.get_rng_state()
    image = np.random.default_rng(0).integers(0, 255, (8, 8, 1)).astype(np.uint8)
    first, second, other = (api.invert(model, image, steps=5, seed=seed) for seed in (0, 0, 1))
    assert np.array_equal(first.latents.values, second.latents.values)
    assert not np.array_equal(first.latents.values, other.latents.values)
    assert torch.equal(torch.random.get_rng_state(), state)


@pytest.mark.slow
def test_the_norm_stays_plausible_even_for_noise(model):
    image = np.random.default_rng(0).integers(0, 255, (8, 8, 1)).astype(np.uint8)
    norm = np.linalg.norm(api.invert(model, image, steps=STEPS).latents.values)
    assert 0.5 < norm / 4**0.5 < 1.7


def test_random_latents_are_the_first_256_of_the_sample(model):
    wanted = model.sample(5, seed=99).images[4]
    found = api.invert(model, wanted, steps=1, seed=7)
    each = [psnr_db(image, wanted, np.ones((8, 8), bool)) for image in model.sample(256, seed=7).images]
    assert found.random_db == (max(each), pytest.approx(np.mean(each)))


@pytest.mark.slow
def test_the_label_is_found_or_given(conditional):
    wanted = conditional.sample(3, seed=99, label="gray").images[2]
    found = api.invert(conditional, wanted, steps=STEPS)
    assert found.label in CLASSES
    assert found.psnr_db > 25
    given = api.invert(conditional, wanted, steps=3, label="light")
    assert given.label == "light"
    assert given.latents.classes.tolist() == [[0, 0, 1]]
    assert "; label: light" in given.lines()[0]


@pytest.mark.slow
def test_weights_without_a_discriminator_compare_pixels_and_say_so(prose, model, tmp_path, hole):
    alone = load_model(model.save(tmp_path / "m") / "generator.safetensors", "cpu")
    wanted = model.sample(5, seed=99).images[4]
    for mask in (None, hole):
        found = api.invert(alone, wanted, steps=STEPS, mask=mask)
        assert found.psnr_db > 25
        prose("terms of the distance", found.lines()[2])


@pytest.mark.slow
def test_a_hole_is_filled_and_the_rest_is_kept(model, hole):
    wanted = model.sample(5, seed=99).images[4]
    missing = np.asarray(Image.open(hole)) > 0
    damaged = np.where(missing[..., None], np.uint8(7), wanted)
    found = api.invert(model, damaged, mask=hole, steps=STEPS)
    assert np.array_equal(found.filled[~missing], wanted[~missing])
    error = np.abs(found.filled[missing].astype(int) - wanted[missing]).mean()
    assert error < 0.2 * np.abs(damaged[missing].astype(int) - wanted[missing]).mean()
    assert "where the image is known" in found.lines()[0]
    other = api.invert(model, np.where(missing[..., None], np.uint8(250), wanted), mask=hole, steps=STEPS)
    assert np.array_equal(found.latents.values, other.latents.values)  # what is under the mask is never looked at


@pytest.mark.slow
def test_what_is_written(model, tmp_path, hole):
    wanted = model.sample(5, seed=99).images[4]
    found = api.invert(model, wanted, steps=2)
    assert found.save(tmp_path / "a" / "x.png") == (tmp_path / "a" / "x.png", tmp_path / "a" / "x.latent.safetensors")
    with Image.open(tmp_path / "a" / "x.png") as picture:
        array = np.asarray(picture)
    assert array.shape == (96 + 22 + 16, 2 * 96 + 3 * 8, 3)
    assert np.array_equal(array[8:104:12, 8:104:12, :1], wanted)
    assert np.array_equal(array[8:104:12, 112:208:12, :1], found.image)
    assert np.array_equal(api.pick(model, tmp_path / "a" / "x.latent.safetensors").images[0], found.image)
    filled = api.invert(model, wanted, steps=2, mask=hole)
    assert filled.sheet().array.shape == (96 + 22 + 16, 4 * 96 + 5 * 8, 3)
    assert filled.save(tmp_path / "b") == (tmp_path / "b", tmp_path / "b" / "latent.safetensors")
    assert sorted(path.name for path in (tmp_path / "b").iterdir()) == [
        "filled.png", "found.png", "latent.safetensors", "sheet.png",
    ]  # fmt: skip
    assert np.array_equal(np.asarray(Image.open(tmp_path / "b" / "filled.png")), filled.filled[..., 0])


@pytest.mark.parametrize("name", ["x.gif", "x.npz"])
def test_endings_that_an_inversion_cannot_have(refused, name):
    with refused("output.unknown_ending"):
        api.check_inversion_path(name)


def test_no_steps(refused, model):
    with refused("cli.steps_out_of_range"):
        api.invert(model, np.zeros((8, 8, 1), np.uint8), steps=0)


def test_psnr():
    black, gray = np.zeros((2, 2, 1), np.uint8), np.full((2, 2, 1), 16, np.uint8)
    everywhere = np.ones((2, 2), bool)
    assert psnr_db(black, gray, everywhere) == pytest.approx(20 * np.log10(255 / 16))
    assert json.dumps(psnr_db(gray, gray, everywhere)) == "100.0"
    gray[0, 0] = 255
    assert psnr_db(black, gray, ~np.array([[True, False], [False, False]])) == pytest.approx(20 * np.log10(255 / 16))


# --- what is looked for -------------------------------------------------------------------------------------------


def test_a_file_is_cut_and_resized_like_its_mask(model, tmp_path):
    image, mask = np.zeros((32, 16, 3), np.uint8), np.zeros((32, 16), np.uint8)
    image[16:], mask[24:] = 200, 255
    Image.fromarray(image).save(tmp_path / "i.png")
    Image.fromarray(mask).save(tmp_path / "m.png")
    target = load_target(tmp_path / "i.png", None, model.record.data)
    assert target.image.shape == (8, 8, 1)
    assert target.known.all()
    assert target.image[1].max() < 20
    assert target.image[6].min() > 180
    mask[16:] = 255
    Image.fromarray(mask).save(tmp_path / "m.png")
    target = load_target(tmp_path / "i.png", tmp_path / "m.png", model.record.data)
    assert target.missing.tolist() == [[row >= 4] * 8 for row in range(8)]
    assert (target.with_hole()[4:] == 128).all()


def test_images_that_cannot_be_looked_for(refused, model, tmp_path):
    spec = model.record.data
    with refused("data.unreadable_image"):
        load_target(tmp_path / "none.png", None, spec)
    (tmp_path / "text.png").write_text("no picture")
    with refused("data.unreadable_image"):
        load_target(tmp_path / "text.png", None, spec)
    with refused("data.image_array_shape"):
        load_target(np.zeros((8, 8, 3), np.uint8), None, spec)


@pytest.mark.parametrize(("code", "mask"), [
    ("data.mask_size", np.zeros((6, 9), np.uint8)),
    ("data.mask_says_nothing", np.zeros((8, 8), np.uint8)),
    ("data.mask_says_nothing", np.full((8, 8), 255, np.uint8)),
    ("data.unreadable_image", None),
], ids=["other size", "black", "white", "no file"])  # fmt: skip
def test_masks_that_cannot_be(refused, model, tmp_path, code, mask):
    if mask is not None:
        Image.fromarray(mask).save(tmp_path / "m.png")
    with refused(code):
        load_target(np.zeros((8, 8, 1), np.uint8), tmp_path / "m.png", model.record.data)


# --- distance -----------------------------------------------------------------------------------------------------


def test_distance_is_two_for_random_images_and_0_for_the_target(convolutional):
    target = Target(convolutional.sample(5, seed=99).images[4])
    distance = Distance(convolutional, target)
    images = torch.rand(10, 1, 8, 8, generator=torch.Generator().manual_seed(0)) * 2 - 1
    distances = distance.calibrate(images, None, 4)
    assert distances.mean().item() == pytest.approx(2, rel=1e-5)  # pixels and features, 1 each
    assert torch.allclose(distance.calibrate(images, None, 10), distances, rtol=1e-4)
    wanted = torch.from_numpy(find_latents(convolutional, "99:4").values)
    nothing = NORM_WEIGHT * (wanted.norm() - 2) ** 2
    assert distance(wanted, None).item() == pytest.approx(nothing.item(), abs=1e-4)
    assert distance(-wanted, None).item() > nothing + 0.1


def test_what_is_missing_is_not_compared(convolutional):
    missing = np.zeros((8, 8), bool)
    missing[2:6, 3:7] = True
    distance = Distance(convolutional, Target(convolutional.sample(1).images[0], missing))
    images = torch.rand(4, 1, 8, 8, generator=torch.Generator().manual_seed(0)) * 2 - 1
    before = distance.calibrate(images, None, 4)
    images[:, :, 2:6, 3:7] *= -1
    assert torch.allclose(distance.calibrate(images, None, 4), before)
    images[:, :, 0] *= -1
    assert not torch.allclose(distance.calibrate(images, None, 4), before)


# --- blend --------------------------------------------------------------------------------------------------------


def test_a_blend_keeps_what_is_known_and_takes_away_the_step():
    rng = np.random.default_rng(0)
    made = rng.integers(60, 120, (20, 24, 3)).astype(np.uint8)
    missing = np.zeros((20, 24), bool)
    missing[5:14, 6:24] = True  # it reaches the border
    image = made + np.uint8(40)
    image[missing] = 0
    assert np.array_equal(blend(image, made, missing), made + 40)


def test_a_blend_continues_a_slope():
    ramp = np.broadcast_to(np.linspace(0, 230, 24)[None, :, None].round().astype(np.uint8), (20, 24, 1))
    missing = np.zeros((20, 24), bool)
    missing[4:16, 5:19] = True
    filled = blend(np.where(missing[..., None], np.uint8(0), ramp), np.zeros_like(ramp), missing)
    assert np.abs(filled.astype(int) - ramp).max() <= 1


def test_a_blend_of_what_fits_is_what_was_made_and_is_clipped():
    image = np.random.default_rng(0).integers(0, 255, (9, 9, 1)).astype(np.uint8)
    missing = np.zeros((9, 9), bool)
    missing[3:6, 3:6] = True
    assert np.array_equal(blend(image, image, missing), image)
    bright = blend(np.full_like(image, 255), np.where(missing[..., None], np.uint8(250), np.uint8(0)), missing)
    assert (bright == 255).all()
