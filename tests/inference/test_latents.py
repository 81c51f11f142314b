"""How images are named, and that what is drawn there is what a user saw in a sample."""

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from gansmith import api
from gansmith.core.errors import GansmithError, ModelError
from gansmith.inference.latents import Latents, draw, find_latents, told


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


def test_a_numbered_grid_has_room_for_names(model, tmp_path):
    samples = model.sample(9)
    with Image.open(samples.save(tmp_path / "x.png", numbered=True)) as picture:
        array = np.asarray(picture)
    assert array.shape == (2 * (96 + 22) + 3 * 8, 8 * 96 + 9 * 8, 3)
    assert np.array_equal(array[8:104:12, 8:104:12, :1], samples.images[0])
    assert array[104:126, 8:104].min() < 100  # ink
    with pytest.raises(GansmithError) as caught:
        samples.save(tmp_path / "x.npz", numbered=True)
    assert (
        str(caught.value) == f"numbers are written into a grid only, not into '{tmp_path}/x.npz'\n  allowed: grid.png"
    )


@pytest.mark.parametrize("word", ["abc", "-3", "3.5", "7:", ":3", "1:2:3", "", "x.npz", "٣"])
def test_what_names_no_image(model, word):
    with pytest.raises(GansmithError) as caught:
        find_latents(model, f"3,{word},9")
    assert str(caught.value) == (
        f"'{word}' names no image"
        "\n  allowed: 3 (image 3 of 'gansmith sample', counted from 0), 7:3 (that of --seed 7), or a latents file"
        "\n  several: 3,7:3,latent.safetensors; 'gansmith sample --numbered' writes the numbers below the images"
    )


def test_a_number_that_no_sample_has(conditional):
    for number in (10**6, 10**30):
        with pytest.raises(GansmithError) as caught:
            find_latents(conditional, number)
        assert str(caught.value) == f"a sample has no image {number:,}\n  allowed: 0 to 999,999"
    assert find_latents(conditional, "99999999999999999999:999999").names == ("99999999999999999999:999999",)


def test_a_latent_beside_a_picture_is_called_like_it(model, tmp_path):
    path = find_latents(model, 3).save(tmp_path / "sum.latent.safetensors")
    assert find_latents(model, path).names == ("sum",)


def test_no_name_at_all(model):
    with pytest.raises(GansmithError) as caught:
        find_latents(model, [])
    assert str(caught.value) == ("no image is named\n  for example 3,9,27: images of 'gansmith sample', counted from 0")


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


def test_another_ending_for_latents(model, tmp_path):
    with pytest.raises(GansmithError) as caught:
        find_latents(model, 3).save(tmp_path / "x.npz")
    assert str(caught.value) == "cannot write latents as '.npz'\n  allowed: x.safetensors"


NUMBERS = {
    "holds no latents\n  'gansmith invert' and 'gansmith arithmetic' write such files": {"weight": torch.zeros(1, 4)},
    "is not of this model: its numbers are (1, 5), expected (1, 4)": {"latents": torch.zeros(1, 5)},
    "is not of this model: its numbers are (4,), expected (4, 4)": {"latents": torch.zeros(4)},
    "is not of this model: its numbers are (), expected (0, 4)": {"latents": torch.tensor(1.0)},
    "holds no latents that can be drawn: none, or numbers that are not finite": {"latents": torch.zeros(0, 4)},
    "holds no latents that can be drawn: none, or numbers that are not finite ": {
        "latents": torch.full((1, 4), np.nan)
    },
}


@pytest.mark.parametrize(("message", "tensors"), NUMBERS.items(), ids=lambda value: str(value)[:30])
def test_files_that_hold_no_latents_of_the_model(model, tmp_path, message, tensors):
    save_file(tensors, tmp_path / "x.safetensors")
    with pytest.raises(ModelError) as caught:
        find_latents(model, tmp_path / "x.safetensors")
    assert str(caught.value) == f"'{tmp_path}/x.safetensors' {message.strip()}"


def test_files_that_cannot_be_read(model, tmp_path):
    path = tmp_path / "x.safetensors"
    with pytest.raises(ModelError) as caught:
        find_latents(model, str(path))
    assert str(caught.value) == f"latents '{path}' cannot be read: it does not exist"
    path.write_bytes(b"no tensors")
    with pytest.raises(ModelError, match=r"^latents '.*x.safetensors' cannot be read: .*header"):
        find_latents(model, path)


def test_latents_without_a_label_need_one(conditional, tmp_path):
    path = tmp_path / "x.safetensors"
    save_file({"latents": torch.zeros(1, 4)}, path)
    with pytest.raises(ModelError) as caught:
        find_latents(conditional, f"3,{path}")
    assert str(caught.value) == (
        "x has no label, and this model draws by class: pass --label\n  known: dark, gray, light"
    )
    assert find_latents(conditional, f"3,{path}", label="gray").classes.tolist() == [[0, 1, 0]] * 2


def test_labels_on_a_model_without_them(model):
    with pytest.raises(ModelError) as caught:
        api.pick(model, "3", label="dark")
    assert str(caught.value) == "this model knows no labels: it was not trained with conditional=true"


# --- mixtures of labels -------------------------------------------------------------------------------------------


def test_whole_labels_are_told_as_numbers_and_mixtures_as_weights(conditional):
    assert told(conditional, torch.eye(3)).tolist() == [0, 1, 2]
    mixture = torch.tensor([[0.5, 0.5, 0.0]])
    assert told(conditional, mixture) is mixture
    latents = find_latents(conditional, [3, 3, 3])
    one, half, two = (
        draw(conditional, Latents(latents.values[:1], torch.tensor([weights]), ("",)))[0].astype(int)
        for weights in ([1.0, 0, 0], [0.5, 0.5, 0], [0, 1.0, 0])
    )
    assert np.abs(half - one).mean() < np.abs(two - one).mean()
    assert np.abs(half - two).mean() < np.abs(two - one).mean()


def test_a_generator_that_cannot_mix_labels(conditional, monkeypatch):
    monkeypatch.setattr(type(conditional.method.config.generator), "mixes_labels", False)
    assert told(conditional, torch.eye(3)).tolist() == [0, 1, 2]
    with pytest.raises(ModelError) as caught:
        api.interpolate(conditional, "3,9")
    assert str(caught.value) == (
        "generator 'mlp' draws one class at a time, and between these images the class changes"
        "\n  pass --label NAME for one class throughout"
    )
    assert len(api.interpolate(conditional, "3,9", label="gray").images) == 60
