"""The report of a run: one HTML file that works offline."""

import json
import shlex
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from gansmith.core.atomic_files import commit_text
from gansmith.core.errors import GansmithError
from gansmith.core.html import embedded
from gansmith.core.plain_files import MAX_YAML_BYTES, read_bytes
from gansmith.methods.base import verb_of
from gansmith.recipes.load import method_kind
from gansmith.reporting.curves import draw_curves
from gansmith.reporting.embedded_images import Picture, img_tag, load_picture, slider_pictures
from gansmith.reporting.evaluation_section import evaluation_sections
from gansmith.reporting.health_section import health_section
from gansmith.reporting.page import page
from gansmith.reporting.panels import PANELS
from gansmith.reporting.series import is_number
from gansmith.runs.folder import RunFolder
from gansmith.runs.log import best_snapshot, events_in, read_rows

NUMBERS = tuple(panel.prefix for panel in PANELS)  # the columns of the log that the curves show


@dataclass(frozen=True)
class _History:
    """The history of a run: its log rows, its events in order, and its progress."""

    rows: list[dict[str, Any]]
    events: list[dict[str, Any]]
    kimg: float | None
    goal_kimg: float | None
    is_finished: bool

    def at(self, iteration: int) -> str:
        """Return an iteration in words: as kimg, if the log has rows to compute it from."""
        for row in reversed(self.rows):
            if is_number(row.get("kimg")) and is_number(row.get("iteration")) and row["iteration"] > 0:
                return f"{_kimg(iteration * row['kimg'] / row['iteration'])} kimg"
        return "the start" if iteration == 0 else f"iteration {iteration:,}"


def write_report(run: RunFolder, *, title: str, facts: dict[str, str]) -> Path:
    """Write report.html into the run folder and return its path; ``facts`` maps labels to values, both plain text."""
    history = _read(run)
    slider, has_script = _slider(run, history)
    best = best_snapshot(run.read_snapshots())  # the checkpoint of the model; None: the last one
    sections = [
        _facts(facts),
        _pictures(run, history),
        health_section(run),
        evaluation_sections(run.path, history.kimg if best is None else best["kimg"]),
        f'<div class="columns"><div>{slider}{_events(history)}{_use(run, history)}</div>{_curves(run, history)}</div>',
        _recipe(run),
    ]
    status, kind = _status(history)
    mark = f'<p class="status {kind}">{status}</p>'
    text = page(title, "gansmith training report", mark, sections, with_script=has_script)
    commit_text(run.report, text)
    return run.report


def _read(run: RunFolder) -> _History:
    everything = read_rows(run.log)
    rows = [row for row in everything if "event" not in row]
    events = {json.dumps(row, sort_keys=True): row for row in events_in([*everything, *read_rows(run.timing)])}
    try:
        length = run.record.length
    except GansmithError:
        length = None
    last = rows[-1] if rows else {}
    return _History(
        rows,
        sorted(events.values(), key=lambda row: row.get("iteration") or 0),
        last.get("kimg"),
        None if length is None else length.schedule_kimg,
        length is not None and last.get("iteration", 0) >= length.iterations,
    )


def _status(history: _History) -> tuple[str, str]:
    """Return the progress of the run in words, and its CSS class."""
    goal = f" of {_kimg(history.goal_kimg)}" if is_number(history.goal_kimg) else ""
    if history.kimg is None:
        return f"no rows yet{goal and goal + ' kimg'}", "paused"
    if history.is_finished:
        return f"finished at {_kimg(history.kimg)} kimg", "finished"
    return f"paused at {_kimg(history.kimg)}{goal} kimg", "paused"


def _facts(facts: dict[str, str]) -> str:
    pairs = [f"<div><dt>{escape(str(k))}</dt><dd>{escape(str(v))}</dd></div>" for k, v in facts.items()]
    return f"<section>\n<dl>{''.join(pairs)}</dl>\n</section>" if pairs else ""


