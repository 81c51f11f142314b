"""Network ``mlp``: fully connected, for points and very small images."""

from itertools import pairwise
from typing import Annotated, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from gansmith.parts.networks.base import ImageSpec, Network, finish, networks, one_hot


@networks.register("mlp")
class MLP(Network):
    """Linear layers with LeakyReLU in between; one-hot labels are appended to the input of both networks.

    G: latent_dim -> hidden -> C*H*W, then tanh (``signed``) or sigmoid (``unit``).  D: C*H*W -> hidden -> 1 logit.
    Source: Goodfellow et al. 2014, arXiv:1406.2661; labels: Mirza and Osindero 2014, arXiv:1411.1784, section 3.2.
    Differs: LeakyReLU instead of maxout, optional BatchNorm, no dropout; D's sigmoid is part of the loss.
    """

    mixes_labels: ClassVar[bool] = True
    takes_points: ClassVar[bool] = True
    hidden: tuple[Annotated[int, Field(ge=1, le=65536)], ...] = Field(
        (256, 512, 1024), max_length=64, description="widths of the hidden layers"
    )
    leak: float = Field(0.2, ge=0, lt=1, description="slope of LeakyReLU below 0")
    norm: Literal["none", "batch"] = Field("none", description="after each hidden linear layer")
    norm_output: bool = Field(False, description="batch norm after the last linear layer too")
    bias: bool = True
    noise: Literal["gaussian", "uniform"] = Field(
        "gaussian", description="noise of G; uniform: each number of the latent is first mapped to [-1, 1], evenly"
    )

    @property
    def has_batch_statistics(self) -> bool:
        """Say whether, in training, an image's output depends on the other images of the batch."""
        return self.norm == "batch" or self.norm_output

    def generator(self, spec: ImageSpec) -> nn.Module:
        """Return G."""
        shape = (spec.channels, spec.height, spec.width)
        widths = (spec.latent_dim + spec.num_classes, *self.hidden, spec.channels * spec.height * spec.width)
        squash = nn.Sigmoid() if self.value_range == "unit" else nn.Tanh()
        layers = nn.Sequential(*self._layers(widths), squash)
        return finish(MLPGenerator(layers, shape, spec.num_classes, uniform=self.noise == "uniform"), self)

    def discriminator(self, spec: ImageSpec) -> nn.Module:
        """Return D."""
        widths = (spec.channels * spec.height * spec.width + spec.num_classes, *self.hidden, 1)
        return finish(MLPDiscriminator(nn.Sequential(*self._layers(widths)), spec.num_classes), self)

    def _layers(self, widths: tuple[int, ...]) -> list[nn.Module]:
        layers: list[nn.Module] = []
        for index, (before, after) in enumerate(pairwise(widths)):
            last = index == len(widths) - 2
            layers.append(nn.Linear(before, after, bias=self.bias))
            if self.norm_output if last else self.norm == "batch":
                layers.append(nn.BatchNorm1d(after))
            if not last:
                layers.append(nn.LeakyReLU(self.leak, inplace=True))
        return layers


class MLPGenerator(nn.Module):
    """(latents (N, latent_dim), labels) -> images (N, C, H, W)."""

    def __init__(self, layers: nn.Sequential, shape: tuple[int, int, int], num_classes: int, *, uniform: bool) -> None:
        super().__init__()
        self.layers, self.shape, self.num_classes, self.uniform = layers, shape, num_classes, uniform

    def forward(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        """Return images in the network's value range."""
        if self.uniform:
            latents = torch.erf(latents * 0.5**0.5)  # 2 Phi(z) - 1, with Phi the normal distribution function
        if self.num_classes:
            latents = torch.cat([latents, one_hot(labels, self.num_classes)], 1)
        return self.layers(latents).view(-1, *self.shape)


class MLPDiscriminator(nn.Module):
    """(images (N, C, H, W), labels) -> logits (N,)."""

    def __init__(self, layers: nn.Sequential, num_classes: int) -> None:
        super().__init__()
        self.layers, self.num_classes = layers, num_classes

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        """Return one logit for each image."""
        pixels = images.flatten(1)
        if self.num_classes:
            pixels = torch.cat([pixels, one_hot(labels, self.num_classes)], 1)
        return self.layers(pixels).flatten()
