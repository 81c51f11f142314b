"""The linear probe: its classifier, its draws and parts, its table and what it says."""

from unittest import mock

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from gansmith import api
from gansmith.core.events import Progress
from gansmith.data.open import open_data
from gansmith.evaluation.downstream import labelled_data as fitted
from gansmith.evaluation.downstream.labelled_data import Parts, draw_of_each
from gansmith.evaluation.downstream.linear_probe import OTHERS, OURS, PIXELS, Probe, as_numbers, principal_components
from gansmith.evaluation.downstream.logistic_regression import STRENGTHS, _kept_back, fit_linear
from gansmith.evaluation.downstream.seeds import gain_over, percent
from small_models import make_model


def data_of_three(count: int, width: int) -> tuple[torch.Tensor, torch.Tensor]:
    draws = torch.Generator().manual_seed(0)
    labels = torch.arange(count) % 3
    features = torch.randn(count, width, generator=draws) * torch.arange(1, width + 1)
    features[:, 0] += 2.0 * labels
    return features, labels


@pytest.mark.slow
@pytest.mark.parametrize("one_scale", [False, True])
@pytest.mark.parametrize(("count", "width"), [(60, 4), (30, 80)])
def test_a_classifier_is_where_the_gradient_of_its_loss_is_0(count, width, one_scale):
    features, labels = data_of_three(count, width)
    found = fit_linear(features, labels, 3, one_scale=one_scale)
    assert found.strength in STRENGTHS
    x = features.double()
    deviation = x.std(0, correction=0)
    if one_scale:
        deviation = torch.full_like(deviation, float(deviation.square().mean().sqrt()))
    inputs = (x - x.mean(0)) / deviation / width**0.5
    weight = (found.weight * deviation[:, None] * width**0.5).requires_grad_()
    bias = (found.bias + x.mean(0) @ found.weight).requires_grad_()
    loss = F.cross_entropy(inputs @ weight + bias, labels) + found.strength / 2 * weight.square().sum()
    loss.backward()
    torch.testing.assert_close(inputs @ weight + bias, found(features))
    assert float(weight.grad.abs().max()) < 1e-5
    assert float(bias.grad.abs().max()) < 1e-5


@pytest.mark.slow
def test_features_that_separate_classes_give_a_high_accuracy():
    labels = torch.arange(60) % 3
    features = F.one_hot(labels, 3).float() + 0.01 * torch.randn(60, 3, generator=torch.Generator().manual_seed(1))
    assert fit_linear(features, labels, 3).accuracy(features, labels) == 1
    assert fit_linear(features, labels, 3).accuracy(features, (labels + 1) % 3) == 0


def test_a_fifth_of_each_class_is_kept_back():
    labels = torch.tensor([0] * 10 + [1] * 5 + [2] * 2)
    held = _kept_back(labels, 3)
    assert [int(held[labels == number].sum()) for number in range(3)] == [2, 1, 1]
    assert held[8:10].all()


def test_few_of_each_class_are_the_first_of_many(refused, tiny_data):
    many = draw_of_each(tiny_data, 20, 7)
    assert np.array_equal(draw_of_each(tiny_data, 5, 7), many[:, :5])
    assert all((tiny_data.labels[row] == number).all() for number, row in enumerate(many))
    assert len(np.unique(many)) == 60
    assert not np.array_equal(draw_of_each(tiny_data, 20, 8), many)
    with refused("data.class_too_small"):
        draw_of_each(tiny_data, 33, 7)


def test_without_a_test_split_a_fifth_is_kept_back(model, tiny_file, tmp_path, prose):
    parts = api.open_parts(model, model.save(tmp_path / "model"), tiny_file)
    assert (len(parts.train), len(parts.test)) == (78, 18)
    prose("test images", parts.words.replace(str(tiny_file), "DATA"))


def test_the_held_out_images_of_a_run_are_the_test_part(model, tiny_file, tmp_path, prose):
    run_data = {"source": str(tiny_file), "holdout": 0.5, "reading": {"fit": "crop"}, "root": None}
    with mock.patch.object(fitted, "run_data_at", return_value=run_data):
        parts = api.open_parts(model, tmp_path, tiny_file)
    assert len(parts.test) == 48
    prose("test images", parts.words.replace(str(tiny_file), "DATA"))


def test_the_test_split_of_a_named_set_is_the_test_part(model, tiny_file, tmp_path, prose):
    opened = []

    def opening(source, options, **_):
        opened.append((source, options.size, options.channels))
        return open_data(tiny_file, options)

    with mock.patch.object(fitted, "open_data", opening):
        parts = api.open_parts(model, tmp_path, "fashion-mnist")
    assert opened == [("fashion-mnist", 8, 1), ("fashion-mnist:test", 8, 1)]
    prose("test images", parts.words)


