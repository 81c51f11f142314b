"""``gansmith interpolate``: a film or a strip of images between images."""

from pathlib import Path
from typing import Annotated

import typer

from gansmith.cli.options import IMAGE_NUMBERS, AsJson, Device, Label, ModelPath, Plugin, Raw, Truncation
from gansmith.cli.text import json_text, tell


def interpolate(
    model: ModelPath,
    seeds: Annotated[str, typer.Option(metavar="IMAGES", help=f"Stops of the walk. {IMAGE_NUMBERS}.")] = "0,1,2,3",
    frames: Annotated[
        int | None,
        typer.Option(metavar="N", help="Frames in total.", show_default="film: 60 or more; strip: 4 per stop"),
    ] = None,
    mode: Annotated[
        str, typer.Option(metavar="MODE", help="slerp: along arcs, keeps the norm; lerp: straight.")
    ] = "slerp",
    label: Label = None,
    to_label: Annotated[
        str | None, typer.Option(metavar="CLASS", help="Fade from --label to this class; one stop is enough.")
    ] = None,
    truncation: Truncation = None,
    raw: Raw = False,
    out: Annotated[
        Path,
        typer.Option(metavar="FILE", help="Looping film (.gif, .mp4), album (.html), or strip of frames (.png)."),
    ] = Path("walk.gif"),
    device: Device = "auto",
    plugin: Plugin = None,
    as_json: AsJson = False,
) -> None:
    """Walk from image to image through the latent space, as a film.

    Example: gansmith interpolate MODEL --seeds 3,9,27 --out walk.mp4

    'gansmith sample MODEL --numbered' shows the numbers of the images.
    """
    from gansmith.inference.interpolate import check_walk_path  # here, and not api: an .onnx file needs no torch
    from gansmith.inference.open import load

    film = check_walk_path(out).suffix.lower() != ".png"
    loaded = load(model, device, plugin or [])
    walk = loaded.interpolate(
        seeds, frames=frames, closed=film, mode=mode, label=label, to_label=to_label, truncation=truncation,
        raw=raw,
    )  # fmt: skip
    written = walk.save(out)
    tell(json_text({"out": str(written), "frames": len(walk.images)}) if as_json else written)
