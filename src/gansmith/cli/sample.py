"""``gansmith sample``: new images from a trained model."""

from pathlib import Path
from typing import Annotated

import typer

from gansmith.cli.options import IMAGE_NUMBERS, AsJson, Device, Label, ModelPath, Plugin, Raw, Truncation, flag
from gansmith.cli.text import json_text


def sample(
    model: ModelPath,
    count: Annotated[int, typer.Option("-n", "--num", metavar="N", help="Number of images.")] = 64,
    seed: Annotated[int, typer.Option(metavar="N", help="Random seed.")] = 0,
    seeds: Annotated[
        str | None,
        typer.Option(metavar="IMAGES", help=f"Make these images instead. {IMAGE_NUMBERS}."),
    ] = None,
    label: Label = None,
    truncation: Truncation = None,
    raw: Raw = False,
    out: Annotated[Path, typer.Option(metavar="FILE", help="grid.png, x.npz, x.zip or a folder.")] = Path(
        "samples.png"
    ),
    numbered: Annotated[bool, flag("--numbered", "Write the number for --seeds below each image.")] = False,
    device: Device = "auto",
    plugin: Plugin = None,
    as_json: AsJson = False,
) -> None:
    """Make new images with a trained model.

    A seed gives the same first images for any --num.

    Example: gansmith sample runs/dcgan-photos-001 -n 100 --out grid.png
    """
    from gansmith.inference.latents import pick  # here, and not api: an .onnx file needs no torch
    from gansmith.inference.open import load

    loaded = load(model, device, plugin or [])
    if seeds is None:
        images = loaded.sample(count, seed=seed, label=label, truncation=truncation, raw=raw)
    else:
        images = pick(loaded, seeds, label=label, truncation=truncation, raw=raw)
    written = images.save(out, numbered=numbered)
    source = {"count": count, "seed": seed} if seeds is None else {"count": len(images), "seeds": images.names}
    print(json_text({"out": str(written), **source}) if as_json else written)
