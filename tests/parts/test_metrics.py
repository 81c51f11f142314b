"""Metrics against closed forms, against what must rise or fall, and against torch-fidelity on the same features."""

import math
from typing import Any

import numpy as np
import pytest
import torch

from gansmith.parts.metrics import memorization
from gansmith.parts.metrics.base import BLOCKS, Evidence, Side, jackknife, metrics, over_sets, radii, squared_distances
from gansmith.parts.metrics.bins import cluster, proportions_differ
from gansmith.parts.metrics.class_coverage import evenness, shares
from gansmith.parts.metrics.density_coverage import coverage, density
from gansmith.parts.metrics.diversity import mean_distance
from gansmith.parts.metrics.frechet import Moments, frechet_distance, frechet_distances, moments
from gansmith.parts.metrics.inception_score import inception_score
from gansmith.parts.metrics.kernel import kernel_distance
from gansmith.parts.metrics.memorization import nearer, nearest
from gansmith.parts.metrics.precision_recall import precision, recall
from gansmith.parts.metrics.sliced_wasserstein import laplacian_pyramid, sliced_wasserstein
from gansmith.parts.metrics.texture import LARGEST_STEP, detail, median_of, spectrum


@pytest.fixture
def fidelity() -> Any:
    """torch_fidelity, imported here: its import takes a second, and every process of the tests reads this file."""
    import torch_fidelity.metric_fid
    import torch_fidelity.metric_isc
    import torch_fidelity.metric_kid
    import torch_fidelity.metric_prc

    return torch_fidelity


def cloud(count: int, width: int = 8, *, seed: int = 0, scale: float = 1.0, shift: float = 0.0) -> torch.Tensor:
    draws = np.random.default_rng(seed)
    return torch.from_numpy(draws.standard_normal((count, width)) * scale + shift).float()


def side(features: torch.Tensor, **more) -> Side:
    return Side(np.zeros((len(features), 14, 14, 1), np.uint8), features, **more)


def found(kind: str, real: torch.Tensor, *fake: torch.Tensor, training: torch.Tensor | None = None, **fields) -> dict:
    seen = None if training is None else side(training)
    evidence = Evidence(side(real), tuple(side(each) for each in fake), seen)
    return metrics.parse({"kind": kind, **fields}).evaluate(evidence).numbers


# ---- Fréchet distance


def test_frechet_distance_of_two_gaussians():
    real = Moments(torch.zeros(3).double(), torch.diag(torch.tensor([1.0, 4.0, 9.0]).double()))
    fake = Moments(torch.tensor([1.0, 2.0, 2.0]).double(), torch.diag(torch.tensor([4.0, 4.0, 1.0]).double()))
    # ||m||^2 = 9; for diagonal covariances sum (s_r - s_f)^2 = (1 - 2)^2 + 0 + (3 - 1)^2
    assert frechet_distance(real, fake) == pytest.approx(14, rel=1e-12)
    assert frechet_distance(fake, real) == pytest.approx(14, rel=1e-12)
    turn = torch.linalg.qr(cloud(3, 3).double()).Q  # turned together, nothing changes
    turned = [Moments(turn @ each.mean, turn @ each.covariance @ turn.T) for each in (real, fake)]
    assert frechet_distance(*turned) == pytest.approx(14, rel=1e-9)


def test_frechet_distance_of_identical_sets_is_zero_and_of_wide_features_too():
    features = cloud(50, 80)  # fewer images than features: covariances without full rank
    assert frechet_distances(features, [features])[0] == pytest.approx(0, abs=1e-5)
    assert frechet_distances(features, [features + 1])[0] == pytest.approx(80, rel=1e-5)


@pytest.mark.slow
def test_frechet_distance_agrees_with_torch_fidelity(fidelity):
    real, fake = cloud(400, 20).double(), cloud(300, 20, seed=1, scale=1.3, shift=0.2).double()
    fid = fidelity.metric_fid
    theirs = fid.fid_statistics_to_metric(
        *(fid.fid_features_to_statistics(each) for each in (real, fake)), verbose=False
    )
    assert frechet_distance(moments(real), moments(fake)) == pytest.approx(
        theirs["frechet_inception_distance"], rel=1e-6
    )


