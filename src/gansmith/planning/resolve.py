"""Resolve the recipe of a run, plan it, prepare it, or try it dry."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any, Unpack

from gansmith.core.events import Event, MessageEvent, OnEvent
from gansmith.core.html import facts
from gansmith.core.registry import load_plugins
from gansmith.core.runtime import Runtime, start_runtime
from gansmith.data.base import Source
from gansmith.data.find import DataName
from gansmith.planning.planner import propose
from gansmith.planning.proposal import Proposal
from gansmith.recipes import AUTO
from gansmith.recipes.layer_table import describe_networks
from gansmith.recipes.load import load_recipe, override
from gansmith.recipes.recipe import Recipe
from gansmith.reporting.display import showing
from gansmith.reporting.tracking import parse_loggers
from gansmith.runs.length import refuse_two_lengths
from gansmith.runs.options import PlanKeywords, RunKeywords, RunOptions
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


def plan(
    source: DataName | Source = "fashion-sample",
    *,
    on_event: OnEvent | None = None,
    progress: bool = True,
    **keywords: Unpack[PlanKeywords],
) -> Proposal:
    """Plan a recipe for the data, the machine and the budget; pass ``proposal.recipe`` to ``train`` to use it.

    The keywords are overrides, kimg, epochs, minutes, device, precision, holdout, plugins and data_root, with the same
    meaning as in ``train``, like ``on_event`` and ``progress``. Writes only the cache of images. Raises GansmithError
    where ``train`` would.
    """
    if unknown := keywords.keys() - PlanKeywords.__optional_keys__:
        raise TypeError(f"plan() got an unexpected keyword argument '{min(unknown)}'")
    options = RunOptions.of(source, **keywords)
    load_plugins(options.plugins)
    with showing(on_event, progress=progress) as listen:
        return propose(options, start_runtime(options.device, options.precision), listen)[0]


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


def dry_run(source: DataName | Source, **keywords: Unpack[RunKeywords]) -> DryRun:
    """Prepare the run that ``train`` would start with the same keywords; write only the cache of images."""
    options, notes = RunOptions.of(source, **keywords), list[str]()
    runtime = start_runtime(options.device, options.precision, compiled=options.compiled)

    def note(event: Event) -> None:
        if event.message:
            notes.append(event.message)

    load_plugins(options.plugins)
    parse_loggers(options.loggers)
    prepared = prepare_run(options, runtime, note, measure=True)
    parse_loggers(options.loggers or prepared.recipe.monitor.loggers)
    return DryRun(prepared, notes, describe_networks(prepared.recipe, prepared.data.spec))
