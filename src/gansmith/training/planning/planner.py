"""Plan a recipe for the data, the machine and the budget, with a reason for each choice."""

import json
from dataclasses import dataclass

from gansmith.core.errors import RecipeError
from gansmith.core.events import OnEvent
from gansmith.core.runtime import Runtime
from gansmith.data.base import DataOptions, DataSpec, ImageData, Source, random_images
from gansmith.data.image_format import largest_inside, within
from gansmith.data.peek import peek
from gansmith.imaging.images import POINT
from gansmith.recipes import AUTO
from gansmith.recipes.layer_table import work_in
from gansmith.recipes.load import load_recipe
from gansmith.recipes.recipe import Recipe
from gansmith.runs.length import Budget, TimeLimit, refuse_two_lengths, run_length
from gansmith.runs.options import RunOptions
from gansmith.training.memory import needed_mb
from gansmith.training.planning.choices import (
    batch_for,
    fit_networks,
    fit_to_data,
    fit_to_length,
    for_all_processes,
)
from gansmith.training.planning.expectations import expectation_for
from gansmith.training.planning.heuristics import (
    BATCH,
    COMPACT,
    DEFAULT_MINUTES,
    FEW_IMAGES,
    GPU,
    GPU_SIDES,
    LARGE_GPU,
    LARGE_GPU_KIMG,
    NARROWEST,
    POINTS,
    fewest_kimg,
    side_for,
)
from gansmith.training.planning.proposal import Choice, Proposal, RecipeBuilder
from gansmith.training.prepare import (
    Prepared,
    Speed,
    find_data,
    fit_length,
    measure_speed,
    most_sec,
    open_for,
    precise_enough,
    same_number,
    warn_of_doubt,
)

NATIVE = "the size of the images"


@dataclass(frozen=True)
class Probe:
    """The measured speed of one recipe on images of one format; predicts others from it."""

    recipe: Recipe
    spec: DataSpec
    speed: Speed

    def img_per_sec(self, recipe: Recipe, spec: DataSpec) -> float:
        """Return the measured speed, or the predicted one of other networks or images."""
        return self.speed.img_per_sec * work_in(self.recipe, self.spec) / work_in(recipe, spec)


@dataclass(frozen=True)
class Reach:
    """How much training a budget allows."""

    length: Budget
    limit: TimeLimit | None = None
    probe: Probe | None = None  # of the narrowest networks; the cost of an image grows with its area

    def kimg(self, pixels: int, count: int) -> float:
        """Return the kimg that the narrowest networks can train on ``count`` images of so many pixels."""
        if self.limit:
            if self.probe is None:
                return 0.0
            measured = self.probe.spec.height * self.probe.spec.width
            return self.limit.seconds * self.probe.speed.img_per_sec * measured / pixels / 1000
        steps_kimg = (self.length.steps or 0) * load_recipe(COMPACT).batch_size / 1000
        return self.length.kimg or steps_kimg or (self.length.epochs or 0) * count / 1000


