"""``gansmith directions``: the latent directions that change images most."""

from pathlib import Path
from typing import Annotated

import typer

from gansmith.cli.options import IMAGE_NUMBERS, AsJson, Device, Label, Plugin, Raw, Truncation, WeightsPath
from gansmith.cli.text import json_text, tell


def directions(
    model: WeightsPath,
    num: Annotated[int, typer.Option(metavar="N", help="Number of directions, strongest first.")] = 8,
    seeds: Annotated[str, typer.Option(metavar="IMAGE", help=f"Image in the middle column. {IMAGE_NUMBERS}.")] = "0",
    reach: Annotated[
        float, typer.Option(metavar="D", help="Distance of the outermost columns, in standard deviations.")
    ] = 6.0,
    label: Label = None,
    truncation: Truncation = None,
    raw: Raw = False,
    out: Annotated[Path, typer.Option(metavar="FILE", help="Figure, .png: one row per direction.")] = Path(
        "directions.png"
    ),
    device: Device = "auto",
    plugin: Plugin = None,
    as_json: AsJson = False,
) -> None:
    """Show the latent directions that change images most.

    They come from the weights of the generator's first layer, without labels.
    """
    from gansmith import api  # here: it imports torch, which takes seconds

    loaded = api.load_weights(model, "find directions", device, plugin or [])
    found = api.directions(loaded, num, seeds=seeds, reach=reach, label=label, truncation=truncation, raw=raw)
    written = found.sheet().save(out)
    tell(json_text({"out": str(written), "strengths": found.strengths.tolist()}) if as_json else written)