def test_images_without_labels_cannot_be_learnt(refused, model, tmp_path):
    np.savez(tmp_path / "x.npz", images=np.random.default_rng(0).integers(0, 255, (20, 8, 8)).astype(np.uint8))
    with refused("data.no_labels"):
        api.open_parts(model, tmp_path, tmp_path / "x.npz")


def test_both_parts_have_the_same_classes(refused, model, tiny_file, tmp_path):
    images = np.random.default_rng(0).integers(0, 255, (20, 8, 8)).astype(np.uint8)
    np.savez(tmp_path / "other.npz", images=images, labels=np.arange(20) % 2)
    sources = {"fashion-mnist": tiny_file, "fashion-mnist:test": tmp_path / "other.npz"}
    with (
        mock.patch.object(fitted, "open_data", lambda source, options, **_: open_data(sources[source], options)),
        refused("data.classes_differ"),
    ):
        api.open_parts(model, tmp_path, "fashion-mnist")


def test_a_gain_is_counted_seed_by_seed():
    gain = gain_over((0.80, 0.84, 0.88), (0.79, 0.82, 0.85))
    assert gain.mean == pytest.approx(0.02)
    assert gain.band == pytest.approx(2 * 0.01)
    assert not gain_over((0.8, 0.9), (0.85, 0.85)).is_clear
    assert gain_over((0.8, 0.9), (0.85, 0.85)).verdict == "not clearly different from"
    assert gain_over((0.8, 0.9), (0.7, 0.8)).verdict == "better than"
    assert gain_over((0.7, 0.8), (0.8, 0.9)).verdict == "worse than"
    assert percent((0.7, 0.8)) == "75.0 +- 7.1"


@pytest.mark.slow
def test_principal_components_are_those_of_a_full_decomposition(tiny_data):
    pixels = as_numbers(tiny_data.read(range(96)))
    mean, components = principal_components(tiny_data)
    _, _, exact = np.linalg.svd(pixels - pixels.mean(0), full_matrices=False)
    np.testing.assert_allclose(mean, pixels.mean(0), rtol=1e-5)
    np.testing.assert_allclose(np.abs(np.diag(exact[:3] @ components[:, :3])), 1, atol=1e-4)
    np.testing.assert_allclose(components.T @ components, np.eye(50), atol=1e-4)


@pytest.mark.slow
def test_a_probe_of_images_that_differ_in_brightness(tiny_data):
    model = make_model("hidden=[8]")
    reports: list[Progress] = []
    found = api.probe(
        model,
        Parts(tiny_data, tiny_data, "tested here"),
        per_class=(8, 4, 8),
        seeds=2,
        on_progress=reports.append,
    )
    assert found.per_class == (4, 8)
    assert set(found.accuracies) == {OURS, *OTHERS}
    assert min(found.accuracies[PIXELS][8]) > 0.9
    assert found.widths == {OURS: 8, OTHERS[0]: 8, PIXELS: 64, OTHERS[2]: 50}
    assert reports[-1] == Progress("learning", 8, 8)
    lines = found.lines()
    assert lines[0] == "test accuracy in %, mean and deviation over 2 draws of the labelled images; tested here"
    assert lines[1].split("  ")[0] == "features"
    assert len(lines) == 1 + 5 + 2
    again = api.probe(model, Parts(tiny_data, tiny_data, ""), per_class=(4, 8), seeds=2)
    assert again.accuracies == found.accuracies


def test_the_sentence_of_a_probe_follows_from_its_numbers():
    ours = {name: {10: (0.5, 0.6)} for name in OTHERS}
    ours[OTHERS[0]] = {10: (0.45, 0.55)}
    ours[OTHERS[1]] = {10: (0.60, 0.50)}
    found = Probe((10,), {OURS: {10: (0.55, 0.65)}, **ours}, {}, {}, "")
    assert found.sentences() == [
        "with 10 labels a class the discriminator's features are better than untrained discriminator (+10.0, band "
        "0.0), not clearly different from pixels (+5.0, band 28.3), better than PCA of pixels (+5.0, band 0.0)"
    ]
    assert found.to_json()["sentences"] == found.sentences()


@pytest.mark.parametrize(("per_class", "seeds", "code"), [
    ((1, 10), 2, "cli.per_class_out_of_range"),
    ((), 2, "cli.per_class_out_of_range"),
    ((4,), 1, "cli.seeds_too_few"),
    ((99,), 2, "data.class_too_small"),
])  # fmt: skip
def test_probes_with_options_out_of_range_are_refused(refused, model, tiny_data, per_class, seeds, code):
    with refused(code):
        api.probe(model, Parts(tiny_data, tiny_data, ""), per_class=per_class, seeds=seeds)
