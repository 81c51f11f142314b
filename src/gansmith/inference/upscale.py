"""Images of any size made larger by a model that learnt to."""

from collections.abc import Callable, Sequence
from pathlib import Path

from gansmith.inference.image_files import (
    ImageLike,
    open_picture,
    pixels_of,
    refuse_large,
    under_alpha_of,
    write_pictures,
)
from gansmith.inference.model import Model
from gansmith.inference.samples import Picture
from gansmith.inference.tiled_upscaling import enlarge_image, enlarging

LARGEST_PIXELS = 200_000_000  # of a result: about 2 GB of memory while it is written


def upscale(model: Model, image: ImageLike, *, raw: bool = False) -> Picture:
    """Return an image file, or uint8 (H, W, C) with 1, 3 or 4 channels, at the model's scale times its sides.

    Large images go through the generator in tiles that fade into each other. Alpha is enlarged by bicubic
    interpolation, unless the model learnt it. Raises ModelError for a model that does not enlarge, DataError for what
    cannot be used.
    """
    method = enlarging(model.method, model.record.method.kind)
    generator, scale = model.network("generator-raw" if raw else "generator"), method.spec.scale
    opened = open_picture(image)
    refuse_large(image, opened.height * scale, opened.width * scale, LARGEST_PIXELS)
    made = enlarge_image(method, generator, pixels_of(opened, method.spec.channels))
    return Picture(under_alpha_of(opened, made))


def upscale_files(
    model: Model,
    paths: Sequence[str | Path],
    out: str | Path,
    *,
    raw: bool = False,
    on_left_out: Callable[[str], None] = lambda _: None,
) -> list[Path]:
    """Write image files, or folders of them, made larger into a new or empty folder; see ``write_pictures``."""
    enlarging(model.method, model.record.method.kind)  # before anything is read
    return write_pictures(paths, out, lambda file: upscale(model, file, raw=raw), "upscale", on_left_out)