def test_its_deviation_is_over_independent_sets():
    fakes = [cloud(200, seed=seed) for seed in range(1, 5)]
    number = found("frechet", cloud(500), *fakes)["fd"]
    values = frechet_distances(cloud(500), fakes)
    assert (number.value, number.deviation) == pytest.approx((np.mean(values), np.std(values, ddof=1)))
    assert (number.count, number.over) == (200, "4 independent fake sets")
    assert over_sets([1.0], 10).deviation is None


# ---- kernel distance


def test_kernel_distance_closed_form():
    # one feature, points 0 and 1 against 2 and 2: k(0,1) = 1, k(2,2) = 125, k(0,2) = 1, k(1,2) = 27
    real, fake = torch.tensor([[0.0], [1.0]]), torch.tensor([[2.0], [2.0]])
    assert kernel_distance(real, fake) == pytest.approx(1 + 125 - 2 * (1 + 27) / 2)


def test_kernel_distance_agrees_with_torch_fidelity(fidelity):
    real, fake = cloud(300).double(), cloud(300, seed=1, shift=0.3).double()
    theirs = fidelity.metric_kid.kid_features_to_metric(real, fake, kid_subsets=1, kid_subset_size=300, verbose=False)
    assert kernel_distance(real, fake) == pytest.approx(theirs["kernel_inception_distance_mean"], rel=1e-6)


@pytest.mark.slow
def test_kernel_distance_is_unbiased_and_sees_a_shift():
    same = found("kernel", cloud(400), cloud(400, seed=1))["kid"]
    other = found("kernel", cloud(400), cloud(400, seed=1, shift=0.5))["kid"]
    assert abs(same.value) < 3 * same.deviation
    assert other.value > 10 * other.deviation / math.sqrt(100)
    assert same.over == "100 subsets of 200"


# ---- precision, recall, density, coverage


def manifold(real: torch.Tensor, fake: torch.Tensor) -> tuple[float, float]:
    across = squared_distances(real, fake)
    own = [radii(squared_distances(each, each), 3) for each in (real, fake)]
    return precision(across, own[0]), recall(across, own[1])


def test_precision_and_recall_agree_with_torch_fidelity_side_by_side(fidelity):
    real, fake = cloud(300, 4), cloud(280, 4, seed=1, scale=0.5)
    theirs = fidelity.metric_prc.calculate_precision_recall_full(fake, real)  # they name the generated side first
    mine = manifold(real, fake)
    assert mine == pytest.approx(theirs[:2], rel=1e-6)
    assert mine[0] > mine[1] + 0.1  # narrow fakes are precise and cover little: the sides are not swapped


@pytest.mark.slow
def test_noisy_fakes_lose_precision_and_dropped_modes_lose_recall():
    modes = torch.tensor([[0.0, 0.0], [20.0, 0.0], [0.0, 20.0], [20.0, 20.0]])
    real = cloud(400, 2) + modes.repeat(100, 1)
    good = cloud(400, 2, seed=1) + modes.repeat(100, 1)
    noisy = torch.cat([good, cloud(400, 2, seed=2, scale=60)])
    dropped = cloud(400, 2, seed=1) + modes[:2].repeat(200, 1)
    baseline, with_noise, with_drop = (manifold(real, fake) for fake in (good, noisy, dropped))
    assert with_noise[0] < baseline[0] - 0.3
    assert with_noise[1] > baseline[1] - 0.05
    assert with_drop[1] < baseline[1] - 0.3
    assert with_drop[0] > baseline[0] - 0.05


