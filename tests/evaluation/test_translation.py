"""Evaluation of translation models: oracles, identity models, baselines, known truths, messages, report."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import gansmith
from gansmith import api
from gansmith.cli.evaluate import _table
from gansmith.data.base import ImageData
from gansmith.data.open import open_data
from gansmith.data.sources.domains import Domains
from gansmith.evaluation.baselines import Candidate, baseline_comparisons, compare_with_baseline
from gansmith.evaluation.evaluate import EvaluationOptions
from gansmith.evaluation.evaluate import evaluate as evaluate_samples
from gansmith.evaluation.reference import HELD_OUT, TRAINING, open_truth
from gansmith.evaluation.translated_pairs import _baseline, mean_colour
from gansmith.evaluation.translation import _domain, evaluate_translations
from gansmith.imaging.images import decode_image
from gansmith.imaging.tensors import to_float
from gansmith.inference.model import Model
from gansmith.inference.model_record import make_record
from gansmith.recipes.load import load_recipe
from small_runs import small
from toy_extractor import registered_toy

FAST = EvaluationOptions(features="toy")


@pytest.fixture(scope="module", autouse=True)
def toy():
    with registered_toy(lambda pixels: pixels - 127.5, tells_classes=False):
        yield


class Applies(nn.Module):
    """A network that applies a given function to its input."""

    def __init__(self, what) -> None:
        super().__init__()
        self.what, self.weight = what, nn.Parameter(torch.zeros(1))

    def forward(self, source: Tensor, labels: Tensor | None = None) -> Tensor:
        return self.what(source)


def unchanged(source: Tensor) -> Tensor:
    return source


def nearest_of(images: np.ndarray):
    """Return a function that knows the answers: it returns the image that is nearest to a source."""
    answers = to_float(images)
    return lambda source: answers[torch.cdist(source.flatten(1), answers.flatten(1)).argmin(1)]


def translator(data: ImageData, recipe: str, *overrides: str, **does) -> Model:
    """Return a model whose generators apply the given functions, for example ``generator=unchanged``."""
    chosen = load_recipe(recipe, (*small(recipe), *overrides))
    with torch.random.fork_rng([]):
        networks = chosen.method.build(data.spec).networks
    tensors = {name: dict(network.state_dict()) for name, network in networks.items()}
    found = Model(make_record("toy", chosen.method, data.spec, 0, 1.0), tensors, "cpu")
    for name, what in does.items():
        found.networks[name] = Applies(what).eval().requires_grad_(False)
    return found


@pytest.fixture(scope="module")
def coloured(tmp_path_factory) -> Path:
    """560 colour images of 8 x 8 px."""
    path = tmp_path_factory.mktemp("translations") / "coloured.npz"
    np.savez(path, images=np.random.default_rng(0).integers(0, 256, (560, 8, 8, 3)).astype(np.uint8))
    return path


@pytest.fixture
def data(coloured) -> ImageData:
    return open_data(coloured, holdout=0.4)


@pytest.fixture
def domains(coloured, tmp_path) -> ImageData:
    """Images, and the negatives of others."""
    images = np.load(coloured)["images"]
    np.savez(tmp_path / "a.npz", images=images[:300])
    np.savez(tmp_path / "b.npz", images=255 - images[300:])
    np.savez(tmp_path / "truth.npz", images=255 - images[:300])
    return open_data(Domains(str(tmp_path / "a.npz"), str(tmp_path / "b.npz")), holdout=0.5)


def evaluated(model: Model, data: ImageData, options: EvaluationOptions = FAST, truth: ImageData | None = None):
    assert data.held_out is not None
    return evaluate_translations(model, data.held_out, HELD_OUT, data, options, truth)


@pytest.mark.slow
def test_an_oracle_is_better_than_its_baseline_and_a_model_that_does_nothing_is_its_baseline(data):
    oracle = translator(data, "translate", "method.task=denoise", generator=nearest_of(data.held_out.read(range(224))))
    found, _ = evaluated(oracle, data)
    (best,) = baseline_comparisons(found)
    assert (best.baseline, best.model["l1"].value, best.model["ssim"].value) == ("the source", 0, pytest.approx(1))
    assert best.model["fd224_toy"].value == pytest.approx(0, abs=1e-6)
    assert best.model["colourfulness_ratio"].value == pytest.approx(1)
    measured = ["psnr", "ssim", "l1", "feature_distance_toy", "fd224_toy"]
    assert [best.verdict(name) for name in measured] == ["better"] * 5
    assert list(found.numbers) == [*measured[:4], "colourfulness", "fd224_toy", "colourfulness_ratio"]

    found, _ = evaluated(translator(data, "translate", "method.task=denoise", generator=unchanged), data)
    (same,) = baseline_comparisons(found)
    assert same.model == same.without
    assert all((gain.value, gain.deviation) == (0, 0) for gain in same.gains.values())
    assert {same.verdict(name) for name in measured} == {"noise"}
    assert 2 < same.model["l1"].value < 40
    assert same.without == best.without, "the same sources for every model"


@pytest.mark.slow
def test_a_model_that_spoils_images_is_reported_as_worse(data, prose):
    spoils = translator(data, "translate", "method.task=denoise", generator=lambda source: -source)
    found, picture = evaluated(spoils, data)
    (compared,) = baseline_comparisons(found)
    assert {compared.verdict(name) for name in ("psnr", "ssim", "l1", "feature_distance_toy")} == {"worse"}
    prose("sentences of an evaluation", "\n".join(found.words))
    assert picture.shape == (6 * (96 + 22 + 8) + 8, 2 * 3 * (96 + 8) + 8, 3)
    low, high = baseline_comparisons(found)[0].interval("psnr")
    gain = baseline_comparisons(found)[0].gains["psnr"]
    assert (high - gain.value, gain.value - low) == (pytest.approx(2 * gain.deviation),) * 2


@pytest.mark.slow
def test_the_stamp_says_of_what_and_the_names_say_of_training_images(data):
    model = translator(data, "translate", "method.task={kind: deblur, sigma_px: 2}", generator=unchanged)
    found, _ = evaluated(model, data, EvaluationOptions(features="toy", num=150))
    against, drawn, seen = found.protocol.lines()
    assert re.fullmatch(r"reference set: 150 images, held-out images .*", against)
    assert drawn == "translations of: sources of task deblur (sigma_px 2.0), raw weights"
    assert seen.startswith("features: toy")
    assert (found.protocol.num_fake, found.protocol.num_sets) == (150, 1)
    on_training, _ = evaluate_translations(model, data, TRAINING, data, FAST)
    assert set(on_training.numbers) >= {"psnr_train", "fd336_toy_train"}


@pytest.mark.slow
def test_few_images_have_no_distance_and_too_few_nothing(refused, data):
    model = translator(data, "translate", "method.task=denoise", generator=unchanged)
    found, _ = evaluated(model, data, EvaluationOptions(features="toy", num=60))
    assert found.skipped == {"frechet": "needs 100 images, got 60"}
    assert not [name for name in found.numbers if name.startswith("fd")]
    with refused("metric.too_few_images"):
        evaluated(model, data, EvaluationOptions(features="toy", num=9))


def test_the_floor_is_between_the_halves_of_the_targets():
    features = torch.randn(200, 3, generator=torch.Generator().manual_seed(0))
    images = np.zeros((200, 2, 2, 1), np.uint8)
    moved = torch.cat([features[:100], features[:100] + 2])
    same, shifted = (
        compare_with_baseline("", "it", *(Candidate(images, each, {}) for each in (features, features, target)), "x")
        for target in (torch.cat([features[:100]] * 2), moved)
    )
    assert same.target["fd100_x"].value == pytest.approx(0, abs=1e-6)
    assert shifted.target["fd100_x"].value == pytest.approx(3 * 4)
    assert set(shifted.model) == {"fd200_x"}


@pytest.mark.slow
def test_the_mean_colour_is_that_of_the_training_images(data):
    expected = to_float(data.read(range(336))).mean((0, 2, 3))
    torch.testing.assert_close(mean_colour(data), expected)
    model = translator(data, "translate", "method.task=colorize", generator=lambda source: source.expand(-1, 3, -1, -1))
    with_training, picture = evaluated(model, data)
    assert baseline_comparisons(with_training)[0].baseline == "mean colour"
    assert picture.shape[1] == 2 * 4 * (96 + 8) + 8, "source and baseline differ: both are shown"
    alone, _ = evaluate_translations(model, data.held_out, "other", None, FAST)
    (contest,) = baseline_comparisons(alone)
    assert contest.baseline == "gray"
    assert contest.model["colourfulness_ratio"].value == 0


def test_small_sources_are_enlarged_and_pairs_are_left_as_they_are():
    small_one, target = torch.zeros(1, 3, 2, 2), torch.zeros(1, 3, 8, 8)
    small_one[..., 1] = 1
    name, images = _baseline(None, small_one, target, None)
    expected = nn.functional.interpolate(small_one, (8, 8), mode="bicubic").clamp(-1, 1)
    assert (name, bool(torch.equal(images, expected))) == ("bicubic", True)
    name, images = _baseline(None, target, target, None)
    assert (name, bool(torch.equal(images, target))) == ("the source", True)


@pytest.mark.slow
def test_super_resolution_is_compared_with_bicubic_enlargement(data):
    def bicubic(source: Tensor) -> Tensor:
        return nn.functional.interpolate(source, scale_factor=2, mode="bicubic").clamp(-1, 1)

    found, picture = evaluated(translator(data, "srresnet", "scale=2", generator=bicubic), data)
    (contest,) = baseline_comparisons(found)
    assert (contest.baseline, contest.verdict("psnr"), contest.verdict("fd224_toy")) == ("bicubic", "noise", "noise")
    assert contest.model["l1"].value > 1
    assert found.protocol.sources == "images 2 times smaller, degradation bicubic"
    assert picture.shape[1] == 2 * 4 * (96 + 8) + 8
    oracle = translator(data, "srresnet", "scale=2", generator=nearest_small(data))
    assert baseline_comparisons(evaluated(oracle, data)[0])[0].verdict("psnr") == "better"


def nearest_small(data: ImageData):
    """Return a function that returns the held-out image which, made smaller, is nearest to a source."""
    answers = to_float(data.held_out.read(range(len(data.held_out))))
    reduced = nn.functional.interpolate(answers, scale_factor=0.5, mode="bicubic", antialias=True).flatten(1)
    return lambda source: answers[torch.cdist(source.flatten(1), reduced).argmin(1)]


@pytest.mark.slow
def test_the_extractor_of_pairs_sees_only_targets(coloured, tmp_path):
    images = np.load(coloured)["images"]
    np.savez(tmp_path / "pairs.npz", images=np.concatenate([images, 255 - images], 2))
    data = open_data(tmp_path / "pairs.npz", api.DataOptions(pairs=True), holdout=0.4)
    domain = _domain(data)
    assert (domain.height, domain.width) == (8, 8)
    assert (domain.read()[0] == data.read(range(len(data)))[:, :, 8:]).all()
    found, _ = evaluated(translator(data, "translate", "method.task=null", generator=lambda source: -source), data)
    assert found.numbers["l1"].value == 0
    assert found.protocol.sources == "the sources of pairs"


@pytest.mark.slow
def test_unpaired_models_are_evaluated_in_both_directions(domains, prose):
    assert _domain(domains).classes == ()
    model = translator(domains, "unpaired", a_to_b=lambda source: -source, b_to_a=lambda source: -0.5 * source)
    found, picture = evaluated(model, domains)
    there, back = baseline_comparisons(found)
    assert (there.title, back.title, there.baseline) == ("a_to_b", "b_to_a", "nothing")
    images = domains.held_out.read(range(len(domains.held_out))).astype(float)
    a = images[domains.held_out.labels == 0]
    # A is negated, and half of it is negated back: half of the distance to the middle is lost.
    assert found.numbers["cycle_error_a_to_b"].value == pytest.approx(np.abs(a - 127.5).mean() / 2, rel=0.05)
    assert found.numbers["change_a_to_b"].value == pytest.approx(2 * np.abs(a - 127.5).mean(), rel=0.05)
    assert not {"cycle_error", "change"} & there.without.keys()
    assert "fd130_toy_b_to_a" in found.numbers
    assert "psnr_a_to_b" not in found.numbers
    assert back.target["colourfulness"].value == there.without["colourfulness"].value > 0
    prose("note on cycle_error", found.words[-1])
    assert picture.shape[1] == 2 * 3 * (96 + 8) + 8


@pytest.mark.slow
def test_a_known_truth_is_found_by_an_oracle_and_not_by_doing_nothing(refused, domains, tmp_path):
    model = translator(domains, "unpaired", a_to_b=lambda source: -source, b_to_a=unchanged)
    truth = open_truth(domains.spec, None, str(tmp_path / "truth.npz"), None)
    found, _ = evaluated(model, domains, truth=truth)
    there, back = baseline_comparisons(found)
    assert found.numbers["l1_a_to_b"].value == 0
    assert there.without["l1"].value > 60
    assert [there.verdict(name) for name in ("psnr", "ssim", "l1")] == ["better"] * 3
    assert "psnr" not in back.model
    assert back.verdict("fd130_toy") == "noise"
    reversed_, _ = evaluated(translator(domains, "unpaired", a_to_b=unchanged, b_to_a=unchanged), domains, truth=truth)
    assert baseline_comparisons(reversed_)[0].verdict("psnr") == "noise"
    few = open_data(tmp_path / "b.npz")
    with refused("metric.truth_count"):
        evaluated(model, domains, truth=few)


@pytest.mark.slow
def test_options_for_samples_only_are_refused(refused, data, domains):
    model = translator(data, "translate", "method.task=denoise", generator=unchanged)
    samples_alone = {"metrics": ("frechet",), "truncation": 1.0, "sets": 5}
    for name, value in samples_alone.items():
        with refused("metric.option_for_samples_only"):
            evaluated(model, data, EvaluationOptions(**{name: value}))
    with refused("metric.truth_for_unpaired_only"):
        evaluated(model, data, EvaluationOptions(truth="x"))
    unpaired = translator(domains, "unpaired", a_to_b=unchanged, b_to_a=unchanged)
    with refused("metric.one_domain"):
        evaluate_translations(unpaired, data, "coloured", None, FAST)
    next(model.network("generator").parameters()).data[0] = torch.nan
    with refused("metric.model_not_finite"):
        evaluated(model, data)


def test_samples_have_no_truth(refused, model, tiny_data):
    with refused("metric.truth_without_translation"):
        evaluate_samples(model, tiny_data, "tiny", EvaluationOptions(truth="x"))


@pytest.fixture(scope="module")
def runs(coloured, tmp_path_factory, session_cache) -> list[Path]:
    import os

    os.environ["GANSMITH_CACHE"] = str(session_cache)
    found = []
    for number, more in enumerate(((), ("discriminator=null",))):
        folder = tmp_path_factory.mktemp("runs") / str(number)
        overrides = [*small("translate"), *more]
        gansmith.train(
            coloured, recipe="translate", overrides=overrides, out=folder, steps=2, holdout=0.4, device="cpu"
        )
        found.append(folder)
    return found


@pytest.mark.slow
def test_runs_are_evaluated_reported_and_compared(runs, shell):
    for run in runs:
        code, out, err = shell("evaluate", run, "--features", "toy")
        assert code == 0, err
    lines = out.splitlines()
    head = next(line for line in lines if line.startswith("metric"))
    assert re.split(r"\s{2,}", head) == ["metric", "model", "the source", "targets", "difference, 95 %"]
    assert next(line for line in lines if line.startswith("psnr")).endswith(("worse", "better", "noise"))
    found = api.Evaluation.read(run / "evaluation" / "evaluation.json")
    (contest,) = baseline_comparisons(found)
    assert all(line in lines for line in _table(contest))
    report = (run / "report.html").read_text()
    assert '<th scope="row">psnr</th>' in report
    assert 'alt="Translations"' in report
    decode_image((run / "evaluation" / "translations.png").read_bytes())

    code, out, err = shell("compare", *runs)
    assert code == 0, err
    row = next(line for line in out.splitlines() if line.startswith("psnr"))
    assert f"{found.numbers['psnr'].value:.4g}+-" in row
    assert "colourfulness_ratio" in out
    page = Path("compare.html").read_text()
    assert "Last previews" in page
    assert page.count('alt="Samples of') == 2


@pytest.mark.slow
def test_other_images_may_be_named_and_must_be_of_this_kind(refused, runs, tmp_path):
    for name, shape in {"same": (8, 8, 3), "large": (16, 16, 3), "gray": (8, 8, 1)}.items():
        np.savez(
            tmp_path / f"{name}.npz", images=np.random.default_rng(1).integers(0, 256, (120, *shape)).astype(np.uint8)
        )
    found, path = api.evaluate(runs[0], tmp_path / "same.npz", options=FAST, out=tmp_path / "evaluated")
    assert (found.protocol.reference, found.numbers["fd120_toy"].count) == ("same", 120)
    assert baseline_comparisons(api.Evaluation.read(path)) == baseline_comparisons(found)
    for name in ("large", "gray"):
        with refused("metric.size_differs"):
            api.evaluate(runs[0], tmp_path / f"{name}.npz", options=FAST)


@pytest.mark.slow
def test_a_translation_run_without_held_out_images_is_refused(refused, runs, tmp_path):
    record = json.loads((runs[1] / "run.json").read_text())
    record["data"]["holdout"] = 0.0
    (runs[1] / "run.json").write_text(json.dumps(record))
    with refused("metric.nothing_held_out"):
        api.evaluate(runs[1], options=FAST)
    shutil.copytree(runs[0] / "model", tmp_path / "copy")
    with refused("metric.no_reference"):
        api.evaluate(tmp_path / "copy", options=FAST)


@pytest.mark.slow
def test_a_record_with_other_fields_is_refused(refused, runs):
    path = runs[0] / "evaluation" / "evaluation.json"
    api.evaluate(runs[0], options=FAST)
    value = json.loads(path.read_text())
    del value["facts"]["translation"]["contests"][0]["gains"]
    path.write_text(json.dumps(value))
    with refused("metric.unreadable_evaluation"):
        baseline_comparisons(api.Evaluation.read(path))
