"""Prepare a run: find and open its data, measure its speed, fix its length."""

import json
import os
import platform
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from gansmith.core import clock
from gansmith.core.errors import DataError, GansmithError, RecipeError
from gansmith.core.events import MessageEvent, OnEvent, duration, progress_events, silent
from gansmith.core.runtime import Runtime, set_threads, threads
from gansmith.core.shared_work import shared_by
from gansmith.data.base import DataSpec, ImageData, Source
from gansmith.data.batches import BatchStream
from gansmith.data.find import find_source
from gansmith.data.open import open_data
from gansmith.data.sources.domains import TwoDomains
from gansmith.evaluation.snapshot import open_snapshot_extractor
from gansmith.methods.adversarial import assume_augmented
from gansmith.recipes.recipe import Recipe
from gansmith.runs.length import RunLength, TimeLimit, run_length
from gansmith.runs.options import RunOptions
from gansmith.training.memory import naming_what_fits, refuse_too_large
from gansmith.training.state import RunState
from gansmith.training.step import train_step
from gansmith.training.time_limit import too_late_sec, train_sec

STEADY_SEC, LIMIT_SHARE = 15.0, 0.1  # the most time for a measurement, and its share of a time limit
WINDOW_SEC, WINDOWS, SPREAD = 0.5, 4, 0.15  # steady: so many windows in a row differ by at most this share
OWN = "own"  # the extractor that is trained on the data
OVERHEAD = 0.05  # share of a run's time for previews, checkpoints and snapshots


@dataclass(frozen=True)
class Speed:
    """A measured speed, and a reason to doubt it."""

    img_per_sec: float  # of the main process
    doubt: str = ""  # empty: it was steady, and the processes had the cores that they need
    threads: str = ""  # why one thread is used instead of several; empty if that is not so

    def warning(self) -> str:
        """Return the doubt as a warning for people; empty without one."""
        return self.doubt and f"speed measured at {self.img_per_sec:,.0f} images a second is doubtful: {self.doubt}"


@dataclass(frozen=True)
class Prepared:
    """Recipe, data and length of a run, fixed before its first step."""

    recipe: Recipe  # with the image size and channels of the data
    source: Source
    data: ImageData
    length: RunLength
    img_per_sec: float  # measured or predicted; 0 if neither
    around_sec: float = 0.0  # of a time limit: estimated seconds before the first step and after the last
    comments: tuple[str, ...] = ()  # written above the recipe in the run folder


def prepare(
    recipe: Recipe, options: RunOptions, runtime: Runtime, on_event: OnEvent, *, measure: bool = False
) -> Prepared:
    """Open the data for a recipe and fix the length; all processes must call it, and all return the same.

    Speed is measured if ``measure`` is true or there is a time limit. Raises DataError for data that cannot be
    opened, GansmithError for a length that is too long.
    """
    runtime.slice_of(recipe.batch_size)  # before any image is decoded
    source = find_data(options, runtime)
    recipe, data = open_for(recipe, source, options, runtime, on_event)
    for line in data.summary.lines():
        on_event(MessageEvent("note", line))
    limit, speed = options.time_limit, Speed(0.0)
    runtime = precise_enough(runtime, options.precision, data.spec)
    refuse_too_large(recipe, data.spec, runtime)
    refuse_unfit_extractor(recipe, data)
    if measure or limit:
        with naming_what_fits(recipe, data, runtime):
            speed = measure_speed(recipe, data, runtime, most_sec(limit, options.began))
        warn_of_doubt(speed, on_event)
    length, around = fit_length(recipe, data, options, runtime, speed.img_per_sec, on_event)
    return Prepared(recipe, source, data, length, speed.img_per_sec, around)


def precise_enough(runtime: Runtime, asked: str, spec: DataSpec) -> Runtime:
    """Return the runtime, with fp32 if ``asked`` is auto and the images have more than 8 bits: bf16 has only 8."""
    is_deep = spec.values is not None and spec.values.depth != "8"
    return replace(runtime, precision="fp32") if asked == "auto" and is_deep else runtime


