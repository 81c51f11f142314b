"""What a person asks for before there is a run: which recipe it means, what the run would be, and a plan for it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from gansmith.core.events import Event, OnEvent, PlainLines, silent
from gansmith.core.registry import load_plugins
from gansmith.core.runtime import Runtime, start_runtime
from gansmith.planning.planner import propose
from gansmith.planning.proposal import Proposal
from gansmith.recipes import AUTO
from gansmith.recipes.layer_table import describe_networks
from gansmith.recipes.load import load_recipe, override
from gansmith.recipes.recipe import Recipe
from gansmith.runs.length import Budget, RunLength, refuse_two_lengths, run_length
from gansmith.runs.record import RunOptions
from gansmith.training.prepare import measure_speed, open_for
from gansmith.training.state import RunState


def read_recipe(recipe: str | Recipe, overrides: Sequence[str] = (), plugins: Sequence[Path] = ()) -> Recipe:
    """Return a recipe by name, path or value, with plugins loaded and overrides applied."""
    load_plugins(tuple(plugins))
    return override(recipe, tuple(overrides)) if isinstance(recipe, Recipe) else load_recipe(recipe, tuple(overrides))


def resolve_recipe(
    recipe: str | Recipe, overrides: Sequence[str], order: RunOptions, runtime: Runtime, on_event: OnEvent
) -> tuple[Recipe, RunOptions]:
    """Return the recipe that is meant and the order; of ``auto`` the one that is proposed, with its length in it."""
    if recipe != AUTO:
        refuse_two_lengths(order.budget, overrides)
        return read_recipe(recipe, overrides, order.plugins), order
    load_plugins(order.plugins)
    proposal = propose(order, runtime, tuple(overrides), on_event)
    for line in (*proposal.notes(), proposal.outlook()):
        on_event(Event("note", line))
    for line in proposal.warnings:
        on_event(Event("warning", line))
    length = Budget() if order.budget.minutes else order.budget
    return proposal.recipe, replace(order, budget=length, comments=proposal.comments())


def plan(
    source: str | Path = "fashion-sample",
    *,
    overrides: Sequence[str] = (),
    kimg: float | None = None,
    epochs: float | None = None,
    minutes: float | None = None,
    device: str = "auto",
    precision: str = "auto",
    holdout: float = 0.0,
    plugins: Sequence[str | Path] = (),
    data_root: str | Path | None = None,
    on_event: OnEvent | None = None,
) -> Proposal:
    """Return what ``auto`` would train on the data in the time there is; ``proposal.recipe`` can be given to ``train``.

    Writes nothing but the cache of images. Without ``on_event`` it prints lines on stderr; ``gansmith.silent`` prints
    nothing. Raises a GansmithError as ``train`` would.
    """
    order = RunOptions(
        str(source), Budget(kimg=kimg, epochs=epochs, minutes=minutes), holdout=holdout,
        plugins=tuple(Path(plugin) for plugin in plugins), data_root=Path(data_root) if data_root else None,
    )  # fmt: skip
    load_plugins(order.plugins)
    return propose(order, start_runtime(device, precision), tuple(overrides), on_event or PlainLines())


@dataclass(frozen=True)
class DryRun:
    """What a run would be: for ``--dry-run``."""

    recipe: Recipe
    summary: list[str]
    shapes: list[str]
    plan: RunLength
    img_per_sec: float


def dry_run(
    source: str | Path,
    recipe: str | Recipe,
    overrides: Sequence[str],
    budget: Budget,
    *,
    device: str = "auto",
    precision: str = "auto",
    compiled: bool = False,
    holdout: float = 0.0,
    plugins: Sequence[str | Path] = (),
    data_root: str | Path | None = None,
) -> DryRun:
    """Return what ``train`` would do, with a few measured steps, and write nothing but the cache of images."""
    runtime, said = start_runtime(device, precision, compiled=compiled), list[str]()
    order = RunOptions(
        str(source), budget, holdout=holdout, plugins=tuple(Path(plugin) for plugin in plugins),
        data_root=Path(data_root) if data_root else None,
    )  # fmt: skip
    chosen, order = resolve_recipe(
        recipe, overrides, order, runtime, lambda event: said.append(event.message) if event.message else None
    )
    chosen, data = open_for(chosen, order, runtime, silent)
    speed = measure_speed(chosen, data, runtime)
    images = RunState.fresh(chosen, data.spec, 0, runtime).images_per_iteration
    schedule = run_length(chosen, order.budget, len(data), images, speed)
    return DryRun(chosen, [*data.summary.lines(), *said], describe_networks(chosen, data.spec), schedule, speed)
