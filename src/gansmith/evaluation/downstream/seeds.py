"""Accuracies of several seeds: their mean and deviation, and whether one kind is better than another."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gansmith.evaluation.result import NOISE


@dataclass(frozen=True)
class Gain:
    """By how much accuracies are above others of the same seeds: the mean, and the band that noise stays within."""

    mean: float
    band: float  # twice the deviation over seeds of the difference

    @property
    def is_clear(self) -> bool:
        """Say whether the difference is more than the band."""
        return abs(self.mean) > self.band

    @property
    def verdict(self) -> str:
        """Return it as words that a name follows."""
        if not self.is_clear:
            return "not clearly different from"
        return "better than" if self.mean > 0 else "worse than"

    def __str__(self) -> str:
        return f"{100 * self.mean:+.1f}, band {100 * self.band:.1f}"


def gain_over(ours: Sequence[float], theirs: Sequence[float]) -> Gain:
    """Return the gain, seed by seed: what a draw of images does to both is no difference between them."""
    differences = np.subtract(ours, theirs)
    return Gain(float(differences.mean()), NOISE * float(differences.std(ddof=1)))


def percent(accuracies: Sequence[float]) -> str:
    """Return mean and deviation over seeds in %."""
    return f"{100 * np.mean(accuracies):.1f} +- {100 * np.std(accuracies, ddof=1):.1f}"


def table(head: list[str], rows: list[list[str]]) -> list[str]:
    """Return aligned lines."""
    widths = [max(len(row[column]) for row in (head, *rows)) for column in range(len(head))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in (head, *rows)]
    return [line.rstrip() for line in lines]
