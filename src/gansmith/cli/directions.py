"""``gansmith directions``."""

import json
from pathlib import Path
from typing import Annotated

import typer

from gansmith.cli.options import SEEDS, AsJson, Device, Label, ModelPath, Plugin, Raw, Truncation


def directions(
    model: ModelPath,
    num: Annotated[int, typer.Option(help="How many, the strongest first.")] = 8,
    seeds: Annotated[str, typer.Option(help=f"The image in the middle. {SEEDS}.")] = "0",
    reach: Annotated[float, typer.Option(help="How far the outermost columns are, in standard deviations.")] = 6.0,
    label: Label = None,
    truncation: Truncation = None,
    raw: Raw = False,
    out: Annotated[Path, typer.Option(help="The sheet, .png: a row for each direction.")] = Path("directions.png"),
    device: Device = "auto",
    plugin: Plugin = None,
    as_json: AsJson = False,
) -> None:
    """Show the directions of the latent space that change images most, found without labels."""
    from gansmith import api

    loaded = api.load(model, device, plugin or [])
    found = api.directions(loaded, num, seeds=seeds, reach=reach, label=label, truncation=truncation, raw=raw)
    written = found.sheet().save(out)
    print(json.dumps({"out": str(written), "strengths": found.strengths.tolist()}) if as_json else written)