def _pictures(run: RunFolder, history: _History) -> str:
    shown: list[tuple[str, str, Picture]] = []
    for kind, name in (
        ("ema", "Averaged weights (EMA)"),
        ("real", "Real images"),
        ("raw", "Weights without averaging"),
    ):
        paths = [run.samples / "real.png"] if kind == "real" else run.previews(kind)
        picture = load_picture(paths[-1]) if paths else None
        if picture is not None:
            when = "from the training data" if kind == "real" else f"at {history.at(_iteration(paths[-1]))}"
            shown.append((name, when, picture))
    if not shown:
        return '<section>\n<h2>Newest results</h2>\n<p class="note">No preview pictures yet.</p>\n</section>'
    figures = [
        f"<figure><figcaption><b>{name}</b> <span>{when}</span></figcaption>{img_tag(picture, name)}</figure>"
        for name, when, picture in shown
    ]
    wide = " wide" if shown[0][2].width > 2 * shown[0][2].height else ""
    grid = f'<div class="pictures{wide}">{"".join(figures)}</div>'
    return f"<section>\n<h2>Newest results, beside real images</h2>\n{grid}\n</section>"


def _slider(run: RunFolder, history: _History) -> tuple[str, bool]:
    """Return the section with the fixed inputs over time, and whether it needs the script."""
    pictures = slider_pictures(run.previews("ema") or run.previews("raw"))
    if len(pictures) < 2:
        return "", False
    frames = [[picture.uri, history.at(_iteration(path))] for path, picture in pictures]
    last = pictures[-1][1]
    width = last.width * max(1, 560 // last.width)
    sharp = "sharp" if all(picture.width == last.width for _, picture in pictures) else ""
    data = json.dumps(frames).replace("<", "\\u003c")
    return (
        "<section>\n<h2>Progress: the same inputs over time</h2>\n"
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
    return f'<p class="note">The same as a film, in the run folder: {links}</p>\n' if files else ""


def _curves(run: RunFolder, history: _History) -> str:
    path = run.path / "curves.png"
    if not history.rows:
        body = '<p class="note">The log has no rows yet.</p>'
    else:
        if not path.exists():
            draw_curves([*read_rows(run.log), *run.read_snapshots()], path)
        last = history.rows[-1]
        latest = [f"{k} {v:.3g}" for k, v in last.items() if k.startswith(NUMBERS) and is_number(v)]
        uri = embedded(read_bytes(path))
        alt = f"Curves over {_kimg(history.kimg)} kimg. Latest: {', '.join(latest)}"
        body = (
            f'<div class="scroll"><img alt="{escape(alt)}" src="{uri}"></div>\n'
            '<p class="note">Losses, scores and D(x) show the balance between generator (G) and discriminator '
            "(D). They do not measure image quality.</p>"
        )
    return f'<section class="curves">\n<h2>Curves</h2>\n{body}\n</section>'


def _events(history: _History) -> str:
    lines = []
    for row in history.events:
        when = f"{_kimg(row['kimg'])} kimg" if is_number(row.get("kimg")) else ""
        text = f"<b>{escape(str(row['event']))}</b> {escape(str(row.get('message', '')))}"
        lines.append(f"<li><time>{when}</time><span>{text}</span></li>")
    nothing = "No events: the run had no interruptions or problems." if history.rows else "No events yet."
    body = f"<ol>{''.join(lines)}</ol>" if lines else f'<p class="note">{nothing}</p>'
    return f"<section>\n<h2>Events</h2>\n{body}\n</section>"


def _use(run: RunFolder, history: _History) -> str:
    folder = escape(shlex.quote(str(run.path)))
    purpose = (
        "Train longer, from the newest checkpoint" if history.is_finished else "Continue from the newest checkpoint"
    )
    verb = verb_of(method_kind(_recipe_text(run)))
    rest = "-n 64 --seed 0" if verb == "sample" else "IMAGES"
    sample = f"<p>Make new images:</p>\n<pre>gansmith {verb} {folder} {rest}</pre>\n" if history.rows else ""
    return (
        f"<section>\n<h2>Use the model</h2>\n{sample}<p>{purpose}:</p>\n<pre>gansmith resume {folder}</pre>\n</section>"
    )


def _recipe_text(run: RunFolder) -> str:
    return read_bytes(run.recipe, MAX_YAML_BYTES).decode("utf-8", "replace") if run.recipe.is_file() else ""


def _recipe(run: RunFolder) -> str:
    text = escape(_recipe_text(run))
    if not text:
        return ""
    return f"<section>\n<details><summary>Recipe</summary>\n<pre>{text}</pre></details>\n</section>"


def _iteration(path: Path) -> int:
    return int(path.stem[:9])


def _kimg(value: float | None) -> str:
    return "?" if value is None else f"{value:,.0f}" if value >= 100 else f"{value:,.3g}"
