"""A copy of a run in object storage (s3://, gs://, file://, ...), by fsspec."""

# A checkpoint is whole there once its manifest is, which is sent last; the logs that it needs are sent before it.
# A command names itself in OWNER when it starts; only the one that did so last may send.

import json
import os
import shutil
import socket
import time
import uuid
from collections.abc import Iterable
from concurrent.futures import Future, wait
from contextlib import suppress
from pathlib import Path
from typing import Any

from gansmith.core.errors import CheckpointError, GansmithError
from gansmith.core.launched import is_first_here
from gansmith.core.object_storage import SILENT_SEC, asked, is_address, open_storage, refused, silent
from gansmith.runs.checkpoint import MANIFEST, NAME, is_checkpoint, list_checkpoints
from gansmith.runs.folder import RECORD, RunFolder

OWNER = ".gansmith"  # a file that names the command that sends
TRIAL = ".gansmith-trial"  # a file that is written and removed to see whether both are allowed
HALF = ".part"  # end of the name of a file that is being written
POLL_SEC = 0.2
SLOWEST = 2**17  # bytes of a file for which the storage may take a second more to answer
RESULTS = ("model", "evaluation")  # folders of a finished run


class Store:
    """A place in object storage for one run."""

    def __init__(self, address: str) -> None:
        """Connect; GansmithError for an address that names no place, or that fsspec or its package cannot open."""
        self.address = address
        if not is_address(address) or not address.partition("://")[2].strip("/"):
            raise GansmithError(
                "run.storage_nowhere",
                f"--store '{address}' names no place in object storage\n  pass an address such as s3://bucket/faces, "
                f"or for a folder file://{Path.cwd() / 'faces'}",
            )
        self._files, self._path = open_storage(address, "run")
        protocols = self._files.protocol
        self._local = "file" in ((protocols,) if isinstance(protocols, str) else protocols)
        self._owner = {"host": socket.gethostname(), "process": os.getpid(), "id": uuid.uuid4().hex}
        self._sent: set[str] = set()  # previews
        self._unanswered: Future[Any] | None = None

    def claim(self, run: RunFolder | None = None, out: Path | None = None) -> None:
        """Take the place for this command, which starts a new run, in ``out`` if it is known, or continues ``run``.

        GansmithError if it is in the run folder, does not answer, takes no files or lets none be removed, or holds
        another run or later checkpoints.
        """
        folder = out if run is None else run.path
        if self._local and folder is not None and Path(self._path).resolve().is_relative_to(folder.resolve()):
            raise GansmithError(
                "run.storage_in_run",
                f"--store '{self.address}' is in the run folder '{folder}', and not a copy of it elsewhere"
                "\n  pass an address outside it",
            )
        try:
            self._files.invalidate_cache()
            whole = _whole(self._list())
            if run is None and whole:
                raise self._taken("a run already")
            if run is not None:
                there = self._read(RECORD)
                if whole and there is not None and _identity(there) != (run.record.created, run.record.seed):
                    raise self._taken(f"another run, created {there.get('created')}")
                here = max((folder.name for folder in list_checkpoints(run.checkpoints)), default="")
                if max(whole, default="") > here:
                    raise GansmithError(
                        "run.storage_ahead",
                        f"'{self.address}' is ahead: its last checkpoint is at iteration {int(max(whole))}, that of "
                        f"'{run.path}' at {int(here or 0)}\n  continue the copy: gansmith resume NEWFOLDER --store "
                        f"{self.address}\n  or pass another address",
                    )
            self._write_owner()
            self._ask("pipe_file", f"{self._path}/{TRIAL}", b"gansmith")
            self._ask("rm_file", f"{self._path}/{TRIAL}")
        except Exception as problem:
            raise refused(self.address, problem, "run") from problem

    def push(self, run: RunFolder) -> None:
        """Send what is new: logs and record, previews, checkpoints with their manifests last, results; prune as here.

        GansmithError if the storage refuses or does not answer, or a later command has it, which leaves the checkpoints
        there whole.
        """
        try:
            self._files.invalidate_cache()
            self._keep_claim()
            kept = [folder for folder in list_checkpoints(run.checkpoints) if is_checkpoint(folder)]
            names = {folder.name for folder in kept}
            there = self._list()
            with suppress(Exception):  # below it is tried again
                self._prune(there, {*names, *sorted(_whole(there))[-1:]})  # before sending: it makes room
            changing = [path for path in run.path.iterdir() if path.is_file() and not path.name.startswith(".")]
            self._send(run, changing)
            previews = {path: _name(run, path) for path in _inside(run.samples)}
            self._send(run, (path for path, name in previews.items() if name not in there.keys() & self._sent))
            self._sent.update(previews.values())
            for folder in reversed(kept):
                if _name(run, folder / MANIFEST) not in there:
                    files = [path for path in _inside(folder) if path.name != MANIFEST]
                    self._send(run, [*files, folder / MANIFEST])
            self._prune(self._list(), names)
            self._send(run, (path for name in RESULTS for path in _inside(run.path / name)))
        except Exception as problem:
            raise refused(self.address, problem, "run") from problem

    def pull(self, folder: Path) -> None:
        """Fetch the run into a new folder, with whole checkpoints alone; CheckpointError if there is no run.

        The first process of each machine fetches it, the others wait; on a shared disk the fastest machine's counts.
        """
        if not is_first_here():
            while not folder.exists():  # torchrun ends this process if the first one fails
                time.sleep(POLL_SEC)
            return
        try:
            names = self._list()
            whole = _whole(names)
        except Exception as problem:
            raise refused(self.address, problem, "run") from problem
        if RECORD not in names or not whole:
            raise CheckpointError("run.not_stored", f"'{self.address}' holds no run with a whole checkpoint")
        if (folder / RECORD).exists():  # another machine was faster
            return
        RunFolder.check_free(folder)
        half = folder.with_name(f".{folder.name}.fetched.{socket.gethostname()}.tmp")
        shutil.rmtree(half, ignore_errors=True)
        try:
            for name, size in names.items():
                parts = name.split("/")
                if name in (OWNER, TRIAL) or name.endswith(HALF) or not _is_inside(name):
                    continue
                if parts[0] == "checkpoints" and not (len(parts) == 3 and parts[1] in whole):
                    continue
                (half / name).parent.mkdir(parents=True, exist_ok=True)
                self._ask("get_file", f"{self._path}/{name}", str(half / name), size=size)
            with suppress(OSError):
                folder.rmdir()  # it is empty
            if not (folder / RECORD).exists():
                half.rename(folder)
        except Exception as problem:
            if not (folder / RECORD).exists():
                raise refused(self.address, problem, "run") from problem
        finally:
            shutil.rmtree(half, ignore_errors=True)

    def _ask(self, request: str, *given: Any, size: int = 0, **more: Any) -> Any:
        """Return the answer of the storage; ``size`` is that of a file to send or to fetch.

        GansmithError if it takes too long. Nothing else is asked until the answer is there after all: otherwise an old
        file could arrive after a new one.
        """
        if self._unanswered is not None and not self._unanswered.done():
            raise silent(self.address, "has not answered an earlier request yet", "run")
        answer: Future[Any] = asked(lambda: getattr(self._files, request)(*given, **more))
        seconds = SILENT_SEC + size / SLOWEST
        wait([answer], seconds)
        if not answer.done():
            self._unanswered = answer
            raise silent(self.address, f"has not answered for {seconds:.0f} s", "run")
        return answer.result()

    def _list(self) -> dict[str, int]:
        """Return the files there, below the address, and their sizes."""
        with suppress(FileNotFoundError):
            found = self._ask("find", self._path, detail=True)
            return {str(name).removeprefix(f"{self._path}/"): info["size"] for name, info in found.items()}
        return {}

    def _read(self, name: str) -> dict[str, Any] | None:
        """Return the content of a JSON file there; None if it is missing or damaged."""
        with suppress(FileNotFoundError, ValueError):
            found = json.loads(self._ask("cat_file", f"{self._path}/{name}"))
            return found if isinstance(found, dict) else None
        return None

    def _taken(self, what: str) -> GansmithError:
        return GansmithError(
            "run.storage_taken",
            f"'{self.address}' holds {what}\n  continue it: gansmith resume NEWFOLDER --store {self.address}"
            "\n  or pass another address",
        )

    def _write_owner(self) -> None:
        self._ask("makedirs", self._path, exist_ok=True)
        self._ask("pipe_file", f"{self._path}/{OWNER}", json.dumps(self._owner).encode())

    def _keep_claim(self) -> None:
        """Raise GansmithError if a later command has taken the place; claim a place that was emptied again."""
        owner = self._read(OWNER)
        if owner is None:
            self._write_owner()
        elif owner != self._owner:
            raise GansmithError(
                "run.storage_taken_over",
                f"'{self.address}' was taken over by a command that began later: process {owner.get('process')} on "
                f"'{owner.get('host')}'\n  this one sends nothing more there",
            )

    def _prune(self, there: Iterable[str], kept: set[str]) -> None:
        """Remove the other checkpoints, whole or half."""
        names = _checkpoint_files(there)
        for name in {name.split("/")[1] for name in names} - kept:
            folder = f"checkpoints/{name}"
            if f"{folder}/{MANIFEST}" in names:
                self._ask("rm_file", f"{self._path}/{folder}/{MANIFEST}")  # first: half of one is none
            self._ask("rm", f"{self._path}/{folder}", recursive=True)

    def _send(self, run: RunFolder, paths: Iterable[Path]) -> None:
        for path in paths:
            place = f"{self._path}/{_name(run, path)}"
            self._ask("makedirs", place.rpartition("/")[0], exist_ok=True)
            size = path.stat().st_size
            if not self._local:  # other storages show a file once it is whole
                self._ask("put_file", str(path), place, size=size)
                continue
            try:
                self._ask("put_file", str(path), f"{place}{HALF}", size=size)
                os.replace(f"{place}{HALF}", place)
            except OSError:
                Path(f"{place}{HALF}").unlink(missing_ok=True)
                raise


def _whole(names: Iterable[str]) -> set[str]:
    """Return the names of the whole checkpoints among files."""
    return {name.split("/")[1] for name in _checkpoint_files(names) if name.endswith(f"/{MANIFEST}")}


def _checkpoint_files(names: Iterable[str]) -> set[str]:
    """Return the files of checkpoints, whole or half; other folders are a user's."""
    parts = {name: name.split("/") for name in names}
    return {
        name for name, each in parts.items() if len(each) == 3 and each[0] == "checkpoints" and NAME.fullmatch(each[1])
    }


def _name(run: RunFolder, path: Path) -> str:
    return path.relative_to(run.path).as_posix()


def _identity(record: dict[str, Any]) -> tuple[Any, ...]:
    """Return what tells one run from another, and never changes."""
    return record.get("created"), record.get("seed")


def _is_inside(name: str) -> bool:
    """Say whether a file there lies in the run's folder here: a name in object storage is any text."""
    return not {"", ".", ".."}.intersection(name.split("/")) and "\\" not in name


def _inside(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file()) if folder.is_dir() else []
