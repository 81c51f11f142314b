"""What a task is: how a source image is made from its target."""

from abc import abstractmethod
from typing import Annotated, ClassVar

import torch
from torch import Tensor

from gansmith.core.errors import RecipeError
from gansmith.core.randomness import Noise
from gansmith.core.registry import Part, PartOf, Registry

LUMA = (0.299, 0.587, 0.114)  # of red, green and blue: ITU-R BT.601


class Task(Part):
    """A batched map from targets to sources: what is lost on the way is what a generator learns to put back.

    Images are float (N, C, H, W) in [-1, 1], and so are sources. Draws are those of the ``Noise`` that is given, one
    for each image, so the same noise makes the same sources.
    """

    scale: ClassVar[int] = 1  # a translation has this many times the sides of the image that a person gives
    takes_mask: ClassVar[bool] = False  # a person says what is missing

    def source_channels(self, channels: int) -> int:
        """Return the channels of sources of targets of so many; RecipeError for those that the task cannot be for."""
        return channels

    @abstractmethod
    def __call__(self, images: Tensor, noise: Noise) -> Tensor:
        """Return the sources (N, S, H, W) of targets (N, C, H, W)."""

    def of_given(self, images: Tensor, mask: Tensor | None = None) -> Tensor:
        """Return the sources (N, S, scale H, scale W) of images (N, C, H, W) that a person wants translated.

        They are the images themselves, unless the task says otherwise. ``mask`` (N, 1, H, W) is 1 where an image is
        missing, else 0.
        """
        return images

    def baseline(self, sources: Tensor, channels: int, mean: Tensor | None = None) -> tuple[str, Tensor]:
        """Return what one would use without a generator: its name, and images (N, channels, H, W) made of sources.

        It is the source itself, unless the task says otherwise. ``mean`` (channels,) is the mean colour of the training
        images, None where they are not at hand.
        """
        return "the source", viewable(sources, channels)

    def complete(self, results: Tensor, sources: Tensor) -> Tensor:
        """Return a generator's results with what the sources know for sure put back."""
        return results


tasks: Registry[Task] = Registry("task", "gansmith.parts.tasks")
TaskField = Annotated[Task, PartOf(tasks)]


def luminance(images: Tensor) -> Tensor:
    """Return (N, 1, H, W) of images with 1, 3 or 4 channels; alpha is left out."""
    if images.shape[1] == 1:
        return images
    return (images[:, :3] * images.new_tensor(LUMA)[:, None, None]).sum(1, keepdim=True)


def viewable(sources: Tensor, channels: int) -> Tensor:
    """Return sources (N, S, H, W) as images of so many channels, for pictures: gray ones are repeated."""
    if sources.shape[1] >= channels:
        return sources[:, :channels]
    gray = sources[:, :1].expand(-1, min(channels, 3), -1, -1)
    if channels < 4:
        return gray
    alpha = sources[:, 1:2] if sources.shape[1] == 2 else torch.ones_like(sources[:, :1])
    return torch.cat([gray, alpha], 1)


def without_colour(task: str) -> RecipeError:
    """Return the error of a task that needs colour."""
    return RecipeError(
        "recipe.task_needs_color",
        f"task '{task}' needs colour, and these images are gray"
        f"\n  pass another task, for example --task deblur; known: {', '.join(tasks.names())}",
    )
