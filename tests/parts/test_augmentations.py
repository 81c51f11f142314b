"""Augmentations: effects, leaks, second derivatives, and ADA's adaptive p."""

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d

from gansmith.core.randomness import derive_seed, per_image
from gansmith.core.schedules import Moment, Ramp
from gansmith.methods.adversarial import Augmenter
from gansmith.parts.augmentations.ada import Ada
from gansmith.parts.augmentations.base import augmentations
from gansmith.parts.augmentations.diffaugment import DiffAugment
from gansmith.parts.augmentations.recolour import brightened, gray_and_chroma_scaled, hue_turned, recolour
from gansmith.parts.augmentations.warp import low_pass, shift, stretch, turn, warp
from gansmith.parts.losses.base import losses
from gansmith.parts.penalties.base import Scored, input_gradient
from small_runs import NOISE

START = Moment(0, 0.0, 0.0)


def images_of(count: int, channels: int = 3, height: int = 16, width: int = 16) -> Tensor:
    """Smooth images: blurred noise in [-1, 1]."""
    noise = torch.randn(count * channels, 1, height + 8, width + 8, generator=torch.Generator().manual_seed(1))
    smooth = conv2d(noise, torch.ones(1, 1, 5, 5) / 5)[:, :, 2:-2, 2:-2]
    return smooth.view(count, channels, height, width).tanh()


def drawing(count: int, seed: int = 0):
    """Draws of ``count`` images."""
    return lambda name, *shape: torch.from_numpy(
        per_image(shape, [derive_seed(seed, name, i) for i in range(count)], uniform=True)
    )


def fixed(*values: float):
    """The same draws for every image, and 0.5 (no change in a normal number) where no value is given."""
    return lambda name, *shape: torch.tensor([*values, *[0.5] * (shape[0] - len(values))]).view(1, *shape)


def number(value: float) -> Tensor:
    return torch.tensor([value])


# the warp


def test_the_low_pass_filter_is_symmetric_keeps_constants_and_stops_aliases():
    taps = low_pass()
    assert torch.equal(taps, taps.flip(0))
    assert taps[::2].sum().item() == pytest.approx(0.5)
    waves = torch.exp(-2j * math.pi * torch.outer(torch.linspace(0.32, 0.5, 50), torch.arange(12)).double())
    assert (waves @ taps.to(torch.complex128)).abs().max() < 0.26
    assert 2 * taps.square().sum().item() == pytest.approx(1, abs=0.02)  # doubled, then halved: itself
    for lag in (2, 4, 6, 8, 10):
        assert abs(2 * (taps[lag:] * taps[:-lag]).sum().item()) < 0.01


@pytest.mark.parametrize("sides", [(16, 16), (12, 20)])
def test_flips_quarter_turns_and_shifts_by_pixels_are_nearly_exact(sides):
    images = images_of(1, 2, *sides)
    one, none = number(1.0), number(0.0)
    assert (warp(images, stretch(-one, one)) - images.flip(3)).abs().max() < 0.04
    assert (warp(images, stretch(one, -one)) - images.flip(2)).abs().max() < 0.04
    moved = warp(images, shift(3 * one, none))
    assert (moved[..., 3:] - images[..., :-3]).abs().max() < 0.04
    assert (moved[..., :3] - images[..., :3].flip(3)).abs().max() < 0.04  # mirrored at its edge
    moved = warp(images, shift(none, 2 * one))
    assert (moved[:, :, 2:] - images[:, :, :-2]).abs().max() < 0.04
    if sides[0] == sides[1]:
        assert (warp(images, turn(one * math.pi / 2)) - torch.rot90(images, 1, (2, 3))).abs().max() < 0.04


def test_a_stretch_is_about_the_centre_and_a_rotation_keeps_shapes():
    square = -torch.ones(1, 1, 24, 40)
    square[..., 8:16, 16:24] = 1
    large = warp(square, stretch(number(0.5), number(0.5)))
    wanted = -torch.ones(24, 40)
    wanted[4:20, 12:28] = 1
    assert (large[0, 0] - wanted).abs().mean() < 0.1
    assert large[0, 0, 4:20, 12:28].mean() > 0.9
    turned = warp(square, turn(number(math.pi / 4)))
    assert (turned > 0).sum().item() == pytest.approx(64, abs=4)
    assert turned[0, 0, 12, 20 - 5] > 0 > turned[0, 0, 12, 20 - 7]  # half the diagonal is 5.7


