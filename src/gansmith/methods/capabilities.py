"""The capabilities of a method: its config declares them, other packages ask for them."""

# A method with a capability has the members of the class that its function returns.

from collections.abc import Sequence
from typing import Protocol, TypeGuard, cast

from torch import Tensor, nn

from gansmith.core.noise import Noise
from gansmith.methods.base import Capabilities, Method
from gansmith.parts.networks.base import ImageSpec, Network
from gansmith.parts.tasks.base import Task


class LatentFields(Capabilities, Protocol):
    """The fields that the config of a ``LatentSampler`` has."""

    @property
    def generator(self) -> Network:
        """Return the part that builds the network ``generator``."""

    @property
    def discriminator(self) -> Network:
        """Return the part that builds the network ``discriminator``."""

    @property
    def latent_dim(self) -> int:
        """Return the number of dimensions of the latents."""

    @property
    def conditional(self) -> bool:
        """Say whether both networks have a label input."""


class LatentSampler(Method, Protocol):
    """A method whose ``fixed.inputs`` are latents (N, latent_dim), with labels (N,) if it has classes."""

    num_classes: int  # 0: images are made without labels

    @property
    def config(self) -> LatentFields:
        """Return its config."""

    def score(self, discriminator: nn.Module, images: Tensor, labels: Tensor | None) -> Tensor:
        """Return P(real) of images (N, C, H, W) in [-1, 1], or the raw score if the loss knows no probability."""


class Translator(Method, Protocol):
    """A method that makes images from images."""

    translators: Sequence[str]  # networks that make images: one, or there and back
    spec: ImageSpec  # of the first of them
    task: Task | None  # makes sources from images

    def translate(self, generator: nn.Module, source: Tensor) -> Tensor:
        """Return results (N, C, H, W) of sources (N, S, h, w), both in [-1, 1]."""


class SupervisedTranslator(Translator, Protocol):
    """A translator that learns from targets, so that its results can be compared with them."""

    def split(self, images: Tensor, noise: Noise) -> tuple[Tensor, Tensor]:
        """Return sources (N, S, h, w) and targets (N, C, H, W) of images of the data, both in [-1, 1]."""


def latent_fields(config: Capabilities) -> LatentFields | None:
    """Return a config with the fields of a ``LatentSampler``'s; None for a config of another method."""
    return cast(LatentFields, config) if config.samples_from_latents else None


def samples_from_latents(method: Method) -> TypeGuard[LatentSampler]:
    """Say whether models of a method make images from latents: sampling, latent tools and snapshots need it."""
    return method.config.samples_from_latents


def translates(method: Method) -> TypeGuard[Translator]:
    """Say whether models of a method turn images into others of the same size, or of the size that the task says."""
    return method.config.translates


def upscales(method: Method) -> TypeGuard[Translator]:
    """Say whether models of a method enlarge images of any size, ``spec.scale`` times."""
    return method.config.upscales


def has_targets(method: Method) -> TypeGuard[SupervisedTranslator]:
    """Say whether each source of a method has one right result, which evaluation compares with."""
    return method.config.has_targets


def reverses(method: Method) -> TypeGuard[Translator]:
    """Say whether a method has two translators, from the first of its ``domains`` to the second and back."""
    return method.config.reverses
