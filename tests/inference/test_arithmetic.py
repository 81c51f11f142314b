import numpy as np
import pytest
from PIL import Image

from gansmith import api
from gansmith.inference.latents import Latents, find_latents
from gansmith.inference.model import Model
from small_models import make_model


@pytest.fixture(scope="module")
def model() -> Model:
    return make_model("hidden=[8]", "latent_dim=20")


def direction(latents: Latents) -> np.ndarray:
    return latents.values[0] / np.linalg.norm(latents.values[0])


def test_a_sum_of_means_has_the_norm_of_latents(model):
    made = api.arithmetic(model, ["3,5,8", "7,9"], ["1,2,4"])
    means = [find_latents(model, seeds).values.mean(0) for seeds in ("3,5,8", "1,2,4", "7,9")]
    wanted = means[0] - means[1] + means[2]
    assert np.allclose(direction(made.latents), wanted / np.linalg.norm(wanted), atol=1e-6)
    every = find_latents(model, "3,5,8,1,2,4,7,9").values
    assert np.linalg.norm(made.latents.values) == pytest.approx(np.linalg.norm(every, axis=1).mean(), rel=1e-5)
    assert [(term.sign, term.latents.names) for term in made.terms] == [
        (1, ("3", "5", "8")), (-1, ("1", "2", "4")), (1, ("7", "9")),
    ]  # fmt: skip


def test_one_image_is_itself_and_its_neighbours_are_near(model):
    made = api.arithmetic(model, "3")
    alone = api.pick(model, "3").images[0]
    assert np.array_equal(made.images[4], alone)
    assert made.images.shape == (9, 8, 8, 1)
    assert len({image.tobytes() for image in made.images}) == 9
    others = np.abs(model.sample(64).images.astype(int) - alone).mean()
    assert np.abs(made.images.astype(int) - alone).mean() < 0.7 * others


def test_what_is_added_and_taken_away_again_is_gone(model):
    made = api.arithmetic(model, ["3", "9"], ["9"])
    assert np.allclose(direction(made.latents), direction(find_latents(model, "3")), atol=1e-5)


def test_sources_are_the_bytes_of_the_sample_and_a_mean_is_of_their_norm(model):
    term = api.arithmetic(model, "3,5,8").terms[0]
    assert np.array_equal(term.images[:3], model.sample(9).images[[3, 5, 8]])
    norms = np.linalg.norm(term.latents.values, axis=1)
    values = term.mean.values * (norms.mean() / np.linalg.norm(term.mean.values))
    assert np.array_equal(term.images[3:], model.draw(values))


def test_labels_are_added_up(conditional):
    assert api.arithmetic(conditional, ["3", "17"], ["4"]).latents.classes.tolist() == [[0, 0, 1]]  # dark, light - dark
    mixed = api.arithmetic(conditional, ["3,17", "9"], ["10"]).latents.classes
    assert np.allclose(mixed, [[0.5, 0, 0.5]])
    less = api.arithmetic(conditional, ["3", "17"], ["9"]).latents.classes  # dark - gray + light: none is below 0
    assert np.allclose(less, [[0.5, 0, 0.5]])
    assert api.arithmetic(conditional, ["3,17"], label="gray").latents.classes.tolist() == [[0, 1, 0]]


def test_labels_that_cancel_out(refused, conditional):
    with refused("model.labels_sum_to_nothing"):
        api.arithmetic(conditional, "3", "4")
    assert api.arithmetic(conditional, "3", "4", label=0).latents.classes.tolist() == [[1, 0, 0]]


@pytest.mark.parametrize(("plus", "minus", "code"), [
    ([], ["3"], "cli.nothing_to_add"),
    (["3"], ["3"], "cli.sum_of_nothing"),
    (["3,5"], ["5,3"], "cli.sum_of_nothing"),
])  # fmt: skip
def test_sums_of_nothing(refused, model, plus, minus, code):
    with refused(code):
        api.arithmetic(model, plus, minus)


def test_the_figure_and_the_latent_beside_it(model, tmp_path):
    made = api.arithmetic(model, ["3,5", "0,1,2,4,6,7,8"], ["9"])
    picture, latent = made.save(tmp_path / "new" / "sum.png")
    assert latent == tmp_path / "new" / "sum.latent.safetensors"
    with Image.open(picture) as opened:
        array = np.asarray(opened)
    tile, below, gap, sign = 96, 22, 8, 36
    # Five of the seven images of the longest term are shown, and its mean; three columns, three signs, the square.
    assert array.shape[0] == 6 * (tile + below) + 5 * gap + 2 * gap
    assert array.shape[1] == 3 * tile + 3 * sign + (3 * tile + 2 * gap) + 6 * gap + 2 * gap
    middle_top = array.shape[0] - gap - below - 2 * tile - gap
    middle_left = array.shape[1] - gap - 2 * tile - gap
    shown = array[middle_top : middle_top + tile : 12, middle_left : middle_left + tile : 12, :1]
    assert np.array_equal(shown, made.images[4])
    assert np.array_equal(api.pick(model, latent).images[0], made.images[4])
    assert len(api.interpolate(model, [latent, 3], frames=4).images) == 4


def test_a_figure_beside_weights_of_its_name_does_not_replace_them(model, tmp_path):
    weights = (model.save(tmp_path) / "generator.safetensors").read_bytes()
    api.arithmetic(model, "3").save(tmp_path / "generator.png")
    assert (tmp_path / "generator.safetensors").read_bytes() == weights


def test_an_ending_that_arithmetic_cannot_write(refused, model, tmp_path):
    with refused("output.unknown_ending"):
        api.arithmetic(model, "3").save(tmp_path / "x.gif")
    assert not list(tmp_path.iterdir())
