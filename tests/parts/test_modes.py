"""Counting modes: closed forms, the extractors that tell modes, and stacked images of clothes."""

import math

import numpy as np
import pytest
import torch

from gansmith.data.datasets.base import list_named_sets, named_set
from gansmith.data.open import open_data
from gansmith.evaluation.features import data_info_of, default_extractor
from gansmith.parts.extractors.base import DataInfo, Extractor, extractors
from gansmith.parts.metrics.base import Evidence, Side, metrics
from gansmith.parts.metrics.modes import divergence, histogram


def side(modes: list[int] | None, *, shape: tuple[int, ...] = (28, 28, 3)) -> Side:
    count = 4 if modes is None else len(modes)
    shown = None if modes is None else torch.tensor(modes)
    return Side(np.zeros((count, *shape), np.uint8), torch.zeros(count, 2), modes=shown)


def found(real: list[int], *fake: list[int], num_modes: int = 4):
    return metrics.parse("modes").measure(Evidence(side(real), tuple(map(side, fake)), num_modes=num_modes))


def test_divergence_from_uniform():
    assert divergence(torch.tensor([5.0, 5.0, 5.0, 5.0])) == pytest.approx(0, abs=1e-12)
    assert divergence(torch.tensor([7.0, 0.0, 0.0, 0.0])) == pytest.approx(math.log(4))
    assert divergence(torch.tensor([1.0, 3.0])) == pytest.approx(
        math.log(2) + 0.25 * math.log(0.25) + 0.75 * math.log(0.75)
    )
    assert divergence(torch.zeros(4)) == pytest.approx(math.log(4))
    assert histogram(torch.tensor([0, 2, 2, -1]), 4).tolist() == [1, 0, 2, 0]


def test_modes_of_sets(prose):
    one = found([0, 1, 2, 3], [1, 1, 1, 1], [0, 1, 2, 3])
    assert (one.numbers["modes"].value, one.numbers["modes"].count) == (2.5, 4)
    assert one.numbers["modes"].deviation == pytest.approx(math.sqrt(4.5))
    assert one.numbers["kl"].value == pytest.approx(math.log(4) / 2)
    assert set(one.numbers) == {"modes", "kl"}
    assert one.facts == {"modes": 4, "real_modes": 4, "real_kl": 0.0}
    prose("modes", one.words[0])


def test_samples_between_modes_are_counted():
    numbers = found([0, 1, 2, 3], [0, 1, -1, -1]).numbers
    assert (numbers["modes"].value, numbers["in_modes"].value) == (2, 0.5)


def test_without_known_modes_nothing_is_said(refused):
    evidence = Evidence(side(None), (side(None),))
    with refused("metric.evidence_missing"):
        metrics.parse("modes").evaluate(evidence)
    points = Evidence(side([0, 1], shape=(1, 2, 1)), (side([0, 1], shape=(1, 2, 1)),), num_modes=2)
    assert "coincide by chance" in metrics.parse("memorization").missing(points)
    assert metrics.parse("sliced_wasserstein").missing(points) == "needs images of at least 7 x 7 px"


def gray(value: int) -> np.ndarray:
    return np.full((28, 28, 1), value, np.uint8)


@pytest.fixture(scope="module")
def stacked():
    return open_data("stacked-fashion-sample")


@pytest.fixture(scope="module")
def judge(stacked) -> Extractor:
    assert default_extractor(stacked.spec) == "fashion_stacked"
    return extractors.parse("fashion_stacked").open(data_info_of(stacked), None, lambda *_: None)


@pytest.mark.slow
def test_each_channel_is_an_image_of_the_sample(stacked):
    assert (len(stacked), stacked.spec.height, stacked.spec.channels, stacked.labels) == (20_000, 28, 3, None)
    plain = open_data("fashion-sample")
    known = {image.tobytes() for image in plain.read(range(len(plain)))}
    images = stacked.read(range(200))
    assert all(np.ascontiguousarray(image[..., each]).tobytes() in known for image in images for each in range(3))
    assert (images[..., 0] != images[..., 1]).any((1, 2)).mean() > 0.98
    assert len(np.unique(images.reshape(200, -1), axis=0)) == 200


