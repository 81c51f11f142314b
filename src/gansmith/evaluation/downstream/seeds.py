"""Accuracies over several seeds: mean, deviation, and whether two kinds differ clearly."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gansmith.evaluation.result import NOISE


@dataclass(frozen=True)
class Gain:
    """Mean difference of accuracies over the same seeds, and the band of differences that noise explains."""

    mean: float
    band: float  # 2 standard deviations of the difference over seeds

    @property
    def is_clear(self) -> bool:
        """Say whether the difference is more than the band."""
        return abs(self.mean) > self.band

    @property
    def verdict(self) -> str:
        """Return the verdict as words in front of a name."""
        if not self.is_clear:
            return "not clearly different from"
        return "better than" if self.mean > 0 else "worse than"

    def __str__(self) -> str:
        return f"{100 * self.mean:+.1f}, band {100 * self.band:.1f}"


def gain_over(ours: Sequence[float], theirs: Sequence[float]) -> Gain:
    """Return the gain from differences seed by seed, so that the luck of a draw of images cancels."""
    differences = np.subtract(ours, theirs)
    return Gain(float(differences.mean()), NOISE * float(differences.std(ddof=1)))


def percent(accuracies: Sequence[float]) -> str:
    """Return mean +- standard deviation over seeds, in %."""
    return f"{100 * np.mean(accuracies):.1f} +- {100 * np.std(accuracies, ddof=1):.1f}"


def table(head: list[str], rows: list[list[str]]) -> list[str]:
    """Return a table as aligned lines."""
    widths = [max(len(row[column]) for row in (head, *rows)) for column in range(len(head))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in (head, *rows)]
    return [line.rstrip() for line in lines]
