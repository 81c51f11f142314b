"""``gansmith augment``."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from gansmith.cli.data import DataRoot
from gansmith.cli.options import AsJson, Device, Labelled, ModelPath, Plugin, numbers_of, words_of
from gansmith.events import say


def augment(
    model: ModelPath,
    source: Labelled,
    per_class: Annotated[int, typer.Option(help="Synthetic images of each class.")] = 1000,
    filters: Annotated[
        str, typer.Option(help="Which drop samples, with commas between; '' for none. All are measured.")
    ] = "classifier,discriminator,duplicates",
    seed: Annotated[int, typer.Option(help="Of the samples.", min=0)] = 0,
    out: Annotated[Path, typer.Option(help="x.npz, x.zip or a new folder.")] = Path("synthetic.npz"),
    study: Annotated[
        bool, typer.Option("--study", help="Ask whether they help: train classifiers with them and without.")
    ] = False,
    real: Annotated[str, typer.Option(help="Of a study: real images of each class; all are added.")] = "10,50,100",
    seeds: Annotated[int, typer.Option(help="Of a study: how often each classifier is trained.")] = 3,
    kimg: Annotated[int, typer.Option(help="Of a study: thousands of images shown in each training.")] = 30,
    plot: Annotated[Path, typer.Option(help="Of a study: its picture, .png.")] = Path("study.png"),
    data_root: DataRoot = None,
    device: Device = "auto",
    plugin: Plugin = None,
    as_json: AsJson = False,
) -> None:
    """Write a labelled synthetic set of a conditional model, filtered; DATA are the images that it was trained on."""
    from gansmith import api
    from gansmith.cli.progress import ProgressPrinter

    chosen, counts = words_of(filters), numbers_of("--real", real)
    loaded = api.load(model, device, plugin or [])
    api.check_augment(loaded, per_class, chosen, out)
    if study:
        api.check_plot(plot)
    with ProgressPrinter() as progress:
        how: dict[str, Any] = {"data_root": data_root, "on_progress": progress.tell}
        parts = api.open_parts(loaded, model, source, **how) if study else None
        data = parts.train if parts else api.open_fitted(loaded, model, source, **how)
        if parts:
            api.check_study(parts, counts, seeds, kimg)
        found = api.augment(loaded, data, per_class, filters=chosen, seed=seed, on_progress=progress.tell)
        written = found.samples.save(out)
        told = {"out": str(written), "count": len(found.samples), **found.to_json()}
        lines = found.lines()
        if parts:
            studied = api.study(
                loaded, parts, found.samples, per_class=counts, seeds=seeds, kimg=kimg, on_progress=progress.tell
            )
            told |= {"study": studied.to_json(), "plot": str(api.draw_study(studied, plot))}
            lines += ["", *studied.lines(), str(plot)]
    say("\n".join(lines))
    print(json.dumps(told) if as_json else written)
