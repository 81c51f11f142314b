"""Run a super-resolution generator over images of any size, in tiles."""

import numpy as np
import torch
from torch import nn

from gansmith.core.errors import ModelError
from gansmith.imaging.images import MODES, to_float, to_levels
from gansmith.imaging.tiles import in_tiles
from gansmith.methods.base import Method
from gansmith.methods.capabilities import Translator, translates, upscales


def enlarging(method: Method, kind: str) -> Translator:
    """Return ``method`` if it upscales, else raise ModelError; ``kind`` is its name in recipes."""
    if not upscales(method):
        enlarges = translates(method) and method.task is not None and method.task.scale > 1
        suggestion = "gansmith translate MODEL IMAGES" if enlarges else "gansmith train photos/ --recipe srresnet"
        raise ModelError(
            "model.other_method",
            f"cannot upscale with a model of method '{kind}'; it needs 'super_resolution'\n  use: {suggestion}",
        )
    return method


def enlarge_image(method: Translator, generator: nn.Module, image: np.ndarray) -> np.ndarray:
    """Enlarge uint8 (H, W, C) to uint8 (scale H, scale W, C); ModelError for another number of channels.

    Large images are processed in overlapping tiles, which are smaller for a larger scale, so memory stays the same.
    """
    channels, scale = method.spec.channels, method.spec.scale
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != channels or not image.size:
        raise ModelError(
            "model.images_shape",
            f"images must be uint8 (N, H, W, {channels}): this model enlarges {MODES[channels]} images"
            f"\n  got an image of {image.dtype} {image.shape}",
        )
    device = next(generator.parameters()).device

    @torch.no_grad()
    def work(tile: np.ndarray) -> np.ndarray:
        source = to_float(tile[None].copy()).to(device).contiguous(memory_format=torch.channels_last)
        made = method.translate(generator, source)
        return to_levels(made[0])

    return in_tiles(image, 1, scale, work, channels, shrink=scale)
