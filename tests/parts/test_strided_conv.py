"""The layers of strided_conv.py against torch's own."""

import copy

import pytest
import torch
from torch import nn

from gansmith.parts.networks import strided_conv as strided
from gansmith.parts.networks.strided_conv import StridedConv2d, StridedConvTranspose2d

# batch, channels of the larger map, of the smaller map, sides of the smaller map: each side of both bounds
SHAPES = [(3, 1, 5, (7, 7)), (2, 4, 8, (3, 5)), (2, 5, 6, (4, 4)), (2, 64, 3, (4, 2)), (2, 70, 66, (2, 3))]


def pair(kind: type[nn.Module], large: int, small: int, bias: bool) -> tuple[nn.Module, nn.Module]:
    """Return our layer in float32 and torch's with the same weights."""
    torch.manual_seed(0)
    if kind is StridedConv2d:
        ours, theirs = StridedConv2d(large, small, bias=bias), nn.Conv2d(large, small, 4, 2, 1, bias=bias)
    else:
        ours = StridedConvTranspose2d(small, large, bias=bias)
        theirs = nn.ConvTranspose2d(small, large, 4, 2, 1, bias=bias)
    theirs.load_state_dict(ours.state_dict())
    return ours, theirs


def maps_for(kind: type[nn.Module], shape: tuple, channels_last: bool) -> torch.Tensor:
    count, large, small, (rows, columns) = shape
    torch.manual_seed(1)
    if kind is StridedConv2d:
        maps = torch.randn(count, large, 2 * rows, 2 * columns)
    else:
        maps = torch.randn(count, small, rows, columns)
    return maps.contiguous(memory_format=torch.channels_last) if channels_last else maps


KINDS = [StridedConv2d, StridedConvTranspose2d]


@pytest.mark.parametrize("capability", ["AVX2", "AVX512"])
@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("kind", KINDS)
def test_values_and_gradients_are_torchs(kind, shape, bias, channels_last, capability, monkeypatch):
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    ours, theirs = pair(kind, shape[1], shape[2], bias)
    first = maps_for(kind, shape, channels_last).requires_grad_()
    second = first.detach().clone().requires_grad_()
    out, expected = ours(first), theirs(second)
    assert out.grad_fn.name().startswith(("_Shrink", "_Grow"))
    torch.testing.assert_close(out, expected, rtol=1e-4, atol=1e-5)
    weights = torch.randn_like(expected)
    (out * weights).sum().backward()
    (expected * weights).sum().backward()
    torch.testing.assert_close(first.grad, second.grad, rtol=1e-4, atol=1e-4)
    for name, parameter in ours.named_parameters():
        torch.testing.assert_close(parameter.grad, theirs.get_parameter(name).grad, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("shape", [*SHAPES, (2, 130, 40, (3, 2))], ids=str)
@pytest.mark.parametrize("kind", KINDS)
def test_in_bf16_values_and_gradients_are_torchs_within_rounding(kind, shape):
    ours, theirs = pair(kind, shape[1], shape[2], True)
    first = maps_for(kind, shape, True).requires_grad_()
    second = first.detach().clone().requires_grad_()
    with torch.autocast("cpu", torch.bfloat16):
        out = ours(first)
    expected = theirs(second)
    assert out.grad_fn.name().startswith(("_Shrink", "_Grow"))
    assert out.dtype == torch.bfloat16
    weights = torch.randn_like(expected)
    (out * weights.bfloat16()).sum().backward()
    (expected * weights).sum().backward()
    pairs = [(out, expected), (first.grad, second.grad)]
    for one, other in pairs + [(each.grad, theirs.get_parameter(name).grad) for name, each in ours.named_parameters()]:
        assert (one.float() - other).norm() < 2**-7 * other.norm()
    assert {each.grad.dtype for each in (first, *ours.parameters())} == {torch.float32}


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("kind", KINDS)
def test_the_gradient_of_a_penalty_is_torchs(kind, shape, precision):
    ours, theirs = pair(kind, shape[1], shape[2], True)
    for layer in (ours, theirs):
        maps = maps_for(kind, shape, True).requires_grad_()
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
            score = layer(maps).float().tanh().square().sum()
        (gradient,) = torch.autograd.grad(score, maps, create_graph=True)
        gradient.square().sum().backward()
    for name, parameter in ours.named_parameters():
        expected = theirs.get_parameter(name).grad
        share = 2**-5 if precision == "bf16" else 1e-3
        torch.testing.assert_close(parameter.grad, expected, rtol=share, atol=share * expected.abs().max().item())


@pytest.mark.parametrize("kind", KINDS)
def test_only_requested_gradients_are_computed(kind, monkeypatch):
    layer, maps = pair(kind, 64, 8, True)[0], maps_for(kind, (2, 64, 8, (2, 2)), True).requires_grad_()
    layer.requires_grad_(False)
    monkeypatch.setattr(strided, "_weight_gradient", lambda *_: pytest.fail("nobody trains these weights"))
    layer(maps).sum().backward()
    assert maps.grad is not None


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("why", ["no gradients", "float64", "odd sides"])
def test_other_cases_use_torchs_own_layer(kind, why, monkeypatch):
    layer, maps = pair(kind, 2, 3, True)[0], maps_for(kind, (2, 2, 3, (4, 4)), False)
    if why == "odd sides" and kind is StridedConvTranspose2d:
        pytest.skip("every side can be doubled")
    expected = copy.deepcopy(layer)(maps).detach()
    for name in ("_Shrink", "_Grow"):
        monkeypatch.setattr(getattr(strided, name), "apply", lambda *_: pytest.fail("not here"))
    if why == "no gradients":
        with torch.no_grad():
            torch.testing.assert_close(layer(maps), expected)
    elif why == "float64":
        torch.testing.assert_close(layer.double()(maps.double()).float(), expected)
    else:
        assert layer(maps[:, :, 1:, 1:]).shape == (2, 3, 3, 3)
