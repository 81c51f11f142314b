"""``gansmith resume``."""

from pathlib import Path
from typing import Annotated

import typer

from gansmith.cli.train import show_run


def resume(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run folder.")],
    kimg: Annotated[float | None, typer.Option(help="Give the run another length; it is logged as a change.")] = None,
    accept_changes: Annotated[
        bool, typer.Option("--accept-changes", help="Go on although recipe, data, torch or threads changed; logged.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Go on with a run exactly where its last checkpoint is."""
    from gansmith import api
    from gansmith.cli.progress import ProgressPrinter

    with ProgressPrinter() as printer:
        result = api.resume(run, kimg=kimg, accept_changes=accept_changes, on_event=printer)
    show_run(result, as_json=as_json)
