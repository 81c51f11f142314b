"""Translate images of any size with a paired or unpaired translation model."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from gansmith.core.errors import DataError, ModelError
from gansmith.imaging.images import MODES, to_float, to_levels
from gansmith.imaging.tiles import in_tiles
from gansmith.inference.image_files import (
    ImageLike,
    name_of,
    open_picture,
    pixels_of,
    refuse_large,
    with_alpha_of,
    write_pictures,
)
from gansmith.inference.model import Model
from gansmith.inference.samples import Picture
from gansmith.methods.capabilities import Translator, translates, upscales

LARGEST_PIXELS = 40_000_000  # of a result


def translate(
    model: Model,
    image: ImageLike,
    *,
    mask: ImageLike | None = None,
    as_source: bool = False,
    reverse: bool = False,
    raw: bool = False,
) -> Picture:
    """Translate an image file, or uint8 (H, W, C) with 1, 3 or 4 channels; the size stays, and so does alpha.

    The model's task prepares the source: colorize turns the image gray, edges finds its lines. ``as_source`` skips
    this for an image that is a source already. A task that enlarges returns 2 or 4 times the sides. ``mask``, a file or
    bool (H, W), is white or True where the image is missing. ``reverse`` translates from B to A with an unpaired model.
    Large images are processed in overlapping tiles. Raises ModelError for a model of another method, DataError for an
    image or mask that cannot be used.
    """
    method, name = translator_of(model, reverse)
    opened = open_picture(image)
    hole = _hole(method, mask, opened, image)
    generator, channels = model.network(f"{name}-raw" if raw else name), method.spec.channels
    scale, step = _scale_and_step(method, generator, opened, image)
    pixels = pixels_of(opened, _given_channels(method) if as_source else channels)
    if hole is not None:
        pixels = np.concatenate([pixels, (hole * np.uint8(255))[..., None]], axis=2)
    device = next(generator.parameters()).device

    @torch.no_grad()
    def work(tile: np.ndarray) -> np.ndarray:
        values = to_float(tile[None].copy()).to(device)
        source = values if as_source else _source_of(method, values)
        made = method.translate(generator, source.contiguous(memory_format=torch.channels_last))
        return to_levels(made[0])

    padded = _padded(pixels, step, method.spec.height // scale, method.spec.width // scale)
    made = in_tiles(padded, step, scale, work, channels)
    top, left = ((padded.shape[axis] - pixels.shape[axis]) // 2 * scale for axis in (0, 1))
    made = made[top : top + opened.height * scale, left : left + opened.width * scale]
    return Picture(with_alpha_of(opened, made))


def translate_files(
    model: Model,
    paths: Sequence[str | Path],
    out: str | Path,
    *,
    mask: str | Path | None = None,
    as_source: bool = False,
    reverse: bool = False,
    raw: bool = False,
    on_left_out: Callable[[str], None] = lambda _: None,
) -> list[Path]:
    """Translate image files and folders of them into a folder; see ``translate`` and ``write_pictures``."""
    translator_of(model, reverse)

    def make(file: Path) -> Picture:
        return translate(model, file, mask=mask, as_source=as_source, reverse=reverse, raw=raw)

    return write_pictures(paths, out, make, "translate", on_left_out)


def translator_of(model: Model, reverse: bool) -> tuple[Translator, str]:
    """Return a model's method and the generator's name for a direction; ModelError if the model lacks it."""
    if upscales(model.method):
        raise ModelError(
            "model.other_method",
            "cannot translate with a model of method 'super_resolution': it enlarges images"
            "\n  use: gansmith upscale MODEL IMAGES",
        )
    if not translates(model.method):
        raise ModelError(
            "model.other_method",
            f"cannot translate with a model of method '{model.record.method.kind}'; it needs 'paired' or 'unpaired'"
            "\n  train one: gansmith train photos/ --task colorize",
        )
    if reverse and not model.method.config.reverses:
        raise ModelError(
            "model.one_way",
            f"--reverse: a model of method '{model.record.method.kind}' translates in one direction only"
            "\n  to train both directions: gansmith train --from A --to B",
        )
    return model.method, model.method.translators[reverse]


def _scale_and_step(method: Translator, generator: nn.Module, opened: Image.Image, image: ImageLike) -> tuple[int, int]:
    """Return the scale of the result, and the step that sides must be multiples of; DataError for a bad size."""
    scale = 1 if method.task is None else method.task.scale
    multiple = int(generator.multiple)  # type: ignore[arg-type]
    if min(opened.size) * scale < multiple:
        raise DataError(
            "data.image_too_small_for_model",
            f"{name_of(image)} is {opened.width} x {opened.height} px, too small for this model"
            f"\n  at least {-(-multiple // scale)} px are needed on each side, because the generator shrinks sides "
            f"by a factor of {multiple}",
        )
    refuse_large(image, opened.height * scale, opened.width * scale, LARGEST_PIXELS)
    return scale, max(1, multiple // scale)


def _given_channels(method: Translator) -> int:
    """Return the number of channels of sources; DataError if the task's sources are not images."""
    channels, task = method.spec.source_channels, method.task
    if channels not in MODES or (task is not None and task.takes_mask):
        raise DataError(
            "data.no_source_image",
            f"--as-source: a model of task '{task.kind if task else None}' has no images as sources\n  leave it out",
        )
    return channels


def _source_of(method: Translator, values: Tensor) -> Tensor:
    """Return the task's sources of images in [-1, 1]; an additional last channel is above 0 where they are missing."""
    task, channels = method.task, method.spec.channels
    if task is None:
        return values
    return task.prepare(values[:, :channels], (values[:, channels:] > 0).float() if task.takes_mask else None)


def _hole(method: Translator, mask: ImageLike | None, opened: Image.Image, image: ImageLike) -> np.ndarray | None:
    """Return the mask, bool (H, W), True where the image is missing; None for a task without masks."""
    takes = method.task is not None and method.task.takes_mask
    if takes != (mask is not None):
        if takes:
            raise DataError(
                "data.mask_needed",
                "this model fills missing pixels: pass --mask, an image that is white where they are",
            )
        raise DataError(
            "data.mask_not_used",
            "--mask is for models of task 'inpaint'; this model translates whole images\n  leave it out",
        )
    if mask is None:
        return None
    hole = mask if isinstance(mask, np.ndarray) else np.asarray(open_picture(mask).convert("L")) >= 128
    if hole.shape != (opened.height, opened.width):
        raise DataError(
            "data.mask_size",
            f"{name_of(mask, 'mask')} is {hole.shape[1]} x {hole.shape[0]} px, {name_of(image)} is {opened.width} x "
            f"{opened.height} px"
            "\n  both must have the same size: white where the image is missing, black where it is known",
        )
    return hole.astype(bool)


def _padded(pixels: np.ndarray, step: int, height: int, width: int) -> np.ndarray:
    """Mirror pixels outwards to sides that are multiples of ``step`` and at least the size of training."""
    sides = [max(-(-now // step) * step, least) for now, least in zip(pixels.shape[:2], (height, width), strict=True)]
    more = [side - now for side, now in zip(sides, pixels.shape[:2], strict=True)]
    if not any(more):
        return pixels
    return np.pad(pixels, [*((each // 2, each - each // 2) for each in more), (0, 0)], mode="reflect")
