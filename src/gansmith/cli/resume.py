"""``gansmith resume``: continue a run from its newest checkpoint."""

from pathlib import Path
from typing import Annotated

import typer

from gansmith.cli.options import AsJson, Processes, SaveEvery, flag, in_processes
from gansmith.cli.train import print_run


def resume(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run folder.")],
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
    in_processes(processes)
    from gansmith import api  # here: it imports torch, which takes seconds

    loggers = [] if logger == ["none"] else logger or None
    result = api.resume(
        run, kimg=kimg, device=device, accept_changes=accept_changes, loggers=loggers,
        save_every_minutes=save_every_minutes,
    )  # fmt: skip
    print_run(result, as_json=as_json)