def test_coverage_counts_dropped_modes_and_density_is_not_fooled_by_an_outlier():
    modes = torch.tensor([[0.0, 0.0], [20.0, 0.0], [0.0, 20.0], [20.0, 20.0]])
    real = cloud(400, 2) + modes.repeat(100, 1)
    own = radii(squared_distances(real, real), 5)
    for kept, expected in ((4, 1.0), (2, 0.5), (1, 0.25)):
        fake = cloud(400, 2, seed=1) + modes[:kept].repeat(400 // kept, 1)
        assert coverage(squared_distances(real, fake), own) == pytest.approx(expected, abs=0.06)
    # fakes around one real outlier: inside its huge ball (precision 1), in no dense neighbourhood (density low)
    outlier = torch.tensor([[500.0, 500.0]])
    around = cloud(100, 2, seed=3) + outlier
    with_outlier = torch.cat([real, outlier])
    wide = radii(squared_distances(with_outlier, with_outlier), 5)
    across = squared_distances(with_outlier, around)
    assert precision(across, wide) == 1
    assert density(across, wide, 5) == pytest.approx(0.2)  # one neighbourhood of five


def test_density_of_real_images_is_one():
    real, fake = cloud(1000, 3), cloud(1000, 3, seed=1)
    assert density(squared_distances(real, fake), radii(squared_distances(real, real), 5), 5) == pytest.approx(1, 0.05)


def test_jackknife_of_a_mean_is_its_standard_error():
    values = torch.arange(1000) % 7 * 1.0
    shuffled = values[torch.from_numpy(np.random.default_rng(0).permutation(1000))]
    number = jackknife(lambda kept: float(shuffled[kept].mean()), 1000)
    assert number.value == pytest.approx(float(values.mean()))
    assert number.deviation == pytest.approx(float(values.std()) / math.sqrt(1000), rel=0.6)


def test_distances_are_those_of_torch():
    left, right = cloud(20, 5, shift=100), cloud(30, 5, seed=1, shift=100)
    exact = torch.cdist(left.double(), right.double()).float()
    torch.testing.assert_close(squared_distances(left, right).sqrt(), exact, rtol=1e-4, atol=1e-4)
    assert squared_distances(left, left).min() >= 0


# ---- scores of classes


def test_inception_score_closed_forms(fidelity):
    assert inception_score(torch.eye(10).repeat(5, 1)) == pytest.approx(10)
    assert inception_score(torch.eye(10)[:1].repeat(50, 1)) == pytest.approx(1)
    assert inception_score(torch.full((50, 10), 0.1)) == pytest.approx(1)
    logits = cloud(300, 6)
    theirs = fidelity.metric_isc.isc_features_to_metric(logits, splits=1, shuffle=False)["inception_score_mean"]
    assert inception_score(logits.double().softmax(1)) == pytest.approx(theirs, rel=1e-6)


def classified(counts: list[int]) -> torch.Tensor:
    return torch.eye(len(counts))[torch.tensor([i for i, count in enumerate(counts) for _ in range(count)])]


def test_class_coverage_names_missing_and_too_frequent_classes(prose):
    real, fake = classified([100, 100, 100, 100]), classified([250, 100, 45, 5])
    evidence = Evidence(
        side(real, probabilities=real), (side(fake, probabilities=fake),), classes=("hat", "coat", "bag", "shoe")
    )
    result = metrics.parse("class_coverage").evaluate(evidence)
    prose("class_coverage", "\n".join(result.words))
    assert result.facts["fake_shares"] == [0.625, 0.25, 0.1125, 0.0125]
    assert result.numbers["missing_classes"].value == 1
    assert evenness(shares(real)) == pytest.approx(4)
    assert evenness(shares(classified([10, 0, 0]))) == pytest.approx(1)
    assert result.numbers["classes"].value == pytest.approx(evenness(shares(fake)))


def test_label_accuracy(prose):
    fake, real = classified([60, 40]), classified([50, 50])
    asked = torch.cat([torch.zeros(50), torch.ones(50)]).long()
    evidence = Evidence(
        side(real, probabilities=real, labels=asked),
        (side(fake, probabilities=fake, labels=asked),),
        classes=("a", "b"),
    )
    result = metrics.parse("label_accuracy").evaluate(evidence)
    assert result.numbers["label_accuracy"].value == pytest.approx(0.9)
    assert result.facts["by_class"] == [1.0, 0.8]
    prose("label_accuracy", "\n".join(result.words))


# ---- variety and modes without labels


def test_diversity_is_relative_to_real_images():
    assert found("diversity", cloud(500), cloud(500, seed=1))["diversity"].value == pytest.approx(1, abs=0.03)
    assert found("diversity", cloud(500), cloud(500, seed=1, scale=0.25))["diversity"].value == pytest.approx(
        0.25, 0.05
    )
    assert found("diversity", cloud(500), torch.ones(500, 8))["diversity"].value == pytest.approx(0, abs=1e-3)
    assert mean_distance(torch.tensor([[0.0], [3.0], [6.0]])) == pytest.approx(4)


def test_bins_see_an_empty_group_and_leave_real_images_alone():
    modes = torch.eye(8) * 20
    real = cloud(4000) + modes.repeat(500, 1)
    same = cloud(2000, seed=1) + modes.repeat(250, 1)
    dropped = cloud(2000, seed=1) + modes[:4].repeat(500, 1)
    fine, gone = (found("bins", real, fake, most_bins=16) for fake in (same, dropped))
    assert fine["ndb"].value <= 0.2
    assert fine["empty_bins"].value == 0
    assert gone["ndb"].value > 0.8
    assert 0.3 < gone["empty_bins"].value < 0.7


def test_two_proportions():
    # 50 of 100 against 80 of 200: pooled 130/300
    z = proportions_differ(torch.tensor([50.0, 50.0]), torch.tensor([80.0, 120.0]))
    expected = (0.4 - 0.5) / math.sqrt(130 / 300 * 170 / 300 * (1 / 100 + 1 / 200))
    assert z.tolist() == pytest.approx([expected, -expected])


def test_clusters_are_found_and_points_of_one_place_give_one():
    points = torch.cat([cloud(50, 2, seed=i, scale=0.1) + 10 * torch.tensor([i % 3, i // 3]) for i in range(6)])
    centres = cluster(points, 6, seed=0)
    assert squared_distances(points, centres).min(1).values.max() < 1
    assert len(cluster(torch.ones(40, 2), 5, seed=0)) == 1


# ---- memorization


def test_copies_are_called_copies_and_held_out_images_are_not(prose):
    training, held_out, new = cloud(2000), cloud(1000, seed=1), cloud(1000, seed=2)
    evidence = Evidence(side(held_out), (side(new),), side(training))
    honest = metrics.parse("memorization").evaluate(evidence)
    assert honest.numbers["nearer"].value == pytest.approx(0.5, abs=0.05)
    assert honest.numbers["copies"].value < 0.02
    prose("memorization", honest.words[0])
    copies = torch.cat([training[:300] + 0.01 * cloud(300, seed=3), new[:700]])
    caught = metrics.parse("memorization").evaluate(Evidence(side(held_out), (side(copies),), side(training)))
    assert caught.numbers["copies"].value == pytest.approx(0.3, abs=0.03)
    prose("memorization", caught.words[0])
    assert all(sample == image for sample, image, _ in caught.facts["pairs"])


def test_nearer_is_a_chance():
    near, far = torch.tensor([1.0, 2.0]), torch.tensor([3.0, 4.0])
    assert nearer(near, far) == 1
    assert nearer(far, near) == 0
    assert nearer(near, near) == 0.5
    assert nearer(torch.tensor([3.0]), far) == 0.75  # one tie, one above
    distances, which = nearest(torch.tensor([[0.0], [10.0]]), torch.tensor([[9.0], [1.0], [50.0]]))
    assert (distances.tolist(), which.tolist()) == (pytest.approx([1, 1]), [1, 0])


# ---- sliced Wasserstein distance


def pictures(seed: int) -> np.ndarray:
    draws = np.random.default_rng(seed)
    small = torch.from_numpy(draws.integers(0, 256, (200, 1, 7, 7))).float()
    blocks = torch.nn.functional.interpolate(small, scale_factor=4, mode="nearest")
    return blocks.permute(0, 2, 3, 1).numpy().astype(np.uint8)


def test_a_pyramid_holds_the_whole_image():
    images = cloud(4, 28 * 28).reshape(4, 1, 28, 28)
    fine, coarse = laplacian_pyramid(images)
    assert (fine.shape, coarse.shape) == ((4, 1, 28, 28), (4, 1, 14, 14))
    smooth = torch.ones(1, 1, 28, 28)
    assert laplacian_pyramid(smooth)[0].abs().max() < 1e-6
    assert laplacian_pyramid(smooth)[1].sub(1).abs().max() < 1e-6
    assert len(laplacian_pyramid(torch.zeros(1, 3, 64, 64))) == 3


@pytest.mark.slow
def test_sliced_wasserstein_closed_form_and_order():
    points, lines = torch.tensor([[0.0], [1.0]]), torch.ones(1, 1)
    assert sliced_wasserstein(points, torch.tensor([[3.0], [2.0]]), lines) == pytest.approx(2)
    real, other = pictures(0), pictures(1)
    noisy = np.clip(other + np.random.default_rng(2).normal(0, 40, other.shape), 0, 255).astype(np.uint8)
    blurred = torch.nn.functional.avg_pool2d(torch.from_numpy(other).permute(0, 3, 1, 2).float(), 5, 1, 2)
    blurred = blurred.permute(0, 2, 3, 1).numpy().astype(np.uint8)

    def distance(images: np.ndarray) -> float:
        evidence = Evidence(Side(real, cloud(200)), (Side(images, cloud(200)),) * 4)
        return metrics.parse("sliced_wasserstein").evaluate(evidence).numbers["swd"].value

    assert distance(real) == pytest.approx(0, abs=1e-4)
    assert distance(other) < distance(noisy) / 1.5
    assert distance(other) < distance(blurred) / 1.5


# ---- what is missing


@pytest.mark.parametrize("kind", metrics.names())
def test_too_few_images_are_refused_with_both_numbers(refused, kind):
    probabilities = torch.eye(2)[torch.zeros(5).long()]
    none = torch.zeros(5).long()
    few = side(cloud(5), probabilities=probabilities, labels=none, modes=none)
    evidence = Evidence(few, (few,) * 4, few, ("a", "b"), 2)
    with refused("metric.evidence_missing"):
        metrics.parse(kind).evaluate(evidence)


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        ("class_coverage", "metric.evidence_missing"),
        ("label_accuracy", "metric.evidence_missing"),
        ("inception_score", "metric.evidence_missing"),
        ("memorization", "metric.evidence_missing"),
    ],
)
def test_what_else_is_missing_is_said(refused, kind, code):
    plain = side(cloud(500))
    with refused(code):
        metrics.parse(kind).evaluate(Evidence(plain, (plain,)))


def test_features_that_are_not_finite_are_refused(refused):
    broken = cloud(500)
    broken[3, 3] = math.nan
    with refused("metric.features_not_finite"):
        found("frechet", cloud(500), broken)


@pytest.mark.parametrize("kind", metrics.names())
def test_every_metric_says_what_is_best_of_each_number(kind):
    part = metrics.get(kind)
    assert part.best
    assert set(part.best.values()) <= {"low", "high", "one", "zero", "chance"}
    assert "Source: " in part.__doc__


# ---- texture


def flat_with_edges(count: int, *, seed: int = 0, side: int = 56, channels: int = 3) -> np.ndarray:
    """Return images uint8 of two flat halves with a random edge: hardly any fine detail, and none in the median."""
    draws = np.random.default_rng(seed)
    out = np.full((count, side, side, channels), 190, np.uint8)
    for image, edge, level in zip(out, draws.integers(8, side - 8, count), draws.integers(20, 120, count), strict=True):
        image[:, :edge] = level
    return out


def texture(real: np.ndarray, *fake: np.ndarray):
    sides = [Side(images, torch.zeros(len(images), 1)) for images in (real, *fake)]
    return metrics.parse("texture").evaluate(Evidence(sides[0], tuple(sides[1:])))


def with_noise(images: np.ndarray, sigma: float, seed: int = 1) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(0, sigma, images.shape)
    return (images + noise).clip(0, 255).round().astype(np.uint8)


@pytest.mark.slow
def test_texture_of_real_images_is_one_of_grain_higher_of_blur_lower(prose):
    real, others = with_noise(flat_with_edges(200), 3, 7), with_noise(flat_with_edges(200, seed=1), 3, 8)
    same = texture(real, others)
    assert same.numbers["texture"].value == pytest.approx(1, abs=0.03)
    assert abs(same.numbers["texture"].value - 1) < 3 * same.numbers["texture"].deviation
    assert abs(same.numbers["texture_median"].value) <= 1
    assert same.words == ()
    grain = texture(real, with_noise(others, 10))
    assert grain.numbers["texture"].value > 2
    assert grain.numbers["texture_median"].value > 15
    assert grain.numbers["texture_fine"].value > 1.02
    prose("grain", grain.words[0])
    mean = (others + np.roll(others, 1, 1).astype(int) + np.roll(others, 1, 2) + np.roll(others, (1, 1), (1, 2))) // 4
    blur = texture(real, mean.astype(np.uint8), mean.astype(np.uint8))
    assert blur.numbers["texture"].value < 0.7
    assert blur.numbers["texture"].deviation == 0  # two equal sets
    prose("blur", blur.words[0])


def test_detail_is_the_absolute_laplacian_in_gray_levels():
    images = np.full((2, 9, 9, 1), 100, np.uint8)
    images[1, 4, 4] = 110
    means, counts, _ = detail(images)
    assert means.tolist() == pytest.approx([0, (40 + 4 * 10) / 49], abs=1e-4)
    assert counts[1].nonzero().flatten().tolist() == [0, 10, 40]
    assert counts.sum(1).tolist() == [49, 49]
    assert (median_of(counts[1]), median_of(torch.tensor([1, 0, 0, 3]))) == (0, 3)
    checks = (np.indices((8, 8)).sum(0) % 2 * 255).astype(np.uint8)[None, :, :, None]
    assert detail(checks)[0].item() == pytest.approx(LARGEST_STEP, abs=1e-3)


def test_colours_of_transparent_pixels_are_no_texture():
    images = with_noise(np.zeros((40, 16, 16, 4), np.uint8) + np.uint8(128), 40)
    images[..., 3] = 0
    assert detail(images)[0].max() == 0


def test_a_spectrum_has_its_peak_at_the_period_of_a_pattern():
    def peak(plane: np.ndarray) -> float:
        frequencies, power = spectrum(plane.round().astype(np.uint8)[None, :, :, None])
        return float(frequencies[power.argmax()])

    for period in (2, 4, 8):
        wave = 128 + 60 * np.cos(2 * np.pi * np.arange(48) / period)
        assert peak(np.broadcast_to(wave, (32, 48))) == pytest.approx(1 / period, abs=1 / 32)
    assert peak(np.indices((32, 32)).sum(0) % 2 * 255) == pytest.approx(math.sqrt(0.5), abs=1 / 32)
    assert spectrum(np.full((3, 32, 32, 1), 77, np.uint8))[1].max() == pytest.approx(0, abs=1e-6)


def test_white_noise_has_the_same_power_at_every_frequency():
    noise = np.random.default_rng(0).integers(0, 256, (60, 33, 40, 1)).astype(np.uint8)
    _, power = spectrum(noise)
    assert power[2:] == pytest.approx(np.full(len(power) - 2, (256**2 - 1) / 12), rel=0.15)


def test_texture_needs_no_extractor_and_refuses_tiny_images(refused):
    assert metrics.get("texture").by_features is False
    with refused("metric.evidence_missing"):
        texture(np.zeros((40, 4, 4, 1), np.uint8), np.zeros((40, 4, 4, 1), np.uint8))


# ---- the quick ways give what the plain functions give


@pytest.mark.slow
@pytest.mark.parametrize("repeated", [1, 30], ids=["all different", "many alike"])
def test_neighbourhoods_are_those_of_the_plain_functions(repeated):
    """Fakes that repeat lie next to each other, so that a left-out block can take nearly all neighbours of a point."""
    real, fake = cloud(300, 4), cloud(300, 4, seed=1, scale=0.7)
    fake[: repeated * BLOCKS : BLOCKS] = fake[0].clone()
    fake[1 : 1 + repeated // 20] = fake[0] + 1e-3  # its nearest are all in the first block
    count = min(len(real), len(fake))
    across, own = squared_distances(real, fake), squared_distances(real, real)

    def recall_of(kept: torch.Tensor) -> float:
        return recall(across[:, kept], radii(squared_distances(fake[kept], fake[kept]), 3))

    numbers = found("precision_recall", real, fake) | found("density_coverage", real, fake)
    plain = {
        "precision": jackknife(lambda kept: precision(across[:, kept], radii(own, 3)), count),
        "recall": jackknife(recall_of, count),
        "density": jackknife(lambda kept: density(across[:, kept], radii(own, 5), 5), count),
        "coverage": jackknife(lambda kept: coverage(across[:, kept], radii(own, 5)), count),
    }
    for name, number in plain.items():
        assert numbers[name].value == pytest.approx(number.value, abs=1e-6), name
        assert numbers[name].deviation == pytest.approx(number.deviation, abs=1e-5), name


def test_nearest_is_exact_far_from_zero_and_for_copies(monkeypatch):
    others = cloud(500, 8, shift=300)
    points = torch.cat([others[:50], cloud(50, 8, seed=1, shift=300)])
    monkeypatch.setattr(memorization, "AT_ONCE", 30 * len(others))
    distances, which = nearest(points, others)
    exact = torch.cdist(points.double(), others.double()).min(1)
    assert which.tolist() == exact.indices.tolist()
    torch.testing.assert_close(distances.double(), exact.values, rtol=1e-4, atol=1e-6)
    assert distances[:50].max() == 0
