"""``gansmith schema``: the JSON Schema of a file that gansmith writes."""

from typing import Annotated

import typer

from gansmith.cli.text import json_text, tell


def schema(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="run, recipe, model, events, snapshots, evaluation or result.")
    ],
) -> None:
    """Print the JSON Schema of a file that gansmith writes.

    'events' is a line of log.jsonl, 'result' the output of train --json.
    """
    from gansmith import api  # here: it imports torch, which takes seconds

    tell(json_text(api.schema(name)))
