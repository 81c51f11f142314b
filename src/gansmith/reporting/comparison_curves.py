"""The curves of several runs in one figure, over kimg and over minutes."""

import io
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from gansmith.reporting.curves import COLOURS, FAINT_INK, INK, PANEL_INCH, ROLES, WIDTH_INCH, style_panel
from gansmith.reporting.load_matplotlib import load_matplotlib
from gansmith.reporting.panels import Panel
from gansmith.reporting.series import MAX_POINTS, column, means, robust_limits, smooth

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LINES = (ROLES["discriminator"], ROLES["generator"], *COLOURS)  # colours of the runs, in order
PREFIXES = ("fd", "fid", "d_real", "d_fake", "score_", "loss_")  # of the columns to compare, most important first
MOST_PANELS, DPI = 7, 110


def draw_overlay(runs: Mapping[str, list[dict[str, Any]]]) -> bytes:
    """Return a PNG with the curves of several runs; b"" if no row has a finite value.

    ``runs`` maps the name of each run to its log rows, each with ``kimg`` and ``minutes``.
    """
    load_matplotlib()
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    figure = overlay_figure(runs)
    if figure is None:
        return b""
    out = io.BytesIO()
    canvas: Any = FigureCanvasAgg(figure)
    canvas.print_png(out)
    return out.getvalue()


def overlay_figure(runs: Mapping[str, list[dict[str, Any]]]) -> "Figure | None":
    """Return a figure with two plots for each column, over kimg and over minutes, and a line for each run."""
    load_matplotlib()
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine
    from matplotlib.lines import Line2D

    names = _drawn_columns(runs)
    if not names:
        return None
    size = (1.6 * WIDTH_INCH, PANEL_INCH * len(names) + 0.8)
    figure = Figure(figsize=size, dpi=DPI, facecolor="white", layout=ConstrainedLayoutEngine(hspace=0.05, h_pad=0.06))
    grid = figure.subplots(len(names), 2, sharex="col", sharey="row", squeeze=False)
    for index, name in enumerate(names):
        lines = {run: column(rows, name) for run, rows in runs.items()}
        low, high, _ = robust_limits([y for _, y in lines.values()])
        for place, unit in enumerate(("kimg", "minutes")):
            axes = grid[index, place]
            style_panel(axes, Panel(name, name if place == 0 else ""))
            for rows, colour in zip(runs.values(), LINES * 2, strict=False):
                x, y = column([{**row, "kimg": row[unit]} for row in rows], name)
                if not len(x):  # this run lacks the column
                    continue
                x, y = means(x, smooth(y)) if len(x) > MAX_POINTS else (x, smooth(y))
                axes.plot(x, y, color=colour, linewidth=1.5)
            margin = 0.06 * (high - low) or 0.5 * abs(high) or 0.5
            axes.set_ylim(low - margin, high + margin)
    for place, text in enumerate(("kimg (thousands of real images shown to D)", "minutes of training")):
        grid[-1, place].set_xlabel(text, color=INK, fontsize=9)
        grid[-1, place].set_xlim(left=0)
    marks = [Line2D([], [], color=colour, label=run) for run, colour in zip(runs, LINES * 2, strict=False)]
    grid[0, 1].legend(
        handles=marks, loc="upper right", ncols=len(runs), fontsize=9, frameon=False, labelcolor=FAINT_INK
    )
    return figure


def _drawn_columns(runs: Mapping[str, list[dict[str, Any]]]) -> list[str]:
    """Return the columns with a finite value in some row: quality first, losses last, at most MOST_PANELS."""
    found = dict.fromkeys(name for rows in runs.values() for row in rows for name in row)
    chosen = [name for prefix in PREFIXES for name in found if name.startswith(prefix) and not name.endswith("_after")]
    drawn = [name for name in chosen if any(np.isfinite(column(rows, name)[1]).any() for rows in runs.values())]
    return drawn[:MOST_PANELS]
