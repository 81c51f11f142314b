"""``gansmith export``: a trained model as a file for other programs."""

from pathlib import Path
from typing import Annotated

import typer

from gansmith.cli.options import AsJson, Plugin, Raw, WeightsPath
from gansmith.cli.text import json_text, tell
from gansmith.core.events import say


def export(
    model: WeightsPath,
    to: Annotated[
        str, typer.Option(metavar="FORMAT", help="onnx, html, html-film, torch-export, safetensors or hub-folder.")
    ] = "onnx",
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="File to write.", show_default="generator.onnx, .pt2, ...")
    ] = None,
    weights: Annotated[
        str, typer.Option(metavar="TYPE", help="fp32, or fp16 for onnx and html: half the size.")
    ] = "fp32",
    quantize: Annotated[
        str | None,
        typer.Option(metavar="TYPE", help="int8 for onnx: a third of the size; kept if FD rises by at most 5 %."),
    ] = None,
    license: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="For hub-folder: the Hub's name of the model's license, such as cc-by-4.0."),
    ] = None,
    raw: Raw = False,
    plugin: Plugin = None,
    as_json: AsJson = False,
) -> None:
    """Write a model for other programs: ONNX, torch.export, weights.

    An ONNX file is run and compared with torch before it is kept.

    Example: gansmith export runs/dcgan-photos-001 --to onnx --out generator.onnx
    """
    from gansmith import api  # here: it imports torch, which takes seconds

    written = api.export(
        model, to, out=out, weights=weights, quantize=quantize, license=license, raw=raw, plugins=plugin or []
    )
    for each in written:
        say(f"{each.path}: {each.words}")
    facts = [{"path": str(each.path), "network": each.network, **each.facts} for each in written]
    tell(*([json_text({"files": facts})] if as_json else [each.path for each in written]))
