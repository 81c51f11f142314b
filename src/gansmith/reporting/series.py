"""What is done to the columns of a log before they are drawn: picking, thinning, smoothing, choosing a range."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

MAX_POINTS = 2000


def column(rows: list[dict[str, Any]], name: str) -> tuple[np.ndarray, np.ndarray]:
    """Return kimg and values of the rows that have the column; null is NaN, and the line breaks where kimg falls."""
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
    """Return a centred Gaussian mean (in logarithms if asked) over about a thirtieth of the rows; NaN stays NaN."""
    sigma = max(1.0, len(y) / 60)
    reach = int(min(3 * sigma, (len(y) - 1) // 2))
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    good = np.isfinite(y)
    known = np.where(good, np.log(np.where(good, y, 1)) if is_log else y, 0.0)
    mean = np.convolve(known, kernel, "same") / np.maximum(np.convolve(good, kernel, "same"), 1e-12)
    return np.where(good, np.exp(mean) if is_log else mean, np.nan)


def robust_limits(values: Sequence[np.ndarray]) -> tuple[float, float, np.ndarray]:
    """Return (low, high) that show every series, and the values left outside.

    Nothing is left out unless outliers would squeeze the rest: the view ends three interquartile ranges beyond the
    quartiles of each series when all values need more than four times that room.
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
    """Return at most MAX_POINTS points: each stretch of rows gives its lowest and highest, so no spike is lost."""
    if len(x) <= MAX_POINTS:
        return x, y
    width = -(-len(y) // (MAX_POINTS // 2))
    padded = np.full(-(-len(y) // width) * width, np.nan)
    padded[: len(y)] = y
    parts = padded.reshape(-1, width)
    bad, starts = np.isnan(parts), np.arange(len(parts)) * width
    lowest, highest = np.where(bad, np.inf, parts).argmin(1), np.where(bad, -np.inf, parts).argmax(1)
    kept = np.unique([starts + lowest, starts + highest])  # of a stretch without values: its first, a gap
    return x[kept], y[kept]


def means(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return at most MAX_POINTS points: the means of as many stretches of rows, NaN where one holds a NaN."""
    if len(x) <= MAX_POINTS:
        return x, y
    parts = np.linspace(0, len(x), MAX_POINTS, endpoint=False).astype(np.int64)
    counts = np.diff(np.append(parts, len(x)))
    return np.add.reduceat(x, parts) / counts, np.add.reduceat(y, parts) / counts


def is_number(value: Any) -> bool:
    """Say whether a value of a row is a finite number."""
    return isinstance(value, int | float) and math.isfinite(value)
