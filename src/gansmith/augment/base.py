"""What an augmentation is."""

from abc import abstractmethod
from collections.abc import Mapping
from typing import Annotated, Protocol

from torch import Tensor

from gansmith.registry import Part, PartOf, Registry


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
        """Return images (N, C, H, W) in [-1, 1]; each operation is applied with ``probability``, 0-d: ADA's p."""

    def initial_state(self) -> dict[str, Tensor]:
        """Return what adapts while training: tensors of the method's ``state``, checkpointed and averaged there."""
        return {}

    def probability(self, state: Mapping[str, Tensor]) -> Tensor | float:
        """Return the probability that ``state`` says, 0-d."""
        return 1.0

    def observe(self, state: dict[str, Tensor], real_logits: Tensor, batch_size: int) -> None:
        """Take in D's logits of this process's real images, out of ``batch_size`` in the global batch."""


augmentations: Registry[Augmentation] = Registry("augmentation", "gansmith.augment")
AugmentationField = Annotated[Augmentation, PartOf(augmentations)]
