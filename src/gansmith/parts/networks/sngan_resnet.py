"""Network ``sngan_resnet``: the residual networks of WGAN-GP and SNGAN."""

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
    standard_normal,
    start_map,
)

SMALL_PX = 32  # up to this side the papers' networks for CIFAR-10; above, those for larger images
SMALL_WIDTHS = {"generator": 256, "discriminator": 128}
LARGE_WIDTH, GROWTH = 64, 16


@networks.register("sngan_resnet")
class SNGANResNet(Network):
    """Residual blocks of two 3 x 3 convolutions, which double the map in G and halve it in D.

    G: latent -> start map -> doubling blocks (norm, ReLU, double, 3x3, norm, ReLU, 3x3) -> norm, ReLU, 3x3, tanh.
    D: halving blocks (ReLU, 3x3, ReLU, 3x3, mean of 2 x 2; the first without its first ReLU) -> blocks that do not
       halve -> ReLU, sum over the map, Linear. The skip connection has a 1x1 convolution if channels or sides change.
    Labels: each class has a gain and a shift for each channel in each norm of G; without norms, one-hot beside the
    latent. D adds the inner product of its last features with a vector for each class.
    Source: Miyato et al. 2018 (SNGAN), arXiv:1802.05957, appendix B.4, tables 3 to 5; Gulrajani et al. 2017,
    arXiv:1704.00028, appendix; labels in G: Dumoulin et al. 2017, arXiv:1610.07629, in D: Miyato and Koyama 2018,
    arXiv:1802.05637, equation 3.
    Differs: sides are 3 to 8 times a power of two. Up to 32 px, as for CIFAR-10, all maps have the same channels; D
    halves twice and then has 2 more blocks. Above, channels double as the side halves, up to 16 times; D halves down to
    G's start map and then has 1 more block.
    """

    mixes_labels: ClassVar[bool] = True
    scores_labels: ClassVar[bool] = True
    init: Init = Field(
        "xavier", description="initial weights. xavier: Glorot; framework: torch's; normal: (0, .02) as in DCGAN"
    )
    base_channels: int | None = Field(
        None, ge=1, le=1024, description="channels at full size; null: up to 32 px 256 in G and 128 in D, above 64"
    )
    norm: Literal["batch", "none"] = "batch"
    blocks: int | None = Field(
        None, ge=0, le=64, description="D's blocks that do not halve; null: 2 up to 32 px, 1 above"
    )
    pool: Literal["sum", "mean"] = Field("sum", description="over D's last map: sum as in SNGAN, mean as in WGAN-GP")

    @property
    def has_batch_statistics(self) -> bool:
        """Say whether, in training, an image's output depends on the other images of the batch."""
        return self.norm == "batch"

    def generator(self, spec: ImageSpec) -> nn.Module:
        """Return G; RecipeError for sides that doubling does not reach."""
        rows, columns, doublings = start_map(spec, self.kind)
        widths = self._widths(spec, doublings + 1, "generator")[::-1]
        blocks = [DoublingBlock(self, before, after, spec.num_classes) for before, after in pairwise(widths)]
        last = nn.Conv2d(widths[-1], spec.channels, 3, padding=1)
        squash = nn.Sigmoid() if self.value_range == "unit" else nn.Tanh()
        end = nn.Sequential(nn.ReLU(), last, squash)
        norm = self.norm_for(widths[-1], spec.num_classes)
        label_dim = spec.num_classes if self.norm == "none" else 0
        project = nn.Linear(spec.latent_dim + label_dim, widths[0] * rows * columns)
        start = (widths[0], rows, columns)
        return finish(SNGANGenerator(project, start, blocks, norm, end, spec.num_classes), self)

    def discriminator(self, spec: ImageSpec) -> nn.Module:
        """Return D; RecipeError for sides that cannot be halved."""
        _, _, doublings = start_map(spec, self.kind)
        small = _is_small(spec)
        halvings = min(2, doublings) if small else doublings
        more = self.blocks if self.blocks is not None else 2 if small else 1
        widths = [spec.channels, *self._widths(spec, halvings + more, "discriminator")]
        blocks = [
            DiscriminatorBlock(before, after, self.norm, is_first=index == 0, halves=index < halvings)
            for index, (before, after) in enumerate(pairwise(widths))
        ]
        layers = nn.Sequential(*blocks, *normed(self.norm, widths[-1]), nn.ReLU())
        return finish(SNGANDiscriminator(layers, widths[-1], spec.num_classes, self.pool), self)

    def norm_for(self, channels: int, num_classes: int) -> nn.Module | None:
        """Return a norm layer for G, with gains and shifts for each class if there are classes."""
        if self.norm == "none":
            return None
        return ClassBatchNorm2d(channels, num_classes) if num_classes else nn.BatchNorm2d(channels)

    def _widths(self, spec: ImageSpec, count: int, side: str) -> list[int]:
        """Return the channels of the blocks, from the image's side down."""
        if _is_small(spec):
            return [self.base_channels or SMALL_WIDTHS[side]] * count
        return [(self.base_channels or LARGE_WIDTH) * min(2**index, GROWTH) for index in range(count)]


