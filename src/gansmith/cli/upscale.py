"""``gansmith upscale``: larger images from a super-resolution model."""

from pathlib import Path

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
)
from gansmith.cli.text import json_text, tell
from gansmith.core.events import say
from gansmith.core.progress import ProgressPrinter


def upscale(
    model: ModelPath,
    images: ImagePaths,
    out: PictureOut = Path("upscaled"),
    format: Format = None,
    quality: Quality = None,
    resume: Continue = False,
    raw: Raw = False,
    device: Device = "auto",
    plugin: Plugin = None,
    as_json: AsJson = False,
) -> None:
    """Make images two or four times larger.

    MODEL is a model trained with --recipe srresnet or srgan.
    """
    from gansmith.inference.image_files import WriteOptions  # here, and not api: an .onnx file needs no torch
    from gansmith.inference.open import load
    from gansmith.inference.upscale import upscale_files

    loaded, options = load(model, device, plugin or []), WriteOptions(format, quality, resume)
    with ProgressPrinter() as progress:
        written = upscale_files(
            loaded, images, out, options, raw=raw,
            on_left_out=lambda text: say(f"left out: {text}"), on_progress=progress.show,
        )  # fmt: skip
    for line in written.lines("upscaled"):
        say(line)
    tell(json_text(written.to_json()) if as_json else out)
