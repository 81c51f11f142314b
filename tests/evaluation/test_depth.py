"""Metrics of images of more than 8 bits: they know depth and bands, or refuse by name."""

import numpy as np
import pytest

from gansmith import api
from gansmith.evaluation.evaluate import EvaluationOptions
from gansmith.imaging.deep_files import encode_png16
from gansmith.parts.extractors.base import DataInfo, extractors
from small_runs import train

FAST = EvaluationOptions(num=100, features="untrained", metrics=("frechet", "sliced_wasserstein"))


def blobs(count: int, top: float) -> np.ndarray:
    y, x = np.mgrid[:16, :16]
    places = np.random.default_rng([count, int(top)]).uniform(4, 12, (2, count, 1, 1))
    return top * np.exp(-((y - places[0]) ** 2 + (x - places[1]) ** 2) / 18)[..., None]


@pytest.mark.slow
def test_a_12_bit_set_is_trained_sampled_evaluated_and_reported(tmp_path, cache_folder, refused):
    folder = tmp_path / "counts"
    folder.mkdir()
    for number, values in enumerate(blobs(300, 4000).round().astype(np.uint16)):
        (folder / f"{number:03d}.png").write_bytes(encode_png16(values))
    run = train(folder, tmp_path / "run", "mlp-small", "size=16", holdout=0.4)
    found, _ = api.evaluate(run.folder, options=FAST, out=tmp_path / "evaluation")
    assert found.protocol.values.startswith("uint16, 0 to ")
    assert "fd100_untrained" in found.numbers
    samples = run.model().sample(3)
    assert samples.in_units().dtype == np.uint16
    assert 0 <= samples.in_units().min() < samples.in_units().max() <= 4000
    np.save(tmp_path / "levels.npy", blobs(120, 255).astype(np.uint8))
    with refused("metric.depth_differs"):
        api.evaluate(run.folder, tmp_path / "levels.npy", options=FAST)
    with refused("metric.extractor_needs_pictures"):
        api.evaluate(run.folder, options=FAST.model_copy(update={"features": "inception"}))


@pytest.mark.slow
def test_two_sets_are_compared_in_one_range(tmp_path, cache_folder, refused):
    np.save(tmp_path / "a.npy", (blobs(120, 60) - 60).astype(np.float32))
    np.save(tmp_path / "b.npy", (blobs(120, 80) - 80).astype(np.float32))
    found, _ = api.evaluate(
        tmp_path / "a.npy", tmp_path / "b.npy", options=EvaluationOptions(metrics=("sliced_wasserstein",))
    )
    assert found.protocol.values.startswith("float32, -")
    assert found.protocol.fit.startswith("16 x 16 px gray, floats")
    assert not any("were fitted" in word for word in found.words)
    np.save(tmp_path / "c.npy", blobs(120, 255).astype(np.uint8))
    with refused("metric.depth_differs"):
        api.evaluate(tmp_path / "a.npy", tmp_path / "c.npy", options=EvaluationOptions(metrics=("sliced_wasserstein",)))


def test_extractors_of_pictures_say_what_they_know(tmp_path, refused):
    from gansmith.imaging.values import PixelValues

    values = PixelValues("16", (0.0,), (9000.0,), "uint16", ("red", "nir"))
    info = DataInfo(16, 16, 2, (), "0", lambda: (np.zeros((1, 16, 16, 2), np.uint16), None), tmp_path, values)
    for name in ("inception", "fashion"):
        with refused("metric.extractor_needs_pictures" if name == "inception" else "metric.images_unfit_for_extractor"):
            extractors.parse(name).open(info, None, lambda *_: None)
    features, _ = extractors.parse("untrained").open(info, None, lambda *_: None)(np.zeros((2, 16, 16, 2), np.uint16))
    assert features.isfinite().all()
