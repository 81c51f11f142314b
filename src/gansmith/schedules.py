"""Numbers that may change over a run: constant, linear, cosine, and cosine that ends early and holds."""

import math
from dataclasses import dataclass
from typing import Literal

from pydantic import Field, model_validator

from gansmith.registry import FrozenModel


@dataclass(frozen=True)
class Moment:
    """Where a run is: the iteration, the real images shown to the discriminator, and the share of the schedule done."""

    iteration: int
    kimg: float
    progress: float  # in [0, 1]; stays at 1 past the schedule


class Ramp(FrozenModel):
    """A number that goes from ``start`` to ``end`` while progress goes from ``begin`` to ``until``, and holds outside.

    linear: start + (end - start) p;  cosine: end + (start - end) (1 + cos(pi p)) / 2, with p in [0, 1].
    ``shape: cosine`` with ``until`` below 1 is the half-cosine with hold of Huang et al. 2024, arXiv:2501.05441.
    """

    start: float
    end: float
    shape: Literal["linear", "cosine"] = "linear"
    begin: float = Field(0.0, ge=0, le=1, description="progress at which the change begins")
    until: float = Field(1.0, ge=0, le=1, description="progress at which the end is reached and held")

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
        return self.start + (self.end - self.start) * share


Scheduled = float | Ramp


def value_at(number: Scheduled, moment: Moment) -> float:
    """Return a constant, or a ramp's value at a moment."""
    return number.at(moment.progress) if isinstance(number, Ramp) else float(number)
