"""A sweep on disk: what varies, the seeds, and one run folder for each combination."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import product
from math import prod
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError, field_validator

from gansmith.core.atomic_files import commit_json, file_lock, release_lock
from gansmith.core.errors import CheckpointError, GansmithError, counted, reason_of
from gansmith.core.plain_files import read_json
from gansmith.core.registry import FrozenModel
from gansmith.recipes.load import run_recipe_of
from gansmith.recipes.recipe import Recipe
from gansmith.runs.checkpoint import first_fault
from gansmith.runs.folder import RunFolder, take_lock

SWEEP = "sweep.json"
MANY = 100  # more runs are asked back
SWEEP_FORMAT = 1
FOLDER_NAME = re.compile("[A-Za-z0-9_][A-Za-z0-9._-]*")
NAME_LENGTH = 24  # characters of a value in the name of a folder

Search = Literal["grid", "optuna"]
State = Literal["waiting", "finished", "failed"]


class SweptRun(FrozenModel):
    """One run of a sweep."""

    folder: str  # its name within the sweep
    changes: tuple[str, ...]  # KEY=VALUE
    seed: int
    state: State = "waiting"
    error: str = ""  # of a run that failed

    @field_validator("folder")
    @classmethod
    def _is_within(cls, folder: str) -> str:
        """Refuse any other place: what lies in the folder is removed when a run begins."""
        if FOLDER_NAME.fullmatch(folder):
            return folder
        raise ValueError(f"'{folder}' is not the name of a folder within the sweep")


class SweepRecord(FrozenModel):
    """The contents of sweep.json: everything that it takes to continue a sweep."""

    format: int = Field(SWEEP_FORMAT, le=SWEEP_FORMAT)
    gansmith: str  # version that started the sweep
    created: str  # UTC, ISO 8601
    source: str  # absolute, so that it is the same from any folder
    recipe: dict[str, Any]  # before the changes of a run
    vary: dict[str, tuple[str, ...]]  # values by key
    seeds: tuple[int, ...]
    search: Search
    trials: int  # combinations that are trained
    keywords: dict[str, Any]  # of ``gansmith.train``, the same for all runs
    runs: tuple[SweptRun, ...] = ()

    @property
    def total(self) -> int:
        """Return the number of runs of the whole sweep."""
        return self.trials * len(self.seeds)

    @property
    def is_finished(self) -> bool:
        """Say whether every run has ended."""
        return len(self.runs) == self.total and all(run.state != "waiting" for run in self.runs)

    def variants(self) -> list[tuple[str, ...]]:
        """Return the combinations that have runs, in their order."""
        return list(dict.fromkeys(run.changes for run in self.runs))

    def run(self, folder: str) -> SweptRun:
        """Return the run in a folder."""
        return next(run for run in self.runs if run.folder == folder)

    def differences(self, other: "SweepRecord") -> list[str]:
        """Return in words what differs between the orders of two sweeps; their states do not count."""
        names = ("source", "recipe", "vary", "seeds", "search", "trials", "keywords")
        mine, its = (each.model_dump(mode="json", include=set(names)) for each in (self, other))
        return [f"{name}: {_short(mine[name])} and {_short(its[name])}" for name in names if mine[name] != its[name]]


def is_sweep(path: Path) -> bool:
    """Say whether a path is the folder of a sweep."""
    return (path / SWEEP).is_file()


class SweepFolder:
    """The files of one sweep."""

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        self.page, self.comparison = self.path / "sweep.html", self.path / "compare.html"
        self._lock = file_lock(self.path / ".lock")

    @classmethod
    def open(cls, path: Path) -> "SweepFolder":
        """Open the folder of a sweep; CheckpointError if it is none."""
        if not is_sweep(path):
            raise CheckpointError(
                "run.not_a_sweep",
                f"'{path}' is not the folder of a sweep: it has no {SWEEP}\n  pass the folder that 'gansmith sweep' "
                "printed",
            )
        return cls(path)

    @classmethod
    def begin(cls, path: Path, record: SweepRecord) -> "SweepFolder":
        """Make the folder of a new sweep, or open that of the same sweep; GansmithError for any other folder."""
        if not is_sweep(path):
            RunFolder.check_free(path)
            path.mkdir(parents=True, exist_ok=True)
            sweep = cls(path)
            sweep.write(record)
            return sweep
        sweep = cls(path)
        if differ := sweep.record.differences(record):
            raise GansmithError(
                "run.another_sweep",
                f"'{path}' holds another sweep: {'; '.join(differ[:3])}"
                f"\n  continue that one: gansmith resume {path}\n  or choose another folder: --out DIR",
            )
        return sweep

    @property
    def record(self) -> SweepRecord:
        """Return the contents of sweep.json; CheckpointError if it cannot be read."""
        path = self.path / SWEEP
        try:
            return SweepRecord.model_validate(read_json(path))
        except (OSError, ValueError) as problem:
            reason = first_fault(problem) if isinstance(problem, ValidationError) else reason_of(problem)
            raise CheckpointError(
                "run.unreadable_record", f"'{path}' cannot be read: {reason}\n  restore it from a backup"
            ) from problem

    def write(self, record: SweepRecord) -> None:
        """Replace sweep.json."""
        commit_json(self.path / SWEEP, record.model_dump(mode="json"))

    def add(self, changes: tuple[str, ...]) -> list[SweptRun]:
        """Add a run for each seed of a combination, where it has none; return its runs."""
        record = self.record
        found = [run for run in record.runs if run.changes == changes]
        if not found:
            taken = {run.folder for run in record.runs}
            found = [
                SweptRun(folder=_folder(changes, seed, taken), changes=changes, seed=seed) for seed in record.seeds
            ]
            self.write(record.model_copy(update={"runs": (*record.runs, *found)}))
        return found

    def note(self, folder: str, state: State, error: str = "") -> None:
        """Write how a run ended."""
        record = self.record
        runs = (run.model_copy(update={"state": state, "error": error}) if run.folder == folder else run
                for run in record.runs)  # fmt: skip
        self.write(record.model_copy(update={"runs": tuple(runs)}))

    def lock(self) -> None:
        """Take the lock; GansmithError if another process works on the sweep."""
        take_lock(self._lock, self.path)

    def unlock(self) -> None:
        """Release the lock."""
        release_lock(self._lock)


def parse_vary(texts: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Return the values by key of texts such as "lr=1e-4,2e-4"; GansmithError for another form.

    A comma inside of brackets or braces does not separate.
    """
    out = dict[str, tuple[str, ...]]()
    for text in texts:
        key, equals, rest = text.partition("=")
        values = tuple(value.strip() for value in _split(rest))
        if not (key.strip() and equals) or "" in values:
            raise GansmithError(
                "run.vary_form",
                f"--vary '{text}' is not of the form KEY=VALUE,VALUE\n  for example --vary lr=1e-4,2e-4",
            )
        out[key.strip()] = (*out.get(key.strip(), ()), *values)
    return out


