"""Synthetic sets: what the filters find and drop, and the study of whether such sets help."""

from unittest import mock

import numpy as np
import pytest
import torch
from PIL import Image

from gansmith import api
from gansmith.core.events import Progress
from gansmith.core.randomness import derive_seed, sample_latents
from gansmith.data.open import open_data
from gansmith.evaluation.downstream import study
from gansmith.evaluation.downstream import synthetic_set as module
from gansmith.evaluation.downstream.labelled_data import Parts
from gansmith.evaluation.downstream.study import ALL, BOTH, CLASSIC, REAL, SYNTHETIC, Study, _classic, _in_halves
from gansmith.imaging.tensors import to_float
from gansmith.inference.samples import Samples
from gansmith.parts.extractors.convnet import _fresh, shifted, train_on_labels, weights_digest
from small_models import CLASSES, make_model


@pytest.fixture(scope="module")
def conditional():
    return make_model("hidden=[16]", "conditional=true", classes=CLASSES)


@pytest.fixture(autouse=True)
def _odd_places():
    """A classifier that takes every second candidate for another class: the true one learns for minutes."""
    with mock.patch.object(module, "_classifier", return_value=lambda images, _: np.arange(len(images)) % 2 == 1):
        yield


def drawn(model, number: int, count: int) -> np.ndarray:
    latents = sample_latents(derive_seed("augment", 0, number), 0, count, 4)
    return model.draw(latents, torch.full((count,), number))


def test_without_filters_the_first_samples_are_taken_and_all_is_measured(conditional, tiny_data, prose):
    found = api.augment(conditional, tiny_data, 6, filters=())
    assert found.samples.labels.tolist() == [0] * 6 + [1] * 6 + [2] * 6
    assert np.array_equal(found.samples.images[6:12], drawn(conditional, 1, 6))
    tally = found.tallies["gray"]
    assert (tally.drawn, tally.kept, tally.found["classifier"], sum(tally.dropped.values())) == (6, 6, 3, 0)
    assert found.lines()[1].split() == [
        "class",
        "candidates",
        "(classifier)",
        "(discriminator)",
        "(duplicates)",
        "kept",
    ]
    prose("synthetic set", found.lines()[-1])


def test_samples_that_fail_a_filter_are_dropped(conditional, tiny_data):
    found = api.augment(conditional, tiny_data, 6, filters=("classifier",))
    assert np.array_equal(found.samples.images[:6], drawn(conditional, 0, 12)[::2])
    tally = found.tallies["dark"]
    assert (tally.drawn, tally.kept, tally.dropped["classifier"]) == (11, 6, 5)
    scored = api.augment(conditional, tiny_data, 64, filters=("discriminator",))
    scores = conditional.score(drawn(conditional, 0, 64), 0)
    limit = np.quantile(scores, 0.2)
    assert np.array_equal(scored.samples.images[:51], drawn(conditional, 0, 64)[scores >= limit])
    everything = api.augment(conditional, tiny_data, 30)
    for tally in everything.tallies.values():
        assert tally.drawn == tally.kept + sum(tally.dropped.values())
    assert everything.to_json()["classes"]["dark"]["kept"] == 30


@pytest.mark.slow
def test_copies_of_the_data_are_duplicates(conditional, tmp_path):
    own = drawn(conditional, 0, 20)
    others = np.random.default_rng(0).integers(0, 256, (40, 8, 8, 1)).astype(np.uint8)
    labels = np.repeat(np.arange(3), 20)
    np.savez(tmp_path / "x.npz", images=np.concatenate([own, others]), labels=labels, class_names=np.array(CLASSES))
    found = api.augment(conditional, open_data(tmp_path / "x.npz"), 5, filters=("duplicates",))
    assert found.tallies["dark"].dropped["duplicates"] >= 20
    assert not (found.samples.images[0] == own).all((1, 2, 3)).any()


