"""The extractors that need no download, and the network that they share."""

import numpy as np
import pytest
import torch

from gansmith.data.open import open_data
from gansmith.evaluation import features
from gansmith.parts.extractors import own
from gansmith.parts.extractors.base import DataInfo
from gansmith.parts.extractors.convnet import (
    ConvNet,
    _view,
    folded,
    input_side,
    resized,
    train_on_labels,
    train_on_views,
    weights_digest,
)
from gansmith.parts.extractors.fashion import CLASSES, Fashion
from gansmith.parts.extractors.own import Own


def stripes(count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return gray 12 x 12 px images with horizontal, vertical or no stripes, and their labels 0, 1 and 2."""
    draws = np.random.default_rng(seed)
    labels = np.arange(count) % 3
    images = draws.integers(0, 90, (count, 12, 12, 1))
    for index, label in enumerate(labels):
        start = draws.integers(3)
        if label == 0:
            images[index, start::3] += 150
        elif label == 1:
            images[index, :, start::3] += 150
    return images.astype(np.uint8), labels.astype(np.int64)


def data_info_of(images, labels, cache, classes=("lying", "standing", "none")) -> DataInfo:
    return DataInfo(12, 12, 1, classes, "abc", lambda: (images, labels), cache)


@pytest.mark.slow
def test_own_learns_the_labels_once_and_is_kept(tmp_path):
    images, labels = stripes(300)
    steps = []
    part = Own(kimg_with_labels=3)
    extractor = part.open(data_info_of(images, labels, tmp_path), None, steps.append)
    test_images, test_labels = stripes(150, seed=1)
    features, probabilities = extractor(test_images)
    assert features.shape == (150, 128)
    assert (probabilities.argmax(1).numpy() == test_labels).mean() > 0.9
    assert (steps[-1].done, steps[-1].total) == (2944, 3000)
    steps.clear()
    again = part.open(data_info_of(None, None, tmp_path), None, steps.append)
    assert again.sha256 == extractor.sha256
    assert not steps
    assert torch.equal(again(test_images)[0], features)


@pytest.mark.slow
def test_own_works_without_labels(tmp_path):
    images, _ = stripes(300)
    info = data_info_of(images, None, tmp_path, classes=())
    extractor = Own(kimg_without=1).open(info, None, lambda *_: None)
    features, probabilities = extractor(images)
    assert features.shape == (300, 128)
    assert probabilities.shape == (300, 0)


@pytest.mark.slow
def test_training_on_views_brings_views_of_an_image_together():
    images = np.random.default_rng(0).integers(0, 256, (100, 3, 3, 1)).repeat(4, 1).repeat(4, 2).astype(np.uint8)
    draws = torch.Generator().manual_seed(1)
    views = [_view(resized(images, 12), draws) for _ in range(2)]

    @torch.no_grad()
    def found(network: ConvNet) -> float:
        """Return how often the nearest of all second views is that of the same image."""
        left, right = (network.eval()(each)[0] for each in views)
        left, right = (each / each.norm(dim=1, keepdim=True) for each in (left - left.mean(0), right - right.mean(0)))
        return float(((left @ right.T).argmax(1) == torch.arange(100)).float().mean())

    assert found(train_on_views(images, 8, lambda _: None)) > found(ConvNet(12, 1, 0)) + 0.2


def test_own_refuses_too_few_images(refused, tmp_path):
    images, labels = stripes(150)
    with refused("metric.too_few_training_images"):
        Own().open(data_info_of(images, labels, tmp_path), None, lambda *_: None)


@pytest.mark.slow
def test_training_is_deterministic():
    images, labels = stripes(200)
    digests = [weights_digest(train_on_labels(images, labels, 3, 1, lambda _: None)) for _ in range(2)]
    assert digests[0] == digests[1]
    digests = [weights_digest(train_on_views(images, 1, lambda _: None)) for _ in range(2)]
    assert digests[0] == digests[1]


@pytest.mark.slow
def test_the_shipped_judge_knows_the_built_in_images(tmp_path):
    data = open_data("fashion-sample")
    extractor = Fashion().open(DataInfo(28, 28, 1, CLASSES, "", lambda: None, tmp_path), None, lambda *_: None)
    some = np.arange(0, 10_000, 50)
    features, probabilities = extractor(data.read(some))
    assert features.shape == (200, 128)
    assert (probabilities.argmax(1).numpy() == data.read_labels(some)).mean() > 0.9
    torch.testing.assert_close(probabilities.sum(1), torch.ones(200))


@pytest.mark.parametrize(("side", "channels"), [(8, 1), (28, 1), (32, 3), (64, 3), (48, 4)])
def test_the_network_takes_every_size(side, channels):
    network = ConvNet(side, channels, 5).eval()
    features, logits = network(torch.zeros(2, channels, side, side))
    assert (features.shape, logits.shape) == ((2, 128), (2, 5))
    assert sum(parameter.numel() for parameter in network.parameters()) < 700_000


def test_images_are_resized_to_at_most_64_px():
    assert [input_side(28, 28), input_side(48, 64), input_side(256, 128)] == [28, 64, 64]
    images = np.full((2, 100, 50, 3), 200, np.uint8)
    assert resized(images, 64).shape == (2, 3, 64, 64)
    torch.testing.assert_close(resized(images, 64), torch.full((2, 3, 64, 64), 200 / 127.5 - 1))


def test_folding_batch_norm_changes_no_feature():
    torch.manual_seed(0)
    network = ConvNet(28, 1, 10)
    for layer in network.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            layer.running_mean.normal_(0, 0.3)
            layer.running_var.uniform_(0.3, 3)
    images = torch.randn(5, 1, 28, 28)
    network.eval().requires_grad_(False)
    quick = folded(network)
    assert not any(isinstance(layer, torch.nn.BatchNorm2d) for layer in quick.modules())
    for one, two in zip(network(images), quick(images), strict=True):
        torch.testing.assert_close(one, two, rtol=1e-4, atol=1e-5)


def test_own_is_kept_for_the_images_it_saw_alone(tiny_file):
    paths = set()
    for seed in range(2):
        data = open_data(tiny_file, holdout=0.1, seed=seed)
        paths.add(Own().kept_at(features.data_info_of(data)))
    assert len(paths) == 2, "another seed holds out other images, which the extractor of the first seed has seen"


def test_own_learns_once_from_the_same_images(tmp_path, monkeypatch):
    """A second command reads its weights; weights that are damaged are learnt again."""
    learnt = []

    def learn(images, kimg, on_step):
        learnt.append(len(images))
        torch.manual_seed(len(learnt))
        return ConvNet(input_side(*images.shape[1:3]), images.shape[3], 0).eval()

    monkeypatch.setattr(own, "train_on_views", learn)
    monkeypatch.setattr(own, "FEWEST", 2)
    domain = data_info_of(stripes(30)[0], None, tmp_path, ())
    first, second = (Own().open(domain, None, lambda *_: None) for _ in range(2))
    assert len(learnt) == 1
    assert first.sha256 == second.sha256
    path = Own().kept_at(domain)
    whole = path.read_bytes()
    for damaged in (whole[:-100], whole[:-100] + bytes(100), b""):
        path.write_bytes(damaged)
        assert Own().open(domain, None, lambda *_: None).sha256 != first.sha256
        assert path.stat().st_size == len(whole)
    assert len(learnt) == 4
