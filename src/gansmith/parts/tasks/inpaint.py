"""A hole filled."""

from typing import ClassVar

import torch
from torch import Tensor

from gansmith.core.randomness import Noise
from gansmith.parts.tasks.base import Task, tasks


@tasks.register("inpaint")
class Inpaint(Task):
    """The source is the image with 0 in a rectangle of half its sides at a random place, and beside it the mask.

    The mask is 1 where the image is missing, else -1. Results are known pixels as they were, and what G makes in the
    hole: neither loss can be lowered outside of it.
    Source: Pathak et al. 2016 (context encoders), arXiv:1604.07379, section 3.3: random and central quarters.
    Differs: the paper's fully connected middle; one rectangle. G is told the mask.
    """

    takes_mask: ClassVar[bool] = True

    def source_channels(self, channels: int) -> int:
        """Return one more, for the mask."""
        return channels + 1

    def __call__(self, images: Tensor, noise: Noise) -> Tensor:
        """Return the images with holes, and masks."""
        draws = noise.uniform("task/place", 2)
        inside = []
        for axis, side in enumerate(images.shape[2:]):
            hole = max(1, side // 2)
            first = (draws[:, axis : axis + 1] * (side - hole + 1)).floor()
            places = torch.arange(side, device=images.device)
            inside.append((places >= first) & (places < first + hole))
        mask = inside[0][:, None, :, None] & inside[1][:, None, None, :]
        return self.of_given(images, mask.to(images.dtype))

    def of_given(self, images: Tensor, mask: Tensor | None = None) -> Tensor:
        """Return images (N, C, H, W) with 0 where ``mask`` (N, 1, H, W) is 1, and the mask in [-1, 1]."""
        assert mask is not None, "the caller asks for a mask"
        return torch.cat([images * (1 - mask), 2 * mask - 1], 1)

    def baseline(self, sources: Tensor, channels: int, mean: Tensor | None = None) -> tuple[str, Tensor]:
        """Return the images with the mean colour of what is known of each in its hole."""
        images, known = sources[:, :-1], (sources[:, -1:] <= 0).to(sources.dtype)
        colour = (images * known).sum((2, 3), keepdim=True) / known.sum((2, 3), keepdim=True).clamp(min=1)
        return "mean of the rest", self.complete(colour.expand_as(images), sources)

    def complete(self, results: Tensor, sources: Tensor) -> Tensor:
        """Return results in the hole and the images outside of it."""
        return torch.where(sources[:, -1:] > 0, results, sources[:, :-1])
