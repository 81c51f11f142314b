"""Samples with the histogram of a data set."""

import numpy as np
import pytest

from gansmith.data.open import open_data
from gansmith.imaging.values import PixelValues
from gansmith.inference.match_values import value_map
from gansmith.inference.samples import DrawnSamples

pytestmark = pytest.mark.slow


def of(pixels: np.ndarray) -> DrawnSamples:
    return DrawnSamples(lambda first, number: pixels[first : first + number], len(pixels), pixels.shape[1:], None, ())


@pytest.mark.parametrize("depth", ["float", "16", "8"])
def test_samples_get_the_histogram_of_each_channel_and_stay_in_order(tmp_path, cache_folder, depth):
    draw = np.random.default_rng(0)
    real = draw.gamma(2, 40, (200, 8, 8, 2))
    np.save(tmp_path / "x.npy", real.astype(np.float32) if depth == "float" else real.clip(0, 255).astype("u1"))
    if depth == "16":
        np.save(tmp_path / "x.npy", (real * 9).astype(np.uint16))
    spec = open_data(tmp_path / "x.npy").spec
    meaning = PixelValues(depth, *(spec.values.low, spec.values.high, spec.values.kind))
    made = meaning.stored(draw.normal(np.mean(spec.values.high) / 3, np.mean(spec.values.high) / 9, real.shape))
    change = value_map(of(made), tmp_path / "x.npy", spec)
    mapped = change(made[100:])
    assert mapped.dtype == made.dtype
    data = open_data(tmp_path / "x.npy")
    for channel in range(2):
        expected, found = (np.quantile(each[..., channel], [0.1, 0.5, 0.9]) for each in (data.read(range(200)), mapped))
        width = np.ptp(expected)
        assert np.abs(expected - found).max() < 0.08 * width
        assert np.abs(expected - np.quantile(made[..., channel], [0.1, 0.5, 0.9])).max() > 0.2 * width
        order = np.argsort(made[100:, ..., channel].ravel())
        assert (np.diff(mapped[..., channel].ravel()[order].astype(float)) >= 0).all()


def test_the_verb_maps_files_and_grids(tmp_path, cache_folder, shell, model, refused):
    np.save(tmp_path / "dark.npy", np.random.default_rng(0).integers(0, 40, (50, 8, 8), np.uint8))
    folder = model.save(tmp_path / "model")
    for out in ("x.npy", "grid.png"):
        code, _, err = shell(
            "sample", folder, "-n", "4", "--match-values", tmp_path / "dark.npy", "--out", tmp_path / out
        )
        assert (code, err) == (0, "")
    assert np.load(tmp_path / "x.npy").max() <= 40
    with refused("data.not_found"):
        value_map(of(np.zeros((2, 8, 8, 1), np.uint8)), tmp_path / "none.npy", model.data)
