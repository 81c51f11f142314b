"""Sets with very few images: three, a class of one image, a hundred classes of two."""

import numpy as np
import pytest
from PIL import Image

from gansmith import api
from gansmith.data.base import DataOptions
from gansmith.data.open import open_data
from small_runs import small


def write(folder, counts: dict[str, int]) -> str:
    random = np.random.default_rng(0)
    for name, count in counts.items():
        (folder / name).mkdir(parents=True, exist_ok=True)
        for number in range(count):
            Image.fromarray(random.integers(0, 256, (8, 8), np.uint8)).save(folder / name / f"{number}.png")
    return str(folder)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("counts", "conditional"),
    [({".": 3}, False), ({"a": 20, "b": 1}, True), ({f"c{number}": 2 for number in range(100)}, True)],
    ids=["three", "one in a class", "a hundred classes of two"],
)
def test_few_images_train(tmp_path, counts, conditional):
    source = write(tmp_path / "data", counts)
    recipe = "conditional" if conditional else "mlp-small"
    overrides = small(recipe, "channels=1")
    run = api.train(source, recipe=recipe, overrides=overrides, steps=2, device="cpu", out=tmp_path / "run")
    made = api.load(run.folder).sample(8)
    assert made.images.shape == (8, 8, 8, 1)
    assert len(made.classes) == (len(counts) if conditional else 0)


def test_one_image_is_refused(tmp_path, refused):
    with refused("data.one_image"):
        api.train(write(tmp_path, {"a": 1}), recipe="mlp-small", overrides=small("mlp-small", "channels=1"), steps=1)


def test_a_class_of_one_image_is_not_held_out(tmp_path):
    data = open_data(write(tmp_path, {"a": 20, "b": 1}), DataOptions(), holdout=0.2)
    assert data.summary.class_counts == (16, 1)
    assert data.held_out is not None
    assert data.held_out.summary.class_counts == (4, 0)
