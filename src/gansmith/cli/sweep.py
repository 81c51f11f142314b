"""``gansmith sweep``: train a recipe with many values and seeds, and compare them."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gansmith.cli.options import (
    COMMON,
    MORE,
    PAUSED,
    AsJson,
    DataAndChanges,
    DataRoot,
    Device,
    Epochs,
    Holdout,
    Kimg,
    Labels,
    On,
    Plugin,
    Precision,
    ZipEncoding,
    data_overrides,
    flag,
)
from gansmith.cli.text import columns, json_text, wrap_lines
from gansmith.cli.train import data_and_overrides
from gansmith.core.errors import GansmithError
from gansmith.core.events import say, say_result
from gansmith.recipes import AUTO

if TYPE_CHECKING:
    from gansmith.reporting.sweep_page import Sweep

Vary = Annotated[
    list[str] | None,
    typer.Option(metavar="KEY=VALUES", help="Vary this: lr=1e-4,2e-4; repeatable.", show_default=False),
]
Seeds = Annotated[int, typer.Option(metavar="N", help="Train each combination with seeds 0 to N - 1.", min=1)]


def sweep(
    words: DataAndChanges = None,
    vary: Vary = None,
    recipe: Annotated[
        str, typer.Option(metavar="NAME", help="Recipe from 'gansmith recipes', or a YAML file.", show_default=False)
    ] = AUTO,
    seeds: Seeds = 3,
    minutes_each: Annotated[
        float | None, typer.Option(metavar="N", help="Take N minutes for each run, its results included.")
    ] = None,
    kimg: Kimg = None,
    epochs: Epochs = None,
    search: Annotated[
        str, typer.Option(metavar="HOW", help="Try all combinations (grid), or those that optuna suggests.")
    ] = "grid",
    trials: Annotated[
        int | None, typer.Option(metavar="N", help="Let optuna try N combinations.", min=1, show_default="20")
    ] = None,
    patience: Annotated[
        int | None, typer.Option(metavar="N", help="End a run after N snapshots without improvement.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="New folder, or the folder of this sweep to continue it.",
            show_default="runs/sweep-NAME-001",
        ),
    ] = None,
    holdout: Holdout = 0.0,
    device: Device = "auto",
    yes: Annotated[bool, flag("--yes", "Train more than 100 runs.", COMMON)] = False,
    as_json: AsJson = False,
    steps: Annotated[
        int | None, typer.Option(metavar="N", help="Train for N iterations.", rich_help_panel=MORE)
    ] = None,
    precision: Precision = "auto",
    on: On = None,
    gpus_per_run: Annotated[
        float, typer.Option(metavar="N", help="Give each run N GPUs of Ray.", min=0, rich_help_panel=MORE)
    ] = 0,
    plugin: Plugin = None,
    labels: Labels = None,
    zip_encoding: ZipEncoding = None,
    data_root: DataRoot = None,
) -> None:
    """Train a recipe with many values and seeds, and compare them.

    A run that collapses or diverges ends early. Deviations are taken over seeds.
    The same command continues a sweep that was stopped, and so does 'gansmith resume FOLDER'.

    Example: gansmith sweep photos/ --recipe dcgan --vary lr=1e-4,2e-4 --minutes-each 10
    """
    if on is None and gpus_per_run:
        raise GansmithError(
            "cli.workers_without_ray",
            "--gpus-per-run is for Ray, and --on is missing\n  add --on local, or leave it out",
        )
    (source,), overrides = data_and_overrides(words or [])
    from gansmith import api  # here: it imports torch, which takes seconds

    found = api.sweep(
        source, vary or [], recipe=recipe, overrides=[*data_overrides(labels, zip_encoding), *overrides], seeds=seeds,
        minutes=minutes_each, kimg=kimg, epochs=epochs, steps=steps, search=search,  # type: ignore[arg-type]  # checked
        trials=trials, patience=patience, out=out, holdout=holdout, device=device, precision=precision,
        plugins=plugin or [], data_root=data_root, most_runs=10**9 if yes else api.MANY,
        on=on, gpus_per_run=gpus_per_run,
    )  # fmt: skip
    print_sweep(found, as_json=as_json)


def print_sweep(found: "Sweep", *, as_json: bool) -> None:
    """Print the table of a sweep and its page; exit with a code of its own if a signal paused it."""
    say_result(json_text(found.to_json()) if as_json else "\n".join(_lines(found)))
    if not found.finished:
        say(f"continue with: gansmith resume {shlex.quote(str(found.folder))}")
        raise typer.Exit(PAUSED)


def _lines(found: "Sweep") -> list[str]:
    from gansmith.evaluation.variants import number_texts  # here: it imports torch

    table = found.table
    rows = [
        [variant.letter, " ".join(variant.changes), *number_texts(variant, table.metrics), variant.verdicts]
        for variant in table.ranked
    ]
    return [
        *columns([["", "changes", *table.metrics, "runs"], *rows]),
        "",
        *wrap_lines([table.sentence]),
        str(found.page),
    ]
