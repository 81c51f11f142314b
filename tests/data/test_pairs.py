"""Pairs: side by side in one image, or in two folders; a source stays the source of its target."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gansmith import api
from gansmith.data.base import DataOptions
from gansmith.data.batches import BatchStream
from gansmith.data.open import open_data
from gansmith.imaging.tensors import to_uint8
from gansmith.recipes.load import load_recipe
from small_runs import small, train

PAIRS = DataOptions(pairs=True)


def picture(number: int, height: int, width: int, *, left: int = 0) -> np.ndarray:
    """Return an image whose first pixel tells the number, and whose colour tells the side."""
    image = np.full((height, width, 3), (left, 90, number), np.uint8)
    image[:, 0, 1] = 200
    return image


def save(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(exist_ok=True)
    Image.fromarray(pixels).save(path)


@pytest.fixture
def beside(tmp_path) -> Path:
    """Twelve images of 16 x 32: a red source and its target."""
    for number in range(12):
        both = np.concatenate([picture(number * 20, 16, 16, left=250), picture(number * 20, 16, 16)], axis=1)
        save(tmp_path / "beside" / f"{number:02d}.png", both)
    return tmp_path / "beside"


@pytest.fixture
def apart(tmp_path) -> str:
    """The same in two folders, the sources as JPEG and at half the size."""
    for number in range(12):
        save(tmp_path / "sources" / f"{number:02d}.bmp", picture(number * 20, 8, 8, left=250))
        save(tmp_path / "targets" / f"{number:02d}.png", picture(number * 20, 16, 16))
    return f"pairs:{tmp_path}/sources::{tmp_path}/targets"


def halves(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    middle = images.shape[2] // 2
    return images[:, :, :middle], images[:, :, middle:]


def test_a_pair_is_stored_side_by_side_and_size_means_one_image(prose, beside):
    data = open_data(beside, PAIRS)
    assert (data.spec.height, data.spec.width, data.spec.pairs) == (16, 32, True)
    prose("summary of pairs", data.summary.lines()[0])
    source, target = halves(data.read(range(12)))
    assert (source[:, 3, 3, 0] == 250).all()
    assert (target[:, 3, 3, 0] == 0).all()
    smaller = open_data(beside, DataOptions(pairs=True, size=8))
    assert (smaller.spec.height, smaller.spec.width) == (8, 16)
    single = open_data(beside)
    assert (single.spec.height, single.spec.width, single.spec.pairs) == (16, 32, False)


def test_each_half_is_cut_around_its_own_centre(tmp_path):
    for number in range(4):
        wide = np.zeros((16, 64, 3), np.uint8)
        wide[:, :32], wide[:, 32:] = (250, 0, number), (0, 250, number)
        save(tmp_path / "wide" / f"{number}.png", wide)
    data = open_data(tmp_path / "wide", DataOptions(pairs=True, size=16))
    source, target = halves(data.read(range(4)))
    assert (source[..., 0] == 250).all()
    assert (target[..., 1] == 250).all()


def test_two_folders_are_joined_by_name_at_the_size_of_the_targets(apart, beside):
    data = open_data(apart, PAIRS)
    assert data.spec.name == "sources-to-targets"
    source, target = halves(data.read(range(12)))
    assert (source[:, 8, 8] == [[250, 90, number * 20] for number in range(12)]).all()
    assert np.array_equal(target, halves(open_data(beside, PAIRS).read(range(12)))[1])


def test_mirroring_turns_each_image_of_a_pair_and_does_not_exchange_them(beside, runtime):
    data = open_data(beside, PAIRS)
    batch = to_uint8(BatchStream(data, 12, 0, runtime, mirror=True).read(0).images)
    source, target = halves(batch)
    assert (source[:, 3, 3, 0] == 250).all()
    assert (target[:, 3, 3, 0] == 0).all()
    turned = source[:, 0, -1, 1] == 200
    assert 0 < turned.sum() < 12
    assert np.array_equal(turned, target[:, 0, -1, 1] == 200), "a source turns with its target"
    assert ((source[:, 0, 0, 1] == 200) != turned).all()


def test_a_run_on_two_folders_resumes(apart, tmp_path, monkeypatch):
    monkeypatch.setattr("gansmith.api.write_results", lambda *_: None)
    words = small("translate", "pairs=true", "method.task=null")
    words = [word for word in words if not word.startswith("task=")]
    run = train(apart, tmp_path / "run", "translate", overrides=words, stop_at=9)
    assert not run.finished
    assert api.resume(run.folder).finished
    assert load_recipe(str(run.folder / "recipe.yaml")).data.size == 8
    with Image.open(run.folder / "samples" / "000000012-ema.png") as grid:
        assert np.asarray(grid)[5, 5, 0] > 200, "the first cell begins with a source"


@pytest.mark.parametrize(
    ("break_it", "code"),
    [
        (lambda at: (at / "sources/03.bmp").unlink(), "data.without_partner"),
        (lambda at: (at / "targets/03.png").unlink(), "data.without_partner"),
        (lambda at: save(at / "targets/03.jpg", picture(1, 16, 16)),
         "data.ambiguous_partner"),
        (lambda at: [save(at / f"targets/0{n}.png", picture(1, 16, 24)) for n in range(3)],
         "data.too_many_bad"),
    ],
)  # fmt: skip
def test_pairs_that_do_not_match_are_named(refused, break_it, code, apart, tmp_path):
    break_it(tmp_path)
    with refused(code, ["(?<=the full list is in ).*"]):
        open_data(apart, PAIRS)


def test_addresses_of_pairs_that_cannot_be(refused, apart, tmp_path):
    with refused("data.pairs_address"):
        open_data("pairs:x", PAIRS)
    with refused("data.not_a_folder"):
        open_data(f"pairs:{tmp_path}/nothing::{tmp_path}/targets", PAIRS)
    with refused("data.pairs_as_single_images"):
        open_data(apart)


def test_a_task_and_pairs_exclude_each_other_and_one_is_needed(refused, beside):
    paired, task = load_recipe("translate", ("method.task=null",)), load_recipe("translate")
    with refused("recipe.no_task"):
        paired.method.build(open_data(beside).spec)
    with refused("recipe.task_with_pairs"):
        task.method.build(open_data(beside, PAIRS).spec)
