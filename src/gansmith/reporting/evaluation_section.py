"""The newest evaluation of a run in its report: metrics, classes, nearest training images."""

import shlex
from html import escape
from pathlib import Path
from typing import Any

from gansmith.core.errors import MetricError
from gansmith.core.html import embedded, table
from gansmith.evaluation.baselines import BaselineComparison, baseline_comparisons
from gansmith.evaluation.result import FOLDER, PAIRS, TRANSLATIONS, Evaluation, best_end, last_evaluation
from gansmith.reporting.comparison_curves import LINES
from gansmith.reporting.embedded_images import img_tag, load_picture
from gansmith.reporting.page import section
from gansmith.reporting.spectrum_plot import NOTE, draw_spectra, spectra_of

ENDS = {
    "low": "lower is better",
    "high": "higher is better",
    "one": "real images have 1",
    "zero": "real images have 0",
    "chance": "at most 0.5 is good",
    "": "",
}
TITLE = "How good are the images?"


def evaluation_sections(folder: Path, kimg: float | None) -> str:
    """Return the sections as HTML for the run in ``folder``, whose model was saved at ``kimg``."""
    try:
        found = last_evaluation(folder)
        comparisons = [] if found is None else baseline_comparisons(found)
    except MetricError as problem:
        return section(TITLE, f'<p class="note">{escape(str(problem))}</p>')
    command = escape(f"gansmith evaluate {shlex.quote(str(folder))}")
    if found is None:
        note = "No evaluation yet, and losses do not measure quality. Evaluate the model:"
        return section(TITLE, f'<p class="note">{note}</p>\n<pre>{command}</pre>')
    at = "Evaluated" if found.kimg is None else f"Evaluated at {found.kimg:,.1f} kimg"
    if kimg is not None and found.kimg is not None and abs(found.kimg - kimg) > 0.05:
        at += f"; the model is from {kimg:,.1f} kimg now, so evaluate it again: <code>{command}</code>"
    stamp = "<br>".join(escape(line) for line in [*found.protocol.lines(), f"gansmith {found.protocol.gansmith}"])
    words = "".join(f"<li><span>{escape(line)}</span></li>" for line in found.words)
    skipped = [f"not measured: {kind} ({why})" for kind, why in found.skipped.items()]
    missing = f'<p class="note">{"<br>".join(escape(line) for line in skipped)}</p>' if skipped else ""
    numbers = "\n".join(map(_comparison, comparisons)) if comparisons else _numbers(found)
    body = f'<ul class="plain">{words}</ul>\n{numbers}\n<p class="note">{at},<br>{stamp}.</p>\n{missing}'
    parts = (
        section(TITLE, body),
        _classes(found),
        _spectrum(found),
        _pairs(folder, found),
        _translations(folder, comparisons),
    )
    return "\n".join(part for part in parts if part)


def number_text(value: float, deviation: float | None) -> str:
    """Return a metric with its standard deviation."""
    return f"{value:.4g}" if deviation is None else f"{value:.4g} ± {deviation:.2g}"


def _numbers(found: Evaluation) -> str:
    rows = [
        [escape(name), number_text(number.value, number.deviation), ENDS[best_end(name)], escape(number.over)]
        for name, number in found.numbers.items()
    ]
    return table(["metric", "value ± standard deviation", "how to read it", "deviation over"], rows)


def _comparison(found: BaselineComparison) -> str:
    """Return a table with the metrics of the translations, of the baseline and of the targets."""
    rows = []
    for name in found.names():
        gain = "{:+.3g} to {:+.3g}".format(*found.interval(name)) if name in found.gains else ""
        numbers = (each.get(name) for each in (found.model, found.without, found.target))
        cells = ["" if number is None else number_text(number.value, number.deviation) for number in numbers]
        rows.append([escape(name), *cells, gain, found.verdict(name), ENDS[best_end(name)]])
    baseline = escape(found.baseline)
    heads = [
        escape(found.title),
        "model",
        baseline,
        "targets",
        f"model - {baseline}, 95 %",
        "the model is",
        "how to read it",
    ]
    return table(heads, rows)


def _classes(found: Evaluation) -> str:
    """Return the class histogram of samples beside real images; it marks missing and over-fed classes."""
    facts: dict[str, Any] = found.facts.get("class_coverage", {})
    if not facts:
        return ""
    most = max([*facts["real_shares"], *facts["fake_shares"], 1e-9])
    rows = []
    for name, real, fake in zip(facts["classes"], facts["real_shares"], facts["fake_shares"], strict=True):
        mark = "missing" if name in facts["missing"] else "over-fed" if name in facts["over_fed"] else ""
        bars = [
            f'<div class="bar {kind}" style="width:{100 * share / most:.1f}%"></div>'
            for kind, share in (("fake", fake), ("real", real))
        ]
        rows.append([escape(name), "".join(bars), f"{fake:.1%}", f"{real:.1%}", f"<b>{mark}</b>"])
    body = table(["class", '<span class="bars">samples above, real images below</span>', "samples", "real", ""], rows)
    return section("Which classes the model makes, by the classifier of the metric", body)


def _spectrum(found: Evaluation) -> str:
    """Return the plot of power spectra, if the texture was measured."""
    spectra = spectra_of({"samples": found})
    if not spectra:
        return ""
    img = f'<div class="scroll"><img alt="Power spectra" src="{embedded(draw_spectra(spectra, LINES))}"></div>'
    return section("Is fine detail as in real images?", f'{img}\n<p class="note">{NOTE}</p>')


def _pairs(folder: Path, found: Evaluation) -> str:
    picture = load_picture(folder / FOLDER / PAIRS) if "memorization" in found.facts else None
    if picture is None:
        return ""
    facts = found.facts["memorization"]
    text = (
        "The samples nearest to a training image, each beside that image, with their distance. Held-out images have "
        f"a median distance of {facts['held_out_median']:.3g}; few of them are nearer than {facts['limit']:.3g}."
    )
    img = img_tag(picture, "Samples and their nearest training images")
    return section("Are samples copies of training images?", f'<p class="note">{escape(text)}</p>\n{img}')


def _translations(folder: Path, comparisons: list[BaselineComparison]) -> str:
    picture = load_picture(folder / FOLDER / TRANSLATIONS) if comparisons else None
    if picture is None:
        return ""
    text = "Images of the reference set, the result of the baseline, and the translation by the model."
    return section("Translations side by side", f'<p class="note">{text}</p>\n{img_tag(picture, "Translations")}')
