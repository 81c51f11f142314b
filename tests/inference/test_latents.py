"""How images are named, and that what is drawn there is what a user saw in a sample."""

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from gansmith import api
from gansmith.inference.latents import Latents, draw, find_latents, label_input


@pytest.mark.parametrize("name", ["model", "convolutional", "conditional"])
@pytest.mark.parametrize("more", [{}, {"truncation": 0.5}, {"raw": True}], ids=str)
def test_a_number_of_a_sample_is_that_image_to_the_byte(name, more, request):
    made = request.getfixturevalue(name)
    grids = {seed: made.sample(80, seed=seed, **more).images for seed in (0, 7)}
    picked = api.pick(made, "70,3,7:3,3,7:64", **more)
    assert picked.names == ("70", "3", "7:3", "3", "7:64")
    wanted = [grids[0][70], grids[0][3], grids[7][3], grids[0][3], grids[7][64]]
    assert np.array_equal(picked.images, np.stack(wanted))


def test_an_image_has_the_label_of_its_grid_or_the_one_asked_for(conditional):
    picked = api.pick(conditional, [3, 9, 17])
    assert picked.labels.tolist() == [0, 1, 2]
    as_light = api.pick(conditional, [3, 9], label="light")
    assert as_light.labels.tolist() == [2, 2]
    assert np.array_equal(as_light.images, conditional.sample(10, label="light").images[[3, 9]])


@pytest.mark.parametrize("seeds", ["3", 3, [3], ["3"], " 3 ", "0:3"])
def test_ways_to_name_one_image(model, seeds):
    assert find_latents(model, seeds).names == ("3",)


def test_the_names_in_a_numbered_grid_name_its_images(model):
    samples = model.sample(5, seed=7)
    assert samples.names == ("7:0", "7:1", "7:2", "7:3", "7:4")
    assert np.array_equal(api.pick(model, samples.names).images, samples.images)
    assert model.sample(2).names == ("0", "1")


def test_a_numbered_grid_has_room_for_names(refused, model, tmp_path):
    samples = model.sample(9)
    with Image.open(samples.save(tmp_path / "x.png", numbered=True)) as picture:
        array = np.asarray(picture)
    assert array.shape == (2 * (96 + 22) + 3 * 8, 8 * 96 + 9 * 8, 3)
    assert np.array_equal(array[8:104:12, 8:104:12, :1], samples.images[0])
    assert array[104:126, 8:104].min() < 100  # ink
    with refused("output.numbered_without_grid"):
        samples.save(tmp_path / "x.npz", numbered=True)


@pytest.mark.parametrize("word", ["abc", "-3", "3.5", "7:", ":3", "1:2:3", "", "x.npz", "٣"])
def test_what_names_no_image(refused, model, word):
    with refused("cli.unknown_image"):
        find_latents(model, f"3,{word},9")


def test_a_number_that_no_sample_has(refused, conditional):
    for number in (10**6, 10**30):
        with refused("cli.image_out_of_range"):
            find_latents(conditional, number)
    assert find_latents(conditional, "99999999999999999999:999999").names == ("99999999999999999999:999999",)


def test_a_latent_beside_a_picture_is_called_like_it(model, tmp_path):
    path = find_latents(model, 3).save(tmp_path / "sum.latent.safetensors")
    assert find_latents(model, path).names == ("sum",)


def test_no_name_at_all(refused, model):
    with refused("cli.no_image_named"):
        find_latents(model, [])


# --- files --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["model", "conditional"])
def test_latents_come_back_from_their_file(name, request, tmp_path):
    made = request.getfixturevalue(name)
    latents = find_latents(made, "3,20")
    path = latents.save(tmp_path / "new" / "two.safetensors")
    back = find_latents(made, [path, 5, latents.take([1])])
    assert back.names == ("two[0]", "two[1]", "5", "20")
    assert np.array_equal(draw(made, back), api.pick(made, "3,20,5,20").images)
    assert find_latents(made, latents.take([0]).save(tmp_path / "one.safetensors")).names == ("one",)


def test_another_ending_for_latents(refused, model, tmp_path):
    with refused("output.unknown_ending"):
        find_latents(model, 3).save(tmp_path / "x.npz")


@pytest.mark.parametrize(("code", "tensors"), [
    ("model.not_latents", {"weight": torch.zeros(1, 4)}),
    ("model.latents_unfit", {"latents": torch.zeros(1, 5)}),
    ("model.latents_unfit", {"latents": torch.zeros(4)}),
    ("model.latents_unfit", {"latents": torch.tensor(1.0)}),
    ("model.latents_not_finite", {"latents": torch.zeros(0, 4)}),
    ("model.latents_not_finite", {"latents": torch.full((1, 4), np.nan)}),
], ids=["other name", "too wide", "one row", "a number", "no rows", "nan"])  # fmt: skip
def test_files_that_hold_no_latents_of_the_model(refused, model, tmp_path, code, tensors):
    save_file(tensors, tmp_path / "x.safetensors")
    with refused(code):
        find_latents(model, tmp_path / "x.safetensors")


def test_files_that_cannot_be_read(refused, model, tmp_path):
    path = tmp_path / "x.safetensors"
    with refused("model.unreadable_latents"):
        find_latents(model, str(path))
    path.write_bytes(b"no tensors")
    with refused("model.unreadable_latents"):
        find_latents(model, path)


def test_latents_without_a_label_need_one(refused, conditional, tmp_path):
    path = tmp_path / "x.safetensors"
    save_file({"latents": torch.zeros(1, 4)}, path)
    with refused("model.label_needed"):
        find_latents(conditional, f"3,{path}")
    assert find_latents(conditional, f"3,{path}", label="gray").classes.tolist() == [[0, 1, 0]] * 2


def test_latents_with_a_label_for_a_model_without_labels(refused, model):
    with refused("model.no_labels"):
        api.pick(model, "3", label="dark")


# --- mixtures of labels -------------------------------------------------------------------------------------------


def test_whole_labels_are_told_as_numbers_and_mixtures_as_weights(conditional):
    assert label_input(conditional, np.eye(3)).tolist() == [0, 1, 2]
    mixture = np.array([[0.5, 0.5, 0.0]])
    assert label_input(conditional, mixture) is mixture
    latents = find_latents(conditional, [3, 3, 3])
    one, half, two = (
        draw(conditional, Latents(latents.values[:1], np.array([weights], np.float32), ("",)))[0].astype(int)
        for weights in ([1.0, 0, 0], [0.5, 0.5, 0], [0, 1.0, 0])
    )
    assert np.abs(half - one).mean() < np.abs(two - one).mean()
    assert np.abs(half - two).mean() < np.abs(two - one).mean()


def test_a_generator_that_cannot_mix_labels(refused, conditional, monkeypatch):
    monkeypatch.setattr(type(conditional.method.config.generator), "mixes_labels", False)
    assert label_input(conditional, np.eye(3)).tolist() == [0, 1, 2]
    with refused("model.class_changes"):
        api.interpolate(conditional, "3,9")
    assert len(api.interpolate(conditional, "3,9", label="gray").images) == 60