def test_details_too_fine_for_a_smaller_image_become_gray():
    stripes = torch.ones(1, 1, 32, 32)
    stripes[..., ::2] = -1
    small = warp(stripes, stretch(number(2.0), number(2.0)))
    assert small[..., 10:22, 10:22].abs().max() < 0.15


# colours


def test_colour_matrices_have_the_effect_of_their_names():
    red = torch.tensor([1.0, 0.0, 0.0]).view(1, 3, 1, 1)
    gray = torch.full((1, 3, 1, 1), 0.25)
    one, two = number(1.0), number(2.0)
    green = recolour(red, hue_turned(number(2 * math.pi / 3))).flatten()
    torch.testing.assert_close(green, torch.tensor([0.0, 1.0, 0.0]), atol=1e-6, rtol=0)
    for matrices in (hue_turned(number(0.7)), gray_and_chroma_scaled(one, two)):
        torch.testing.assert_close(recolour(gray, matrices), gray)
    torch.testing.assert_close(recolour(gray, brightened(number(0.1))), gray + 0.1)
    torch.testing.assert_close(recolour(red, gray_and_chroma_scaled(one, 0 * one)).flatten(), torch.full((3,), 1 / 3))
    flipped = recolour(red, gray_and_chroma_scaled(-one, one)).flatten()
    torch.testing.assert_close(flipped, torch.tensor([1 / 3, -2 / 3, -2 / 3]))
    torch.testing.assert_close(recolour(gray, gray_and_chroma_scaled(-one, one)), -gray)


def test_gray_images_change_like_equal_colours_and_alpha_is_kept():
    gray = images_of(6, 1, 8, 8)
    for policy in (["color"], ["blit", "geometry", "color"]):
        ada = Ada(policy=policy)
        inside = ada(gray, drawing(6), 0.9)
        torch.testing.assert_close(ada(gray.expand(-1, 3, -1, -1), drawing(6), 0.9).mean(1, True), inside)
    both = torch.cat([images_of(6, 3, 8, 8), gray], 1)
    for colour in (Ada(policy=("color",)), DiffAugment(policy=("color",))):
        out = colour(both, drawing(6), 0.9)
        assert torch.equal(out[:, 3:], gray)
        assert not torch.equal(out[:, :3], both[:, :3])


# DiffAugment


def test_diffaugment_changes_colours_as_in_the_paper():
    images = images_of(1)
    out = DiffAugment(policy=("color",))(images, fixed(0.0, 0.9, 0.25, 0.75))
    bright = images + 0.4
    gray = bright.mean(1, keepdim=True)
    dull = gray + 0.5 * (bright - gray)
    torch.testing.assert_close(out, dull.mean() + 1.25 * (dull - dull.mean()))


def test_diffaugment_shifts_by_up_to_an_eighth_evenly_and_fills_with_gray():
    images = torch.ones(400, 1, 16, 16) * (1 + torch.arange(16.0))
    out = DiffAugment(policy=("translation",))(images, drawing(400))
    shifts = out[:, 0, 8, 8] - images[0, 0, 8, 8]
    counts = torch.stack([(shifts == by).sum() for by in range(-2, 3)])
    assert counts.sum() == 400
    assert counts.min() > 50
    zeros = (out == 0).sum((1, 2, 3)).tolist()
    assert set(zeros) == {16 * (a + b) - a * b for a in range(3) for b in range(3)}


def test_diffaugment_cuts_a_square_of_half_the_side_that_may_stick_out():
    out = DiffAugment(policy=("cutout",))(torch.ones(400, 3, 16, 12), drawing(400))
    assert ((out == 0) | (out == 1)).all()
    sizes = (out == 0)[:, 0].sum((1, 2))
    assert sizes.max() == 8 * 6
    assert sizes.min() >= 4 * 3
    assert (out == 0).float().mean((0, 1)).min() > 0.05  # no pixel is safe


# ADA's operations


def share_of(policy: str, images: Tensor, probability: float) -> float:
    out = Ada(policy=(policy,))(images, drawing(len(images)), probability)
    return (out != images).flatten(1).any(1).float().mean().item()


@pytest.mark.slow
def test_each_operation_is_applied_with_the_given_probability():
    images = images_of(1, 3, 8, 8).expand(1500, -1, -1, -1)
    p = 0.3
    blit = 1 - (1 - p / 2) * (1 - p * 3 / 4) * (
        1 - p * (1 - 1 / 9)
    )  # half of the flips, and a quarter of turns, do nothing
    assert share_of("blit", images, p) == pytest.approx(blit, abs=0.05)
    assert share_of("geometry", images, p) == pytest.approx(1 - (1 - p) ** 4, abs=0.05)
    assert share_of("color", images, p) == pytest.approx(1 - (1 - p) ** 4 * (1 - p / 2), abs=0.05)


