"""The result of a sweep, and its page: variants with deviations over seeds, curves, samples, and its runs."""

import io
import os
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np

from gansmith.core.atomic_files import commit_text
from gansmith.core.html import embedded, table
from gansmith.core.metric_name import column_of
from gansmith.core.plain_files import read_bytes
from gansmith.evaluation.compare import FEWEST, MOST, compare
from gansmith.evaluation.result import NOISE
from gansmith.evaluation.variants import RunOfVariant, SweepTable, Variant, compare_variants, number_texts
from gansmith.reporting.comparison_curves import LINES
from gansmith.reporting.comparison_page import write_comparison
from gansmith.reporting.curves import INK, style_panel
from gansmith.reporting.load_matplotlib import load_matplotlib
from gansmith.reporting.page import page, section
from gansmith.reporting.panels import Panel
from gansmith.runs.folder import RunFolder
from gansmith.runs.log import best_snapshot
from gansmith.runs.sweep import SweepFolder

MOST_PICTURES = 12  # variants with samples on the page, the best ones
DPI = 110
RULE = (
    "± is the standard deviation over seeds. A variant leads if its mean is best, or if its differences from the "
    f"best, seed by seed, have a mean within {NOISE:g} standard deviations. fd is measured at each run's best snapshot."
)


@dataclass(frozen=True)
class Sweep:
    """A sweep that is finished or paused."""

    folder: Path
    finished: bool
    table: SweepTable
    page: Path

    def to_json(self) -> dict[str, Any]:
        """Return what ``gansmith sweep --json`` prints: JSON values."""
        return {"folder": str(self.folder), "finished": self.finished, "page": str(self.page), **self.table.to_json()}

    def _repr_html_(self) -> str:
        return self.table._repr_html_()


def end_sweep(sweep: SweepFolder) -> Sweep:
    """Compare the runs of a sweep, and write its page."""
    found = compare_variants(sweep)
    best = [run for variant in found.ranked if (run := variant.best) is not None][:MOST]
    if len(best) >= FEWEST and sweep.record.is_finished:
        write_comparison(compare([sweep.path / run.folder for run in best], "cpu"), sweep.comparison)
    return Sweep(sweep.path, sweep.record.is_finished, found, write_sweep(sweep, found))


def write_sweep(sweep: SweepFolder, found: SweepTable) -> Path:
    """Write the page of a sweep and return its path."""
    record = sweep.record
    done = sum(run.state != "waiting" for run in record.runs)
    state = f"{done} of {record.total} runs have ended"
    parts = [
        section("Which is better?", _variants(sweep, found)),
        *([section("Fréchet distance while training", _curves(found))] if found.metric else []),
        *_samples(sweep, found),
        section("Runs", _runs(sweep, found)),
    ]
    varied = " and ".join(record.vary)
    text = page(f"{record.recipe['name']}: {varied}", "gansmith sweep", f"<p>{escape(state)}</p>", parts)
    commit_text(sweep.page, text)
    return sweep.page


def _name(found: SweepTable, variant: Variant) -> str:
    colour = LINES[found.variants.index(variant) % len(LINES)]
    return f'<span class="dot" style="background:{colour}"></span>{variant.letter}'


def _variants(sweep: SweepFolder, found: SweepTable) -> str:
    rows = []
    for variant in found.ranked:
        texts = [escape(text) for text in number_texts(variant, found.metrics)]
        if texts and found.is_decided and variant.letter in found.leaders:
            texts[0] = f"<b>{texts[0]}</b>"
        changes = f"<code>{escape(' '.join(variant.changes))}</code>"
        rows.append([_name(found, variant), changes, *texts, escape(variant.verdicts)])
    heads = ["", "changes", *map(escape, found.metrics), "runs"]
    more = f'<p><a href="{sweep.comparison.name}">The best seeds of the best variants side by side</a></p>'
    said = f"<p>{escape(found.sentence)}.</p>\n{table(heads, rows)}\n{more if sweep.comparison.is_file() else ''}"
    return f'{said}\n<p class="note">{escape(RULE)}</p>'


def _curves(found: SweepTable) -> str:
    png = draw_sweep(found)
    if not png:
        return '<p class="note">No run has snapshots.</p>'
    note = "Left: mean over seeds, and the range of the seeds. Right: the number that decides, for each seed."
    return f'<div class="scroll"><img alt="Curves" src="{embedded(png)}"></div>\n<p class="note">{note}</p>'


