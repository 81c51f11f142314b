"""What an augmentation is."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Annotated, Protocol, TypeVar

from torch import Tensor

from gansmith.core.errors import RecipeError
from gansmith.core.randomness import Noise
from gansmith.core.registry import Part, PartOf, Registry
from gansmith.core.schedules import Moment

AugmentationT = TypeVar("AugmentationT", bound="Augmentation")


class Draws(Protocol):
    """The random numbers of one call: uniform in [0, 1), (N, *shape), different for every image and every name."""

    def __call__(self, name: str, *shape: int) -> Tensor:
        """Return the draws of a name."""


class Augmentation(Part):
    """A differentiable batched map of images, with its own draws for each image, applied inside the critic.

    Real and fake go through it alike, in the generator's phase too (Zhao et al. 2020, arXiv:2006.10738, eq. 4).
    """

    @abstractmethod
    def __call__(self, images: Tensor, draws: Draws, probability: Tensor | float = 1.0) -> Tensor:
        """Return images (N, C, H, W) in [-1, 1]; each operation is applied with ``probability``, 0-d: ADA's p.

        Of 3 or 4 channels the first three are colours, one is gray.
        """

    def geometric(self) -> "Augmentation":
        """Return what remains without changes of colour, for images of any channels; RecipeError if that is nothing."""
        return self

    @property
    def changes(self) -> bool:
        """Say whether the probability changes while training, so that the log has it."""
        return False

    def initial_state(self) -> dict[str, Tensor]:
        """Return what adapts while training: tensors of the method's ``state``, checkpointed and averaged there."""
        return {}

    def probability_at(self, state: Mapping[str, Tensor], moment: Moment) -> Tensor | float:
        """Return the probability at a moment, 0-d: fixed, scheduled, or what ``state`` has come to."""
        return 1.0

    def observe(self, state: Mapping[str, Tensor], margins: Tensor, noise: Noise, moment: Moment) -> None:
        """Learn how D judged this process's real images; changes the tensors of ``state`` in place.

        ``margins`` are D's logits of them less what is neither real nor fake to it: the loss's boundary, or the logits
        of the fakes that they were paired with. ``noise`` says which D step of which iteration it was, ``moment`` how
        many images D had been shown before that iteration.
        """


def without_color(augmentation: AugmentationT, policy: Sequence[str], others: str) -> AugmentationT:
    """Return an augmentation whose ``policy`` has a color, without it; RecipeError, naming others, if none is left."""
    rest = tuple(each for each in policy if each != "color")
    if not rest:
        raise RecipeError(
            "recipe.augmentation_without_color",
            f"here augmentation '{augmentation.kind}' moves pixels and leaves colours alone, and policy is color alone"
            f"\n  pass augment.policy=[{others}], or augment=null",
        )
    return augmentation.model_copy(update={"policy": rest})


augmentations: Registry[Augmentation] = Registry("augmentation", "gansmith.parts.augmentations")
AugmentationField = Annotated[Augmentation, PartOf(augmentations)]
