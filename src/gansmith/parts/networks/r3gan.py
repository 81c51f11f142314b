"""Network ``r3gan``: residual blocks without norms that start as identities."""

import math
from itertools import pairwise
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from gansmith.core.errors import RecipeError
from gansmith.parts.networks.base import (
    ImageSpec,
    Network,
    draw_normal_,
    finish,
    networks,
    one_hot,
    projected,
    standard_normal,
    start_map,
)

LEAK = 0.2
FEW_CHANNELS = 8  # images have no more; feature maps have many
EXPANSION = 2  # channels inside a block, divided by its input channels
LABEL_DIM = 64  # numbers that a label is embedded in for G
FULL_WIDTH_PX = 32  # maps up to this side have max_channels


@networks.register("r3gan")
class R3GAN(Network):
    """Residual blocks with inverted bottlenecks between bilinear resamplings; D is the mirror image of G.

    Block: x + 1x1(leaky(3x3 grouped(leaky(1x1(x))))), twice the channels inside, LeakyReLU .2, no norm.
    G: learned start map, each channel multiplied by Linear(z) -> blocks -> (1x1, double, blocks)... -> 1x1; no tanh.
    D: 1x1 -> (blocks, halve, 1x1)... -> blocks -> depth-wise convolution as large as the map -> Linear.
    Labels: embedded in 64 numbers beside the latent; D's logit is the inner product of its last layer with a vector for
    each class.
    Fix-up init: weights are normal(0, gain / sqrt(fan_in)). The gain is sqrt(2 / (1 + .2^2)) L^(-1/4) in a block, with
    L blocks in the network, 0 for the last convolution of a block, and 1 elsewhere.
    Source: Huang et al. 2024 (R3GAN), arXiv:2501.05441, section 4; init: Zhang et al. 2019 (Fixup), arXiv:1901.09321,
    with m = 3 layers in a block: L^(-1 / (2m - 2)).
    Differs: sides are 3 to 8 times a power of two; resampling repeats the pixels at the border.
    """

    bounded: ClassVar[bool] = False
    mixes_labels: ClassVar[bool] = True
    scores_labels: ClassVar[bool] = True
    init: Literal["framework", "normal", "xavier", "fixup"] = Field(  # type: ignore[assignment]
        "fixup",
        description="initial weights. fixup: blocks are identities; framework: torch's; normal: (0, .02); xavier",
    )
    base_channels: int | None = Field(
        None,
        ge=1,
        le=4096,
        description="channels at full size; null: max_channels up to 32 px, half for each doubling",
    )
    max_channels: int = Field(
        768, ge=1, le=4096, description="most channels of any layer; they double as the side halves"
    )
    blocks: int = Field(2, ge=1, le=16, description="residual blocks at each size")
    group_width: int | None = Field(16, ge=1, description="channels in a group; null: plain convolutions, for CPUs")

    def generator(self, spec: ImageSpec) -> nn.Module:
        """Return G; RecipeError for sides that doubling does not reach, and channels that groups do not divide."""
        rows, columns, doublings = start_map(spec, self.kind)
        widths = self._widths(spec, doublings)[::-1]
        layers: list[nn.Module] = self._stage(widths[0])
        for before, after in pairwise(widths):
            layers += [*_narrower(before, after), Double(), *self._stage(after)]
        layers.append(nn.Conv2d(widths[-1], spec.channels, 1, bias=False))
        start = ScaledMap(widths[0], rows, columns)
        return self._finish(R3GANGenerator(spec, start, nn.Sequential(*layers)))

    def discriminator(self, spec: ImageSpec) -> nn.Module:
        """Return D; RecipeError for sides that cannot be halved, and channels that groups do not divide."""
        rows, columns, doublings = start_map(spec, self.kind)
        widths = self._widths(spec, doublings)
        layers: list[nn.Module] = [nn.Conv2d(spec.channels, widths[0], 1, bias=False), *self._stage(widths[0])]
        for before, after in pairwise(widths):
            layers += [Halve(), *_narrower(before, after), *self._stage(after)]
        layers.append(nn.Conv2d(widths[-1], widths[-1], (rows, columns), groups=widths[-1], bias=False))
        return self._finish(R3GANDiscriminator(spec, nn.Sequential(*layers), widths[-1]))

    def _widths(self, spec: ImageSpec, doublings: int) -> list[int]:
        """Return the channels at each size, from the image's side down."""
        side = max(spec.height, spec.width, FULL_WIDTH_PX)
        base = self.base_channels or max(1, self.max_channels * FULL_WIDTH_PX // side)
        return [min(base * 2**index, self.max_channels) for index in range(doublings + 1)]

    def _stage(self, channels: int) -> list[nn.Module]:
        hidden = EXPANSION * channels
        width = min(self.group_width or hidden, hidden)
        if hidden % width:
            raise RecipeError(
                "recipe.group_width_not_dividing",
                f"network 'r3gan': a block of {channels} channels has {hidden} inside; group_width={width} does not "
                "divide them"
                f"\n  {width} must divide {EXPANSION} x base_channels and {EXPANSION} x max_channels; or pass "
                "group_width=null",
            )
        return [Block(channels, hidden, hidden // width) for _ in range(self.blocks)]

    def _finish(self, network: nn.Module) -> nn.Module:
        if self.init == "fixup":
            if self.spectral_norm:
                raise RecipeError(
                    "recipe.fixup_with_spectral_norm",
                    "network 'r3gan': init=fixup sets weights to 0, and spectral_norm cannot scale a weight of zeros"
                    "\n  pass init=framework, or spectral_norm=false",
                )
            _fix_up(network)
        return finish(network, self)


class Block(nn.Module):
    """Maps (N, C, h, w) plus the output of three convolutions of them."""

    def __init__(self, channels: int, hidden: int, groups: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(channels, hidden, 1),
            nn.LeakyReLU(LEAK, inplace=True),
            nn.Conv2d(hidden, hidden, 3, padding=1, groups=groups),
            nn.LeakyReLU(LEAK, inplace=True),
            nn.Conv2d(hidden, channels, 1, bias=False),
        )

    def forward(self, maps: Tensor) -> Tensor:
        """Return the block's output."""
        return maps + self.layers(maps)


class ScaledMap(nn.Module):
    """A learned map (C, rows, columns) times scales (N, C) -> (N, C, rows, columns)."""

    def __init__(self, channels: int, rows: int, columns: int) -> None:
        super().__init__()
        self.map = nn.Parameter(standard_normal(channels, rows, columns))

    def forward(self, scales: Tensor) -> Tensor:
        """Return one map for each row of scales."""
        return (self.map * scales[:, :, None, None]).contiguous(memory_format=torch.channels_last)


class Double(nn.Module):
    """Bilinear doubling: zeros between the pixels, then the filter [1, 3, 3, 1] / 4 = [1, 1] * [1, 2, 1] / 4 each way.

    It averages 2 x 2 pixels of the nearest-neighbour enlargement, or for images adds shifted slices: the gradients are
    then the same in every run on every device.
    """

    def forward(self, maps: Tensor) -> Tensor:
        """Return (N, C, 2h, 2w)."""
        if maps.shape[1] <= FEW_CHANNELS:  # averages take five times as long there: docs/performance.md
            for side in (2, 3):
                rest = maps.shape[side] - 1
                before = torch.cat([maps.narrow(side, 0, 1), maps.narrow(side, 0, rest)], side)
                after = torch.cat([maps.narrow(side, 1, rest), maps.narrow(side, rest, 1)], side)
                pair = [torch.lerp(maps, before, 0.25), torch.lerp(maps, after, 0.25)]
                maps = torch.stack(pair, side + 1).flatten(side, side + 1)
            return maps
        maps = F.interpolate(maps, scale_factor=2.0)
        return F.avg_pool2d(F.avg_pool2d(maps, 2, 1, 1, count_include_pad=False), 2, 1)


class Halve(nn.Module):
    """Bilinear halving: the filter [1, 3, 3, 1] / 8 each way, then every second pixel."""

    def forward(self, maps: Tensor) -> Tensor:
        """Return (N, C, h / 2, w / 2)."""
        maps = F.avg_pool2d(F.avg_pool2d(maps, 2, 1, 1, count_include_pad=False), 2, 1)
        return F.avg_pool2d(maps, 2)


class R3GANGenerator(nn.Module):
    """(latents (N, latent_dim), labels) -> images (N, C, H, W); a few values leave the network's value range."""

    def __init__(self, spec: ImageSpec, start: ScaledMap, layers: nn.Sequential) -> None:
        super().__init__()
        self.num_classes = spec.num_classes
        label_dim = LABEL_DIM if spec.num_classes else 0
        self.project = nn.Linear(spec.latent_dim + label_dim, start.map.shape[0], bias=False)
        self.embed = nn.Linear(spec.num_classes, LABEL_DIM, bias=False) if label_dim else None
        self.start, self.layers = start, layers

    def forward(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        """Return images."""
        if self.embed is not None:
            latents = torch.cat([latents, self.embed(one_hot(labels, self.num_classes))], 1)
        return self.layers(self.start(self.project(latents)))


class R3GANDiscriminator(nn.Module):
    """(images (N, C, H, W), labels) -> logits (N,), or (N, num_classes) if it has a label input but gets no labels."""

    def __init__(self, spec: ImageSpec, layers: nn.Sequential, width: int) -> None:
        super().__init__()
        self.layers = layers
        # Saved weights have the name "judge".
        self.judge = nn.Linear(width, width if spec.num_classes else 1, bias=False)
        self.embed = nn.Embedding(spec.num_classes, width) if spec.num_classes else None

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        """Return one logit for each image, or one for every label."""
        out = self.judge(self.layers(images).flatten(1))
        if self.embed is not None:
            return projected(0.0, out, self.embed, labels)
        return out.flatten()


def _narrower(before: int, after: int) -> list[nn.Module]:
    """Return the 1 x 1 convolution that changes the number of channels, in a list that is empty if none is needed."""
    return [nn.Conv2d(before, after, 1, bias=False)] if before != after else []


def _fix_up(network: nn.Module) -> None:
    """Initialise weights so that a deep network starts as a shallow one."""
    blocks = [module for module in network.modules() if isinstance(module, Block)]
    for module in network.modules():
        if isinstance(module, nn.Embedding):  # counts as a linear layer of one-hot labels, with gain 1 / sqrt(dim)
            _draw(module.weight, fan_in=module.num_embeddings, gain=module.embedding_dim**-0.5)
        elif isinstance(module, nn.Linear | nn.Conv2d):
            _draw(module.weight, fan_in=module.weight[0].numel())
    gain = math.sqrt(2 / (1 + LEAK**2)) * len(blocks) ** -0.25
    for block in blocks:
        *inner, last = (layer for layer in block.layers if isinstance(layer, nn.Conv2d))
        for layer in inner:
            _draw(layer.weight, fan_in=layer.weight[0].numel(), gain=gain)
            assert layer.bias is not None
            nn.init.zeros_(layer.bias)
        nn.init.zeros_(last.weight)


def _draw(weight: Tensor, *, fan_in: int, gain: float = 1.0) -> None:
    draw_normal_(weight, 0.0, gain / math.sqrt(fan_in))
