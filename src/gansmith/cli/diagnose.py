"""``gansmith diagnose``: problems of a run and suggestions."""

from pathlib import Path
from typing import Annotated

import typer

from gansmith.cli.options import AsJson, Device
from gansmith.cli.text import json_text, tell
from gansmith.core.progress import ProgressPrinter


def diagnose(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run folder; the run may still be training.")],
    device: Device = "auto",
    as_json: AsJson = False,
) -> None:
    """Find mode collapse and other problems; suggest what to try."""
    from gansmith import api  # here: it imports torch, which takes seconds

    with ProgressPrinter() as printer:
        found = api.diagnose(run, device, printer.show)
    tell(json_text(found.to_json()) if as_json else "\n".join(found.lines()))
