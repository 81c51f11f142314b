"""The base class of networks, shared helpers, and the registry of networks."""

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal, TypeVar

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.utils.parametrizations import _SpectralNorm
from torch.nn.utils.parametrize import register_parametrization

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
    """Sizes of a network's inputs and outputs; images are (N, channels, height, width)."""

    height: int
    width: int
    channels: int
    num_classes: int = 0  # 0: no label input
    latent_dim: int = 0  # for generators from noise
    source_channels: int = 0  # for generators from source images
    scale: int = 1  # for generators that enlarge: sources have 1 / scale of these sides


class Network(Part):
    """An architecture that builds a generator, a discriminator, or both, as plain single-device modules.

    generator: (latents (N, latent_dim), labels (N,) int64 or None) -> images (N, C, H, W) in ``value_range``
    discriminator: (images (N, C, H, W) in ``value_range``, labels (N,) int64 or None) -> logits (N,) or (N, 1, h, w)

    - ``translates``: the generator takes source images (N, source_channels, H, W) in ``value_range`` instead of
      latents. Their sides are multiples of the generator's attribute ``multiple``.
    - ``enlarges``: the generator's images have ``spec.scale`` times the sides of their sources.
    - ``scores_labels``: a discriminator with label input that is called without labels returns a logit for every label,
      (N, num_classes).
    """

    translates: ClassVar[bool] = False
    enlarges: ClassVar[bool] = False
    bounded: ClassVar[bool] = True  # False: images may leave the value range; they are clipped for display and files
    takes_points: ClassVar[bool] = False  # True if images may be points in the plane, which have no neighbours
    mixes_labels: ClassVar[bool] = False  # True if labels may also be class weights, float (N, num_classes)
    scores_labels: ClassVar[bool] = False  # True if D without labels returns a logit for every label
    value_range: ValueRange = Field("signed", description="signed: tanh, [-1, 1]; unit: sigmoid, [0, 1]")
    init: Init = Field(
        "framework",
        description="initial weights. framework: torch's; normal: normal(0, .02), as in DCGAN; xavier: Glorot",
    )
    spectral_norm: bool = Field(False, description="divide each weight by its largest singular value")

    @property
    def has_batch_statistics(self) -> bool:
        """Say whether, in training, an image's output depends on the other images of the batch."""
        return False

    def generator(self, spec: ImageSpec) -> nn.Module:
        """Return an initialised generator; RecipeError if there is none or it does not fit the spec."""
        raise _missing_side(self.kind, "generator")

    def discriminator(self, spec: ImageSpec) -> nn.Module:
        """Return an initialised discriminator; RecipeError if there is none or it does not fit the spec."""
        raise _missing_side(self.kind, "discriminator")

    def fault_in(self, method: str, result: Any, arguments: tuple[Any, ...]) -> str:
        """Return what is wrong with a network that a plugin's method returned."""
        if method in ("generator", "discriminator") and not isinstance(result, nn.Module):
            return f"returns a {type(result).__name__}, not a torch.nn.Module"
        return ""


networks: Registry[Network] = Registry("network", "gansmith.parts.networks")


def networks_with(side: str) -> list[str]:
    """Return the names of networks that have this side, ``generator`` or ``discriminator``."""
    return [name for name in networks.names() if getattr(networks.get(name), side) is not getattr(Network, side)]


def networks_that(ability: Literal["translates", "enlarges", "scores_labels"]) -> str:
    """Return the names of networks with an ability, separated by commas, for messages."""
    return ", ".join(name for name in networks.names() if getattr(networks.get(name), ability))


def _missing_side(kind: str, side: str) -> RecipeError:
    return RecipeError(
        "recipe.network_without_side", f"network '{kind}' has no {side}\n  allowed: {', '.join(networks_with(side))}"
    )


NetworkField = Annotated[Network, PartOf(networks)]


def require_sources(spec: ImageSpec, kind: str, suggestion: str) -> None:
    """Raise RecipeError if a generator that translates gets no source images."""
    if not spec.source_channels:
        raise RecipeError(
            "recipe.generator_from_images",
            f"generator '{kind}' makes images from source images, and this method has none"
            f"\n  use {suggestion}, or another generator, for example generator=dcgan",
        )


def start_map(spec: ImageSpec, kind: str) -> tuple[int, int, int]:
    """Return the smallest feature map (rows, columns) and the number of doublings up to the image.

    Raises RecipeError if doubling does not lead to the image's sides.
    """
    found = stages(spec.height, spec.width)
    if found is None:
        raise RecipeError(
            "recipe.size_unfit_for_network",
            f"network '{kind}' does not fit {spec.height} x {spec.width} images"
            "\n  sides must be multiples of one power of two, the shorter 3 to 8 times, such as 28, 64, 96, "
            "48x64 or 32x256; set them with size=",
        )
    return found


