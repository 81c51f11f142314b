"""``gansmith interpolate``."""

import json
from pathlib import Path
from typing import Annotated

import typer

from gansmith.cli.options import SEEDS, AsJson, Device, Label, ModelPath, Plugin, Raw, Truncation


def interpolate(
    model: ModelPath,
    seeds: Annotated[str, typer.Option(help=f"Where the walk goes. {SEEDS}.")],
    frames: Annotated[
        int | None, typer.Option(help="Pictures in all.", show_default="60 or more; of a strip 4 from image to image")
    ] = None,
    mode: Annotated[str, typer.Option(help="slerp: on arcs, as norms of latents stay; lerp: straight.")] = "slerp",
    label: Label = None,
    to_label: Annotated[
        str | None, typer.Option(help="Change from --label to this class on the way; one image is then enough.")
    ] = None,
    truncation: Truncation = None,
    raw: Raw = False,
    out: Annotated[
        Path,
        typer.Option(help="A film, .gif or .mp4, which returns to its start; or .png, a strip that ends at the last."),
    ] = Path("walk.gif"),
    device: Device = "auto",
    plugin: Plugin = None,
    as_json: AsJson = False,
) -> None:
    """Walk from image to image through the latent space, as a film or as a strip.

    For numbers to walk between: gansmith sample MODEL --numbered
    """
    from gansmith import api

    film = api.check_ending(out).suffix.lower() != ".png"
    loaded = api.load(model, device, plugin or [])
    walk = api.interpolate(
        loaded, seeds, frames=frames, closed=film, mode=mode, label=label, to_label=to_label, truncation=truncation,
        raw=raw,
    )  # fmt: skip
    written = walk.save(out)
    print(json.dumps({"out": str(written), "frames": len(walk.images)}) if as_json else written)
