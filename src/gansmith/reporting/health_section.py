"""The health section of a report: verdicts over time, and samples from the first problem."""

import shlex
from html import escape
from typing import Any

from gansmith.core.metric_name import column_of
from gansmith.evaluation.health import HEALTHY, TITLES
from gansmith.reporting.embedded_images import img_tag, load_picture
from gansmith.runs.folder import RunFolder
from gansmith.runs.log import read_rows


def health_section(run: RunFolder) -> str:
    """Return the section as HTML, "" for a run without snapshots."""
    snapshots = [row for row in run.read_snapshots() if row.get("verdict") in TITLES]
    if not snapshots:
        return ""
    events = [row for row in read_rows(run.log) if row.get("event") == "health"]
    verdict = snapshots[-1]["verdict"]
    message = str(events[-1]["message"]) if events and verdict != HEALTHY else TITLES[verdict]
    mark = "finished" if verdict == HEALTHY else "paused"
    return (
        f'<section>\n<h2>Health</h2>\n<p class="status {mark}">{escape(message)}</p>\n{_timeline(snapshots)}'
        f"{_first_problem(run, events)}{_next_step(run, verdict)}</section>"
    )


def _timeline(snapshots: list[dict[str, Any]]) -> str:
    """Return a bar with a cell for each snapshot, and below it the verdicts in words, each with its time span."""
    cells = []
    for row in snapshots:
        name = column_of(row, "fd")
        title = f"{row['kimg']:,.1f} kimg: {TITLES[row['verdict']]}, {name} {row[name]:.4g}"
        kind = "well" if row["verdict"] == HEALTHY else "ill"
        cells.append(f'<span class="{kind}" title="{escape(title)}"></span>')
    spans: list[tuple[str, float, float]] = []  # verdict, first kimg, last kimg
    for row in snapshots:
        if spans and spans[-1][0] == row["verdict"]:
            spans[-1] = (spans[-1][0], spans[-1][1], row["kimg"])
        else:
            spans.append((row["verdict"], row["kimg"], row["kimg"]))
    words = "; ".join(f"{TITLES[name]} from {first:,.1f} to {last:,.1f} kimg" for name, first, last in spans)
    return (
        f'<div class="timeline" role="img" aria-label="{escape(words)}">{"".join(cells)}</div>\n'
        f"<p>{escape(words)}</p>\n"
        '<p class="note">Each cell is a snapshot of samples. A problem is reported some snapshots after it began.</p>\n'
    )


def _first_problem(run: RunFolder, events: list[dict[str, Any]]) -> str:
    """Return the grid of samples at the beginning of the first verdict that is not healthy."""
    problems = [row for row in events if row.get("began_kimg") is not None]
    if not problems or not problems[0]["kimg"]:
        return ""
    first = problems[0]
    grid = run.grid_from(first["began_kimg"] * first["iteration"] / first["kimg"])
    picture = None if grid is None else load_picture(grid)
    if picture is None:
        return ""
    caption = f"Samples of the fixed latents when the problem began, at {first['began_kimg']:,.1f} kimg"
    return f"<figure><figcaption>{caption}</figcaption>{img_tag(picture, caption)}</figure>\n"


def _next_step(run: RunFolder, verdict: str) -> str:
    if verdict == HEALTHY:
        return ""
    folder = escape(shlex.quote(str(run.path)))
    return f"<p>Reasons and suggestions:</p>\n<pre>gansmith diagnose {folder}</pre>\n"
