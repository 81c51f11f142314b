"""The recipe of a run, read by name or planned; the run prepared from it, and tried dry."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from gansmith.core.events import MessageEvent, OnEvent
from gansmith.core.html import facts
from gansmith.core.registry import load_plugins
from gansmith.core.runtime import Runtime
from gansmith.recipes import AUTO
from gansmith.recipes.load import load_recipe, override
from gansmith.recipes.recipe import Recipe
from gansmith.runs.length import refuse_two_lengths
from gansmith.runs.options import RunOptions
from gansmith.training.planning.planner import propose
from gansmith.training.prepare import Prepared, prepare


def read_recipe(recipe: str | Recipe, overrides: Sequence[str] = (), plugins: Sequence[Path] = ()) -> Recipe:
    """Load the plugins, and return a recipe by name, path or value with the overrides applied."""
    load_plugins(tuple(plugins))
    return override(recipe, tuple(overrides)) if isinstance(recipe, Recipe) else load_recipe(recipe, tuple(overrides))


def prepare_run(options: RunOptions, runtime: Runtime, on_event: OnEvent, *, measure: bool = False) -> Prepared:
    """Resolve a recipe's name, or plan one for ``auto``, and prepare the run; all processes must call it.

    Speed is measured if ``measure`` is true, the recipe is ``auto``, or there is a time limit. Raises GansmithError
    for anything that keeps the run from starting.
    """
    if options.recipe != AUTO:
        refuse_two_lengths(options.budget, options.overrides)
        recipe = read_recipe(options.recipe, options.overrides, options.plugins)
        return prepare(recipe, options, runtime, on_event, measure=measure)
    load_plugins(options.plugins)
    proposal, prepared = propose(options, runtime, on_event)
    for line in (*proposal.summary, *proposal.notes(), proposal.outlook()):
        on_event(MessageEvent("note", line))
    for line in proposal.warnings:
        on_event(MessageEvent("warning", line))
    return prepared


@dataclass(frozen=True)
class DryRun:
    """A run that was prepared but not started, for ``--dry-run``."""

    prepared: Prepared
    summary: list[str]  # lines about the data, and the choices of auto
    shapes: list[str]  # lines of each network's table of layers

    @property
    def minutes(self) -> float:
        """Return how many minutes the run would take at the measured speed; with a time limit, the whole command."""
        seconds = self.prepared.length.schedule_kimg * 1000 / self.prepared.img_per_sec
        return (seconds + self.prepared.around_sec) / 60

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {
            "recipe": self.prepared.recipe.model_dump(mode="json"),
            "length": self.prepared.length.to_json(),
            "img_per_sec": self.prepared.img_per_sec,
            "minutes": round(self.minutes, 2),
            "summary": self.summary,
            "networks": self.shapes,
        }

    def _repr_html_(self) -> str:
        length = f"{self.prepared.length.schedule_kimg:,.1f} kimg, about {self.minutes:,.1f} minutes on this machine"
        shown = {"data": self.summary[0], "length": length}
        shapes = escape("\n".join(self.shapes))
        pre = f'<pre style="font-family:monospace">{shapes}</pre>'
        return f"<div>{facts(f'dry run: {self.prepared.recipe.name}', shown)}{pre}</div>"
