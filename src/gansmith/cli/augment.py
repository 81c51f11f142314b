"""``gansmith augment``: a labelled synthetic data set of a conditional model."""

from pathlib import Path
from typing import Annotated, Any

import typer

from gansmith.cli.options import (
    AsJson,
    DataRoot,
    Device,
    LabelledData,
    Plugin,
    WeightsPath,
    flag,
    split_names,
    split_numbers,
)
from gansmith.cli.text import json_text, tell
from gansmith.core.events import say
from gansmith.core.progress import ProgressPrinter

STUDY = "With --study"


def augment(
    model: WeightsPath,
    source: LabelledData,
    per_class: Annotated[int, typer.Option(metavar="N", help="Synthetic images per class.")] = 1000,
    filters: Annotated[
        str, typer.Option(metavar="NAMES", help="Filters that drop samples, comma-separated; '' for none.")
    ] = "classifier,discriminator,duplicates",
    seed: Annotated[int, typer.Option(metavar="N", help="Random seed of the samples.", min=0)] = 0,
    out: Annotated[Path, typer.Option(metavar="FILE", help="x.npz, x.zip or a new folder.")] = Path("synthetic.npz"),
    study: Annotated[bool, flag("--study", "Train classifiers with and without the set, and compare.")] = False,
    real: Annotated[
        str,
        typer.Option(
            metavar="NUMBERS",
            help="Real images per class; the study also uses all of them.",
            rich_help_panel=STUDY,
        ),
    ] = "10,50,100",
    seeds: Annotated[int, typer.Option(metavar="N", help="Trainings of each classifier.", rich_help_panel=STUDY)] = 3,
    kimg: Annotated[
        int, typer.Option(metavar="N", help="Length of each training, in thousands of images.", rich_help_panel=STUDY)
    ] = 30,
    plot: Annotated[
        Path, typer.Option(metavar="FILE", help="Plot of the accuracies, .png.", rich_help_panel=STUDY)
    ] = Path("study.png"),
    data_root: DataRoot = None,
    device: Device = "auto",
    plugin: Plugin = None,
    as_json: AsJson = False,
) -> None:
    """Write a labelled synthetic data set without its poor samples.

    MODEL is a conditional model; DATA are the images that it was trained on.
    The result reports every filter, including those not in --filters.
    """
    from gansmith import api  # here: it imports torch, which takes seconds

    chosen, counts = split_names(filters), split_numbers("--real", real)
    loaded = api.load_weights(model, "augment", device, plugin or [])
    api.check_augment(loaded, per_class, chosen, out)
    if study:
        api.check_plot(plot)
    with ProgressPrinter() as progress:
        options: dict[str, Any] = {"data_root": data_root, "on_progress": progress.show}
        parts = api.open_parts(loaded, model, source, **options) if study else None
        data = parts.train if parts else api.open_fitted(loaded, model, source, **options)
        if parts:
            api.check_study(parts, counts, seeds, kimg)
        found = api.augment(loaded, data, per_class, filters=chosen, seed=seed, on_progress=progress.show)
        written = found.samples.save(out)
        result = {"out": str(written), "count": len(found.samples), **found.to_json()}
        lines = found.lines()
        if parts:
            studied = api.study(
                loaded, parts, found.samples, per_class=counts, seeds=seeds, kimg=kimg, on_progress=progress.show
            )
            result |= {"study": studied.to_json(), "plot": str(api.draw_study(studied, plot))}
            lines += ["", *studied.lines(), str(plot)]
    say("\n".join(lines))
    tell(json_text(result) if as_json else written)
