"""Method ``latent``: generates images from noise, with or without labels."""

from collections.abc import Mapping
from typing import ClassVar, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from gansmith.core.errors import RecipeError
from gansmith.core.noise import Noise
from gansmith.core.randomness import SAMPLE_ROW, epoch_order, sample_labels, sample_latents
from gansmith.core.runtime import eagerly
from gansmith.core.schedules import Moment, NotNegative, value_at
from gansmith.data.base import DataSpec, ImageData
from gansmith.data.batches import Batch
from gansmith.methods.adversarial import (
    Augmenter,
    discriminator_terms,
    fakes_from,
    mean_score,
    refuse_batch_statistics,
    refuse_points,
    require_gradients,
)
from gansmith.methods.base import Fixed, Method, MethodConfig, Phase, Terms, methods
from gansmith.parts.augmentations.base import AugmentationField
from gansmith.parts.constraints.base import Constraint, ConstraintField
from gansmith.parts.losses.base import LossField
from gansmith.parts.losses.non_saturating import NonSaturating
from gansmith.parts.networks.base import ImageSpec, NetworkField, networks_that, range_from_signed, signed_from
from gansmith.parts.penalties.base import Critic, PenaltyField, Scored

MAX_CLASS_ROWS = 16


@methods.register("latent")
class LatentConfig(MethodConfig):
    """A generator from Gaussian noise, and a discriminator.

    Source: Goodfellow et al. 2014, arXiv:1406.2661, Algorithm 1; labels: Mirza and Osindero 2014, arXiv:1411.1784;
    ``class_weight``: Odena et al. 2017, arXiv:1610.09585, equation 3.
    Differs: with ``share_fakes`` the first G step of an iteration reuses the fakes of the last D step, with their
    graph. With ``class_weight`` D's logits for all labels act as a classifier, trained on real images only; G's loss
    does not use it.
    """

    samples_from_latents: ClassVar[bool] = True
    generator: NetworkField
    discriminator: NetworkField
    loss: LossField = Field(default_factory=NonSaturating)
    penalties: tuple[PenaltyField, ...] = ()
    constraints: tuple[ConstraintField, ...] = ()
    augment: AugmentationField | None = None
    latent_dim: int = Field(100, ge=1, le=4096, description="dimensions of the Gaussian noise")
    conditional: bool = Field(False, description="label input for both networks")
    fake_labels: Literal["data", "uniform"] = Field(
        "data", description="labels of fakes in training: from the real batch (data), or uniform"
    )
    class_weight: NotNegative = Field(
        0.0, description="with conditional: weight of D's cross-entropy over all labels, on real images"
    )
    discriminator_steps: int = Field(1, ge=1, le=100, description="D steps per iteration, each with new images")
    generator_steps: int = Field(1, ge=1, le=100, description="G steps per iteration")
    share_fakes: bool = Field(False, description="the first G step reuses the last D step's fakes")
    alternate: Literal["iteration", "epoch"] = Field(
        "iteration", description="epoch: train only D for one epoch, then only G for one"
    )

    @property
    def phases(self) -> tuple[Phase, ...]:
        """Return D's phase, which reads data, and G's."""
        return (
            Phase("discriminator", ("discriminator",), self.discriminator_steps),
            Phase("generator", ("generator",), self.generator_steps, reads_data=False),
        )

    def build(self, data: DataSpec) -> Method:
        """Return the method; RecipeError for parts that do not fit."""
        return LatentMethod(self, data)

    def image_spec(self, data: DataSpec) -> ImageSpec:
        """Return the sizes of the networks' inputs and outputs."""
        num_classes = len(data.classes) if self.conditional else 0
        return ImageSpec(data.height, data.width, data.channels, num_classes, self.latent_dim)

    def check(self, data: DataSpec) -> None:
        """Raise RecipeError for parts that do not fit each other or the data."""
        if self.conditional and len(data.classes) < 2:
            raise RecipeError(
                "recipe.conditional_without_labels",
                f"this recipe is conditional, but '{data.name}' has no labels"
                "\n  put the images into one sub-folder for each class, or pass conditional=false",
            )
        if self.conditional and self.class_weight and not self.discriminator.scores_labels:
            raise RecipeError(
                "recipe.class_weight_without_scores",
                f"class_weight needs a discriminator that scores every label, but '{self.discriminator.kind}' scores "
                f"only the label it gets\n  allowed: {networks_that('scores_labels')}; or pass class_weight=0",
            )
        if self.share_fakes and self.alternate == "epoch":
            raise RecipeError(
                "recipe.nothing_to_share",
                "alternate=epoch trains D and G in different iterations, so there are no fakes to share"
                "\n  pass share_fakes=false",
            )
        refuse_points(data, self.generator, self.discriminator, augment=self.augment)
        refuse_batch_statistics(self.discriminator, self.penalties)


