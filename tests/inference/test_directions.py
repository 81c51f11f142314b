import numpy as np
import pytest
import torch
from PIL import Image

from gansmith import api
from gansmith.inference.latents import find_latents
from gansmith.inference.model import Model
from small_models import make_model


@pytest.fixture(scope="module")
def mlp() -> Model:
    return make_model("hidden=[32]", "latent_dim=12")


@pytest.fixture(scope="module")
def dcgan() -> Model:
    return make_model("base_channels=4", "latent_dim=12", recipe="dcgan")


@pytest.fixture(scope="module")
def conditional() -> Model:
    return make_model("hidden=[32]", "conditional=true", classes=("dark", "gray", "light"))


@pytest.fixture(scope="module")
def conditional_r3gan() -> Model:
    return make_model("latent_dim=12", "conditional=true", classes=("dark", "gray", "light"), recipe="r3gan-tiny")


@pytest.mark.parametrize("name", ["mlp", "dcgan", "conditional_r3gan"])
def test_directions_are_eigenvectors_of_the_first_weight_in_order(name, request):
    made = request.getfixturevalue(name)
    found = api.directions(made, 12)
    generator = made.networks["generator"]
    weight = (generator.layers[0] if name == "mlp" else generator.project).weight[:, :12].detach()
    assert torch.allclose(found.vectors @ found.vectors.T, torch.eye(12), atol=1e-5)
    assert torch.allclose(weight.T @ weight @ found.vectors.T, found.vectors.T * found.strengths**2, atol=1e-3)
    assert (found.strengths.diff() < 0).all()
    assert (found.vectors.gather(1, found.vectors.abs().argmax(1, keepdim=True)) > 0).all()


@pytest.mark.parametrize("name", ["mlp", "dcgan"])
def test_the_first_directions_change_images_more_than_the_last(name, request):
    made = request.getfixturevalue(name)
    images = api.directions(made, 12, reach=1).images.astype(int)
    change = np.abs(images - images[:, 3:4]).mean((1, 2, 3, 4))
    assert change[:4].mean() > 1.2 * change[-4:].mean()


def test_the_middle_is_the_image_itself_and_the_rest_is_drawn_like_it(mlp):
    found = api.directions(mlp, 3, seeds="7:5", reach=0.7)
    base = mlp.sample(6, seed=7).images[5]
    assert found.images.shape == (3, 7, 8, 8, 1)
    assert found.shifts == pytest.approx([-0.7, -1.4 / 3, -0.7 / 3, 0, 0.7 / 3, 1.4 / 3, 0.7])
    assert found.shifts[3] == 0
    assert all(np.array_equal(row[3], base) for row in found.images)
    latents = torch.stack([shift * found.vectors[2] for shift in found.shifts])
    assert np.array_equal(found.images[2], mlp.draw(latents + torch.from_numpy(find_latents(mlp, "7:5").values)))


def test_columns_of_labels_are_left_out(conditional):
    found = api.directions(conditional, 4, label="light")
    assert found.vectors.shape == (4, 4)
    assert np.array_equal(found.images[0, 3], conditional.sample(1, label="light").images[0])


def test_the_same_directions_twice_and_those_of_raw_weights_are_others(mlp):
    first, second = api.directions(mlp), api.directions(mlp)
    assert torch.equal(first.vectors, second.vectors)
    assert np.array_equal(first.images, second.images)
    assert not torch.allclose(api.directions(mlp, raw=True).vectors, first.vectors)


def test_the_sheet_has_a_row_for_each(mlp, tmp_path):
    found = api.directions(mlp, 2)
    with Image.open(found.sheet().save(tmp_path / "x.png")) as picture:
        array = np.asarray(picture)
    assert array.shape == (2 * 118 + 3 * 8, 7 * 96 + 8 * 8, 3)
    assert np.array_equal(array[8 + 126 : 8 + 126 + 96 : 12, 8:104:12, :1], found.images[1, 0])


@pytest.mark.parametrize(("arguments", "code"), [
    ({"num": 0}, "cli.num_out_of_range"),
    ({"num": 13}, "cli.num_out_of_range"),
    ({"reach": 0}, "cli.reach_out_of_range"),
    ({"reach": float("nan")}, "cli.reach_out_of_range"),
    ({"seeds": "3,9"}, "cli.several_images"),
])  # fmt: skip
def test_numbers_and_distances_out_of_range(refused, mlp, arguments, code):
    with refused(code):
        api.directions(mlp, **arguments)


def test_a_generator_without_a_first_linear_layer(refused, mlp, monkeypatch):
    monkeypatch.setitem(mlp._networks, "generator", torch.nn.Sequential(torch.nn.Conv2d(1, 1, 1)))
    with refused("model.no_linear_start"):
        api.directions(mlp)
