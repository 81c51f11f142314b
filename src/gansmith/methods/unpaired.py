"""Method ``unpaired``: CycleGAN, which translates between two domains without pairs."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn

from gansmith.core.errors import RecipeError
from gansmith.core.noise import Noise
from gansmith.core.randomness import derive_seed, epoch_order
from gansmith.core.runtime import eagerly
from gansmith.core.schedules import Moment, NotNegative, value_at
from gansmith.data.base import DataSpec, ImageData
from gansmith.data.batches import Batch
from gansmith.data.sources.domains import DOMAINS
from gansmith.imaging.tensors import to_float
from gansmith.methods.adversarial import (
    Augmenter,
    discriminator_terms,
    refuse_batch_statistics,
    refuse_points,
    require_gradients,
    score_sides,
)
from gansmith.methods.base import Fixed, Method, MethodConfig, Phase, Terms, methods
from gansmith.parts.augmentations.base import AugmentationField
from gansmith.parts.constraints.base import Constraint, ConstraintField
from gansmith.parts.losses.base import LossField
from gansmith.parts.losses.least_squares import LeastSquares
from gansmith.parts.networks.base import ImageSpec, NetworkField, range_from_signed, translated
from gansmith.parts.penalties.base import Critic, PenaltyField
from gansmith.parts.tasks.base import Task

GENERATORS = ("a_to_b", "b_to_a")  # by the domain of their sources
DISCRIMINATORS = ("discriminator_a", "discriminator_b")  # by the domain of their images
SIDES = ("a", "b")  # in the log: a is 'from', b is 'to'
GRID_IMAGES, GRID_COLUMNS = 16, 2  # each is three images wide


@methods.register("unpaired")
class UnpairedConfig(MethodConfig):
    """CycleGAN: two generators and two discriminators; an image that is translated and back must stay the same.

    Generators: adversarial terms of F(a) and G(b) + cycle_weight (E|G(F(a)) - a| + E|F(G(b)) - b|
                + identity_weight (E|F(b) - b| + E|G(a) - a|)), with F from A to B and G from B to A.
    Discriminators: the loss on images of their domain and on fakes from a pool of earlier ones.
    Source: Zhu et al. 2017, arXiv:1703.10593, eq. 3, sections 4 and 5.2; pool: Shrivastava et al. 2017,
    arXiv:1612.07828, section 2.3.
    Differs: discriminators use the fakes of the same iteration's generator step; their losses are added without a
    factor; each process has its own pools.
    """

    translates: ClassVar[bool] = True
    reverses: ClassVar[bool] = True
    domains: ClassVar[tuple[str, ...]] = DOMAINS
    generator: NetworkField
    discriminator: NetworkField
    loss: LossField = Field(default_factory=LeastSquares)
    penalties: tuple[PenaltyField, ...] = ()
    constraints: tuple[ConstraintField, ...] = ()
    augment: AugmentationField | None = Field(
        None, description="augments both discriminators' inputs; each has its own p"
    )
    cycle_weight: NotNegative = Field(10.0, description="weight of the L1 distance between an image and its way back")
    identity_weight: NotNegative = Field(
        0.5, description="times cycle_weight: weight of changes to images that are already in the target domain"
    )
    pool_size: int = Field(50, ge=0, le=10_000, description="earlier fakes kept for each discriminator; 0: no pool")

    @property
    def phases(self) -> tuple[Phase, ...]:
        """Return the phase of both generators, which reads data, and the discriminators' phase."""
        return Phase("generators", GENERATORS), Phase("discriminators", DISCRIMINATORS, reads_data=False)

    def build(self, data: DataSpec) -> Method:
        """Return the method; RecipeError for parts that do not fit."""
        return UnpairedMethod(self, data)

    def sources(self) -> str:
        """Say that both domains are translated."""
        return "the images of either domain"

    def check(self, data: DataSpec) -> None:
        """Raise RecipeError for parts that do not fit each other or the data."""
        if data.classes != DOMAINS:
            raise RecipeError(
                "recipe.one_domain",
                f"method 'unpaired' needs two sets of images, and '{data.name}' is one"
                "\n  pass both: gansmith train --from A --to B",
            )
        refuse_points(data, self.generator, self.discriminator)
        if not self.generator.translates:
            raise RecipeError(
                "recipe.generator_from_noise",
                f"generator '{self.generator.kind}' makes images from noise, but method 'unpaired' needs one that "
                "translates images\n  pass generator=cyclegan_resnet",
            )
        refuse_batch_statistics(self.discriminator, self.penalties)


