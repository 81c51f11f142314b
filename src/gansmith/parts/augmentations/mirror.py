"""Random horizontal flips."""

import torch
from pydantic import Field
from torch import Tensor

from gansmith.parts.augmentations.base import Augmentation, Draws, augmentations


@augmentations.register("mirror")
class Mirror(Augmentation):
    """Flip images left to right, with probability ``share`` times the augmentation's probability.

    Source: Karras et al. 2020 (ADA), arXiv:2006.06676, appendix B, x-flip.
    Differs: none. With ``share`` below 1/2 the generator does not learn flips that the data lack.
    """

    share: float = Field(0.5, ge=0, le=1, description="share of images that are flipped")

    def __call__(self, images: Tensor, draws: Draws, probability: Tensor | float = 1.0) -> Tensor:
        """Return images of the same shape."""
        flipped = draws("mirror", 1, 1, 1) < self.share * probability
        return torch.where(flipped, images.flip(3), images)