class LatentMethod:
    """The method ``latent``; ``Method`` explains the members."""

    def __init__(self, config: LatentConfig, data: DataSpec) -> None:
        config.check(data)
        spec = config.image_spec(data)
        self.config, self.num_classes, self._spec = config, spec.num_classes, spec
        self.networks = nn.ModuleDict(
            {"generator": config.generator.generator(spec), "discriminator": config.discriminator.discriminator(spec)}
        )
        self._generator_parameters = [p for p in self.networks["generator"].parameters() if p.requires_grad]
        self.averaged: tuple[str, ...] = ("generator",)
        self.phases = config.phases
        self._images_per_epoch = data.count
        self.constraints: Mapping[str, tuple[Constraint, ...]] = {"discriminator": config.constraints}
        self.state: dict[str, Tensor] = {}
        self.augmenter = Augmenter(config.augment, self.state)
        self.pools: dict[str, Tensor] = {}
        self._shared: tuple[Tensor, Tensor | None] | None = None  # fakes and labels, within one iteration

    def phases_at(self, moment: Moment) -> tuple[Phase, ...]:
        """Return both phases; with ``alternate: epoch`` the phase of this epoch, D's first."""
        if self.config.alternate == "iteration":
            return self.phases
        which = round(moment.kimg * 1000) // self._images_per_epoch % 2
        return self.phases[which : which + 1]

    def loss(self, phase: Phase, batch: Batch, noise: Noise, moment: Moment) -> Terms:
        """Return the loss of the phase."""
        if phase.name == "discriminator":
            return self._discriminator_terms(batch, noise, moment)
        return self._generator_terms(batch, noise, moment)

    def fixed(self, seed: int, count: int | None, data: ImageData) -> Fixed:
        """Return the latents that ``sample`` draws for the seed; with labels each class has a row."""
        rows = min(self.num_classes, MAX_CLASS_ROWS) or SAMPLE_ROW
        count = count or rows * SAMPLE_ROW
        latents = torch.from_numpy(sample_latents(seed, 0, count, self.config.latent_dim))
        labels = sample_labels(0, count, self.num_classes)
        return Fixed(latents, None if labels is None else torch.from_numpy(labels), SAMPLE_ROW)

    def preview(self, networks: nn.ModuleDict, fixed: Fixed) -> Tensor:
        """Return images (N, C, H, W), clipped to [-1, 1]."""
        images = signed_from(networks["generator"](fixed.inputs, fixed.labels), self.config.generator.value_range)
        return images.clamp(-1, 1)

    def example_inputs(self, count: int) -> dict[str, tuple[Tensor | None, ...]]:
        """Return example inputs of each network, on the default device, for the table of layers."""
        labels = torch.zeros(count, dtype=torch.long) if self.num_classes else None
        images = torch.empty(count, self._spec.channels, self._spec.height, self._spec.width)
        return {"generator": (torch.empty(count, self.config.latent_dim), labels), "discriminator": (images, labels)}

    def score(self, discriminator: nn.Module, images: Tensor, labels: Tensor | None) -> Tensor:
        """Return P(real) of images (N, C, H, W) in [-1, 1]; the logit if the loss gives no probabilities."""
        logits = discriminator(range_from_signed(images, self.config.discriminator.value_range), labels)
        return logits.sigmoid() if self.config.loss.logits_are_probabilities else logits

    def _discriminator_terms(self, batch: Batch, noise: Noise, moment: Moment) -> Terms:
        due = [penalty for penalty in self.config.penalties if penalty.due(moment)]
        fake, fake_labels = self._fakes_for_discriminator(batch, noise)
        real = batch.images.detach()  # another tensor object: the batch itself never requires gradients
        require_gradients(due, real, fake)
        real_labels = batch.labels if self.num_classes else None
        class_logits: Tensor | None = None  # D's logits of the real images for every label, (N, num_classes)
        with eagerly(due):
            if self.config.class_weight and real_labels is not None and fake_labels is not None:
                class_logits, fake_class_logits = self._score_sides(real, None, fake, None, noise, moment)
                logits = _logit_of_label(class_logits, real_labels), _logit_of_label(fake_class_logits, fake_labels)
            else:
                logits = self._score_sides(real, real_labels, fake, fake_labels, noise, moment)
            critic, scored = self._critic(real_labels, noise, "penalty", moment), Scored(real, fake, *logits)
            terms = discriminator_terms(self.config.loss, scored, due, critic, self.augmenter, noise, moment)
            if class_logits is None or real_labels is None:
                return terms
            weighted = value_at(self.config.class_weight, moment) * cross_entropy(class_logits.float(), real_labels)
            return Terms(terms.total + weighted, {**terms.log, "penalty_class": weighted.detach()})

    def _generator_terms(self, batch: Batch, noise: Noise, moment: Moment) -> Terms:
        fake, labels = self._shared or self._make_fakes(batch, noise)
        self._shared = None
        critic = self._critic(labels, noise, "fake", moment)
        fake_logits = critic(fake)
        real_logits = None
        if self.config.loss.generator_needs_real:
            with torch.no_grad():
                real_critic = self._critic(batch.labels if self.num_classes else None, noise, "real", moment)
                real_logits = real_critic(batch.images).float()
        total = self.config.loss.generator(real_logits, fake_logits.float())
        after = mean_score(self.config.loss, "fake_after", fake_logits)
        return Terms(total, {"loss_generator": total.detach(), **after})

    def _make_fakes(self, batch: Batch, noise: Noise) -> tuple[Tensor, Tensor | None]:
        labels = None
        if self.num_classes:
            labels = batch.labels
            if self.config.fake_labels == "uniform":
                labels = noise.uniform("labels").mul(self.num_classes).long()
        latents = noise.normal("latents", self.config.latent_dim)
        images = self.networks["generator"](latents, labels)
        return signed_from(images, self.config.generator.value_range), labels

    def _fakes_for_discriminator(self, batch: Batch, noise: Noise) -> tuple[Tensor, Tensor | None]:
        is_shared = self.config.share_fakes and noise.repeat == self.config.discriminator_steps - 1
        fakes = fakes_from(lambda: self._make_fakes(batch, noise), self._generator_parameters, is_shared=is_shared)
        self._shared = fakes if is_shared else None
        return fakes[0].detach(), fakes[1]

    def _critic(self, labels: Tensor | None, noise: Noise, purpose: str, moment: Moment) -> Critic:
        """Return the discriminator with labels and augmentation bound: images (kN, C, H, W) -> logits."""
        discriminator, value_range = self.networks["discriminator"], self.config.discriminator.value_range

        def score(images: Tensor) -> Tensor:
            label_input = labels if labels is None else labels.repeat(images.shape[0] // labels.shape[0])
            return discriminator(range_from_signed(images, value_range), label_input)

        return self.augmenter.critic(score, noise, purpose, moment)

    def _score_sides(
        self,
        real: Tensor,
        real_labels: Tensor | None,
        fake: Tensor,
        fake_labels: Tensor | None,
        noise: Noise,
        moment: Moment,
    ) -> tuple[Tensor, Tensor]:
        """Return the logits of real and fake images, from one pass; from two if batch statistics would mix them."""
        if self.config.discriminator.has_batch_statistics:
            real_critic = self._critic(real_labels, noise, "real", moment)
            return real_critic(real), self._critic(fake_labels, noise, "fake", moment)(fake)
        labels = None if real_labels is None or fake_labels is None else torch.cat([real_labels, fake_labels])
        real_logits, fake_logits = self._critic(labels, noise, "both", moment)(torch.cat([real, fake])).chunk(2)
        return real_logits, fake_logits


def _logit_of_label(logits: Tensor, labels: Tensor) -> Tensor:
    """Return each image's logit for its own label, (N,), from its logits for every label, (N, num_classes)."""
    return logits.gather(1, labels[:, None]).flatten()


def labels_by_share(shares: np.ndarray | None, count: int, num_classes: int, seed: int) -> Tensor:
    """Return labels (count,) in an order of the seed; ``shares`` (num_classes,) are their frequencies, None: equal."""
    shares = np.full(num_classes, 1 / num_classes) if shares is None else shares
    edges = np.round(np.cumsum(shares) * count).astype(np.int64)
    labels = np.searchsorted(edges, np.arange(count), side="right").clip(max=num_classes - 1)
    return torch.from_numpy(labels[epoch_order(seed, 0, count)])
