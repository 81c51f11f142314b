"""What a network is, and the few pieces that networks share."""

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal, TypeVar

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from gansmith.core.errors import RecipeError
from gansmith.core.registry import Part, PartOf, Registry
from gansmith.imaging.images import stages
from gansmith.parts.networks.instance_norm import InstanceNorm

ValueRange = Literal["signed", "unit"]  # images in [-1, 1] or in [0, 1]
Init = Literal["framework", "normal", "xavier"]
ModuleT = TypeVar("ModuleT", bound=nn.Module)
INIT_STD = 0.02


@dataclass(frozen=True)
class ImageSpec:
    """What a network must speak: images (N, channels, height, width), and what it is told."""

    height: int
    width: int
    channels: int
    num_classes: int = 0  # 0: not told of labels
    latent_dim: int = 0  # of a generator from noise
    source_channels: int = 0  # of a generator from images: those of its source images
    scale: int = 1  # of a generator that enlarges: its source images have 1 / scale of these sides


class Network(Part):
    """An architecture: a generator, a discriminator, or both. It builds plain single-device modules:

    generator: (latents (N, latent_dim), labels (N,) int64 or None) -> images (N, C, H, W) in ``value_range``
    discriminator: (images (N, C, H, W) in ``value_range``, labels (N,) int64 or None) -> logits (N,) or (N, 1, h, w);
        (N, num_classes), one for each label, of one that ``scores_labels`` and is told none

    One that ``translates`` takes source images (N, source_channels, H, W) in ``value_range`` in place of latents, of
    any sides that are multiples of its generator's attribute ``multiple``. One that ``enlarges`` too makes images of
    ``spec.scale`` times their sides.
    """

    translates: ClassVar[bool] = False
    enlarges: ClassVar[bool] = False
    bounded: ClassVar[bool] = True  # False: a generator's images may leave the range; they are clipped when shown
    takes_points: ClassVar[bool] = False  # True where images may be points in the plane, which have no neighbours
    mixes_labels: ClassVar[bool] = False  # True where labels may also be weights of classes, float (N, num_classes)
    scores_labels: ClassVar[bool] = False  # True where a discriminator built for labels scores them all if told none
    value_range: ValueRange = Field("signed", description="signed: tanh, [-1, 1]; unit: sigmoid, [0, 1]")
    init: Init = Field(
        "framework", description="framework: torch's; normal: normal(0, .02) as in DCGAN; xavier: Glorot's"
    )
    spectral_norm: bool = Field(False, description="divide each weight by its largest singular value")

    @property
    def has_batch_statistics(self) -> bool:
        """Say whether an image's output depends on the others of its batch while training."""
        return False

    def generator(self, spec: ImageSpec) -> nn.Module:
        """Return an initialised generator; RecipeError if there is none, or if it cannot speak the spec."""
        raise _without(self.kind, "generator")

    def discriminator(self, spec: ImageSpec) -> nn.Module:
        """Return an initialised discriminator; RecipeError if there is none, or if it cannot speak the spec."""
        raise _without(self.kind, "discriminator")


networks: Registry[Network] = Registry("network", "gansmith.parts.networks")


def networks_with(side: str) -> list[str]:
    """Return the names of the networks that have a ``generator`` or a ``discriminator``."""
    return [name for name in networks.names() if getattr(networks.get(name), side) is not getattr(Network, side)]


def networks_that(ability: Literal["translates", "enlarges", "scores_labels"]) -> str:
    """Return the names of the networks with an ability, for messages."""
    return ", ".join(name for name in networks.names() if getattr(networks.get(name), ability))


def _without(kind: str, side: str) -> RecipeError:
    return RecipeError(
        "recipe.network_without_side", f"network '{kind}' has no {side}\n  allowed: {', '.join(networks_with(side))}"
    )


NetworkField = Annotated[Network, PartOf(networks)]


def require_sources(spec: ImageSpec, kind: str, remedy: str) -> None:
    """Raise RecipeError where a generator that translates is asked for images from noise."""
    if not spec.source_channels:
        raise RecipeError(
            "recipe.generator_from_images",
            f"a {kind} makes images from images, and this method has none to give it"
            f"\n  use {remedy}, or another generator, for example dcgan",
        )


