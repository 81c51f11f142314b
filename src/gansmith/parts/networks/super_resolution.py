"""The base class of networks that enlarge images, and their shared layers."""

from abc import abstractmethod
from typing import ClassVar, Literal

from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from gansmith.parts.networks.base import ImageSpec, Network, ValueRange, finish, require_sources, with_label_planes

Added = Literal["bicubic", "nearest", "none"]


class EnlargingNetwork(Network):
    """A generator that works at the size of the source and enlarges at the end, by 1, 2, 4, ...

    Its images are the interpolated source plus the output of the layers, clipped to the value range. With ``add: none``
    or different channels in source and image, they are the output of the layers after tanh or a sigmoid.
    """

    translates: ClassVar[bool] = True
    enlarges: ClassVar[bool] = True
    add: Added = Field("bicubic", description="interpolation of the source to which the layers add detail")

    @abstractmethod
    def layers(self, channels: int, spec: ImageSpec) -> nn.Sequential:
        """Return the layers from ``channels`` of the sources to the images' channels."""

    def generator(self, spec: ImageSpec) -> nn.Module:
        """Return G; RecipeError without source images."""
        require_sources(spec, self.kind, "method 'super_resolution' (--recipe srresnet)")
        add: Added = self.add if spec.source_channels == spec.channels else "none"
        layers = self.layers(spec.source_channels + spec.num_classes, spec)
        if add == "none":
            layers.append(nn.Sigmoid() if self.value_range == "unit" else nn.Tanh())
        return finish(EnlargingGenerator(layers, spec, add, self.value_range), self)


class EnlargingGenerator(nn.Module):
    """(sources (N, S, h, w), labels) -> images (N, C, scale h, scale w), for sources of any size."""

    multiple = 1

    def __init__(self, layers: nn.Sequential, spec: ImageSpec, add: Added, value_range: ValueRange) -> None:
        super().__init__()
        self.body, self._num_classes, self._scale, self._add = layers, spec.num_classes, spec.scale, add
        self._lowest = 0.0 if value_range == "unit" else -1.0

    def forward(self, sources: Tensor, labels: Tensor | None = None) -> Tensor:
        """Return images in the network's value range."""
        made: Tensor = self.body(with_label_planes(sources, labels, self._num_classes))
        if self._add == "none":
            return made
        return (enlarged(sources, self._scale, self._add) + made).clamp(self._lowest, 1.0)


class Residual(nn.Module):
    """Maps (N, C, h, w) plus ``share`` times the output of the layers."""

    def __init__(self, *layers: nn.Module, share: float = 1.0) -> None:
        super().__init__()
        self.layers, self.share = nn.Sequential(*layers), share

    def forward(self, maps: Tensor) -> Tensor:
        """Return the block's output."""
        return maps + self.share * self.layers(maps)


def doublings(spec: ImageSpec) -> int:
    """Return the number of doublings from source to image."""
    return spec.scale.bit_length() - 1


def enlarged(images: Tensor, scale: int, how: Literal["bicubic", "nearest"] = "bicubic") -> Tensor:
    """Return images (N, C, scale H, scale W) by interpolation; bicubic values may slightly leave the value range."""
    if scale == 1:
        return images
    sides = (scale * images.shape[2], scale * images.shape[3])  # torch.export cannot follow a factor
    if how == "nearest":
        return F.interpolate(images, sides, mode="nearest")
    return F.interpolate(images, sides, mode="bicubic", align_corners=False)
