"""Numbers that may change over a run: constants, and linear or cosine ramps."""

import math
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import AfterValidator, Discriminator, Field, Tag, model_validator

from gansmith.core.registry import FrozenModel


@dataclass(frozen=True)
class Moment:
    """A point of a run."""

    iteration: int
    kimg: float  # thousands of real images shown to the discriminator
    progress: float  # share of the schedule that is done, in [0, 1]; stays 1 after the schedule
    stretch: float = 1.0  # kimg so far for each kimg that the plan had; other than 1 only after a plan was revised


class Ramp(FrozenModel):
    """A number that changes from ``start`` to ``end`` while progress goes from ``begin`` to ``until``, else constant.

    linear: start + (end - start) p;  cosine: end + (start - end) (1 + cos(pi p)) / 2, with p from 0 to 1 in between.
    ``shape: cosine`` with ``until`` below 1 is the half-cosine with hold of Huang et al. 2024, arXiv:2501.05441.
    ``warmup`` is for learning rates: until progress is ``warmup`` the value is multiplied by progress / warmup.
    """

    start: float
    end: float
    shape: Literal["linear", "cosine"] = "linear"
    begin: float = Field(0.0, ge=0, le=1, description="progress at which the change starts")
    until: float = Field(1.0, ge=0, le=1, description="progress from which the value is end")
    warmup: float = Field(0.0, ge=0, lt=1, description="progress until which the value rises from 0")

    @model_validator(mode="after")
    def _ordered(self) -> "Ramp":
        if self.begin >= self.until:
            raise ValueError(f"begin ({self.begin:g}) must be below until ({self.until:g})")
        return self

    def at(self, progress: float) -> float:
        """Return the value at a progress in [0, 1]."""
        share = min(max((progress - self.begin) / (self.until - self.begin), 0.0), 1.0)
        if self.shape == "cosine":
            share = (1 - math.cos(math.pi * share)) / 2
        value = self.start + (self.end - self.start) * share
        return value * progress / self.warmup if progress < self.warmup else value


def _which(value: object) -> str:
    return "ramp" if isinstance(value, dict | Ramp) else "number"


Scheduled = Annotated[Annotated[float, Tag("number")] | Annotated[Ramp, Tag("ramp")], Discriminator(_which)]


def values_of(number: "Scheduled") -> tuple[float, ...]:
    """Return the constant, or both ends of a ramp, and 0 if it has a warm-up: all values lie between them."""
    if not isinstance(number, Ramp):
        return (number,)
    return (number.start, number.end, *((0.0,) if number.warmup else ()))


def _not_negative(number: "Scheduled") -> "Scheduled":
    if min(values_of(number)) < 0:
        raise ValueError("input should be greater than or equal to 0")
    return number


def _share(number: "Scheduled") -> "Scheduled":
    if not 0 <= min(values_of(number)) <= max(values_of(number)) < 1:
        raise ValueError("input should be at least 0 and below 1")
    return number


NotNegative = Annotated[Scheduled, AfterValidator(_not_negative)]
Share = Annotated[Scheduled, AfterValidator(_share)]


def value_at(number: Scheduled, moment: Moment) -> float:
    """Return the constant, or the ramp's value at a moment."""
    return number.at(moment.progress) if isinstance(number, Ramp) else float(number)
