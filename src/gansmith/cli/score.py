"""``gansmith score``."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from gansmith.cli.options import AsJson, Device, Plugin


def score(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="A run folder or a model folder.")],
    images: Annotated[list[Path], typer.Argument(metavar="IMAGES", help="Image files, or folders of them.")],
    label: Annotated[str | None, typer.Option(help="The class that the images are said to be.")] = None,
    how: Annotated[
        str,
        typer.Option(help="discriminator, or inversion: PSNR in dB of the nearest image it can make, slow."),
    ] = "discriminator",
    device: Device = "auto",
    plugin: Plugin = None,
    as_json: AsJson = False,
) -> None:
    """Ask the discriminator: the probability that each image is real, or its score. Low ones are unusual."""
    from gansmith import api
    from gansmith.cli.progress import ProgressPrinter

    loaded = api.load(model, device, plugin or [])
    left_out: list[Any] = []
    scores = api.score(loaded, images, label, how, on_event=left_out.append)
    for event in left_out:
        ProgressPrinter()(event)
    if as_json:
        judged = [{"file": file, "score": value} for file, value in scores]
        print(json.dumps([*judged, *(event.values for event in left_out)]))
    else:
        for file, value in scores:
            print(f"{value:8.4f}  {file}")