def test_flips_do_not_leak():
    """At p = 1 half of the images are flipped: whatever the data's share, the generator can only match it unflipped."""
    images = torch.linspace(-1, 1, 8).expand(2000, 1, 8, 8)
    draws = drawing(2000)
    mirrored = Ada(policy=("blit",))(
        images, lambda name, *shape: draws(name, *shape).index_fill(1, torch.arange(2, 7), 0.99), 0.9
    )
    assert (mirrored[:, 0, 4, 0] > 0).float().mean().item() == pytest.approx(0.45, abs=0.04)


@pytest.mark.parametrize(
    ("first", "values", "wanted"),
    [
        (0, (0.0, 0.9), lambda x: x.flip(3)),
        (2, (0.0, 0.3), lambda x: torch.rot90(x, 1, (2, 3))),
        (4, (0.0, 1.0, 0.5), lambda x: torch.cat([x[..., :2].flip(3), x[..., :-2]], 3)),
        (18, (0.0, 0.8413447), lambda x: x + 0.2),
        (20, (0.0, 0.8413447), lambda x: x * 2**0.5),
        (22, (0.0, 0.9), lambda x: x - 2 * x.mean(1, keepdim=True)),
        (24, (0.0, 1 / 2 + 1 / 3), lambda x: x.roll(1, 1)),
        (26, (0.0, 0.8413447), lambda x: x.mean(1, keepdim=True) + 2 * (x - x.mean(1, keepdim=True))),
    ],
    ids=["flip", "turn", "shift", "brightness", "contrast", "luma flip", "hue", "saturation"],
)
def test_an_operation_alone(first, values, wanted):
    images = images_of(1)
    out = Ada()(images, fixed(*[0.99] * first, *values, *[0.99] * (28 - first - len(values))), 0.5)
    torch.testing.assert_close(out, wanted(images), atol=0.04 if first < 18 else 1e-5, rtol=0)


def test_geometry_follows_its_numbers():
    images = images_of(1, 1, 24, 24)

    def only(first: int, *values: float) -> Tensor:
        return Ada()(images, fixed(*[0.99] * first, 0.0, *values, *[0.99] * (27 - first - len(values))), 0.5)

    torch.testing.assert_close(only(7, 0.8413447), warp(images, stretch(number(2**-0.2), number(2**-0.2))))
    for first in (9, 13):
        torch.testing.assert_close(only(first, 0.75), warp(images, turn(number(math.pi / 2))))
    torch.testing.assert_close(only(11, 0.8413447), warp(images, stretch(number(2**-0.2), number(2**0.2))))
    torch.testing.assert_close(only(15, 0.8413447, 0.5), warp(images, shift(number(3.0), number(0.0))))


def test_draws_of_zero_stay_finite():
    assert Ada()(images_of(1), fixed(*[0.0] * 28), 0.9).isfinite().all()


@pytest.mark.slow
def test_only_changed_images_are_computed_and_each_is_independent_of_the_others(monkeypatch):
    seen: list[int] = []

    def counting(change):
        return lambda images, matrices: seen.append(len(images)) or change(images, matrices)

    monkeypatch.setattr("gansmith.parts.augmentations.ada.warp", counting(warp))
    monkeypatch.setattr("gansmith.parts.augmentations.ada.recolour", counting(recolour))
    images, draws = images_of(40).requires_grad_(), drawing(40)
    out = Ada()(images, draws, 0.05)
    same = (out == images).flatten(1).all(1)
    assert 0 < same.sum() < 40
    assert sum(seen) < 40
    (slope,) = torch.autograd.grad((out * images.detach()).sum(), images)
    assert torch.equal(slope[same], images[same])
    alone = [
        Ada()(images[i : i + 1], lambda name, *shape, i=i: draws(name, *shape)[i : i + 1], 0.05) for i in range(40)
    ]
    torch.testing.assert_close(torch.cat(alone), out)
    few = images[:12].detach().double().requires_grad_()
    assert 0 < (Ada()(few, drawing(12), 0.1) == few).flatten(1).all(1).sum() < 12
    assert torch.autograd.gradgradcheck(lambda x: Ada()(x, drawing(12), 0.1).tanh(), few, fast_mode=True)
    seen.clear()
    assert Ada()(images, draws, 0.0) is images
    assert seen == []


# differentiability


