"""``gansmith invert``: the latent of an image; with a mask, inpainting."""

from pathlib import Path
from typing import Annotated

import typer

from gansmith.cli.options import AsJson, Device, Plugin, Raw, WeightsPath
from gansmith.cli.text import json_text, tell
from gansmith.core.events import say


def invert(
    model: WeightsPath,
    image: Annotated[
        Path, typer.Argument(metavar="IMAGE", help="An image file; it is cropped and resized to the model's size.")
    ],
    mask: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Fill in pixels: mask of the same size, white where they are missing."),
    ] = None,
    label: Annotated[
        str | None, typer.Option(metavar="CLASS", help="Class, by name or number; by default the search finds it.")
    ] = None,
    steps: Annotated[int, typer.Option(metavar="N", help="Steps of the search.", min=1)] = 200,
    seed: Annotated[int, typer.Option(metavar="N", help="Random seed of the start.", min=0)] = 0,
    raw: Raw = False,
    out: Annotated[
        Path,
        typer.Option(metavar="FILE", help="Figure (.png), with the latent beside it; or a folder for both."),
    ] = Path("inverted.png"),
    device: Device = "auto",
    plugin: Plugin = None,
    as_json: AsJson = False,
) -> None:
    """Find the latent of an image, or fill in its missing pixels.

    Walk on: gansmith interpolate MODEL --seeds inverted.latent.safetensors,9
    """
    from gansmith import api  # here: it imports torch, which takes seconds

    api.check_inversion_path(out)
    loaded = api.load_weights(model, "invert", device, plugin or [])
    found = api.invert(loaded, image, mask=mask, label=label, steps=steps, seed=seed, raw=raw, on_progress=say)
    written, latent = found.save(out)
    for line in found.lines():
        say(line)
    facts = {"psnr_db": found.psnr_db, "random_best_db": found.random_db[0], "random_mean_db": found.random_db[1]}
    result = {"out": str(written), "latent": str(latent), **facts, "label": found.label or None}
    tell(json_text(result) if as_json else written)