@pytest.mark.slow
def test_a_class_with_too_few_samples_is_named(refused, prose, conditional, tiny_data):
    one_fails = mock.Mock(return_value=lambda images, number: np.full(len(images), number == 1))
    with mock.patch.object(module, "_classifier", one_fails):
        found = api.augment(conditional, tiny_data, 3, filters=("classifier",))
        assert [tally.kept for tally in found.tallies.values()] == [3, 0, 3]
        assert found.tallies["gray"].drawn == 640
        prose("synthetic set", found.lines()[-1])
    with (
        mock.patch.object(module, "_classifier", return_value=lambda images, _: np.full(len(images), True)),
        refused("model.filters_left_none"),
    ):
        api.augment(conditional, tiny_data, 3)


def test_the_classes_must_be_the_models(refused, tiny_data):
    other = make_model("hidden=[8]", "conditional=true", classes=("cat", "dog"))
    with refused("model.classes_differ"):
        api.augment(other, tiny_data, 3)


@pytest.mark.parametrize(("name", "per_class", "filters", "out", "code"), [
    ("model", 3, (), "x.npz", "model.no_labels"),
    ("conditional", 0, (), "x.npz", "cli.per_class_out_of_range"),
    ("conditional", 3, ("clasifier",), "x.npz", "cli.unknown_filter"),
    ("conditional", 3, (), "x.png", "output.unknown_ending"),
    ("conditional", 3, (), "x.tar", "output.unknown_ending"),
])  # fmt: skip
def test_options_of_a_synthetic_set_that_are_refused(refused, request, name, per_class, filters, out, code):
    with refused(code):
        api.check_augment(request.getfixturevalue(name), per_class, filters, out)


def test_half_of_what_is_drawn_is_of_each():
    some = (np.arange(2, dtype=np.uint8).reshape(2, 1, 1, 1), np.array([0, 1]))
    many = (np.arange(10, 15, dtype=np.uint8).reshape(5, 1, 1, 1), np.array([2, 2, 2, 2, 2]))
    for pair in ((some, many), (many, some)):
        images, labels = _in_halves(*pair)
        assert sorted(images.ravel().tolist()) == [0, 0, 0, 1, 1, 10, 11, 12, 13, 14]
        assert np.array_equal(labels == 2, images.ravel() >= 10)
        assert np.array_equal(labels[labels < 2], images.ravel()[labels < 2])


@pytest.mark.slow
def test_images_are_mirrored_where_that_fits(tiny_data, tmp_path):
    assert _classic(tiny_data)[1].endswith("not mirrored (too few images to tell)")
    draws = np.random.default_rng(0)
    noise = draws.integers(0, 255, (160, 8, 8, 1)).astype(np.uint8)
    ramp = (draws.integers(0, 20, (80, 8, 8, 1)) + 25 * np.arange(8)[None, None, :, None]).astype(np.uint8)
    for name, images in (("even", noise), ("sided", np.concatenate([noise[:80], ramp]))):
        np.savez(tmp_path / f"{name}.npz", images=images, labels=np.repeat([0, 1], 80))
    vary, how = _classic(open_data(tmp_path / "even.npz"))
    assert how.endswith("half of them mirrored")
    images = torch.arange(64.0).reshape(1, 1, 1, 64).expand(100, 1, 16, 64)
    rising = (vary(images, torch.Generator().manual_seed(0))[:, 0, 8].diff(dim=1).sum(1) > 0).float().mean()
    assert 0.3 < rising < 0.7
    vary, how = _classic(open_data(tmp_path / "sided.npz"))
    assert vary is shifted
    assert how.endswith("not mirrored (mirrored 1 would be unlike the data)")


def by_brightness(images: np.ndarray, labels: np.ndarray, num_classes: int, *_, **how):
    """Learn the mean of each class; in place of a network that takes a minute."""
    assert {*how} == {"seed", "vary"}
    means = torch.stack([to_float(images[labels == number]).mean() for number in range(num_classes)])
    return lambda batch: (batch, -(batch.mean((1, 2, 3))[:, None] - means).square())


