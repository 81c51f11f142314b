"""The convolutional GAN that most people start with."""

from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from gansmith.errors import RecipeError
from gansmith.images import stages
from gansmith.networks.base import ImageSpec, Network, finish, networks, one_hot
from gansmith.networks.strided import StridedConv2d, StridedConvTranspose2d


def start_of(spec: ImageSpec) -> tuple[int, int, int]:
    """Return (rows, columns, doublings) of the map that sides are doubled from; RecipeError where there is none."""
    found = stages(spec.height, spec.width)
    if found is None:
        raise RecipeError(
            f"a dcgan cannot make {spec.height} x {spec.width} images: sides must be a start of 3 to 8, doubled equally"
            "\n  for example 28, 32, 48, 64, 96, 128 or 48x64; set it with size="
        )
    return found


@networks.register("dcgan")
class DCGAN(Network):
    """Strided convolutions only: kernel 4, stride 2, channels halved as the side doubles.

    G: latent -> start map (widest) -> doublings by transposed convolution, BatchNorm and ReLU, then tanh; no BatchNorm
       on the last layer.  D: the mirror image, LeakyReLU .2, no BatchNorm on the first layer; one logit.
    A label is one-hot beside the latent, and as constant planes beside D's image.
    Source: Radford et al. 2016, arXiv:1511.06434, section 3 and figure 1; labels: Mirza and Osindero 2014,
    arXiv:1411.1784.
    Differs: kernel 4 where the paper has 5, as in most implementations; sides from 3 to 8 times a power of two. G's
    first layer is written as the linear layer that a transposed convolution on a 1 x 1 map is.
    """

    mixes_labels: ClassVar[bool] = True
    base_channels: int | None = Field(
        None, ge=1, le=1024, description="channels at half the image's side; null: 32 up to 32 px, 64 above"
    )
    max_channels: int = Field(1024, ge=1, le=4096, description="no layer is wider")
    norm: Literal["batch", "none"] = "batch"
    leak: float = Field(0.2, ge=0, lt=1, description="slope of D's LeakyReLU below 0")
    bias: bool = Field(False, description="biases in convolutions that a norm follows; elsewhere they are always there")

    @property
    def has_batch_statistics(self) -> bool:
        """Say whether an image's output depends on the others of its batch while training."""
        return self.norm == "batch"

    def generator(self, spec: ImageSpec) -> nn.Module:
        """Return G; RecipeError for sides that cannot be doubled to."""
        rows, columns, doublings = start_of(spec)
        widths = self._widths(spec, doublings)[::-1]
        start = (widths[0] if widths else spec.channels, rows, columns)
        hidden_bias = self.bias or self.norm == "none"
        layers: list[nn.Module] = [*self._norm(start[0]), nn.ReLU(inplace=True)] if widths else []
        for index, before in enumerate(widths):
            last = index == len(widths) - 1
            after = spec.channels if last else widths[index + 1]
            layers.append(StridedConvTranspose2d(before, after, bias=last or hidden_bias))
            if not last:
                layers += [*self._norm(after), nn.ReLU(inplace=True)]
        layers.append(nn.Sigmoid() if self.value_range == "unit" else nn.Tanh())
        project = nn.Linear(spec.latent_dim + spec.num_classes, start[0] * rows * columns, bias=hidden_bias)
        return finish(DCGANGenerator(project, start, nn.Sequential(*layers), spec.num_classes), self)

    def discriminator(self, spec: ImageSpec) -> nn.Module:
        """Return D; RecipeError for sides that cannot be halved."""
        rows, columns, doublings = start_of(spec)
        layers: list[nn.Module] = []
        before = spec.channels + spec.num_classes
        for index, after in enumerate(self._widths(spec, doublings)):
            normed = index > 0 and self.norm == "batch"
            layers.append(StridedConv2d(before, after, bias=self.bias or not normed))
            layers += [*(self._norm(after) if normed else ()), nn.LeakyReLU(self.leak, inplace=True)]
            before = after
        layers.append(nn.Conv2d(before, 1, (rows, columns)))
        return finish(DCGANDiscriminator(nn.Sequential(*layers), spec.num_classes), self)

    def _widths(self, spec: ImageSpec, doublings: int) -> list[int]:
        base = self.base_channels or (32 if max(spec.height, spec.width) <= 32 else 64)
        return [min(base * 2**index, self.max_channels) for index in range(doublings)]

    def _norm(self, channels: int) -> list[nn.Module]:
        return [nn.BatchNorm2d(channels)] if self.norm == "batch" else []


class DCGANGenerator(nn.Module):
    """(latents (N, latent_dim), labels) -> images (N, C, H, W)."""

    def __init__(
        self, project: nn.Linear, start: tuple[int, int, int], layers: nn.Sequential, num_classes: int
    ) -> None:
        super().__init__()
        self.project, self.start, self.layers, self.num_classes = project, start, layers, num_classes

    def forward(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        """Return images in the network's value range."""
        if self.num_classes:
            latents = torch.cat([latents, one_hot(labels, self.num_classes)], 1)
        channels, rows, columns = self.start
        # Rows, columns, channels: the map is born channels_last, without a copy.
        first_map = self.project(latents).view(-1, rows, columns, channels).permute(0, 3, 1, 2)
        return self.layers(first_map)


class DCGANDiscriminator(nn.Module):
    """(images (N, C, H, W), labels) -> logits (N,)."""

    def __init__(self, layers: nn.Sequential, num_classes: int) -> None:
        super().__init__()
        self.layers, self.num_classes = layers, num_classes

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        """Return one logit for each image."""
        if self.num_classes:
            planes = one_hot(labels, self.num_classes)[:, :, None, None].expand(-1, -1, *images.shape[2:])
            images = torch.cat([images, planes.to(images.dtype)], 1)
        return self.layers(images).flatten()
