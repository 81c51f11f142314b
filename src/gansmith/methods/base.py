"""The interface of training methods, and their registry."""

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, ClassVar, Protocol

from torch import Tensor, nn

from gansmith.core.noise import Noise
from gansmith.core.registry import Part, PartOf, Registry
from gansmith.core.schedules import Moment
from gansmith.data.base import DataSpec, ImageData
from gansmith.data.batches import Batch
from gansmith.parts.constraints.base import Constraint


@dataclass(frozen=True)
class Phase:
    """A part of an iteration that trains some of the networks."""

    name: str
    trains: tuple[str, ...]  # names of the networks
    repeats: int = 1  # optimizer steps
    reads_data: bool = True  # each repeat gets a new batch; otherwise the last batch


@dataclass(frozen=True)
class Terms:
    """The loss of a phase, and values for the log."""

    total: Tensor  # 0-d, to be minimised
    log: dict[str, Tensor]  # 0-d, detached; the log has their means


@dataclass(frozen=True)
class Fixed:
    """Fixed inputs of previews, drawn once before training."""

    inputs: Tensor  # latents (N, latent_dim), or source images (N, C, H, W)
    labels: Tensor | None  # (N,), or None without label input
    columns: int  # of the grid of images


class Capabilities(Protocol):
    """What trained models of a method can do: ``MethodConfig`` declares it, ``methods/capabilities.py`` types it."""

    samples_from_latents: ClassVar[bool]
    translates: ClassVar[bool]
    upscales: ClassVar[bool]
    has_targets: ClassVar[bool]
    reverses: ClassVar[bool]


class Method(Protocol):
    """A training method with its networks."""

    @property
    def config(self) -> Capabilities:
        """Return the config that built it."""

    networks: nn.ModuleDict  # all networks that are trained
    averaged: tuple[str, ...]  # networks with an EMA, which previews, samples and exports use
    phases: tuple[Phase, ...]  # the same as the config's
    constraints: Mapping[str, tuple[Constraint, ...]]  # by network, applied after each of its optimizer steps
    # ADA's p, running means, ...: saved in checkpoints; floats are averaged over processes after each phase. Tensors of
    # state and pools are contiguous.
    state: dict[str, Tensor]
    pools: dict[str, Tensor]  # image pools: saved in checkpoints, separate for each process

    def phases_at(self, moment: Moment) -> tuple[Phase, ...]:
        """Return the phases of an iteration: all of ``phases``, or the ones that train now."""

    def loss(self, phase: Phase, batch: Batch, noise: Noise, moment: Moment) -> Terms:
        """Return the loss of a phase; only networks that the phase trains require gradients."""

    def example_inputs(self, count: int) -> dict[str, tuple[Tensor | None, ...]]:
        """Return example inputs of each network, for the table of layers."""

    def fixed(self, seed: int, count: int | None, data: ImageData) -> Fixed:
        """Return the inputs of previews; with ``count`` None the method chooses how many."""

    def preview(self, networks: nn.ModuleDict, fixed: Fixed) -> Tensor:
        """Return images (N, C, H, W) in [-1, 1], or rows of k images (N, C, H, k W), by networks in evaluation mode."""


class MethodConfig(Part):
    """The settings of a training method in a recipe, and the capabilities of its trained models.

    ``methods/capabilities.py`` has the members that a method with a capability must have.
    """

    samples_from_latents: ClassVar[bool] = False  # makes images from latents: sample, interpolate, snapshots, ...
    translates: ClassVar[bool] = False  # makes images from images: translate
    upscales: ClassVar[bool] = False  # makes images from smaller images of any size: upscale
    has_targets: ClassVar[bool] = False  # its results can be compared with targets
    reverses: ClassVar[bool] = False  # translates to the second of ``domains``, and back
    domains: ClassVar[tuple[str, ...]] = ()  # classes that the data must have; every batch has equally many of each

    @property
    @abstractmethod
    def phases(self) -> tuple[Phase, ...]:
        """Return the phases of an iteration in order, without building networks."""

    @abstractmethod
    def build(self, data: DataSpec) -> Method:
        """Return the method with newly initialised networks; RecipeError for parts that do not fit."""

    def sources(self) -> str:
        """Describe the source images of a translator, for the protocol of an evaluation."""
        return ""


methods: Registry[MethodConfig] = Registry("method", "gansmith.methods")


def verb_of(kind: str) -> str:
    """Return the command that makes images with models of a method; ``sample`` if the method is unknown."""
    config = methods.get(kind) if kind in methods.names() else MethodConfig
    return "upscale" if config.upscales else "translate" if config.translates else "sample"


MethodField = Annotated[MethodConfig, PartOf(methods)]
