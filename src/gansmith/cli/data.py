"""``gansmith data``."""

import json
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help="Look at a data set, and clean up.", no_args_is_help=True)

DataRoot = Annotated[
    Path | None,
    typer.Option(
        help="Folder with the files of named data sets.", show_default="$GANSMITH_DATA or ~/.local/share/gansmith"
    ),
]


@app.command("check")
def check(
    source: Annotated[str, typer.Argument(metavar="DATA", help="As for 'gansmith train'.")],
    size: Annotated[str | None, typer.Option(help="Side in px, or HEIGHTxWIDTH.")] = None,
    channels: Annotated[int | None, typer.Option(help="1, 3 or 4.")] = None,
    data_root: DataRoot = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Count images, sizes, modes, bad files, duplicates and classes; say what would be inferred."""
    from gansmith import api
    from gansmith.cli.progress import ProgressPrinter

    with ProgressPrinter() as printer:

        def tell(done: int, total: int) -> None:
            printer.tell("reading images", done, total)

        report = api.check(source, size=size, channels=channels, data_root=data_root, on_progress=tell)
    print(json.dumps(report.to_json(), indent=2) if as_json else "\n".join(report.lines()))


@app.command("list")
def list_sets(
    data_root: DataRoot = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Say which data sets have a name, their licences, and whether they are here."""
    from gansmith import api

    sets = api.list_data(data_root)
    if as_json:
        print(json.dumps(sets, indent=2))
        return
    width = max(len(each["name"]) for each in sets)
    for each in sets:
        here = ("here" if each["here"] else "not here") + (f": {each['folder']}" if each["folder"] else "")
        print(f"{each['name']:<{width}}  {each['about']}")
        print(f"{'':<{width}}  licence: {each['licence']}; {here}")
    print("NAME is the training split, NAME:test the test split")


@app.command("clean")
def clean() -> None:
    """Remove the cache of decoded images; it is built again when needed."""
    from gansmith.data.store import clean_cache

    print(f"{clean_cache():,} bytes freed")
