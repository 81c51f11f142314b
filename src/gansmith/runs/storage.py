"""A copy of a run in object storage (s3://, gs://, file://, ...), by fsspec."""

# A checkpoint is whole there once its manifest is, which is sent last; the logs that it needs are sent before it.

import shutil
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from gansmith.core.errors import CheckpointError
from gansmith.core.object_storage import open_storage, refused
from gansmith.runs.checkpoint import MANIFEST, is_checkpoint, list_checkpoints
from gansmith.runs.folder import RECORD, RunFolder

TRIAL = ".gansmith"  # a file that is written and removed to see whether writing is allowed
RESULTS = ("model", "evaluation")  # folders of a finished run


class Store:
    """A place in object storage for one run."""

    def __init__(self, address: str) -> None:
        """Connect; GansmithError for an address that fsspec or its package for it cannot open."""
        self.address = address
        self._files, self._path = open_storage(address, "run")

    def check(self) -> None:
        """Raise GansmithError if nothing can be written there."""
        trial = f"{self._path}/{TRIAL}"
        try:
            self._files.makedirs(self._path, exist_ok=True)
            self._files.pipe_file(trial, b"gansmith")
            self._files.rm_file(trial)
        except Exception as problem:
            raise refused(self.address, problem, "run") from problem

    def has_run(self) -> bool:
        """Say whether a run with a whole checkpoint is there."""
        return bool(self._whole())

    def push(self, run: RunFolder) -> None:
        """Send what is new: logs and record, previews, checkpoints with their manifests last, results; prune as here.

        Raises GansmithError if the storage refuses, which leaves the checkpoints there whole.
        """
        try:
            self._files.invalidate_cache()
            there = self._names()
            changing = [path for path in run.path.iterdir() if path.is_file() and not path.name.startswith(".")]
            self._send(run, changing)
            self._send(run, (path for path in _inside(run.samples) if self._name(run, path) not in there))
            kept = [folder for folder in list_checkpoints(run.checkpoints) if is_checkpoint(folder)]
            for folder in reversed(kept):
                if self._name(run, folder / MANIFEST) not in there:
                    files = [path for path in _inside(folder) if path.name != MANIFEST]
                    self._send(run, [*files, folder / MANIFEST])
            for name in set(self._whole()) - {folder.name for folder in kept}:
                self._files.rm_file(f"{self._path}/checkpoints/{name}/{MANIFEST}")  # first: half of one is none
                self._files.rm(f"{self._path}/checkpoints/{name}", recursive=True)
            self._send(run, (path for name in RESULTS for path in _inside(run.path / name)))
        except Exception as problem:
            raise refused(self.address, problem, "run") from problem

    def pull(self, folder: Path) -> None:
        """Fetch the run into a new folder, with whole checkpoints alone; CheckpointError if there is no run."""
        try:
            names, whole = self._names(), set(self._whole())
        except Exception as problem:
            raise refused(self.address, problem, "run") from problem
        if RECORD not in names or not whole:
            raise CheckpointError("run.not_stored", f"'{self.address}' holds no run with a whole checkpoint")
        RunFolder.check_free(folder)
        half = folder.with_name(f".{folder.name}.fetched.tmp")
        shutil.rmtree(half, ignore_errors=True)
        try:
            for name in names:
                parts = name.split("/")
                if parts[0] == "checkpoints" and not (len(parts) == 3 and parts[1] in whole):
                    continue
                (half / name).parent.mkdir(parents=True, exist_ok=True)
                self._files.get_file(f"{self._path}/{name}", str(half / name))
            with suppress(OSError):
                folder.rmdir()  # it is empty
            half.rename(folder)
        except Exception as problem:
            shutil.rmtree(half, ignore_errors=True)
            raise refused(self.address, problem, "run") from problem

    def _names(self) -> set[str]:
        """Return the files there, below the address."""
        found = self._files.find(self._path) if self._files.exists(self._path) else []
        return {str(name).removeprefix(f"{self._path}/") for name in found}

    def _whole(self) -> list[str]:
        """Return the names of the whole checkpoints."""
        return [name.split("/")[1] for name in self._names() if name.endswith(f"/{MANIFEST}") and name.count("/") == 2]

    def _name(self, run: RunFolder, path: Path) -> str:
        return path.relative_to(run.path).as_posix()

    def _send(self, run: RunFolder, paths: Iterable[Path]) -> None:
        for path in paths:
            place = f"{self._path}/{self._name(run, path)}"
            self._files.makedirs(place.rpartition("/")[0], exist_ok=True)
            self._files.put_file(str(path), place)


def _inside(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file()) if folder.is_dir() else []