def signed_from(images: Tensor, value_range: ValueRange) -> Tensor:
    """Return images in [-1, 1] from a network's value range, as float32."""
    return images.float() * 2 - 1 if value_range == "unit" else images.float()


def range_from_signed(images: Tensor, value_range: ValueRange) -> Tensor:
    """Return images in a network's value range from images in [-1, 1]."""
    return (images + 1) / 2 if value_range == "unit" else images


def translated(generator: nn.Module, source: Tensor, value_range: ValueRange) -> Tensor:
    """Return the images (N, C, H, W) in [-1, 1] that a generator makes from sources in [-1, 1]."""
    return signed_from(generator(range_from_signed(source, value_range), None), value_range)


def one_hot(labels: Tensor | None, num_classes: int) -> Tensor:
    """Return labels int64 (N,) as float32 (N, num_classes); class weights (N, num_classes) are returned unchanged."""
    assert labels is not None, "this network has a label input but got no labels"
    return labels if labels.is_floating_point() else nn.functional.one_hot(labels, num_classes).float()


def normed(norm: Literal["batch", "instance", "none"], channels: int) -> list[nn.Module]:
    """Return the norm layer for a feature map in a list, which is empty for "none"."""
    if norm == "none":
        return []
    return [nn.BatchNorm2d(channels) if norm == "batch" else InstanceNorm(channels)]


def projected(logits: Tensor | float, features: Tensor, embed: nn.Embedding, labels: Tensor | None) -> Tensor:
    """Return logits (N, 1) plus the inner products of features (N, F) with the embeddings of their labels: (N,).

    Without labels the result has an entry for every label: (N, num_classes).
    Source: Miyato and Koyama 2018, arXiv:1802.05637, equation 3.
    """
    if labels is None:
        return logits + nn.functional.linear(features, embed.weight)
    return (logits + (embed(labels) * features).sum(1, keepdim=True)).flatten()


def with_label_planes(images: Tensor, labels: Tensor | None, num_classes: int) -> Tensor:
    """Return images (N, C + num_classes, H, W): one-hot labels are added as constant channels."""
    if not num_classes:
        return images
    planes = one_hot(labels, num_classes)[:, :, None, None].expand(-1, -1, *images.shape[2:])
    return torch.cat([images, planes.to(images.dtype)], 1)


def finish(network: ModuleT, config: Network) -> ModuleT:
    """Initialise a network as its config says, add spectral norms if wanted, and return it.

    ``normal``: normal(0, .02), and 1 + normal(0, .02) for weights of norm layers (Radford et al. 2016,
    arXiv:1511.06434, section 4; norm layers as in the authors' code). ``xavier``: uniform with variance
    2 / (fan_in + fan_out), norm layers unchanged (Glorot and Bengio 2010). Spectral norm: Miyato et al. 2018,
    arXiv:1802.05957, Algorithm 1.
    """
    for module in list(network.modules()):
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d | InstanceNorm):
            if config.init == "normal" and module.weight is not None:  # None: another module has the gains
                draw_normal_(module.weight, 1.0, INIT_STD)
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.Linear | nn.Conv2d | nn.ConvTranspose2d | nn.Embedding):
            _draw(module, config.init)
            if config.spectral_norm:
                dim = 1 if isinstance(module, nn.ConvTranspose2d) else 0  # of output channels
                register_parametrization(module, "weight", SpectralNorm(module.weight, dim=dim))
    return network


class SpectralNorm(_SpectralNorm):
    """The spectral norm of torch, without power iterations on the meta device, where they take seconds for nothing."""

    def _power_method(self, weight_mat: Tensor, n_power_iterations: int) -> None:
        if not weight_mat.is_meta:
            super()._power_method(weight_mat, n_power_iterations)


def _draw(layer: nn.Linear | nn.Conv2d | nn.ConvTranspose2d | nn.Embedding, init: str) -> None:
    if init == "normal":
        draw_normal_(layer.weight, 0.0, INIT_STD)
    elif init == "xavier":
        nn.init.xavier_uniform_(layer.weight)
    if init in ("normal", "xavier") and isinstance(bias := getattr(layer, "bias", None), Tensor):
        nn.init.zeros_(bias)


def draw_normal_(values: Tensor, mean: float, std: float) -> None:
    """Draw normal numbers in place; none on the meta device, where torch would import its compiler for them."""
    if not values.is_meta:
        nn.init.normal_(values, mean, std)


def standard_normal(*shape: int) -> Tensor:
    """Return standard normal numbers, the same ones as ``torch.randn``; on the meta device there are none."""
    values = torch.empty(shape)
    draw_normal_(values, 0.0, 1.0)
    return values
