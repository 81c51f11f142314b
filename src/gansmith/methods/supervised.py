"""The base of methods with targets: a generator and an optional discriminator."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import replace
from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

from gansmith.core.errors import RecipeError
from gansmith.core.noise import Noise
from gansmith.core.randomness import epoch_order
from gansmith.core.registry import Part
from gansmith.core.runtime import eagerly
from gansmith.core.schedules import Moment, NotNegative, value_at
from gansmith.data.base import ImageData
from gansmith.data.batches import Batch
from gansmith.imaging.tensors import to_float
from gansmith.methods.adversarial import (
    Augmenter,
    discriminator_terms,
    fakes_from,
    mean_score,
    refuse_batch_statistics,
    require_gradients,
    score_sides,
)
from gansmith.methods.base import MethodConfig, Phase, Terms
from gansmith.methods.perceptual import OWN_FEATURES, FeatureNetwork, feature_distance
from gansmith.parts.augmentations.base import Augmentation, AugmentationField
from gansmith.parts.constraints.base import Constraint, ConstraintField
from gansmith.parts.losses.base import LossField
from gansmith.parts.losses.non_saturating import NonSaturating
from gansmith.parts.networks.activations import hidden_maps
from gansmith.parts.networks.base import ImageSpec, NetworkField, range_from_signed, translated
from gansmith.parts.penalties.base import Critic, PenaltyField
from gansmith.parts.tasks.base import Task

GRID_IMAGES, GRID_COLUMNS = 24, 3  # each is three images wide
FEATURES_KEY = "features_sha256"  # in the state: a resumed run must find the same feature network


class SupervisedConfig(MethodConfig):
    """The settings of methods with targets; ``feature_weight`` adds a feature distance between fake and target."""

    has_targets: ClassVar[bool] = True
    generator: NetworkField
    discriminator: NetworkField | None = Field(description="null: G learns only from its targets")
    loss: LossField = Field(default_factory=NonSaturating)
    penalties: tuple[PenaltyField, ...] = ()
    constraints: tuple[ConstraintField, ...] = ()
    augment: AugmentationField | None = Field(None, description="augments D's inputs; source and image alike")
    feature_weight: NotNegative = Field(0.0, description="weight of the feature distance; a number or a ramp")
    features: str = Field(
        OWN_FEATURES,
        description="network for features: 'discriminator' in training, or a .safetensors file of gansmith",
    )
    discriminator_steps: int = Field(1, ge=1, le=100, description="D steps per iteration, each with new images")
    share_fakes: bool = Field(False, description="the G step reuses the last D step's fakes")

    @property
    def phases(self) -> tuple[Phase, ...]:
        """Return D's phase, if there is a discriminator, and G's; the first one reads data."""
        if self.discriminator is None:
            return (Phase("generator", ("generator",)),)
        return (
            Phase("discriminator", ("discriminator",), self.discriminator_steps),
            Phase("generator", ("generator",), reads_data=False),
        )

    def check_sides(self) -> None:
        """Raise RecipeError for parts that do not fit each other."""
        if self.discriminator is not None:
            refuse_batch_statistics(self.discriminator, self.penalties)
        elif self.augment is not None:
            raise RecipeError(
                "recipe.augmentation_without_discriminator",
                f"augmentation '{self.augment.kind}' needs a discriminator, and this recipe has none"
                "\n  pass augment=null",
            )
        if self.feature_weight == 0 or self.features != OWN_FEATURES:
            return
        if self.augment is not None:
            raise RecipeError(
                "recipe.features_with_augmentation",
                "feature_weight compares D's features of fake and target, but augmentation changes these differently"
                "\n  pass augment=null, or features=FILE.safetensors",
            )
        if self.discriminator is None:
            raise RecipeError(
                "recipe.features_without_discriminator",
                "feature_weight needs the features of a discriminator, and this recipe has none"
                "\n  pass feature_weight=0, a discriminator, or features=FILE.safetensors",
            )


def described(part: Part) -> str:
    """Return a part's name with its fields."""
    fields = ", ".join(f"{name} {value}" for name, value in part.model_dump(exclude={"kind"}).items())
    return part.kind + (f" ({fields})" if fields else "")


