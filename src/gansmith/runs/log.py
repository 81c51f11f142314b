"""The rows of log.jsonl, timing.jsonl and snapshots.jsonl: append, read, look up values."""

import json
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


def best_snapshot(snapshots: Sequence[Row]) -> Row | None:
    """Return the snapshot with the lowest Fréchet distance."""
    return min(snapshots, key=lambda row: measure(row, "fd"), default=None)
