"""A run folder: its files, record and logs, and a lock for one writer at a time."""

import hashlib
import json
import os
import re
import shutil
import warnings
from collections.abc import Iterable, Sequence
from contextlib import suppress
from io import BytesIO
from itertools import count
from pathlib import Path

from filelock import FileLock, Timeout
from pydantic import ValidationError

from gansmith.core.atomic_files import (
    LOCK_FAILS,
    TEMPORARY,
    commit_json,
    commit_text,
    file_lock,
    if_supported,
    release_lock,
    sync_append,
    sync_folder,
)
from gansmith.core.errors import CheckpointError, GansmithError, GansmithWarning, reason_of
from gansmith.core.plain_files import open_plain, read_json
from gansmith.recipes.old_files import OLD_FILES, record_from_old_file, snapshot_from_old_file
from gansmith.recipes.recipe import Recipe
from gansmith.runs.checkpoint import (
    VALUES,
    Checkpoint,
    first_fault,
    is_checkpoint,
    list_checkpoints,
    load_checkpoint,
    load_newest,
)
from gansmith.runs.log import Row, best_snapshot, read_rows
from gansmith.runs.record import RunRecord

RECORD, LOCK = "run.json", ".lock"
PREVIEW = re.compile(r"\d{9}-(ema|raw)\.png")


def is_run(path: Path) -> bool:
    """Say whether a path is a run folder: it has run.json, or a checkpoint, which holds a copy of it."""
    return (path / RECORD).is_file() or any(map(is_checkpoint, list_checkpoints(path / "checkpoints")))


def run_of(path: Path) -> "RunFolder | None":
    """Return the run that a path is or belongs to: its model folder, its checkpoints, or what is in one of these."""
    whole = Path(os.path.abspath(path))
    own = [each.parent for each in (whole, whole.parent) if each.name in ("model", "checkpoints")]
    return next((RunFolder.open(folder) for folder in (whole, *own) if is_run(folder)), None)


