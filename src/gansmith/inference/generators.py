"""Torch generators that make images from images, as ``translate`` and ``upscale`` use them."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from gansmith.core.errors import DataError
from gansmith.imaging.images import MODES
from gansmith.imaging.tensors import to_float, to_levels
from gansmith.inference.image_to_image import ImageToImage
from gansmith.methods.capabilities import Translator


def translating(method: Translator, generator: nn.Module, *, as_source: bool) -> ImageToImage:
    """Return the generator of a translator; ``as_source`` takes sources instead of images to make them from.

    Raises DataError for ``as_source`` if the task's sources are not images.
    """
    spec, task = method.spec, method.task
    takes_mask = task is not None and task.takes_mask
    if as_source and (spec.source_channels not in MODES or takes_mask):
        raise DataError(
            "data.no_source_image",
            f"--as-source: a model of task '{task.kind if task else None}' has no images as sources\n  leave it out",
        )

    def source_of(values: Tensor) -> Tensor:
        if task is None or as_source:
            return values
        return task.prepare(
            values[:, : spec.channels], (values[:, spec.channels :] > 0).float() if takes_mask else None
        )

    scale = 1 if task is None else task.scale
    return ImageToImage(
        _work(method, generator, source_of),
        spec.channels,
        spec.source_channels if as_source else spec.channels,
        scale,
        max(1, int(generator.multiple) // scale),  # type: ignore[arg-type]
        (spec.height // scale, spec.width // scale),
        takes_mask,
    )


def upscaling(method: Translator, generator: nn.Module) -> ImageToImage:
    """Return the generator of a method that upscales."""
    channels = method.spec.channels
    return ImageToImage(_work(method, generator, lambda values: values), channels, channels, method.spec.scale)


def _work(
    method: Translator, generator: nn.Module, source_of: Callable[[Tensor], Tensor]
) -> Callable[[np.ndarray], np.ndarray]:
    """Return the work on one tile; ``source_of`` makes sources of images (1, C, H, W) in [-1, 1]."""
    device = next(generator.parameters()).device

    @torch.no_grad()
    def work(tile: np.ndarray) -> np.ndarray:
        source = source_of(to_float(tile[None].copy()).to(device)).contiguous(memory_format=torch.channels_last)
        made = method.translate(generator, source)
        if tile.dtype == np.float32:
            return made[0].clamp(-1, 1).permute(1, 2, 0).cpu().numpy()
        return to_levels(made[0])

    return work
