"""What to train on the data at hand, on this machine, in the time there is: a recipe, each choice with its reason."""

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
    _batch,
    _fit_networks,
    _fit_to_data,
    _fit_to_length,
    _for_all_processes,
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
PROBE = (32, 32, 3)  # shape of the random images that speed is first measured with


@dataclass(frozen=True)
class Reach:
    """How many images a budget shows."""

    length: Budget
    img_per_sec: float = 0.0  # of the narrowest networks at ``PROBE``; the cost grows with the area

    def kimg(self, pixels: int, count: int) -> float:
        """Return the kimg of images of a size that the narrowest networks are shown, of a data set of ``count``."""
        if self.length.minutes:
            return self.length.minutes * 60 * self.img_per_sec * PROBE[0] * PROBE[1] / pixels / 1000
        steps_kimg = (self.length.steps or 0) * load_recipe(COMPACT).batch_size / 1000
        return self.length.kimg or steps_kimg or (self.length.epochs or 0) * count / 1000


def propose(options: RunOptions, runtime: Runtime, on_event: OnEvent) -> tuple[Proposal, Prepared]:
    """Return what to train and why, and the run as far as that prepares it; all processes must call it alike.

    Opens the data, which decodes them if need be, and measures a few steps that are thrown away. Raises GansmithError
    as starting the run would.
    """
    overrides = options.overrides
    _refuse_wrong(overrides)
    asked = _asked_length(options.budget, overrides)
    source = find_data(options, runtime)
    fitted, reach, size_reason = _size(source, asked, _data_options(overrides), runtime)
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
        warnings = _fit_to_data(draft, data, runtime, kimg)
    if base == COMPACT:
        _fit_networks(draft, spec)
    speed, images = measure_speed(draft.recipe, data, runtime, MEASURE_SEC), draft.recipe.images_per_iteration
    length = run_length(draft.recipe, reach.length if base == COMPACT else asked, spec.count, images, speed)
    _fit_to_length(draft, length, is_asked=asked != Budget())
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
    """Raise RecipeError for overrides that no recipe of the plan takes, before any data are decoded."""
    problems = []
    for base in (COMPACT, POINTS, GPU):
        try:
            load_recipe(base, overrides)
            return
        except RecipeError as problem:
            problems.append(problem)
    raise problems[0]


def _data_options(overrides: tuple[str, ...]) -> DataOptions:
    keys = {"data", *DataOptions.model_fields}
    mine = [text for text in overrides if text.partition("=")[0].removeprefix("data.") in keys]
    return load_recipe(COMPACT, tuple(mine)).data


def _asked_length(budget: Budget, overrides: tuple[str, ...]) -> Budget:
    """Return the length that the user wants, by option or as a change to the recipe; an empty budget if any will do."""
    refuse_two_lengths(budget, overrides)
    mine = tuple(text for text in overrides if text.partition("=")[0] in ("kimg", "epochs"))
    if not mine:
        return budget
    recipe = load_recipe(COMPACT, mine)
    return Budget(kimg=recipe.kimg, epochs=recipe.epochs)


def _size(source: Source, asked: Budget, options: DataOptions, runtime: Runtime) -> tuple[DataOptions, Reach, str]:
    """Return the options with the size that the budget can carry, how far it reaches, and why."""
    if runtime.has_cuda:
        return options, Reach(asked), "that of the images"
    found = peek(source, options) if runtime.is_main else None
    seen = json.loads(runtime.broadcast_text(json.dumps(found)))
    length = asked if asked != Budget() else Budget(minutes=DEFAULT_MINUTES)
    if seen is None or tuple(seen[:3]) == POINT:
        return options, Reach(length), "that of the images"
    height, width, _, count = seen
    reach = Reach(length, _probe(runtime, count) if length.minutes else 0.0)
    if options.size is not None or options.pairs:
        return options, reach, "that of the images"
    longer = max(height, width)
    side = side_for(longer, lambda side: reach.kimg(side * side, count))
    if side == longer:
        return options, reach, "that of the images"
    shape = largest_inside(min(side, height), min(side, width), width / height)
    least, shown = fewest_kimg(longer), reach.kimg(height * width, count)
    reason = f"not {height} x {width}, which needs {least:,} kimg: on a CPU the budget shows {shown:,.0f} of it"
    return DataOptions.model_validate({**options.model_dump(), "size": shape}), reach, reason


def _probe(runtime: Runtime, count: int) -> float:
    """Return images a second of the narrowest networks for so many images, on random ones of ``PROBE``."""
    few = ["augment=ada"] if count <= FEW_IMAGES else []
    narrow = load_recipe(COMPACT, (f"base_channels={NARROWEST}", *few))
    data = random_images(PROBE, min(count, narrow.batch_size * runtime.world_size))
    narrow = narrow.model_copy(update={"batch_size": _batch(narrow, data.spec, runtime)[0]})
    return measure_speed(narrow, data, runtime, PROBE_SEC)


def _base(opened: Recipe, data: ImageData, asked: Budget, runtime: Runtime) -> tuple[str, str]:
    """Return the name of the recipe to begin with, and why."""
    spec, (least, most) = data.spec, GPU_SIDES
    if spec.is_points:
        return POINTS, "points in the plane"
    if not runtime.has_cuda:
        return COMPACT, "small networks and steps that a CPU makes fast"
    if not least <= min(spec.height, spec.width) <= max(spec.height, spec.width) <= most:
        return COMPACT, f"{GPU} is for {least} to {most} px"
    if asked == Budget():
        return GPU, "a GPU; it has a length of its own"
    recipe = load_recipe(GPU)
    batch = _for_all_processes(recipe.batch_size, runtime)
    recipe = recipe.model_copy(update={"data": opened.data, "batch_size": batch})
    speed = measure_speed(recipe, data, runtime, PROBE_SEC) if asked.minutes else 0.0
    kimg = run_length(recipe, asked, spec.count, recipe.batch_size, speed).schedule_kimg
    if kimg >= LARGE_GPU_KIMG:
        return LARGE_GPU, f"a GPU, and time for {kimg:,.0f} kimg of {GPU}"
    return GPU, f"a GPU, and time for {kimg:,.0f} kimg; {LARGE_GPU} pays from {LARGE_GPU_KIMG:,} on"
