"""``gansmith sample``."""

import json
from pathlib import Path
from typing import Annotated

import typer

from gansmith.cli.options import SEEDS, AsJson, Device, Label, ModelPath, Plugin, Raw, Truncation


def sample(
    model: ModelPath,
    count: Annotated[int, typer.Option("-n", "--num", help="How many images.")] = 64,
    seed: Annotated[int, typer.Option(help="Image i of a seed is the same whatever -n is.")] = 0,
    seeds: Annotated[str | None, typer.Option(help=f"These images, in place of -n and --seed. {SEEDS}.")] = None,
    label: Label = None,
    truncation: Truncation = None,
    raw: Raw = False,
    out: Annotated[Path, typer.Option(help="grid.png, a folder, x.npz or x.zip.")] = Path("samples.png"),
    numbered: Annotated[
        bool, typer.Option("--numbered", help="Write the numbers that --seeds understands below the images.")
    ] = False,
    device: Device = "auto",
    plugin: Plugin = None,
    as_json: AsJson = False,
) -> None:
    """Make new images with a trained model."""
    from gansmith import api

    loaded = api.load(model, device, plugin or [])
    if seeds is None:
        made = loaded.sample(count, seed=seed, label=label, truncation=truncation, raw=raw)
    else:
        made = api.pick(loaded, seeds, label=label, truncation=truncation, raw=raw)
    written = made.save(out, numbered=numbered)
    told = {"count": count, "seed": seed} if seeds is None else {"count": len(made), "seeds": made.names}
    print(json.dumps({"out": str(written), **told}) if as_json else written)
