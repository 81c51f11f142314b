"""Upscale images of any size with a super-resolution model."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from gansmith.core.events import OnProgress, silent
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
from gansmith.inference.samples import Picture, deep_picture

LARGEST_PIXELS = 200_000_000  # of a result: about 2 GB of memory while it is written


def upscale(model: TrainedModel, image: ImageLike, *, raw: bool = False, on_progress: OnProgress = silent) -> Picture:
    """Enlarge an image file, or uint8 (H, W, C) with 1, 3 or 4 channels, by the model's scale.

    Large images are processed in overlapping tiles, which ``on_progress`` counts. Alpha is resized bicubically, unless
    the model was trained with 4 channels. Raises ModelError for a model that does not upscale, DataError for an image
    that cannot be used.
    """
    generator = model.upscaler(raw=raw)
    if model.data.values is not None:
        meaning, array = replace(model.data.values, depth="float"), read_as_values(image)
        refuse_large(image, array.shape[0] * generator.scale, array.shape[1] * generator.scale, LARGEST_PIXELS)
        pixels = as_stored(array, meaning, generator.given_channels, name_of(image))
        return deep_picture(generator.enlarge(pixels), meaning)
    opened = open_picture(image, keep_profile=True)
    refuse_large(image, opened.height * generator.scale, opened.width * generator.scale, LARGEST_PIXELS)
    made = generator.enlarge(pixels_of(opened, generator.given_channels), on_progress)
    return Picture(with_alpha_of(opened, made), profile_of(opened))


def upscale_files(
    model: TrainedModel,
    paths: Sequence[str | Path],
    out: str | Path,
    options: WriteOptions = KEEP_FORMAT,
    *,
    raw: bool = False,
    on_left_out: Callable[[str], None] = silent,
    on_progress: OnProgress = silent,
) -> WrittenPictures:
    """Upscale image files and folders of them; see ``write_pictures``."""
    model.upscaler(raw=raw)  # fail before reading images

    def make(file: ImageLike) -> Picture:
        return upscale(model, file, raw=raw)

    return write_pictures(paths, out, make, "upscale", options, on_left_out=on_left_out, on_progress=on_progress)
