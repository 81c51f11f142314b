"""``gansmith probe``: a linear classifier on discriminator features."""

from typing import Annotated

import typer

from gansmith.cli.options import (
    AsJson,
    DataRoot,
    Device,
    LabelledData,
    Layers,
    Plugin,
    WeightsPath,
    split_names,
    split_numbers,
)
from gansmith.cli.text import json_text, tell
from gansmith.core.progress import ProgressPrinter


def probe(
    model: WeightsPath,
    source: LabelledData,
    per_class: Annotated[
        str, typer.Option(metavar="NUMBERS", help="Labelled images per class, comma-separated.")
    ] = "10,50,100",
    seeds: Annotated[int, typer.Option(metavar="N", help="Repeats, each with other labelled images.")] = 5,
    layers: Layers = "",
    data_root: DataRoot = None,
    device: Device = "auto",
    plugin: Plugin = None,
    as_json: AsJson = False,
) -> None:
    """Test the discriminator's features with a linear classifier.

    Baselines: pixels, their principal components, an untrained discriminator.
    Test set: NAME:test for a named data set, otherwise a part of DATA.
    """
    from gansmith import api  # here: it imports torch, which takes seconds

    counts = split_numbers("--per-class", per_class)
    loaded = api.load_weights(model, "probe", device, plugin or [])
    with ProgressPrinter() as progress:
        parts = api.open_parts(loaded, model, source, data_root=data_root, on_progress=progress.show)
        found = api.probe(
            loaded, parts, per_class=counts, seeds=seeds, layers=split_names(layers), on_progress=progress.show
        )
    tell(json_text(found.to_json()) if as_json else "\n".join(found.lines()))
