"""Image to image, learnt from pairs: pix2pix, with any loss and penalty, or without a discriminator."""

from collections.abc import Mapping
from dataclasses import replace

import torch
from pydantic import Field
from torch import Tensor, nn

from gansmith.constraints.base import Constraint, ConstraintField
from gansmith.data.base import DataSpec, ImageData
from gansmith.errors import RecipeError
from gansmith.images import to_float
from gansmith.losses.base import LossField
from gansmith.losses.non_saturating import NonSaturating
from gansmith.methods.adversarial import (
    discriminator_terms,
    fakes_from,
    opinion,
    refuse_batch_statistics,
    refuse_points,
    require_gradients,
    score_sides,
)
from gansmith.methods.base import Batch, Fixed, Method, MethodConfig, Phase, Terms, methods
from gansmith.networks.base import ImageSpec, NetworkField, networks, range_from_signed, signed_from
from gansmith.penalties.base import Critic, PenaltyField
from gansmith.randomness import Noise, epoch_order
from gansmith.schedules import Moment, NotNegative, value_at
from gansmith.tasks.base import TaskField, tasks, viewable

GRID_IMAGES, GRID_COLUMNS = 24, 3  # each is three images wide


@methods.register("paired")
class PairedConfig(MethodConfig):
    """A generator from source images, and a discriminator that sees source and image together.

    D: loss on s(y, x) and s(y, G(y)) of sources y and targets x.  G: loss on s(y, G(y)), and l1_weight E|x - G(y)|.
    Sources are made by a task, or, with ``pairs=true``, they are the left halves of the data's images.
    Source: Isola et al. 2017 (pix2pix), arXiv:1611.07004, equations 1 to 4 and section 3.3.
    Differs: G's loss of noise is the network's dropout, if any; D's loss is not halved; G is averaged; ``share_fakes``
    lets the G step reuse the fakes of the last D step, with their graph. Without a discriminator L1 is all there is.
    """

    generator: NetworkField
    discriminator: NetworkField | None = Field(description="null: none, and G learns from L1 alone")
    task: TaskField | None = Field(description="makes sources from targets; null: the data are pairs")
    loss: LossField = Field(default_factory=NonSaturating)
    penalties: tuple[PenaltyField, ...] = ()
    constraints: tuple[ConstraintField, ...] = ()
    l1_weight: NotNegative = Field(100.0, description="weight of the mean absolute difference; a number or a ramp")
    discriminator_steps: int = Field(1, ge=1, le=100, description="D steps in an iteration, each on new images")
    share_fakes: bool = Field(False, description="the G step reuses the last D step's fakes")

    def build(self, data: DataSpec) -> Method:
        """Return the method; RecipeError for parts that do not fit."""
        return PairedMethod(self, data)

    def image_spec(self, data: DataSpec) -> ImageSpec:
        """Return what the generator must speak; RecipeError for a task that the images do not allow."""
        sources = data.channels if self.task is None else self.task.source_channels(data.channels)
        width = data.width // 2 if data.pairs else data.width
        return ImageSpec(data.height, width, data.channels, source_channels=sources)

    def check(self, data: DataSpec) -> None:
        """Raise RecipeError for parts that do not fit each other or the data."""
        refuse_points(data, self.generator, self.discriminator)
        if self.task is None and not data.pairs:
            raise RecipeError(
                f"'{data.name}' has single images, and this recipe has no task that makes sources from them"
                f"\n  pass --task NAME ({', '.join(tasks.names())}), or --pairs if each image is a pair side by side"
            )
        if self.task is not None and data.pairs:
            raise RecipeError(
                f"'{data.name}' is read as pairs, so task '{self.task.kind}' has nothing to make"
                "\n  pass method.task=null to learn from the pairs, or pairs=false"
            )
        if not self.generator.translates:
            known = [name for name in networks.names() if networks.get(name).translates]
            raise RecipeError(
                f"generator '{self.generator.kind}' makes images from noise, and method 'paired' gives it source images"
                f"\n  allowed: {', '.join(known)}"
            )
        if self.discriminator is not None:
            refuse_batch_statistics(self.discriminator, self.penalties)


