"""Task ``colorize``: gray to colour."""

import torch
from torch import Tensor

from gansmith.core.noise import Noise
from gansmith.parts.tasks.base import Task, luminance, tasks, viewable, without_colour


@tasks.register("colorize")
class Colorize(Task):
    """The source is the luminance .299 R + .587 G + .114 B, with alpha if the image has it.

    A user's colour image is turned gray in the same way.
    Source: ITU-R BT.601; as a task Isola et al. 2017, arXiv:1611.07004, section 4.
    Differs: the paper's generator makes the two colour channels of Lab; here it makes red, green and blue.
    """

    def source_channels(self, channels: int) -> int:
        """Return 1, or 2 with alpha; RecipeError for gray images."""
        if channels == 1:
            raise without_colour(self.kind)
        return 2 if channels == 4 else 1

    def __call__(self, images: Tensor, noise: Noise) -> Tensor:
        """Return the luminance."""
        return self.prepare(images)

    def prepare(self, images: Tensor, mask: Tensor | None = None) -> Tensor:
        """Return luminance (N, 1, H, W), or (N, 2, H, W) with alpha."""
        gray = luminance(images)
        return torch.cat([gray, images[:, 3:]], 1) if images.shape[1] == 4 else gray

    def baseline(self, sources: Tensor, channels: int, mean: Tensor | None = None) -> tuple[str, Tensor]:
        """Return the gray image with the mean chroma of the training images; plain gray if ``mean`` is None.

        Mean chroma is closer to the targets than gray, so a generator must beat it.
        """
        gray = viewable(sources, channels)
        if mean is None:
            return "gray", gray
        colour = mean[None, :3, None, None].to(gray)
        tinted = (gray[:, :3] + colour - luminance(colour)).clamp(-1, 1)
        return "mean colour", torch.cat([tinted, gray[:, 3:]], 1)
