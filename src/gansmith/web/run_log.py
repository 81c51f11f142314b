"""A growing log.jsonl, prepared for curves: rows thinned to their extremes, and events."""

import math
import os
import threading
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from gansmith.core.plain_files import open_plain, parse_json
from gansmith.runs.log import fault_of

MOST_GROUPS = 8192  # groups of rows in memory; a full table joins them in pairs
CHUNK_BYTES = 2**20  # parsed at a time, so that other requests go on
EXACT_BYTES = 6 * 2**20  # a part of the file up to this size is parsed again, row by row
TAIL_BYTES = 64  # compared, to notice that a rollback or a resume has cut the file
RECENT = 500  # rows for clients that follow the run
MOST_EVENTS = 2000
MOST_COLUMNS = 400  # of which each takes 0.25 MB; further ones are not shown
SAMPLE_BYTES = 4096  # read at each place of a file that has not been read whole yet
AT = ("iteration", "kimg")

Row = dict[str, Any]


@dataclass
class _Table:
    """Groups of equally many rows: minimum, maximum, sum and number of the values of each column."""

    rows_each: int = 1
    starts: list[int] = field(default_factory=list)  # byte of each group's first row
    columns: dict[str, np.ndarray] = field(default_factory=dict)  # (4, MOST_GROUPS)
    rows: int = 0

    def add(self, names: tuple[str, ...], values: np.ndarray, starts: np.ndarray) -> None:
        """Add rows with the same columns, (N, columns), and the byte of each."""
        for begin in range(0, len(values), MOST_GROUPS // 2):
            part = values[begin : begin + MOST_GROUPS // 2]
            while (self.rows + len(part)) > MOST_GROUPS * self.rows_each:
                self._join()
            self._add(names, part, starts[begin : begin + MOST_GROUPS // 2])

    def _add(self, names: tuple[str, ...], values: np.ndarray, starts: np.ndarray) -> None:
        group = (self.rows + np.arange(len(values))) // self.rows_each
        firsts = np.flatnonzero(np.diff(group, prepend=-1 if self.rows % self.rows_each == 0 else group[0]))
        self.starts += starts[firsts].tolist()
        cuts = np.flatnonzero(np.diff(group, prepend=-1))
        places, good = group[cuts], np.isfinite(values)
        low = np.minimum.reduceat(np.where(good, values, np.inf), cuts)
        high = np.maximum.reduceat(np.where(good, values, -np.inf), cuts)
        total, number = np.add.reduceat(np.where(good, values, 0.0), cuts), np.add.reduceat(good, cuts)
        for index, name in enumerate(names):
            if name not in self.columns:
                self.columns[name] = np.repeat([[np.inf], [-np.inf], [0.0], [0.0]], MOST_GROUPS, axis=1)
            table = self.columns[name]
            table[0, places] = np.minimum(table[0, places], low[:, index])
            table[1, places] = np.maximum(table[1, places], high[:, index])
            table[2, places] += total[:, index]
            table[3, places] += number[:, index]
        self.rows += len(values)

    def _join(self) -> None:
        half = MOST_GROUPS // 2
        for table in self.columns.values():
            pairs = table.reshape(4, half, 2)
            joined = [pairs[0].min(1), pairs[1].max(1), pairs[2].sum(1), pairs[3].sum(1)]
            table[:, :half] = joined
            table[:, half:] = np.array([[np.inf], [-np.inf], [0.0], [0.0]])
        self.starts = self.starts[::2]
        self.rows_each *= 2

    def groups(self, low: float, high: float) -> slice:
        """Return the groups that have rows with kimg in [low, high]; the last group before a rollback included."""
        if not self.rows:
            return slice(0, 0)
        count = len(self.starts)
        inside = np.flatnonzero((self.columns["kimg"][1, :count] >= low) & (self.columns["kimg"][0, :count] <= high))
        return slice(int(inside[0]), int(inside[-1]) + 1) if len(inside) else slice(0, 0)


class RunLog:
    """The rows and events of one log.jsonl. ``catch_up`` reads what is new; the other members never read much."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.lock = threading.RLock()  # held: nothing is read meanwhile
        self._forget()

    def _forget(self) -> None:
        self._table, self._read, self._tail, self._inode = _Table(), 0, b"", 0
        self.events: deque[Row] = deque(maxlen=MOST_EVENTS)
        self.recent: deque[Row] = deque(maxlen=RECENT)
        self.event_count = 0
        self.version = getattr(self, "version", -1) + 1  # grows when what was read is void

    @property
    def rows(self) -> int:
        """Return the number of rows that were read."""
        return self._table.rows

    @property
    def columns(self) -> list[str]:
        """Return the names of the columns that were read."""
        return [name for name in self._table.columns if name not in AT]

    def size(self) -> int:
        """Return the bytes of the file; 0 if there is none."""
        try:
            return self.path.stat().st_size
        except FileNotFoundError:
            return 0

    @property
    def is_whole(self) -> bool:
        """Say whether everything up to the last row has been read."""
        return self.size() - self._read < CHUNK_BYTES

    def catch_up(self, most_bytes: int = CHUNK_BYTES) -> bool:
        """Read at most so many new bytes; say whether there are more. OSError if the file cannot be read."""
        with self.lock:
            return self._catch_up(most_bytes)

    def _catch_up(self, most_bytes: int) -> bool:
        try:
            with open_plain(self.path) as file:
                status = os.fstat(file.fileno())
                file.seek(max(0, self._read - TAIL_BYTES))
                if (
                    status.st_ino != self._inode
                    or status.st_size < self._read
                    or (file.read(min(TAIL_BYTES, self._read)) != self._tail)
                ):
                    if self._read:
                        self._forget()
                    self._inode = status.st_ino
                file.seek(self._read)
                text = file.read(most_bytes)
        except FileNotFoundError:
            if self._read:
                self._forget()
            return False
        whole = text[: text.rfind(b"\n") + 1]
        if whole:
            self._take(whole)
            self._tail = (self._tail + whole)[-TAIL_BYTES:]
            self._read += len(whole)
        return status.st_size - self._read > 0 and bool(whole)

    def _take(self, text: bytes) -> None:
        lines = text.splitlines(keepends=True)
        ends = np.cumsum([len(line) for line in lines])
        starts = self._read + np.concatenate([[0], ends[:-1]])
        rows, begins = list[Row](), list[int]()
        for row, start in zip(_parsed(lines), starts.tolist(), strict=True):
            if row is None:
                continue
            if "event" in row:
                self.events.append(row)
                self.event_count += 1
            else:
                rows.append(row)
                begins.append(start)
        if rows:
            self.recent.extend(rows)
            self._table.add(*_as_array(rows, self._table.columns), np.array(begins))

    def thinned(self, columns: list[str], low: float, high: float, points: int) -> dict[str, Any]:
        """Return at most ``points`` points with kimg in [low, high]: mean, minimum and maximum of each column.

        Where a point stands for one row its minimum and maximum are the value. None stands for a gap: no finite value.
        Until the whole file has been read, the points are rows at even distances, and ``whole`` is false.
        """
        if not self.is_whole:
            return {**_answer(self._sampled(points), columns, points, low, high), "whole": False, "rows": None}
        with self.lock:
            return self._thinned(columns, low, high, points)

    def _thinned(self, columns: list[str], low: float, high: float, points: int) -> dict[str, Any]:
        table = self._table
        inside = table.groups(low, high)
        begin = table.starts[inside.start] if inside.stop > inside.start else 0
        end = table.starts[inside.stop] if inside.stop < len(table.starts) else self._read
        if table.rows_each > 1 and inside.stop > inside.start and end - begin <= EXACT_BYTES:
            with open_plain(self.path) as file:
                file.seek(begin)
                rows = [row for row in _parsed(file.read(end - begin).splitlines()) if row and "event" not in row]
            return {**_answer(rows, columns, points, low, high), "whole": True, "rows": self.rows}
        parts = {name: table.columns[name][:, inside] for name in (*AT, *columns) if name in table.columns}
        return {**_joined(parts, points, table.rows_each), "whole": True, "rows": self.rows}

    def _sampled(self, points: int) -> list[Row]:
        size, rows = self.size(), list[Row]()
        places = np.unique(np.linspace(0, max(0, size - SAMPLE_BYTES), min(points, 600)).astype(np.int64))
        with open_plain(self.path) as file:
            for place in places.tolist():
                file.seek(place)
                lines = file.read(SAMPLE_BYTES).splitlines(keepends=True)[0 if place == 0 else 1 :][:2]
                rows += [row for row in _parsed([each for each in lines if each.endswith(b"\n")]) if row]
        return [row for row in rows if "event" not in row]


def _as_array(rows: list[Row], known: Mapping[str, Any]) -> tuple[tuple[str, ...], np.ndarray]:
    """Return the columns of rows, up to MOST_COLUMNS with those that are known, and the values (N, columns)."""
    names = tuple(rows[0])
    if len(known.keys() | set(names)) <= MOST_COLUMNS and all(tuple(row) == names for row in rows):
        return names, np.array([list(row.values()) for row in rows], np.float64)
    new = dict.fromkeys(name for row in rows for name in row if name not in known)
    names = (*known, *islice(new, max(0, MOST_COLUMNS - len(known))))
    return names, np.array([[row.get(name) for name in names] for row in rows], np.float64)


def _parsed(lines: list[bytes]) -> list[Row | None]:
    """Return the rows of lines; None for one that is no row. All at once is twice as fast as one by one."""
    try:
        rows = parse_json(b"[" + b",".join(lines) + b"]")
    except ValueError:
        rows = []
    if len(rows) != len(lines):
        rows = [_one(line) for line in lines]
    return [row if not fault_of(row, "log.jsonl") else None for row in rows]


def _one(line: bytes) -> Any:
    try:
        return parse_json(line)
    except ValueError:
        return None


def _answer(rows: list[Row], columns: list[str], points: int, low: float, high: float) -> dict[str, Any]:
    rows = [row for row in rows if low <= row["kimg"] <= high]
    parts = {}
    for name in (*AT, *columns):
        values = np.array([row.get(name) for row in rows], np.float64)
        good = np.isfinite(values)
        parts[name] = np.stack([np.where(good, values, np.inf), np.where(good, values, -np.inf),
                                np.where(good, values, 0.0), good.astype(np.float64)])  # fmt: skip
    return _joined(parts, points, 1)


def _joined(parts: dict[str, np.ndarray], points: int, rows_each: int) -> dict[str, Any]:
    """Return points of groups (4, N), with several groups in a point if there are more than ``points``."""
    count = parts["kimg"].shape[1] if "kimg" in parts else 0
    width = max(1, math.ceil(count / points))
    cuts = np.arange(0, count, width)
    out: dict[str, Any] = {"rows_in_point": width * rows_each, "columns": {}}
    for name, table in parts.items():
        if not count:
            low = high = mean = np.empty(0)
        else:
            low, high = np.minimum.reduceat(table[0], cuts), np.maximum.reduceat(table[1], cuts)
            number = np.add.reduceat(table[3], cuts)
            mean = np.where(number > 0, np.add.reduceat(table[2], cuts) / np.maximum(number, 1), np.nan)
        if name in AT:
            out[name] = _numbers(mean)
        elif width * rows_each == 1:
            out["columns"][name] = {"mean": _numbers(mean)}
        else:
            out["columns"][name] = {"mean": _numbers(mean), "min": _numbers(low), "max": _numbers(high)}
    for name in AT:
        out.setdefault(name, [])
    return out


def _numbers(values: np.ndarray) -> list[float | None]:
    return [float(f"{value:.6g}") if math.isfinite(value) else None for value in values.tolist()]
