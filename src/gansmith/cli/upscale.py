"""``gansmith upscale``: larger images from a super-resolution model."""

from pathlib import Path

from gansmith.cli.options import AsJson, Device, ImagePaths, ModelPath, Plugin, PngFolder, Raw
from gansmith.cli.text import json_text
from gansmith.core.events import say


def upscale(
    model: ModelPath,
    images: ImagePaths,
    out: PngFolder = Path("upscaled"),
    raw: Raw = False,
    device: Device = "auto",
    plugin: Plugin = None,
    as_json: AsJson = False,
) -> None:
    """Make images two or four times larger.

    MODEL is a model trained with --recipe srresnet or srgan.
    """
    from gansmith.inference.open import load  # here, and not api: an .onnx file needs no torch
    from gansmith.inference.upscale import upscale_files

    loaded = load(model, device, plugin or [])
    written = upscale_files(loaded, images, out, raw=raw, on_left_out=lambda text: say(f"left out: {text}"))
    print(json_text({"out": str(out), "files": [str(path) for path in written]}) if as_json else out)
