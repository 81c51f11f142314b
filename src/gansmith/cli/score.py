"""``gansmith score``: how usual images are for a trained model."""

from typing import Annotated, Any

import typer

from gansmith.cli.options import AsJson, Device, ImagePaths, Plugin, WeightsPath
from gansmith.cli.text import json_text


def score(
    model: WeightsPath,
    images: ImagePaths,
    label: Annotated[str | None, typer.Option(metavar="CLASS", help="Class of the images, by name or number.")] = None,
    how: Annotated[str, typer.Option(metavar="METHOD", help="discriminator or inversion.")] = "discriminator",
    device: Device = "auto",
    plugin: Plugin = None,
    as_json: AsJson = False,
) -> None:
    """Score how typical images are for the model; low means unusual.

    --how discriminator: probability that an image is real, or the critic's score.
    --how inversion: PSNR in dB of the nearest image that the model makes; slow.
    """
    from gansmith import api  # here: it imports torch, which takes seconds

    loaded = api.load_weights(model, "score", device, plugin or [])
    left_out: list[Any] = []
    scores = api.score(loaded, images, label, how, on_event=left_out.append)
    if as_json:
        scored = [{"file": file, "score": value} for file, value in scores]
        print(json_text({"scores": scored, "left_out": [event.values for event in left_out]}))
    else:
        for file, value in scores:
            print(f"{value:8.4f}  {file}")
