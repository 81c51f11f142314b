"""``gansmith translate``: images translated by a trained model."""

from pathlib import Path
from typing import Annotated

import typer

from gansmith.cli.options import (
    AsJson,
    Continue,
    Device,
    Format,
    ImagePaths,
    ModelPath,
    PictureOut,
    Plugin,
    Quality,
    Raw,
    flag,
)
from gansmith.cli.text import json_text, tell
from gansmith.core.events import say
from gansmith.core.progress import ProgressPrinter


def translate(
    model: ModelPath,
    images: ImagePaths,
    out: PictureOut = Path("translated"),
    format: Format = None,
    quality: Quality = None,
    resume: Continue = False,
    mask: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="For inpainting: mask of the same size, white where pixels are missing."),
    ] = None,
    as_source: Annotated[
        bool, flag("--as-source", "IMAGES are sources already, such as edges: do not make sources from them.")
    ] = False,
    reverse: Annotated[bool, flag("--reverse", "After train --from A --to B: translate from B to A.")] = False,
    raw: Raw = False,
    device: Device = "auto",
    plugin: Plugin = None,
    as_json: AsJson = False,
) -> None:
    """Translate images: colour, sharpen, fill, or change style.

    MODEL is a model trained with --task, --pairs or --from.
    """
    from gansmith.inference.image_files import WriteOptions  # here, and not api: an .onnx file needs no torch
    from gansmith.inference.open import load
    from gansmith.inference.translate import translate_files

    loaded, options = load(model, device, plugin or []), WriteOptions(format, quality, resume)
    with ProgressPrinter() as progress:
        written = translate_files(
            loaded, images, out, options, mask=mask, as_source=as_source, reverse=reverse, raw=raw,
            on_left_out=lambda text: say(f"left out: {text}"), on_progress=progress.show,
        )  # fmt: skip
    for line in written.lines("translated"):
        say(line)
    tell(json_text(written.to_json()) if as_json else out)
