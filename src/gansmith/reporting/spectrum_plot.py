"""The plot of power spectra: samples of one or more models against real images."""

import io
from collections.abc import Mapping, Sequence
from typing import Any

from gansmith.evaluation.result import Evaluation
from gansmith.reporting.curves import FAINT_INK, INK
from gansmith.reporting.load_matplotlib import load_matplotlib

SIZE_INCH, DPI = (7.2, 3.0), 110
REAL = "#000000"
NOTE = (
    "Mean power of the samples around each spatial frequency, compared with real images. Above the black line at the "
    "right: grain; below it: blur; a peak at a period of 2 px: a checkerboard."
)


def spectra_of(found: Mapping[str, Evaluation]) -> dict[str, dict[str, Any]]:
    """Return the facts of metric ``texture`` by name, of the evaluations that have them."""
    facts = {name: each.facts.get("texture", {}) for name, each in found.items()}
    return {name: each for name, each in facts.items() if each.get("frequencies")}


def draw_spectra(spectra: Mapping[str, Mapping[str, Any]], colours: Sequence[str]) -> bytes:
    """Return a PNG with the spectrum of the first evaluation's real images and of each one's samples."""
    load_matplotlib()
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(SIZE_INCH, DPI, layout="constrained", facecolor="white")
    axes: Any = figure.subplots()
    first = next(iter(spectra.values()))
    axes.plot(first["frequencies"], first["power_real"], color=REAL, linewidth=1.6, label="real images")
    for (name, facts), colour in zip(spectra.items(), colours, strict=False):
        axes.plot(facts["frequencies"], facts["power_fake"], color=colour, linewidth=1.6, label=name)
    axes.set_yscale("log")
    axes.axvline(0.5, color=FAINT_INK, linewidth=0.8, linestyle=(0, (4, 3)))
    axes.annotate("period 2 px", (0.5, 1), (4, -4), xycoords=("data", "axes fraction"), textcoords="offset points",
                  va="top", color=FAINT_INK, fontsize=8)  # fmt: skip
    axes.set_xlabel("spatial frequency, cycles per pixel", color=INK, fontsize=9)
    axes.set_ylabel("power", color=INK, fontsize=9)
    axes.tick_params(colors=FAINT_INK, labelsize=8)
    axes.grid(axis="y", color=FAINT_INK, alpha=0.2)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=8)
    file = io.BytesIO()
    FigureCanvasAgg(figure).print_png(file)  # type: ignore[no-untyped-call]
    return file.getvalue()
