"""The plot of a study: accuracy over the number of real images per class."""

from pathlib import Path
from typing import Any

import numpy as np

from gansmith.core.atomic_files import commit_file
from gansmith.core.output_paths import output_file
from gansmith.evaluation.downstream.study import ALL, SYNTHETIC, Study
from gansmith.reporting.curves import COLOURS, FAINT_INK, INK
from gansmith.reporting.load_matplotlib import load_matplotlib

SIZE_INCH, DPI = (7.2, 4.2), 120
MARKS = "osD^"


def check_plot(out: str | Path) -> Path:
    """Return the path of a plot; GansmithError if it does not end in .png or its folder cannot be made."""
    return output_file(out, "a plot", ".png")


def draw_study(found: Study, out: str | Path) -> Path:
    """Write the plot as a PNG: a line for each kind of training set, in a band of one standard deviation over seeds."""
    load_matplotlib()
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(SIZE_INCH, DPI, layout="constrained")
    axes: Any = figure.subplots()
    places = np.arange(len(found.counts))
    for number, (kind, accuracies) in enumerate(found.accuracies.items()):
        values = [accuracies[ALL if kind == SYNTHETIC else name] for name in found.counts]
        mean, spread = 100 * np.mean(values, 1), 100 * np.std(values, 1, ddof=1)
        colour = COLOURS[(5, 0, 6, 3)[number]]
        style = {"linestyle": "--"} if kind == SYNTHETIC else {"marker": MARKS[number], "markersize": 5}
        axes.plot(places, mean, color=colour, label=kind, linewidth=1.8, **style)
        axes.fill_between(places, mean - spread, mean + spread, color=colour, alpha=0.2, linewidth=0)
    axes.set_xticks(places, found.counts)
    axes.set_xlabel("real images per class", color=INK)
    axes.set_ylabel("accuracy on real test images, %", color=INK)
    axes.grid(axis="y", color=FAINT_INK, alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    path = check_plot(out)
    commit_file(path, lambda temporary: FigureCanvasAgg(figure).print_png(temporary))  # type: ignore[no-untyped-call]
    return path
