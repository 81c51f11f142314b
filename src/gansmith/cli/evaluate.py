"""``gansmith evaluate``."""

import json
from pathlib import Path
from typing import Annotated

import typer

from gansmith.cli.data import DataRoot


def evaluate(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="A run folder or a model folder.")],
    source: Annotated[
        str | None, typer.Argument(metavar="[DATA]", help="Images to judge against; without it those held out.")
    ] = None,
    num: Annotated[int, typer.Option(help="Images in each set of samples.")] = 10_000,
    features: Annotated[str, typer.Option(help="fashion, own, inception, dinov2 or clip.")] = "",
    metrics: Annotated[str, typer.Option(help="Names with commas between; all without it.")] = "",
    sets: Annotated[int, typer.Option(help="Independent sets of samples.")] = 4,
    weights: Annotated[Path | None, typer.Option(help="Inception's weights file, checked.")] = None,
    on_training: Annotated[bool, typer.Option("--on-training", help="Judge against training images.")] = False,
    raw: Annotated[bool, typer.Option("--raw", help="Use the weights without averaging.")] = False,
    truncation: Annotated[float | None, typer.Option(help="Cut latents off at T deviations.")] = None,
    seed: Annotated[int, typer.Option(help="Of the samples.")] = 0,
    out: Annotated[Path | None, typer.Option(help="Folder for the result; MODEL/evaluation.")] = None,
    data_root: DataRoot = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "auto",
    plugin: Annotated[list[Path] | None, typer.Option(help="A Python file with parts the model uses.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Judge a model against images that it was not trained on."""
    from gansmith import api
    from gansmith.cli.progress import ProgressPrinter
    from gansmith.evaluation import Request

    names = tuple(name.strip() for name in metrics.split(",") if name.strip())
    request = Request(num, sets, features, names, weights, on_training, raw, truncation, seed)
    with ProgressPrinter() as progress:
        found, path = api.evaluate(
            model,
            source,
            request=request,
            out=out,
            device=device,
            plugins=plugin or [],
            data_root=data_root,
            on_event=progress,
        )
    if as_json:
        print(json.dumps(found.to_json()))
        return
    protocol = found.protocol
    print(f"{found.model} at {found.kimg:,.1f} kimg against {protocol.num_real:,} {protocol.reference}")
    print(f"seen by {protocol.features} ({protocol.features_sha256[:12]}), {protocol.weights} weights")
    width = max(map(len, found.numbers), default=0)
    for name, number in found.numbers.items():
        spread = "" if number.deviation is None else f" +- {number.deviation:.3g} ({number.over})"
        print(f"  {name:<{width}}  {number.value:10.4g}{spread}")
    for line in found.words:
        print(line)
    for metric, reason in found.skipped.items():
        print(f"not measured: {metric} ({reason})")
    print(path)
