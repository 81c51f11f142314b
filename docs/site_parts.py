"""What the site generates: layer tables, results of runs, the picture of the packages, MathML."""

import ast
import json
import re
import tomllib
from html import escape
from pathlib import Path
from textwrap import shorten

from docutils import nodes
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective
from sphinx.writers.html5 import HTML5Translator

from gansmith.api import describe_networks, example_spec
from gansmith.recipes.load import load_recipe
from gansmith.training.planning.expectations import SEEN

REPOSITORY = Path(__file__).parents[1]
WIDTH, BOX_HEIGHT, GAP, LETTER = 760, 26, 8, 7.4  # pixels of the picture; LETTER is the width of one character


def layer_rows(pyproject: Path) -> list[list[str]]:
    """Return the modules of the layers contract of import-linter, top row first, without the package's name."""
    tool = tomllib.loads(pyproject.read_text(encoding="utf-8"))["tool"]["importlinter"]
    layers = next(each["layers"] for each in tool["contracts"] if each["type"] == "layers")
    prefix = f"{tool['root_package']}."
    return [[name.strip(" ()").removeprefix(prefix) for name in re.split(r"[|:]", layer)] for layer in layers]


def purpose_of(module: str) -> str:
    """Return the first line of a module's docstring, without importing it; "" if there is none."""
    path = REPOSITORY / "src" / "gansmith" / Path(*module.split("."))
    file = next((each for each in (path / "__init__.py", path.with_suffix(".py")) if each.exists()), None)
    docstring = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) if file else None
    return (docstring or "").partition("\n")[0].replace("``", "")


def draw_packages(rows: list[list[str]]) -> str:
    """Return an SVG: a band for each row of the contract, a box for each module; a tooltip has its docstring.

    A row with one module shows the docstring beside it. Colours come from site.css, so both themes can be read.
    """
    parts, top = [], 0.0
    for row in rows:
        boxes, left, line = [], float(GAP), 0
        for name in row:
            width = LETTER * len(name) + 2 * GAP
            if left + width > WIDTH:
                left, line = float(GAP), line + 1
            y = top + GAP + line * (BOX_HEIGHT + GAP)
            title = f"<title>{escape(purpose_of(name))}</title>"
            boxes.append(
                f'<g>{title}<rect class="box" x="{left:.0f}" y="{y:.0f}" '
                f'width="{width:.0f}" height="{BOX_HEIGHT}" rx="4"/>'
                f'<text class="name" x="{left + GAP:.0f}" y="{y + 18:.0f}">{escape(name)}</text></g>'
            )
            left += width + GAP
        height = GAP + (line + 1) * (BOX_HEIGHT + GAP)
        if len(row) == 1:
            said = shorten(purpose_of(row[0]), int((WIDTH - left) / 6), placeholder=" ...")
            boxes.append(f'<text class="purpose" x="{left:.0f}" y="{top + GAP + 18:.0f}">{escape(said)}</text>')
        parts.append(f'<rect class="row" x="0" y="{top:.0f}" width="{WIDTH}" height="{height:.0f}" rx="6"/>')
        parts += boxes
        top += height + GAP / 2
    label = "The packages of gansmith; each row may import the rows below it"
    return (
        f'<svg class="packages" viewBox="0 0 {WIDTH} {top:.0f}" role="img" aria-label="{label}">{"".join(parts)}</svg>'
    )


class Packages(SphinxDirective):
    """``{packages}``: the picture of the packages, drawn from the import contract in pyproject.toml."""

    def run(self) -> list[nodes.Node]:
        """Return the picture."""
        contract = REPOSITORY / "pyproject.toml"
        self.env.note_dependency(str(contract))
        return [nodes.raw("", draw_packages(layer_rows(contract)), format="html")]


class Layers(SphinxDirective):
    """``{layers} recipe key=value ...``: both networks of a recipe as tables, computed from the networks."""

    required_arguments = 1
    final_argument_whitespace = True

    def run(self) -> list[nodes.Node]:
        """Return a table for each network."""
        name, *overrides = self.arguments[0].split()
        recipe = load_recipe(name, tuple(overrides))
        spec = example_spec(recipe)
        lines = [f"For images of {spec.height} x {spec.width} px with {spec.channels} channel(s):"]
        for line in describe_networks(recipe, spec):
            if not line.startswith(" "):
                lines += ["", f"**{line}**", "", "| layer | shape that leaves it | parameters |", "|---|--:|--:|"]
            else:
                cells = [*re.split(r"\s{2,}", line.strip()), ""][:3]
                lines.append(f"| {' | '.join(cells)} |")
        return self.parse_text_to_nodes("\n".join(lines))


class Run(SphinxDirective):
    """``{run} recipe``: the results that scripts/run_for_docs.py wrote, or a note that there are none."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Return the pictures and the table of a run."""
        piece = Path(self.env.srcdir, "learn", "runs", f"{self.arguments[0]}.md")
        self.env.note_dependency(str(piece))
        if not piece.exists():
            return self.parse_text_to_nodes("*Not yet run for these pages.*")
        return self.parse_text_to_nodes(f"```{{include}} /learn/runs/{piece.name}\n:relative-images:\n```")


class Seen(SphinxDirective):
    """``{seen}``: the runs of scripts/train_for_minutes.py, each kind of images with its pictures by minutes."""

    def run(self) -> list[nodes.Node]:
        """Return a heading for each kind of images, and each run's numbers and picture."""
        self.env.note_dependency(str(SEEN))
        lines, above = list[str](), ""
        for run in map(json.loads, SEEN.read_text(encoding="utf-8").splitlines()):
            kind = f"{run['count']:,} {run['of']}, {'gray' if run['channels'] == 1 else 'colour'}"
            lines += [] if kind == above else ["", f"**{kind}**"]
            above, told = kind, [f"{run['side']} px", f"{run['kimg']:,.0f} kimg"]
            told += [f"`{name}` {value:.3g}" for name, value in run["numbers"].items()]
            words = run["words"]
            lines += ["", f"**{run['minutes']:g} minutes** ({', '.join(told)}): {words}.", ""]
            lines += [f"![{words}](/{run['picture'].removeprefix('docs/')})"]
        return self.parse_text_to_nodes("\n".join(lines))


def visit_math(writer: HTML5Translator, node: nodes.math) -> None:
    """Write a formula as MathML, which browsers show without scripts."""
    writer.body.append(tex2mathml(node.astext()))
    raise nodes.SkipNode


def visit_displaymath(writer: HTML5Translator, node: nodes.math_block) -> None:
    """Write a displayed formula."""
    writer.body.append(tex2mathml(node.astext(), as_block=True))
    raise nodes.SkipNode


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the directives and the formula writer with Sphinx."""
    app.add_directive("packages", Packages)
    app.add_directive("layers", Layers)
    app.add_directive("run", Run)
    app.add_directive("seen", Seen)
    app.add_html_math_renderer("mathml", (visit_math, None), (visit_displaymath, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
