"""``gansmith resume``: continue a run from its newest checkpoint, or a sweep."""

from pathlib import Path
from typing import Annotated, Any

import typer

from gansmith.cli.options import (
    MORE,
    AsJson,
    GpusPerWorker,
    On,
    Processes,
    SaveEvery,
    Workers,
    flag,
    in_processes,
    refuse_workers_without_ray,
)
from gansmith.cli.sweep import print_sweep
from gansmith.cli.train import print_run
from gansmith.core.errors import GansmithError


def resume(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run folder, or the folder of a sweep.")],
    kimg: Annotated[
        float | None, typer.Option(metavar="N", help="Change the length of the run to N thousand images.")
    ] = None,
    accept_changes: Annotated[
        bool, flag("--accept-changes", "Continue even if recipe, data, torch, threads or device changed.")
    ] = False,
    device: Annotated[
        str | None, typer.Option(metavar="NAME", help="Device to continue on; by default the run's device.")
    ] = None,
    logger: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Replace the run's loggers; 'none' ends them; repeatable."),
    ] = None,
    save_every_minutes: SaveEvery = None,
    store: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS",
            help="Replace the run's --store, or fetch a new RUN from there; 'none' ends the copies.",
            rich_help_panel=MORE,
        ),
    ] = None,
    processes: Processes = None,
    on: On = None,
    workers: Workers = 1,
    gpus_per_worker: GpusPerWorker = 0,
    as_json: AsJson = False,
) -> None:
    """Continue a run exactly where its newest checkpoint was saved.

    A changed length and accepted changes are recorded in the log of the run.
    """
    refuse_workers_without_ray(on, workers, gpus_per_worker, processes)
    if not (run / "sweep.json").is_file():
        in_processes(processes)
    from gansmith import api  # here: it imports torch, which takes seconds

    if api.is_sweep(run):
        if given := [option for option, value in {
            "--kimg": kimg, "--accept-changes": accept_changes, "--device": device, "--logger": logger,
            "--save-every-minutes": save_every_minutes, "--store": store, "--processes": processes,
            "--workers": workers != 1,
        }.items() if value]:  # fmt: skip
            raise GansmithError(
                "cli.option_of_run",
                f"{given[0]} is for a run, and '{run}' is a sweep\n  leave it out, or resume one of the sweep's runs",
            )
        print_sweep(api.resume_sweep(run, on=on, gpus_per_run=gpus_per_worker), as_json=as_json)
        return
    loggers = [] if logger == ["none"] else logger or None
    store = "" if store == "none" else store
    words: dict[str, Any] = {
        "kimg": kimg, "device": device, "accept_changes": accept_changes, "loggers": loggers,
        "save_every_minutes": save_every_minutes, "store": store,
    }  # fmt: skip
    if on is not None:
        result = api.resume_on_ray(run, on=on, workers=workers, gpus_per_worker=gpus_per_worker, **words)
    else:
        result = api.resume(run, **words)
    print_run(result, as_json=as_json)