def start_map(spec: ImageSpec, kind: str) -> tuple[int, int, int]:
    """Return (rows, columns, doublings) of the map that a generator grows from; RecipeError where there is none."""
    found = stages(spec.height, spec.width)
    if found is None:
        raise RecipeError(
            "recipe.size_unfit_for_network",
            f"{kind} networks cannot make or judge {spec.height} x {spec.width} images"
            "\n  sides must be a start of 3 to 8, doubled equally; for example 28, 32, 48, 64, 96, 128 or 48x64;"
            " set it with size=",
        )
    return found


def signed_from(images: Tensor, value_range: ValueRange) -> Tensor:
    """Return images in [-1, 1] from a network's range, float32 whatever the forward pass was in."""
    return images.float() * 2 - 1 if value_range == "unit" else images.float()


def range_from_signed(images: Tensor, value_range: ValueRange) -> Tensor:
    """Return images in a network's range from [-1, 1]."""
    return (images + 1) / 2 if value_range == "unit" else images


def translated(generator: nn.Module, source: Tensor, value_range: ValueRange) -> Tensor:
    """Return images (N, C, H, W) in [-1, 1] that a generator makes of sources in [-1, 1]."""
    return signed_from(generator(range_from_signed(source, value_range), None), value_range)


def one_hot(labels: Tensor | None, num_classes: int) -> Tensor:
    """Return float32 (N, num_classes) of labels int64 (N,); weights of classes (N, num_classes) are what they are.

    Labels must be given to a network that was built for classes.
    """
    assert labels is not None, "this network was built for labels and got none"
    return labels if labels.is_floating_point() else nn.functional.one_hot(labels, num_classes).float()


def normed(norm: Literal["batch", "instance", "none"], channels: int) -> list[nn.Module]:
    """Return the norm of a map, if any."""
    if norm == "none":
        return []
    return [nn.BatchNorm2d(channels) if norm == "batch" else InstanceNorm(channels)]


def projected(logits: Tensor | float, seen: Tensor, embed: nn.Embedding, labels: Tensor | None) -> Tensor:
    """Return logits (N, 1) plus inner products of features (N, F) with the weights of their labels: (N,).

    Without labels with those of every label, (N, num_classes).
    Source: Miyato and Koyama 2018, arXiv:1802.05637, equation 3.
    """
    if labels is None:
        return logits + nn.functional.linear(seen, embed.weight)
    return (logits + (embed(labels) * seen).sum(1, keepdim=True)).flatten()


def with_label_planes(images: Tensor, labels: Tensor | None, num_classes: int) -> Tensor:
    """Return images (N, C + num_classes, H, W): labels beside them as constant planes, one-hot."""
    if not num_classes:
        return images
    planes = one_hot(labels, num_classes)[:, :, None, None].expand(-1, -1, *images.shape[2:])
    return torch.cat([images, planes.to(images.dtype)], 1)


def finish(network: ModuleT, config: Network) -> ModuleT:
    """Initialise a network as its config says, put spectral norms on, and return it.

    ``normal``: normal(0, .02), and 1 + normal(0, .02) for the weights of norms (Radford et al. 2016, arXiv:1511.06434,
    section 4; norms as in the authors' code). ``xavier``: uniform, variance 2 / (fan_in + fan_out), norms as they are
    (Glorot and Bengio 2010). Spectral norm: Miyato et al. 2018, arXiv:1802.05957, Algorithm 1.
    """
    for module in list(network.modules()):
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d | InstanceNorm):
            if config.init == "normal" and module.weight is not None:  # None: gains are another module's
                nn.init.normal_(module.weight, 1.0, INIT_STD)
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.Linear | nn.Conv2d | nn.ConvTranspose2d | nn.Embedding):
            _draw(module, config.init)
            if config.spectral_norm:
                spectral_norm(module)
    return network


def _draw(layer: nn.Linear | nn.Conv2d | nn.ConvTranspose2d | nn.Embedding, init: str) -> None:
    if init == "normal":
        nn.init.normal_(layer.weight, 0.0, INIT_STD)
    elif init == "xavier":
        nn.init.xavier_uniform_(layer.weight)
    if init in ("normal", "xavier") and isinstance(bias := getattr(layer, "bias", None), Tensor):
        nn.init.zeros_(bias)
