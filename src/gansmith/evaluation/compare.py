"""Compare runs: recipes and data, curves, and metrics that differ by more than noise."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from html import escape
from itertools import combinations
from pathlib import Path
from string import ascii_uppercase
from typing import Any

import numpy as np

from gansmith.core.errors import MetricError, counted
from gansmith.core.html import table
from gansmith.core.metric_name import column_of
from gansmith.core.plain_files import read_bytes
from gansmith.data.base import DataSpec
from gansmith.evaluation.result import Evaluation, badness, best_end, is_more_than_noise, last_evaluation
from gansmith.imaging.images import decode_image, make_grid
from gansmith.inference.load import load_model
from gansmith.inference.model import Model
from gansmith.inference.model_record import ModelRecord
from gansmith.methods.capabilities import samples_from_latents
from gansmith.parts.metrics.base import Number
from gansmith.recipes.load import flat, read_run_recipe
from gansmith.runs.folder import RunFolder
from gansmith.runs.log import add_up, read_rows

FEWEST, MOST = 2, 8  # runs
GRID, COLUMNS = 36, 6  # samples of the same latents, and in one row


@dataclass(frozen=True)
class ComparedRun:
    """One run of a comparison."""

    letter: str
    folder: Path
    model: ModelRecord
    minutes: float
    recipe: dict[str, Any]  # by dotted path
    rows: list[dict[str, Any]]  # of log.jsonl, with ``minutes``
    evaluation: Evaluation | None
    picture: (
        np.ndarray | None
    )  # uint8 (H, W, C): samples of the same latents, or the last preview of a translation model

    @property
    def name(self) -> str:
        """Return the name of its recipe."""
        return self.model.name

    @property
    def data(self) -> DataSpec:
        """Return the data set that it was trained on."""
        return self.model.data

    @property
    def kimg(self) -> float:
        """Return the images shown so far, in thousands."""
        return self.model.kimg

    def to_json(self) -> dict[str, Any]:
        """Return the run as JSON values."""
        data = {"name": self.data.name, "fingerprint": self.data.fingerprint, "count": self.data.count}
        return {
            "run": str(self.folder),
            "recipe": self.name,
            "data": data,
            "seed": self.model.seed,
            "kimg": self.kimg,
            "minutes": round(self.minutes, 2),
            "protocol": None if self.evaluation is None else self.evaluation.protocol.model_dump(mode="json"),
        }


@dataclass(frozen=True)
class Row:
    """One metric of all runs, in their order."""

    name: str
    best: str  # the best value: low, high, one or chance
    numbers: tuple[Number | None, ...]
    leaders: tuple[int, ...]  # indices of the best run and of all that differ from it by no more than noise

    @property
    def is_decided(self) -> bool:
        """Say whether some run is worse than the best by more than noise."""
        return len(self.leaders) < sum(number is not None for number in self.numbers)


@dataclass(frozen=True)
class Comparison:
    """The differences between runs."""

    runs: tuple[ComparedRun, ...]
    recipe: dict[str, tuple[Any, ...]]  # fields that differ, by dotted path: one value for each run
    notes: tuple[str, ...]  # sentences on differences of data, lengths and evaluations
    rows: tuple[Row, ...]

    def to_json(self) -> dict[str, Any]:
        """Return the comparison as JSON values."""
        return {
            "runs": {run.letter: run.to_json() for run in self.runs},
            "recipe": self.recipe,
            "notes": self.notes,
            "numbers": {row.name: self._row_to_json(row) for row in self.rows},
        }

    @property
    def records(self) -> list[dict[str, Any]]:
        """Return a flat record for each metric and run: ``pandas.DataFrame(comparison.records)`` is a table of them."""
        return [
            {"metric": row.name, "run": str(run.folder), **asdict(number), "leads": index in row.leaders}
            for row in self.rows
            for index, (run, number) in enumerate(zip(self.runs, row.numbers, strict=True))
            if number is not None
        ]

    def _repr_html_(self) -> str:
        rows = []
        for row in self.rows:
            texts = ["" if number is None else f"{number.value:.4g}" for number in row.numbers]
            leads = [row.is_decided and index in row.leaders for index in range(len(texts))]
            cells = (f"<strong>{text}</strong>" if best else text for text, best in zip(texts, leads, strict=True))
            rows.append((escape(row.name), *cells, "" if row.is_decided else "noise"))
        said = [*(f"{run.letter}: {run.folder}" for run in self.runs), *self.notes]
        lines = "".join(f"<div>{escape(line)}</div>" for line in said)
        return f"<div>{table(('metric', *(run.letter for run in self.runs), ''), rows)}{lines}</div>"

    def _row_to_json(self, row: Row) -> dict[str, Any]:
        pairs = zip(self.runs, row.numbers, strict=True)
        values = {run.letter: [each.value, each.deviation] for run, each in pairs if each is not None}
        leaders = [self.runs[index].letter for index in row.leaders]
        return {"best": row.best, "leaders": leaders, "decided": row.is_decided, "values": values}


def compare(folders: Sequence[Path], device: str = "auto") -> Comparison:
    """Compare two to eight runs.

    Raises CheckpointError for a folder that is no run, and MetricError if the runs were evaluated under different
    protocols.
    """
    if not FEWEST <= len(folders) <= MOST:
        raise MetricError(
            "metric.number_of_runs",
            f"got {counted(len(folders), 'run')} to compare\n  allowed: {FEWEST} to {MOST} run folders",
        )
    twice = {
        folder
        for folder in folders
        if sum(os.path.realpath(folder) == os.path.realpath(other) for other in folders) > 1
    }
    if twice:
        raise MetricError("metric.same_run_twice", f"'{twice.pop()}' is given twice\n  compare it with another run")
    evaluations = [last_evaluation(RunFolder.open(folder).path) for folder in folders]
    _check_protocols(folders, evaluations)
    runs = tuple(
        _compared_run(letter, RunFolder.open(folder), found, load_model(folder, device))
        for letter, folder, found in zip(ascii_uppercase, folders, evaluations, strict=False)
    )
    paths = list(dict.fromkeys(path for run in runs for path in run.recipe))
    values = {path: tuple(run.recipe.get(path, "absent") for run in runs) for path in paths}
    differ = {path: each for path, each in values.items() if any(value != each[0] for value in each)}
    seeds = tuple(run.model.seed for run in runs)
    differ |= {"seed": seeds} if len(set(seeds)) > 1 else {}
    return Comparison(runs, differ, tuple(_notes(runs)), tuple(_rows(evaluations)))


def _check_protocols(folders: Sequence[Path], evaluations: Sequence[Evaluation | None]) -> None:
    found = [(folder, each.protocol) for folder, each in zip(folders, evaluations, strict=True) if each is not None]
    for (first, mine), (second, its) in combinations(found, 2):
        if differences := mine.differences(its):
            shown = "; ".join(text if len(text) < 120 else text[:117] + "..." for text in differences[:3])
            raise MetricError(
                "metric.protocols_differ",
                f"'{first}' and '{second}' were evaluated under different protocols: {shown}"
                "\n  evaluate all runs with the same options and DATA first: gansmith evaluate RUN DATA",
            )


def _compared_run(letter: str, run: RunFolder, evaluation: Evaluation | None, model: Model) -> ComparedRun:
    recipe = read_run_recipe(run.recipe)
    timing = [row for row in read_rows(run.timing) if "wall_sec" in row]
    minutes = dict(zip([row["iteration"] for row in timing], np.array(add_up(timing)) / 60, strict=True))
    rows = [{**row, "minutes": minutes[row["iteration"]]} for row in read_rows(run.log) if row["iteration"] in minutes]
    return ComparedRun(
        letter=letter,
        folder=run.path,
        model=model.record,
        minutes=max(minutes.values(), default=0.0),
        recipe={path: value for path, value in flat(recipe).items() if path != "summary"},
        rows=[row for row in rows if "event" not in row] + _distances(run, minutes),
        evaluation=evaluation,
        picture=_picture(run, model),
    )


def _picture(run: RunFolder, model: Model) -> np.ndarray | None:
    if samples_from_latents(model.method):
        return make_grid(model.data.picture(model.sample(GRID, seed=0).images), COLUMNS)
    last = run.grid_from(float("inf"))
    if last is None:
        return None
    shown = np.asarray(decode_image(read_bytes(last)))
    return shown if shown.ndim == 3 else shown[..., None]


def _distances(run: RunFolder, minutes: Mapping[int, float]) -> list[dict[str, Any]]:
    """Return the Fréchet distance of every snapshot as a row, with minutes interpolated from ``minutes``."""
    snapshots = [row for row in run.read_snapshots() if column_of(row, "fd")] if minutes else []
    out = []
    for row in snapshots:
        spent = float(np.interp(row["iteration"], list(minutes), list(minutes.values())))
        name = column_of(row, "fd")
        out.append({"iteration": row["iteration"], "kimg": row["kimg"], "minutes": spent, name: row[name]})
    return out


def _notes(runs: Sequence[ComparedRun]) -> list[str]:
    """Return one sentence for each difference that makes a comparison unfair."""
    out = []
    if len({run.data.fingerprint for run in runs}) > 1:
        sets = ", ".join(f"{run.letter} {run.data.name} ({run.data.fingerprint[:8]})" for run in runs)
        out.append(f"the data sets differ: {sets}")
    elif len({(run.data.split, run.data.count) for run in runs}) > 1:
        shares = ", ".join(f"{run.letter} {run.data.count:,}" for run in runs)
        out.append(f"they were trained on different images of the same data set: {shares}")
    if len({run.kimg for run in runs}) > 1:
        out.append("their lengths differ: " + ", ".join(f"{run.letter} {kimg_text(run.kimg)} kimg" for run in runs))
    if len({run.recipe.get("method.latent_dim") for run in runs}) > 1:
        out.append("their latent dimensions differ, so their grids show different latents")
    for run in runs:
        if run.evaluation is None:
            out.append(f"{run.letter} was not evaluated: gansmith evaluate {run.folder}")
        elif run.evaluation.kimg is not None and abs(run.evaluation.kimg - run.kimg) > 1e-6:
            then, now = kimg_text(run.evaluation.kimg), kimg_text(run.kimg)
            out.append(f"{run.letter} was evaluated at {then} kimg and is at {now} kimg now")
    return out


def kimg_text(kimg: float) -> str:
    """Return kimg with one decimal, or three digits below 10."""
    return f"{kimg:,.1f}" if kimg >= 10 else f"{kimg:.3g}"


def _rows(evaluations: Sequence[Evaluation | None]) -> list[Row]:
    """Return the metrics that at least two runs have and that have a best value."""
    names = list(dict.fromkeys(name for each in evaluations if each is not None for name in each.numbers))
    out = []
    for name in names:
        numbers = tuple(None if each is None else each.numbers.get(name) for each in evaluations)
        have = [index for index, number in enumerate(numbers) if number is not None]
        if len(have) >= FEWEST and best_end(name):
            out.append(Row(name, best_end(name), numbers, _leaders(name, numbers, have)))
    return out


def _leaders(name: str, numbers: tuple[Number | None, ...], have: Sequence[int]) -> tuple[int, ...]:
    known = {index: number for index in have if (number := numbers[index]) is not None}
    bad = {index: badness(name, number) for index, number in known.items()}
    best = min(bad, key=lambda index: bad[index])
    return tuple(i for i in have if bad[i] == bad[best] or not is_more_than_noise(known[i], known[best]))
