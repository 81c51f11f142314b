"""``gansmith upscale``."""

import json
from pathlib import Path
from typing import Annotated

import typer

from gansmith.cli.options import AsJson, Device, ModelPath, Plugin, Raw
from gansmith.events import say


def upscale(
    model: ModelPath,
    images: Annotated[list[Path], typer.Argument(metavar="IMAGES", help="Images of any size, or folders of them.")],
    out: Annotated[Path, typer.Option(help="A new or empty folder for the PNG files.")] = Path("upscaled"),
    raw: Raw = False,
    device: Device = "auto",
    plugin: Plugin = None,
    as_json: AsJson = False,
) -> None:
    """Make images larger with a model trained with --recipe srresnet or srgan: two or four times, as it learnt."""
    from gansmith import api

    loaded = api.load(model, device, plugin or [])
    written = api.upscale_files(loaded, images, out, raw=raw, on_left_out=lambda text: say(f"left out: {text}"))
    print(json.dumps({"out": str(out), "files": [str(path) for path in written]}) if as_json else out)
