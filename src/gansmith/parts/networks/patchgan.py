"""Network ``patchgan``: pix2pix's discriminator, which scores patches."""

from typing import Literal

from pydantic import Field
from torch import Tensor, nn

from gansmith.core.errors import RecipeError
from gansmith.parts.networks.base import ImageSpec, Network, finish, networks, normed, with_label_planes
from gansmith.parts.networks.strided_conv import StridedConv2d

HALVINGS = {16: 1, 128: 2}  # for sides below these, px; from 128 px on 3, as in the paper


@networks.register("patchgan")
class PatchGAN(Network):
    """Convolutions that score each patch of the image separately: one logit for each patch, (N, 1, h, w).

    Kernel 4, stride 2, norm, LeakyReLU .2 (no norm on the first); then two convolutions of stride 1. With 1, 2 or 3
    halvings a patch has 16, 34 or 70 px.
    Source: Isola et al. 2017 (pix2pix), arXiv:1611.07004, section 3.2.2 and appendix 6.1.2: the 70 x 70 PatchGAN.
    Differs: fewer halvings for smaller images, so that a patch is smaller than the image.
    """

    base_channels: int | None = Field(
        None, ge=1, le=1024, description="channels of the first layer; null: 32 up to 32 px, 64 above"
    )
    max_channels: int = Field(512, ge=1, le=4096, description="most channels of any layer")
    norm: Literal["batch", "instance", "none"] = "batch"
    halvings: int | None = Field(
        None, ge=1, le=6, description="layers of stride 2; null: 1 below 16 px, 2 below 128 px, else 3"
    )

    @property
    def has_batch_statistics(self) -> bool:
        """Say whether, in training, an image's output depends on the other images of the batch."""
        return self.norm == "batch"

    def discriminator(self, spec: ImageSpec) -> nn.Module:
        """Return D; RecipeError if the images are too small for the halvings."""
        side = min(spec.height, spec.width)
        halvings = self.halvings or next((count for limit, count in HALVINGS.items() if side < limit), 3)
        if side // 2**halvings < 3:
            most = next(count for count in reversed(range(7)) if side // 2**count >= 3)
            raise RecipeError(
                "recipe.too_many_halvings",
                f"network 'patchgan' with halvings={halvings} does not fit {spec.height} x {spec.width} images"
                f"\n  allowed: 1 to {most}; pass discriminator.halvings={most}",
            )
        base = self.base_channels or (32 if max(spec.height, spec.width) <= 32 else 64)
        widths = [min(base * 2**index, self.max_channels) for index in range(halvings + 1)]
        layers: list[nn.Module] = [StridedConv2d(spec.channels + spec.num_classes, widths[0], bias=True)]
        layers.append(nn.LeakyReLU(0.2))
        bias = self.norm == "none"
        for index in range(1, halvings + 1):
            before, after = widths[index - 1 : index + 1]
            strided = index < halvings
            layer = StridedConv2d(before, after, bias=bias) if strided else nn.Conv2d(before, after, 4, 1, 1, bias=bias)
            layers += [layer, *normed(self.norm, after), nn.LeakyReLU(0.2)]
        layers.append(nn.Conv2d(widths[-1], 1, 4, 1, 1))
        return finish(PatchDiscriminator(nn.Sequential(*layers), spec.num_classes), self)


class PatchDiscriminator(nn.Module):
    """(images (N, C, H, W), labels) -> logits (N, 1, h, w)."""

    def __init__(self, layers: nn.Sequential, num_classes: int) -> None:
        super().__init__()
        self.layers, self.num_classes = layers, num_classes

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        """Return one logit for each patch."""
        return self.layers(with_label_planes(images, labels, self.num_classes))
