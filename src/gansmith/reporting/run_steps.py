"""The steps of a run in its files, for loggers: numbers, grid and events of each iteration."""

import hashlib
import json
from pathlib import Path
from typing import Any

from gansmith.core.plain_files import open_plain, parse_yaml, read_text
from gansmith.recipes.old_files import snapshot_from_old_file
from gansmith.reporting.loggers.base import Step, tag_of
from gansmith.reporting.series import is_number
from gansmith.runs.folder import RunFolder
from gansmith.runs.log import Row, add_up, best_snapshot, read_rows

NO_METRICS = ("iteration", "eta_sec", "snapshot_sec")


class StepFiles:
    """Reads the steps of a run; each reading goes on where the last one ended."""

    def __init__(self, run: RunFolder) -> None:
        self._run = run
        self.restart()

    def restart(self) -> None:
        """Read from the beginning again: the files were cut back."""
        self._places: dict[Path, int] = {}
        self._last, self._digest = -1, ""
        self._events: list[tuple[int, str, str]] = []

    def read(self, until: int) -> list[tuple[Step, str]]:
        """Return the new steps up to an iteration, each with a digest of all numbers so far.

        The digest leaves out times, which a resume does not repeat. A step's events are those up to its iteration that
        no earlier step of this reading had.
        """
        numbers: dict[int, dict[str, float]] = {}
        timing: dict[int, dict[str, float]] = {}
        for row in self._rows(self._run.log, until):
            if "event" in row:
                self._events.append((row["iteration"], row["event"], row.get("message", "")))
            else:
                numbers.setdefault(row["iteration"], {}).update(_metrics(row))
        for row in self._rows(self._run.snapshots, until):
            numbers.setdefault(row["iteration"], {}).update(_metrics(snapshot_from_old_file(row)))
        for row in self._rows(self._run.timing, until):
            timing.setdefault(row["iteration"], {}).update({} if "event" in row else _metrics(row))
        found = {int(path.stem[:9]): path for path in self._run.previews("ema")}
        grids = {iteration: path for iteration, path in found.items() if self._last < iteration <= until}
        steps = []
        for iteration in sorted({*numbers, *grids}):
            self._digest = digest_of(self._digest, iteration, numbers.get(iteration, {}), iteration in grids)
            self._last = iteration
            tags = {"iteration": float(iteration), **timing.get(iteration, {}), **numbers.get(iteration, {})}
            steps.append((Step(iteration, tags, grids.get(iteration)), self._digest))
        return steps

    def events(self, iteration: int) -> list[tuple[int, str, str]]:
        """Return iteration, name and message of the events up to an iteration, as far as they were read."""
        return [event for event in self._events if event[0] <= iteration]

    def _rows(self, path: Path, until: int) -> list[Row]:
        """Return the whole lines of a file from the last place on, up to an iteration."""
        rows: list[Row] = []
        if not path.exists():
            return rows
        with open_plain(path) as file:
            file.seek(self._places.get(path, 0))
            for line in file:
                try:
                    row = json.loads(line)
                except ValueError:  # the run is writing it, or has just cut the file back
                    break
                if row["iteration"] > until:
                    break
                rows.append(row)
                self._places[path] = self._places.get(path, 0) + len(line)
        return rows


def _metrics(row: Row) -> dict[str, float]:
    """Return the numbers of a row by tag; null values are left out."""
    return {tag_of(name): value for name, value in row.items() if name not in NO_METRICS and is_number(value)}


def digest_of(*values: Any) -> str:
    """Return 16 hexadecimal digits that differ for other values."""
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:16]


def config_of(run: RunFolder) -> dict[str, Any]:
    """Return the recipe, and the facts of a run that are not in it."""
    record = run.record
    facts = {
        "data": record.data.spec.name,
        "images": record.data.spec.count,
        "holdout": record.data.holdout,
        "seed": record.seed,
        "kimg": record.length.schedule_kimg,
        "iterations": record.length.iterations,
        "gansmith": record.gansmith,
        **record.numerics.model_dump(),
    }
    return {**parse_yaml(read_text(run.recipe)), "run": facts}


def summary_of(run: RunFolder, iteration: int) -> dict[str, float | str]:
    """Return the final metrics of a run: its length, its last verdict, its last row and its best snapshot."""
    rows, best = read_rows(run.log), best_snapshot(run.read_snapshots())
    last: Row = next((row for row in reversed(rows) if "event" not in row), {})
    verdicts = [row["message"] for row in rows if row.get("event") == "health"]
    seconds = [0.0, *add_up([row for row in read_rows(run.timing) if "wall_sec" in row])][-1]
    return {
        "iteration": float(iteration),
        "training_sec": round(seconds, 1),
        "verdict": verdicts[-1] if verdicts else "",
        **{f"final/{name}": value for name, value in last.items() if name != "iteration" and is_number(value)},
        **{f"best/{name}": value for name, value in (best or {}).items() if is_number(value)},
    }