@pytest.mark.parametrize("config", ["diffaugment", "ada"])
def test_gradients_once_and_twice(config):
    images = images_of(2, 3, 6, 6).double().requires_grad_()

    def augmented(x: Tensor) -> Tensor:
        return augmentations.parse(config)(x, drawing(2), 0.9).tanh()

    assert torch.autograd.gradcheck(augmented, images, fast_mode=True)
    assert torch.autograd.gradgradcheck(augmented, images, fast_mode=True)


def test_r1_differentiates_through_the_augmentation():
    torch.manual_seed(0)
    critic = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Tanh(), nn.Flatten(), nn.Linear(4 * 36, 1)).double()
    augmenter = Augmenter(Ada(probability=0.7), {})
    noise = replace(NOISE, positions=range(4))
    images = images_of(4, 3, 8, 8).double().requires_grad_()

    def judge(x: Tensor) -> Tensor:
        return critic(x.double())

    gradient = input_gradient(augmenter.critic(judge, noise, "both", START)(images), images)
    step = 1e-3 * gradient.detach()
    low, high = (augmenter.critic(judge, noise, "both", START)(images + by).sum().item() for by in (-step, step))
    assert (high - low) / 2 == pytest.approx(1e-3 * gradient.square().sum().item(), rel=1e-2)
    gradient.square().sum().backward()
    assert all(p.grad is not None for p in list(critic.parameters())[:-1])
    assert critic[0].weight.grad.any()


# one critic's augmentation


@pytest.mark.parametrize("kind", ["ada", "diffaugment"])
def test_a_batch_is_its_images_one_by_one_to_the_bit(kind):
    augmentation, seen = augmentations.parse(kind), []
    images = images_of(5, 3, 12, 16)
    for positions in (range(5), *(range(i, i + 1) for i in range(5))):
        noise = replace(NOISE, positions=positions)
        draws = lambda name, *shape, noise=noise: noise.uniform(name, *shape)  # noqa: E731
        seen.append(augmentation(images[positions.start : positions.stop], draws, 0.8))
    assert torch.equal(seen[0], torch.cat(seen[1:]))
    assert (seen[0] != images).flatten(1).any(1).all()


def test_images_are_augmented_in_float32_under_autocast():
    dtypes, images = [], images_of(3)
    critic = Augmenter(Ada(probability=0.9), {}).critic(lambda x: dtypes.append(x) or x, NOISE, "both", START)
    plain = Augmenter(Ada(probability=0.9), {}).critic(lambda x: x, NOISE, "both", START)(images)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(critic(images), plain)
    assert dtypes[0].dtype == torch.float32


def test_without_an_augmentation_the_critic_is_unchanged():
    def judge(images: Tensor) -> Tensor:
        return images

    state: dict[str, Tensor] = {}
    assert Augmenter(None, state).critic(judge, NOISE, "both", START) is judge
    assert state == {}


# p


def at(kimg: float) -> Moment:
    return Moment(0, kimg, 0.0)


def probabilities_after(ada: Ada, margins: Tensor, iterations: int, batch_size: int = 100) -> list[float]:
    """Return p after each iteration in which D said the same."""
    state, out = ada.initial_state(), []
    for iteration in range(iterations):
        noise, moment = replace(NOISE, iteration=iteration, batch_size=batch_size), at(iteration * batch_size / 1000)
        ada.observe(state, margins, noise, moment)
        out.append(float(state["p"]))
    return out


def test_p_rises_while_d_is_sure_and_falls_again():
    ada = Ada(adapt_kimg=10)
    rising = probabilities_after(ada, torch.ones(100), 9)
    assert rising == pytest.approx([0] * 4 + [0.04] * 4 + [0.08])  # 4 x 100 images out of 10,000, every 4 iterations
    assert (
        probabilities_after(ada, torch.tensor([1.0] * 79 + [-1.0] * 21), 9)[-1] == 0
    )  # r = .58, below the target; never below 0
    assert probabilities_after(ada, torch.tensor([1.0] * 81 + [-1.0] * 19), 9)[-1] == pytest.approx(0.08)
    assert max(probabilities_after(Ada(adapt_kimg=1), torch.ones(100), 40)) == pytest.approx(0.8)
    state = {**ada.initial_state(), "p": torch.tensor(0.5)}
    for iteration in range(5):
        ada.observe(state, -torch.ones(100), replace(NOISE, iteration=iteration, batch_size=100), START)
    assert float(state["p"]) == pytest.approx(0.46)


