"""``gansmith features``."""

import json
from pathlib import Path
from typing import Annotated

import typer

from gansmith.cli.data import DataRoot
from gansmith.cli.options import AsJson, Device, Label, Layers, ModelPath, Plugin, words_of
from gansmith.events import say


def features(
    model: ModelPath,
    source: Annotated[str, typer.Argument(metavar="DATA", help="Images, as for 'gansmith train'.")],
    layers: Layers = "",
    label: Label = None,
    out: Annotated[Path, typer.Option(help="x.npz: features, layers, layer_widths, labels, class_names.")] = Path(
        "features.npz"
    ),
    data_root: DataRoot = None,
    device: Device = "auto",
    plugin: Plugin = None,
    as_json: AsJson = False,
) -> None:
    """Write what the discriminator's hidden layers see in images: features for other tasks.

    Each layer is max-pooled to 4 x 4. A conditional discriminator is asked with each label in turn and the mean is
    taken, or with --label.
    """
    from gansmith import api
    from gansmith.cli.progress import ProgressPrinter

    api.check_npz(out)
    loaded = api.load(model, device, plugin or [])
    with ProgressPrinter() as progress:
        data = api.open_fitted(loaded, model, source, data_root=data_root, on_progress=progress.tell)
        found = api.features(loaded, data, words_of(layers), label, on_progress=progress.tell)
    written = found.save(out)
    count, width = found.values.shape
    named = ", ".join(f"{name} {each:,}" for name, each in found.layers.items())
    say(f"{count:,} images, {width:,} numbers each ({named})")
    print(json.dumps({"out": str(written), "count": count, "layers": found.layers}) if as_json else written)
