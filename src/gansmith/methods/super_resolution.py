"""Method ``super_resolution``: SRResNet, SRGAN and ESRGAN, which enlarge images."""

from dataclasses import replace
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from gansmith.core.errors import RecipeError
from gansmith.core.noise import Noise
from gansmith.core.schedules import Moment, NotNegative, value_at
from gansmith.data.base import DataSpec, ImageData
from gansmith.methods.adversarial import refuse_points
from gansmith.methods.base import Fixed, Method, Terms, methods
from gansmith.methods.supervised import GRID_COLUMNS, GRID_IMAGES, SupervisedConfig, SupervisedMethod, described
from gansmith.parts.degradations.base import DegradationField, quantized
from gansmith.parts.degradations.bicubic import Bicubic
from gansmith.parts.networks.base import ImageSpec, networks_that
from gansmith.parts.networks.super_resolution import enlarged


@methods.register("super_resolution")
class SuperResolutionConfig(SupervisedConfig):
    """A generator that enlarges images; it learns from the large images and, optionally, from a discriminator.

    G: pixel_weight times the mean absolute or squared difference of x and G(y), + feature_weight times their feature
    distance, + loss on s(G(y)).  D: loss on s(x) and s(G(y)).  Targets are x, sources are y = degradation(x).
    Source: Ledig et al. 2017 (SRGAN), arXiv:1609.04802, section 2.2; Wang et al. 2018 (ESRGAN), arXiv:1809.00219,
    section 3.3: relativistic loss, L1 beside features.
    Differs: features come from the discriminator in training or from a file, not from VGG. The adversarial loss has
    weight 1 and pixels about 50, where the papers have 0.001 or 0.005 and 1 or 0.01. G is averaged (EMA).
    """

    upscales: ClassVar[bool] = True
    scale: Literal[2, 4] = Field(4, description="factor by which the sides grow")
    degradation: DegradationField = Field(default_factory=Bicubic, description="makes sources from targets")
    pixel_loss: Literal["l1", "mse"] = Field("l1", description="mean absolute (l1) or squared (mse) difference")
    pixel_weight: NotNegative = Field(1.0, description="weight of that difference; a number or a ramp")
    crop_px: int | None = Field(None, ge=8, description="side of random training crops; null: whole images")

    def build(self, data: DataSpec) -> Method:
        """Return the method; RecipeError for parts that do not fit."""
        return SuperResolutionMethod(self, data)

    def sources(self) -> str:
        """Name scale and degradation, with its fields."""
        return f"images {self.scale} times smaller, degradation {described(self.degradation)}"

    def check(self, data: DataSpec) -> None:
        """Raise RecipeError for parts that do not fit each other or the data."""
        refuse_points(data, self.generator, self.discriminator)
        if data.pairs and data.source_scale != self.scale:
            advice = "two folders whose targets are 2 or 4 times larger, or single images without --pairs"
            advice = f"scale={data.source_scale}" if data.source_scale in (2, 4) else advice
            raise RecipeError(
                "recipe.pairs_of_other_scale",
                f"the targets of '{data.name}' {_larger(data.source_scale)}, but this recipe"
                f" makes images {self.scale} times larger"
                f"\n  pass {advice}",
            )
        if not self.generator.enlarges:
            raise RecipeError(
                "recipe.generator_without_enlarging",
                f"generator '{self.generator.kind}' does not enlarge images, but method 'super_resolution' needs that"
                f"\n  allowed: {networks_that('enlarges')}",
            )
        sides = (data.height, data.width // 2 if data.pairs else data.width)
        if any(side % self.scale for side in sides):
            fitting = [max(self.scale, round(side / self.scale) * self.scale) for side in sides]
            raise RecipeError(
                "recipe.size_not_divisible_by_scale",
                f"{sides[0]} x {sides[1]} images cannot be made {self.scale} times smaller"
                f"\n  sides must be multiples of {self.scale}: pass size={fitting[0]}x{fitting[1]}",
            )
        if self.crop_px is not None and (self.crop_px % self.scale or self.crop_px > min(sides)):
            raise RecipeError(
                "recipe.crop_out_of_range",
                f"crop_px={self.crop_px} does not fit {sides[0]} x {sides[1]} images and scale {self.scale}"
                f"\n  allowed: multiples of {self.scale} up to {min(sides)}",
            )
        self.check_sides()


class SuperResolutionMethod(SupervisedMethod):
    """The method ``super_resolution``; ``Method`` explains the members."""

    config: SuperResolutionConfig

    def __init__(self, config: SuperResolutionConfig, data: DataSpec) -> None:
        config.check(data)
        self._pairs = data.pairs
        whole = (data.height, data.width // 2 if data.pairs else data.width)
        height, width = (config.crop_px,) * 2 if config.crop_px else whole
        spec = ImageSpec(height, width, data.channels, source_channels=data.channels, scale=config.scale)
        super().__init__(config, spec, replace(spec, source_channels=0, scale=1), config.augment)

    def examples(self, images: Tensor, noise: Noise) -> tuple[Tensor, Tensor]:
        """Return sources and targets from images, or from a random square of each."""
        side, scale = self.config.crop_px, self.config.scale
        if side is None:
            return self.split(images, noise)
        if not self._pairs:
            return self.split(cropped(images, side, noise), noise)
        both = torch.cat(images.chunk(2, 3), 1)  # the same square of source and target
        return self.split(torch.cat(cropped(both, side, noise, scale).chunk(2, 1), 3), noise)

    def split(self, images: Tensor, noise: Noise) -> tuple[Tensor, Tensor]:
        """Return sources (N, C, H / scale, W / scale) and targets (N, C, H, W), both in [-1, 1].

        Images are targets, or pairs (N, C, H, 2 W): sources whose pixels are repeated beside their targets.
        """
        if self._pairs:
            repeated, target = images.chunk(2, 3)
            source = quantized(F.avg_pool2d(repeated, self.config.scale))
            last = torch.channels_last
            return source.contiguous(memory_format=last), target.contiguous(memory_format=last)
        source = self.config.degradation(images, self.config.scale, noise)
        return source.contiguous(memory_format=torch.channels_last), images

    def content_loss(self, fake: Tensor, target: Tensor, moment: Moment) -> Terms:
        """Return the weighted mean difference."""
        difference = fake - target
        distance = (difference.abs() if self.config.pixel_loss == "l1" else difference.square()).mean()
        weight = value_at(self.config.pixel_weight, moment)
        return Terms(weight * distance, {f"loss_{self.config.pixel_loss}": distance.detach()})

    def discriminator_input(self, source: Tensor, images: Tensor) -> Tensor:
        """Return the images; the discriminator does not see sources."""
        return images

    def fixed(self, seed: int, count: int | None, data: ImageData) -> Fixed:
        """Return enlarged sources and targets, stacked as channels, from held-out images if there are any."""
        source, target = self.preview_examples(seed, count or GRID_IMAGES, data)
        return Fixed(torch.cat([enlarged(source, self.config.scale, "nearest"), target], 1), None, GRID_COLUMNS)

    def preview(self, networks: nn.ModuleDict, fixed: Fixed) -> Tensor:
        """Return pictures (N, C, H, 3 W) in [-1, 1]: source with enlarged pixels, result, target."""
        shown, target = fixed.inputs.chunk(2, 1)
        scale = self.config.scale
        source = shown[:, :, ::scale, ::scale].contiguous(memory_format=torch.channels_last)
        return torch.cat([shown, self.translate(networks["generator"], source), target], 3)


def _larger(scale: int) -> str:
    return f"are {scale if scale > 1 else 'not 2 or 4'} times larger than their sources"


def cropped(images: Tensor, side: int, noise: Noise, step: int = 1) -> Tensor:
    """Return a random square (N, C, side, side) of each image, at multiples of ``step`` px."""
    room = torch.tensor([(length - side) // step + 1 for length in images.shape[2:]], device=images.device)
    places = ((noise.uniform("crop", 2) * room).long() * step).tolist()
    squares = [
        image[:, top : top + side, left : left + side] for image, (top, left) in zip(images, places, strict=True)
    ]
    return torch.stack(squares).contiguous(memory_format=torch.channels_last)
