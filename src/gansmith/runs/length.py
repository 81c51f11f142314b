"""The length of a run and its intervals between writes; a time limit revises them."""

import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from pydantic import TypeAdapter

from gansmith.core import clock
from gansmith.core.errors import GansmithError
from gansmith.core.registry import AboveZero, NotNegative, Positive
from gansmith.core.schedules import Moment
from gansmith.recipes.recipe import Recipe

MAX_ITERATIONS = 999_999_999  # checkpoints and pictures are sorted by names of nine digits


@dataclass(frozen=True)
class TimeLimit:
    """The time that a whole command may take, from its start to the last file: ``--minutes`` or ``--until``."""

    seconds: AboveZero
    until: float | None = None  # with --until: the end, in seconds since 1970

    def __str__(self) -> str:
        if self.until is not None:
            return f"until {datetime.fromtimestamp(self.until):%H:%M}"
        minutes = self.seconds / 60
        return f"{minutes:g} {'minute' if minutes == 1 else 'minutes'}"


@dataclass(frozen=True)
class Revision:
    """The last revision of a length that keeps a time limit.

    Positions count iterations of the first length: from ``position`` at ``iteration`` they rise in a straight line to
    ``planned`` at ``end``. So progress never falls, and it is 1 at the end.
    """

    iteration: NotNegative  # at which the length was revised
    position: float
    planned: Positive  # iterations of the first length
    end: NotNegative
    check_at: NotNegative  # iteration of a further revision between two checkpoints; 0: none
    snapshot_every: NotNegative | None = None  # positions between snapshots; None: as decided at the start, 0: none
    threads: Positive | None = None  # of torch, from here on; None: as at the start


@dataclass(frozen=True)
class RunLength:
    """The length of a run, and its intervals between log rows, previews and checkpoints, in positions.

    A position is an iteration of the first length. Without a revision it is the iteration itself.
    """

    schedule_kimg: AboveZero
    iterations: NotNegative
    log_every: Positive
    preview_every: Positive
    checkpoint_every: Positive
    source: str  # a phrase for people, for example "25 kimg"
    limit: TimeLimit | None = None  # the length follows the speed to keep it; None: the length stays
    revision: Revision | None = None

    @property
    def threads(self) -> int | None:
        """Return the threads of torch since the last revision; None: as at the start."""
        return self.revision.threads if self.revision else None

    def to_json(self) -> dict[str, Any]:
        """Return the fields as JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> "RunLength":
        """Return the length of ``to_json``; ValueError if it is none."""
        return TypeAdapter(cls).validate_python(values)

    def position(self, iteration: int) -> float:
        """Return the position at an iteration since the last revision."""
        last = self.revision
        if last is None:
            return iteration
        if iteration >= last.end:
            return last.planned if last.end > last.iteration else last.position
        slope = (last.planned - last.position) / (last.end - last.iteration)
        return last.position + slope * (iteration - last.iteration)

    def moment(self, iteration: int, kimg: float, *, stretches: bool) -> Moment:
        """Return the moment of an iteration; ``stretches``: kimg in the recipe are shares of the length."""
        if self.revision is None:
            return Moment(iteration, kimg, min(kimg / self.schedule_kimg, 1.0))
        position = self.position(iteration)
        progress = min(position / self.revision.planned, 1.0)
        return Moment(iteration, kimg, progress, iteration / position if stretches and position else 1.0)

    def is_due(self, every: int, iteration: int) -> bool:
        """Say whether something that comes every so many positions comes after an iteration."""
        if self.revision is None:
            return iteration % every == 0
        return self.position(iteration) // every > self.position(iteration - 1) // every

    def revised(
        self,
        iteration: int,
        end: int,
        images_per_iteration: int,
        *,
        check_at: int = 0,
        snapshot_every: int | None,
        threads: int | None = None,
    ) -> "RunLength":
        """Return a length that ends at iteration ``end``; up to ``iteration`` nothing changes."""
        planned = self.iterations if self.revision is None else self.revision.planned
        revision = Revision(iteration, self.position(iteration), planned, end, check_at, snapshot_every, threads)
        kimg, source = end * images_per_iteration / 1000, f"{self.limit} at the speed so far"
        return replace(self, schedule_kimg=kimg, iterations=end, source=source, revision=revision)

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
    until: str | None = None  # a local time such as 18:30, today or tomorrow

    def __post_init__(self) -> None:
        given = {name: value for name, value in asdict(self).items() if value is not None}
        if len(given) > 1:
            raise GansmithError(
                "training.two_lengths",
                f"{' and '.join('--' + name for name in given)} each set the length; pass one of them",
            )
        if self.until is not None:
            _next(self.until, 0.0)
        for name, value in [(name, value) for name, value in given.items() if name != "until"]:
            if not (math.isfinite(value) and value > 0):
                raise GansmithError("training.length_out_of_range", f"--{name} must be above 0, got {value:g}")

    def time_limit(self, began: float) -> TimeLimit | None:
        """Return the time limit of a command that began at ``began`` by ``clock.monotonic``; None without one."""
        if self.minutes:
            return TimeLimit(self.minutes * 60)
        if self.until is None:
            return None
        then = clock.wall() - (clock.monotonic() - began)
        end = _next(self.until, then)
        return TimeLimit(end - then, end)


def _next(time: str, after: float) -> float:
    """Return when a local time such as 18:30 comes next, in seconds since 1970; GansmithError for other words."""
    hour, colon, minute = time.strip().partition(":")
    if not (colon and hour.isdecimal() and minute.isdecimal() and len(minute) == 2):
        hour = "24"
    if not (int(hour) < 24 and int(minute) < 60):
        raise GansmithError(
            "training.not_a_time", f"--until takes a local time, got '{time}'\n  for example --until 18:30"
        )
    now = datetime.fromtimestamp(after)
    today = now.replace(hour=int(hour), minute=int(minute), second=0, microsecond=0)
    return (today if today > now else today + timedelta(days=1)).timestamp()


def refuse_two_lengths(budget: Budget, overrides: Iterable[str]) -> None:
    """Raise GansmithError if an option and an override of the recipe (kimg=50) both set the length."""
    option = next((name for name, value in asdict(budget).items() if value is not None), None)
    changed = next((text for text in overrides if text.partition("=")[0] in ("kimg", "epochs")), None)
    if option and changed:
        raise GansmithError("training.two_lengths", f"--{option} and {changed} each set the length; pass one of them")


def run_length(
    recipe: Recipe,
    budget: Budget,
    count: int,
    images_per_iteration: int,
    *,
    limit: TimeLimit | None = None,
    img_per_sec: float = 0.0,
    train_sec: float = 0.0,
) -> RunLength:
    """Return the length for ``count`` training images.

    With a time limit, the length is what ``train_sec``, the part of the limit for training, allow at ``img_per_sec``.
    """
    if limit is not None:
        kimg = max(train_sec, 0.0) * img_per_sec / 1000
        source = f"{limit} at {img_per_sec:,.0f} images a second as measured"
    elif budget.steps:
        kimg, source = budget.steps * images_per_iteration / 1000, f"{budget.steps} steps"
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
        limit=limit,
    )


def _iterations(kimg: float, images_per_iteration: int, source: str) -> int:
    iterations = round(kimg * 1000 / images_per_iteration, 6)
    if iterations > MAX_ITERATIONS:
        raise GansmithError(
            "training.length_too_long", f"a run of {source} is too long\n  allowed: up to {MAX_ITERATIONS:,} iterations"
        )
    return max(1, math.ceil(iterations))
