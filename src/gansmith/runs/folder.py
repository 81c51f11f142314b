"""A run folder: its files, record and logs, and a lock for one writer at a time."""

import json
import os
import shutil
import warnings
from collections.abc import Iterable
from contextlib import suppress
from itertools import count
from pathlib import Path

from filelock import FileLock, Timeout
from pydantic import ValidationError

from gansmith.core.atomic_files import commit_json, if_supported, sync_append
from gansmith.core.errors import CheckpointError, GansmithError, GansmithWarning
from gansmith.recipes.old_files import OLD_FILES, record_from_old_file, snapshot_from_old_file
from gansmith.runs.checkpoint import Checkpoint, is_checkpoint, list_checkpoints, load_checkpoint, load_newest
from gansmith.runs.log import Row, best_snapshot, read_rows
from gansmith.runs.record import RunRecord

RECORD = "run.json"


def is_run(path: Path) -> bool:
    """Say whether a path is a run folder."""
    return (path / RECORD).is_file()


class RunFolder:
    """The files of one run."""

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        self.recipe = self.path / "recipe.yaml"
        self.log = self.path / "log.jsonl"
        self.timing = self.path / "timing.jsonl"
        self.snapshots = self.path / "snapshots.jsonl"
        self.checkpoints = self.path / "checkpoints"
        self.samples = self.path / "samples"
        self.model = self.path / "model"
        self.report = self.path / "report.html"
        self._lock = FileLock(self.path / ".lock")

    @classmethod
    def create(cls, path: Path) -> "RunFolder":
        """Make a new run folder; GansmithError if the path is not free or cannot be made."""
        cls.check_free(path)
        run = cls(path)
        try:
            run.samples.mkdir(parents=True, exist_ok=True)
            run.checkpoints.mkdir(exist_ok=True)
        except OSError as problem:
            raise _cannot_make(path, problem) from problem
        return run

    @staticmethod
    def check_free(path: Path) -> None:
        """Raise GansmithError if the path is taken (by a file, or a folder with contents) or not writable."""
        elsewhere = "choose another run folder: --out DIR"
        if not path.exists():
            above = next(each for each in path.absolute().parents if each.exists())
            if not (above.is_dir() and os.access(above, os.W_OK | os.X_OK)):
                raise GansmithError("run.cannot_make_folder", f"cannot make '{path}' in '{above}'\n  {elsewhere}")
        elif not path.is_dir():
            raise GansmithError("run.file_in_the_way", f"'{path}' is a file\n  {elsewhere}")
        elif any(path.iterdir()):
            begun = (path / RECORD).exists() and any((path / "checkpoints").glob("[0-9]*"))
            go_on, other = f"continue the run: gansmith resume {path}", "remove it, or choose another folder: --out DIR"
            raise GansmithError(
                "run.folder_not_empty", f"'{path}' already exists and is not empty\n  {go_on if begun else other}"
            )

    @classmethod
    def open(cls, path: Path) -> "RunFolder":
        """Open a run folder; CheckpointError if the path is not a run folder."""
        if not is_run(path):
            raise CheckpointError(
                "run.not_a_run",
                f"'{path}' is not a run folder: it has no {RECORD}\n  pass the folder that 'gansmith train' printed",
            )
        return cls(path)

    @classmethod
    def of_launch(cls, launch: str, folders: Iterable[Path]) -> "RunFolder | None":
        """Return the run in one of the folders that a start by torchrun has made; None without one.

        A run that was killed before its first checkpoint is removed, since there is nothing to continue.
        """
        for path in folders:
            with suppress(CheckpointError):
                if is_run(path) and cls(path).record.launch == launch:
                    if any(is_checkpoint(each) for each in list_checkpoints(path / "checkpoints")):
                        return cls(path)
                    shutil.rmtree(path)
        return None

    @property
    def _logs(self) -> tuple[Path, ...]:
        return self.log, self.timing, self.snapshots

    def lock(self) -> None:
        """Take the lock; GansmithError if another process has it. The system releases it when this process ends."""
        try:
            with if_supported("locks", "make sure that only one process writes to a run", self.path):
                self._lock.acquire(timeout=0)
        except Timeout:
            raise GansmithError(
                "run.locked", f"another process is writing to '{self.path}'\n  wait for it or stop it"
            ) from None

    def unlock(self) -> None:
        """Release the lock."""
        self._lock.release()

    @property
    def record(self) -> RunRecord:
        """Return the contents of run.json, also from older versions; CheckpointError if it cannot be read."""
        path = self.path / RECORD
        try:
            return RunRecord.model_validate(record_from_old_file(json.loads(path.read_text())))
        except ValidationError as problem:
            first = problem.errors(include_url=False)[0]
            place = ".".join(map(str, first["loc"]))
            reason = f"it has no '{place}'" if first["type"] == "missing" else f"{place}: {first['msg']}"
            if not place:
                reason = "it holds no JSON object"
            if first["type"] == "less_than_equal" and place == "format":
                reason = "a newer version of gansmith wrote it\n  update gansmith"
            else:
                reason += "\n  restore it from a backup"
            raise CheckpointError("run.unreadable_record", f"'{path}' cannot be read: {reason}") from problem
        except (OSError, ValueError) as problem:
            why = getattr(problem, "strerror", None) or problem
            raise CheckpointError(
                "run.unreadable_record", f"'{path}' cannot be read: {why}\n  restore it from a backup"
            ) from problem

    def write_record(self, record: RunRecord) -> None:
        """Replace run.json."""
        commit_json(self.path / RECORD, record.model_dump(mode="json"))

    def snapshots_file(self) -> Path:
        """Return the path of snapshots.jsonl, or of the file with the old name in runs of older versions."""
        old = next((self.path / name for name, new in OLD_FILES.items() if new == self.snapshots.name))
        return old if old.exists() and not self.snapshots.exists() else self.snapshots

    def read_snapshots(self) -> list[Row]:
        """Return the rows of the snapshots, with today's names."""
        return [snapshot_from_old_file(row) for row in read_rows(self.snapshots_file())]

    def rename_old_files(self) -> None:
        """Rename the files of an older version, before a resume appends to them."""
        for old, new in OLD_FILES.items():
            if (self.path / old).exists() and not (self.path / new).exists():
                os.replace(self.path / old, self.path / new)

    def sizes(self) -> dict[str, int]:
        """Flush the logs to disk and return their sizes in bytes, for the checkpoint."""
        return {path.name: sync_append(path) for path in self._logs}

    def grid_from(self, iteration: float) -> Path | None:
        """Return the first preview of the averaged generator from an iteration on, else the last, else None."""
        grids = sorted(path for path in self.samples.glob("*-ema.png") if path.stem[:9].isdigit())
        return next((grid for grid in grids if int(grid.stem[:9]) >= iteration), grids[-1] if grids else None)

    def truncate(self, sizes: dict[str, int]) -> None:
        """Cut the logs back to their sizes in bytes at a checkpoint."""
        sizes = {OLD_FILES.get(name, name): size for name, size in sizes.items()}
        for path in self._logs:
            if path.exists():
                os.truncate(path, min(sizes.get(path.name, 0), path.stat().st_size))

    def drop_samples_after(self, iteration: int) -> None:
        """Remove preview pictures of later iterations."""
        for path in self.samples.glob("*.png"):
            if path.stem[:9].isdigit() and int(path.stem[:9]) > iteration:
                path.unlink()

    def copy_of_quarantine(self, entries: list[dict[str, str]]) -> None:
        """Write quarantine.jsonl: the images that were left out, with reasons."""
        if entries:
            (self.path / "quarantine.jsonl").write_text("".join(json.dumps(entry) + "\n" for entry in entries))