def take_lock(lock: FileLock, folder: Path) -> None:
    """Take the lock of a folder that one process writes at a time; GansmithError if another one has it."""
    try:
        with if_supported("locks", "make sure that only one process writes to a run", folder, *LOCK_FAILS):
            lock.acquire(timeout=0)
    except Timeout:
        raise GansmithError(
            "run.locked", f"another process is writing to '{folder}'\n  wait for it or stop it"
        ) from None


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
        self._lock = file_lock(self.path / LOCK)
        self._record: RunRecord | None = None
        self._warned = False

    @classmethod
    def create(cls, path: Path) -> "RunFolder":
        """Make a new run folder; GansmithError if the path is not free or cannot be made."""
        cls.check_free(path)
        run = cls(path)
        try:
            path.mkdir(parents=True, exist_ok=True)
            run.make_folders()
            sync_folder(path.absolute().parent)
        except OSError as problem:
            raise _cannot_make(path, problem) from problem
        return run

    def make_folders(self) -> None:
        """Make the sub-folders, if they are missing; FileNotFoundError if the run folder itself is."""
        self.samples.mkdir(exist_ok=True)
        self.checkpoints.mkdir(exist_ok=True)
        sync_folder(self.path)

    @staticmethod
    def check_free(path: Path) -> None:
        """Raise GansmithError if the path is taken (by a file, another process, or contents) or not writable."""
        elsewhere = "choose another run folder: --out DIR"
        if not path.exists():
            above = next(each for each in path.absolute().parents if each.exists())
            if not (above.is_dir() and os.access(above, os.W_OK | os.X_OK)):
                raise GansmithError("run.cannot_make_folder", f"cannot make '{path}' in '{above}'\n  {elsewhere}")
        elif not path.is_dir():
            raise GansmithError("run.file_in_the_way", f"'{path}' is a file\n  {elsewhere}")
        elif any(path.iterdir()):
            if (path / LOCK).exists():
                lock = file_lock(path / LOCK)
                with suppress(OSError):  # a folder of another user
                    take_lock(lock, path)  # a run that has just begun: nobody may remove it
                release_lock(lock)
            begun = (path / RECORD).exists() and list_checkpoints(path / "checkpoints")
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
        take_lock(self._lock, self.path)

    def unlock(self) -> None:
        """Release the lock."""
        release_lock(self._lock)

    @property
    def record(self) -> RunRecord:
        """Return the contents of run.json, also from older versions.

        If it cannot be read, they come from the newest checkpoint, with a GansmithWarning; CheckpointError if that has
        no copy. The process that writes the run does not read the file again.
        """
        if self._record is not None:
            return self._record
        try:
            return self.read_record()
        except CheckpointError as problem:
            if isinstance(problem.__cause__, ValidationError) and _is_newer(problem.__cause__):
                raise
            kept = self._kept_record()
            if kept is None:
                raise
            if not self._warned:
                self._warned = True
                text = str(problem).partition("\n")[0]
                warnings.warn(
                    GansmithWarning(f"{text}\n  used instead: the copy in its newest checkpoint"), stacklevel=3
                )
            return kept

    def read_record(self) -> RunRecord:
        """Return the contents of run.json; CheckpointError if it cannot be read."""
        path = self.path / RECORD
        try:
            return RunRecord.model_validate(record_from_old_file(read_json(path)))
        except ValidationError as problem:
            if _is_newer(problem):
                raise CheckpointError(
                    "run.unreadable_record",
                    f"'{path}' cannot be read: a newer version of gansmith wrote it\n  update gansmith",
                ) from problem
            reason = first_fault(problem)
            raise CheckpointError(
                "run.unreadable_record", f"'{path}' cannot be read: {reason}\n  restore it from a backup"
            ) from problem
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as problem:
            why = getattr(problem, "strerror", None) or reason_of(problem)
            raise CheckpointError(
                "run.unreadable_record", f"'{path}' cannot be read: {why}\n  restore it from a backup"
            ) from problem

    def _kept_record(self) -> RunRecord | None:
        """Return the record in the newest checkpoint that has one."""
        for folder in list_checkpoints(self.checkpoints):
            with suppress(OSError, ValueError, KeyError, TypeError):
                return RunRecord.model_validate(read_json(folder / VALUES)["record"])
        return None

    def write_record(self, record: RunRecord) -> None:
        """Replace run.json."""
        if self._record is not None:
            self._record = record
        commit_json(self.path / RECORD, record.model_dump(mode="json"))

    def hold_record(self, record: RunRecord) -> None:
        """Write run.json, and take the record from memory from now on: this process trains the run."""
        self._record = record
        self.write_record(record)

    def write_recipe(self, recipe: Recipe, comments: Sequence[str] = ()) -> None:
        """Replace recipe.yaml."""
        commit_text(self.recipe, recipe.to_yaml(comments))

    def complete(self, recipe: Recipe) -> None:
        """Write again what someone removed while the run trains: sub-folders, recipe.yaml, run.json."""
        self.make_folders()
        if not self.recipe.exists():
            self.write_recipe(recipe)
        if self._record is not None and not (self.path / RECORD).exists():
            self.write_record(self._record)

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
        grids = self.previews("ema")
        return next((grid for grid in grids if int(grid.stem[:9]) >= iteration), grids[-1] if grids else None)

    def previews(self, kind: str) -> list[Path]:
        """Return the preview pictures of a kind ("ema" or "raw"), oldest first; other files are a user's."""
        return sorted(path for path in self.samples.glob(f"*-{kind}.png") if PREVIEW.fullmatch(path.name))

    def log_sums(self, sizes: dict[str, int]) -> dict[str, str]:
        """Return the SHA-256 of each log up to its size; "" for a log that is shorter, or cannot be read."""
        out = {}
        for path in self._logs:
            size, digest = sizes.get(path.name, 0), hashlib.sha256()
            try:
                with open_plain(path) if size else BytesIO() as file:
                    while size and (part := file.read(min(size, 2**20))):
                        digest.update(part)
                        size -= len(part)
            except OSError:
                pass
            out[path.name] = "" if size else digest.hexdigest()
        return out

    def truncate(self, sizes: dict[str, int]) -> None:
        """Cut the logs back to their sizes in bytes at a checkpoint."""
        sizes = {OLD_FILES.get(name, name): size for name, size in sizes.items()}
        for path in self._logs:
            if path.exists():
                os.truncate(path, min(sizes.get(path.name, 0), path.stat().st_size))

    def drop_samples_after(self, iteration: int) -> None:
        """Remove preview pictures of later iterations."""
        for path in [*self.previews("ema"), *self.previews("raw")]:
            if int(path.name[:9]) > iteration:
                path.unlink()

    def copy_of_quarantine(self, entries: list[dict[str, str]]) -> None:
        """Write quarantine.jsonl: the images that were left out, with reasons."""
        if entries:
            commit_text(self.path / "quarantine.jsonl", "".join(json.dumps(entry) + "\n" for entry in entries))


def _is_newer(problem: ValidationError) -> bool:
    """Say whether run.json was refused because a newer version of gansmith wrote it."""
    first = problem.errors(include_url=False)[0]
    return first["type"] == "less_than_equal" and first["loc"] == ("format",)


def find_checkpoint(path: Path) -> tuple[RunFolder, Checkpoint] | None:
    """Return the run and the checkpoint for a path, or None for a path outside any run.

    A run folder means its best checkpoint by the snapshots, or the last one without snapshots. ``RUN/checkpoints``
    means the last one, ``RUN/checkpoints/NUMBER`` that one. Raises CheckpointError if no checkpoint is complete.
    """
    if is_run(path):
        run = RunFolder.open(path)
        try:
            best = best_snapshot(run.read_snapshots())
        except CheckpointError as problem:
            last = load_newest(run.checkpoints)
            warnings.warn(GansmithWarning(f"{problem}\n  used instead: {last.folder}"), stacklevel=3)
            return run, last
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
    """Remove the temporary files of a killed process; other files are a user's."""
    folders = [run.path, run.samples, run.model, run.path / "evaluation", *list_checkpoints(run.checkpoints)]
    for path in (each for folder in folders if folder.is_dir() for each in folder.iterdir()):
        if TEMPORARY.fullmatch(path.name):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)
