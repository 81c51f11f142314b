"""``gansmith translate``."""

import json
from pathlib import Path
from typing import Annotated

import typer

from gansmith.cli.options import AsJson, Device, ModelPath, Plugin, Raw
from gansmith.events import say


def translate(
    model: ModelPath,
    images: Annotated[list[Path], typer.Argument(metavar="IMAGES", help="Images of any size, or folders of them.")],
    out: Annotated[Path, typer.Option(help="A new or empty folder for the PNG files.")] = Path("translated"),
    mask: Annotated[
        Path | None, typer.Option(help="For a model that fills: an image of IMAGE's size, white where it is missing.")
    ] = None,
    as_source: Annotated[
        bool,
        typer.Option("--as-source", help="IMAGES are what the model starts from already, such as drawn edges."),
    ] = False,
    reverse: Annotated[
        bool, typer.Option("--reverse", help="With a model trained with --from A --to B: from B to A.")
    ] = False,
    raw: Raw = False,
    device: Device = "auto",
    plugin: Plugin = None,
    as_json: AsJson = False,
) -> None:
    """Translate images with a model trained with --task, --pairs or --from: colour, sharpen, enlarge, fill them."""
    from gansmith import api

    loaded = api.load(model, device, plugin or [])
    written = api.translate_files(
        loaded, images, out, mask=mask, as_source=as_source, reverse=reverse, raw=raw,
        on_left_out=lambda text: say(f"left out: {text}"),
    )  # fmt: skip
    print(json.dumps({"out": str(out), "files": [str(path) for path in written]}) if as_json else out)
