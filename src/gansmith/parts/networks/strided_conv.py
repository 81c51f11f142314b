"""Strided convolutions that train faster on CPUs; results differ from torch's by rounding."""

# Two passes of torch's strided convolutions are much slower on CPUs than a matrix product: the pass to the larger map
# if it has few channels, and, on some CPUs, the gradient of the weights. Here both are written in another way. Weights
# have the same names and shapes as in torch's layers. Measurements: docs/performance.md.

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

STRIDE, PADDING = 2, 1  # with kernel 4: the larger map has twice the sides
FEW_CHANNELS = 4  # up to here torch computes the larger map at a fifth of a matrix product's rate
# From here on torch's weight gradients take longer than copying patches and one matrix product; in float32 with AVX-512
# they never do.
MANY_CHANNELS = {torch.float32: 64, torch.bfloat16: 128}


class StridedConv2d(nn.Conv2d):
    """torch's Conv2d with kernel 4, stride 2 and padding 1: (N, in, 2h, 2w) -> (N, out, h, w)."""

    def __init__(self, in_channels: int, out_channels: int, *, bias: bool) -> None:
        super().__init__(in_channels, out_channels, 4, STRIDE, PADDING, bias=bias)

    def forward(self, maps: Tensor) -> Tensor:
        """Return maps of half the sides."""
        even = maps.shape[2] % 2 == maps.shape[3] % 2 == 0
        if not (even and _trains_on_cpu(maps)):
            return super().forward(maps)
        return _Shrink.apply(*_cast(maps, self.weight, self.bias))


class StridedConvTranspose2d(nn.ConvTranspose2d):
    """torch's ConvTranspose2d with kernel 4, stride 2 and padding 1: (N, in, h, w) -> (N, out, 2h, 2w)."""

    def __init__(self, in_channels: int, out_channels: int, *, bias: bool) -> None:
        super().__init__(in_channels, out_channels, 4, STRIDE, PADDING, bias=bias)

    def forward(self, maps: Tensor, output_size: list[int] | None = None) -> Tensor:
        """Return maps of twice the sides."""
        if output_size is None and _trains_on_cpu(maps):
            return _Grow.apply(*_cast(maps, self.weight, self.bias))
        return super().forward(maps, output_size)


def _trains_on_cpu(maps: Tensor) -> bool:
    """Say whether this is an eager training pass on a CPU, in float32 or bf16."""
    known = maps.device.type == "cpu" and _dtype(maps) in MANY_CHANNELS
    return known and torch.is_grad_enabled() and not torch.compiler.is_compiling()


def _dtype(maps: Tensor) -> torch.dtype:
    """Return the dtype of a layer's computation: autocast's if it is enabled."""
    return torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else maps.dtype


def _cast(maps: Tensor, weight: Tensor, bias: Tensor | None) -> tuple[Tensor, Tensor, Tensor | None]:
    """Return the tensors in the layer's dtype; autocast does not apply inside our autograd functions."""
    dtype = _dtype(maps)
    return maps.to(dtype), weight.to(dtype), None if bias is None else bias.to(dtype)


class _Shrink(torch.autograd.Function):
    """A strided convolution: large map to small map."""

    @staticmethod
    def forward(ctx: Any, large: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(large, weight)
        return F.conv2d(large, weight, bias, STRIDE, PADDING)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        large, weight = ctx.saved_tensors
        if torch.is_grad_enabled():  # a penalty differentiates again
            return _library_gradients(ctx, gradient, transposed=False)
        wants_large, wants_weight, wants_bias = ctx.needs_input_grad
        return (
            _grow(gradient, weight, None) if wants_large else None,
            _weight_gradient(large, gradient, weight) if wants_weight else None,
            gradient.sum((0, 2, 3)) if wants_bias else None,
        )


class _Grow(torch.autograd.Function):
    """A strided transposed convolution: small map to large map."""

    @staticmethod
    def forward(ctx: Any, small: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(small, weight)
        return _grow(small, weight, bias)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        small, weight = ctx.saved_tensors
        if torch.is_grad_enabled():
            return _library_gradients(ctx, gradient, transposed=True)
        wants_small, wants_weight, wants_bias = ctx.needs_input_grad
        return (
            F.conv2d(gradient, weight, None, STRIDE, PADDING) if wants_small else None,
            _weight_gradient(gradient, small, weight) if wants_weight else None,
            gradient.sum((0, 2, 3)) if wants_bias else None,
        )


def _library_gradients(ctx: Any, gradient: Tensor, *, transposed: bool) -> tuple[Tensor | None, ...]:
    maps, weight = ctx.saved_tensors
    return _backward(gradient, maps, weight, transposed, list(ctx.needs_input_grad))


def _backward(
    gradient: Tensor, maps: Tensor, weight: Tensor, transposed: bool, wanted: list[bool]
) -> tuple[Tensor | None, ...]:
    sizes, stride, padding = [gradient.shape[1]], [STRIDE] * 2, [PADDING] * 2
    found: tuple[Tensor | None, ...] = torch.ops.aten.convolution_backward(
        gradient, maps, weight, sizes, stride, padding, [1, 1], transposed, [0, 0], 1, wanted
    )
    return found


def _weight_gradient(large: Tensor, small: Tensor, weight: Tensor) -> Tensor | None:
    """Return (S, L, 4, 4): the 4 x 4 patches of ``large`` (N, L, 2h, 2w) times the pixels of ``small`` (N, S, h, w)."""
    if large.shape[1] < MANY_CHANNELS[large.dtype] or _library_is_fast(large.dtype):
        return _backward(small, large, weight, False, [False, True, False])[1]
    count, channels, rows, columns = small.shape[0], large.shape[1], small.shape[2], small.shape[3]
    padded = F.pad(large.permute(0, 2, 3, 1), (0, 0, PADDING, PADDING, PADDING, PADDING))
    image, row, column, channel = padded.stride()
    patches = padded.as_strided(
        (count, rows, columns, 4, 4, channels), (image, STRIDE * row, STRIDE * column, row, column, channel)
    ).reshape(count * rows * columns, 16 * channels)
    product = small.permute(1, 0, 2, 3).reshape(small.shape[1], -1) @ patches
    return product.view(-1, 4, 4, channels).permute(0, 3, 1, 2)


def _library_is_fast(dtype: torch.dtype) -> bool:
    """Say whether torch's weight gradients are as fast as matrix products on this CPU."""
    return dtype == torch.float32 and torch.backends.cpu.get_cpu_capability() == "AVX512"


def _grow(small: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Return (N, L, 2h, 2w): each pixel of ``small`` (N, S, h, w) is spread over 4 x 4 by ``weight`` (S, L, 4, 4)."""
    channels = weight.shape[1]
    if channels > FEW_CHANNELS:
        return F.conv_transpose2d(small, weight, bias, STRIDE, PADDING)
    # Pixels at even and odd rows and columns of the larger map are four convolutions; one 3 x 3 kernel holds them all.
    kernel, flipped = weight.new_zeros(channels, 2, 2, weight.shape[0], 3, 3), weight.flip(2, 3).transpose(0, 1)
    for down in (0, 1):
        for right in (0, 1):
            kernel[:, down, right, :, down : down + 2, right : right + 2] = flipped[:, :, down::2, right::2]
    kernel = kernel.flatten(0, 2).contiguous(memory_format=torch.channels_last)
    maps = F.conv2d(small, kernel, None if bias is None else bias.repeat_interleave(4), padding=1)
    return F.pixel_shuffle(maps, 2).contiguous(memory_format=torch.channels_last)
