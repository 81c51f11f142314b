"""Task ``inpaint``: fill a hole in an image."""

from typing import ClassVar

import torch
from torch import Tensor

from gansmith.core.noise import Noise
from gansmith.parts.tasks.base import Task, tasks


@tasks.register("inpaint")
class Inpaint(Task):
    """The source is the image with zeros in a random rectangle of half its sides, and the mask as one more channel.

    The mask is 1 in the hole, else -1. Results keep the known pixels and take G's pixels in the hole, so G can lower
    its loss only there.
    Source: Pathak et al. 2016 (context encoders), arXiv:1604.07379, section 3.3: random and central quarters.
    Differs: no fully connected middle layer; one rectangle; G sees the mask.
    """

    takes_mask: ClassVar[bool] = True

    def source_channels(self, channels: int) -> int:
        """Return the image's channels and one for the mask."""
        return channels + 1

    def __call__(self, images: Tensor, noise: Noise) -> Tensor:
        """Return the images with holes, and their masks."""
        draws = noise.uniform("task/place", 2)
        inside = []
        for axis, side in enumerate(images.shape[2:]):
            hole = max(1, side // 2)
            first = (draws[:, axis : axis + 1] * (side - hole + 1)).floor()
            places = torch.arange(side, device=images.device)
            inside.append((places >= first) & (places < first + hole))
        mask = inside[0][:, None, :, None] & inside[1][:, None, None, :]
        return self.prepare(images, mask.to(images.dtype))

    def prepare(self, images: Tensor, mask: Tensor | None = None) -> Tensor:
        """Return images (N, C, H, W) with zeros where ``mask`` (N, 1, H, W) is 1, and the mask in [-1, 1]."""
        assert mask is not None, "takes_mask is set, so the caller passes a mask"
        return torch.cat([images * (1 - mask), 2 * mask - 1], 1)

    def baseline(self, sources: Tensor, channels: int, mean: Tensor | None = None) -> tuple[str, Tensor]:
        """Return the images, with each hole filled by the mean colour of its image's known pixels."""
        images, known = sources[:, :-1], (sources[:, -1:] <= 0).to(sources.dtype)
        colour = (images * known).sum((2, 3), keepdim=True) / known.sum((2, 3), keepdim=True).clamp(min=1)
        return "mean of the rest", self.complete(colour.expand_as(images), sources)

    def complete(self, results: Tensor, sources: Tensor) -> Tensor:
        """Return the results in the hole and the known pixels outside it."""
        return torch.where(sources[:, -1:] > 0, results, sources[:, :-1])
