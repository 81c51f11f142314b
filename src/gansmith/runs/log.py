"""The rows of log.jsonl, timing.jsonl and snapshots.jsonl: append, read, look up values."""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from typing_extensions import TypedDict  # pydantic reads this one before Python 3.12

from gansmith.core.metric_name import column_of


class LogEvent(TypedDict):
    """A line of log.jsonl that is no row of numbers.

    A changed verdict is one too, with more keys (HealthValues), and so is a revised length, with the key ``length``.
    """

    event: Literal["skipped", "rollback", "ended", "changed", "revised"]
    iteration: int
    kimg: float
    message: str


def add_up(timing: list[dict[str, float]]) -> list[float]:
    """Return the seconds of training up to each row of timing.jsonl, whose wall_sec restarts at 0 on a resume."""
    out, before, total = [], 0.0, 0.0
    for row in timing:
        total += row["wall_sec"] - (before if row["wall_sec"] >= before else 0.0)
        before = row["wall_sec"]
        out.append(total)
    return out


def append_row(path: Path, row: Mapping[str, Any]) -> None:
    """Append one JSON line."""
    with open(path, "a", encoding="utf-8") as file:
        file.write(json.dumps(row, allow_nan=False) + "\n")


def read_rows(path: Path) -> list[dict[str, Any]]:
    """Return the rows of a JSON lines file, without an incomplete last line; none if there is no file."""
    rows = []
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else []:
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError:
            break
    return rows


Row = dict[str, Any]
REVISED: Literal["revised"] = "revised"  # the event of a length that follows a time limit


def events_in(rows: Sequence[Row]) -> list[Row]:
    """Return the rows of events; of the revisions of the length, which most checkpoints have, only the last."""
    events = [row for row in rows if "event" in row]
    last = next((row for row in reversed(events) if row["event"] == REVISED), None)
    return [row for row in events if row["event"] != REVISED or row is last]


def measure(row: Row, name: str) -> float:
    """Return a metric of a snapshot by its short name, such as "fd"; NaN if the row does not have it."""
    column = column_of(row, name)
    return float(row[column]) if column else float("nan")


MOST_EXCESS = 1.0  # of texture, so that it doubles fd at most
NOISE = 2.0  # standard deviations, up to which a difference counts as noise


def best_snapshot(snapshots: Sequence[Row]) -> Row | None:
    """Return the best snapshot: the lowest Fréchet distance, enlarged for false detail.

    fd hardly sees grain, so it is multiplied by 1 + e, where e is the excess of the texture: max(t, 1 / t) - 1 for the
    ratio t, less two of its standard deviations, from 0 to 1. Two snapshots whose products differ by at most two
    standard deviations of their difference are equally good by fd: then the smaller excess wins, or for equal ones the
    lower product. Snapshots are compared one after the other, so that the best of the first N is known at the N-th.
    """
    best: Row | None = None
    for row in snapshots:
        if best is None or _is_better(row, best):
            best = row
    return best


def excess_of_texture(row: Row) -> float:
    """Return how far a snapshot's texture is from 1 beyond its deviation, 0 for a snapshot without a texture."""
    ratio, spread = measure(row, "texture"), row.get("deviations", {}).get("texture", 0.0)
    if math.isnan(ratio):
        return 0.0
    return min(MOST_EXCESS, max(0.0, max(ratio, 1 / max(ratio, 1e-6)) - 1 - NOISE * spread))


def _is_better(row: Row, best: Row) -> bool:
    excess = [excess_of_texture(each) for each in (row, best)]
    ranks = [measure(each, "fd") * (1 + much) for each, much in zip((row, best), excess, strict=True)]
    spreads = [each.get("deviations", {}).get("fd", 0.0) for each in (row, best)]
    noise = NOISE * math.hypot(*(spread * (1 + much) for spread, much in zip(spreads, excess, strict=True)))
    if math.isnan(ranks[0]) or math.isnan(ranks[1]):
        return math.isnan(ranks[1]) and not math.isnan(ranks[0])
    if abs(ranks[0] - ranks[1]) <= noise and excess[0] != excess[1]:
        return excess[0] < excess[1]
    return ranks[0] < ranks[1]
