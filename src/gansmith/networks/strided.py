"""Strided convolutions whose slow passes on CPUs are matrix products; the values differ by rounding alone.

Two passes of a strided convolution run well below the rate of a matrix product there: the gradient of the weights,
and the pass to the larger map where that has few channels. Weights have the names and shapes of torch's own layers.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

STRIDE, PADDING = 2, 1  # with kernel 4: the larger map has twice the sides
FEW_CHANNELS = 4  # up to here the library grows maps at a fifth of a product's rate
MANY_CHANNELS = 64  # from here on it computes gradients of weights at half of it; below, copying patches costs more


class StridedConv2d(nn.Conv2d):
    """torch's Conv2d with kernel 4, stride 2 and padding 1: (N, in, 2h, 2w) -> (N, out, h, w)."""

    def __init__(self, in_channels: int, out_channels: int, *, bias: bool) -> None:
        super().__init__(in_channels, out_channels, 4, STRIDE, PADDING, bias=bias)

    def forward(self, maps: Tensor) -> Tensor:
        """Return the smaller map."""
        even = maps.shape[2] % 2 == maps.shape[3] % 2 == 0
        return _Shrink.apply(maps, self.weight, self.bias) if even and _trains_on_cpu(maps) else super().forward(maps)


class StridedConvTranspose2d(nn.ConvTranspose2d):
    """torch's ConvTranspose2d with kernel 4, stride 2 and padding 1: (N, in, h, w) -> (N, out, 2h, 2w)."""

    def __init__(self, in_channels: int, out_channels: int, *, bias: bool) -> None:
        super().__init__(in_channels, out_channels, 4, STRIDE, PADDING, bias=bias)

    def forward(self, maps: Tensor, output_size: list[int] | None = None) -> Tensor:
        """Return the larger map."""
        if output_size is None and _trains_on_cpu(maps):
            return _Grow.apply(maps, self.weight, self.bias)
        return super().forward(maps, output_size)


def _trains_on_cpu(maps: Tensor) -> bool:
    """Say whether gradients will be asked for on a CPU, in float32 and eagerly."""
    plain = maps.device.type == "cpu" and maps.dtype == torch.float32 and torch.is_grad_enabled()
    return plain and not torch.is_autocast_enabled("cpu") and not torch.compiler.is_compiling()


class _Shrink(torch.autograd.Function):
    """A strided convolution."""

    @staticmethod
    def forward(ctx: Any, large: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(large, weight)
        return F.conv2d(large, weight, bias, STRIDE, PADDING)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        large, weight = ctx.saved_tensors
        if torch.is_grad_enabled():  # of a penalty: will be differentiated again
            return _library_gradients(ctx, gradient, transposed=False)
        wants_large, wants_weight, wants_bias = ctx.needs_input_grad
        return (
            _grow(gradient, weight, None) if wants_large else None,
            _weight_gradient(large, gradient, weight) if wants_weight else None,
            gradient.sum((0, 2, 3)) if wants_bias else None,
        )


class _Grow(torch.autograd.Function):
    """A strided transposed convolution."""

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
    """Return (S, L, 4, 4): every 4 x 4 patch of ``large`` (N, L, 2h, 2w) times its place in ``small`` (N, S, h, w)."""
    if large.shape[1] < MANY_CHANNELS:
        return _backward(small, large, weight, False, [False, True, False])[1]
    count, channels, rows, columns = small.shape[0], large.shape[1], small.shape[2], small.shape[3]
    padded = F.pad(large.permute(0, 2, 3, 1), (0, 0, PADDING, PADDING, PADDING, PADDING))
    image, row, column, channel = padded.stride()
    patches = padded.as_strided(
        (count, rows, columns, 4, 4, channels), (image, STRIDE * row, STRIDE * column, row, column, channel)
    ).reshape(count * rows * columns, 16 * channels)
    product = small.permute(1, 0, 2, 3).reshape(small.shape[1], -1) @ patches
    return product.view(-1, 4, 4, channels).permute(0, 3, 1, 2)


def _grow(small: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Return (N, L, 2h, 2w): each place of ``small`` (N, S, h, w) spread over 4 x 4 by ``weight`` (S, L, 4, 4)."""
    channels = weight.shape[1]
    if channels > FEW_CHANNELS:
        return F.conv_transpose2d(small, weight, bias, STRIDE, PADDING)
    count, _, rows, columns = small.shape
    pixels = small.permute(0, 2, 3, 1).reshape(count * rows * columns, -1)
    spread = (pixels @ weight.permute(0, 2, 3, 1).reshape(weight.shape[0], -1)).view(count, rows, columns, 4, 4, -1)
    # Each image is rows + 1 by columns + 1 tiles of 2 x 2 with the padding: a place covers four neighbours.
    tiles = small.new_zeros(count, rows + 1, 2, columns + 1, 2, channels)
    for down in (0, 1):
        for right in (0, 1):
            part = spread[:, :, :, 2 * down : 2 * down + 2, 2 * right : 2 * right + 2]
            tiles[:, down : down + rows, :, right : right + columns] += part.transpose(2, 3)
    large = tiles.view(count, 2 * rows + 2, 2 * columns + 2, channels)[:, 1:-1, 1:-1].permute(0, 3, 1, 2)
    large = large.contiguous(memory_format=torch.channels_last)
    return large if bias is None else large + bias[:, None, None]