class PairedMethod:
    """The method at work; see ``Method`` for what its members are."""

    def __init__(self, config: PairedConfig, data: DataSpec) -> None:
        config.check(data)
        spec = config.image_spec(data)
        self.config, self.spec, self.task, self._has_pairs = config, spec, config.task, data.pairs
        self.networks = nn.ModuleDict({"generator": config.generator.generator(spec)})
        self._generator_parameters = [p for p in self.networks["generator"].parameters() if p.requires_grad]
        self.phases: tuple[Phase, ...] = (Phase("generator", ("generator",), reads_data=config.discriminator is None),)
        if config.discriminator is not None:
            both = replace(spec, channels=spec.channels + spec.source_channels, source_channels=0)
            self.networks["discriminator"] = config.discriminator.discriminator(both)
            self.phases = (Phase("discriminator", ("discriminator",), config.discriminator_steps), *self.phases)
        self.averaged: tuple[str, ...] = ("generator",)
        self.translators = self.averaged
        constrained = {"discriminator": config.constraints} if config.discriminator is not None else {}
        self.constraints: Mapping[str, tuple[Constraint, ...]] = constrained
        self.state: dict[str, Tensor] = {}
        self.pools: dict[str, Tensor] = {}
        self._shared: Tensor | None = None  # fakes, within one iteration

    def phases_at(self, moment: Moment) -> tuple[Phase, ...]:
        """Return all phases."""
        return self.phases

    def loss(self, phase: Phase, batch: Batch, noise: Noise, moment: Moment) -> Terms:
        """Return what the phase minimises."""
        # The G phase is given the batch of the last D step, and must make the same sources of it.
        step = noise.repeat if phase.name == "discriminator" else self.config.discriminator_steps - 1
        source, target = self.split(batch.images.detach(), replace(noise, phase="task", repeat=step))
        if phase.name == "discriminator":
            return self._discriminator_terms(source, target, noise, moment)
        return self._generator_terms(source, target, moment)

    def split(self, images: Tensor, noise: Noise) -> tuple[Tensor, Tensor]:
        """Return sources (N, S, H, W) and targets (N, C, H, W) of images of the data; both in [-1, 1]."""
        if self.config.task is None:
            source, target = images.chunk(2, 3)
            return tuple(each.contiguous(memory_format=torch.channels_last) for each in (source, target))  # type: ignore[return-value]
        return self.config.task(images, noise).contiguous(memory_format=torch.channels_last), images

    def translate(self, generator: nn.Module, source: Tensor) -> Tensor:
        """Return images (N, C, H, W) in [-1, 1] of sources (N, S, H, W) in [-1, 1]."""
        value_range = self.config.generator.value_range
        made = signed_from(generator(range_from_signed(source, value_range), None), value_range)
        return made if self.config.task is None else self.config.task.complete(made, source)

    def fixed(self, seed: int, count: int | None, data: ImageData) -> Fixed:
        """Return sources and targets side by side as channels: of images held out where there are some."""
        shown, count = data.held_out or data, count or GRID_IMAGES
        order = epoch_order(seed, 0, len(shown))
        images = to_float(shown.read([order[place % len(order)] for place in range(count)]))
        noise = Noise(seed, 0, 0, "task", 0, range(count), count, images.device)
        return Fixed(torch.cat(self.split(images, noise), 1), None, GRID_COLUMNS)

    def preview(self, networks: nn.ModuleDict, fixed: Fixed) -> Tensor:
        """Return pictures (N, C, H, 3 W) in [-1, 1]: source, result and target."""
        source, target = fixed.inputs.split([self.spec.source_channels, self.spec.channels], 1)
        result = self.translate(networks["generator"], source)
        return torch.cat([viewable(source, self.spec.channels), result, target], 3)

    def example_inputs(self, count: int) -> dict[str, tuple[Tensor | None, ...]]:
        """Return what each network is called with, on the default device: for the table of layer shapes."""
        sides = (self.spec.height, self.spec.width)
        out: dict[str, tuple[Tensor | None, ...]] = {
            "generator": (torch.empty(count, self.spec.source_channels, *sides), None)
        }
        if "discriminator" in self.networks:
            both = torch.empty(count, self.spec.source_channels + self.spec.channels, *sides)
            out["discriminator"] = (both, None)
        return out

    def _discriminator_terms(self, source: Tensor, target: Tensor, noise: Noise, moment: Moment) -> Terms:
        config, critic = self.config, self._critic(source)
        due = [penalty for penalty in config.penalties if penalty.due(moment)]
        fake = self._fakes_for_discriminator(source, noise)
        real = target.detach()
        require_gradients(due, real, fake)
        assert config.discriminator is not None
        scored = score_sides(critic, config.discriminator, real, fake)
        return discriminator_terms(config.loss, scored, due, critic, noise, moment)

    def _generator_terms(self, source: Tensor, target: Tensor, moment: Moment) -> Terms:
        shared, self._shared = self._shared, None
        fake = self.translate(self.networks["generator"], source) if shared is None else shared
        distance = (fake - target).abs().mean()
        total = value_at(self.config.l1_weight, moment) * distance
        if "discriminator" not in self.networks:
            return Terms(total, {"loss_l1": distance.detach()})
        critic, loss = self._critic(source), self.config.loss
        fake_logits, real_logits = critic(fake), None
        if loss.generator_needs_real:
            with torch.no_grad():
                real_logits = critic(target).float()
        adversarial = loss.generator(real_logits, fake_logits.float())
        log = {"loss_generator": adversarial.detach(), "loss_l1": distance.detach()}
        return Terms(adversarial + total, {**log, **opinion(loss, "fake_after", fake_logits)})

    def _fakes_for_discriminator(self, source: Tensor, noise: Noise) -> Tensor:
        generator = self.networks["generator"]
        is_shared = self.config.share_fakes and noise.repeat == self.config.discriminator_steps - 1
        made = fakes_from(lambda: self.translate(generator, source), self._generator_parameters, is_shared=is_shared)
        self._shared = made if is_shared else None
        return made.detach()

    def _critic(self, source: Tensor) -> Critic:
        """Bind the sources (N, S, H, W) to the discriminator: images (kN, C, H, W) -> logits."""
        assert self.config.discriminator is not None
        discriminator, value_range = self.networks["discriminator"], self.config.discriminator.value_range

        def critic(images: Tensor) -> Tensor:
            beside = source.repeat(images.shape[0] // source.shape[0], 1, 1, 1)
            return discriminator(range_from_signed(torch.cat([beside, images], 1), value_range), None)

        return critic