def _split(text: str) -> list[str]:
    """Split at commas outside of brackets and braces."""
    parts, depth = [""], 0
    for letter in text:
        depth += (letter in "[{") - (letter in "]}")
        if letter == "," and depth <= 0:
            parts.append("")
        else:
            parts[-1] += letter
    return parts


def combinations(vary: Mapping[str, Sequence[str]]) -> Iterator[tuple[str, ...]]:
    """Yield every combination of the values as KEY=VALUE texts, the last key varying first."""
    return product(*([f"{key}={value}" for value in values] for key, values in vary.items()))


def refuse_many(variants: int, seeds: int, minutes: float | None, most: int) -> None:
    """Raise GansmithError for more runs than ``most``."""
    if variants * seeds > most:
        hours = "" if minutes is None else f", {variants * seeds * minutes / 60:,.0f} hours one after the other"
        raise GansmithError(
            "run.many_runs",
            f"this sweep has {counted(variants * seeds, 'run')}: {counted(variants, 'combination')} with "
            f"{counted(seeds, 'seed')}{hours}"
            "\n  vary less, or try some of them: --search optuna --trials 20\n  to train all of them: --yes",
        )


def count_of(vary: Mapping[str, Sequence[str]]) -> int:
    """Return the number of combinations."""
    return prod(len(values) for values in vary.values())


def recipe_of(record: SweepRecord) -> Recipe:
    """Return the recipe before the changes of a run."""
    return run_recipe_of(record.recipe, f"recipe of {SWEEP}")


def _folder(changes: Sequence[str], seed: int, taken: set[str]) -> str:
    """Return a free name for the folder of a run; it needs no quotes in a shell."""
    parts = [text.rpartition(".")[2] if "." in text.partition("=")[0] else text for text in changes]
    words = [re.sub(r"[^A-Za-z0-9.]+", "-", part).strip("-.")[:NAME_LENGTH] for part in parts]
    name = "_".join([*words, f"seed-{seed}"])
    number = 1
    while (free := name if number == 1 else f"{name}-{number}") in taken:
        number += 1
    taken.add(free)
    return free


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
