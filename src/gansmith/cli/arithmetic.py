"""``gansmith arithmetic``."""

import json
from pathlib import Path
from typing import Annotated

import typer

from gansmith.cli.options import SEEDS, AsJson, Device, Label, ModelPath, Plugin, Raw, Truncation


def arithmetic(
    model: ModelPath,
    plus: Annotated[
        list[str] | None, typer.Option(help=f"Images whose mean is added; several times if wanted. {SEEDS}.")
    ] = None,
    minus: Annotated[list[str] | None, typer.Option(help="Images whose mean is taken away.")] = None,
    label: Label = None,
    truncation: Truncation = None,
    raw: Raw = False,
    out: Annotated[
        Path, typer.Option(help="The figure, .png; the sum's latent comes beside it as .latent.safetensors.")
    ] = Path("arithmetic.png"),
    device: Device = "auto",
    plugin: Plugin = None,
    as_json: AsJson = False,
) -> None:
    """Add and take away what groups of images have in common.

    For example --plus 3,5,8 --minus 1,2,4 --plus 7,9, with the numbers that gansmith sample MODEL --numbered shows.
    """
    from gansmith import api

    loaded = api.load(model, device, plugin or [])
    total = api.arithmetic(loaded, plus or [], minus or [], label=label, truncation=truncation, raw=raw)
    written, latent = total.save(out)
    print(json.dumps({"out": str(written), "latent": str(latent)}) if as_json else written)
