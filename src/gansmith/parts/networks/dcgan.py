"""Network ``dcgan``: strided convolutions, the classic start."""

from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from gansmith.core.errors import RecipeError
from gansmith.imaging.images import stages
from gansmith.parts.networks.base import ImageSpec, Network, finish, networks, one_hot, with_label_planes
from gansmith.parts.networks.strided_conv import StridedConv2d, StridedConvTranspose2d


@networks.register("dcgan")
class DCGAN(Network):
    """Strided convolutions: kernel 4, stride 2; channels are halved when the side doubles.

    G: latent -> start map (widest) -> doublings by transposed convolution, BatchNorm and ReLU, then tanh; no BatchNorm
       on the last layer.  D: the mirror image with LeakyReLU .2, no BatchNorm on the first layer; one logit.
    Labels: one-hot, beside the latent and as constant channels beside D's image.
    Source: Radford et al. 2016, arXiv:1511.06434, section 3 and figure 1; labels: Mirza and Osindero 2014,
    arXiv:1411.1784.
    Differs: kernel 4 instead of 5, as in most implementations; sides are 3 to 8 times a power of two. G's first layer
    is a linear layer, which equals the paper's transposed convolution of a 1 x 1 map.
    """

    mixes_labels: ClassVar[bool] = True
    base_channels: int | None = Field(
        None, ge=1, le=1024, description="channels at half the image's side; null: 32 up to 32 px, 64 above"
    )
    max_channels: int = Field(1024, ge=1, le=4096, description="most channels of any layer")
    norm: Literal["batch", "none"] = "batch"
    leak: float = Field(0.2, ge=0, lt=1, description="slope of D's LeakyReLU below 0")
    norm_first: bool = Field(False, description="BatchNorm after D's first layer too")
    bias: bool | None = Field(
        None, description="biases in all layers (true) or none (false); null: where no norm follows"
    )
    padding: Literal[0, 1] = Field(1, description="of strided layers; 0: a side n becomes 2n + 2 instead of 2n")

    @property
    def has_batch_statistics(self) -> bool:
        """Say whether, in training, an image's output depends on the other images of the batch."""
        return self.norm == "batch"

    def generator(self, spec: ImageSpec) -> nn.Module:
        """Return G; RecipeError for sides that doubling does not reach."""
        rows, columns, doublings = self._start(spec)
        widths = self._widths(spec, doublings)[::-1]
        start = (widths[0] if widths else spec.channels, rows, columns)
        hidden_bias = self._bias(normed=bool(widths) and self.norm == "batch")
        layers: list[nn.Module] = [*self._norm(start[0]), nn.ReLU(inplace=True)] if widths else []
        for index, before in enumerate(widths):
            last = index == len(widths) - 1
            after = spec.channels if last else widths[index + 1]
            layers.append(self._larger(before, after, self._bias(normed=False) if last else hidden_bias))
            if not last:
                layers += [*self._norm(after), nn.ReLU(inplace=True)]
        layers.append(nn.Sigmoid() if self.value_range == "unit" else nn.Tanh())
        project = nn.Linear(spec.latent_dim + spec.num_classes, start[0] * rows * columns, bias=hidden_bias)
        return finish(DCGANGenerator(project, start, nn.Sequential(*layers), spec.num_classes), self)

    def discriminator(self, spec: ImageSpec) -> nn.Module:
        """Return D; RecipeError for sides that cannot be halved."""
        rows, columns, doublings = self._start(spec)
        layers: list[nn.Module] = []
        before = spec.channels + spec.num_classes
        for index, after in enumerate(self._widths(spec, doublings)):
            normed = self.norm == "batch" and (index > 0 or self.norm_first)
            layers.append(self._smaller(before, after, self._bias(normed=normed)))
            layers += [*(self._norm(after) if normed else ()), nn.LeakyReLU(self.leak, inplace=True)]
            before = after
        layers.append(nn.Conv2d(before, 1, (rows, columns), bias=self._bias(normed=False)))
        return finish(DCGANDiscriminator(nn.Sequential(*layers), spec.num_classes), self)

    def _start(self, spec: ImageSpec) -> tuple[int, int, int]:
        """Return G's start map (rows, columns) and the number of doublings; RecipeError if they do not fit."""
        found = stages(spec.height, spec.width, self.padding)
        if found is None:
            sides = (
                "multiples of one power of two, the shorter 3 to 8 times, such as 28, 64, 96, 48x64 or 32x256"
                if self.padding
                else "3 to 8, grown from n to 2n + 2 equally often, for example 30, 46, 62, 94 or 126"
            )
            raise RecipeError(
                "recipe.size_unfit_for_network",
                f"network 'dcgan' with padding={self.padding} does not fit {spec.height} x {spec.width} images"
                f"\n  sides must be {sides}; set them with size=",
            )
        return found

    def _larger(self, before: int, after: int, bias: bool) -> nn.Module:
        if self.padding:
            return StridedConvTranspose2d(before, after, bias=bias)
        return nn.ConvTranspose2d(before, after, 4, 2, bias=bias)

    def _smaller(self, before: int, after: int, bias: bool) -> nn.Module:
        return StridedConv2d(before, after, bias=bias) if self.padding else nn.Conv2d(before, after, 4, 2, bias=bias)

    def _bias(self, *, normed: bool) -> bool:
        return not normed if self.bias is None else self.bias

    def _widths(self, spec: ImageSpec, doublings: int) -> list[int]:
        base = self.base_channels or (32 if max(spec.height, spec.width) <= 32 else 64)
        return [min(base * 2**index, self.max_channels) for index in range(doublings)]

    def _norm(self, channels: int) -> list[nn.Module]:
        return [nn.BatchNorm2d(channels)] if self.norm == "batch" else []


class DCGANGenerator(nn.Module):
    """(latents (N, latent_dim), labels) -> images (N, C, H, W)."""

    def __init__(self, project: nn.Linear, start: tuple[int, int, int], layers: nn.Module, num_classes: int) -> None:
        super().__init__()
        self.project, self.start, self.layers, self.num_classes = project, start, layers, num_classes

    def forward(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        """Return images in the network's value range."""
        if self.num_classes:
            latents = torch.cat([latents, one_hot(labels, self.num_classes)], 1)
        channels, rows, columns = self.start
        # Rows, columns, channels: this makes the map channels_last without a copy.
        first_map = self.project(latents).view(-1, rows, columns, channels).permute(0, 3, 1, 2)
        return self.layers(first_map)


class DCGANDiscriminator(nn.Module):
    """(images (N, C, H, W), labels) -> logits (N,)."""

    def __init__(self, layers: nn.Sequential, num_classes: int) -> None:
        super().__init__()
        self.layers, self.num_classes = layers, num_classes

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        """Return one logit for each image."""
        return self.layers(with_label_planes(images, labels, self.num_classes)).flatten()
