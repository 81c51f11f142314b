"""The base class of tasks, helpers for images, and the registry of tasks."""

from abc import abstractmethod
from typing import Annotated, ClassVar

import torch
from torch import Tensor

from gansmith.core.errors import RecipeError
from gansmith.core.noise import Noise
from gansmith.core.registry import Part, PartOf, Registry

LUMA = (0.299, 0.587, 0.114)  # of red, green and blue: ITU-R BT.601


class Task(Part):
    """A batched map from targets to sources; a generator learns to undo it.

    Targets and sources are float (N, C, H, W) in [-1, 1]. All random numbers come from the ``Noise`` argument, separate
    ones for each image, so the same noise makes the same sources.
    """

    scale: ClassVar[int] = 1  # sides of a translation divided by sides of the user's image
    takes_mask: ClassVar[bool] = False  # True if a user marks the missing pixels

    def source_channels(self, channels: int) -> int:
        """Return the channels of a source for ``channels`` of its target; RecipeError if the task cannot use them."""
        return channels

    @abstractmethod
    def __call__(self, images: Tensor, noise: Noise) -> Tensor:
        """Return the sources (N, S, H, W) of targets (N, C, H, W)."""

    def prepare(self, images: Tensor, mask: Tensor | None = None) -> Tensor:
        """Return sources (N, S, scale H, scale W) for images (N, C, H, W) that a user wants translated.

        By default these are the images themselves. ``mask`` (N, 1, H, W) is 1 for missing pixels, else 0.
        """
        return images

    def baseline(self, sources: Tensor, channels: int, mean: Tensor | None = None) -> tuple[str, Tensor]:
        """Return a result without a generator, for comparison: its name, and images (N, channels, H, W).

        By default this is the source itself. ``mean`` (channels,) is the mean colour of the training images, None if
        they are not available.
        """
        return "the source", viewable(sources, channels)

    def complete(self, results: Tensor, sources: Tensor) -> Tensor:
        """Return a generator's results, with pixels that the sources know copied into them."""
        return results


tasks: Registry[Task] = Registry("task", "gansmith.parts.tasks")
TaskField = Annotated[Task, PartOf(tasks)]


def luminance(images: Tensor) -> Tensor:
    """Return the luminance (N, 1, H, W) of images with 1, 3 or 4 channels; alpha is ignored."""
    if images.shape[1] == 1:
        return images
    return (images[:, :3] * images.new_tensor(LUMA)[:, None, None]).sum(1, keepdim=True)


def viewable(sources: Tensor, channels: int) -> Tensor:
    """Return sources (N, S, H, W) as images (N, channels, H, W) to look at: a gray channel is repeated."""
    if sources.shape[1] >= channels:
        return sources[:, :channels]
    gray = sources[:, :1].expand(-1, min(channels, 3), -1, -1)
    if channels < 4:
        return gray
    alpha = sources[:, 1:2] if sources.shape[1] == 2 else torch.ones_like(sources[:, :1])
    return torch.cat([gray, alpha], 1)


def without_colour(task: str) -> RecipeError:
    """Return the error for gray images in a task that needs colour."""
    return RecipeError(
        "recipe.task_needs_color",
        f"task '{task}' needs colour images, but these images are gray"
        f"\n  pass another task, for example --task deblur; known: {', '.join(tasks.names())}",
    )
