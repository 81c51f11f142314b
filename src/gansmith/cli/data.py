"""``gansmith data``."""

import json
from typing import Annotated

import typer

app = typer.Typer(help="Look at a data set, and clean up.", no_args_is_help=True)


@app.command("check")
def check(
    source: Annotated[str, typer.Argument(metavar="DATA", help="As for 'gansmith train'.")],
    size: Annotated[str | None, typer.Option(help="Side in px, or HEIGHTxWIDTH.")] = None,
    channels: Annotated[int | None, typer.Option(help="1, 3 or 4.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Count images, sizes, modes, bad files, duplicates and classes; say what would be inferred."""
    from gansmith import api

    report = api.check(source, size=size, channels=channels)
    print(json.dumps(report.to_json(), indent=2) if as_json else "\n".join(report.lines()))


@app.command("clean")
def clean() -> None:
    """Remove the cache of decoded images; it is built again when needed."""
    from gansmith.data.store import clean_cache

    print(f"{clean_cache():,} bytes freed")
