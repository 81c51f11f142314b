"""What a network is, and the few pieces that networks share."""

from abc import abstractmethod
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal, TypeVar

from pydantic import Field
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from gansmith.registry import Part, PartOf, Registry

ValueRange = Literal["signed", "unit"]  # images in [-1, 1] or in [0, 1]
Init = Literal["framework", "normal"]
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


class Network(Part):
    """An architecture. It builds plain single-device modules:

    generator: (latents (N, latent_dim), labels (N,) int64 or None) -> images (N, C, H, W) in ``value_range``
    discriminator: (images (N, C, H, W) in ``value_range``, labels (N,) int64 or None) -> logits (N,) or (N, 1, h, w)
    """

    mixes_labels: ClassVar[bool] = False  # True where labels may also be weights of classes, float (N, num_classes)
    value_range: ValueRange = Field("signed", description="signed: tanh, [-1, 1]; unit: sigmoid, [0, 1]")
    init: Init = Field("framework", description="framework: torch's; normal: normal(0, .02) as in DCGAN")
    spectral_norm: bool = Field(False, description="divide each weight by its largest singular value")

    @property
    def has_batch_statistics(self) -> bool:
        """Say whether an image's output depends on the others of its batch while training."""
        return False

    @abstractmethod
    def generator(self, spec: ImageSpec) -> nn.Module:
        """Return an initialised generator; RecipeError if it cannot speak the spec."""

    @abstractmethod
    def discriminator(self, spec: ImageSpec) -> nn.Module:
        """Return an initialised discriminator; RecipeError if it cannot speak the spec."""


networks: Registry[Network] = Registry("network", "gansmith.networks")
NetworkField = Annotated[Network, PartOf(networks)]


def signed_from(images: Tensor, value_range: ValueRange) -> Tensor:
    """Return images in [-1, 1] from a network's range, float32 whatever the forward pass was in."""
    return images.float() * 2 - 1 if value_range == "unit" else images.float()


def range_from_signed(images: Tensor, value_range: ValueRange) -> Tensor:
    """Return images in a network's range from [-1, 1]."""
    return (images + 1) / 2 if value_range == "unit" else images


def one_hot(labels: Tensor | None, num_classes: int) -> Tensor:
    """Return float32 (N, num_classes) of labels int64 (N,); weights of classes (N, num_classes) are what they are.

    Labels must be given to a network that was built for classes.
    """
    assert labels is not None, "this network was built for labels and got none"
    return labels if labels.is_floating_point() else nn.functional.one_hot(labels, num_classes).float()


def finish(network: ModuleT, config: Network) -> ModuleT:
    """Initialise a network as its config says, put spectral norms on, and return it.

    ``normal``: normal(0, .02), and 1 + normal(0, .02) for the weights of norms (Radford et al. 2016, arXiv:1511.06434,
    section 4; norms as in the authors' code). Spectral norm: Miyato et al. 2018, arXiv:1802.05957, Algorithm 1.
    """
    for module in list(network.modules()):
        if not isinstance(module, nn.Linear | nn.Conv2d | nn.ConvTranspose2d | nn.BatchNorm1d | nn.BatchNorm2d):
            continue
        norm = isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d)
        if config.init == "normal":
            nn.init.normal_(module.weight, 1.0 if norm else 0.0, INIT_STD)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        if config.spectral_norm and not norm:
            spectral_norm(module)
    return network
