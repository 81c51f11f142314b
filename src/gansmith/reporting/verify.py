"""Check the files of a run, a model or the cache against their checksums, and repair a run."""

import os
import warnings
from dataclasses import asdict, dataclass
from itertools import count
from pathlib import Path
from typing import Any

from gansmith.core.atomic_files import commit_text
from gansmith.core.errors import CheckpointError, GansmithError, GansmithWarning, counted, reason_of
from gansmith.core.plain_files import read_bytes
from gansmith.data.cache_check import damaged_rows
from gansmith.data.cache_folder import cache_folder, find_entry
from gansmith.imaging.images import decode_image
from gansmith.inference.load import load_model
from gansmith.inference.model_record import MODEL_JSON
from gansmith.recipes.load import read_run_recipe, run_recipe_of
from gansmith.runs.checkpoint import Checkpoint, list_checkpoints, load_checkpoint
from gansmith.runs.folder import RECORD, RunFolder, is_run, remove_leftovers
from gansmith.runs.log import read_rows, whole_lines
from gansmith.runs.record import RunRecord, edits

CACHE = "cache"  # the word that names the user's cache
NOUNS = {"run": "file", "model": "model", CACHE: "data set"}  # what is checked
MAX_PICTURE_BYTES = 2**28
RESULTS = ("film.gif", "film.mp4", "curves.png", "report.html")


@dataclass(frozen=True)
class FileState:
    """A file or folder, and what is wrong with it."""

    name: str
    problem: str = ""  # "" for one that is whole


@dataclass(frozen=True)
class Verified:
    """What ``verify`` found in a run, a model or the cache."""

    path: str
    kind: str  # run, model or cache
    files: tuple[FileState, ...]

    @property
    def is_whole(self) -> bool:
        """Say whether all files are whole."""
        return not self.damaged

    @property
    def damaged(self) -> tuple[FileState, ...]:
        """Return the files that are not whole."""
        return tuple(each for each in self.files if each.problem)

    def lines(self) -> list[str]:
        """Return the damaged files, and how many are whole, in words."""
        damaged = [f"{each.name}: {each.problem}" for each in self.damaged]
        checked = counted(len(self.files), NOUNS[self.kind])
        return [*damaged, f"{len(self.files) - len(damaged):,} of {checked} undamaged"]

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {"path": self.path, "kind": self.kind, "whole": self.is_whole, "files": list(map(asdict, self.files))}


def verify(path: str | Path) -> Verified:
    """Check every file of a run, a model folder or the cache ("cache", or its folder) against its checksum.

    Raises GansmithError for a path that is none of them.
    """
    place = Path(path)
    if str(path) == CACHE or (place / "data" / "entries").is_dir():
        return Verified(str(path), "cache", tuple(_of_cache(cache_folder() if str(path) == CACHE else place)))
    if is_run(place):
        return Verified(str(path), "run", tuple(_of_run(RunFolder(place))))
    if (place / MODEL_JSON).exists() or place.is_file():
        return Verified(str(path), "model", (_model(place, place.name),))
    raise GansmithError(
        "run.nothing_to_verify",
        f"'{path}' is no run, no model and no cache\n  pass a run folder, a model folder, or the word {CACHE}",
    )


def _of_run(run: RunFolder) -> list[FileState]:
    """Return the state of each file of a run."""
    found, newest = list[FileState](), None
    for folder in reversed(list_checkpoints(run.checkpoints)):
        problem, checkpoint = _checkpoint(folder)
        found.append(FileState(f"checkpoints/{folder.name}", problem))
        newest = checkpoint or newest
    found.insert(0, FileState(RECORD, _record(run, newest)))
    found.insert(1, FileState(run.recipe.name, _recipe(run)))
    sums = {} if newest is None else newest.values.get("log_sums", {})
    now = {} if newest is None else run.log_sums(newest.values["log_sizes"])
    for path in (run.log, run.timing, run.snapshots_file()):
        if path.exists() or (newest is not None and newest.values["log_sizes"].get(path.name)):
            changed = path.name in sums and sums[path.name] != now.get(path.name)
            text = "its rows up to the newest checkpoint were changed" if changed else ""
            found.append(FileState(path.name, _rows(path) or text))
    for picture in [run.samples / "real.png", *run.previews("ema"), *run.previews("raw")]:
        if picture.exists():
            found.append(FileState(f"samples/{picture.name}", _picture(picture)))
    if (run.model / MODEL_JSON).exists():
        found.append(_model(run.model, "model"))
    for name in RESULTS:
        if (run.path / name).exists() and not (run.path / name).stat().st_size:
            found.append(FileState(name, "it is empty"))
    return found


def _checkpoint(folder: Path) -> tuple[str, Checkpoint | None]:
    try:
        return "", load_checkpoint(folder)
    except CheckpointError as problem:
        return str(problem).partition("\n")[0], None


def _record(run: RunFolder, newest: Checkpoint | None) -> str:
    try:
        record = run.read_record()
    except CheckpointError as problem:
        return str(problem).partition("\n")[0]
    return "; ".join(f"it was edited: {each}" for each in (edits(record, newest) if newest else []))


