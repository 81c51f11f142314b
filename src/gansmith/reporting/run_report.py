"""The report of a run: one HTML file with everything in it, which needs no network and loads nothing."""

import json
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from gansmith.core.atomic_files import commit_file
from gansmith.core.errors import GansmithError
from gansmith.methods.base import verb_of
from gansmith.recipes.load import method_kind
from gansmith.reporting.curves import draw_curves
from gansmith.reporting.embedded_images import Picture, load_picture, slider_pictures
from gansmith.reporting.evaluation_section import judged_sections
from gansmith.reporting.health_section import health_section
from gansmith.reporting.page import embedded, page
from gansmith.reporting.panels import PANELS
from gansmith.reporting.series import is_number
from gansmith.runs.folder import RunFolder
from gansmith.runs.log import best_snapshot, read_rows

NUMBERS = tuple(panel.prefix for panel in PANELS)


@dataclass(frozen=True)
class _Story:
    """What is known of a run: its log rows, its events in order, and where it stands."""

    rows: list[dict[str, Any]]
    events: list[dict[str, Any]]
    kimg: float | None
    goal_kimg: float | None
    is_finished: bool

    def at(self, iteration: int) -> str:
        """Return an iteration in words, as kimg where the log tells how much one iteration is."""
        for row in reversed(self.rows):
            if is_number(row.get("kimg")) and is_number(row.get("iteration")) and row["iteration"] > 0:
                return f"{_kimg(iteration * row['kimg'] / row['iteration'])} kimg"
        return "the start" if iteration == 0 else f"iteration {iteration:,}"


def write_report(run: RunFolder, *, title: str, facts: dict[str, str]) -> Path:
    """Write report.html into the run folder and return its path; ``facts`` are shown as they are, label and value."""
    story = _read(run)
    slider, has_script = _slider(run, story)
    best = best_snapshot(run.read_snapshots())  # where the model is from, if it is not the last
    sections = [
        _facts(facts),
        _pictures(run, story),
        health_section(run),
        judged_sections(run.path, story.kimg if best is None else best["kimg"]),
        f'<div class="columns"><div>{slider}{_events(story)}{_use(run, story)}</div>{_curves(run, story)}</div>',
        _recipe(run),
    ]
    status, kind = _status(story)
    mark = f'<p class="status {kind}">{status}</p>'
    text = page(title, "gansmith training report", mark, sections, with_script=has_script)
    commit_file(run.report, lambda path: path.write_text(text, encoding="utf-8"))
    return run.report


def _read(run: RunFolder) -> _Story:
    everything = read_rows(run.log)
    rows = [row for row in everything if "event" not in row]
    events = {json.dumps(row, sort_keys=True): row for row in [*everything, *read_rows(run.timing)] if "event" in row}
    try:
        length = run.record.length
    except GansmithError:
        length = None
    last = rows[-1] if rows else {}
    return _Story(
        rows,
        sorted(events.values(), key=lambda row: row.get("iteration") or 0),
        last.get("kimg"),
        None if length is None else length.schedule_kimg,
        length is not None and last.get("iteration", 0) >= length.iterations,
    )


def _status(story: _Story) -> tuple[str, str]:
    """Return how far the run is, and the class of the mark."""
    goal = f" of {_kimg(story.goal_kimg)}" if is_number(story.goal_kimg) else ""
    if story.kimg is None:
        return f"no rows yet{goal and goal + ' kimg'}", "paused"
    if story.is_finished:
        return f"finished at {_kimg(story.kimg)} kimg", "finished"
    return f"paused at {_kimg(story.kimg)}{goal} kimg", "paused"


def _facts(facts: dict[str, str]) -> str:
    pairs = [f"<div><dt>{escape(str(k))}</dt><dd>{escape(str(v))}</dd></div>" for k, v in facts.items()]
    return f"<section>\n<dl>{''.join(pairs)}</dl>\n</section>" if pairs else ""


def _pictures(run: RunFolder, story: _Story) -> str:
    shown: list[tuple[str, str, Picture]] = []
    for kind, name in (("ema", "Averaged weights (EMA)"), ("real", "Real images"), ("raw", "Raw weights")):
        paths = [run.samples / "real.png"] if kind == "real" else _previews(run, kind)
        picture = load_picture(paths[-1]) if paths else None
        if picture is not None:
            when = "from the training data" if kind == "real" else f"at {story.at(_iteration(paths[-1]))}"
            shown.append((name, when, picture))
    if not shown:
        return '<section>\n<h2>Pictures</h2>\n<p class="note">No preview pictures yet.</p>\n</section>'
    figures = [
        f"<figure><figcaption><b>{name}</b> <span>{when}</span></figcaption>{_img(picture, f'{name}, {when}')}</figure>"
        for name, when, picture in shown
    ]
    wide = " wide" if shown[0][2].width > 2 * shown[0][2].height else ""
    grid = f'<div class="pictures{wide}">{"".join(figures)}</div>'
    return f"<section>\n<h2>What it makes now, beside real images</h2>\n{grid}\n</section>"