def fit_length(
    recipe: Recipe,
    data: ImageData,
    options: RunOptions,
    runtime: Runtime,
    img_per_sec: float,
    on_event: OnEvent = silent,
    limit: TimeLimit | None = None,
) -> tuple[RunLength, float]:
    """Return the length of a run, and the seconds of its time limit that are not for training.

    ``limit`` is taken where the options have no length at all.
    """
    limit = options.time_limit or limit
    seconds = same_number(runtime, train_sec(limit, options.began, recipe, data.spec)) if limit else 0.0
    length = run_length(
        recipe, options.budget, len(data), recipe.images_per_iteration,
        limit=limit, img_per_sec=img_per_sec, train_sec=seconds,
    )  # fmt: skip
    around = limit.seconds - seconds if limit else 0.0
    if limit and (late := same_number(runtime, too_late_sec(limit, options.began))):
        took = duration(clock.monotonic() - options.began)
        text = f"{limit} cannot be kept: on this machine, at its present load, the start alone took {took}"
        more = "one step is trained, and film, curves and report are left out"
        on_event(MessageEvent("warning", f"{text}\n  {more}; expect the end after {duration(limit.seconds + late)}"))
    elif limit and around > limit.seconds / 2:
        text = f"{limit}: start and results take about {duration(around)} of {duration(limit.seconds)}"
        on_event(MessageEvent("warning", f"{text}\n  little is left to train; give the run more time"))
    return length, around


def warn_of_doubt(speed: Speed, on_event: OnEvent) -> None:
    """Report a doubtful speed as a warning, and that one thread is used."""
    if speed.threads:
        on_event(MessageEvent("note", speed.threads))
    if speed.doubt:
        on_event(MessageEvent("warning", speed.warning()))


def most_sec(limit: TimeLimit | None, began: float) -> float:
    """Return the most seconds for a measurement of the speed, in a command that began at ``began``."""
    if limit is None:
        return STEADY_SEC
    return max(0.0, min(STEADY_SEC, LIMIT_SHARE * (limit.seconds - (clock.monotonic() - began))))


def find_data(options: RunOptions, runtime: Runtime) -> Source:
    """Find the source of a run's data; only one process downloads a named data set. Raises DataError."""
    with _main_first(runtime):
        return find_source(options.source, options.data_root)


def open_for(
    recipe: Recipe, source: Source, options: RunOptions, runtime: Runtime, on_event: OnEvent
) -> tuple[Recipe, ImageData]:
    """Open the data; return the recipe with their image size and channels, and the data.

    The processes share the decoding. Raises DataError, also if there is only one image.
    """

    if isinstance(source, TwoDomains) and not recipe.method.domains:
        first, second = source.names
        raise RecipeError(
            "recipe.domains_of_other_method",
            f"recipe '{recipe.name}' learns from one set of images, but --from and --to name two sets"
            f"\n  to translate between them: leave out --recipe, or pass --recipe unpaired"
            f"\n  if {first} and {second} are pairs: gansmith train {first} {second} --pairs --recipe {recipe.name}",
        )
    with shared_by(runtime):
        data = open_data(
            source, recipe.data, holdout=options.holdout, seed=options.seed, on_progress=progress_events(on_event)
        )
    if len(data) < 2:
        raise DataError(
            "data.one_image",
            f"'{data.spec.name}' has only one training image"
            "\n  at least 2 are needed; 'gansmith data check' shows which files were left out",
        )
    refuse_other_data(data, runtime)
    decided = recipe.data.like(data.spec).model_copy(update={"stream": data.room})
    return recipe.model_copy(update={"data": decided}), data


def refuse_other_data(data: ImageData, runtime: Runtime) -> None:
    """Raise DataError if another process has opened other images."""
    streamed = f"-stream={data.room}" if data.room else ""
    found = runtime.gather_text(f"{data.spec.fingerprint[:12]}{streamed} on {platform.node()} ({data.spec.contents})")
    others = [text for text in found if text.split()[0] != found[0].split()[0]]
    if others:
        raise DataError(
            "data.differs_between_processes",
            f"'{data.spec.name}' is not the same for all processes: {found[0]}; {others[0]}"
            "\n  give every machine the same files, and room for them, or stream=SIZE",
        )


