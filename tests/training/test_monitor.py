"""The metrics of a snapshot, its modes, and the interval between snapshots."""

import numpy as np
import pytest
import torch

from gansmith.core.metric_name import MetricName, column_of
from gansmith.data.open import open_data
from gansmith.evaluation.snapshot import SnapshotEvaluator, open_snapshot_extractor, snapshot_inputs
from gansmith.evaluation.thresholds import Thresholds, gone
from gansmith.parts.metrics.frechet import frechet_distance, moments
from gansmith.recipes.load import load_recipe
from gansmith.recipes.recipe import MonitorOptions
from gansmith.runs.length import RunLength
from gansmith.runs.log import measure
from gansmith.training import monitor as monitor_module
from gansmith.training.monitor import Monitor, choose_interval
from gansmith.training.state import RunState, copy_weights, update_ratios
from gansmith.web.judge import meaning_of
from small_runs import small

OPTIONS = MonitorOptions(images=400, reference=1000)


@pytest.fixture(scope="module")
def fashion():
    return open_data("fashion-sample")


@pytest.fixture(scope="module")
def monitor(fashion) -> SnapshotEvaluator:
    return SnapshotEvaluator.open(fashion, open_snapshot_extractor(fashion, None), OPTIONS)


def others(fashion, count: int = 400) -> np.ndarray:
    """Images that the monitor has not seen: its own are the first thousand of a shuffle."""
    from gansmith.core.randomness import epoch_order

    return fashion.read(epoch_order(0, 0, len(fashion))[5000 : 5000 + count])


def classes_of(fashion, *numbers: int, count: int = 400) -> np.ndarray:
    places = np.flatnonzero(np.isin(fashion.labels, numbers))
    return fashion.read(places[-count:])


@pytest.mark.slow
def test_real_images_look_real(monitor, fashion):
    snapshot = monitor.evaluate(others(fashion))
    assert column_of(snapshot, "fd") == "fd400_fashion_train"
    assert measure(snapshot, "fd") < 0.15 * snapshot["fd_of_one"]
    assert measure(snapshot, "coverage") > 0.8
    assert measure(snapshot, "diversity") == pytest.approx(1, abs=0.05)
    assert measure(snapshot, "copies") < 0.03
    assert measure(snapshot, "missing") == 0
    assert set(snapshot["modes"]) == set(fashion.spec.classes)
    assert sum(real for real, _ in snapshot["modes"].values()) == pytest.approx(1, abs=1e-3)


@pytest.mark.slow
def test_the_studio_tells_what_each_number_means(monitor, fashion):
    images = others(fashion, 50)
    names = [name for name in map(MetricName.parse, monitor.evaluate(images, images)) if name]
    assert {"fd", "missing", "raw_fd", "texture_median"} <= {name.metric for name in names}
    assert [str(name) for name in names if not meaning_of(str(name)).asks] == []


@pytest.mark.slow
def test_one_repeated_image_has_no_variety(monitor, fashion):
    snapshot = monitor.evaluate(np.repeat(others(fashion, 1), 400, axis=0))
    assert measure(snapshot, "diversity") == pytest.approx(0, abs=1e-3)
    assert measure(snapshot, "missing") == 0.9
    assert measure(snapshot, "coverage") < 0.05


@pytest.mark.slow
def test_the_average_image_gets_what_fd_of_one_says(monitor):
    mean = monitor.features.double().mean(0)
    same = moments(mean.repeat(400, 1))
    assert monitor.evaluate(np.zeros((400, 28, 28, 1), np.uint8))["fd_of_one"] == pytest.approx(
        frechet_distance(monitor.moments, same), rel=1e-6
    )


@pytest.mark.slow
def test_classes_that_are_gone_are_named(monitor, fashion):
    snapshot = monitor.evaluate(classes_of(fashion, 0, *range(2, 8), 9))
    assert gone(snapshot, Thresholds()) == ["Trouser", "Bag"]
    assert measure(snapshot, "missing") == 0.2
    assert measure(snapshot, "diversity") < 1


@pytest.mark.slow
def test_copies_are_seen(monitor, fashion):
    from gansmith.core.randomness import epoch_order

    images = fashion.read(epoch_order(0, 0, len(fashion))[:400])
    assert measure(monitor.evaluate(images), "copies") > 0.95
    noisy = np.clip(images + np.random.default_rng(0).normal(0, 60, images.shape), 0, 255).astype(np.uint8)
    assert measure(monitor.evaluate(noisy), "copies") < 0.5


