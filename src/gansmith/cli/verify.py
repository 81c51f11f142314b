"""``gansmith verify`` and ``gansmith repair``: find damaged files, and repair a run."""

from pathlib import Path
from typing import Annotated

import typer

from gansmith.cli.options import USER_ERROR, AsJson
from gansmith.cli.text import json_text, tell


def verify(
    path: Annotated[str, typer.Argument(metavar="PATH", help="A run folder, a model folder, or the word cache.")],
    as_json: AsJson = False,
) -> None:
    """Check the files of a run, a model or the cache for damage.

    Each file is compared with its SHA-256. The exit code is 2 if one is damaged. 'gansmith repair' repairs a run; the
    cache repairs itself.

    Example: gansmith verify runs/dcgan-photos-001
    """
    from gansmith import api  # here: it imports torch, which takes seconds

    found = api.verify(path)
    tell(json_text(found.to_json()) if as_json else "\n".join(found.lines()))
    if not found.is_whole:
        raise typer.Exit(USER_ERROR)


def repair(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run folder.")],
    as_json: AsJson = False,
) -> None:
    """Repair a damaged run from its newest whole checkpoint.

    Damaged files are moved to RUN/damaged. The newest whole checkpoint restores run.json and recipe.yaml.
    """
    from gansmith import api  # here: it imports torch, which takes seconds

    done = api.repair(run)
    tell(json_text({"done": done}) if as_json else "\n".join(done or ["nothing to repair"]))
