"""``gansmith compare``: two to eight runs side by side, as tables and an HTML page."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gansmith.cli.options import AsJson, Device, Plugin
from gansmith.cli.text import WIDTH, columns, json_text, number_text, tell, wrap_lines

if TYPE_CHECKING:
    from gansmith.evaluation.compare import Comparison


def compare(
    runs: Annotated[list[Path], typer.Argument(metavar="RUNS", help="Two to eight run folders.")],
    out: Annotated[Path, typer.Option(metavar="FILE", help="HTML page.")] = Path("compare.html"),
    device: Device = "auto",
    plugin: Plugin = None,
    as_json: AsJson = False,
) -> None:
    """Compare runs: recipes, curves, metrics, and real differences.

    A difference counts as real if it exceeds the metric's uncertainty.
    """
    from gansmith import api  # here: it imports torch, which takes seconds

    found, path = api.compare(runs, out=out, device=device, plugins=plugin or [])
    tell(json_text({**found.to_json(), "page": str(path)}) if as_json else "\n".join([*_lines(found), str(path)]))


def _lines(found: "Comparison") -> list[str]:
    from gansmith.evaluation.compare import kimg_text  # here and below: it imports torch
    from gansmith.reporting.comparison_page import RULE, verdict

    out = [
        f"{run.letter}  {run.folder}: {run.name} on {run.data.name}, {kimg_text(run.kimg)} kimg, {run.minutes:,.1f} min"
        for run in found.runs
    ]
    out = wrap_lines([*out, *(f"note: {text}" for text in found.notes)])
    letters = [run.letter for run in found.runs]
    if found.recipe:
        values = [[path, *(str(value) for value in values)] for path, values in found.recipe.items()]
        room = (WIDTH - max(len(path) for path in found.recipe)) // len(letters) - 2
        out += ["", *columns([["recipe", *letters], *values], max(8, room))]
    if found.rows:
        cells: list[list[str]] = [["metric", *letters, ""]]
        for row in found.rows:
            numbers = ["" if each is None else number_text(each) for each in row.numbers]
            cells.append([row.name, *numbers, verdict(found, row)])
        out += ["", *columns(cells), *wrap_lines([RULE])]
    return [*out, ""]
