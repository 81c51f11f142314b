"""Points in the plane: data sets, pictures, what is refused, and that a GAN learns them."""

import runpy
from pathlib import Path

import numpy as np
import pytest

import gansmith
from gansmith import api
from gansmith.data.base import DataOptions
from gansmith.data.datasets.base import data_sets
from gansmith.data.datasets.points import DEVIATION
from gansmith.data.open import open_data
from gansmith.imaging.images import decode_image
from gansmith.imaging.scatter import FAKE, GRID_SIDE, REAL, SIDE_PX, draw_points, plane
from gansmith.imaging.tensors import to_float
from gansmith.inference.samples import Samples
from gansmith.inference.score import score_files
from small_models import make_model
from small_runs import train

SETS = ("gaussians-25", "ring-8", "swiss-roll")


def coordinates(images: np.ndarray) -> np.ndarray:
    return to_float(images).flatten(1).numpy()


@pytest.mark.slow
@pytest.mark.parametrize(("name", "modes"), [("gaussians-25", 25), ("ring-8", 8)])
def test_modes_lie_around_their_centres(name, modes):
    data, centres = open_data(name), data_sets.get(name)().centres()
    assert (data.spec.is_points, len(data), len(data.spec.classes)) == (True, 10_000, modes)
    assert np.bincount(data.labels).tolist() == [10_000 // modes] * modes
    points = coordinates(data.read(range(len(data))))
    means = np.stack([points[data.labels == mode].mean(0) for mode in range(modes)])
    assert np.abs(means - centres).max() < 0.005
    deviation = np.sqrt(np.mean((points - centres[data.labels]) ** 2))
    assert deviation == pytest.approx(np.sqrt(0.03**2 + (2 / 255) ** 2 / 12), rel=0.02)  # that of 256 steps too
    assert data.spec.classes[0] == ("(-0.8, -0.8)" if modes == 25 else "(0.8, 0)")


@pytest.mark.slow
def test_the_swiss_roll_is_a_spiral():
    data = open_data("swiss-roll")
    assert data.labels is None
    points = coordinates(data.read(range(len(data))))
    radius, angle = np.hypot(*points.T), np.arctan2(points[:, 1], points[:, 0])
    turn = radius / 0.85 * 4.5 * np.pi  # the radius grows with the angle; a deviation of .03 is .5 of a radian
    assert np.abs(np.angle(np.exp(1j * (turn - angle)))).mean() == pytest.approx(0.5 * np.sqrt(2 / np.pi), abs=0.02)
    assert (radius.min(), radius.max()) == pytest.approx((0.28, 0.85), abs=0.12)


def test_points_follow_seed_and_count():
    part = data_sets.get("ring-8")
    one, again, other = (part(count=16, seed=seed).source().stamp() for seed in (1, 1, 2))
    assert one == again != other
    draws = [part(count=16, seed=seed).draw(np.random.default_rng(seed))[0] for seed in (1, 1, 2)]
    assert (draws[0] == draws[1]).all()
    assert (draws[0] != draws[2]).all()


@pytest.mark.slow
def test_the_summary_of_points(prose):
    prose("summary of points", "\n".join(open_data("swiss-roll").summary.lines()))
    assert len(open_data("gaussians-25").summary.notes) == 2  # copies are not noted: points coincide by chance


def test_a_users_own_points(tmp_path):
    np.save(tmp_path / "mine.npy", np.linspace(-1, 1, 80).reshape(40, 1, 2))
    data = open_data(tmp_path / "mine.npy")
    assert data.spec.is_points
    assert np.abs(coordinates(data.read(range(40))) - np.linspace(-1, 1, 80).reshape(40, 2)).max() <= 1 / 255 + 1e-6


@pytest.mark.slow
@pytest.mark.parametrize(
    "asked",
    [{"size": 28}, {"channels": 3}, {"mirror": True}, {"pairs": True}],
    ids=["size", "channels", "mirror", "pairs"],
)
def test_options_for_images_are_refused_for_points(refused, asked):
    with refused("data.options_for_points"):
        open_data("ring-8", DataOptions(**asked))


@pytest.mark.slow
@pytest.mark.parametrize("recipe", ["dcgan", "translate", "srresnet", "r3gan-tiny"])
def test_networks_for_images_are_refused(refused, recipe, tmp_path):
    with refused("recipe.network_of_points"):
        api.train("ring-8", recipe=recipe, out=tmp_path / "run", device="cpu", steps=1)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["diffaugment", "ada", "mirror"])
def test_augmentations_of_images_are_refused(refused, kind, tmp_path):
    with refused("recipe.augmentation_of_points"):
        api.train("ring-8", recipe="toy", overrides=[f"augment={kind}"], out=tmp_path / "run", device="cpu", steps=1)


@pytest.mark.slow
def test_images_for_the_recipe_of_points_are_refused(refused, tmp_path):
    with refused("data.size_of_points"):
        api.train("fashion-sample", recipe="toy", out=tmp_path / "run", device="cpu", steps=1)


def test_dots_lie_where_points_are():
    corner, middle = np.array([[[[255], [255]]]], np.uint8), np.array([[[[128], [128]]]], np.uint8)
    picture = draw_points(corner, middle)
    assert picture.shape == (SIDE_PX, SIDE_PX, 3)
    reds, grays = ((picture == colour).all(2) for colour in (FAKE, REAL))
    rows, columns = np.nonzero(reds)
    assert (rows.mean(), columns.mean()) == pytest.approx((11, 468), abs=1.5)  # 1 of 1.05 to the right and upwards
    rows, columns = np.nonzero(grays)
    assert (rows.mean(), columns.mean()) == pytest.approx((240, 240), abs=1.5)
    assert (picture[100, 100] == 255).all()


