"""Judging whole models: what is compared with what, what numbers are called, what is refused."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from gansmith import api
from gansmith.data.base import open_data
from gansmith.errors import MetricError
from gansmith.evaluation import Evaluation, Request
from gansmith.extractors.base import Domain, Extractor, ExtractorPart, extractors
from gansmith.reference import default_extractor
from small_runs import small

FAST = Request(num=120, features="toy", metrics=("frechet", "diversity", "sliced_wasserstein", "memorisation"))


@pytest.fixture(scope="module", autouse=True)
def toy():
    """Register an extractor that costs nothing: fixed random projections of the pixels."""

    @extractors.register("toy")
    class Toy(ExtractorPart):
        """Random projections."""

        def open(self, domain: Domain, weights: Path | None, on_progress) -> Extractor:
            pixels = domain.height * domain.width * domain.channels
            lines = torch.randn(pixels, 6, generator=torch.Generator().manual_seed(0))

            def look(images: np.ndarray):
                features = torch.from_numpy(images.reshape(len(images), -1)).float() / 255 @ lines
                return features, features[:, : len(domain.classes)].softmax(1)

            return Extractor("toy", "f" * 64, "none", domain.classes, look)

    yield
    del extractors._parts["toy"]


@pytest.fixture(scope="module")
def images(tmp_path_factory) -> Path:
    """600 gray images of 16 x 16 px in 3 classes."""
    draws = np.random.default_rng(0)
    labels = np.arange(600) % 3
    pixels = draws.integers(0, 60, (600, 16, 16, 1)) + 80 * labels[:, None, None, None]
    path = tmp_path_factory.mktemp("judged") / "bands.npz"
    np.savez(path, images=pixels.astype(np.uint8), labels=labels, class_names=np.array(["dark", "gray", "light"]))
    return path


@pytest.fixture(scope="module")
def run(images, tmp_path_factory, session_cache) -> Path:
    import os

    os.environ["GANSMITH_CACHE"] = str(session_cache)
    folder = tmp_path_factory.mktemp("runs") / "run"
    overrides = [*(text for text in small("conditional") if not text.startswith("size")), "size=16"]
    api.train(images, recipe="conditional", overrides=overrides, out=folder, steps=3, holdout=0.3, device="cpu")
    return folder


def test_a_run_is_judged_by_what_it_held_out(run):
    found, path = api.evaluate(run, request=FAST)
    assert found.protocol.reference == "held-out images"
    assert found.protocol.num_real == 180
    assert set(found.numbers) == {"fd120_toy", "diversity120_toy", "swd120", "nearer120_toy", "copies120_toy"}
    assert all(number.deviation is not None for number in found.numbers.values())
    assert path == run / "evaluation" / "evaluation.json"
    assert (path.parent / "nearest.png").is_file()
    assert Evaluation.read(path) == found
    assert json.loads(path.read_text())["protocol"]["features_sha256"] == "f" * 64


def test_the_same_request_gives_the_same_numbers_and_another_seed_others(run, tmp_path):
    first, _ = api.evaluate(run, request=FAST, out=tmp_path / "1")
    again, _ = api.evaluate(run, request=FAST, out=tmp_path / "2")
    assert again.numbers == first.numbers
    other, _ = api.evaluate(run, request=Request(num=120, features="toy", metrics=("frechet",), seed=5), out=tmp_path)
    assert other.numbers["fd120_toy"].value != first.numbers["fd120_toy"].value


def test_everything_is_measured_and_what_cannot_be_is_said(run, tmp_path):
    found, _ = api.evaluate(run, request=Request(num=120, features="toy"), out=tmp_path)
    assert found.skipped == {"bins": "needs 400 images on each side, got 120"}
    assert {"label_accuracy120_toy", "missing_classes120_toy", "is120_toy", "kid120_toy"} <= set(found.numbers)
    assert any("of samples are what was asked" in line for line in found.words)


def test_samples_have_the_classes_of_the_reference_in_every_set(run):
    from gansmith.evaluation import _inputs

    model, data = api.load(run), open_data(json.loads((run / "run.json").read_text())["data"]["source"])
    _, labels = _inputs(model, data, Request(num=90))
    for part in labels.split(90):
        assert torch.bincount(part).tolist() == [30, 30, 30]


def test_training_images_are_used_only_where_asked_and_it_shows(run, images, tmp_path):
    with pytest.raises(MetricError, match=r"is what this model was trained on.*\n.*--on-training"):
        api.evaluate(run, images, request=FAST)
    request = Request(num=120, features="toy", metrics=("frechet",), on_training=True)
    found, _ = api.evaluate(run, request=request, out=tmp_path)
    assert set(found.numbers) == {"fd120_toy_train"}
    assert (found.protocol.reference, found.protocol.num_real) == ("training images", 420)


def test_other_images_may_be_named(run, tmp_path):
    draws = np.random.default_rng(1)
    other = tmp_path / "other.npz"
    np.savez(
        other,
        images=draws.integers(0, 256, (300, 16, 16, 1)).astype(np.uint8),
        labels=np.arange(300) % 3,
        class_names=np.array(["dark", "gray", "light"]),
    )
    found, _ = api.evaluate(run, other, request=FAST, out=tmp_path)
    assert (found.protocol.reference, found.protocol.num_real) == ("other", 300)


def test_a_model_of_other_size_channels_or_classes_is_refused(run, tmp_path):
    draws = np.random.default_rng(1)
    strange = tmp_path / "strange.npz"
    pixels = draws.integers(0, 256, (300, 16, 16, 1)).astype(np.uint8)
    np.savez(strange, images=pixels, labels=np.arange(300) % 2, class_names=np.array(["cat", "dog"]))
    with pytest.raises(MetricError, match="knows the classes dark, gray, light, but 'strange' has cat, dog"):
        api.evaluate(run, strange, request=FAST)


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        (Request(num=1), "--num 1 is too few"),
        (Request(sets=3), "needs at least 4 sets"),
        (Request(num=50, features="toy", metrics=("frechet",)), "needs 100 images on each side, got 50"),
    ],
)
def test_numbers_that_cannot_be(run, request_, words):
    with pytest.raises(MetricError, match=words):
        api.evaluate(run, request=request_)


def test_patches_need_no_extractor(run, tmp_path):
    found, _ = api.evaluate(run, request=Request(num=100, metrics=("sliced_wasserstein",)), out=tmp_path)
    assert (set(found.numbers), found.protocol.features) == ({"swd100"}, "none")


def test_unknown_names_offer_the_nearest(run):
    from gansmith.errors import RecipeError

    with pytest.raises(RecipeError, match=r"unknown metric 'frechett' .did you mean 'frechet'"):
        api.evaluate(run, request=Request(metrics=("frechett",)))
    with pytest.raises(RecipeError, match=r"unknown extractor 'inceptoin' .did you mean 'inception'"):
        api.evaluate(run, request=Request(features="inceptoin"))


def test_a_run_without_held_out_images_says_what_to_do(images, tmp_path):
    overrides = [*(text for text in small("mlp-small") if not text.startswith("size")), "size=16"]
    folder = tmp_path / "run"
    api.train(images, recipe="mlp-small", overrides=overrides, out=folder, steps=1, device="cpu")
    with pytest.raises(MetricError, match=r"kept no images back.*\n.*--holdout 0\.1.*\n.*--on-training"):
        api.evaluate(folder, request=FAST)
    with pytest.raises(MetricError, match="there is nothing to judge against"):
        api.evaluate(folder / "model", request=FAST)


def test_a_data_set_that_changed_is_refused_and_a_padded_one_is_read_as_it_was(tmp_path):
    draws = np.random.default_rng(0)
    path = tmp_path / "wide.npy"
    np.save(path, draws.integers(0, 256, (300, 16, 20), np.uint8))
    overrides = [*(text for text in small("mlp-small") if not text.startswith("size")), "size=16", "fit=pad"]
    folder = tmp_path / "run"
    api.train(path, recipe="mlp-small", overrides=overrides, out=folder, steps=1, holdout=0.4, device="cpu")
    request = Request(num=100, features="toy", metrics=("frechet",))
    assert api.evaluate(folder, request=request)[0].protocol.num_real == 120
    np.save(path, draws.integers(0, 256, (300, 16, 20), np.uint8))
    with pytest.raises(MetricError, match=r"wide\.npy' has changed: its images are not those.*\n  bring them back"):
        api.evaluate(folder, request=request)


def test_inception_wants_the_known_weights_file(run, tmp_path):
    wrong = tmp_path / "weights.pth"
    wrong.write_bytes(b"not them")
    with pytest.raises(
        MetricError, match=r"is not the weights file of 'inception'\n  SHA-256 [0-9a-f]{64}\n  expected 6726"
    ):
        api.evaluate(run, request=Request(features="inception", weights=wrong))
    with pytest.raises(MetricError, match=r"weights file '.*nowhere' does not exist"):
        api.evaluate(run, request=Request(features="inception", weights=tmp_path / "nowhere"))


def test_fashion_sees_small_gray_images_alone(run):
    with pytest.raises(MetricError, match=r"sees gray images of 28 to 32 px, got 16 x 16 .*\n.*--features own"):
        api.evaluate(run, request=Request(features="fashion"))


def test_protocols_that_differ_are_told_apart(run, tmp_path):
    first, _ = api.evaluate(run, request=FAST, out=tmp_path / "1")
    raw = Request(num=120, features="toy", metrics=("frechet",), raw=True)
    second, _ = api.evaluate(run, request=raw, out=tmp_path / "2")
    assert first.protocol.differences(first.protocol) == []
    assert first.protocol.differences(second.protocol) == ["weights: averaged and raw"]


def test_which_extractor_is_taken_unasked(tiny_data):
    from dataclasses import replace

    fashion = open_data("fashion-sample").spec
    assert default_extractor(fashion) == "fashion"
    assert default_extractor(tiny_data.spec) == "own"
    assert default_extractor(replace(fashion, height=64, width=64)) == "own"


def test_a_broken_file_is_no_evaluation(tmp_path):
    path = tmp_path / "evaluation.json"
    path.write_text("{}")
    with pytest.raises(MetricError, match="is no evaluation"):
        Evaluation.read(path)
