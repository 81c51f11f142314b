"""Network ``cyclegan_resnet``: CycleGAN's residual generator, which translates images."""

from typing import ClassVar, Literal

from pydantic import Field
from torch import Tensor, nn

from gansmith.core.errors import RecipeError
from gansmith.parts.networks.base import (
    ImageSpec,
    Network,
    finish,
    networks,
    normed,
    require_sources,
    with_label_planes,
)

MULTIPLE = 4  # two halvings, two doublings
NINE_BLOCKS_FROM = 256


@networks.register("cyclegan_resnet")
class CycleGANResNet(Network):
    """Halve the source twice, apply residual blocks, double twice.

    G: convolutions 7 x 7; two 3 x 3 of stride 2; N residual blocks of two 3 x 3; two of stride 1/2; 7 x 7; tanh. A norm
       and a ReLU follow each convolution except the last; borders are padded by reflection.
    Source: Zhu et al. 2017 (CycleGAN), arXiv:1703.10593, section 4 and appendix 7.2; Johnson et al. 2016,
    arXiv:1603.08155.
    Differs: fewer channels up to 32 px. ``upsample: resize`` enlarges, then convolves, which avoids checkerboard
    patterns (Odena et al. 2016, doi:10.23915/distill.00003).
    """

    translates: ClassVar[bool] = True
    base_channels: int | None = Field(
        None, ge=1, le=1024, description="channels at full size; null: 32 up to 32 px, 64 above"
    )
    blocks: int | None = Field(None, ge=0, le=64, description="residual blocks; null: 6 below 256 px, 9 from there on")
    norm: Literal["batch", "instance", "none"] = "instance"
    upsample: Literal["transposed", "resize"] = "transposed"

    @property
    def has_batch_statistics(self) -> bool:
        """Say whether, in training, an image's output depends on the other images of the batch."""
        return self.norm == "batch"

    def generator(self, spec: ImageSpec) -> nn.Module:
        """Return G; RecipeError without source images, or if the sides cannot be halved twice."""
        require_sources(spec, "cyclegan_resnet", "method 'unpaired' (--recipe unpaired)")
        if spec.height % MULTIPLE or spec.width % MULTIPLE:
            raise RecipeError(
                "recipe.size_unfit_for_network",
                f"network 'cyclegan_resnet' does not fit {spec.height} x {spec.width} images: it halves them twice"
                f"\n  sides must be multiples of {MULTIPLE}, for example 32, 48, 64 or 48x64; set them with size=",
            )
        side = max(spec.height, spec.width)
        base = self.base_channels or (32 if side <= 32 else 64)
        blocks = self.blocks if self.blocks is not None else 6 if side < NINE_BLOCKS_FROM else 9
        layers = self._conv(spec.source_channels + spec.num_classes, base, 7)
        layers += [*self._smaller(base, 2 * base), *self._smaller(2 * base, 4 * base)]
        layers += [ResidualBlock(self, 4 * base) for _ in range(blocks)]
        layers += [*self._larger(4 * base, 2 * base), *self._larger(2 * base, base)]
        layers += [nn.ReflectionPad2d(3), nn.Conv2d(base, spec.channels, 7)]
        layers.append(nn.Sigmoid() if self.value_range == "unit" else nn.Tanh())
        return finish(ResNetGenerator(nn.Sequential(*layers), spec.num_classes), self)

    def padded(self, before: int, after: int, kernel: int) -> list[nn.Module]:
        """Return a convolution that keeps the size, with padding and norm."""
        conv = nn.Conv2d(before, after, kernel, bias=self.norm == "none")
        return [nn.ReflectionPad2d(kernel // 2), conv, *normed(self.norm, after)]

    def _conv(self, before: int, after: int, kernel: int) -> list[nn.Module]:
        return [*self.padded(before, after, kernel), nn.ReLU()]

    def _smaller(self, before: int, after: int) -> list[nn.Module]:
        conv = nn.Conv2d(before, after, 3, 2, 1, bias=self.norm == "none")
        return [conv, *normed(self.norm, after), nn.ReLU()]

    def _larger(self, before: int, after: int) -> list[nn.Module]:
        if self.upsample == "resize":
            return [nn.Upsample(scale_factor=2), *self._conv(before, after, 3)]
        conv = nn.ConvTranspose2d(before, after, 3, 2, 1, output_padding=1, bias=self.norm == "none")
        return [conv, *normed(self.norm, after), nn.ReLU()]


class ResidualBlock(nn.Module):
    """Maps (N, C, h, w) plus the output of two convolutions of them."""

    def __init__(self, config: CycleGANResNet, channels: int) -> None:
        super().__init__()
        both = [config.padded(channels, channels, 3) for _ in range(2)]
        self.layers = nn.Sequential(*both[0], nn.ReLU(), *both[1])

    def forward(self, maps: Tensor) -> Tensor:
        """Return the block's output."""
        return maps + self.layers(maps)


class ResNetGenerator(nn.Module):
    """(sources (N, S, H, W), labels) -> images (N, C, H, W); sides are multiples of ``multiple``."""

    def __init__(self, layers: nn.Sequential, num_classes: int) -> None:
        super().__init__()
        self.layers, self.num_classes, self.multiple = layers, num_classes, MULTIPLE

    def forward(self, sources: Tensor, labels: Tensor | None = None) -> Tensor:
        """Return images in the network's value range."""
        return self.layers(with_label_planes(sources, labels, self.num_classes))
