from dataclasses import replace

import pytest
import torch
from torch import Tensor

import small_runs
from gansmith.core.noise import Noise
from gansmith.core.schedules import Moment, Ramp
from gansmith.data.base import DataSpec
from gansmith.data.batches import Batch
from gansmith.methods.latent import LatentConfig
from gansmith.parts.penalties.base import Critic, Scored, penalties
from gansmith.parts.penalties.gradient_penalty import GradientPenalty
from gansmith.parts.penalties.r1 import R1
from gansmith.parts.penalties.r2 import R2

NOISE = replace(small_runs.NOISE, positions=range(4))


class Noise64(Noise):
    """The same draws in float64, for finite differences."""

    def uniform(self, role: str, *shape: int) -> Tensor:
        return super().uniform(role, *shape).double()


NOISE64 = Noise64(**NOISE.__dict__)


def images(seed: int, count: int = 4) -> Tensor:
    return torch.randn(count, 1, 2, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def scored(critic: Critic, real: Tensor, fake: Tensor) -> Scored:
    real, fake = real.detach().requires_grad_(), fake.detach().requires_grad_()
    return Scored(real, fake, critic(real), critic(fake))


def linear(weight: Tensor) -> Critic:
    return lambda batch: batch.flatten(1) @ weight


def quadratic(curvature: Tensor) -> Critic:
    return lambda batch: curvature * batch.square().sum((1, 2, 3)) / 2  # its gradient is curvature * x


WEIGHT = torch.tensor([1.0, -2.0, 0.5, 0.0, 3.0, -1.0], dtype=torch.float64)  # ||w||^2 = 15.25


@pytest.mark.parametrize("penalty", [R1(), R2()])
def test_r1_and_r2_of_a_linear_critic_are_half_the_squared_norm(penalty):
    critic = linear(WEIGHT)
    assert penalty(critic, scored(critic, images(0), images(1)), NOISE64).item() == pytest.approx(15.25 / 2, rel=1e-12)


@pytest.mark.parametrize("target", [0.0, 1.0, 5.0])
def test_gradient_penalty_of_a_linear_critic_is_the_squared_distance_to_the_target(target):
    critic = linear(WEIGHT)
    got = GradientPenalty(target=target)(critic, scored(critic, images(0), images(1)), NOISE64)
    assert got.item() == pytest.approx((15.25**0.5 - target) ** 2, rel=1e-9)


def test_r1_sees_real_images_only_and_r2_fakes_only():
    critic, real, fake = quadratic(torch.tensor(3.0, dtype=torch.float64)), images(0), images(1)
    both = scored(critic, real, fake)
    squares = [each.square().sum((1, 2, 3)).mean().item() for each in (real, fake)]
    assert R1()(critic, both, NOISE64).item() == pytest.approx(9 / 2 * squares[0], rel=1e-12)
    assert R2()(critic, both, NOISE64).item() == pytest.approx(9 / 2 * squares[1], rel=1e-12)
    assert squares[0] != pytest.approx(squares[1], rel=1e-2)
    assert R1.differentiates == ("real",)
    assert R2.differentiates == ("fake",)


def test_gradient_penalty_of_a_quadratic_critic():
    critic, real, fake = quadratic(torch.tensor(3.0, dtype=torch.float64)), images(0), images(1)
    share = NOISE64.uniform("gradient_penalty", 1, 1, 1)
    norms = 3 * (share * real + (1 - share) * fake).square().sum((1, 2, 3)).sqrt()
    expected = (norms - 1).square().mean().item()
    assert GradientPenalty()(critic, scored(critic, real, fake), NOISE64).item() == pytest.approx(expected, rel=1e-9)


def test_weight_and_interval_are_left_to_the_caller():
    critic = linear(WEIGHT)
    both = scored(critic, images(0), images(1))
    for kind in penalties.names():
        plain = penalties.parse({"kind": kind, "weight": 1})(critic, both, NOISE64)
        heavy = penalties.parse({"kind": kind, "weight": 7, "interval": 4})(critic, both, NOISE64)
        assert torch.equal(plain, heavy)


@pytest.mark.parametrize("kind", penalties.names())
def test_double_backward_gives_the_known_gradient_of_a_linear_critic(kind):
    weight = WEIGHT.clone().requires_grad_()
    critic = linear(weight)
    penalties.parse(kind)(critic, scored(critic, images(0), images(1)), NOISE64).backward()
    norm = WEIGHT.norm()
    expected = 2 * (norm - 1) * WEIGHT / norm if kind == "gradient_penalty" else WEIGHT
    torch.testing.assert_close(weight.grad, expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("kind", penalties.names())
def test_double_backward_agrees_with_finite_differences(kind):
    start = torch.randn(6, 5, generator=torch.Generator().manual_seed(2), dtype=torch.float64)

    def paid(weight: Tensor) -> Tensor:
        def critic(batch: Tensor) -> Tensor:
            return (batch.flatten(1) @ weight).tanh().sum(1)

        return penalties.parse(kind)(critic, scored(critic, images(0), images(1)), NOISE64)

    weight = start.clone().requires_grad_()
    paid(weight).backward()
    step = 1e-5
    for row, column in [(0, 0), (3, 2), (5, 4)]:
        shift = torch.zeros_like(start)
        shift[row, column] = step
        slope = (paid(start + shift) - paid(start - shift)).item() / (2 * step)
        assert weight.grad[row, column].item() == pytest.approx(slope, rel=1e-6, abs=1e-9)


def test_gradient_penalty_of_a_flat_critic_has_a_finite_gradient():
    weight = torch.zeros(6, dtype=torch.float64, requires_grad=True)
    critic = linear(weight)
    paid = GradientPenalty()(critic, scored(critic, images(0), images(1)), NOISE64)
    paid.backward()
    assert paid.item() == pytest.approx(1, abs=1e-5)
    assert weight.grad.isfinite().all()


def shares(noise: Noise) -> Tensor:
    """Return the interpolation coefficients, seen by a critic between zeros and ones."""
    seen = []

    def critic(batch: Tensor) -> Tensor:
        seen.append(batch.detach())
        return batch.flatten(1).sum(1)

    real, fake = torch.ones(noise.count, 1, 2, 2), torch.zeros(noise.count, 1, 2, 2)
    GradientPenalty()(critic, Scored(real, fake, critic(real), critic(fake)), noise)
    between = seen[-1].flatten(1)
    assert torch.equal(between, between[:, :1].expand(-1, 4))  # one coefficient for each image
    return between[:, 0]


def test_interpolation_differs_for_each_image_and_depends_on_seed_iteration_and_position_alone():
    found = shares(NOISE)
    assert len(set(found.tolist())) == 4
    assert found.min() >= 0
    assert found.max() <= 1
    assert torch.equal(shares(NOISE), found)
    assert torch.equal(shares(replace(NOISE, positions=range(2, 4))), found[2:])
    assert not (shares(replace(NOISE, iteration=1)) == found).any()
    assert not (shares(replace(NOISE, seed=2)) == found).any()


def test_gradient_penalty_leaves_the_images_of_the_batch_alone():
    real, fake = torch.randn(2, 4, 1, 2, 2)
    critic = linear(torch.ones(4))
    GradientPenalty()(critic, Scored(real, fake, critic(real), critic(fake)), NOISE)
    assert not real.requires_grad
    assert not fake.requires_grad


@pytest.mark.parametrize("kind", penalties.names())
def test_penalties_are_float32_under_autocast(kind):
    weight = torch.full((6,), 100.0, requires_grad=True)

    def critic(batch: Tensor) -> Tensor:
        return torch.nn.functional.linear(batch.flatten(1), weight[None]).flatten()

    with torch.autocast("cpu", dtype=torch.bfloat16):
        both = scored(critic, images(0).float(), images(1).float())
        assert both.real_logits.dtype == torch.bfloat16
        paid = penalties.parse(kind)(critic, both, NOISE)
    paid.backward()
    assert paid.dtype == torch.float32
    assert weight.grad.isfinite().all()


@pytest.mark.parametrize("interval", [1, 3])
def test_due_every_interval(interval):
    due = [R1(interval=interval).due(Moment(iteration, 0.0, 0.0)) for iteration in range(6)]
    assert due == [iteration % interval == 0 for iteration in range(6)]


@pytest.mark.parametrize("kind", penalties.names())
@pytest.mark.parametrize("weight", [2.0, Ramp(start=2, end=2)])
def test_a_lazy_penalty_costs_the_same_on_average(kind, weight):
    def mean_over(interval: int, iterations: int) -> float:
        torch.manual_seed(0)
        config = LatentConfig(
            generator={"kind": "mlp", "hidden": [4]},
            discriminator={"kind": "mlp", "hidden": [4]},
            penalties=[{"kind": kind, "weight": weight, "interval": interval}],
            latent_dim=2,
        )
        method = config.build(DataSpec("x", 2, 3, 1, 10, (), ""))
        total = 0.0
        for iteration in range(iterations):
            batch = Batch(images(0).float())
            terms = method.loss(method.phases[0], batch, NOISE, Moment(iteration, 0.0, 0.0))
            without = terms.log["loss_discriminator"]
            total += (terms.total - without).item()
            assert terms.log.get(f"penalty_{kind}", torch.zeros(())).item() == pytest.approx(
                (terms.total - without).item(), abs=1e-6
            )
        return total / iterations

    every = mean_over(1, 4)
    assert every > 0
    assert mean_over(4, 4) == pytest.approx(every, rel=1e-5)
    assert mean_over(2, 4) == pytest.approx(every, rel=1e-5)
