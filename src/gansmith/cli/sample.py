"""``gansmith sample``."""

import json
from pathlib import Path
from typing import Annotated

import typer


def sample(
    model: Annotated[
        Path, typer.Argument(metavar="MODEL", help="A run folder, a model folder or a .safetensors file.")
    ],
    count: Annotated[int, typer.Option("-n", "--num", help="How many images.")] = 64,
    seed: Annotated[int, typer.Option(help="Image i of a seed is the same whatever -n is.")] = 0,
    label: Annotated[str | None, typer.Option(help="One class, by name or number.")] = None,
    truncation: Annotated[float | None, typer.Option(help="Cut latents off at T deviations: tamer images.")] = None,
    raw: Annotated[bool, typer.Option("--raw", help="Use the weights without averaging.")] = False,
    out: Annotated[Path, typer.Option(help="grid.png, a folder, x.npz or x.zip.")] = Path("samples.png"),
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "auto",
    plugin: Annotated[list[Path] | None, typer.Option(help="A Python file with parts the model uses.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Make new images with a trained model."""
    from gansmith import api

    loaded = api.load(model, device, plugin or [])
    written = loaded.sample(count, seed=seed, label=label, truncation=truncation, raw=raw).save(out)
    print(json.dumps({"out": str(written), "count": count, "seed": seed}) if as_json else written)
