"""Open the data of a run, and measure how fast its steps are."""

import time

from gansmith.core.errors import DataError
from gansmith.core.events import Event, OnEvent
from gansmith.core.runtime import Runtime
from gansmith.data.base import ImageData
from gansmith.data.open import open_data
from gansmith.methods.adversarial import assume_augmented
from gansmith.recipes.recipe import Recipe
from gansmith.runs.record import RunOptions
from gansmith.training.state import RunState
from gansmith.training.step import train_step

MEASURE_SEC = 4.0


OVERHEAD = 0.05  # share of a run that previews, checkpoints and the report take


def open_for(recipe: Recipe, order: RunOptions, runtime: Runtime, on_event: OnEvent) -> tuple[Recipe, ImageData]:
    """Return the data, and the recipe with the size and channels that were inferred from them."""

    def tell(done: int, total: int) -> None:
        on_event(Event("data", values={"done": done, "total": total}))

    def read() -> ImageData:
        return open_data(
            order.source, recipe.data, holdout=order.holdout, seed=order.seed, root=order.data_root, on_progress=tell
        )

    if not runtime.is_main:
        runtime.barrier()
    data = read()
    if runtime.is_main:
        runtime.barrier()
    if len(data) < 2:
        raise DataError(
            "data.one_image",
            f"'{data.spec.name}' has one image to train on"
            "\n  at least 2 are needed; 'gansmith data check' says what was left out",
        )
    decided = recipe.data.decided(data.spec.height, data.spec.width, data.spec.channels)
    return recipe.model_copy(update={"data": decided}), data


def measure_speed(recipe: Recipe, data: ImageData, runtime: Runtime, seconds: float = MEASURE_SEC) -> float:
    """Return images a second of a few steps on a state that is thrown away, augmented as they usually are."""
    from gansmith.data.batches import BatchStream

    state = RunState.fresh(recipe, data.spec, 0, runtime)
    assume_augmented(state.method.state)
    domains = max(1, len(recipe.method.domains))
    stream = BatchStream(data, recipe.batch_size, 0, runtime, mirror=recipe.data.mirror, domains=domains)
    shown, start = 0, 0.0
    while runtime.any_process(start == 0.0 or shown == 0 or time.perf_counter() - start < seconds):
        train_step(state, stream, runtime, state.moment(1.0))
        runtime.synchronize()
        if state.iteration == 2:  # the first steps set things up
            start = time.perf_counter()
        elif state.iteration > 2:
            shown += state.images_per_iteration
    return shown / (time.perf_counter() - start) * (1 - OVERHEAD)