def _slider(run: RunFolder, story: _Story) -> tuple[str, bool]:
    """Return the section with the same inputs over time, and whether it needs the script."""
    pictures = slider_pictures(_previews(run, "ema") or _previews(run, "raw"))
    if len(pictures) < 2:
        return "", False
    frames = [[picture.uri, story.at(_iteration(path))] for path, picture in pictures]
    last = pictures[-1][1]
    width = last.width * max(1, 560 // last.width)
    sharp = "sharp" if all(picture.width == last.width for _, picture in pictures) else ""
    data = json.dumps(frames).replace("<", "\\u003c")
    return (
        "<section>\n<h2>How it got there: the same inputs over time</h2>\n"
        '<div class="controls" id="controls" hidden><button type="button">Play</button>'
        f'<input type="range" min="0" max="{len(frames) - 1}" value="{len(frames) - 1}" step="1" '
        f'aria-label="Moment of training"><output>{escape(frames[-1][1])}</output></div>\n'
        f'<img id="frame" class="{sharp}" width="{width}" alt="Fixed inputs at {escape(frames[-1][1])}" '
        f'src="{last.uri}">\n'
        f'<script type="application/json" id="frames">{data}</script>\n{_film(run)}</section>'
    ), True


def _film(run: RunFolder) -> str:
    files = [name for name in ("film.mp4", "film.gif") if (run.path / name).is_file()]
    links = ", ".join(f'<a href="{name}">{name}</a>' for name in files)
    return f'<p class="note">As a film, beside this file: {links}</p>\n' if files else ""


def _curves(run: RunFolder, story: _Story) -> str:
    path = run.path / "curves.png"
    if not story.rows:
        body = '<p class="note">No rows in the log yet.</p>'
    else:
        if not path.exists():
            draw_curves([*read_rows(run.log), *run.read_snapshots()], path)
        last = story.rows[-1]
        latest = [f"{k} {v:.3g}" for k, v in last.items() if k.startswith(NUMBERS) and is_number(v)]
        uri = embedded(path.read_bytes())
        alt = f"Curves over {_kimg(story.kimg)} kimg. Latest: {', '.join(latest)}"
        body = (
            f'<div class="scroll"><img alt="{escape(alt)}" src="{uri}"></div>\n'
            '<p class="note">Losses, scores and D(x) tell whether the two networks are in balance. '
            "They do not say how good the images are.</p>"
        )
    return f'<section class="curves">\n<h2>Curves</h2>\n{body}\n</section>'


def _events(story: _Story) -> str:
    lines = []
    for row in story.events:
        when = f"{_kimg(row['kimg'])} kimg" if is_number(row.get("kimg")) else ""
        text = f"<b>{escape(str(row['event']))}</b> {escape(str(row.get('message', '')))}"
        lines.append(f"<li><time>{when}</time><span>{text}</span></li>")
    nothing = "Nothing out of the ordinary happened." if story.rows else "Nothing yet."
    body = f"<ol>{''.join(lines)}</ol>" if lines else f'<p class="note">{nothing}</p>'
    return f"<section>\n<h2>Events</h2>\n{body}\n</section>"


def _use(run: RunFolder, story: _Story) -> str:
    folder = escape(shlex.quote(str(run.path)))
    why = "Train longer, from the last checkpoint" if story.is_finished else "Go on from the last checkpoint"
    verb = verb_of(method_kind(_recipe_text(run)))
    rest = "-n 64 --seed 0" if verb == "sample" else "IMAGES"
    sample = f"<p>Make new images:</p>\n<pre>gansmith {verb} {folder} {rest}</pre>\n" if story.rows else ""
    return f"<section>\n<h2>Use it</h2>\n{sample}<p>{why}:</p>\n<pre>gansmith resume {folder}</pre>\n</section>"


def _recipe_text(run: RunFolder) -> str:
    return run.recipe.read_text(encoding="utf-8", errors="replace") if run.recipe.is_file() else ""


def _recipe(run: RunFolder) -> str:
    text = escape(_recipe_text(run))
    if not text:
        return ""
    return f"<section>\n<details><summary>Recipe</summary>\n<pre>{text}</pre></details>\n</section>"


def _img(picture: Picture, alt: str) -> str:
    return f'<img width="{picture.width}" height="{picture.height}" alt="{escape(alt)}" src="{picture.uri}">'


def _previews(run: RunFolder, kind: str) -> Sequence[Path]:
    """Return the preview pictures of a kind, oldest first."""
    return sorted(path for path in run.samples.glob(f"*-{kind}.png") if path.stem[:9].isdigit())


def _iteration(path: Path) -> int:
    return int(path.stem[:9])


def _kimg(value: float | None) -> str:
    return "?" if value is None else f"{value:,.0f}" if value >= 100 else f"{value:,.3g}"
