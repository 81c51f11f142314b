"""``gansmith invert``."""

import json
from pathlib import Path
from typing import Annotated

import typer

from gansmith.cli.options import AsJson, Device, ModelPath, Plugin, Raw
from gansmith.events import say


def invert(
    model: ModelPath,
    image: Annotated[Path, typer.Argument(metavar="IMAGE", help="An image file; cut and resized to the model's size.")],
    mask: Annotated[
        Path | None, typer.Option(help="An image of the same size, white where IMAGE is missing: this is filled in.")
    ] = None,
    label: Annotated[str | None, typer.Option(help="One class, by name or number; else it is found.")] = None,
    steps: Annotated[int, typer.Option(help="How long to search.", min=1)] = 200,
    seed: Annotated[int, typer.Option(help="Decides where the search starts.", min=0)] = 0,
    raw: Raw = False,
    out: Annotated[
        Path,
        typer.Option(help="The pictures side by side, .png, and their latent in .latent.safetensors; or a folder."),
    ] = Path("inverted.png"),
    device: Device = "auto",
    plugin: Plugin = None,
    as_json: AsJson = False,
) -> None:
    """Find the latent whose image is nearest to an image; with a mask, fill what is missing.

    The latent can be walked from: gansmith interpolate MODEL --seeds inverted.latent.safetensors,9
    """
    from gansmith import api

    api.check_place(out)
    loaded = api.load(model, device, plugin or [])
    found = api.invert(loaded, image, mask=mask, label=label, steps=steps, seed=seed, raw=raw, on_progress=say)
    written, latent = found.save(out)
    for line in found.lines():
        say(line)
    facts = {"psnr_db": found.psnr_db, "random_best_db": found.random_db[0], "random_mean_db": found.random_db[1]}
    told = {"out": str(written), "latent": str(latent), **facts, "label": found.label or None}
    print(json.dumps(told) if as_json else written)
