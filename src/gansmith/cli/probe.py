"""``gansmith probe``."""

import json
from typing import Annotated

import typer

from gansmith.cli.data import DataRoot
from gansmith.cli.options import AsJson, Device, Labelled, Layers, ModelPath, Plugin, numbers_of, words_of


def probe(
    model: ModelPath,
    source: Labelled,
    per_class: Annotated[str, typer.Option(help="Labelled images of each class, with commas between.")] = "10,50,100",
    seeds: Annotated[int, typer.Option(help="Draws of the labelled images.")] = 5,
    layers: Layers = "",
    data_root: DataRoot = None,
    device: Device = "auto",
    plugin: Plugin = None,
    as_json: AsJson = False,
) -> None:
    """Ask whether the discriminator's features are worth having: a linear classifier on few labelled images.

    Beside it the same classifier on pixels, on their principal components, and on an untrained discriminator. Tested
    on NAME:test where DATA is a data set with a name, else on images kept back.
    """
    from gansmith import api
    from gansmith.cli.progress import ProgressPrinter

    counts = numbers_of("--per-class", per_class)
    loaded = api.load(model, device, plugin or [])
    with ProgressPrinter() as progress:
        parts = api.open_parts(loaded, model, source, data_root=data_root, on_progress=progress.tell)
        found = api.probe(
            loaded, parts, per_class=counts, seeds=seeds, layers=words_of(layers), on_progress=progress.tell
        )
    print(json.dumps(found.to_json()) if as_json else "\n".join(found.lines()))