def refuse_unfit_extractor(recipe: Recipe, data: ImageData) -> None:
    """Raise RecipeError if the extractor that a recipe names for its snapshots does not take these images."""
    options = recipe.monitor
    if options.features in (None, OWN) or options.snapshot_kimg == 0 or not recipe.method.samples_from_latents:
        return  # "own" is trained on the images, which the first snapshot does
    try:
        open_snapshot_extractor(data, options.features)
    except GansmithError as problem:
        text = str(problem).partition("\n")[0]
        raise RecipeError(
            "recipe.unfit_extractor",
            f"monitor.features={options.features}: {text}"
            "\n  leave it out to use an extractor that fits, or pass monitor.features=own",
        ) from problem


def measure_speed(recipe: Recipe, data: ImageData, runtime: Runtime, most_sec: float = STEADY_SEC) -> Speed:
    """Train until the speed is steady, at most for ``most_sec``, discard the state, and return the speed.

    All processes must call it. The augmentation probability gets a typical value: a run starts at 0, where augmentation
    takes no time, so the speed would be overestimated. If other processes take part of the cores, several threads wait
    for each other; then the speed of one thread is measured too, and the faster number of threads stays.
    """
    refuse_too_large(recipe, data.spec, runtime)
    state = RunState.fresh(recipe, data.spec, 0, runtime)
    assume_augmented(state.method.state)
    domains = max(1, len(recipe.method.domains))
    stream = BatchStream(data, recipe.batch_size, 0, runtime, mirror=recipe.data.mirror, domains=domains)

    def step() -> float:
        train_step(state, stream, runtime, state.moment(1.0))
        runtime.synchronize()
        return clock.monotonic()

    several = threads()
    found = _measured(step, state.images_per_iteration, runtime, most_sec)
    can_choose = several > 1 and runtime.world_size == 1 and "OMP_NUM_THREADS" not in os.environ
    if can_choose and runtime.device.type == "cpu" and found.doubt:
        set_threads(1)
        alone = _measured(step, state.images_per_iteration, runtime, most_sec / 2)
        if alone.img_per_sec > found.img_per_sec:
            speeds = f"{alone.img_per_sec:,.0f} images a second instead of {found.img_per_sec:,.0f}"
            return replace(alone, threads=f"1 thread instead of {several}: {speeds}, because the machine is busy")
        set_threads(several)
    return found


def _measured(step: Callable[[], float], images_per_step: int, runtime: Runtime, most_sec: float) -> Speed:
    """Return the speed of steps, measured until it is steady; ``step`` returns the time at its end."""
    step()
    start = begun = step()  # the first two steps allocate memory and compile
    load, speeds, images = clock.Load(), list[float](), 0
    while runtime.any_process(not speeds or not (_is_steady(speeds) or start - begun >= most_sec)):
        now = step()
        images += images_per_step
        if now - start >= min(WINDOW_SEC, most_sec / WINDOWS):
            speeds.append(images / max(now - start, 1e-9))
            start, images = now, 0
    last = speeds[-WINDOWS:]
    found = len(last) / sum(1 / each for each in last) * (1 - OVERHEAD)
    doubt = "" if max(last) <= (1 + SPREAD) * min(last) else f"it varied from {min(last):,.0f} to {max(last):,.0f}"
    if runtime.device.type == "cpu" and (others := load.crowd(threads() * runtime.world_size)):
        doubt += f"{'; ' if doubt else ''}other processes use {others:.1f} of {clock.cores()} cores"
    told = json.loads(runtime.broadcast_text(json.dumps([found, doubt])))
    return Speed(*told)


def _is_steady(speeds: list[float]) -> bool:
    last = speeds[-WINDOWS:]
    return len(last) == WINDOWS and max(last) <= (1 + SPREAD) * min(last)


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
