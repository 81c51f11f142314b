"""DiffAugment: random colour, translation and cutout on every image."""

from collections.abc import Callable
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from gansmith.parts.augmentations.base import Augmentation, Draws, augmentations, without_color

Operation = Literal["color", "translation", "cutout"]
OPERATIONS: tuple[Operation, ...] = ("color", "translation", "cutout")


@augmentations.register("diffaugment")
class DiffAugment(Augmentation):
    """Change brightness, saturation and contrast; shift by up to an eighth of each side; cut out a rectangle.

    color: x + U(-.5, .5); then m + U(0, 2) (x - m), m being the pixel's mean over its colours; then m + U(.5, 1.5)
    (x - m), m being the mean of the image.  translation: uniform, whole pixels; uncovered pixels become 0.
    cutout: a rectangle of half the height and width, with its centre anywhere in the image, becomes 0.

    Gray images have no saturation. A fourth channel (alpha) moves with the others but keeps its values.
    Source: Zhao et al. 2020, arXiv:2006.10738, section 3.2 and appendix A.
    Differs: none by default; with a probability below 1 each of the three operations is applied with that probability.
    """

    policy: tuple[Operation, ...] = Field(
        OPERATIONS, min_length=1, description="operations; large data sets need fewer"
    )

    def geometric(self) -> "DiffAugment":
        """Return a copy without color; RecipeError if nothing is left."""
        return without_color(self, self.policy, "translation,cutout")

    def __call__(self, images: Tensor, draws: Draws, probability: Tensor | float = 1.0) -> Tensor:
        """Return images of the same shape."""
        drawn = draws("diffaugment", 10, 1, 1, 1).to(images.dtype).split([4, 3, 3], 1)
        changes: tuple[Callable[..., Tensor], ...] = (_recolour, _shift, _cut)
        for name, change, numbers in zip(OPERATIONS, changes, drawn, strict=True):
            if name in self.policy:
                is_done, *rest = numbers.unbind(1)
                images = torch.where(is_done < probability, change(images, *rest), images)
        return images


def _recolour(images: Tensor, brightness: Tensor, saturation: Tensor, contrast: Tensor) -> Tensor:
    colours, alpha = images[:, :3], images[:, 3:]
    colours = colours + (brightness - 0.5)
    if colours.shape[1] == 3:
        gray = colours.mean(1, keepdim=True)
        colours = gray + 2 * saturation * (colours - gray)
    mean = colours.mean((1, 2, 3), keepdim=True)
    return torch.cat([mean + (contrast + 0.5) * (colours - mean), alpha], 1)


def _shift(images: Tensor, down: Tensor, right: Tensor) -> Tensor:
    """Shift by whole pixels, up to an eighth of the side, at least 1; ``down`` and ``right`` are draws in [0, 1)."""
    out = images
    for dim, draw in ((2, down), (3, right)):
        side = images.shape[dim]
        reach = max(1, round(side / 8))
        by = (draw.flatten() * (2 * reach + 1)).long() - reach
        places = torch.arange(side, device=images.device) - by[:, None]
        inside = (places >= 0) & (places < side)
        shape = (-1, 1, side, 1) if dim == 2 else (-1, 1, 1, side)
        index = places.clamp(0, side - 1).view(shape).expand_as(out)
        out = out.gather(dim, index) * inside.view(shape)
    return out


def _cut(images: Tensor, down: Tensor, right: Tensor) -> Tensor:
    inside = []
    for dim, draw in ((2, down), (3, right)):
        side = images.shape[dim]
        size = max(1, round(side / 2))
        first = (draw * side).floor() - size // 2  # the centre is uniform over the pixels
        places = torch.arange(side, device=images.device).view((1, 1, side, 1) if dim == 2 else (1, 1, 1, side))
        inside.append((places >= first) & (places < first + size))
    return images.masked_fill(inside[0] & inside[1], 0.0)
