import pytest
import torch
from torch import nn

from gansmith.core.schedules import Moment
from gansmith.parts.constraints.weight_clip import WeightClip
from gansmith.parts.optimizers.base import OptimizerPart, optimizers

SHAPES = [(7, 5), (5,), (4, 3, 2, 2), ()]
LINEAR = {"start": 1e-2, "end": 1e-3}
PLAIN = {
    "adam": lambda parameters: torch.optim.Adam(parameters, foreach=False, fused=False),
    "adamw": lambda parameters: torch.optim.AdamW(parameters, weight_decay=0.1, foreach=False, fused=False),
    "rmsprop": lambda parameters: torch.optim.RMSprop(parameters, alpha=0.9, foreach=False),
    "sgd": lambda parameters: torch.optim.SGD(parameters, momentum=0.9, foreach=False),
}
FIELDS = {
    "adam": {"lr": LINEAR, "beta1": 0.5, "beta2": {"start": 0.9, "end": 0.99}},
    "adamw": {"lr": LINEAR, "beta1": 0.5, "beta2": {"start": 0.9, "end": 0.99}, "weight_decay": 0.1},
    "rmsprop": {"lr": LINEAR, "alpha": 0.9},
    "sgd": {"lr": LINEAR, "momentum": 0.9},
}


def parameters() -> list[nn.Parameter]:
    generator = torch.Generator().manual_seed(0)
    return [nn.Parameter(torch.randn(shape, generator=generator)) for shape in SHAPES]


def set_gradients(weights: list[nn.Parameter], step: int, value: float | None = None) -> None:
    generator = torch.Generator().manual_seed(100 + step)
    for weight in weights:
        drawn = torch.randn(weight.shape, generator=generator)
        weight.grad = drawn if value is None else torch.full_like(weight, value)


def moment(step: int) -> Moment:
    return Moment(step, 0.0, step / 4)


def take(part: OptimizerPart, optimizer: torch.optim.Optimizer, step: int, found_inf: float = 0.0) -> None:
    part.step(optimizer, torch.tensor(found_inf), moment(step))


def test_the_tables_have_every_optimizer():
    assert sorted(PLAIN) == sorted(FIELDS)
    assert set(PLAIN) <= set(optimizers.names())


@pytest.mark.parametrize("kind", sorted(PLAIN))
def test_five_scheduled_steps_are_those_of_plain_torch(kind):
    part = optimizers.parse({"kind": kind, **FIELDS[kind]})
    ours, theirs = parameters(), parameters()
    optimizer, plain = part.build(ours), PLAIN[kind](theirs)
    for step in range(5):
        share = step / 4
        for group in plain.param_groups:
            group["lr"] = 1e-2 + (1e-3 - 1e-2) * share
            if "betas" in group:
                group["betas"] = (0.5, 0.9 + 0.09 * share)
        set_gradients(ours, step)
        set_gradients(theirs, step)
        take(part, optimizer, step)
        plain.step()
        for mine, other in zip(ours, theirs, strict=True):
            torch.testing.assert_close(mine, other, rtol=2e-6, atol=1e-7)
    assert not torch.equal(ours[0], parameters()[0])


def everything(weights: list[nn.Parameter], optimizer: torch.optim.Optimizer) -> list[torch.Tensor]:
    out = [weight.detach().clone() for weight in weights]
    for weight in weights:
        out += [value.clone() for _, value in sorted(optimizer.state[weight].items())]
    return out


@pytest.mark.parametrize("kind", sorted(PLAIN))
@pytest.mark.parametrize("bad", [float("nan"), float("inf"), 1.0])
def test_found_inf_leaves_weights_moments_and_step_counts_alone(kind, bad):
    part = optimizers.parse({"kind": kind, **FIELDS[kind]})
    weights = parameters()
    optimizer = part.build(weights)
    for step in range(2):
        set_gradients(weights, step)
        take(part, optimizer, step)
    before = everything(weights, optimizer)
    assert len(before) >= 2 * len(weights)
    for step in range(3):
        set_gradients(weights, 0, bad)
        take(part, optimizer, step, found_inf=1.0)
    for old, new in zip(before, everything(weights, optimizer), strict=True):
        assert torch.equal(old, new)
    assert all(state["step"].item() == 2 for state in optimizer.state.values() if "step" in state)


@pytest.mark.parametrize("kind", sorted(PLAIN))
def test_skipped_steps_change_nothing_that_comes_after(kind):
    part = optimizers.parse({"kind": kind, **FIELDS[kind]})
    skipping, straight = parameters(), parameters()
    optimizer, other = part.build(skipping), part.build(straight)
    set_gradients(skipping, 0, float("nan"))
    take(part, optimizer, 0, found_inf=1.0)  # the very first step, before there is any state
    for step in range(3):
        set_gradients(skipping, step)
        set_gradients(straight, step)
        take(part, optimizer, step)
        take(part, other, step)
        set_gradients(skipping, 9, float("nan"))
        take(part, optimizer, step, found_inf=1.0)
    for one, two in zip(everything(skipping, optimizer), everything(straight, other), strict=True):
        assert torch.equal(one, two)


@pytest.mark.parametrize("kind", sorted(PLAIN))
def test_a_weight_without_a_gradient_stays(kind):
    part = optimizers.parse({"kind": kind, **FIELDS[kind]})
    weights = parameters()
    optimizer = part.build(weights)
    set_gradients(weights, 0)
    weights[1].grad = None
    take(part, optimizer, 0)
    assert torch.equal(weights[1], parameters()[1])


@pytest.mark.parametrize("kind", sorted(PLAIN))
@pytest.mark.parametrize(
    ("field", "value"), [("lr", -1e-4), ("beta1", 1.5), ("beta2", -0.1), ("eps", 0), ("alpha", 1), ("momentum", 1.5)]
)
def test_numbers_out_of_range(kind, field, value):
    if field not in optimizers.get(kind).model_fields:
        pytest.skip(f"{kind} has no {field}")
    with pytest.raises(ValueError, match=field):
        optimizers.parse({"kind": kind, field: value})


def test_weight_clip():
    network = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
    inside = torch.tensor([[0.005, -0.005, 0.0], [0.5, -0.5, 0.01]])
    with torch.no_grad():
        network[0].weight.copy_(inside)
        network[1].running_mean.fill_(3)
        WeightClip(limit=0.01).apply_(network)
    assert network[0].weight.tolist() == [pytest.approx([0.005, -0.005, 0.0]), pytest.approx([0.01, -0.01, 0.01])]
    assert network[1].weight.tolist() == pytest.approx([0.01, 0.01])
    assert network[1].running_mean.tolist() == [3, 3]
    with pytest.raises(ValueError, match="limit"):
        WeightClip(limit=0)
