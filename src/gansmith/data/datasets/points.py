"""Points in the plane as data sets: one plot shows the whole distribution and dropped modes."""

# A point is an image of 1 x 2 px with one channel (``images.POINT``): x and y in [-1, 1]. Like any image it is stored
# in 256 steps for each axis. The standard deviation around each mode, 0.03, is 3.8 steps; rounding adds 0.6 % to its
# square.

import math
from typing import ClassVar

import numpy as np
from pydantic import Field

from gansmith.core.randomness import derive_seed
from gansmith.data.datasets.base import DataSetPart, register
from gansmith.data.sources.arrays import Arrays, ArraySource

DEVIATION = 0.03  # standard deviation around each mode
VERSION = 1  # of the points that a seed gives


class Points(DataSetPart):
    """Points drawn from a seed: no file, no download."""

    licence: ClassVar[str] = "none: drawn from a seed"

    count: int = Field(10_000, ge=1, le=1_000_000, description="number of points")
    seed: int = 0

    def centres(self) -> np.ndarray:
        """Return the centres of the modes, float64 (K, 2); K is 0 for a set without modes."""
        return np.empty((0, 2))

    def source(self) -> ArraySource:
        """Return the points as a source; the label of a point is its mode."""

        def load() -> Arrays:
            points, modes = self.draw(
                np.random.Generator(np.random.Philox(derive_seed("points", self.kind, self.seed)))
            )
            names = tuple(f"({x:.2g}, {y:.2g})" for x, y in self.centres() + 0.0)
            return Arrays(points[:, None], modes if names else None, names)

        return ArraySource(self.kind, self.kind, lambda: f"{VERSION} {self.count} {self.seed}", load)

    def draw(self, draws: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Return points (N, 2) and the mode of each (N,); the modes take turns, so each has equally many."""
        centres = self.centres()
        modes = np.arange(self.count) % len(centres)
        return centres[modes] + DEVIATION * draws.standard_normal((self.count, 2)), modes


@register("gaussians-25")
class Gaussians(Points):
    """25 round Gaussians on a grid of 5 x 5, 0.4 apart, with a standard deviation of 0.03.

    Source: Srivastava et al. 2017, arXiv:1705.07761 (2D Grid); Lin et al. 2018, arXiv:1712.04086, section 4.1.
    Differs: three times as wide relative to their distance, because points are stored in 256 steps and runs are short.
    """

    about: ClassVar[str] = "points in the plane: a grid of 5 x 5 Gaussians; 10,000 drawn from a seed; 25 classes"

    def centres(self) -> np.ndarray:
        """Return the 25 centres, row by row from the lower left."""
        places = np.array([-0.8, -0.4, 0.0, 0.4, 0.8])
        return np.stack([np.tile(places, 5), np.repeat(places, 5)], axis=1)


@register("ring-8")
class Ring(Points):
    """8 round Gaussians on a circle of radius 0.8, with a standard deviation of 0.03.

    Source: Metz et al. 2017, arXiv:1611.02163, section 3.1. Differs: scaled to [-1, 1].
    """

    about: ClassVar[str] = "points in the plane: 8 Gaussians on a circle; 10,000 drawn from a seed; 8 classes"

    def centres(self) -> np.ndarray:
        """Return the 8 centres, counter-clockwise from the right."""
        angles = np.arange(8) * math.pi / 4
        return 0.8 * np.stack([np.cos(angles), np.sin(angles)], axis=1).round(12)


@register("swiss-roll")
class SwissRoll(Points):
    """A spiral t (cos t, sin t), t uniform in [1.5 pi, 4.5 pi], with a standard deviation of 0.03.

    Source: Marsland, Machine Learning: An Algorithmic Perspective, chapter on manifold learning.
    Differs: in the plane, without depth; scaled to [-1, 1].
    """

    about: ClassVar[str] = "points in the plane: a spiral; 10,000 drawn from a seed; no classes"

    def draw(self, draws: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Return points (N, 2), and zeros (N,), because a spiral has no modes."""
        turn = math.pi * (1.5 + 3 * draws.random(self.count))
        spiral = turn[:, None] / (4.5 * math.pi) * 0.85 * np.stack([np.cos(turn), np.sin(turn)], axis=1)
        points = spiral + DEVIATION * draws.standard_normal((self.count, 2))
        return points, np.zeros(self.count, np.int64)
