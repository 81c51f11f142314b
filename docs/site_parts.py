"""What the pages generate when they are built: tables of layers, results of runs; and formulas without scripts."""

import re
from pathlib import Path

from docutils import nodes
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective
from sphinx.writers.html5 import HTML5Translator

from gansmith.api import describe_networks, example_spec
from gansmith.recipe import load_recipe


class Layers(SphinxDirective):
    """``{layers} recipe key=value ...``: both networks of a recipe as tables, from the networks themselves."""

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
    """``{run} recipe``: what scripts/run_for_docs.py wrote of a run, or that there is none."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Return the figures and the facts."""
        piece = Path(self.env.srcdir, "learn", "runs", f"{self.arguments[0]}.md")
        self.env.note_dependency(str(piece))
        if not piece.exists():
            return self.parse_text_to_nodes("*Not yet run for these pages.*")
        return self.parse_text_to_nodes(f"```{{include}} /learn/runs/{piece.name}\n:relative-images:\n```")


def visit_math(writer: HTML5Translator, node: nodes.math) -> None:
    """Write a formula as MathML, which browsers show by themselves."""
    writer.body.append(tex2mathml(node.astext()))
    raise nodes.SkipNode


def visit_displaymath(writer: HTML5Translator, node: nodes.math_block) -> None:
    """Write a formula on lines of its own."""
    writer.body.append(tex2mathml(node.astext(), as_block=True))
    raise nodes.SkipNode


def setup(app: Sphinx) -> dict[str, bool]:
    """Tell Sphinx."""
    app.add_directive("layers", Layers)
    app.add_directive("run", Run)
    app.add_html_math_renderer("mathml", (visit_math, None), (visit_displaymath, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
