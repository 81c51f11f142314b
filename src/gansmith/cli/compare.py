"""``gansmith compare``: two to eight runs side by side, as a table and a page."""

import json
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gansmith.cli.options import AsJson, Device, Plugin

if TYPE_CHECKING:
    from gansmith.comparison import Comparison

WIDTH = 80


def compare(
    runs: Annotated[list[Path], typer.Argument(metavar="RUNS", help="Two to eight run folders.")],
    out: Annotated[Path, typer.Option(metavar="FILE", help="HTML page.")] = Path("compare.html"),
    device: Device = "auto",
    plugin: Plugin = None,
    as_json: AsJson = False,
) -> None:
    """Compare runs: recipes, curves, metrics, and real differences.

    A difference is real where it is larger than the noise of the metric.
    """
    from gansmith import api

    found, path = api.compare(runs, out=out, device=device, plugins=plugin or [])
    print(json.dumps({**found.to_json(), "page": str(path)}) if as_json else "\n".join([*_lines(found), str(path)]))


def _lines(found: "Comparison") -> list[str]:
    from gansmith.comparison import kimg_text
    from gansmith.comparison_page import RULE, verdict

    out = [
        f"{run.letter}  {run.folder}: {run.name} on {run.data.name}, {kimg_text(run.kimg)} kimg, {run.minutes:,.1f} min"
        for run in found.runs
    ]
    out += [f"note: {text}" for text in found.notes]
    letters = [run.letter for run in found.runs]
    if found.recipe:
        values = [[path, *(str(value) for value in values)] for path, values in found.recipe.items()]
        room = (WIDTH - max(len(path) for path in found.recipe)) // len(letters) - 2
        out += ["", *columns([["recipe", *letters], *values], max(8, room))]
    if found.rows:
        cells: list[list[str]] = [["number", *letters, ""]]
        for row in found.rows:
            numbers = ["" if each is None else number_text(each) for each in row.numbers]
            cells.append([row.name, *numbers, verdict(found, row)])
        out += ["", *columns(cells), *textwrap.wrap(RULE, WIDTH)]
    return [*out, ""]


def number_text(number: Any) -> str:
    """Return a number with its deviation."""
    return f"{number.value:.4g}" + ("" if number.deviation is None else f"+-{number.deviation:.2g}")


def columns(cells: list[list[str]], most: int = 80) -> list[str]:
    """Return rows as lines, cells below each other; those after the first have at most ``most`` characters."""
    cut = [[row[0], *(cell if len(cell) <= most else cell[: most - 3] + "..." for cell in row[1:])] for row in cells]
    widths = [max(len(row[index]) for row in cut) for index in range(len(cut[0]))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cut]
