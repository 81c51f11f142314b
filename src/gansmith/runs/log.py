"""The rows of log.jsonl, timing.jsonl and snapshots.jsonl: append, read, look up values."""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, NotRequired

from pydantic import Field, TypeAdapter, ValidationError
from typing_extensions import TypedDict  # pydantic reads this one before Python 3.12

from gansmith.core.errors import CheckpointError
from gansmith.core.metric_name import MetricName, column_of
from gansmith.core.plain_files import parse_json, text_lines


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
    """Return the rows of a JSON lines file, without an incomplete end, which a kill leaves; none if there is no file.

    CheckpointError names a line that is no row although a row follows, or that has no iteration.
    """
    rows, broken = list[dict[str, Any]](), 0
    try:
        for number, line in text_lines(path) if path.exists() else ():
            try:
                value = parse_json(line)
            except ValueError:
                broken = broken or number
                continue
            fault = fault_of(value, path.name)
            if fault or broken:
                raise _unreadable(path, f"line {broken or number} is no row: {fault or 'it is not JSON'}")
            rows.append(value)
    except OSError as problem:
        raise _unreadable(path, str(problem.strerror)) from problem
    return rows


def whole_lines(path: Path) -> list[str]:
    """Return the lines of a JSON lines file that are rows, for a repair; raises OSError."""
    kept = list[str]()
    for _, line in text_lines(path):
        try:
            value = parse_json(line)
        except ValueError:
            continue
        if not fault_of(value, path.name):
            kept.append(line)
    return kept


def fault_of(value: Any, file: str) -> str:
    """Return what is wrong with a line of a log, as parsed; "" for a row."""
    if not isinstance(value, dict):
        return "it is not a JSON object"
    for name in ("iteration", "kimg") if file in _WITH_KIMG else ("iteration",):
        if name not in value:
            return f"it has no '{name}'"
    iteration, kimg = value["iteration"], value.get("kimg", 0.0)
    if type(iteration) is not int or iteration < 0:
        return f"iteration is {str(iteration)[:40]}"
    if type(kimg) not in (int, float) or not math.isfinite(kimg):
        return f"kimg is {str(kimg)[:40]}"
    if "event" in value:
        return "" if isinstance(value["event"], str) else "its event is no text"
    is_snapshot = file in _SNAPSHOTS
    if not is_snapshot and _NUMBERS.issuperset(map(type, value.values())):
        return ""
    for name, each in value.items():
        is_number = not is_snapshot or MetricName.parse(str(name)) is not None
        if is_number and type(each) not in _NUMBERS:
            return f"{str(name)[:80]} is no number"
    return _fault_of_snapshot(value)


def _fault_of_snapshot(value: dict[str, Any]) -> str:
    try:
        _SNAPSHOT.validate_python(value, strict=True)
    except ValidationError as problem:
        place = ".".join(map(str, problem.errors(include_url=False)[0]["loc"]))
        return f"{place[:80]} has another form than gansmith writes"
    return ""


def _unreadable(path: Path, reason: str) -> CheckpointError:
    return CheckpointError(
        "run.unreadable_log", f"'{path}' cannot be read: {reason}\n  keep the rows that are whole: gansmith repair RUN"
    )


_Shares = Annotated[list[float], Field(min_length=2, max_length=2)]  # of real images and of samples


class _Snapshot(TypedDict):
    """What a row of snapshots.jsonl has besides metrics; a row of another log has none of it."""

    modes: NotRequired[dict[str, _Shares]]
    kinds: NotRequired[dict[str, _Shares]]  # the same in older runs
    deviations: NotRequired[dict[str, float | None]]  # by metric
    verdict: NotRequired[str]
    fd_of_one: NotRequired[float | None]


_SNAPSHOT = TypeAdapter(_Snapshot)
_NUMBERS = {int, float, type(None)}
_WITH_KIMG = ("log.jsonl", "snapshots.jsonl", "looks.jsonl")
_SNAPSHOTS = ("snapshots.jsonl", "looks.jsonl")  # with shares of modes and a verdict besides metrics


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
    ratio t, less two of its standard deviations, from 0 to 1. Two excesses that differ by at most two standard
    deviations of their difference count as equal, as do those of two snapshots of which one has no texture: then fd
    alone decides. Two products that differ by at most two standard deviations of their difference are equally good:
    then the smaller excess wins, and of two with the same the higher coverage, if it is higher by more than two
    standard deviations of the difference. Snapshots are compared one after the other, so that the best of the first N
    is known at the N-th.
    """
    best: Row | None = None
    for row in snapshots:
        if best is None or _is_better(row, best):
            best = row
    return best


def excess_of_texture(row: Row) -> float:
    """Return how far a snapshot's texture is from 1 beyond its deviation, 0 for a snapshot without a texture."""
    ratio = measure(row, "texture")
    if math.isnan(ratio):
        return 0.0
    return min(MOST_EXCESS, max(0.0, max(ratio, 1 / max(ratio, 1e-6)) - 1 - NOISE * _spread(row, "texture")))


def _spread(row: Row, name: str) -> float:
    return float(row.get("deviations", {}).get(name, 0.0))


def _is_better(row: Row, best: Row) -> bool:
    both = (row, best)
    excess = [excess_of_texture(each) for each in both]
    missing = any(math.isnan(measure(each, "texture")) for each in both)
    if missing or abs(excess[0] - excess[1]) <= NOISE * math.hypot(*(_spread(each, "texture") for each in both)):
        excess = [0.0, 0.0]
    fd = [measure(each, "fd") * (1 + much) for each, much in zip(both, excess, strict=True)]
    if math.isnan(fd[0]) or math.isnan(fd[1]):
        return not math.isnan(fd[0])
    judged = (  # lower is better; the first by which the two differ decides; without a spread coverage never does
        (fd, [_spread(each, "fd") * (1 + much) for each, much in zip(both, excess, strict=True)]),
        (excess, [0.0, 0.0]),
        ([-measure(each, "coverage") for each in both], [_spread(each, "coverage") or math.inf for each in both]),
    )
    for (ours, its), spreads in judged:
        if abs(ours - its) > NOISE * math.hypot(*spreads):
            return ours < its
    return fd[0] < fd[1]