def test_bands_follow_the_scores():
    height = coordinates(plane())[:, 1]  # D likes what is high up
    assert plane()[0].ravel().tolist() == [0, 255]
    picture = draw_points(np.empty((0, 1, 2, 1), np.uint8), None, height)
    column = picture[:, SIDE_PX // 2]
    assert (column[20] == (206, 226, 245)).all()
    assert (column[-20] == (255, 246, 224)).all()
    assert len(np.unique(column[15:-15], axis=0)) >= 9
    assert len(height) == GRID_SIDE**2


def test_samples_are_a_picture_or_coordinates(refused, tmp_path):
    images = np.array([[0, 255], [51, 204]], np.uint8).reshape(-1, 1, 2, 1)
    made = Samples(images, None, ())
    assert made.grid().array.shape == (SIDE_PX, SIDE_PX, 3)
    with np.load(made.save(tmp_path / "x.npz")) as arrays:
        assert arrays["points"] == pytest.approx(np.array([[-1, 1], [-0.6, 0.6]]))
    assert open_data(tmp_path / "x.npz").spec.is_points  # and can be trained on
    for place in ("x.zip", "folder"):
        with refused("output.points_form"):
            made.save(tmp_path / place)
    with refused("output.points_form"):
        made.save(tmp_path / "x.png", numbered=True)


def test_verbs_for_images_refuse_points(refused, tmp_path):
    from gansmith.data.base import DataSpec
    from gansmith.inference.model import Model
    from gansmith.inference.model_record import make_record
    from gansmith.recipes.load import load_recipe

    method, spec = load_recipe("toy", ("hidden=[4]",)).method, DataSpec("ring-8", 1, 2, 1, 96, (), "0123")
    networks = method.build(spec).networks
    tensors = {name: dict(network.state_dict()) for name, network in networks.items()}
    model = Model(make_record("toy", method, spec, 0, 1.0), tensors, "cpu")
    calls = {
        "interpolate": lambda: api.interpolate(model, [1, 2]),
        "do arithmetic": lambda: api.arithmetic(model, [1]),
        "find directions": lambda: api.directions(model),
        "invert": lambda: api.invert(model, tmp_path / "x.png"),
        "score": lambda: list(score_files(model, [tmp_path])),
        "augment": lambda: api.check_augment(model, 1, (), tmp_path / "made"),
    }
    for call in calls.values():
        with refused("model.points"):
            call()
    assert not make_model("hidden=[4]").record.data.is_points


@pytest.mark.slow
def test_a_run_ends_with_pictures_a_film_and_a_report(tmp_path, real_results):
    run = train("ring-8", tmp_path / "run", "toy", overrides=("hidden=[8]", "fixed_images=20", "previews=2"), steps=4)
    picture = np.asarray(decode_image((run.folder / "samples" / "000000004-ema.png").read_bytes()))
    assert picture.shape == (SIDE_PX, SIDE_PX, 3)
    assert (picture == REAL).all(2).any()
    assert (picture == FAKE).all(2).any()
    assert len(np.unique(picture[:, 12:-12].reshape(-1, 3), axis=0)) > 9  # levels of D
    assert (run.folder / "film.gif").is_file()
    assert "10,000 points in the plane" in (run.folder / "report.html").read_text()
    assert "makes points in the plane like those of" in (run.folder / "model" / "README.md").read_text()


@pytest.mark.slow
def test_it_learns_where_points_are(tmp_path, monkeypatch):
    """In 60 kimg samples come within 3 deviations of nearly every mode, and spread as the data do."""
    monkeypatch.setattr(api, "write_results", lambda *_: None)
    centres = data_sets.get("gaussians-25")().centres()
    quiet = ("previews=1", "log_rows=1", "checkpoints=1", "checkpoint_kimg=1.0e+5", "monitor.snapshot_kimg=0")

    def learnt(kimg: float) -> tuple[int, np.ndarray]:
        run = api.train("gaussians-25", recipe="toy", overrides=quiet, out=tmp_path / f"{kimg}", kimg=kimg,
                        device="cpu", precision="fp32")  # fmt: skip
        points = coordinates(run.model("cpu").sample(2000).images)
        distances = np.linalg.norm(points[:, None] - centres, axis=2)
        good = distances.min(1) <= 3 * DEVIATION
        return len(np.unique(distances.argmin(1)[good])), points.std(0)

    modes, spread = learnt(60)
    assert modes >= 20
    assert np.abs(spread - centres.std(0)).max() < 0.12
    assert learnt(0.2)[0] < 10


def test_the_benchmark_counts_modes_and_good_points():
    count = runpy.run_path(str(Path(gansmith.__file__).parents[2] / "benchmarks" / "toys.py"))["modes_and_share"]
    centres = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
    assert count(centres.repeat(5, axis=0), centres, 0.1) == (4, 1.0)
    assert count(np.repeat(centres[:1], 16, axis=0), centres, 0.1) == (1, 1.0)
    points = np.concatenate([np.repeat(centres[:1], 14, axis=0), [[1.29, 0.0]], [[0.0, 1.31]]])  # 16: 1 makes a mode
    assert count(points, centres, 0.1) == (2, 15 / 16)
    assert count(points, centres, 0.11) == (3, 1.0)
