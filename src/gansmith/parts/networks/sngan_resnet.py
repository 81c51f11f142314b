"""The residual networks of WGAN-GP and SNGAN, which make images from noise and judge them."""

from itertools import pairwise
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from gansmith.parts.networks.base import (
    INIT_STD,
    ImageSpec,
    Init,
    Network,
    finish,
    networks,
    normed,
    one_hot,
    projected,
    start_map,
)

SMALL_PX = 32  # up to here the papers' networks for CIFAR-10, above those for larger images
SMALL_WIDTHS = {"generator": 256, "discriminator": 128}
LARGE_WIDTH, GROWTH = 64, 16


@networks.register("sngan_resnet")
class SNGANResNet(Network):
    """Residual blocks of two 3 x 3 convolutions, that double the map in G and halve it in D.

    G: latent -> start map -> doubling blocks (norm, ReLU, doubled, 3x3, norm, ReLU, 3x3) -> norm, ReLU, 3x3, tanh.
    D: halving blocks (ReLU, 3x3, ReLU, 3x3, mean of 2 x 2; the first without its first ReLU) -> blocks that do not
       halve -> ReLU, sum over the map, Linear. Beside a block a 1x1 convolution where channels or sides change.
    A label is a gain and a shift for each channel in each norm of G, one-hot beside the latent if it has none; D adds
    the inner product of a vector for each class with what its last layer reads.
    Source: Miyato et al. 2018 (SNGAN), arXiv:1802.05957, appendix B.4, tables 3 to 5; Gulrajani et al. 2017,
    arXiv:1704.00028, appendix; labels in G: Dumoulin et al. 2017, arXiv:1610.07629, in D: Miyato and Koyama 2018,
    arXiv:1802.05637, equation 3.
    Differs: up to 32 px the channels are the same everywhere and D halves twice, then has 2 blocks more, as for
    CIFAR-10; above channels double as the side halves, up to 16 times, and D halves down to G's start map, then has 1
    more. Sides of 3 to 8 times a power of two.
    """

    mixes_labels: ClassVar[bool] = True
    scores_labels: ClassVar[bool] = True
    init: Init = Field("xavier", description="xavier: Glorot's; framework: torch's; normal: normal(0, .02) as in DCGAN")
    base_channels: int | None = Field(
        None, ge=1, le=1024, description="at the image's side; null: 256 in G, 128 in D up to 32 px, 64 above"
    )
    norm: Literal["batch", "none"] = "batch"
    blocks: int | None = Field(None, ge=0, le=64, description="D's that do not halve; null: 2 up to 32 px, 1 above")
    pool: Literal["sum", "mean"] = Field("sum", description="over D's last map; sum as in SNGAN, mean as in WGAN-GP")

    @property
    def has_batch_statistics(self) -> bool:
        """Say whether an image's output depends on the others of its batch while training."""
        return self.norm == "batch"

    def generator(self, spec: ImageSpec) -> nn.Module:
        """Return G; RecipeError for sides that cannot be doubled to."""
        rows, columns, doublings = start_map(spec, self.kind)
        widths = self._widths(spec, doublings + 1, "generator")[::-1]
        blocks = [DoublingBlock(self, before, after, spec.num_classes) for before, after in pairwise(widths)]
        last = nn.Conv2d(widths[-1], spec.channels, 3, padding=1)
        squash = nn.Sigmoid() if self.value_range == "unit" else nn.Tanh()
        end = nn.Sequential(nn.ReLU(), last, squash)
        norm = self.norm_for(widths[-1], spec.num_classes)
        told = spec.num_classes if self.norm == "none" else 0
        project = nn.Linear(spec.latent_dim + told, widths[0] * rows * columns)
        start = (widths[0], rows, columns)
        return finish(ResidualGenerator(project, start, blocks, norm, end, spec.num_classes), self)

    def discriminator(self, spec: ImageSpec) -> nn.Module:
        """Return D; RecipeError for sides that cannot be halved."""
        _, _, doublings = start_map(spec, self.kind)
        small = _is_small(spec)
        halvings = min(2, doublings) if small else doublings
        more = self.blocks if self.blocks is not None else 2 if small else 1
        widths = [spec.channels, *self._widths(spec, halvings + more, "discriminator")]
        blocks = [
            JudgingBlock(before, after, self.norm, is_first=index == 0, halves=index < halvings)
            for index, (before, after) in enumerate(pairwise(widths))
        ]
        layers = nn.Sequential(*blocks, *normed(self.norm, widths[-1]), nn.ReLU())
        return finish(ResidualDiscriminator(layers, widths[-1], spec.num_classes, self.pool), self)

    def norm_for(self, channels: int, num_classes: int) -> nn.Module | None:
        """Return one of G's norms, of each class where there are some."""
        if self.norm == "none":
            return None
        return ClassBatchNorm2d(channels, num_classes) if num_classes else nn.BatchNorm2d(channels)

    def _widths(self, spec: ImageSpec, count: int, side: str) -> list[int]:
        """Return the channels of blocks, those at the image's side first."""
        if _is_small(spec):
            return [self.base_channels or SMALL_WIDTHS[side]] * count
        return [(self.base_channels or LARGE_WIDTH) * min(2**index, GROWTH) for index in range(count)]


