"""Network ``compact``: small, for short runs on CPUs and small GPUs."""

from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from gansmith.parts.networks.base import ImageSpec, Network, finish, networks, normed, projected, start_map
from gansmith.parts.networks.dcgan import DCGANGenerator
from gansmith.parts.networks.r3gan import Double
from gansmith.parts.networks.strided_conv import StridedConv2d, StridedConvTranspose2d

VISIBLE = 0.15  # a Laplacian of so much of the value range (38 of 255 levels) counts as half of a full edge
LAPLACIAN = ((0.0, -1.0, 0.0), (-1.0, 4.0, -1.0), (0.0, -1.0, 0.0))
IMAGE_GAIN = 0.25  # factor of the summed images; with 1, faces of 64 px are grainy: Adam moves large sums fast


@networks.register("compact")
class Compact(Network):
    """Strided convolutions with few channels on large maps; residual blocks on small maps, where they cost little.

    G: latent -> start map (widest) -> blocks, norm, ReLU -> (doubling 4x4 transposed convolution, blocks, norm, ReLU)
       From each of these maps another doubling convolution makes an image. Smaller images are enlarged bilinearly; a
       quarter of the sum of all goes through tanh.
       With ``last_map`` a map of the image's side follows in the same way; a 3x3 convolution makes an image of it.
       Block: x + conv(relu(norm(conv(relu(norm(x)))))), convolutions 3x3; with ``end_norm`` a norm follows the last.
    D: images, with ``detail`` also their local detail -> halving 4x4 convolution, norm (not in the first), leaky,
       blocks -> ... -> Linear over the last map; one logit.
       Block: leaky(x + norm(conv(leaky(norm(conv(x)))))).
       With ``shortcuts`` each halving is (leaky(norm(conv(x))) + 1x1 conv(mean of 2x2(x))) / sqrt(2).
       Local detail: S / (S + c^2), S the sum over channels of the squared Laplacian: about 0 on flat ground, 1 on any
       edge. Without it D compares the amounts of edge, and grain on flat ground passes for edges.
    Labels: one-hot, beside the latent; D adds the inner product of its last map with a vector for each class.
    Source: strided convolutions: Radford et al. 2016, arXiv:1511.06434; residual blocks: He et al. 2016,
    arXiv:1512.03385 (D) and arXiv:1603.05027 (G); sum of images and D's shortcuts: Karras et al. 2020,
    arXiv:1912.04958, section 4.1; labels in D: Miyato and Koyama 2018, arXiv:1802.05637, equation 3; a D that is shown
    frequencies: Chen et al. 2021, arXiv:2012.05535; S / (S + c^2): Geman and McClure 1985.
    Differs: the inner product uses the whole last map, not its sum. Why the blocks are where they are:
    benchmarks/flagship/trials.md.
    """

    mixes_labels: ClassVar[bool] = True
    scores_labels: ClassVar[bool] = True
    init: Literal["framework", "normal", "xavier"] = "normal"
    base_channels: int = Field(16, ge=1, le=1024, description="channels at half the image's side; doubled as it halves")
    max_channels: int = Field(256, ge=1, le=4096, description="most channels of any layer")
    blocks: int = Field(1, ge=0, le=64, description="residual blocks at each small size")
    block_px: int = Field(8, ge=1, le=1024, description="largest map with residual blocks, px; the smallest has them")
    norm: Literal["batch", "none"] = "batch"
    end_norm: bool = Field(
        False, description="a norm with initial gain 0 at the end of G's blocks: more variety above 28 px"
    )
    detail: bool = Field(False, description="D sees a map of local detail beside the image: no grain above 28 px")
    shortcuts: bool = Field(
        False, description="D adds each map, averaged and through a 1x1 convolution, to the next: better above 28 px"
    )
    last_map: bool = Field(
        False, description="G ends in a map of the image's side, with half of base_channels: finer images above 28 px"
    )
    leak: float = Field(0.2, ge=0, lt=1, description="slope of D's LeakyReLU below 0")

    @property
    def has_batch_statistics(self) -> bool:
        """Say whether, in training, an image's output depends on the other images of the batch."""
        return self.norm == "batch"

    def generator(self, spec: ImageSpec) -> nn.Module:
        """Return G; RecipeError for sides that doubling does not reach."""
        rows, columns, doublings = start_map(spec, self.kind)
        widths = self._widths(doublings)[::-1]
        stages, heads = list[nn.Module](), list[nn.Module]()
        for index, width in enumerate(widths):
            larger = [StridedConvTranspose2d(widths[index - 1], width, bias=self.norm == "none")] if index else []
            blocks = self._blocks(max(rows, columns), 2**index)
            inside = [GeneratorBlock(width, self.norm, end_norm=self.end_norm) for _ in range(blocks)]
            stages.append(nn.Sequential(*larger, *inside, *normed(self.norm, width), nn.ReLU(inplace=True)))
            heads.append(StridedConvTranspose2d(width, spec.channels, bias=True))
        if self.last_map:
            width = max(self.base_channels // 2, 1)
            larger = [StridedConvTranspose2d(widths[-1], width, bias=self.norm == "none")]
            stages.append(nn.Sequential(*larger, *normed(self.norm, width), nn.ReLU(inplace=True)))
            heads.append(nn.Conv2d(width, spec.channels, 3, 1, 1))
        layers = SumOfImages(stages, heads, nn.Sigmoid() if self.value_range == "unit" else nn.Tanh())
        project = nn.Linear(spec.latent_dim + spec.num_classes, widths[0] * rows * columns)
        network = finish(DCGANGenerator(project, (widths[0], rows, columns), layers, spec.num_classes), self)
        for module in network.modules():
            if isinstance(module, GeneratorBlock) and isinstance(last := module.layers[-1], nn.BatchNorm2d):
                nn.init.zeros_(last.weight)
        return network

    def discriminator(self, spec: ImageSpec) -> nn.Module:
        """Return D; RecipeError for sides that cannot be halved."""
        rows, columns, doublings = start_map(spec, self.kind)
        widths = self._widths(doublings)
        layers: list[nn.Module] = []
        if self.detail:
            layers.append(LocalDetail(VISIBLE * (1 if self.value_range == "unit" else 2)))
        first = spec.channels + self.detail
        for index, (before, after) in enumerate(zip([first, *widths], widths, strict=False)):
            blocks = self._blocks(max(rows, columns), 2 ** (doublings - 1 - index))
            norm = self.norm if index else "none"
            halving = [StridedConv2d(before, after, bias=norm == "none"), *normed(norm, after)]
            halving.append(nn.LeakyReLU(self.leak, inplace=True))
            layers += [Halving(before, after, halving)] if self.shortcuts else halving
            layers += [DiscriminatorBlock(after, self.norm, self.leak) for _ in range(blocks)]
        width = widths[-1] * rows * columns
        return finish(CompactDiscriminator(nn.Sequential(*layers), width, spec.num_classes), self)

    def _widths(self, doublings: int) -> list[int]:
        """Return the channels at each size, from half the image's side down."""
        return [min(self.base_channels * 2**index, self.max_channels) for index in range(doublings)]

    def _blocks(self, smallest: int, factor: int) -> int:
        """Return how many blocks a map has whose longer side is so many times that of the smallest map."""
        return self.blocks if factor == 1 or smallest * factor <= self.block_px else 0


class SumOfImages(nn.Module):
    """Maps (N, C, h, w) -> images: the head of each stage adds IMAGE_GAIN times an image.

    An image is twice as large as its map; after a last map of the image's side it is as large.
    """

    def __init__(self, stages: list[nn.Module], heads: list[nn.Module], last: nn.Module) -> None:
        super().__init__()
        self.stages, self.heads, self.enlarge, self.last = nn.ModuleList(stages), nn.ModuleList(heads), Double(), last

    def forward(self, maps: Tensor) -> Tensor:
        """Return images in the value range of the last layer."""
        images: Tensor | None = None
        for stage, head in zip(self.stages, self.heads, strict=True):
            maps = stage(maps)
            more = IMAGE_GAIN * head(maps)
            if images is not None:
                more = more + (images if images.shape == more.shape else self.enlarge(images))
            images = more
        return self.last(images)


class LocalDetail(nn.Module):
    """Images (N, C, H, W) -> (N, C + 1, H, W): beside them a map of their local detail in [0, 1], 0 on the border.

    Local detail is S / (S + c^2), S the sum of the squared Laplacians of the channels. The square makes its gradient 0
    on flat ground, so that R1 does not hold D back there.
    """

    def __init__(self, visible: float) -> None:
        super().__init__()
        self.visible = visible

    def forward(self, images: Tensor) -> Tensor:
        """Return images and detail, in the images' dtype."""
        each = torch.eye(images.shape[1], dtype=images.dtype, device=images.device)[:, :, None, None]
        stencils = each * images.new_tensor(LAPLACIAN)  # one dense convolution is faster than one for each channel
        squares = F.conv2d(images, stencils).square().sum(1, keepdim=True, dtype=torch.float32)
        detail = F.pad(squares / (squares + self.visible**2), (1, 1, 1, 1))
        return torch.cat([images, detail.to(images.dtype)], 1)


class GeneratorBlock(nn.Module):
    """Maps (N, C, h, w) -> the same shape."""

    def __init__(self, channels: int, norm: Literal["batch", "none"], *, end_norm: bool) -> None:
        super().__init__()
        without = norm == "none"
        biases = (without, without or not end_norm)
        first, second = (nn.Conv2d(channels, channels, 3, 1, 1, bias=bias) for bias in biases)
        self.layers = nn.Sequential(
            *normed(norm, channels), nn.ReLU(), first, *normed(norm, channels), nn.ReLU(inplace=True), second
        )
        self.layers.extend(normed(norm, channels) if end_norm else [])

    def forward(self, maps: Tensor) -> Tensor:
        """Return the block's output."""
        return maps + self.layers(maps)


class DiscriminatorBlock(nn.Module):
    """Maps (N, C, h, w) -> the same shape."""

    def __init__(self, channels: int, norm: Literal["batch", "none"], leak: float) -> None:
        super().__init__()
        first, second = (nn.Conv2d(channels, channels, 3, 1, 1, bias=norm == "none") for _ in range(2))
        leaky = nn.LeakyReLU(leak, inplace=True)
        self.layers = nn.Sequential(first, *normed(norm, channels), leaky, second, *normed(norm, channels))
        self.leaky = nn.LeakyReLU(leak, inplace=True)

    def forward(self, maps: Tensor) -> Tensor:
        """Return the block's output."""
        return self.leaky(maps + self.layers(maps))


class Halving(nn.Module):
    """Maps (N, before, 2h, 2w) -> (N, after, h, w), with a shortcut past its layers."""

    def __init__(self, before: int, after: int, layers: list[nn.Module]) -> None:
        super().__init__()
        self.layers, self.shortcut = nn.Sequential(*layers), nn.Conv2d(before, after, 1, bias=False)

    def forward(self, maps: Tensor) -> Tensor:
        """Return maps of half the sides."""
        return (self.layers(maps) + self.shortcut(F.avg_pool2d(maps, 2))) * 0.5**0.5


class CompactDiscriminator(nn.Module):
    """(images (N, C, H, W), labels) -> logits (N,), or (N, num_classes) without labels."""

    def __init__(self, layers: nn.Sequential, width: int, num_classes: int) -> None:
        super().__init__()
        self.layers, self.judge = layers, nn.Linear(width, 1)  # saved weights have the name "judge"
        self.embed = nn.Embedding(num_classes, width) if num_classes else None

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        """Return one logit for each image, or for each of its labels."""
        features = self.layers(images).permute(0, 2, 3, 1).flatten(1)
        logits = self.judge(features)
        if self.embed is not None:
            return projected(logits, features, self.embed, labels)
        return logits.flatten()
