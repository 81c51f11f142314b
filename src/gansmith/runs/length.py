"""The length of a run and its intervals between writes, fixed before the first step."""

import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from typing import Any

from gansmith.core.errors import GansmithError
from gansmith.recipes.recipe import Recipe

MAX_ITERATIONS = 999_999_999  # checkpoints and pictures are sorted by names of nine digits


@dataclass(frozen=True)
class RunLength:
    """The length of a run, and its intervals between log rows, previews and checkpoints, in iterations."""

    schedule_kimg: float
    iterations: int
    log_every: int
    preview_every: int
    checkpoint_every: int
    source: str  # a phrase for people, for example "25 kimg"

    def to_json(self) -> dict[str, Any]:
        """Return the fields as JSON values."""
        return asdict(self)

    def ended_at(self, iteration: int, why: str) -> "RunLength":
        """Return a length that ends earlier, at ``iteration``, with the same schedules."""
        return replace(self, iterations=iteration, source=why)

    def extended(self, kimg: float, images_per_iteration: int) -> "RunLength":
        """Return a length of ``kimg`` with the same intervals."""
        iterations = _iterations(kimg, images_per_iteration, f"{kimg:g} kimg")
        return RunLength(
            iterations * images_per_iteration / 1000,
            iterations,
            self.log_every,
            self.preview_every,
            self.checkpoint_every,
            f"extended to {kimg:g} kimg",
        )


@dataclass(frozen=True)
class Budget:
    """The length that the user asked for, in one unit; without any, the recipe's length is used."""

    kimg: float | None = None
    steps: int | None = None
    epochs: float | None = None
    minutes: float | None = None

    def __post_init__(self) -> None:
        given = {name: value for name, value in asdict(self).items() if value is not None}
        if len(given) > 1:
            raise GansmithError(
                "training.two_lengths",
                f"{' and '.join('--' + name for name in given)} both set the length; pass one of them",
            )
        for name, value in given.items():
            if not (math.isfinite(value) and value > 0):
                raise GansmithError("training.length_out_of_range", f"--{name} must be above 0, got {value:g}")


def refuse_two_lengths(budget: Budget, overrides: Iterable[str]) -> None:
    """Raise GansmithError if an option and an override of the recipe (kimg=50) both set the length."""
    option = next((name for name, value in asdict(budget).items() if value is not None), None)
    changed = next((text for text in overrides if text.partition("=")[0] in ("kimg", "epochs")), None)
    if option and changed:
        raise GansmithError("training.two_lengths", f"--{option} and {changed} both set the length; pass one of them")


def run_length(recipe: Recipe, budget: Budget, count: int, images_per_iteration: int, img_per_sec: float) -> RunLength:
    """Return the length for ``count`` training images; ``img_per_sec`` converts minutes to kimg."""
    if budget.steps:
        kimg, source = budget.steps * images_per_iteration / 1000, f"{budget.steps} steps"
    elif budget.minutes:
        kimg = budget.minutes * 60 * img_per_sec / 1000
        unit = "minute" if budget.minutes == 1 else "minutes"
        source = f"{budget.minutes:g} {unit} at {img_per_sec:,.0f} images a second as measured"
    elif budget.kimg or (recipe.kimg and not budget.epochs):
        kimg = budget.kimg or recipe.kimg or 0.0
        source = f"{kimg:g} kimg"
    else:
        epochs = budget.epochs or recipe.epochs or 0.0
        kimg, source = epochs * count / 1000, f"{epochs:g} epochs of {count:,} images"
    iterations = _iterations(kimg, images_per_iteration, source)
    checkpoint_kimg = min(kimg / recipe.checkpoints, recipe.checkpoint_kimg)
    return RunLength(
        schedule_kimg=iterations * images_per_iteration / 1000,
        iterations=iterations,
        log_every=max(1, iterations // recipe.log_rows),
        preview_every=-(-iterations // recipe.previews),
        checkpoint_every=max(1, round(checkpoint_kimg * 1000 / images_per_iteration)),
        source=source,
    )


def _iterations(kimg: float, images_per_iteration: int, source: str) -> int:
    iterations = round(kimg * 1000 / images_per_iteration, 6)
    if iterations > MAX_ITERATIONS:
        raise GansmithError(
            "training.length_too_long", f"{source} is too long a run\n  allowed: up to {MAX_ITERATIONS:,} iterations"
        )
    return max(1, math.ceil(iterations))
