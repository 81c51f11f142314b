"""What a run's last judgement found, as part of its report: numbers with their protocol, classes, nearest images."""

import shlex
from html import escape
from pathlib import Path
from typing import Any

from gansmith.core.errors import MetricError
from gansmith.evaluation.baselines import BaselineComparison, baseline_comparisons
from gansmith.evaluation.result import FOLDER, PAIRS, TRANSLATIONS, Evaluation, best_end, last_evaluation
from gansmith.reporting.embedded_images import load_picture
from gansmith.reporting.page import section, table

ENDS = {
    "low": "lower is better",
    "high": "higher is better",
    "one": "1 is like real images",
    "chance": "0.5 or less is fine",
    "": "",
}
TITLE = "How good is it?"


def judged_sections(folder: Path, kimg: float | None) -> str:
    """Return the sections for the run in a folder, which is at ``kimg`` now."""
    try:
        found = last_evaluation(folder)
        comparisons = [] if found is None else baseline_comparisons(found)
    except MetricError as problem:
        return section(TITLE, f'<p class="note">{escape(str(problem))}</p>')
    command = escape(f"gansmith evaluate {shlex.quote(str(folder))}")
    if found is None:
        return section(TITLE, f'<p class="note">It was not judged yet. Losses do not tell:</p>\n<pre>{command}</pre>')
    at = f"Judged at {found.kimg:,.1f} kimg"
    if kimg is not None and abs(found.kimg - kimg) > 0.05:
        at += f"; it is at {kimg:,.1f} kimg now, so judge it again: <code>{command}</code>"
    stamp = "<br>".join(escape(line) for line in [*found.protocol.lines(), f"gansmith {found.protocol.gansmith}"])
    words = "".join(f"<li><span>{escape(line)}</span></li>" for line in found.words)
    skipped = [f"not measured: {kind} ({why})" for kind, why in found.skipped.items()]
    missing = f'<p class="note">{"<br>".join(escape(line) for line in skipped)}</p>' if skipped else ""
    numbers = "\n".join(map(_contest, comparisons)) if comparisons else _numbers(found)
    body = f'<ul class="plain">{words}</ul>\n{numbers}\n<p class="note">{at},<br>{stamp}.</p>\n{missing}'
    parts = (section(TITLE, body), _classes(found), _pairs(folder, found), _translations(folder, comparisons))
    return "\n".join(part for part in parts if part)


def number_text(value: float, deviation: float | None) -> str:
    """Return a number with its deviation."""
    return f"{value:.4g}" if deviation is None else f"{value:.4g} ± {deviation:.2g}"


def _numbers(found: Evaluation) -> str:
    rows = [
        [escape(name), number_text(number.value, number.deviation), ENDS[best_end(name)], escape(number.over)]
        for name, number in found.numbers.items()
    ]
    return table(["number", "value ± deviation", "how to read it", "the deviation is over"], rows)


def _contest(found: BaselineComparison) -> str:
    """Return a table of what translations, the baseline and the targets themselves have."""
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
    """Return the histogram of classes, samples against real images, with missing and over-fed ones marked."""
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
    return section("Which classes it makes, by the judge's eye", body)


def _pairs(folder: Path, found: Evaluation) -> str:
    picture = load_picture(folder / FOLDER / PAIRS) if "memorisation" in found.facts else None
    if picture is None:
        return ""
    facts = found.facts["memorisation"]
    text = (
        "The samples that lie nearest to a training image, and that image, with their distance. New real images lie at"
        f" {facts['held_out_median']:.3g} in the middle; only rare ones nearer than {facts['limit']:.3g}."
    )
    img = f'<img width="{picture.width}" height="{picture.height}" alt="Nearest pairs" src="{picture.uri}">'
    return section("Are they copies?", f'<p class="note">{escape(text)}</p>\n{img}')


def _translations(folder: Path, comparisons: list[BaselineComparison]) -> str:
    picture = load_picture(folder / FOLDER / TRANSLATIONS) if comparisons else None
    if picture is None:
        return ""
    text = "Images that the model was judged by, what one would have without it, and what it made of them."
    img = f'<img width="{picture.width}" height="{picture.height}" alt="Translations" src="{picture.uri}">'
    return section("Side by side", f'<p class="note">{text}</p>\n{img}')
