"""``gansmith features``: discriminator features of images, as an .npz file."""

from pathlib import Path
from typing import Annotated

import typer

from gansmith.cli.options import (
    AsJson,
    Data,
    DataRoot,
    Device,
    Layers,
    Plugin,
    Processes,
    WeightsPath,
    in_processes,
    is_main_process,
    split_names,
)
from gansmith.cli.text import json_text, tell
from gansmith.core.events import say, silent
from gansmith.core.progress import ProgressPrinter


def features(
    model: WeightsPath,
    source: Data,
    layers: Layers = "",
    label: Annotated[
        str | None, typer.Option(metavar="CLASS", help="Label input for all images; by default the mean over classes.")
    ] = None,
    out: Annotated[Path, typer.Option(metavar="FILE", help="Features, .npz.")] = Path("features.npz"),
    data_root: DataRoot = None,
    device: Device = "auto",
    processes: Processes = None,
    plugin: Plugin = None,
    as_json: AsJson = False,
) -> None:
    """Write the discriminator's features of images, for other tasks.

    Each layer is max-pooled to 4 x 4.
    Arrays in the file: features, layers, layer_widths, labels, class_names.
    """
    in_processes(processes)
    from gansmith import api  # here: it imports torch, which takes seconds

    api.check_features_path(out)
    with api.sharing(device), ProgressPrinter() as progress:
        report = progress.show if is_main_process() else silent
        loaded = api.load_weights(model, "extract features", device, plugin or [])
        data = api.open_fitted(loaded, model, source, data_root=data_root, on_progress=report)
        found = api.features(loaded, data, split_names(layers), label, on_progress=report)
    if not is_main_process():
        return
    written = found.save(out)
    count, width = found.values.shape
    widths = ", ".join(f"{name} {each:,}" for name, each in found.layers.items())
    say(f"{count:,} images, {width:,} features each ({widths})")
    tell(json_text({"out": str(written), "count": count, "layers": found.layers}) if as_json else written)
