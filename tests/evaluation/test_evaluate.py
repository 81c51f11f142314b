"""Judging whole models: what is compared with what, what numbers are called, what is refused."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from gansmith import api
from gansmith.core.errors import MetricError
from gansmith.data.open import open_data
from gansmith.evaluation.evaluate import ORDER, EvaluationOptions, _knows, evaluate
from gansmith.evaluation.facts import check_facts
from gansmith.evaluation.features import default_extractor
from gansmith.evaluation.result import Evaluation
from gansmith.inference.model import Model
from gansmith.parts.extractors.base import Extractor
from gansmith.parts.metrics.base import metrics
from gansmith.reporting.run_results import refresh_report
from small_runs import small
from toy_extractor import registered_toy

FAST = EvaluationOptions(
    num=120, features="toy", metrics=("frechet", "diversity", "sliced_wasserstein", "memorization")
)


@pytest.fixture(scope="module", autouse=True)
def toy():
    with registered_toy(lambda pixels: pixels / 255, tells_classes=True):
        yield


@pytest.fixture(scope="module")
def images(tmp_path_factory) -> Path:
    """600 gray images of 16 x 16 px in 3 classes."""
    draws = np.random.default_rng(0)
    labels = np.arange(600) % 3
    pixels = draws.integers(0, 60, (600, 16, 16, 1)) + 80 * labels[:, None, None, None]
    path = tmp_path_factory.mktemp("evaluated") / "bands.npz"
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


@pytest.mark.slow
def test_a_run_is_evaluated_on_its_held_out_images(run):
    found, path = api.evaluate(run, options=FAST)
    assert found.protocol.reference == "held-out images"
    assert found.protocol.num_real == 180
    assert set(found.numbers) == {"fd120_toy", "diversity120_toy", "swd120", "nearer120_toy", "copies120_toy"}
    assert all(number.deviation is not None for number in found.numbers.values())
    assert path == run / "evaluation" / "evaluation.json"
    assert (path.parent / "nearest.png").is_file()
    assert Evaluation.read(path) == found
    assert json.loads(path.read_text())["protocol"]["features_sha256"] == "f" * 64


@pytest.mark.slow
def test_the_same_options_give_the_same_numbers_and_another_seed_others(run, tmp_path):
    first, _ = api.evaluate(run, options=FAST, out=tmp_path / "1")
    again, _ = api.evaluate(run, options=FAST, out=tmp_path / "2")
    assert again.numbers == first.numbers
    other, _ = api.evaluate(
        run, options=EvaluationOptions(num=120, features="toy", metrics=("frechet",), seed=5), out=tmp_path
    )
    assert other.numbers["fd120_toy"].value != first.numbers["fd120_toy"].value


@pytest.mark.slow
def test_every_metric_is_measured_or_its_absence_explained(run, tmp_path):
    found, _ = api.evaluate(run, options=EvaluationOptions(num=120, features="toy"), out=tmp_path)
    assert found.skipped == {
        "bins": "needs 400 images on each side, got 120 samples: pass --num 400",
        "modes": "needs data of known modes, such as stacked-fashion or gaussians-25",
    }
    assert {"label_accuracy120_toy", "missing_classes120_toy", "is120_toy", "kid120_toy"} <= set(found.numbers)
    assert "label_accuracy" in found.facts
    assert list(found.numbers)[:4] == ["fd120_toy", "kid120_toy", "precision120_toy", "recall120_toy"]
    assert set(ORDER) == set(metrics.names())


@pytest.mark.slow
def test_samples_have_the_classes_of_the_reference_in_every_set(run):
    from gansmith.evaluation.evaluate import _inputs

    model, data = api.load(run), open_data(json.loads((run / "run.json").read_text())["data"]["source"])
    _, labels = _inputs(model, data, EvaluationOptions(num=90))
    for part in labels.split(90):
        assert torch.bincount(part).tolist() == [30, 30, 30]


@pytest.mark.slow
def test_training_images_are_used_only_on_request_and_the_name_shows_it(refused, run, images, tmp_path):
    with refused("metric.on_training_images"):
        api.evaluate(run, images, options=FAST)
    options = EvaluationOptions(num=120, features="toy", metrics=("frechet",), on_training=True)
    found, _ = api.evaluate(run, options=options, out=tmp_path)
    assert set(found.numbers) == {"fd120_toy_train"}
    assert (found.protocol.reference, found.protocol.num_real) == ("training images", 420)


@pytest.mark.slow
def test_other_images_may_be_named(run, tmp_path):
    draws = np.random.default_rng(1)
    other = tmp_path / "other.npz"
    np.savez(
        other,
        images=draws.integers(0, 256, (300, 16, 16, 1)).astype(np.uint8),
        labels=np.arange(300) % 3,
        class_names=np.array(["dark", "gray", "light"]),
    )
    found, _ = api.evaluate(run, other, options=FAST, out=tmp_path)
    assert (found.protocol.reference, found.protocol.num_real) == ("other", 300)


@pytest.mark.slow
def test_a_model_of_other_size_channels_or_classes_is_refused(refused, run, tmp_path):
    draws = np.random.default_rng(1)
    strange = tmp_path / "strange.npz"
    pixels = draws.integers(0, 256, (300, 16, 16, 1)).astype(np.uint8)
    np.savez(strange, images=pixels, labels=np.arange(300) % 2, class_names=np.array(["cat", "dog"]))
    with refused("metric.classes_differ"):
        api.evaluate(run, strange, options=FAST)


@pytest.mark.parametrize(
    ("options", "code"),
    [
        (EvaluationOptions(num=1), "metric.num_too_small"),
        (EvaluationOptions(sets=3), "metric.sets_too_few"),
        (EvaluationOptions(num=50, features="toy", metrics=("frechet",)), "metric.evidence_missing"),
    ],
)
def test_evaluation_options_out_of_range_are_refused(refused, run, options, code):
    with refused(code):
        api.evaluate(run, options=options)


@pytest.mark.slow
def test_patches_need_no_extractor(run, tmp_path):
    found, _ = api.evaluate(run, options=EvaluationOptions(num=100, metrics=("sliced_wasserstein",)), out=tmp_path)
    assert (set(found.numbers), found.protocol.features) == ({"swd100"}, "none")


@pytest.mark.slow
def test_unknown_names_offer_the_nearest(refused, run):

    with refused("recipe.unknown_part"):
        api.evaluate(run, options=EvaluationOptions(metrics=("frechett",)))
    with refused("recipe.unknown_part"):
        api.evaluate(run, options=EvaluationOptions(features="inceptoin"))


@pytest.mark.slow
def test_a_run_without_held_out_images_is_refused(refused, images, tmp_path, monkeypatch):
    overrides = [*(text for text in small("mlp-small") if not text.startswith("size")), "size=16"]
    folder = tmp_path / "run"
    api.train(images, recipe="mlp-small", overrides=overrides, out=folder, steps=1, device="cpu")
    with refused("metric.nothing_held_out"):
        api.evaluate(folder, options=FAST)
    for place in ("model", "checkpoints", "checkpoints/000000001"):  # they belong to the run as well
        for source, code in ((None, "metric.nothing_held_out"), (images, "metric.on_training_images")):
            with pytest.raises(MetricError) as caught:
                api.evaluate(folder / place, source, options=FAST)
            assert caught.value.code == code
    shutil.copytree(folder / "model", tmp_path / "copy")
    shutil.copytree(folder / "model", folder / "other")
    with refused("metric.no_reference"):
        api.evaluate(tmp_path / "copy", options=FAST)
    monkeypatch.chdir(folder)
    for place in ("other", "../copy", "../copy/generator.safetensors"):
        with pytest.raises(MetricError) as caught:
            api.evaluate(place, options=FAST)
        assert caught.value.code == "metric.no_reference"


@pytest.mark.slow
def test_a_data_set_that_changed_is_refused_and_a_padded_one_is_read_as_it_was(refused, tmp_path):
    draws = np.random.default_rng(0)
    path = tmp_path / "wide.npy"
    np.save(path, draws.integers(0, 256, (300, 16, 20), np.uint8))
    overrides = [*(text for text in small("mlp-small") if not text.startswith("size")), "size=16", "fit=pad"]
    folder = tmp_path / "run"
    api.train(path, recipe="mlp-small", overrides=overrides, out=folder, steps=1, holdout=0.4, device="cpu")
    options = EvaluationOptions(num=100, features="toy", metrics=("frechet",))
    assert api.evaluate(folder, options=options)[0].protocol.num_real == 120
    np.save(path, draws.integers(0, 256, (300, 16, 20), np.uint8))
    with refused("metric.reference_changed"):
        api.evaluate(folder, options=options)


@pytest.mark.slow
def test_inception_requires_the_known_weights_file(refused, run, tmp_path):
    wrong = tmp_path / "weights.pth"
    wrong.write_bytes(b"not them")
    with refused("metric.weights_not_official"):
        api.evaluate(run, options=EvaluationOptions(features="inception", weights=wrong))
    with refused("metric.weights_not_found"):
        api.evaluate(run, options=EvaluationOptions(features="inception", weights=tmp_path / "nowhere"))


def test_fashion_takes_only_small_gray_images(refused, run):
    with refused("metric.images_unfit_for_extractor"):
        api.evaluate(run, options=EvaluationOptions(features="fashion"))


@pytest.mark.slow
def test_different_protocols_list_their_differences(run, tmp_path):
    first, _ = api.evaluate(run, options=FAST, out=tmp_path / "1")
    raw = EvaluationOptions(num=120, features="toy", metrics=("frechet",), raw=True)
    second, _ = api.evaluate(run, options=raw, out=tmp_path / "2")
    assert first.protocol.differences(first.protocol) == []
    assert first.protocol.differences(second.protocol) == ["weights: averaged and raw"]


@pytest.mark.slow
def test_the_default_extractor(tiny_data):
    from dataclasses import replace

    fashion = open_data("fashion-sample").spec
    assert default_extractor(fashion) == "fashion"
    assert default_extractor(tiny_data.spec) == "own"
    for side in (16, 64):  # sizes that the extractor refuses
        assert default_extractor(replace(fashion, height=side, width=side)) == "own"


def test_a_broken_file_is_no_evaluation(refused, tmp_path):
    path = tmp_path / "evaluation.json"
    path.write_text("{}")
    with refused("metric.unreadable_evaluation"):
        Evaluation.read(path)


SPECTRA = {"frequencies": [0.1, 0.2], "power_real": [1.0, 2.0], "power_fake": [1.0, 2.0]}
SHARES = {"classes": ["a"], "real_shares": [1.0], "fake_shares": [0.5], "missing": [], "over_fed": []}


def test_facts_of_known_metrics_are_read():
    facts = {"texture": {**SPECTRA, "mean_real": 3.0}, "class_coverage": SHARES, "of a plugin": {"x": [{}]}}
    assert check_facts(facts) == facts


def test_facts_of_older_versions_get_todays_names():
    facts = {"limit": 1.0, "held_out_median": 2.0}
    assert check_facts({"memorisation": facts}) == {"memorization": facts}


@pytest.mark.parametrize("facts", [
    {"texture": {**SPECTRA, "power_real": [1.0]}}, {"texture": {**SPECTRA, "power_fake": [1.0, []]}},
    {"texture": {"frequencies": [0.1, 0.2]}}, {"texture": 5}, {"class_coverage": {**SHARES, "classes": ["a", "b"]}},
    {"class_coverage": {**SHARES, "missing": 1}}, {"class_coverage": {}}, {"memorization": {"limit": "x"}},
], ids=str)  # fmt: skip
def test_facts_of_another_shape_are_refused(facts):
    with pytest.raises(ValueError, match=next(iter(facts))):
        check_facts(facts)


@pytest.mark.slow
def test_the_stamp_is_printed_with_the_numbers(run):
    found, _ = api.evaluate(run, options=FAST)
    against, drawn, seen = found.protocol.lines()
    fingerprint = found.protocol.reference_fingerprint[:12]
    assert against == f"reference set: 180 images, held-out images ({fingerprint}), holdout share, 0.3 by seed 0"
    assert drawn == "samples: 4 sets of 120, averaged weights, no truncation"
    assert seen == "features: toy (ffffffffffff), resized: none"


@pytest.mark.slow
def test_the_stamp_says_which_weights(run, tmp_path):
    data = json.loads((run / "run.json").read_text())["data"]["source"]
    options = EvaluationOptions(num=100, features="toy", metrics=("frechet",))
    alone, _ = api.evaluate(run / "model" / "generator.safetensors", options=options, out=tmp_path)
    assert alone.protocol.weights == "one file's"
    model = api.load(run)
    without_twin = Model(
        model.record, {name: net.state_dict() for name, net in model.networks.items() if name[-4:] != "-raw"}
    )
    assert evaluate(without_twin, open_data(data), "bands", options)[0].protocol.weights == "raw"
    assert evaluate(model, open_data(data), "bands", options)[0].protocol.weights == "averaged"


def write_images(path: Path, shape: tuple[int, ...], low: int = 0) -> Path:
    np.savez(path, images=np.random.default_rng(3).integers(low, 256, (120, *shape)).astype(np.uint8))
    return path


@pytest.mark.slow
@pytest.mark.parametrize(
    ("shape", "code"),
    [((16, 16, 3), "metric.size_differs"), ((24, 24, 1), "metric.size_differs"), ((12, 12, 1), "metric.size_differs")],
)
def test_images_of_another_shape_are_refused(refused, run, tmp_path, shape, code):
    other = write_images(tmp_path / "other.npz", shape)
    with refused(code):
        api.evaluate(run, other, options=FAST)


@pytest.mark.slow
def test_another_data_set_than_the_training_is_noted(run, tmp_path, prose):
    other = write_images(tmp_path / "other.npz", (16, 16, 1))
    found, _ = api.evaluate(run, other, options=FAST, out=tmp_path)
    prose("note on another data set", found.words[0])
    held_out, _ = api.evaluate(run, options=FAST, out=tmp_path)
    assert found.words[0] not in held_out.words


@pytest.mark.slow
def test_missing_labels_are_refused(refused, run, tmp_path):
    other = write_images(tmp_path / "other.npz", (16, 16, 1))
    options = EvaluationOptions(num=100, features="toy", metrics=("class_coverage",))
    with refused("metric.evidence_missing"):
        api.evaluate(run, other, options=options)
    options = EvaluationOptions(num=100, features="toy", metrics=("label_accuracy",))
    with refused("metric.evidence_missing"):
        api.evaluate(run, other, options=options)
    options = EvaluationOptions(num=100, features="toy", metrics=("inception_score",))
    with refused("metric.evidence_missing"):
        api.evaluate(run, other, options=options)


def test_classes_of_an_extractor_are_known_only_for_images_that_fit(tiny_data):
    from dataclasses import replace

    inception = Extractor("inception", "f" * 64, "299 px", (), lambda images: (torch.zeros(len(images), 1), None))
    colour = replace(tiny_data, spec=replace(tiny_data.spec, channels=3))
    assert _knows(inception, colour)
    assert not _knows(inception, tiny_data)
    assert _knows(replace(inception, name="own", classes=("dark", "gray", "light")), tiny_data)
    assert not _knows(replace(inception, name="own", classes=("dark", "gray")), tiny_data)


@pytest.mark.slow
def test_too_few_real_images_and_too_few_samples_are_different_errors(refused, run, tmp_path):
    few = tmp_path / "few.npz"
    np.savez(few, images=np.random.default_rng(3).integers(0, 256, (60, 16, 16, 1)).astype(np.uint8))
    options = EvaluationOptions(num=100, features="toy", metrics=("frechet",))
    with refused("metric.evidence_missing"):
        api.evaluate(run, few, options=options)


@pytest.mark.slow
def test_images_that_are_not_numbers_and_an_empty_folder(refused, run, tmp_path):
    broken = tmp_path / "broken.npy"
    pixels = np.zeros((120, 16, 16), np.float32)
    pixels[:9, 3, 3] = np.nan
    np.save(broken, pixels)
    with refused("data.too_many_bad"):
        api.evaluate(run, broken, options=FAST)
    (tmp_path / "empty").mkdir()
    with refused("data.empty"):
        api.evaluate(run, tmp_path / "empty", options=FAST)


@pytest.mark.slow
def test_weights_that_are_not_finite_are_refused(refused, run):
    model = api.load(run)
    next(model.network("generator").parameters()).data[0] = torch.nan
    data = open_data(json.loads((run / "run.json").read_text())["data"]["source"])
    with refused("metric.model_not_finite"):
        evaluate(model, data, "bands", FAST)


@pytest.mark.parametrize("features", ["own", "fashion", ""])
def test_a_weights_file_is_not_ignored(refused, run, tmp_path, features):
    with refused("metric.weights_without_extractor"):
        api.evaluate(run, options=EvaluationOptions(features=features, weights=tmp_path / "weights.pth"))


@pytest.mark.slow
def test_the_report_shows_the_last_evaluation(run):
    report = run / "report.html"
    assert "No evaluation yet" not in report.read_text() or not (run / "evaluation").exists()
    found, _ = api.evaluate(run, options=EvaluationOptions(num=120, features="toy"))
    text = report.read_text()
    for name, number in found.numbers.items():
        assert f'<th scope="row">{name}</th><td>{number.value:.4g}' in text
    for line in found.protocol.lines():
        assert line in text
    assert '<th scope="row">gray</th>' in text
    assert 'alt="Samples and their nearest training images"' in text
    assert 'href="film.mp4"' in text
    assert "Evaluated at 0.0 kimg" in text
    assert not re.findall(r"(?:src|href)=\"https?:", text)
    (run / "evaluation" / "evaluation.json").write_text("{}")
    refresh_report(api.RunFolder(run), api.load(run))
    assert "is no evaluation" in report.read_text()
    api.evaluate(run, options=FAST)
