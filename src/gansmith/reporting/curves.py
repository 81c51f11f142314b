"""The curves of a run as one PNG: losses, D(x), gradients, penalties, updates, metrics."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby, pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from gansmith.core.atomic_files import commit_file
from gansmith.imaging.images import on_white, to_pil
from gansmith.reporting.load_matplotlib import load_matplotlib
from gansmith.reporting.panels import PANELS, Panel
from gansmith.reporting.series import column, extremes, is_number, means, robust_limits, smooth
from gansmith.runs.log import REVISED

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LIMIT_BYTES = 200_000
COLOURS_IN_FILE = 128
RESOLUTIONS = (160, 130, 110, 90, 70, 50)  # dots per inch, tried in turn until the file has at most LIMIT_BYTES
WIDTH_INCH, PANEL_INCH = 7.2, 1.55
SMOOTH_FROM_ROWS, MARK_UP_TO_ROWS = 60, 30
INK, FAINT_INK = "#24292f", "#6e7781"
# Okabe and Ito 2008: colours that people with any colour vision can tell apart, without yellow, too pale for a line.
COLOURS = ("#009E73", "#E69F00", "#56B4E9", "#000000", "#CC79A7", "#0072B2", "#D55E00")
ROLES = {
    "discriminator": "#0072B2",
    "real": "#0072B2",
    "generator": "#D55E00",
    "fake": "#D55E00",
    "fake_after": "#B0588A",
}
NAMES = {"real": "D(x)", "fake": "D(G(z))", "fake_after": "D(G(z)) after D's step"}


def draw_curves(rows: list[dict[str, Any]], path: Path) -> None:
    """Write the curves of log rows as a PNG of at most 200 kB; rows with ``event`` become vertical lines."""
    load_matplotlib()
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    figure = curves_figure(rows)
    canvas: Any = FigureCanvasAgg(figure)

    def write(temporary: Path) -> None:
        for dpi in RESOLUTIONS:
            figure.set_dpi(dpi)
            canvas.draw()
            picture = to_pil(on_white(np.asarray(canvas.buffer_rgba())))
            picture.quantize(COLOURS_IN_FILE).save(temporary, "PNG", optimize=True)
            if temporary.stat().st_size <= LIMIT_BYTES:
                return

    commit_file(path, write)


def curves_figure(rows: list[dict[str, Any]]) -> Figure:
    """Return a figure with a panel for each prefix found in the rows, and a line for each column."""
    load_matplotlib()
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    marked = [row for row in rows if row.get("event", REVISED) != REVISED]
    events = [_at_its_beginning(row) for row in marked if is_number(row.get("kimg"))]
    rows = [row for row in rows if "event" not in row and is_number(row.get("kimg"))]
    names = list(dict.fromkeys(name for row in rows for name in row))
    panels = [(panel, [n for n in names if panel.shows(n)]) for panel in PANELS]
    panels = [(panel, columns) for panel, columns in panels if columns] or [(Panel("", "curves"), [])]
    height = PANEL_INCH * max(len(panels), 1.3) + 0.6
    layout = ConstrainedLayoutEngine(hspace=0.04, h_pad=0.06)
    figure = Figure(figsize=(WIDTH_INCH, height), facecolor="white", layout=layout)
    grid = figure.subplots(len(panels), 1, sharex=True, squeeze=False)
    end = max((float(row["kimg"]) for row in [*rows, *events]), default=0.0) or 1.0
    for axes, (panel, columns) in zip(grid[:, 0], panels, strict=True):
        style_panel(axes, panel)
        axes.set_xlim(-0.01 * end, 1.01 * end)
        _draw_panel(axes, panel, {name: column(rows, name) for name in columns})
        for event in events:
            axes.axvline(event["kimg"], color=FAINT_INK, linewidth=0.8, linestyle=(0, (4, 3)), zorder=1)
    _label_events(grid[0, 0], events, end)
    smoothed = "     faint: logged, strong: smoothed" if len(rows) >= SMOOTH_FROM_ROWS else ""
    grid[-1, 0].set_xlabel(f"kimg (thousands of real images shown to D){smoothed}", color=INK, fontsize=9)
    if not any(columns for _, columns in panels):
        text = "the log has no values to draw" if rows else "the log has no rows yet"
        grid[0, 0].text(0.5, 0.5, text, transform=grid[0, 0].transAxes, ha="center", color=FAINT_INK, fontsize=13)
        grid[0, 0].set(xticks=[], yticks=[])
    return figure


def _at_its_beginning(event: dict[str, Any]) -> dict[str, Any]:
    """Return an event with the kimg at which it began: a verdict is logged later than that."""
    began = event.get("began_kimg")
    return {**event, "kimg": began} if is_number(began) else event


def style_panel(axes: Axes, panel: Panel) -> None:
    """Give a plot its title, its guide and quiet axes."""
    axes.set_title(panel.title, loc="left", fontsize=10, fontweight="bold", color=INK)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color("#d0d7de")
    axes.tick_params(which="both", colors=FAINT_INK, labelsize=8, length=3)
    axes.grid(axis="y", color="#eaeef2", linewidth=0.8)
    axes.set_axisbelow(True)
    if panel.guide is not None:
        axes.axhline(panel.guide, color=FAINT_INK, linewidth=1, linestyle=(0, (1, 2)), zorder=1.5)


def _draw_panel(axes: Axes, panel: Panel, series: dict[str, tuple[np.ndarray, np.ndarray]]) -> None:
    spare = iter(COLOURS * (1 + len(series) // len(COLOURS)))
    latest: list[tuple[float, str]] = []
    for name, (x, y) in series.items():
        colour = ROLES.get(panel.role(name)) or next(spare)
        drawn = _draw_line(axes, panel, name, x, y, colour)
        finite = drawn[np.isfinite(drawn)]
        if finite.size:
            latest.append((float(finite[-1]), colour))
    _set_limits(axes, panel, [y for _, y in series.values()])
    _write_latest(axes, latest)
    _add_legend(axes)


def _draw_line(axes: Axes, panel: Panel, name: str, x: np.ndarray, y: np.ndarray, colour: str) -> np.ndarray:
    """Draw a column, smoothed if it is long, with a mark at each value that is not finite; return the main line's y."""
    role = panel.role(name)
    dashes = "--" if role.endswith("_after") else "-"
    missing = x[np.isnan(y) & np.isfinite(x)]
    y = np.where(y > 0, y, np.nan) if panel.is_log else y
    many = len(x) >= SMOOTH_FROM_ROWS
    marker = "o" if np.isfinite(y).sum() <= MARK_UP_TO_ROWS else ""
    style = {"linewidth": 0.7, "alpha": 0.28} if many else {"linewidth": 1.6, "linestyle": dashes}
    axes.plot(*extremes(x, y), color=colour, marker=marker, markersize=3, gid=f"raw {name}", **style)
    if many:
        x, y = means(x, y)
        y = smooth(y, panel.is_log)
        axes.plot(x, y, color=colour, linewidth=1.8, linestyle=dashes, gid=f"smooth {name}")
    label = NAMES.get(role) if panel.prefix in ("d_", "score_") else None
    axes.lines[-1].set_label(label or role.replace("_", " "))
    if missing.size:
        at_bottom = axes.get_xaxis_transform()
        height = np.full(missing.size, 0.03)
        axes.plot(missing, height, "x", color=colour, ms=5, transform=at_bottom, gid=f"missing {name}")
        axes.lines[-1].set_label("no finite value")
    return y


