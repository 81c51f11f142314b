"""Columns of a log, prepared for plots: selected, thinned, smoothed, with a range."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

MAX_POINTS = 2000


def column(rows: list[dict[str, Any]], name: str) -> tuple[np.ndarray, np.ndarray]:
    """Return kimg and values (N,) of the rows with this column; null becomes NaN, and a NaN point marks a rollback."""
    points: list[tuple[float, float]] = []
    for row in rows:
        if name in row:
            kimg, value = float(row["kimg"]), row[name]
            if points and kimg < points[-1][0]:
                points.append((math.nan, math.nan))
            points.append((kimg, float(value) if is_number(value) else math.nan))
    array = np.array(points, np.float64).reshape(-1, 2)
    return array[:, 0], array[:, 1]


def smooth(y: np.ndarray, is_log: bool = False) -> np.ndarray:
    """Return a Gaussian moving average over about 1/30 of the rows; of logarithms if ``is_log``; NaN stays NaN."""
    sigma = max(1.0, len(y) / 60)
    reach = int(min(3 * sigma, (len(y) - 1) // 2))
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    good = np.isfinite(y)
    known = np.where(good, np.log(np.where(good, y, 1)) if is_log else y, 0.0)
    mean = np.convolve(known, kernel, "same") / np.maximum(np.convolve(good, kernel, "same"), 1e-12)
    return np.where(good, np.exp(mean) if is_log else mean, np.nan)


def robust_limits(values: Sequence[np.ndarray]) -> tuple[float, float, np.ndarray]:
    """Return a range (low, high) that shows every series, and the outliers beyond it.

    There are outliers only if they would squeeze the rest: if all values need more than four times the range that ends
    three interquartile ranges beyond the quartiles of each series.
    """
    finite = [y[np.isfinite(y)] for y in values if np.isfinite(y).any()]
    if not finite:
        return 0.0, 1.0, np.empty(0)
    pooled = np.concatenate(finite)
    lows, highs = [], []
    for y in finite:
        first, third = np.percentile(y, (25, 75))
        reach = 3 * (third - first) or 0.05 * abs(first)
        lows.append(max(float(y.min()), first - reach))
        highs.append(min(float(y.max()), third + reach))
    low, high = min(lows), max(highs)
    if pooled.max() - pooled.min() <= 4 * (high - low) or len(pooled) < 8:
        return float(pooled.min()), float(pooled.max()), np.empty(0)
    return low, high, pooled[(pooled < low) | (pooled > high)]


def extremes(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return at most MAX_POINTS points: the lowest and highest of each group of rows, so that no spike is lost."""
    if len(x) <= MAX_POINTS:
        return x, y
    width = -(-len(y) // (MAX_POINTS // 2))
    padded = np.full(-(-len(y) // width) * width, np.nan)
    padded[: len(y)] = y
    parts = padded.reshape(-1, width)
    bad, starts = np.isnan(parts), np.arange(len(parts)) * width
    lowest, highest = np.where(bad, np.inf, parts).argmin(1), np.where(bad, -np.inf, parts).argmax(1)
    kept = np.unique([starts + lowest, starts + highest])  # a group without values keeps its first row: a gap
    return x[kept], y[kept]


def means(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return at most MAX_POINTS points: the mean of each group of rows, NaN if the group has a NaN."""
    if len(x) <= MAX_POINTS:
        return x, y
    parts = np.linspace(0, len(x), MAX_POINTS, endpoint=False).astype(np.int64)
    counts = np.diff(np.append(parts, len(x)))
    return np.add.reduceat(x, parts) / counts, np.add.reduceat(y, parts) / counts


def is_number(value: Any) -> bool:
    """Say whether a value of a row is a finite number."""
    return isinstance(value, int | float) and math.isfinite(value)
