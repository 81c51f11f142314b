"""Two small training methods as a plugin: one learns from pairs, one has two discriminators."""

from collections.abc import Mapping
from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, interpolate

from gansmith.plugins import (
    Batch,
    Constraint,
    DataSpec,
    Fixed,
    ImageData,
    ImageSpec,
    LossField,
    Method,
    MethodConfig,
    Moment,
    NetworkField,
    Noise,
    PenaltyField,
    Phase,
    Scored,
    Terms,
    losses,
    methods,
    sample_latents,
    to_float,
    value_at,
)


def source_of(images: Tensor) -> Tensor:
    """Return gray, blurred copies (N, 1, H, W) of images (N, C, H, W): the sources of the paired toy."""
    blurred = interpolate(avg_pool2d(images.mean(1, keepdim=True), 2), scale_factor=2.0)
    return blurred.contiguous(memory_format=torch.channels_last)


class ToyTranslator(nn.Module):
    """Sources (N, 1, H, W) -> images (N, C, H, W) in [-1, 1]."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(1, width, 3, padding=1), nn.LeakyReLU(0.2), nn.Conv2d(width, channels, 3, padding=1), nn.Tanh()
        )

    def forward(self, sources: Tensor, labels: Tensor | None = None) -> Tensor:
        return self.layers(sources)


@methods.register("toy_paired")
class ToyPairedConfig(MethodConfig):
    """Sharpen and colour gray, blurred images: a discriminator sees source and image together, with an L1 term.

    Source: Isola et al. 2017 (pix2pix), arXiv:1611.07004, eq. 4, with a generator of two layers.
    """

    discriminator: NetworkField
    loss: LossField = Field(default_factory=lambda: losses.parse("least_squares"))
    penalties: tuple[PenaltyField, ...] = ()
    width: int = Field(4, ge=1)
    l1_weight: float = Field(10.0, ge=0)

    @property
    def phases(self) -> tuple[Phase, ...]:
        return (
            Phase("discriminator", ("discriminator",)),
            Phase("generator", ("generator",), reads_data=False),
        )

    def build(self, data: DataSpec) -> Method:
        return ToyPaired(self, data)


class ToyPaired:
    def __init__(self, config: ToyPairedConfig, data: DataSpec) -> None:
        self.config, self._shape = config, (data.channels, data.height, data.width)
        shown = ImageSpec(data.height, data.width, data.channels + 1)
        self.networks = nn.ModuleDict(
            {
                "generator": ToyTranslator(data.channels, config.width),
                "discriminator": config.discriminator.discriminator(shown),
            }
        )
        self.averaged = ("generator",)
        self.phases = config.phases
        self.constraints: Mapping[str, tuple[Constraint, ...]] = {}
        self.state: dict[str, Tensor] = {}
        self.pools: dict[str, Tensor] = {}

    def phases_at(self, moment: Moment) -> tuple[Phase, ...]:
        return self.phases

    def loss(self, phase: Phase, batch: Batch, noise: Noise, moment: Moment) -> Terms:
        source = source_of(batch.images.detach())

        def critic(images: Tensor) -> Tensor:
            sources = source.repeat(images.shape[0] // source.shape[0], 1, 1, 1)
            return self.networks["discriminator"](torch.cat([sources, images], 1))

        fake = self.networks["generator"](source)
        if phase.name == "generator":
            adversarial = self.config.loss.generator(critic(batch.images), critic(fake))
            distance = (fake - batch.images).abs().mean()
            total = adversarial + self.config.l1_weight * distance
            return Terms(total, {"loss_generator": adversarial.detach(), "l1": distance.detach()})
        due = [penalty for penalty in self.config.penalties if penalty.due(moment)]
        real, fake = batch.images.clone().requires_grad_(bool(due)), fake.detach().requires_grad_(bool(due))
        scored = Scored(real, fake, *critic(torch.cat([real, fake])).chunk(2))
        total = self.config.loss.discriminator(scored.real_logits, scored.fake_logits)
        log = {"loss_discriminator": total.detach()}
        for penalty in due:
            total = total + value_at(penalty.weight, moment) * penalty.interval * penalty(critic, scored, noise)
        return Terms(total, log)

    def example_inputs(self, count: int) -> dict[str, tuple[Tensor | None, ...]]:
        channels, height, width = self._shape
        both = torch.empty(count, channels + 1, height, width)
        return {"generator": (torch.empty(count, 1, height, width),), "discriminator": (both,)}

    def fixed(self, seed: int, count: int | None, data: ImageData) -> Fixed:
        return Fixed(source_of(to_float(data.read(range(count or 16)))), None, 4)

    def preview(self, networks: nn.ModuleDict, fixed: Fixed) -> Tensor:
        return networks["generator"](fixed.inputs)


@methods.register("toy_two_discriminators")
class ToyTwoDiscriminatorsConfig(MethodConfig):
    """One generator against two discriminators, on the whole image and on its half-size copy.

    The discriminators see fakes from a pool of earlier ones. A running mean is subtracted from their logits. Pool and
    mean must survive a resume.
    Source: the pool is from Shrivastava et al. 2017, arXiv:1612.07828, section 2.3.
    """

    generator: NetworkField
    discriminator: NetworkField
    loss: LossField = Field(default_factory=lambda: losses.parse("least_squares"))
    latent_dim: int = Field(8, ge=1)
    pool_size: int = Field(6, ge=1)
    momentum: float = Field(0.5, ge=0, lt=1)

    @property
    def phases(self) -> tuple[Phase, ...]:
        return (
            Phase("full", ("discriminator_full",)),
            Phase("half", ("discriminator_half",), reads_data=False),
            Phase("generator", ("generator",), reads_data=False),
        )

    def build(self, data: DataSpec) -> Method:
        return ToyTwoDiscriminators(self, data)


class ToyTwoDiscriminators:
    def __init__(self, config: ToyTwoDiscriminatorsConfig, data: DataSpec) -> None:
        self.config = config
        self._full = ImageSpec(data.height, data.width, data.channels, latent_dim=config.latent_dim)
        self._half = ImageSpec(data.height // 2, data.width // 2, data.channels)
        self.networks = nn.ModuleDict(
            {
                "generator": config.generator.generator(self._full),
                "discriminator_full": config.discriminator.discriminator(self._full),
                "discriminator_half": config.discriminator.discriminator(self._half),
            }
        )
        self.averaged = ("generator",)
        self.phases = config.phases
        self.constraints: Mapping[str, tuple[Constraint, ...]] = {}
        self.state: dict[str, Tensor] = {"mean_full": torch.zeros(()), "mean_half": torch.zeros(())}
        pool = torch.zeros(config.pool_size, data.channels, data.height, data.width)
        self.pools = {"images": pool, "filled": torch.zeros((), dtype=torch.long)}
        self._pooled = pool[:0]  # within one iteration

    def phases_at(self, moment: Moment) -> tuple[Phase, ...]:
        return self.phases

    def loss(self, phase: Phase, batch: Batch, noise: Noise, moment: Moment) -> Terms:
        if phase.name == "generator":
            fake = self.networks["generator"](noise.normal("latents", self.config.latent_dim))
            full, half = (self.config.loss.generator(None, self._centred(name, fake)) for name in ("full", "half"))
            return Terms(full + half, {"loss_generator_full": full.detach(), "loss_generator_half": half.detach()})
        if phase.name == "full":
            with torch.no_grad():
                fake = self.networks["generator"](noise.normal("latents", self.config.latent_dim))
            self._pooled = self._through_pool(fake, noise)
        real, fake = self._centred(phase.name, torch.cat([batch.images, self._pooled])).chunk(2)
        total = self.config.loss.discriminator(real, fake)
        raw = (real.detach().mean() + fake.detach().mean()) / 2 + self.state[f"mean_{phase.name}"]
        self.state[f"mean_{phase.name}"].lerp_(raw, 1 - self.config.momentum)
        return Terms(total, {f"loss_{phase.name}": total.detach()})

    def example_inputs(self, count: int) -> dict[str, tuple[Tensor | None, ...]]:
        full, half = (torch.empty(count, s.channels, s.height, s.width) for s in (self._full, self._half))
        latents = torch.empty(count, self.config.latent_dim)
        return {"generator": (latents,), "discriminator_full": (full,), "discriminator_half": (half,)}

    def fixed(self, seed: int, count: int | None, data: ImageData) -> Fixed:
        return Fixed(torch.from_numpy(sample_latents(seed, 0, count or 16, self.config.latent_dim)), None, 4)

    def preview(self, networks: nn.ModuleDict, fixed: Fixed) -> Tensor:
        return networks["generator"](fixed.inputs)

    def _centred(self, name: str, images: Tensor) -> Tensor:
        seen = avg_pool2d(images, 2) if name == "half" else images
        return self.networks[f"discriminator_{name}"](seen) - self.state[f"mean_{name}"].clone()

    def _through_pool(self, fake: Tensor, noise: Noise) -> Tensor:
        """Return as many images as came; half of them are replaced by earlier ones, whose places they take."""
        images, filled = self.pools["images"], self.pools["filled"]
        swapped, places = noise.uniform("swapped") < 0.5, noise.uniform("places").mul(len(images)).long()
        out = fake.clone()
        for row, place in enumerate(places.tolist()):
            if filled < len(images):
                images[filled] = fake[row]
                filled += 1
            elif swapped[row]:
                out[row] = images[place]
                images[place] = fake[row]
        return out


@methods.register("toy_sampler")
class ToySamplerConfig(ToyTwoDiscriminatorsConfig):
    """The method above, which declares what models of it can do."""

    samples_from_latents: ClassVar[bool] = True

    def build(self, data: DataSpec) -> Method:
        return ToySampler(self, data)


class ToySampler(ToyTwoDiscriminators):
    num_classes = 0

    def score(self, discriminator: nn.Module, images: Tensor, labels: Tensor | None) -> Tensor:
        return discriminator(images)


@methods.register("toy_translator")
class ToyTranslatorConfig(ToyPairedConfig):
    """The method of pairs, which declares what models of it can do."""

    translates: ClassVar[bool] = True
    has_targets: ClassVar[bool] = True

    def build(self, data: DataSpec) -> Method:
        return ToyTranslating(self, data)

    def sources(self) -> str:
        return "gray, blurred copies"


class ToyTranslating(ToyPaired):
    task = None
    translators = ("generator",)

    @property
    def spec(self) -> ImageSpec:
        channels, height, width = self._shape
        return ImageSpec(height, width, channels, source_channels=1)

    def split(self, images: Tensor, noise: Noise) -> tuple[Tensor, Tensor]:
        return source_of(images), images

    def translate(self, generator: nn.Module, source: Tensor) -> Tensor:
        return generator(source)