def test_p_waits_for_start_kimg_and_uses_only_the_last_interval():
    waiting = probabilities_after(
        Ada(adapt_kimg=10, start_kimg=0.7), torch.ones(100), 13
    )  # 700 images are shown before iteration 7
    assert waiting == pytest.approx([0] * 8 + [0.04] * 4 + [0.08])
    assert probabilities_after(Ada(adapt_kimg=10, start_kimg=0.8), torch.ones(100), 9)[-1] == pytest.approx(0.04)
    assert probabilities_after(Ada(adapt_kimg=10, start_kimg=0.81), torch.ones(100), 9)[-1] == 0


def test_start_kimg_counts_the_images_of_every_d_step():
    ada, twice = Ada(adapt_kimg=10, start_kimg=0.8), []
    state = ada.initial_state()
    for iteration in range(9):
        for repeat in range(2):
            noise = replace(NOISE, iteration=iteration, repeat=repeat, batch_size=100)
            ada.observe(state, torch.ones(100), noise, at(iteration * 2 * 100 / 1000))
        twice.append(float(state["p"]))
    assert twice == pytest.approx([0] * 4 + [0.08] * 4 + [0.16])


@pytest.mark.parametrize(
    ("loss", "real", "fake", "rises"),
    [
        ("non_saturating", 0.1, 9.0, True),
        ("non_saturating", -0.1, -9.0, False),
        ("least_squares", 0.6, 0.0, True),
        ("least_squares", 0.4, 0.0, False),
        ("relativistic", -5.0, -6.0, True),
        ("relativistic", 5.0, 6.0, False),
    ],
)
def test_p_rises_for_real_logits_above_the_boundary_or_above_the_paired_fake(loss, real, fake, rises):
    augmenter = Augmenter(Ada(adapt_kimg=10, interval=1), {}, "_x")
    scored = Scored(*[torch.zeros(3, 1, 2, 2)] * 2, torch.full((3, 1), real), torch.full((3, 1), fake))
    logs = []
    for iteration in range(3):
        noise = replace(NOISE, iteration=iteration, batch_size=100)
        logs.append(augmenter.observe(losses.parse(loss), scored, noise, START)["augment_p"].item())
    assert logs == pytest.approx([0, 0.01, 0.02] if rises else [0, 0, 0])
    assert augmenter.state["augment_images_x"] == 100


def test_p_counts_every_d_step_and_changes_only_between_iterations():
    ada, noise = Ada(adapt_kimg=10, interval=1), replace(NOISE, batch_size=100)
    state = ada.initial_state()
    for iteration, repeat, wanted in ((0, 0, 0.0), (0, 1, 0.0), (1, 0, 0.02), (1, 1, 0.02), (2, 0, 0.04)):
        ada.observe(state, torch.ones(100), replace(noise, iteration=iteration, repeat=repeat), START)
        assert float(state["p"]) == pytest.approx(wanted)


def test_logits_that_are_not_finite_do_not_count():
    ada, state = Ada(adapt_kimg=10, interval=1), Ada().initial_state()
    for iteration in range(3):
        margins = torch.tensor([float("nan"), float("inf"), 1.0, 1.0])
        ada.observe(state, margins, replace(NOISE, iteration=iteration, batch_size=100), START)
    assert float(state["p"]) == pytest.approx(0.02)  # r = .75


def test_p_can_be_fixed_or_scheduled_and_then_has_no_state():
    half = Moment(5, 1.0, 0.5)
    ramp = Ada(probability={"start": 0.0, "end": 0.5, "shape": "linear"})
    assert isinstance(ramp.probability, Ramp)
    assert (Ada(probability=0.3).probability_at({}, half), ramp.probability_at({}, half)) == (0.3, 0.25)
    assert (ramp.changes, Ada().changes, Ada(probability=0.3).changes) == (True, True, False)
    for ada in (ramp, Ada(probability=0.3)):
        assert ada.initial_state() == {}
        ada.observe({}, torch.ones(3), NOISE, START)


@pytest.mark.parametrize("value", ["1", "-0.1", "{start: 0, end: 1}"])
def test_a_probability_of_one_is_refused(refused, value):
    from gansmith.recipes.load import load_recipe

    with refused("recipe.invalid_value"):
        load_recipe("dcgan", ("augment=ada", f"augment.probability={value}"))


@pytest.mark.parametrize("kind", ["ada", "diffaugment"])
def test_a_policy_of_color_only_is_refused_where_colours_must_not_change(refused, kind):
    with refused("recipe.augmentation_without_color"):
        augmentations.parse({"kind": kind, "policy": ["color"]}).geometric()
