"""Network ``unet``: pix2pix's generator, which translates images."""

from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from gansmith.core.errors import RecipeError
from gansmith.imaging.images import stages
from gansmith.parts.networks.base import (
    ImageSpec,
    Network,
    finish,
    networks,
    normed,
    require_sources,
    with_label_planes,
)
from gansmith.parts.networks.strided_conv import StridedConv2d, StridedConvTranspose2d


@networks.register("unet")
class UNet(Network):
    """Halve the source down to a map of 3 to 8 px, then double it back, with skip connections between equal sizes.

    Down: convolutions with kernel 4 and stride 2, norm, LeakyReLU .2; no norm on the first.
    Up: transposed convolutions, norm, dropout on the smallest three maps, ReLU; then tanh. From the second on, a layer
    also gets the map of the same size from the way down.
    Source: Isola et al. 2017 (pix2pix), arXiv:1611.07004, section 3.2 and appendix 6.1.1; Ronneberger et al. 2015,
    arXiv:1505.04597.
    Differs: the smallest map has 3 to 8 px instead of 1, so one network fits images of many sizes; dropout is off after
    training, so a trained network gives one answer.
    """

    translates: ClassVar[bool] = True
    base_channels: int | None = Field(
        None, ge=1, le=1024, description="channels at half the image's side; null: 32 up to 32 px, 64 above"
    )
    max_channels: int = Field(512, ge=1, le=4096, description="most channels of any layer")
    norm: Literal["batch", "instance", "none"] = "batch"
    dropout: float = Field(0.0, ge=0, lt=1, description="dropout rate in training, on the smallest three maps")

    @property
    def has_batch_statistics(self) -> bool:
        """Say whether, in training, an image's output depends on the other images of the batch."""
        return self.norm == "batch"

    def generator(self, spec: ImageSpec) -> nn.Module:
        """Return G; RecipeError without source images, or if the sides cannot be halved."""
        require_sources(spec, "unet", "method 'paired' (--recipe translate)")
        found = stages(spec.height, spec.width)
        if found is None:
            raise RecipeError(
                "recipe.size_unfit_for_network",
                f"network 'unet' does not fit {spec.height} x {spec.width} images"
                "\n  sides must be multiples of one power of two, the shorter 3 to 8 times, such as 28, 64, 96, "
                "48x64 or 32x256; set them with size=",
            )
        base = self.base_channels or (32 if max(spec.height, spec.width) <= 32 else 64)
        widths = [min(base * 2**index, self.max_channels) for index in range(found[2])]
        downs, ups = nn.ModuleList(), nn.ModuleList()
        before = spec.source_channels + spec.num_classes
        for index, after in enumerate(widths):
            downs.append(nn.Sequential(*self._down(before, after, is_first=index == 0)))
            before = after
        for index in reversed(range(len(widths))):
            after = widths[index - 1] if index else spec.channels
            ups.append(nn.Sequential(*self._up(before, after, place=len(widths) - 1 - index, is_last=index == 0)))
            before = 2 * after
        return finish(UNetGenerator(downs, ups, spec.num_classes), self)

    def _down(self, before: int, after: int, *, is_first: bool) -> list[nn.Module]:
        has_norm = self.norm != "none" and not is_first
        layers = [StridedConv2d(before, after, bias=not has_norm), *(normed(self.norm, after) if has_norm else ())]
        return [*layers, nn.LeakyReLU(0.2)]

    def _up(self, before: int, after: int, *, place: int, is_last: bool) -> list[nn.Module]:
        if is_last:
            out = nn.Sigmoid() if self.value_range == "unit" else nn.Tanh()
            return [StridedConvTranspose2d(before, after, bias=True), out]
        layers = [StridedConvTranspose2d(before, after, bias=self.norm == "none"), *normed(self.norm, after)]
        drop = [nn.Dropout(self.dropout)] if self.dropout and place < 3 else []
        return [*layers, *drop, nn.ReLU()]


class UNetGenerator(nn.Module):
    """(sources (N, S, H, W), labels) -> images (N, C, H, W); sides are multiples of ``multiple``."""

    def __init__(self, downs: nn.ModuleList, ups: nn.ModuleList, num_classes: int) -> None:
        super().__init__()
        self.downs, self.ups, self.num_classes = downs, ups, num_classes
        self.multiple = 2 ** len(downs)

    def forward(self, sources: Tensor, labels: Tensor | None = None) -> Tensor:
        """Return images in the network's value range."""
        maps, skipped = with_label_planes(sources, labels, self.num_classes), []
        for down in self.downs:
            maps = down(maps)
            skipped.append(maps)
        skipped.pop()
        for up in self.ups[:-1]:
            maps = torch.cat([up(maps), skipped.pop()], 1)
        return self.ups[-1](maps)