@pytest.mark.slow
def test_another_seed_or_count_is_another_set():
    part = named_set("stacked-fashion-sample")
    sources = [part.model_copy(update=change).source() for change in ({}, {"seed": 1}, {"count": 7})]
    assert len({source.stamp() for source in sources}) == 3
    first, other, few = (source.scan().items for source in sources)
    assert len(few) == 7
    assert first[0].locator != other[0].locator
    assert few[3].locator == first[3].locator


def test_the_full_set_takes_its_files_from_fashion_mnist(tmp_path):
    listed = {each["name"]: each for each in list_named_sets(tmp_path)}
    assert listed["stacked-fashion"]["folder"] == listed["fashion-mnist"]["folder"]
    assert listed["stacked-fashion"]["splits"] == ["train", "test"]
    assert listed["stacked-fashion"]["here"] is False
    assert listed["stacked-fashion-sample"]["here"] is True


@pytest.mark.slow
def test_the_judge_sees_each_channel_as_fashion_does(stacked, judge):
    images = stacked.read(range(60))
    features, probabilities = judge(images)
    one = extractors.parse("fashion").load()
    seen = [one(np.ascontiguousarray(images[..., each, None])) for each in range(3)]
    assert torch.equal(features, torch.cat([each[0] for each in seen], 1))
    red, green, blue = (each[1].argmax(1) for each in seen)
    assert judge.mode_of(features, probabilities).tolist() == (100 * red + 10 * green + blue).tolist()
    assert (judge.name, judge.num_modes, judge.classes) == ("fashion_stacked", 1000, ())


@pytest.mark.slow
def test_real_images_fill_the_modes_and_one_image_fills_one(stacked, judge):
    modes = judge.mode_of(*judge(stacked.read(range(1500))))
    expected = 1000 * (1 - (1 - 1 / 1000) ** 1500)  # 777 of modes that are drawn evenly
    assert len(modes.unique()) == pytest.approx(expected, abs=40)
    one = judge.mode_of(*judge(np.repeat(stacked.read([0]), 50, axis=0)))
    numbers = metrics.parse("modes").measure(
        Evidence(side(modes.tolist()), (side(one.tolist()),), num_modes=1000)
    ).numbers  # fmt: skip
    assert numbers["modes"].value == 1
    assert numbers["kl"].value == pytest.approx(math.log(1000))


def test_gray_images_are_refused(refused, tmp_path):
    domain = DataInfo(28, 28, 1, (), "x", lambda: (np.stack([gray(0)] * 2), None), tmp_path)
    with refused("metric.images_unfit_for_extractor"):
        extractors.parse("fashion_stacked").open(domain, None, lambda *_: None)
    with refused("metric.images_unfit_for_extractor"):
        extractors.parse("points").open(domain, None, lambda *_: None)


def test_points_show_the_mode_that_they_are_near_to():
    data = open_data("ring-8")
    judge = extractors.parse(default_extractor(data.spec)).open(data_info_of(data), None, lambda *_: None)
    images = np.array([[230, 128], [230, 140], [128, 128]], np.uint8).reshape(-1, 1, 2, 1)  # in, .09 off, far
    features, probabilities = judge(images)
    assert features[2].tolist() == pytest.approx([0.004, 0.004], abs=1e-3)
    assert probabilities.argmax(1)[:2].tolist() == [0, 0]
    assert judge.mode_of(features, probabilities).tolist() == [0, -1, -1]
    real = judge.mode_of(*judge(data.read(range(len(data)))))
    assert (real < 0).double().mean() == pytest.approx(math.exp(-4.5), abs=0.005)  # beyond 3 deviations of a Gaussian
    no_modes = open_data("swiss-roll")
    judge = extractors.parse("points").open(data_info_of(no_modes), None, lambda *_: None)
    assert (judge.num_modes, judge(images)[1].shape) == (0, (3, 0))
