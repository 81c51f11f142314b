"""Plan a recipe for the data, the machine and the budget, with a reason for each choice."""

import json
from dataclasses import dataclass

from gansmith.core.errors import RecipeError
from gansmith.core.events import OnEvent
from gansmith.core.runtime import Runtime
from gansmith.data.base import DataOptions, ImageData, Source, random_images
from gansmith.data.image_format import largest_inside
from gansmith.data.peek import peek
from gansmith.imaging.images import POINT
from gansmith.planning.choices import (
    batch_for,
    fit_networks,
    fit_to_data,
    fit_to_length,
    for_all_processes,
)
from gansmith.planning.expectations import expectation_for
from gansmith.planning.heuristics import (
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
from gansmith.planning.proposal import Choice, Proposal, RecipeBuilder
from gansmith.recipes import AUTO
from gansmith.recipes.load import load_recipe
from gansmith.recipes.recipe import Recipe
from gansmith.runs.length import Budget, refuse_two_lengths, run_length
from gansmith.runs.options import RunOptions
from gansmith.training.prepare import Prepared, find_data, measure_speed, open_for, same_number

PROBE_SEC, MEASURE_SEC = 1.0, 3.0
PROBE = (32, 32, 3)  # shape of the random images of the first speed measurement
NATIVE = "the size of the images"


@dataclass(frozen=True)
class Reach:
    """How much training a budget allows."""

    length: Budget
    img_per_sec: float = 0.0  # of the narrowest networks on ``PROBE``; the cost of an image grows with its area

    def kimg(self, pixels: int, count: int) -> float:
        """Return the kimg that the narrowest networks can train on ``count`` images of so many pixels."""
        if self.length.minutes:
            return self.length.minutes * 60 * self.img_per_sec * PROBE[0] * PROBE[1] / pixels / 1000
        steps_kimg = (self.length.steps or 0) * load_recipe(COMPACT).batch_size / 1000
        return self.length.kimg or steps_kimg or (self.length.epochs or 0) * count / 1000


def propose(options: RunOptions, runtime: Runtime, on_event: OnEvent) -> tuple[Proposal, Prepared]:
    """Plan a recipe, and return it with the run that it prepares; all processes must call it, with the same options.

    Opens the data, which decodes them if they are not in the cache, and measures a few steps that are thrown away.
    Raises GansmithError for anything that keeps the run from starting.
    """
    overrides = options.overrides
    _refuse_wrong(overrides)
    asked = _asked_length(options.budget, overrides)
    source = find_data(options, runtime)
    fitted, reach, size_reason = _size(source, asked, data_options(overrides), runtime)
    compact = load_recipe(COMPACT).model_copy(update={"data": fitted})
    opened, data = open_for(compact, source, options, runtime, on_event)
    spec = data.spec
    base, reason = _base(opened, data, asked, runtime)
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
    speed, images = measure_speed(draft.recipe, data, runtime, MEASURE_SEC), draft.recipe.images_per_iteration
    length = run_length(draft.recipe, reach.length if base == COMPACT else asked, spec.count, images, speed)
    fit_to_length(draft, length, is_asked=asked != Budget())
    draft.note_the_rest()
    side = max(spec.height, spec.width)
    seen = None if spec.is_points else expectation_for(side, spec.channels, spec.count, length.schedule_kimg)
    proposal = Proposal(
        draft.recipe, tuple(draft.choices), warnings, tuple(data.summary.lines()), speed, length.schedule_kimg,
        same_number(runtime, runtime.memory_mb()), seen,
    )  # fmt: skip
    left = Budget() if options.budget.minutes else options.budget  # minutes have become the recipe's kimg
    length = run_length(draft.recipe, left, spec.count, images, speed)
    return proposal, Prepared(draft.recipe, source, data, length, speed, proposal.comments())


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


def _size(source: Source, asked: Budget, options: DataOptions, runtime: Runtime) -> tuple[DataOptions, Reach, str]:
    """Return the options with the image size that the budget can train, the budget's reach, and the reason."""
    if runtime.has_cuda:
        return options, Reach(asked), NATIVE
    found = peek(source, options) if runtime.is_main else None
    seen = json.loads(runtime.broadcast_text(json.dumps(found)))
    length = asked if asked != Budget() else Budget(minutes=DEFAULT_MINUTES)
    if seen is None or tuple(seen[:3]) == POINT:
        return options, Reach(length), NATIVE
    height, width, _, count = seen
    reach = Reach(length, _probe(runtime, count) if length.minutes else 0.0)
    if options.size is not None or options.pairs:
        return options, reach, NATIVE
    longer = max(height, width)
    side = side_for(longer, lambda side: reach.kimg(side * side, count))
    if side == longer:
        return options, reach, NATIVE
    shape = largest_inside(min(side, height), min(side, width), width / height)
    least, shown = fewest_kimg(longer), reach.kimg(height * width, count)
    reason = f"{height} x {width} needs {least:,} kimg, and on this CPU the budget allows {shown:,.0f}"
    return DataOptions.model_validate({**options.model_dump(), "size": shape}), reach, reason


def _probe(runtime: Runtime, count: int) -> float:
    """Return images a second of the narrowest networks on random images; ``count`` real images decide how.

    The image size has to be chosen before the data are opened, so the real images cannot be used.
    """
    few = ["augment=ada"] if count <= FEW_IMAGES else []
    narrow = load_recipe(COMPACT, (f"base_channels={NARROWEST}", *few))
    data = random_images(PROBE, min(count, narrow.batch_size * runtime.world_size))
    narrow = narrow.model_copy(update={"batch_size": batch_for(narrow, data.spec, runtime)[0]})
    return measure_speed(narrow, data, runtime, PROBE_SEC)


def _base(opened: Recipe, data: ImageData, asked: Budget, runtime: Runtime) -> tuple[str, str]:
    """Return the name of the recipe to start from, and why."""
    spec, (least, most) = data.spec, GPU_SIDES
    if spec.is_points:
        return POINTS, "points in the plane"
    if not runtime.has_cuda:
        return COMPACT, "small networks, whose steps are fast on a CPU"
    if not least <= min(spec.height, spec.width) <= max(spec.height, spec.width) <= most:
        return COMPACT, f"{GPU} is for {least} to {most} px"
    if asked == Budget():
        return GPU, "a GPU; no length was given, so the recipe's length applies"
    recipe = load_recipe(GPU)
    batch = for_all_processes(recipe.batch_size, runtime)
    recipe = recipe.model_copy(update={"data": opened.data, "batch_size": batch})
    speed = measure_speed(recipe, data, runtime, PROBE_SEC) if asked.minutes else 0.0
    kimg = run_length(recipe, asked, spec.count, recipe.batch_size, speed).schedule_kimg
    if kimg >= LARGE_GPU_KIMG:
        return LARGE_GPU, f"a GPU with time for {kimg:,.0f} kimg of {GPU}"
    return GPU, f"a GPU with time for {kimg:,.0f} kimg; {LARGE_GPU} needs {LARGE_GPU_KIMG:,}"