def _add_legend(axes: Axes) -> None:
    """Write the names of the lines to the right of the title."""
    handles = {str(line.get_label()): line for line in axes.lines}
    shown = {label: line for label, line in handles.items() if not label.startswith("_")}
    if not shown:
        return
    style: dict[str, Any] = {
        "frameon": False,
        "fontsize": 8,
        "handlelength": 1.6,
        "columnspacing": 1.4,
        "borderpad": 0.1,
    }
    place: dict[str, Any] = {"loc": "lower right", "bbox_to_anchor": (1.0, 0.98), "ncols": min(len(shown), 6)}
    legend = axes.legend(list(shown.values()), list(shown), **style, **place)
    for text in legend.get_texts():
        text.set_color(INK)
        text.set_parse_math(False)


def _set_limits(axes: Axes, panel: Panel, values: Sequence[np.ndarray]) -> None:
    """Choose the range of y, and note in the plot how many values lie outside."""
    if panel.is_share and not any((y < 0).any() or (y > 1).any() for y in values):
        axes.set_ylim(-0.04, 1.04)
        axes.set_yticks([0, 0.25, 0.5, 0.75, 1], ["0", "", "0.5", "", "1"])
        return
    every = [np.log10(y[y > 0]) if panel.is_log else y for y in values]
    low, high, outside = robust_limits(every)
    if panel.guide is not None and not panel.is_log:
        low, high = min(low, panel.guide), max(high, panel.guide)
    margin = 0.06 * (high - low) or 0.5 * abs(high) or 0.5
    low, high = low - margin, high + margin
    notes = []
    if outside.size:
        worst = outside[np.abs(outside - (low + high) / 2).argmax()]
        worst = 10**worst if panel.is_log else worst
        notes.append(f"view clipped: {outside.size:,} value{'s' * (outside.size > 1)} outside, as far as {worst:.3g}")
    if panel.is_log:
        _log_scale(axes, low, high)
        zeros = sum(int((y <= 0).sum()) for y in values)
        notes += [f"not drawn: {zeros:,} value{'s' * (zeros > 1)} of 0"] if zeros else []
    else:
        axes.set_ylim(low, high)
    if notes:
        axes.text(
            0.008,
            0.95,
            "; ".join(notes),
            transform=axes.transAxes,
            va="top",
            fontsize=7.5,
            style="italic",
            color=INK,
            bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.85, "pad": 1.5},
            zorder=5,
        )