class SupervisedMethod(ABC):
    """A method with targets; ``Method`` explains the members."""

    def __init__(
        self,
        config: SupervisedConfig,
        spec: ImageSpec,
        discriminator_spec: ImageSpec,
        augmentation: Augmentation | None,
        task: Task | None = None,
    ) -> None:
        """``spec`` has the sizes of the generator, ``discriminator_spec`` those of the discriminator."""
        self.config, self.spec, self._discriminator_spec = config, spec, discriminator_spec
        self.networks = nn.ModuleDict({"generator": config.generator.generator(spec)})
        self._generator_parameters = [p for p in self.networks["generator"].parameters() if p.requires_grad]
        self.phases = config.phases
        if config.discriminator is not None:
            self.networks["discriminator"] = config.discriminator.discriminator(discriminator_spec)
        self.averaged: tuple[str, ...] = ("generator",)
        self.translators, self.task = self.averaged, task
        constrained = {"discriminator": config.constraints} if config.discriminator is not None else {}
        self.constraints: Mapping[str, tuple[Constraint, ...]] = constrained
        self.state: dict[str, Tensor] = {}
        self.augmenter = Augmenter(augmentation, self.state)
        self.pools: dict[str, Tensor] = {}
        self._feature_network: FeatureNetwork | None = None
        if config.feature_weight != 0 and config.features != OWN_FEATURES:
            self.state[FEATURES_KEY] = torch.zeros(32, dtype=torch.uint8)
            self._feature_network = FeatureNetwork(config.features, spec)
        self._shared: Tensor | None = None  # fakes, within one iteration

    @abstractmethod
    def split(self, images: Tensor, noise: Noise) -> tuple[Tensor, Tensor]:
        """Return sources (N, S, h, w) and targets (N, C, H, W) from images of the data, all in [-1, 1]."""

    def translate(self, generator: nn.Module, source: Tensor) -> Tensor:
        """Return the results (N, C, H, W) for sources (N, S, h, w); both in [-1, 1]."""
        return translated(generator, source, self.config.generator.value_range)

    @abstractmethod
    def content_loss(self, fake: Tensor, target: Tensor, moment: Moment) -> Terms:
        """Return the weighted distance between the pixels of fakes and targets."""

    @abstractmethod
    def discriminator_input(self, source: Tensor, images: Tensor) -> Tensor:
        """Return the discriminator's input for sources (N, ...) and images (kN, C, H, W)."""

    def critic(self, source: Tensor, noise: Noise, moment: Moment) -> Critic:
        """Return the discriminator with sources and augmentation bound: images (kN, C, H, W) -> logits."""
        assert self.config.discriminator is not None
        discriminator, value_range = self.networks["discriminator"], self.config.discriminator.value_range
        augmented = self.augmenter.critic(
            lambda inputs: discriminator(range_from_signed(inputs, value_range), None), noise, "both", moment
        )
        return lambda images: augmented(self.discriminator_input(source, images))

    def phases_at(self, moment: Moment) -> tuple[Phase, ...]:
        """Return all phases."""
        return self.phases

    def loss(self, phase: Phase, batch: Batch, noise: Noise, moment: Moment) -> Terms:
        """Return the loss of the phase."""
        # The G phase gets the batch of the last D step and must make the same sources from it.
        step = noise.repeat if phase.name == "discriminator" else self.config.discriminator_steps - 1
        with torch.autocast(batch.images.device.type, enabled=False):  # sources need more than 8 bits
            source, target = self.examples(batch.images.detach(), replace(noise, phase="task", repeat=step))
        if phase.name == "discriminator":
            return self._discriminator_terms(source, target, noise, moment)
        return self._generator_terms(source, target, noise, moment)

    def examples(self, images: Tensor, noise: Noise) -> tuple[Tensor, Tensor]:
        """Return the sources and targets for training."""
        return self.split(images, noise)

    def preview_examples(self, seed: int, count: int, data: ImageData) -> tuple[Tensor, Tensor]:
        """Return sources and targets for previews, from held-out images if there are any."""
        data = data.held_out or data
        order = epoch_order(seed, 0, len(data))
        images = to_float(data.read([order[place % len(order)] for place in range(count)]))
        return self.split(images, Noise(seed, 0, 0, "task", 0, range(count), count, images.device))

    def example_inputs(self, count: int) -> dict[str, tuple[Tensor | None, ...]]:
        """Return example inputs of each network, on the default device, for the table of layers."""
        spec, other = self.spec, self._discriminator_spec
        sources = torch.empty(count, spec.source_channels, spec.height // spec.scale, spec.width // spec.scale)
        images = torch.empty(count, other.channels, other.height, other.width)
        return {name: (sources if name == "generator" else images, None) for name in self.networks}

    def _discriminator_terms(self, source: Tensor, target: Tensor, noise: Noise, moment: Moment) -> Terms:
        config, critic = self.config, self.critic(source, noise, moment)
        due = [penalty for penalty in config.penalties if penalty.due(moment)]
        fake = self._fakes_for_discriminator(source, noise)
        real = target.detach()
        require_gradients(due, real, fake)
        assert config.discriminator is not None
        with eagerly(due):
            scored = score_sides(critic, config.discriminator, real, fake)
            return discriminator_terms(config.loss, scored, due, critic, self.augmenter, noise, moment)

    def _generator_terms(self, source: Tensor, target: Tensor, noise: Noise, moment: Moment) -> Terms:
        shared, self._shared = self._shared, None
        fake = self.translate(self.networks["generator"], source) if shared is None else shared
        content = self.content_loss(fake, target, moment)
        total, log = content.total, dict(content.log)
        weight = value_at(self.config.feature_weight, moment)
        if self._feature_network is not None and weight:
            distance = self._feature_network.distance(fake, target, self.state[FEATURES_KEY])
            total, log = total + weight * distance, {**log, "loss_features": distance.detach()}
        if "discriminator" not in self.networks:
            return Terms(total, log)
        critic, loss = self.critic(source, noise, moment), self.config.loss
        compares_features = bool(weight) and self._feature_network is None
        fake_logits, fake_features = self._logits_and_features(critic, fake, compares_features)
        real_logits = None
        if loss.generator_needs_real or compares_features:
            with torch.no_grad():
                real_logits, target_features = self._logits_and_features(critic, target, compares_features)
            real_logits = real_logits.float() if loss.generator_needs_real else None
        if compares_features:
            distance = feature_distance(fake_features, target_features)
            total, log = total + weight * distance, {**log, "loss_features": distance.detach()}
        adversarial = loss.generator(real_logits, fake_logits.float())
        log = {"loss_generator": adversarial.detach(), **log}
        return Terms(adversarial + total, {**log, **mean_score(loss, "fake_after", fake_logits)})

    def _logits_and_features(
        self, critic: Critic, images: Tensor, needs_features: bool
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Return logits, and the feature maps of D's hidden layers if they are needed, else {}."""
        if not needs_features:
            return critic(images), {}
        with eagerly(True):
            return hidden_maps(self.networks["discriminator"], lambda: critic(images))

    def _fakes_for_discriminator(self, source: Tensor, noise: Noise) -> Tensor:
        generator = self.networks["generator"]
        is_shared = self.config.share_fakes and noise.repeat == self.config.discriminator_steps - 1
        fakes = fakes_from(lambda: self.translate(generator, source), self._generator_parameters, is_shared=is_shared)
        self._shared = fakes if is_shared else None
        return fakes.detach()
