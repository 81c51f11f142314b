"""A comparison of runs as one offline HTML file."""

from html import escape
from pathlib import Path

from gansmith.core.atomic_files import commit_text
from gansmith.core.errors import GansmithError
from gansmith.core.html import embedded, table
from gansmith.evaluation.compare import ComparedRun, Comparison, Row, kimg_text
from gansmith.evaluation.result import NOISE
from gansmith.imaging.images import encode_png, enlarge, on_white
from gansmith.reporting.comparison_curves import LINES, draw_overlay
from gansmith.reporting.evaluation_section import ENDS, number_text
from gansmith.reporting.page import page, section
from gansmith.reporting.spectrum_plot import NOTE, draw_spectra, spectra_of

RULE = (
    f"'noise': the difference is at most {NOISE:g} times the root of the summed squared deviations. "
    "This compares models; to compare recipes, train each with several seeds."
)


def write_comparison(found: Comparison, path: Path) -> Path:
    """Write a comparison page and return its path; GansmithError if it does not end in .html or .htm."""
    if path.suffix.lower() not in (".html", ".htm"):
        raise GansmithError(
            "output.unknown_ending", f"cannot write a comparison as '{path.name}'\n  allowed: a name that ends in .html"
        )
    title = " against ".join(f"{run.letter} {run.name}" for run in found.runs)
    notes = "".join(f"<li><span>{escape(text)}</span></li>" for text in found.notes)
    sections = [
        section("Runs", _runs(found) + (f'\n<ul class="plain">{notes}</ul>' if notes else "")),
        section("Which is better?", _numbers(found)),
        section(_grids_title(found), _grids(found)),
        *_spectra(found),
        section("Training curves", _curves(found)),
        section("Differences between the recipes", _recipe(found)),
    ]
    text = page(title, "gansmith comparison", "", sections)
    path.parent.mkdir(parents=True, exist_ok=True)
    commit_text(path, text)
    return path


def _name(found: Comparison, run: ComparedRun) -> str:
    colour = LINES[found.runs.index(run) % len(LINES)]
    return f'<span class="dot" style="background:{colour}"></span>{run.letter}'


def _runs(found: Comparison) -> str:
    rows = [
        [
            _name(found, run),
            escape(str(run.folder)),
            escape(run.name),
            escape(f"{run.data.name}, {run.data.count:,} images"),
            str(run.model.seed),
            f"{kimg_text(run.kimg)}",
            f"{run.minutes:,.1f}",
        ]
        for run in found.runs
    ]
    return table(["", "folder", "recipe", "trained on", "seed", "kimg", "minutes"], rows)


def verdict(found: Comparison, row: Row) -> str:
    """Return the letters of the best runs ("A, B better"), or "noise" if the differences are noise."""
    letters = ", ".join(found.runs[index].letter for index in row.leaders)
    return f"{letters} better" if row.is_decided else "noise"


def _numbers(found: Comparison) -> str:
    if not found.rows:
        return '<p class="note">Fewer than two of the runs have an evaluation, so there are no metrics to compare.</p>'
    rows = []
    for row in found.rows:
        cells = ["" if each is None else number_text(each.value, each.deviation) for each in row.numbers]
        if row.is_decided:
            cells = [f"<b>{cell}</b>" if index in row.leaders else cell for index, cell in enumerate(cells)]
        rows.append([escape(row.name), *cells, verdict(found, row), ENDS[row.best]])
    evaluation = next(run.evaluation for run in found.runs if run.evaluation is not None)
    stamp = "<br>".join(escape(line) for line in evaluation.protocol.lines())
    heads = ["metric", *(_name(found, run) for run in found.runs), "", "how to read it"]
    return f'{table(heads, rows)}\n<p class="note">{RULE}</p>\n<p class="note">All evaluations:<br>{stamp}.</p>'


def _grids_title(found: Comparison) -> str:
    is_latent = {run.model.method.kind == "latent" for run in found.runs}
    return "Samples of the same latents" if is_latent == {True} else "Samples" if True in is_latent else "Last previews"


def _grids(found: Comparison) -> str:
    figures = []
    for run in found.runs:
        if run.picture is None:
            continue
        png = encode_png(enlarge(on_white(run.picture), 400))
        caption = f"<figcaption><b>{_name(found, run)}</b> <span>{escape(run.name)}</span></figcaption>"
        alt = f"Samples of {run.letter}"
        figures.append(f'<figure>{caption}<img class="sharp" alt="{alt}" src="{embedded(png)}"></figure>')
    return f'<div class="pictures">{"".join(figures)}</div>'


def _curves(found: Comparison) -> str:
    png = draw_overlay({run.letter: run.rows for run in found.runs})
    if not png:
        return '<p class="note">The logs have no rows yet.</p>'
    note = "Losses of different recipes cannot be compared, and no loss measures quality."
    return f'<div class="scroll"><img alt="Curves" src="{embedded(png)}"></div>\n<p class="note">{note}</p>'


def _spectra(found: Comparison) -> list[str]:
    """Return the section with the power spectra of all runs, none if no run has them."""
    spectra = spectra_of({run.letter: run.evaluation for run in found.runs if run.evaluation is not None})
    if not spectra:
        return []
    colours = [LINES[index % len(LINES)] for index, run in enumerate(found.runs) if run.letter in spectra]
    img = f'<div class="scroll"><img alt="Power spectra" src="{embedded(draw_spectra(spectra, colours))}"></div>'
    return [section("Fine detail", f'{img}\n<p class="note">{NOTE}</p>')]


def _recipe(found: Comparison) -> str:
    if not found.recipe:
        return '<p class="note">The recipes are the same.</p>'
    rows = [
        [f"<code>{escape(path)}</code>", *(escape(str(v)) for v in values)] for path, values in found.recipe.items()
    ]
    return table(["field", *(_name(found, run) for run in found.runs)], rows)