def find_checkpoint(path: Path) -> tuple[RunFolder, Checkpoint] | None:
    """Return the run and the checkpoint for a path, or None for a path outside any run.

    A run folder means its best checkpoint by the snapshots, or the last one without snapshots. ``RUN/checkpoints``
    means the last one, ``RUN/checkpoints/NUMBER`` that one. Raises CheckpointError if no checkpoint is complete.
    """
    if is_run(path):
        run = RunFolder.open(path)
        best = best_snapshot(run.read_snapshots())
        if best is not None:
            try:
                return run, load_checkpoint(run.checkpoints / f"{best['iteration']:09d}")
            except CheckpointError as problem:
                last = load_newest(run.checkpoints)
                warnings.warn(GansmithWarning(f"{problem}\n  used instead: {last.folder}"), stacklevel=3)
                return run, last
        return run, load_newest(run.checkpoints)
    whole = path.absolute()
    if whole.name == "checkpoints" and is_run(whole.parent):
        return RunFolder.open(whole.parent), load_newest(whole)
    if is_checkpoint(whole) and whole.parent.name == "checkpoints" and is_run(whole.parent.parent):
        return RunFolder.open(whole.parent.parent), load_checkpoint(whole)
    return None


def make_next_folder(parent: Path, name: str) -> Path:
    """Make parent/name-001, or the same with the first free number; runs that start together get one each."""
    try:
        parent.mkdir(parents=True, exist_ok=True)
        for number in count(1):
            with suppress(FileExistsError):
                (folder := parent / f"{name}-{number:03d}").mkdir()
                return folder
    except OSError as problem:
        raise _cannot_make(parent, problem) from problem
    raise AssertionError("numbers do not end")


def _cannot_make(path: Path, problem: OSError) -> GansmithError:
    text = f"cannot make '{path}': {problem.strerror}\n  choose another folder: --out DIR"
    return GansmithError("run.cannot_make_folder", text)


def remove_leftovers(run: RunFolder) -> None:
    """Remove the temporary files of a killed process."""
    for path in run.path.rglob(".*.tmp"):
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