def propose(options: RunOptions, runtime: Runtime, on_event: OnEvent) -> tuple[Proposal, Prepared]:
    """Plan a recipe, and return it with the run that it prepares; all processes must call it, with the same options.

    Opens the data, which decodes them if they are not in the cache, and measures some steps that are thrown away, once:
    with a time limit before the data are opened, on random images, since their size depends on the speed.
    Raises GansmithError for anything that keeps the run from starting.
    """
    overrides = options.overrides
    _refuse_wrong(overrides)
    asked = _asked_length(options.budget, overrides)
    source = find_data(options, runtime)
    limit = options.time_limit or (TimeLimit(DEFAULT_MINUTES * 60) if asked == Budget() else None)
    fitted, reach, size_reason = _size(source, asked, limit, options.began, data_options(overrides), runtime)
    compact = load_recipe(COMPACT).model_copy(update={"data": fitted})
    opened, data = open_for(compact, source, options, runtime, on_event)
    runtime = precise_enough(runtime, options.precision, data.spec)
    spec = data.spec
    base, reason, probe = _base(opened, data, asked, limit, options.began, runtime)
    probe = probe or reach.probe
    draft = RecipeBuilder(base, overrides)
    about = {"name": AUTO, "summary": f"made for {spec.name} by gansmith plan"[:200], "data": opened.data}
    draft.recipe = draft.recipe.model_copy(update=about)
    draft.choices.append(Choice("recipe", base, reason))
    warnings: tuple[str, ...] = ()
    kimg = reach.kimg(spec.height * spec.width, spec.count)
    if not spec.is_points:
        draft.decide("size", ("data.size",), opened.data.model_dump(mode="json")["size"], size_reason)
        warnings = fit_to_data(draft, data, runtime, kimg)
    if base == COMPACT:
        fit_networks(draft, spec)
    if probe is None:
        probe = Probe(draft.recipe, spec, measure_speed(draft.recipe, data, runtime, most_sec(limit, options.began)))
    warn_of_doubt(probe.speed, on_event)
    speed = probe.img_per_sec(draft.recipe, spec)
    limit = limit if options.time_limit or base == COMPACT else None  # the other recipes have their own length
    length, around = fit_length(draft.recipe, data, options, runtime, speed, on_event, limit)
    fit_to_length(draft, length, is_asked=asked != Budget())
    draft.note_the_rest()
    side = max(spec.height, spec.width)
    seen = None if spec.is_points else expectation_for(side, spec.channels, spec.count, length.schedule_kimg)
    memory = same_number(runtime, runtime.memory_mb())
    if probe.img_per_sec(draft.recipe, spec) < probe.speed.img_per_sec / 1.1:  # the probe was smaller
        memory = max(memory, needed_mb(draft.recipe, spec, draft.recipe.batch_size // runtime.world_size))
    proposal = Proposal(
        draft.recipe, tuple(draft.choices), warnings, tuple(data.summary.lines()), speed, length.schedule_kimg,
        memory, seen, around,
    )  # fmt: skip
    return proposal, Prepared(draft.recipe, source, data, length, speed, around, proposal.comments())


def _refuse_wrong(overrides: tuple[str, ...]) -> None:
    """Raise RecipeError, before any data are decoded, for overrides that fit none of the base recipes."""
    problems = []
    for base in (COMPACT, POINTS, GPU):
        try:
            load_recipe(base, overrides)
            return
        except RecipeError as problem:
            problems.append(problem)
    raise problems[0]


def data_options(overrides: tuple[str, ...]) -> DataOptions:
    """Return the data options that the overrides set."""
    keys = {"data", *DataOptions.model_fields}
    mine = [text for text in overrides if text.partition("=")[0].removeprefix("data.") in keys]
    return load_recipe(COMPACT, tuple(mine)).data


def _asked_length(budget: Budget, overrides: tuple[str, ...]) -> Budget:
    """Return the length that the user set by an option or an override; an empty budget without one."""
    refuse_two_lengths(budget, overrides)
    mine = tuple(text for text in overrides if text.partition("=")[0] in ("kimg", "epochs"))
    if not mine:
        return budget
    recipe = load_recipe(COMPACT, mine)
    return Budget(kimg=recipe.kimg, epochs=recipe.epochs)


def _size(
    source: Source, asked: Budget, limit: TimeLimit | None, began: float, options: DataOptions, runtime: Runtime
) -> tuple[DataOptions, Reach, str]:
    """Return the options with the image size that the budget can train, the budget's reach, and the reason."""
    if runtime.has_cuda:
        return options, Reach(asked), NATIVE
    found = peek(source, options) if runtime.is_main else None
    seen = json.loads(runtime.broadcast_text(json.dumps(found)))
    if seen is None or tuple(seen[:3]) == POINT:
        return options, Reach(asked, limit), NATIVE
    height, width, channels, count = seen
    reach = Reach(asked, limit, _probe(runtime, limit, began, (height, width, channels), count) if limit else None)
    if options.size is not None or options.pairs:
        return options, reach, NATIVE
    mean_side = round((height * width) ** 0.5)  # of a square with the same area
    side = side_for(mean_side, lambda side: reach.kimg(side * side, count))
    if side == mean_side:
        return options, reach, NATIVE
    if reach.probe is not None and reach.probe.speed.doubt:  # the machine may be faster than it seems
        return options, reach, f"{NATIVE}; the measured speed is doubtful, so it chooses no smaller size"
    shape = largest_inside(*within(side, height, width), width / height)
    least, shown = fewest_kimg(mean_side), reach.kimg(height * width, count)
    reason = f"{height} x {width} needs {least:,} kimg, and on this CPU the budget allows {shown:,.0f}"
    return DataOptions.model_validate({**options.model_dump(), "size": shape}), reach, reason


def _probe(runtime: Runtime, limit: TimeLimit, began: float, shape: tuple[int, int, int], count: int) -> Probe:
    """Measure the narrowest networks on random images of a shape (H, W, C); ``count`` real images decide how.

    The image size has to be chosen before the data are opened, so the real images cannot be used.
    """
    few = ["augment=ada"] if count <= FEW_IMAGES else []
    draft = RecipeBuilder(COMPACT, (f"base_channels={NARROWEST}", *few))
    data = random_images(shape, min(count, max(BATCH) * runtime.world_size))
    fitted = draft.recipe.data.with_format(*shape)
    draft.recipe = draft.recipe.model_copy(update={"data": fitted})
    fit_networks(draft, data.spec)
    recipe = draft.recipe.model_copy(update={"batch_size": batch_for(draft, data.spec, runtime)[0]})
    return Probe(recipe, data.spec, measure_speed(recipe, data, runtime, most_sec(limit, began)))


def _base(
    opened: Recipe, data: ImageData, asked: Budget, limit: TimeLimit | None, began: float, runtime: Runtime
) -> tuple[str, str, Probe | None]:
    """Return the name of the recipe to start from, why, and what was measured to decide that."""
    spec, (least, most) = data.spec, GPU_SIDES
    if spec.is_points:
        return POINTS, "points in the plane", None
    if not runtime.has_cuda:
        return COMPACT, "small networks, whose steps are fast on a CPU", None
    if not least <= min(spec.height, spec.width) <= max(spec.height, spec.width) <= most:
        return COMPACT, f"{GPU} is for {least} to {most} px", None
    if asked == Budget():
        return GPU, "a GPU; no length was given, so the recipe's length applies", None
    recipe = load_recipe(GPU)
    batch = for_all_processes(recipe.batch_size, runtime)
    recipe = recipe.model_copy(update={"data": opened.data, "batch_size": batch})
    probe = Probe(recipe, spec, measure_speed(recipe, data, runtime, most_sec(limit, began))) if limit else None
    speed = probe.speed.img_per_sec if probe else 0.0
    seconds = limit.seconds if limit else 0.0
    length = run_length(recipe, asked, spec.count, recipe.batch_size, limit=limit, img_per_sec=speed, train_sec=seconds)
    kimg = length.schedule_kimg
    if kimg >= LARGE_GPU_KIMG:
        return LARGE_GPU, f"a GPU with time for {kimg:,.0f} kimg of {GPU}", probe
    return GPU, f"a GPU with time for {kimg:,.0f} kimg; {LARGE_GPU} needs {LARGE_GPU_KIMG:,}", probe
