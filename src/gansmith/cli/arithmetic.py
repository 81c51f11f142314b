"""``gansmith arithmetic``: add and subtract mean latents of images."""

from pathlib import Path
from typing import Annotated

import typer

from gansmith.cli.options import IMAGE_NUMBERS, AsJson, Device, Label, ModelPath, Plugin, Raw, Truncation
from gansmith.cli.text import json_text, tell


def arithmetic(
    model: ModelPath,
    plus: Annotated[
        list[str] | None,
        typer.Option(metavar="IMAGES", help=f"Images whose mean latent is added; repeatable. {IMAGE_NUMBERS}."),
    ] = None,
    minus: Annotated[
        list[str] | None, typer.Option(metavar="IMAGES", help="Images whose mean latent is subtracted; repeatable.")
    ] = None,
    label: Label = None,
    truncation: Truncation = None,
    raw: Raw = False,
    out: Annotated[Path, typer.Option(metavar="FILE", help="Figure, .png; the latent is written beside it.")] = Path(
        "arithmetic.png"
    ),
    device: Device = "auto",
    plugin: Plugin = None,
    as_json: AsJson = False,
) -> None:
    """Add and subtract the mean latents of groups of images.

    Example: gansmith arithmetic MODEL --plus 3,5,8 --minus 1,2,4 --plus 7,9

    'gansmith sample MODEL --numbered' shows the numbers of the images.
    """
    from gansmith.inference.arithmetic import arithmetic  # here, and not api: an .onnx file needs no torch
    from gansmith.inference.open import load

    loaded = load(model, device, plugin or [])
    total = arithmetic(loaded, plus or [], minus or [], label=label, truncation=truncation, raw=raw)
    written, latent = total.save(out)
    tell(json_text({"out": str(written), "latent": str(latent)}) if as_json else written)
