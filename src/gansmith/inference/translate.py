"""Translate images of any size with a paired or unpaired translation model."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from gansmith.core.errors import DataError
from gansmith.core.events import OnProgress, silent
from gansmith.data.base import DataSpec
from gansmith.imaging.tiles import in_tiles
from gansmith.inference.base import TrainedModel
from gansmith.inference.image_files import (
    KEEP_FORMAT,
    ImageLike,
    WriteOptions,
    WrittenPictures,
    as_stored,
    name_of,
    open_picture,
    pixels_of,
    profile_of,
    read_as_values,
    refuse_large,
    with_alpha_of,
    write_pictures,
)
from gansmith.inference.image_to_image import ImageToImage
from gansmith.inference.samples import Picture, deep_picture

LARGEST_PIXELS = 40_000_000  # of a result


def translate(
    model: TrainedModel,
    image: ImageLike,
    *,
    mask: ImageLike | None = None,
    as_source: bool = False,
    reverse: bool = False,
    raw: bool = False,
    on_progress: OnProgress = silent,
) -> Picture:
    """Translate an image file, or uint8 (H, W, C) with 1, 3 or 4 channels; the size stays, and so does alpha.

    After pairs whose targets have N times longer sides, results are N times larger.
    The model's task prepares the source: colorize turns the image gray, edges finds its lines. ``as_source`` skips
    this for an image that is a source already. A task that enlarges returns 2 or 4 times the sides. The result is gray
    if all targets were that the model was trained on. ``mask``, a file or
    bool (H, W), is white or True where the image is missing. ``reverse`` translates from B to A with an unpaired model.
    Large images are processed in overlapping tiles, which ``on_progress`` counts. Raises ModelError for a model of
    another method, DataError for an image or mask that cannot be used.
    """
    generator = model.translator(reverse=reverse, as_source=as_source, raw=raw)
    if model.data.values is not None:
        return _translate_values(model.data, generator, image, mask)
    opened = open_picture(image, keep_profile=True)
    hole = _hole(generator, mask, opened.size, image)
    opened = _enlarged(opened, model.data, generator)
    _check_size(generator, opened.size, image)
    pixels = pixels_of(opened, generator.given_channels)
    if hole is not None:
        pixels = np.concatenate([pixels, (hole * np.uint8(255))[..., None]], axis=2)
    padded, scale = _padded(pixels, generator.step, *generator.least), generator.scale
    made = in_tiles(padded, generator.step, scale, generator.work, generator.channels, on_progress=on_progress)
    top, left = ((padded.shape[axis] - pixels.shape[axis]) // 2 * scale for axis in (0, 1))
    made = made[top : top + opened.height * scale, left : left + opened.width * scale]
    if model.data.gray_sides[0 if reverse else 1] and made.shape[2] == 3:
        made = made.mean(axis=2, keepdims=True).round().astype(np.uint8)
    return Picture(with_alpha_of(opened, made), profile_of(opened))


def _translate_values(data: DataSpec, generator: ImageToImage, image: ImageLike, mask: ImageLike | None) -> Picture:
    """Translate an image in the units of the data: an array (H, W, C) of these units, or a file that holds them."""
    assert data.values is not None
    source = data.source_meaning
    assert source is not None
    array = read_as_values(image)
    hole = _hole(generator, mask, array.shape[1::-1], image)
    times = _times(data, generator)
    array = array.repeat(times, axis=0).repeat(times, axis=1)
    _check_size(generator, array.shape[1::-1], image)
    pixels = as_stored(array, replace(source, depth="float"), generator.given_channels, name_of(image))
    if hole is not None:
        pixels = np.concatenate([pixels, hole.astype(np.float32)[..., None]], axis=2)
    padded, scale = _padded(pixels, generator.step, *generator.least), generator.scale
    made = in_tiles(padded, generator.step, scale, generator.work, generator.channels)
    top, left = ((padded.shape[axis] - pixels.shape[axis]) // 2 * scale for axis in (0, 1))
    made = made[top : top + array.shape[0] * scale, left : left + array.shape[1] * scale]
    return deep_picture(made, replace(data.values, depth="float"))


def translate_files(
    model: TrainedModel,
    paths: Sequence[str | Path],
    out: str | Path,
    options: WriteOptions = KEEP_FORMAT,
    *,
    mask: str | Path | None = None,
    as_source: bool = False,
    reverse: bool = False,
    raw: bool = False,
    on_left_out: Callable[[str], None] = silent,
    on_progress: OnProgress = silent,
) -> WrittenPictures:
    """Translate image files and folders of them; see ``translate`` and ``write_pictures``."""
    model.translator(reverse=reverse, as_source=as_source, raw=raw)  # fail before reading images

    def make(file: ImageLike) -> Picture:
        return translate(model, file, mask=mask, as_source=as_source, reverse=reverse, raw=raw)

    return write_pictures(paths, out, make, "translate", options, on_left_out=on_left_out, on_progress=on_progress)


def _times(data: DataSpec, generator: ImageToImage) -> int:
    """Return how often each pixel of a source is repeated, as in training on targets of larger sides."""
    return max(1, data.source_scale // generator.scale)


def _enlarged(opened: Image.Image, data: DataSpec, generator: ImageToImage) -> Image.Image:
    """Return an opened image at the scale of the targets, with its profile."""
    times = _times(data, generator)
    if times == 1:
        return opened
    large = opened.resize((opened.width * times, opened.height * times), Image.Resampling.NEAREST)
    large.info = opened.info
    return large


def _check_size(generator: ImageToImage, size: tuple[int, int], image: ImageLike) -> None:
    """Raise DataError for an image that is too small for the generator, or whose result would be too large."""
    (width, height), step, scale = size, generator.step, generator.scale
    if min(size) < step:
        raise DataError(
            "data.image_too_small_for_model",
            f"{name_of(image)} is {width} x {height} px, too small for this model"
            f"\n  at least {step} px are needed on each side, because the generator shrinks sides by a factor of "
            f"{step * scale}",
        )
    refuse_large(image, height * scale, width * scale, LARGEST_PIXELS)


def _hole(
    generator: ImageToImage, mask: ImageLike | None, size: tuple[int, int], image: ImageLike
) -> np.ndarray | None:
    """Return the mask, bool (H, W), True where the image is missing; None for a task without masks."""
    takes = generator.takes_mask
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
    if hole.shape != size[::-1]:
        raise DataError(
            "data.mask_size",
            f"{name_of(mask, 'mask')} is {hole.shape[1]} x {hole.shape[0]} px, {name_of(image)} is {size[0]} x "
            f"{size[1]} px"
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
