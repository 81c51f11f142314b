"""``gansmith resume``: continue a run from its newest checkpoint, or a sweep."""

from pathlib import Path
from typing import Annotated

import typer

from gansmith.cli.options import AsJson, Processes, SaveEvery, flag, in_processes
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
    processes: Processes = None,
    as_json: AsJson = False,
) -> None:
    """Continue a run exactly where its newest checkpoint was saved.

    A changed length and accepted changes are recorded in the log of the run.
    """
    if not (run / "sweep.json").is_file():
        in_processes(processes)
    from gansmith import api  # here: it imports torch, which takes seconds

    if api.is_sweep(run):
        if given := [option for option, value in {
            "--kimg": kimg, "--accept-changes": accept_changes, "--device": device, "--logger": logger,
            "--save-every-minutes": save_every_minutes, "--processes": processes,
        }.items() if value]:  # fmt: skip
            raise GansmithError(
                "cli.option_of_run",
                f"{given[0]} is for a run, and '{run}' is a sweep\n  leave it out, or resume one of the sweep's runs",
            )
        print_sweep(api.resume_sweep(run), as_json=as_json)
        return
    loggers = [] if logger == ["none"] else logger or None
    result = api.resume(
        run, kimg=kimg, device=device, accept_changes=accept_changes, loggers=loggers,
        save_every_minutes=save_every_minutes,
    )  # fmt: skip
    print_run(result, as_json=as_json)