@pytest.mark.slow
def test_without_a_classifier_the_modes_are_groups_named_after_their_labels(fashion, tmp_path):
    monitor = SnapshotEvaluator.open(fashion, open_snapshot_extractor(fashion, "untrained"), OPTIONS)
    names = list(monitor.evaluate(others(fashion))["modes"])
    assert len(names) == 40
    assert names[0].startswith("group 1 (mostly ")
    assert {name.partition("mostly ")[2].rstrip(")") for name in names} <= set(fashion.spec.classes)
    lost = gone(monitor.evaluate(classes_of(fashion, 0, *range(2, 10))), Thresholds())
    trousers = [name for name in names if "Trouser" in name]
    assert trousers
    assert set(lost) & set(trousers)
    assert not set(gone(monitor.evaluate(others(fashion)), Thresholds())) & set(trousers)
    np.savez(tmp_path / "plain.npz", images=fashion.read(np.arange(600)))
    plain = open_data(tmp_path / "plain.npz")
    evaluator = SnapshotEvaluator.open(plain, open_snapshot_extractor(plain, None), OPTIONS)
    assert list(evaluator.evaluate(others(fashion))["modes"])[:2] == ["group 1", "group 2"]


@pytest.mark.slow
def test_an_untrained_extractor_is_the_same_every_time_and_leaves_the_random_numbers_alone(tiny_data):
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    one, two = (open_snapshot_extractor(tiny_data, "untrained") for _ in range(2))
    assert torch.equal(torch.random.get_rng_state(), before)
    assert one.sha256 == two.sha256
    features, probabilities = one(tiny_data.read(np.arange(8)))
    assert features.shape == (8, 128)
    assert probabilities.shape == (8, 0)
    assert bool(features.isfinite().all())
    assert features.std(0).mean() > 0.01


def test_labels_of_snapshots_come_as_often_as_in_the_data(tiny_data):
    recipe = load_recipe("mlp-small", (*small("mlp-small"), "conditional=true"))
    method = recipe.method.build(tiny_data.spec)
    draws = snapshot_inputs(method, tiny_data, MonitorOptions(images=300), 1)
    assert torch.bincount(draws.labels).tolist() == [100, 100, 100]
    assert not torch.equal(draws.inputs, snapshot_inputs(method, tiny_data, MonitorOptions(images=300), 2).inputs)


class Costs:
    """A monitor whose snapshots take a second each, the first one two more."""

    def cost_sec(self) -> tuple[float, float]:
        return 2.0, 1.0


def length_of(kimg: float = 1000.0, checkpoints: int = 20) -> RunLength:
    return RunLength(kimg, 10_000, 10, 10, 10_000 // checkpoints, "a test")


@pytest.mark.parametrize(("seconds", "snapshots"), [
    (6000, 20), (560, 20), (540, 10), (310, 10), (290, 6.67), (180, 5), (170, 3.33), (135, 3.33), (130, 0), (5, 0),
])  # fmt: skip
def test_snapshots_take_a_small_share_of_the_predicted_time(seconds, snapshots):
    every = choose_interval(length_of(), MonitorOptions(), 1_000_000 / seconds, Costs())
    assert every % 500 == 0
    assert (10_000 / every if every else 0) == pytest.approx(snapshots, abs=0.01)
    assert not every or 2 + 10_000 / every <= monitor_module.SNAPSHOT_SHARE * seconds


def test_not_every_one_of_many_checkpoints_has_a_snapshot():
    every = choose_interval(length_of(checkpoints=2000), MonitorOptions(), 1000.0, Costs())
    assert 16 <= 10_000 / every <= 33


def test_the_interval_of_snapshots_can_be_set_or_be_never():
    def every(snapshot_kimg: float | None, of: object = Costs()) -> int:
        return choose_interval(length_of(), MonitorOptions(snapshot_kimg=snapshot_kimg), 1e9, of)

    assert every(100.0) == 1000
    assert every(1.0) == 500  # no oftener than checkpoints
    assert every(0) == 0
    assert every(None) == 0  # over in a millisecond
    assert every(100.0, None) == 0  # a method without latents


@pytest.mark.slow
def test_the_predicted_cost_is_about_the_real_one(fashion, runtime, monkeypatch):
    import time

    monkeypatch.setattr(time, "perf_counter", time.process_time)  # which does not count what else the machine does
    recipe = load_recipe("vanilla")
    state = RunState.fresh(recipe, fashion.spec, 0, runtime)
    monitor = Monitor(state, fashion, MonitorOptions(images=1000), open_snapshot_extractor(fashion, None))
    monitor.evaluate()
    ratios = []
    for _ in range(3):  # a shared cache makes some timings lie
        _, predicted = monitor.cost_sec()
        start = time.perf_counter()
        monitor.evaluate()
        ratios.append((time.perf_counter() - start) / predicted)
    assert 0.2 < sorted(ratios)[1] < 5


def test_update_ratios(tiny_data, runtime):
    state = RunState.fresh(load_recipe("mlp-small", tuple(small("mlp-small"))), tiny_data.spec, 0, runtime)
    before = copy_weights(state)
    assert update_ratios(state, before) == {"update_generator": 0, "update_discriminator": 0}
    with torch.no_grad():
        for parameter in state.trainable["generator"]:
            parameter.mul_(1.01)
    moved = update_ratios(state, before)
    assert moved["update_generator"] == pytest.approx(0.01, rel=1e-3)
    assert moved["update_discriminator"] == 0
