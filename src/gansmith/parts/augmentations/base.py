"""The base class of augmentations, and their registry."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Annotated, Protocol, TypeVar

from torch import Tensor

from gansmith.core.errors import RecipeError
from gansmith.core.noise import Noise
from gansmith.core.registry import Part, PartOf, Registry
from gansmith.core.schedules import Moment

AugmentationT = TypeVar("AugmentationT", bound="Augmentation")


class Draws(Protocol):
    """Random numbers for one call: uniform in [0, 1), different for every image and every name."""

    def __call__(self, name: str, *shape: int) -> Tensor:
        """Return (N, *shape) numbers for a name."""


class Augmentation(Part):
    """A differentiable batched map of images, applied to all inputs of the discriminator.

    Each image has its own random numbers. Real and fake images are augmented alike, also in the generator's phase (Zhao
    et al. 2020, arXiv:2006.10738, eq. 4).
    """

    @abstractmethod
    def __call__(self, images: Tensor, draws: Draws, probability: Tensor | float = 1.0) -> Tensor:
        """Return images (N, C, H, W) in [-1, 1]; each operation is applied with ``probability``, 0-d (p in ADA).

        One channel is gray; the first three of 3 or 4 channels are red, green and blue.
        """

    def geometric(self) -> "Augmentation":
        """Return a copy without changes of colour, for any number of channels; RecipeError if no operation is left."""
        return self

    @property
    def changes(self) -> bool:
        """Say whether the probability changes during training, and is therefore logged."""
        return False

    def initial_state(self) -> dict[str, Tensor]:
        """Return tensors that adapt during training; the method's ``state`` holds, saves and averages them."""
        return {}

    def probability_at(self, state: Mapping[str, Tensor], moment: Moment) -> Tensor | float:
        """Return the probability at a moment, 0-d: fixed, scheduled, or from ``state``."""
        return 1.0

    def observe(self, state: Mapping[str, Tensor], margins: Tensor, noise: Noise, moment: Moment) -> None:
        """Update the tensors of ``state`` in place from D's logits of this process's real images.

        ``margins`` are these logits minus the loss's boundary, or, for a loss without one, minus the logits of the
        paired fakes. ``noise`` identifies iteration and D step; ``moment`` says how many images D had seen before the
        iteration.
        """


def without_color(augmentation: AugmentationT, policy: Sequence[str], others: str) -> AugmentationT:
    """Return a copy whose ``policy`` lacks "color"; RecipeError, which suggests ``others``, if nothing is left."""
    rest = tuple(each for each in policy if each != "color")
    if not rest:
        raise RecipeError(
            "recipe.augmentation_without_color",
            f"augmentation '{augmentation.kind}' must not change colours with this recipe, but its policy is only color"
            f"\n  pass augment.policy=[{others}], or augment=null",
        )
    return augmentation.model_copy(update={"policy": rest})


augmentations: Registry[Augmentation] = Registry("augmentation", "gansmith.parts.augmentations")
AugmentationField = Annotated[Augmentation, PartOf(augmentations)]