@pytest.mark.slow
def test_a_study_of_images_that_differ_in_brightness(tiny_data, tmp_path):
    samples = Samples(tiny_data.read(range(0, 96, 2)), tiny_data.labels[::2], CLASSES)
    model = make_model("hidden=[8]", "conditional=true", classes=CLASSES)
    reports: list[Progress] = []
    parts = Parts(tiny_data, tiny_data, "tested here")
    with mock.patch.object(study, "train_on_labels", side_effect=by_brightness) as trained:
        found = api.study(model, parts, samples, per_class=(4,), seeds=2, on_progress=reports.append)
    assert [len(call.args[1]) for call in trained.call_args_list] == [12, 12, 96] * 2 + [96, 96, 192] * 2 + [48] * 2
    assert [call.kwargs["seed"] for call in trained.call_args_list] == [0, 0, 0, 1, 1, 1] * 2 + [0, 1]
    assert [call.kwargs["vary"] is shifted for call in trained.call_args_list] == [False, True, False] * 4 + [False] * 2
    assert found.counts == ("4", ALL)
    assert [*found.accuracies] == [REAL, CLASSIC, BOTH, SYNTHETIC]
    assert found.accuracies[REAL][ALL] == (1, 1)
    assert reports[0] == Progress("training classifiers", 0, 14)
    assert reports[-1] == Progress("training classifiers", 14, 14)
    assert (found.num_synthetic, found.trained_on) == (48, 96)
    assert found.lines()[0] == "test accuracy in %, mean and deviation over 2 seeds, 30 kimg each, 48 synthetic images"
    with Image.open(api.draw_study(found, tmp_path / "new" / "study.png")) as picture:
        assert picture.size == (864, 504)


@pytest.mark.slow
def test_a_classifier_is_trained_by_its_seed_on_images_varied_as_asked(tiny_data):
    images, labels, seen = tiny_data.read(range(96)), tiny_data.labels, []

    def vary(batch: torch.Tensor, _: torch.Generator) -> torch.Tensor:
        seen.append(batch.shape)
        return batch

    made = [train_on_labels(images, labels, 3, 1, lambda _: None, seed=seed, vary=vary) for seed in (0, 1)]
    assert seen == [(128, 1, 8, 8)] * 14
    assert weights_digest(made[0]) != weights_digest(made[1])
    assert weights_digest(_fresh(8, 1, 3)) != weights_digest(_fresh(8, 1, 3, 1))


def test_the_sentence_of_a_study_follows_from_its_numbers():
    accuracies = {
        REAL: {"10": (0.5, 0.6), ALL: (0.9, 0.9)},
        CLASSIC: {"10": (0.6, 0.7), ALL: (0.85, 0.85)},
        BOTH: {"10": (0.6, 0.7), ALL: (0.8, 0.81)},
        SYNTHETIC: {ALL: (0.5, 0.5)},
    }
    found = Study(("10", ALL), accuracies, 1, 7, 60_000, ())
    assert found.sentence() == (
        "real and synthetic images together are against real ones alone better with 10 (+10.0, band 0.0), worse with "
        "all (-9.5, band 1.4); against real ones varied worse with all (-4.5, band 1.4), not clearly different with 10 "
        "(+0.0, band 0.0); synthetic ones alone reach 50.0 +- 0.0 % (CAS); generator and filters had learnt from "
        "60,000 labelled images"
    )
    assert found.to_json()["sentence"] == found.sentence()


@pytest.mark.parametrize(("per_class", "seeds", "kimg", "code"), [
    ((4,), 1, 1, "cli.study_out_of_range"),
    ((4,), 2, 0, "cli.study_out_of_range"),
    ((0, 4), 2, 1, "cli.real_out_of_range"),
    ((33,), 2, 1, "data.class_too_small"),
])  # fmt: skip
def test_studies_with_options_out_of_range_are_refused(refused, tiny_data, per_class, seeds, kimg, code):
    with refused(code):
        api.check_study(Parts(tiny_data, tiny_data, ""), per_class, seeds, kimg)
