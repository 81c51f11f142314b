"""``gansmith features``: discriminator features of images, as an .npz file."""

from pathlib import Path
from typing import Annotated

import typer

from gansmith.cli.options import AsJson, Data, DataRoot, Device, Layers, Plugin, WeightsPath, split_names
from gansmith.cli.text import json_text, tell
from gansmith.core.events import say
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
    plugin: Plugin = None,
    as_json: AsJson = False,
) -> None:
    """Write the discriminator's features of images, for other tasks.

    Each layer is max-pooled to 4 x 4.
    Arrays in the file: features, layers, layer_widths, labels, class_names.
    """
    from gansmith import api  # here: it imports torch, which takes seconds

    api.check_features_path(out)
    loaded = api.load_weights(model, "extract features", device, plugin or [])
    with ProgressPrinter() as progress:
        data = api.open_fitted(loaded, model, source, data_root=data_root, on_progress=progress.show)
        found = api.features(loaded, data, split_names(layers), label, on_progress=progress.show)
    written = found.save(out)
    count, width = found.values.shape
    widths = ", ".join(f"{name} {each:,}" for name, each in found.layers.items())
    say(f"{count:,} images, {width:,} features each ({widths})")
    tell(json_text({"out": str(written), "count": count, "layers": found.layers}) if as_json else written)
