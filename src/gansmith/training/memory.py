"""The memory that a run needs: estimated before it starts, and measured after a failure."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from gansmith.core.errors import RecipeError, TrainingError
from gansmith.core.runtime import Runtime, installed_memory_mb
from gansmith.data.base import DataSpec, ImageData
from gansmith.data.batches import BatchStream
from gansmith.recipes.layer_table import numbers_in
from gansmith.recipes.load import flat, override
from gansmith.recipes.recipe import Recipe
from gansmith.training.state import RunState
from gansmith.training.step import train_step

# Measured on a CPU for COMPACT at 128 px: 2,080 MB with 32 channels in fp32, 1,542 MB with 16 in bf16; the estimates
# are 2,787 and 1,882 MB. Nothing was measured on GPUs.
PARAMETER_COPIES, VALUE_COPIES, PROCESS_MB = 6, 4, 600
# What no run can do without: weights, gradients, two moments of Adam; the output of each layer, for the backward pass.
LEAST_PARAMETER_COPIES, LEAST_VALUE_COPIES = 4, 1
WIDTHS = re.compile(r"(\w*channels|hidden|width|features)(\.\d+)?$")
MAX_HALVINGS = 12


def needed_mb(recipe: Recipe, spec: DataSpec, batch_size: int) -> float:
    """Estimate the memory of a run in MiB."""
    return _needed_mb(recipe, spec, batch_size, PARAMETER_COPIES, VALUE_COPIES)


def least_mb(recipe: Recipe, spec: DataSpec, batch_size: int) -> float:
    """Return a lower bound of the memory of a run in MiB."""
    return _needed_mb(recipe, spec, batch_size, LEAST_PARAMETER_COPIES, LEAST_VALUE_COPIES)


def _needed_mb(recipe: Recipe, spec: DataSpec, batch_size: int, of_parameters: int, of_values: int) -> float:
    parameters, values = numbers_in(recipe, spec)
    return PROCESS_MB + 4 * (of_parameters * parameters + of_values * values * batch_size) / 2**20


def refuse_too_large(recipe: Recipe, spec: DataSpec, runtime: Runtime) -> None:
    """Raise RecipeError for a recipe that needs more memory than there is, with the nearest one that fits."""
    share = runtime.world_size if runtime.device.type == "cpu" else 1  # processes that share the memory
    most, batch = installed_memory_mb(runtime.device) / share, max(1, recipe.batch_size // runtime.world_size)
    try:
        needed = least_mb(recipe, spec, batch)
    except Exception:  # a network of a plugin that cannot be built without memory: then the run finds out
        return
    if needed <= most:
        return
    changes, fitting = _nearest(recipe, spec, runtime, most)
    fits = f"nearest that fits: {changes} ({fitting:,.0f} MB)" if changes else "no smaller one fits"
    raise RecipeError(
        "recipe.too_large_for_memory",
        f"recipe '{recipe.name}' needs at least {needed:,.0f} MB of memory for {spec.width} x {spec.height} px and"
        f" batch_size={recipe.batch_size}, and there are {most:,.0f} MB\n  {fits}",
    )


def _nearest(recipe: Recipe, spec: DataSpec, runtime: Runtime, most: float) -> tuple[str, float]:
    """Return the overrides of a smaller batch or, if that is not enough, of narrower networks that fit."""

    def needed(now: Recipe) -> float:
        return least_mb(now, spec, max(1, now.batch_size // runtime.world_size))

    smaller = recipe
    while smaller.batch_size >= 4 * runtime.world_size:
        smaller = override(smaller, (f"batch_size={smaller.batch_size // 2}",))
        if needed(smaller) <= most:
            return f"batch_size={smaller.batch_size}", needed(smaller)
    for halvings in range(1, MAX_HALVINGS):
        words = _narrower(recipe, halvings)
        try:
            narrow = override(recipe, words)
            if needed(narrow) <= most:
                return " ".join(words), needed(narrow)
        except RecipeError:  # too narrow for a field's bounds
            break
    return "", 0.0


def _narrower(recipe: Recipe, halvings: int) -> tuple[str, ...]:
    """Return overrides that halve the widths of the networks so often."""
    found: dict[str, dict[str, int]] = {}
    for path, value in flat(recipe).items():
        match = WIDTHS.search(path)
        if match and path.startswith("method.") and type(value) is int:
            found.setdefault(match[1], {})[path] = max(1, value >> halvings)
    words = []
    for name, values in found.items():
        owners: dict[str, list[int]] = {}
        for path, value in values.items():
            owners.setdefault(path.removesuffix(path[path.rindex(name) :]), []).append(value)
        as_list = any(path.rsplit(".", 1)[-1].isdigit() for path in values)
        for_all = len({tuple(each) for each in owners.values()}) == 1
        for owner, each in owners.items():
            text = f"[{','.join(map(str, each))}]" if as_list else str(each[0])
            words.append(f"{name if for_all else owner + name}={text}")
            if for_all:
                break
    return tuple(words)


def is_out_of_memory(problem: BaseException) -> bool:
    """Say whether an error is that memory ran out, of the CPU or the GPU."""
    if isinstance(problem, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(problem, RuntimeError) and any(
        words in str(problem) for words in ("can't allocate memory", "out of memory", "not enough memory")
    )


@contextmanager
def naming_what_fits(recipe: Recipe, data: ImageData, runtime: Runtime, last: str = "") -> Iterator[None]:
    """Turn an error of memory inside into TrainingError with the batch that fits, as measured; ``last`` ends it."""
    try:
        yield
    except Exception as problem:
        if not is_out_of_memory(problem):
            raise
        problem.__traceback__ = None  # its frames hold the networks
        fits = largest_batch(recipe, data, runtime) if runtime.world_size == 1 else 0
        spec = data.spec
        advice = (
            f"measured: batch_size={fits} fits" if fits else "take narrower networks, smaller images or a smaller batch"
        )
        raise TrainingError(
            "training.out_of_memory",
            f"memory ran out with batch_size={recipe.batch_size} at {spec.width} x {spec.height} px"
            f" ({installed_memory_mb(runtime.device):,.0f} MB in all)\n  {advice}" + (f"\n  {last}" if last else ""),
        ) from problem


def largest_batch(recipe: Recipe, data: ImageData, runtime: Runtime) -> int:
    """Return the largest of 1/2, 1/4, ... of the batch with which a step fits in memory, by trying; 0 for none."""
    batch = recipe.batch_size // 2
    while batch >= 2:
        runtime.free_memory()
        try:
            _try_step(recipe.model_copy(update={"batch_size": batch}), data, runtime)
            return batch
        except Exception as problem:
            if not is_out_of_memory(problem):
                raise
        batch //= 2
    return 0


def _try_step(recipe: Recipe, data: ImageData, runtime: Runtime) -> None:
    state: Any = RunState.fresh(recipe, data.spec, 0, runtime)
    domains = max(1, len(recipe.method.domains))
    stream = BatchStream(data, recipe.batch_size, 0, runtime, mirror=recipe.data.mirror, domains=domains)
    for _ in range(2):  # the first allocates the state of the optimizers
        train_step(state, stream, runtime, state.moment(1.0))