@dataclass(frozen=True)
class Domain:
    """The images of one domain in this process's slice of a batch."""

    index: int
    images: Tensor  # (N / 2, C, H, W) in [-1, 1]
    noise: Noise  # random numbers for these images


class UnpairedMethod:
    """The method ``unpaired``; ``Method`` explains the members. Domain 0 is A ('from'), domain 1 is B ('to')."""

    def __init__(self, config: UnpairedConfig, data: DataSpec) -> None:
        config.check(data)
        spec = ImageSpec(data.height, data.width, data.channels, source_channels=data.channels)
        self.config, self.spec, self._shape = config, spec, (data.channels, data.height, data.width)
        sides = {name: config.generator.generator(spec) for name in GENERATORS}
        sides |= {name: config.discriminator.discriminator(spec) for name in DISCRIMINATORS}
        self.networks = nn.ModuleDict(sides)
        self.averaged: tuple[str, ...] = GENERATORS
        self.translators = self.averaged
        self.task: Task | None = None  # a domain's images are the sources
        self.phases = config.phases
        self.constraints: Mapping[str, tuple[Constraint, ...]] = dict.fromkeys(DISCRIMINATORS, config.constraints)
        self.state: dict[str, Tensor] = {}
        self.augmenters = tuple(Augmenter(config.augment, self.state, f"_{side}") for side in SIDES)
        self.pools: dict[str, Tensor] = {}
        for side in SIDES if config.pool_size else ():
            self.pools[f"images_{side}"] = torch.zeros(config.pool_size, *self._shape)
            self.pools[f"filled_{side}"] = torch.zeros((), dtype=torch.long)
        self._fakes: list[Tensor] = []  # of domains A and B; the generators' phase leaves them for the discriminators'

    def phases_at(self, moment: Moment) -> tuple[Phase, ...]:
        """Return both phases."""
        return self.phases

    def loss(self, phase: Phase, batch: Batch, noise: Noise, moment: Moment) -> Terms:
        """Return the loss of the phase; images of A and B alternate in a batch."""
        domains = [
            Domain(
                index,
                batch.images[index::2],
                replace(noise, positions=noise.positions[index::2], batch_size=noise.batch_size // 2),
            )
            for index in range(2)
        ]
        if phase.name == "generators":
            return self._generator_terms(domains, moment)
        fakes, self._fakes = self._fakes or self._make_fakes(domains), []
        a, b = (self._discriminator_terms(domain, fakes[domain.index], moment) for domain in domains)
        mean = (a.log.pop("loss_discriminator_a") + b.log.pop("loss_discriminator_b")) / 2
        return Terms(a.total + b.total, {"loss_discriminator": mean, **a.log, **b.log})

    def translate(self, generator: nn.Module, source: Tensor) -> Tensor:
        """Return the translations (N, C, H, W) of images (N, C, H, W) by a generator; both in [-1, 1]."""
        return translated(generator, source, self.config.generator.value_range)

    def fixed(self, seed: int, count: int | None, data: ImageData) -> Fixed:
        """Return alternating images of A and B, held-out ones if there are any."""
        shown, count = data.held_out or data, count or GRID_IMAGES
        places, labels = np.empty(count, np.int64), np.arange(count) % 2
        for domain in range(2):
            members = np.flatnonzero(shown.labels == domain)
            members = members if len(members) else np.arange(len(shown))  # this domain has no held-out images
            order = members[epoch_order(derive_seed("preview", seed), domain, len(members))]
            places[domain::2] = np.resize(order, len(places[domain::2]))
        return Fixed(to_float(shown.read(places)), torch.from_numpy(labels), GRID_COLUMNS)

    def preview(self, networks: nn.ModuleDict, fixed: Fixed) -> Tensor:
        """Return pictures (N, C, H, 3 W) in [-1, 1]: an image, its translation, and the translation back."""
        assert fixed.labels is not None
        images, of_b = fixed.inputs, (fixed.labels == 1)[:, None, None, None]

        def other(now: Tensor, back: bool) -> Tensor:
            # Translate all images both ways: in a part of a batch an image would depend on the others.
            first, second = (networks[name] for name in (GENERATORS[::-1] if back else GENERATORS))
            return torch.where(of_b, self.translate(second, now), self.translate(first, now))

        there = other(images, back=False)
        return torch.cat([images, there, other(there, back=True)], 3)

    def example_inputs(self, count: int) -> dict[str, tuple[Tensor | None, ...]]:
        """Return example inputs of each network, on the default device, for the table of layers."""
        return {name: (torch.empty(count, *self._shape), None) for name in self.networks}

    def _generator_terms(self, domains: list[Domain], moment: Moment) -> Terms:
        cycle_weight = value_at(self.config.cycle_weight, moment)
        identity_weight = cycle_weight * value_at(self.config.identity_weight, moment)
        adversarial, log = [], {}
        fakes: list[Tensor] = []
        total = domains[0].images.new_zeros(())
        for here, there in (domains, domains[::-1]):
            side = SIDES[here.index]
            forth, back = self.networks[GENERATORS[here.index]], self.networks[GENERATORS[there.index]]
            fake = self.translate(forth, here.images)
            fakes.append(fake)
            adversarial.append(self._adversarial(there, fake, moment))
            cycle = (self.translate(back, fake) - here.images).abs().mean()
            log[f"cycle_{side}"] = cycle.detach()
            total = total + adversarial[-1] + cycle_weight * cycle
            if identity_weight:
                same = (self.translate(back, here.images) - here.images).abs().mean()
                log[f"identity_{side}"] = same.detach()
                total = total + identity_weight * same
        self._fakes = [fake.detach() for fake in reversed(fakes)]
        return Terms(total, {"loss_generator": (adversarial[0] + adversarial[1]).detach() / 2, **log})

    def _adversarial(self, domain: Domain, fake: Tensor, moment: Moment) -> Tensor:
        """Return the adversarial loss of a domain's fakes for the generator that makes them."""
        critic, real_logits = self._critic(domain, moment), None
        if self.config.loss.generator_needs_real:
            with torch.no_grad():
                real_logits = critic(domain.images).float()
        return self.config.loss.generator(real_logits, critic(fake).float())

    @torch.no_grad()
    def _make_fakes(self, domains: list[Domain]) -> list[Tensor]:
        """Return fakes of A and B."""
        return [self.translate(self.networks[GENERATORS[1 - each]], domains[1 - each].images) for each in range(2)]

    def _discriminator_terms(self, domain: Domain, fake: Tensor, moment: Moment) -> Terms:
        side = SIDES[domain.index]
        due = [penalty for penalty in self.config.penalties if penalty.due(moment)]
        real, fake = domain.images.detach(), self._through_pool(fake, side, domain.noise)
        require_gradients(due, real, fake)
        critic = self._critic(domain, moment)
        augmenter = self.augmenters[domain.index]
        with eagerly(due):
            scored = score_sides(critic, self.config.discriminator, real, fake)
            terms = discriminator_terms(self.config.loss, scored, due, critic, augmenter, domain.noise, moment)
        return Terms(terms.total, {f"{name}_{side}": value for name, value in terms.log.items()})

    def _critic(self, domain: Domain, moment: Moment) -> Critic:
        """Return a domain's discriminator with augmentation bound: images (kN, C, H, W) -> logits."""
        discriminator, value_range = self.networks[DISCRIMINATORS[domain.index]], self.config.discriminator.value_range

        def score(images: Tensor) -> Tensor:
            return discriminator(range_from_signed(images, value_range), None)

        return self.augmenters[domain.index].critic(score, domain.noise, "both", moment)

    def _through_pool(self, fake: Tensor, side: str, noise: Noise) -> Tensor:
        """Return as many fakes; when the pool is full, half of them are earlier ones, whose places new ones take."""
        out = fake.clone()
        if not self.config.pool_size:
            return out
        images, filled = self.pools[f"images_{side}"], self.pools[f"filled_{side}"]
        swapped = (noise.uniform("swapped") < 0.5).tolist()
        places = noise.uniform("places").mul(len(images)).long().tolist()
        used = int(filled)
        for row, place in enumerate(places):
            if used < len(images):
                images[used] = fake[row]
                used += 1
            elif swapped[row]:
                out[row] = images[place]
                images[place] = fake[row]
        filled.fill_(used)
        return out
