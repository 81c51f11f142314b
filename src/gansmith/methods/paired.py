"""Method ``paired``: pix2pix, which learns to translate images from pairs."""

from dataclasses import replace
from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

from gansmith.core.errors import RecipeError
from gansmith.core.noise import Noise
from gansmith.core.schedules import Moment, NotNegative, value_at
from gansmith.data.base import DataSpec, ImageData
from gansmith.methods.adversarial import refuse_points
from gansmith.methods.base import Fixed, Method, Terms, methods
from gansmith.methods.supervised import GRID_COLUMNS, GRID_IMAGES, SupervisedConfig, SupervisedMethod, described
from gansmith.parts.networks.base import ImageSpec, networks_that
from gansmith.parts.tasks.base import TaskField, tasks, viewable


@methods.register("paired")
class PairedConfig(SupervisedConfig):
    """A generator that translates source images, and a discriminator that sees source and image together.

    D: loss on s(y, x) and s(y, G(y)) for sources y and targets x.  G: loss on s(y, G(y)), plus l1_weight E|x - G(y)|.
    A task makes the sources, or, with ``pairs=true``, they are the left halves of the images.
    Source: Isola et al. 2017 (pix2pix), arXiv:1611.07004, equations 1 to 4 and section 3.3.
    Differs: dropout is optional; D's loss is not halved; G is averaged (EMA); with ``share_fakes`` the G step reuses
    the fakes of the last D step, with their graph. The discriminator is optional: without it G learns from L1 only.
    """

    translates: ClassVar[bool] = True
    task: TaskField | None = Field(description="makes sources from targets; null: the data are pairs")
    l1_weight: NotNegative = Field(100.0, description="weight of the mean absolute difference; a number or a ramp")

    def build(self, data: DataSpec) -> Method:
        """Return the method; RecipeError for parts that do not fit."""
        return PairedMethod(self, data)

    def sources(self) -> str:
        """Name the task that makes sources, with its fields."""
        return "the sources of pairs" if self.task is None else f"sources of task {described(self.task)}"

    def image_spec(self, data: DataSpec) -> ImageSpec:
        """Return the sizes of the generator's inputs and outputs; RecipeError if the task does not fit the images."""
        sources = data.channels if self.task is None else self.task.source_channels(data.channels)
        width = data.width // 2 if data.pairs else data.width
        return ImageSpec(data.height, width, data.channels, source_channels=sources)

    def check(self, data: DataSpec) -> None:
        """Raise RecipeError for parts that do not fit each other or the data."""
        refuse_points(data, self.generator, self.discriminator)
        if self.task is None and not data.pairs:
            raise RecipeError(
                "recipe.no_task",
                f"'{data.name}' has single images, but this recipe has no task that makes sources from them"
                f"\n  pass --task NAME ({', '.join(tasks.names())}), or --pairs if each image is a pair side by side",
            )
        if self.task is not None and data.pairs:
            raise RecipeError(
                "recipe.task_with_pairs",
                f"'{data.name}' is read as pairs, so task '{self.task.kind}' is not needed"
                "\n  pass method.task=null to learn from the pairs, or pairs=false",
            )
        if not self.generator.translates:
            raise RecipeError(
                "recipe.generator_from_noise",
                f"generator '{self.generator.kind}' makes images from noise, but method 'paired' needs one that "
                "translates images"
                f"\n  allowed: {networks_that('translates')}",
            )
        self.check_sides()


class PairedMethod(SupervisedMethod):
    """The method ``paired``; ``Method`` explains the members."""

    config: PairedConfig

    def __init__(self, config: PairedConfig, data: DataSpec) -> None:
        config.check(data)
        spec = config.image_spec(data)
        both = replace(spec, channels=spec.channels + spec.source_channels, source_channels=0)
        # A colour change in the image without one in its source would make the pair wrong.
        super().__init__(config, spec, both, config.augment and config.augment.geometric(), config.task)

    def split(self, images: Tensor, noise: Noise) -> tuple[Tensor, Tensor]:
        """Return sources (N, S, H, W) and targets (N, C, H, W) from images of the data; both in [-1, 1]."""
        if self.config.task is None:
            source, target = images.chunk(2, 3)
            return tuple(each.contiguous(memory_format=torch.channels_last) for each in (source, target))  # type: ignore[return-value]
        return self.config.task(images, noise).contiguous(memory_format=torch.channels_last), images

    def translate(self, generator: nn.Module, source: Tensor) -> Tensor:
        """Return the translations (N, C, H, W) of sources (N, S, H, W); both in [-1, 1]."""
        made = super().translate(generator, source)
        return made if self.config.task is None else self.config.task.complete(made, source)

    def content_loss(self, fake: Tensor, target: Tensor, moment: Moment) -> Terms:
        """Return the weighted mean absolute difference."""
        distance = (fake - target).abs().mean()
        return Terms(value_at(self.config.l1_weight, moment) * distance, {"loss_l1": distance.detach()})

    def discriminator_input(self, source: Tensor, images: Tensor) -> Tensor:
        """Return images (kN, C, H, W) with their sources (N, S, H, W) added as channels."""
        return torch.cat([source.repeat(images.shape[0] // source.shape[0], 1, 1, 1), images], 1)

    def fixed(self, seed: int, count: int | None, data: ImageData) -> Fixed:
        """Return sources and targets, stacked as channels, from held-out images if there are any."""
        return Fixed(torch.cat(self.preview_examples(seed, count or GRID_IMAGES, data), 1), None, GRID_COLUMNS)

    def preview(self, networks: nn.ModuleDict, fixed: Fixed) -> Tensor:
        """Return pictures (N, C, H, 3 W) in [-1, 1]: source, result, target."""
        source, target = fixed.inputs.split([self.spec.source_channels, self.spec.channels], 1)
        result = self.translate(networks["generator"], source)
        return torch.cat([viewable(source, self.spec.channels), result, target], 3)
