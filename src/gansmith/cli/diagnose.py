"""``gansmith diagnose``."""

import json
from pathlib import Path
from typing import Annotated

import typer

from gansmith.cli.options import AsJson, Device


def diagnose(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run folder; it may still be training.")],
    device: Device = "auto",
    as_json: AsJson = False,
) -> None:
    """Say what happened in a run, when, whether modes collapsed, and what to try next."""
    from gansmith import api
    from gansmith.cli.progress import ProgressPrinter

    with ProgressPrinter() as printer:
        found = api.diagnose(run, device, printer.tell)
    print(json.dumps(found.to_json(), indent=2) if as_json else "\n".join(found.lines()))
