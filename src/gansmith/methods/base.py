"""What a method is: everything the training step asks of a training scheme."""

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, ClassVar, Protocol

from torch import Tensor, nn

from gansmith.core.randomness import Noise
from gansmith.core.registry import Part, PartOf, Registry
from gansmith.core.schedules import Moment
from gansmith.data.base import DataSpec, ImageData
from gansmith.data.batches import Batch
from gansmith.parts.constraints.base import Constraint


@dataclass(frozen=True)
class Phase:
    """A part of an iteration: which networks it trains, how often, and whether each repeat reads a new batch."""

    name: str
    trains: tuple[str, ...]
    repeats: int = 1
    reads_data: bool = True


@dataclass(frozen=True)
class Terms:
    """What a phase minimises, and what it tells: 0-d detached tensors, averaged into the log."""

    total: Tensor
    log: dict[str, Tensor]


@dataclass(frozen=True)
class Fixed:
    """Inputs drawn once before training and followed through it; ``columns`` is how the grid is laid out."""

    inputs: Tensor  # latents (N, latent_dim), or source images (N, C, H, W)
    labels: Tensor | None
    columns: int


class Capabilities(Protocol):
    """What trained models of a method can do: ``MethodConfig`` declares it, ``methods/capabilities.py`` types it."""

    samples_from_latents: ClassVar[bool]
    translates: ClassVar[bool]
    upscales: ClassVar[bool]
    has_targets: ClassVar[bool]
    reverses: ClassVar[bool]


class Method(Protocol):
    """A training scheme at work."""

    @property
    def config(self) -> Capabilities:
        """Return the config that built it."""

    networks: nn.ModuleDict  # everything trained
    averaged: tuple[str, ...]  # networks that have an EMA, which previews, samples and exports use
    phases: tuple[Phase, ...]  # its configuration's; as many of them read data in every iteration
    constraints: Mapping[str, tuple[Constraint, ...]]  # by network, applied after each of its optimizer steps
    state: dict[str, Tensor]  # ADA's p, running means: checkpointed, floats averaged over processes after each phase
    pools: dict[str, Tensor]  # image pools: checkpointed, each process's own; contiguous in memory, as state is

    def phases_at(self, moment: Moment) -> tuple[Phase, ...]:
        """Return the phases of one iteration: ``phases``, or those of them that are trained now."""

    def loss(self, phase: Phase, batch: Batch, noise: Noise, moment: Moment) -> Terms:
        """Return what the phase minimises; only the networks it trains require gradients."""

    def example_inputs(self, count: int) -> dict[str, tuple[Tensor | None, ...]]:
        """Return what each network is called with, for the table of layer shapes."""

    def fixed(self, seed: int, count: int | None, data: ImageData) -> Fixed:
        """Return the inputs of previews; ``count`` None leaves it to the method."""

    def preview(self, networks: nn.ModuleDict, fixed: Fixed) -> Tensor:
        """Return images (N, C, H, W) in [-1, 1] made by networks in evaluation mode, or rows of some (N, C, H, kW)."""


class MethodConfig(Part):
    """A training scheme as a recipe writes it, and what its trained models can do: see ``methods/capabilities.py``."""

    samples_from_latents: ClassVar[bool] = False  # images are made from latents: sample, interpolate, snapshots, ...
    translates: ClassVar[bool] = False  # from images: translate
    upscales: ClassVar[bool] = False  # from smaller images of any size: upscale
    has_targets: ClassVar[bool] = False  # sources are made from targets, which results are compared with
    reverses: ClassVar[bool] = False  # there are translators to the second of ``domains``, and back
    domains: ClassVar[tuple[str, ...]] = ()  # classes that the data must have and that take turns in every batch

    @property
    @abstractmethod
    def phases(self) -> tuple[Phase, ...]:
        """Return the phases of an iteration, in order; known without any network."""

    @abstractmethod
    def build(self, data: DataSpec) -> Method:
        """Return the method with freshly initialised networks; RecipeError for parts that do not fit."""

    def sources(self) -> str:
        """Describe the images that a translator starts from, for the protocol of an evaluation."""
        return ""


methods: Registry[MethodConfig] = Registry("method", "gansmith.methods")


def verb_of(kind: str) -> str:
    """Return the command that makes images with models of a method; ``sample`` if the method is unknown."""
    config = methods.get(kind) if kind in methods.names() else MethodConfig
    return "upscale" if config.upscales else "translate" if config.translates else "sample"


MethodField = Annotated[MethodConfig, PartOf(methods)]