def _recipe(run: RunFolder) -> str:
    try:
        read_run_recipe(run.recipe)
    except GansmithError as problem:
        return str(problem).partition("\n")[0]
    return ""


def _rows(path: Path) -> str:
    try:
        read_rows(path)
    except CheckpointError as problem:
        return str(problem).partition("\n")[0]
    return "" if path.exists() else "it is missing"


def _picture(path: Path) -> str:
    try:
        decode_image(read_bytes(path, MAX_PICTURE_BYTES))
    except (OSError, GansmithError) as problem:
        return reason_of(problem)
    return ""


def _model(path: Path, name: str) -> FileState:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", GansmithWarning)
            load_model(path, "cpu")
    except GansmithError as problem:
        return FileState(name, str(problem).partition("\n")[0])
    return FileState(name)


def _of_cache(folder: Path) -> list[FileState]:
    """Return the state of each entry of the cache."""
    found = []
    for place in sorted((folder / "data" / "entries").iterdir()):
        if not place.is_dir() or place.name.startswith("."):
            continue
        entry = find_entry(place.name, place.parent)
        if entry is None:
            found.append(FileState(place.name, "a file is missing, cut off or altered"))
            continue
        damaged = damaged_rows(entry, None)
        text = f"{len(damaged):,} of {entry.shape[0]:,} images are damaged" if damaged else ""
        found.append(FileState(place.name, text))
    return found


def repair(folder: str | Path) -> list[str]:
    """Repair a run from its undamaged files, and return in words what was done; a user's files stay.

    run.json and recipe.yaml are written again from the newest whole checkpoint. Damaged checkpoints and pictures are
    moved to a folder ``damaged``. Lines of logs that are no rows are left out. If an older checkpoint has logs that are
    still as they were, newer ones are moved away too, so that a resume goes on exactly. Raises CheckpointError for a
    folder without a whole checkpoint.
    """
    run, done = RunFolder.open(Path(folder)), list[str]()
    run.lock()
    try:
        remove_leftovers(run)
        states = {each: _checkpoint(each)[1] for each in list_checkpoints(run.checkpoints)}
        whole = [each for each in states.values() if each is not None]
        if not whole:
            raise CheckpointError(
                "checkpoint.none_whole", f"'{folder}' cannot be repaired: no checkpoint in it is whole\n  train again"
            )
        for path, checkpoint in states.items():
            if checkpoint is None:
                done.append(_set_aside(run, path))
        if _record(run, whole[0]) and (kept := whole[0].values.get("record")):
            run.write_record(_restored(run, kept))
            done.append(f"{RECORD} was written again from {whole[0].folder.name}")
        if _recipe(run):
            run.write_recipe(run_recipe_of(whole[0].values["recipe"], str(whole[0].folder)))
            done.append(f"{run.recipe.name} was written again from {whole[0].folder.name}")
        done += _repair_logs(run, whole)
        for picture in [run.samples / "real.png", *run.previews("ema"), *run.previews("raw")]:
            if picture.exists() and _picture(picture):
                done.append(_set_aside(run, picture))
    finally:
        run.unlock()
    return done


def _restored(run: RunFolder, kept: dict[str, Any]) -> RunRecord:
    """Return the record of a checkpoint with the place of the data in run.json, which a user may set."""
    record = RunRecord.model_validate(kept)
    try:
        data = run.read_record().data
    except CheckpointError:
        return record
    place = {"source": data.source, "root": data.root}
    return record.model_copy(update={"data": record.data.model_copy(update=place)})


def _repair_logs(run: RunFolder, whole: list[Checkpoint]) -> list[str]:
    """Return to the newest checkpoint whose logs are as they were; without one, keep the lines that are rows."""
    for number, checkpoint in enumerate(whole):
        sums = run.log_sums(checkpoint.values["log_sizes"])
        if all(sums.get(name) == known for name, known in checkpoint.values.get("log_sums", {}).items()):
            moved = [_set_aside(run, each.folder) + ": its logs are damaged" for each in whole[:number]]
            if number or any(_rows(path) for path in (run.log, run.timing, run.snapshots) if path.exists()):
                run.truncate(checkpoint.values["log_sizes"])
                moved.append(f"the logs were cut back to {checkpoint.folder.name}")
            return moved
    done = []
    for path in (run.log, run.timing, run.snapshots_file()):
        if path.exists() and _rows(path):
            lines = whole_lines(path)
            commit_text(path, "".join(line + "\n" for line in lines))
            done.append(f"{path.name}: {len(lines):,} rows were kept")
    return [*done, "the logs match no checkpoint: gansmith resume --accept-changes continues with them"]


def _set_aside(run: RunFolder, path: Path) -> str:
    """Move a damaged file or folder to ``damaged`` and return that in words."""
    folder = run.path / "damaged"
    folder.mkdir(exist_ok=True)
    names = (path.name if number == 0 else f"{path.name}.{number}" for number in count())
    name = next(each for each in names if not (folder / each).exists())
    os.replace(path, folder / name)
    return f"{path.relative_to(run.path)} was moved to {folder.name}/{name}"