class ClassBatchNorm2d(nn.BatchNorm2d):
    """Batch norm with a gain and a shift for each class; labels are one-hot or class weights."""

    def __init__(self, channels: int, num_classes: int) -> None:
        super().__init__(channels, affine=False)
        self.gain = nn.Parameter(1 + INIT_STD * standard_normal(num_classes, channels))
        self.shift = nn.Parameter(INIT_STD * standard_normal(num_classes, channels))

    def forward(self, maps: Tensor, class_weights: Tensor | None = None) -> Tensor:
        """Return normed maps (N, C, h, w) for ``class_weights`` (N, num_classes)."""
        assert class_weights is not None
        gain, shift = class_weights @ self.gain, class_weights @ self.shift
        return super().forward(maps) * gain[:, :, None, None] + shift[:, :, None, None]


class DoublingBlock(nn.Module):
    """Maps (N, before, h, w) -> (N, after, 2h, 2w)."""

    def __init__(self, config: SNGANResNet, before: int, after: int, num_classes: int) -> None:
        super().__init__()
        self.beside = nn.Conv2d(before, after, 1)
        self.norm1, self.norm2 = (config.norm_for(channels, num_classes) for channels in (before, after))
        self.conv1, self.conv2 = nn.Conv2d(before, after, 3, padding=1), nn.Conv2d(after, after, 3, padding=1)
        self.relu, self.larger = nn.ReLU(), nn.Upsample(scale_factor=2)

    def forward(self, maps: Tensor, class_weights: Tensor | None) -> Tensor:
        """Return maps of twice the sides."""
        beside = self.larger(self.beside(maps))  # 1 x 1 convolution first: same result, a quarter of the cost
        maps = self.conv1(self.larger(self.relu(_normed(self.norm1, maps, class_weights))))
        return beside + self.conv2(self.relu(_normed(self.norm2, maps, class_weights)))


class DiscriminatorBlock(nn.Module):
    """Maps (N, before, h, w) -> (N, after, h, w), or (N, after, h / 2, w / 2) if it halves."""

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
        """Return the block's output."""
        beside = maps if self.beside is None else self.beside(maps)
        out = beside + self.layers(maps)
        return out if self.halve is None else self.halve(out)


class SNGANGenerator(nn.Module):
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
        class_weights = one_hot(labels, self.num_classes) if self.num_classes else None
        if class_weights is not None and self.norm is None:
            latents = torch.cat([latents, class_weights], 1)
        channels, rows, columns = self.start
        # Rows, columns, channels: this makes the map channels_last without a copy.
        maps = self.project(latents).view(-1, rows, columns, channels).permute(0, 3, 1, 2)
        for block in self.blocks:
            maps = block(maps, class_weights)
        return self.end(_normed(self.norm, maps, class_weights))


class SNGANDiscriminator(nn.Module):
    """(images (N, C, H, W), labels) -> logits (N,), or (N, num_classes) if it has a label input but gets no labels."""

    def __init__(self, layers: nn.Sequential, width: int, num_classes: int, pool: Literal["sum", "mean"]) -> None:
        super().__init__()
        self.layers, self.pool = layers, pool
        self.judge = nn.Linear(width, 1)  # saved weights have the name "judge"
        self.embed = nn.Embedding(num_classes, width) if num_classes else None

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        """Return one logit for each image, or one for every label."""
        maps = self.layers(images)
        features = maps.sum((2, 3)) if self.pool == "sum" else maps.mean((2, 3))
        logits = self.judge(features)
        if self.embed is not None:
            return projected(logits, features, self.embed, labels)
        return logits.flatten()


def _is_small(spec: ImageSpec) -> bool:
    return max(spec.height, spec.width) <= SMALL_PX


def _normed(norm: nn.Module | None, maps: Tensor, class_weights: Tensor | None) -> Tensor:
    if norm is None:
        return maps
    out: Tensor = norm(maps, class_weights) if isinstance(norm, ClassBatchNorm2d) else norm(maps)
    return out
