"""The part of a report that says how healthy a run was, look by look, with the grid of the moment it fell ill."""

import shlex
from html import escape
from typing import Any

from gansmith.core.metric_name import column_of
from gansmith.monitoring.health import HEALTHY, TITLES
from gansmith.reporting.embedded_images import load_picture
from gansmith.runs.folder import RunFolder
from gansmith.runs.log import read_rows


def health_section(run: RunFolder) -> str:
    """Return the section, "" for a run that was not looked at."""
    looks = [look for look in run.read_snapshots() if look.get("verdict") in TITLES]
    if not looks:
        return ""
    events = [row for row in read_rows(run.log) if row.get("event") == "health"]
    now = looks[-1]["verdict"]
    said = str(events[-1]["message"]) if events and now != HEALTHY else TITLES[now]
    mark = "finished" if now == HEALTHY else "paused"
    return (
        f'<section>\n<h2>Health</h2>\n<p class="status {mark}">{escape(said)}</p>\n{_timeline(looks)}'
        f"{_began(run, events)}{_next(run, now)}</section>"
    )


def _timeline(looks: list[dict[str, Any]]) -> str:
    """Return a cell for each look, from left to right, and in words how long each verdict held."""
    cells = []
    for look in looks:
        name = column_of(look, "fd")
        title = f"{look['kimg']:,.1f} kimg: {TITLES[look['verdict']]}, {name} {look[name]:.4g}"
        kind = "well" if look["verdict"] == HEALTHY else "ill"
        cells.append(f'<span class="{kind}" title="{escape(title)}"></span>')
    spells: list[tuple[str, float, float]] = []
    for look in looks:
        if spells and spells[-1][0] == look["verdict"]:
            spells[-1] = (spells[-1][0], spells[-1][1], look["kimg"])
        else:
            spells.append((look["verdict"], look["kimg"], look["kimg"]))
    told = "; ".join(f"{TITLES[name]} {first:,.1f} to {last:,.1f} kimg" for name, first, last in spells)
    return (
        f'<div class="timeline" role="img" aria-label="{escape(told)}">{"".join(cells)}</div>\n<p>{escape(told)}</p>\n'
    )


def _began(run: RunFolder, events: list[dict[str, Any]]) -> str:
    """Return the grid of the moment at which the first verdict that is not healthy began."""
    ill = [row for row in events if row.get("began_kimg") is not None]
    if not ill or not ill[0]["kimg"]:
        return ""
    grid = run.grid_from(ill[0]["began_kimg"] * ill[0]["iteration"] / ill[0]["kimg"])
    picture = None if grid is None else load_picture(grid)
    if picture is None:
        return ""
    caption = f"The fixed latents when it began, at {ill[0]['began_kimg']:,.1f} kimg"
    return (
        f"<figure><figcaption>{caption}</figcaption>"
        f'<img width="{picture.width}" height="{picture.height}" alt="{caption}" src="{picture.uri}"></figure>\n'
    )


def _next(run: RunFolder, verdict: str) -> str:
    if verdict == HEALTHY:
        return ""
    folder = escape(shlex.quote(str(run.path)))
    return f"<p>What happened, and what to try next:</p>\n<pre>gansmith diagnose {folder}</pre>\n"