class ClassBatchNorm2d(nn.BatchNorm2d):
    """Batch norm with a gain and a shift for each class; labels come one-hot, or as weights of classes."""

    def __init__(self, channels: int, num_classes: int) -> None:
        super().__init__(channels, affine=False)
        self.gain = nn.Parameter(1 + INIT_STD * torch.randn(num_classes, channels))
        self.shift = nn.Parameter(INIT_STD * torch.randn(num_classes, channels))

    def forward(self, maps: Tensor, told: Tensor | None = None) -> Tensor:
        """Return maps (N, C, h, w) as their classes, ``told`` (N, num_classes), have them."""
        assert told is not None
        gain, shift = told @ self.gain, told @ self.shift
        return super().forward(maps) * gain[:, :, None, None] + shift[:, :, None, None]


class DoublingBlock(nn.Module):
    """Maps (N, before, h, w) -> (N, after, 2h, 2w)."""

    def __init__(self, config: SNGANResNet, before: int, after: int, num_classes: int) -> None:
        super().__init__()
        self.beside = nn.Conv2d(before, after, 1)
        self.norm1, self.norm2 = (config.norm_for(channels, num_classes) for channels in (before, after))
        self.conv1, self.conv2 = nn.Conv2d(before, after, 3, padding=1), nn.Conv2d(after, after, 3, padding=1)
        self.relu, self.larger = nn.ReLU(), nn.Upsample(scale_factor=2)

    def forward(self, maps: Tensor, told: Tensor | None) -> Tensor:
        """Return the larger maps."""
        beside = self.larger(self.beside(maps))  # the 1 x 1 convolution first: the same, at a quarter of the cost
        maps = self.conv1(self.larger(self.relu(_normed(self.norm1, maps, told))))
        return beside + self.conv2(self.relu(_normed(self.norm2, maps, told)))


class JudgingBlock(nn.Module):
    """Maps (N, before, h, w) -> (N, after, h, w), or of half the sides."""

    def __init__(
        self, before: int, after: int, norm: Literal["batch", "none"], *, is_first: bool, halves: bool
    ) -> None:
        super().__init__()
        changes = halves or before != after
        self.beside = nn.Conv2d(before, after, 1) if changes else None
        start: list[nn.Module] = [] if is_first else [*normed(norm, before), nn.ReLU()]
        conv1, conv2 = nn.Conv2d(before, after, 3, padding=1), nn.Conv2d(after, after, 3, padding=1)
        self.layers = nn.Sequential(*start, conv1, *normed(norm, after), nn.ReLU(), conv2)
        self.halve = nn.AvgPool2d(2) if halves else None

    def forward(self, maps: Tensor) -> Tensor:
        """Return the changed maps."""
        beside = maps if self.beside is None else self.beside(maps)
        out = beside + self.layers(maps)
        return out if self.halve is None else self.halve(out)


class ResidualGenerator(nn.Module):
    """(latents (N, latent_dim), labels) -> images (N, C, H, W)."""

    def __init__(
        self,
        project: nn.Linear,
        start: tuple[int, int, int],
        blocks: list[DoublingBlock],
        norm: nn.Module | None,
        end: nn.Sequential,
        num_classes: int,
    ) -> None:
        super().__init__()
        self.project, self.start, self.num_classes = project, start, num_classes
        self.blocks, self.norm, self.end = nn.ModuleList(blocks), norm, end

    def forward(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        """Return images in the network's value range."""
        told = one_hot(labels, self.num_classes) if self.num_classes else None
        if told is not None and self.norm is None:
            latents = torch.cat([latents, told], 1)
        channels, rows, columns = self.start
        # Rows, columns, channels: the map is born channels_last, without a copy.
        maps = self.project(latents).view(-1, rows, columns, channels).permute(0, 3, 1, 2)
        for block in self.blocks:
            maps = block(maps, told)
        return self.end(_normed(self.norm, maps, told))


class ResidualDiscriminator(nn.Module):
    """(images (N, C, H, W), labels) -> logits (N,), or (N, num_classes) without labels."""

    def __init__(self, layers: nn.Sequential, width: int, num_classes: int, pool: Literal["sum", "mean"]) -> None:
        super().__init__()
        self.layers, self.pool = layers, pool
        self.judge = nn.Linear(width, 1)
        self.embed = nn.Embedding(num_classes, width) if num_classes else None

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        """Return one logit for each image, or for each of its labels."""
        maps = self.layers(images)
        seen = maps.sum((2, 3)) if self.pool == "sum" else maps.mean((2, 3))
        logits = self.judge(seen)
        if self.embed is not None:
            return projected(logits, seen, self.embed, labels)
        return logits.flatten()


def _is_small(spec: ImageSpec) -> bool:
    return max(spec.height, spec.width) <= SMALL_PX


def _normed(norm: nn.Module | None, maps: Tensor, told: Tensor | None) -> Tensor:
    if norm is None:
        return maps
    out: Tensor = norm(maps, told) if isinstance(norm, ClassBatchNorm2d) else norm(maps)
    return out