def _log_scale(axes: Axes, low: float, high: float) -> None:
    """Show 10**low to 10**high with plain numbers at the ticks; a narrow range gets more ticks."""
    load_matplotlib()
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    axes.set_yscale("log")
    axes.set_ylim(10**low, 10**high)
    steps = (1, 1.5, 2, 3, 5, 7) if high - low < 0.7 else (1, 2, 5) if high - low < 1.5 else (1,)
    axes.yaxis.set_major_locator(LogLocator(subs=steps, numticks=6))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def _write_latest(axes: Axes, latest: list[tuple[float, str]]) -> None:
    """Write the latest value of each line at the right edge; move values apart that would overlap."""
    if not latest:
        return
    to_share = axes.transLimits.transform
    scale = axes.transScale.transform
    heights = [float(np.clip(to_share(scale((1.0, value)))[1], 0.02, 0.98)) for value, _ in latest]
    order, gap = sorted(range(len(latest)), key=heights.__getitem__), 0.13
    for before, here in pairwise(order):
        heights[here] = max(heights[here], heights[before] + gap)
    excess = max(0.0, heights[order[-1]] - 1.0)
    for place, index in enumerate(order):
        height = min(heights[index], 1.0 - gap * (len(order) - 1 - place)) if excess else heights[index]
        value, colour = latest[index]
        axes.annotate(
            f"{value:.3g}",
            (1, height),
            (5, 0),
            xycoords="axes fraction",
            textcoords="offset points",
            va="center",
            color=colour,
            fontsize=8.5,
            fontweight="bold",
            annotation_clip=False,
        )


def _label_events(axes: Axes, events: list[dict[str, Any]], end: float) -> None:
    """Name the events in the first panel; events that lie too close together share a label."""
    clusters: list[list[dict[str, Any]]] = []
    for event in sorted(events, key=lambda row: float(row["kimg"])):
        if clusters and event["kimg"] - clusters[-1][0]["kimg"] < 0.025 * end:
            clusters[-1].append(event)
        else:
            clusters.append([event])
    for cluster in clusters:
        counts = {name: len(list(same)) for name, same in groupby(sorted(str(row["event"]) for row in cluster))}
        text = ", ".join(name if count == 1 else f"{name} x{count}" for name, count in counts.items())
        axes.annotate(
            text[:40],
            (cluster[0]["kimg"], 0.97),
            (2, 0),
            xycoords=("data", "axes fraction"),
            textcoords="offset points",
            rotation=90,
            va="top",
            ha="left",
            fontsize=7.5,
            color=INK,
            parse_math=False,
            bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 0.8},
            zorder=6,
        )
