"""Prepare a run: find and open its data, measure its speed, fix its length."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from gansmith.core.errors import DataError, RecipeError
from gansmith.core.events import MessageEvent, OnEvent, progress_events
from gansmith.core.runtime import Runtime
from gansmith.data.base import ImageData, Source
from gansmith.data.batches import BatchStream
from gansmith.data.find import find_source
from gansmith.data.open import open_data
from gansmith.data.sources.domains import TwoDomains
from gansmith.methods.adversarial import assume_augmented
from gansmith.recipes.recipe import Recipe
from gansmith.runs.length import RunLength, run_length
from gansmith.runs.options import RunOptions
from gansmith.training.state import RunState
from gansmith.training.step import train_step

MEASURE_SEC = 4.0
OVERHEAD = 0.05  # share of a run's time for previews, checkpoints and the report


@dataclass(frozen=True)
class Prepared:
    """Recipe, data and length of a run, fixed before its first step."""

    recipe: Recipe  # with the image size and channels of the data
    source: Source
    data: ImageData
    length: RunLength
    img_per_sec: float  # measured; 0 if not measured
    comments: tuple[str, ...] = ()  # written above the recipe in the run folder


def prepare(
    recipe: Recipe, options: RunOptions, runtime: Runtime, on_event: OnEvent, *, measure: bool = False
) -> Prepared:
    """Open the data for a recipe and fix the length; all processes must call it, and all return the same.

    Speed is measured if ``measure`` is true or the length is in minutes. Raises DataError for data that cannot be
    opened, GansmithError for a length that is too long.
    """
    source = find_data(options, runtime)
    recipe, data = open_for(recipe, source, options, runtime, on_event)
    for line in data.summary.lines():
        on_event(MessageEvent("note", line))
    speed = measure_speed(recipe, data, runtime) if measure or options.budget.minutes else 0.0
    length = run_length(recipe, options.budget, len(data), recipe.images_per_iteration, speed)
    return Prepared(recipe, source, data, length, speed)


def find_data(options: RunOptions, runtime: Runtime) -> Source:
    """Find the source of a run's data; only one process downloads a named data set. Raises DataError."""
    with _main_first(runtime):
        return find_source(options.source, options.data_root)


def open_for(
    recipe: Recipe, source: Source, options: RunOptions, runtime: Runtime, on_event: OnEvent
) -> tuple[Recipe, ImageData]:
    """Open the data; return the recipe with their image size and channels, and the data.

    Only one process decodes the images; the others wait for the cache. Raises DataError, also if
    there is only one image.
    """

    if isinstance(source, TwoDomains) and not recipe.method.domains:
        first, second = source.names
        raise RecipeError(
            "recipe.domains_of_other_method",
            f"recipe '{recipe.name}' learns from one set of images, but --from and --to name two, which it would mix"
            f"\n  to translate between them: leave out --recipe, or pass --recipe unpaired"
            f"\n  if {first} and {second} are pairs: gansmith train {first} {second} --pairs --recipe {recipe.name}",
        )
    with _main_first(runtime):
        data = open_data(
            source, recipe.data, holdout=options.holdout, seed=options.seed, on_progress=progress_events(on_event)
        )
    if len(data) < 2:
        raise DataError(
            "data.one_image",
            f"'{data.spec.name}' has one image to train on"
            "\n  at least 2 are needed; 'gansmith data check' shows which files were left out",
        )
    decided = recipe.data.with_format(data.spec.height, data.spec.width, data.spec.channels)
    return recipe.model_copy(update={"data": decided}), data


def measure_speed(recipe: Recipe, data: ImageData, runtime: Runtime, seconds: float = MEASURE_SEC) -> float:
    """Train for a few seconds, discard the state, and return the main process's images a second.

    All processes must call it. The augmentation probability gets a typical value: a run starts at 0, where augmentation
    takes no time, so the speed would be overestimated.
    """
    state = RunState.fresh(recipe, data.spec, 0, runtime)
    assume_augmented(state.method.state)
    domains = max(1, len(recipe.method.domains))
    stream = BatchStream(data, recipe.batch_size, 0, runtime, mirror=recipe.data.mirror, domains=domains)
    shown, start = 0, 0.0
    while runtime.any_process(start == 0.0 or shown == 0 or time.perf_counter() - start < seconds):
        train_step(state, stream, runtime, state.moment(1.0))
        runtime.synchronize()
        if state.iteration == 2:  # the first two steps allocate memory and compile
            start = time.perf_counter()
        elif state.iteration > 2:
            shown += state.images_per_iteration
    return same_number(runtime, shown / (time.perf_counter() - start) * (1 - OVERHEAD))


def same_number(runtime: Runtime, number: float) -> float:
    """Return the main process's number on every process."""
    return float(runtime.broadcast_text(repr(number)))


@contextmanager
def _main_first(runtime: Runtime) -> Iterator[None]:
    """Run the block in the main process first; the others then find the files that it wrote."""
    if not runtime.is_main:
        runtime.barrier()
    yield
    if runtime.is_main:
        runtime.barrier()