def draw_sweep(found: SweepTable) -> bytes:
    """Return a PNG: fd over kimg for each variant, and the deciding metric by seed; b"" without snapshots."""
    load_matplotlib()
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    curves = [(variant, _curve(variant)) for variant in found.variants]
    if not any(len(kimg) for _, (kimg, _) in curves):
        return b""
    figure = Figure(figsize=(11, 3.6), dpi=DPI, facecolor="white", layout="constrained")
    left, right = figure.subplots(1, 2)
    style_panel(left, Panel("fd", "fd of snapshots", is_log=True))
    style_panel(right, Panel("fd", found.metric))
    for place, (variant, (kimg, values)) in enumerate(curves):
        colour = LINES[place % len(LINES)]
        if len(kimg):
            left.plot(kimg, np.nanmean(values, 0), color=colour, linewidth=1.6, label=variant.letter)
            left.fill_between(kimg, np.nanmin(values, 0), np.nanmax(values, 0), color=colour, alpha=0.18, linewidth=0)
        seeds = list(variant.values(found.metric).values())
        right.plot([place] * len(seeds), seeds, "o", color=colour, markersize=4, alpha=0.6)
        if (number := variant.number(found.metric)) is not None:
            right.errorbar([place], [number.value], yerr=[number.deviation or 0], fmt="_", color=colour, capsize=6)
    left.set_xlabel("kimg (thousands of real images shown to D)", color=INK, fontsize=9)
    right.set_xticks(range(len(curves)), [variant.letter for variant, _ in curves])
    left.legend(fontsize=8, frameon=False, ncols=6)
    out = io.BytesIO()
    canvas: Any = FigureCanvasAgg(figure)
    canvas.print_png(out)
    return out.getvalue()


def _curve(variant: Variant) -> tuple[np.ndarray, np.ndarray]:
    """Return the kimg of all snapshots (N), and fd of each run (R, N), NaN where a run has no snapshot."""
    rows = [{row["kimg"]: row[_fd(row)] for row in run.snapshots if _fd(row)} for run in variant.runs]
    kimg = sorted({each for row in rows for each in row})
    kept = [row for row in rows if row]
    return np.array(kimg), np.array([[row.get(each, np.nan) for each in kimg] for row in kept])


def _fd(row: dict[str, Any]) -> str:
    return column_of(row, "fd")


def _samples(sweep: SweepFolder, found: SweepTable) -> list[str]:
    """Return the section with the previews of each variant's best run."""
    figures = []
    for variant in found.ranked[:MOST_PICTURES]:
        if (best := variant.best) is None or (grid := _grid(sweep, best)) is None:
            continue
        words = f"<b>{_name(found, variant)}</b> <span>{escape(' '.join(variant.changes))}, seed {best.seed}</span>"
        source = embedded(read_bytes(grid))
        figures.append(
            f'<figure><figcaption>{words}</figcaption><img class="sharp" alt="Samples of {variant.letter}" '
            f'src="{source}"></figure>'
        )
    return [section("Previews of the best seed", f'<div class="pictures">{"".join(figures)}</div>')] if figures else []


def _grid(sweep: SweepFolder, run: RunOfVariant) -> Path | None:
    best = best_snapshot(run.snapshots)
    return RunFolder(sweep.path / run.folder).grid_from(best["iteration"] if best else float("inf"))


def _runs(sweep: SweepFolder, found: SweepTable) -> str:
    rows = []
    for variant in found.variants:
        for run in variant.runs:
            report = sweep.path / run.folder / "report.html"
            name = escape(run.folder)
            if report.is_file():
                name = f'<a href="{quote(os.path.relpath(report, sweep.path))}">{name}</a>'
            how = f"ended by {run.verdict}" if run.is_ended else run.error or run.verdict
            numbers = [f"{run.numbers[each].value:.4g}" if each in run.numbers else "" for each in found.metrics]
            state = escape(f"{run.state}: {how}" if how else run.state)
            rows.append(
                [name, variant.letter, str(run.seed), *numbers, f"{run.kimg:,.1f}", f"{run.minutes:,.1f}", state]
            )
    return table(["run", "", "seed", *map(escape, found.metrics), "kimg", "minutes", ""], rows)
