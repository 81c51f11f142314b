"""The models that are served: what each can do, its ONNX files, and their export if missing."""

import asyncio
import errno
import json
import os
import shutil
import signal
import sys
import tempfile
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from gansmith.core.errors import GansmithError, ModelError, reason_of, unknown_name
from gansmith.core.plain_files import MAX_YAML_BYTES, parse_yaml, read_bytes, read_json, read_text
from gansmith.core.user_folders import user_folder
from gansmith.inference.onnx_file import VERSION_DIGITS, RecordFacts, digest_of, read_facts, weights_key
from gansmith.inference.onnx_model import OnnxModel
from gansmith.web.places import MODEL_JSON, ONNX, RUN_JSON, Places

METHODS = {"latent": "latent", "super_resolution": "upscaler"}  # by kind; the others translate
OPEN_AT_ONCE = 4  # models whose sessions are kept
RECORD_KEYS = ("name", "seed", "kimg")  # by which an ONNX file belongs to the model folder it lies in
EXPORT_SEC = 600.0
UNUSED_SEC = 30 * 24 * 3600
LONGEST_LINE = 2**20  # that a child process prints


@dataclass(frozen=True)
class Entry:
    """A model in the list."""

    id: str
    name: str
    place: Path  # a run, a model folder or an .onnx file: what the command line takes as MODEL
    key: str  # of the weights: another one after they changed
    created: str  # UTC, ISO 8601
    run: str | None = None
    record: RecordFacts | None = None
    files: dict[str, Path] = field(default_factory=dict)  # ONNX files by generator; empty: to be exported
    error: str = ""

    @property
    def is_live(self) -> bool:
        """Say whether it is a run's checkpoint, because the run has no model folder yet."""
        return self.run is not None and self.place.name != "model"

    @property
    def version(self) -> str:
        """Return the first digits of the key, for permalinks."""
        return self.key[:VERSION_DIGITS]

    def to_json(self) -> dict[str, Any]:
        """Return the row of the list of models."""
        facts = dict[str, Any]()
        if self.record is not None:
            data, method = self.record.data, self.record.method
            width = data.width // 2 if data.pairs else data.width
            facts |= {
                "recipe": self.record.name,
                "method": METHODS.get(method.kind, "translator"),
                "size": [data.height, width],
                "channels": data.channels,
                "classes": list(data.classes) if self.record.num_classes else None,
                "latent_dim": method.latent_dim if method.kind == "latent" else None,
                "points": data.is_points,
                "kimg": self.record.kimg,
            }
        return {
            "id": self.id, "name": self.name, **facts, "version": self.version, "created": self.created,
            "run": self.run, "live": self.is_live, "ready": bool(self.files), "error": self.error or None,
        }  # fmt: skip


class Models:
    """The list of models, their open sessions, and the exports that are under way."""

    def __init__(self, places: Places) -> None:
        self.places = places
        self._read = dict[Path, tuple[Any, Entry]]()
        self._open = OrderedDict[Path, tuple[Any, OnnxModel]]()
        self._ready = dict[Path, Entry]()  # the last ones with files
        self._failed = dict[str, str]()  # by key: why an export failed
        self._exports = dict[str, asyncio.Task[None]]()
        self._one_at_a_time = asyncio.Lock()

    def list(self) -> list[Entry]:
        """Return all models, the newest first."""
        entries = [self._entry(name, path) for name, path in self.places.search().models.items()]
        return sorted(entries, key=lambda each: (each.created, each.id), reverse=True)

    def get(self, name: str) -> Entry:
        """Return a model; ModelError for an unknown id."""
        return self._entry(name, self.places.model(name))

    def opened(self, entry: Entry, generator: str = "") -> OnnxModel | None:
        """Return a model's session if it is open, None if not.

        Raises ModelError for a model without an ONNX file, and for a generator that it does not have.
        """
        file = self._file(entry, generator)
        known = self._open.get(file)
        if known is None or known[0] != _stamp(file):
            return None
        self._open.move_to_end(file)
        return known[1]

    def open(self, entry: Entry, generator: str = "") -> OnnxModel:
        """Return a model's session, opened if it was not; ModelError as for ``opened``, and for a damaged file."""
        model = self.opened(entry, generator)
        if model is None:
            file = self._file(entry, generator)
            stamp = _stamp(file)
            model = OnnxModel(file)
            self._open[file] = stamp, model
            while len(self._open) > OPEN_AT_ONCE:
                self._open.popitem(last=False)
        return model

    def _file(self, entry: Entry, generator: str) -> Path:
        if entry.error:
            raise ModelError("web.unusable_model", f"model '{entry.id}' cannot be used: {entry.error}")
        if not entry.files:
            raise ModelError("web.preparing", f"model '{entry.id}' is being prepared\n  ask again in a few seconds")
        if generator and generator not in entry.files:
            raise ModelError("web.unknown_generator", unknown_name("generator", generator[:100], entry.files))
        return entry.files[generator] if generator else next(iter(entry.files.values()))

    def prepare(self, entry: Entry) -> None:
        """Begin to export a model without an ONNX file, unless that is under way or failed before."""
        if not entry.files and not entry.error and entry.key not in self._exports:
            task = asyncio.get_running_loop().create_task(self._export(entry))
            self._exports[entry.key] = task
            task.add_done_callback(lambda _: self._exports.pop(entry.key, None))

    def refresh(self, entry: Entry) -> None:
        """Begin to export the newest checkpoint of a live run; the present one is served until that is done."""
        self.prepare(self._newest(entry.id, self.places.model(entry.id)))

    def is_preparing(self, entry: Entry) -> bool:
        """Say whether a model is being exported."""
        return entry.key in self._exports

    async def close(self) -> None:
        """End the exports."""
        for task in list(self._exports.values()):
            task.cancel()
        await asyncio.gather(*self._exports.values(), return_exceptions=True)

    async def _export(self, entry: Entry) -> None:
        """Export a model in a process of its own, which has torch, into the user's cache."""
        async with self._one_at_a_time:
            target = cached_files(entry.key)
            try:
                target.parent.mkdir(parents=True, exist_ok=True)
                _remove_unused(target.parent)
                with tempfile.TemporaryDirectory(dir=target.parent, prefix=".making-") as folder:
                    made = Path(folder) / "files"
                    made.mkdir()
                    words = ["export", str(entry.place), "--to", "onnx", "--out", str(made / f"generator{ONNX}")]
                    await run_child(words, EXPORT_SEC)
                    with suppress(OSError):  # another server may have been faster
                        os.replace(made, target)
                    if not target.exists():
                        raise OSError(errno.EIO, f"'{target}' cannot be made")
            except GansmithError as problem:
                self._failed[entry.key] = str(problem)
            except OSError as problem:
                self._failed[entry.key] = f"the ONNX file cannot be written: {problem.strerror}"

    def _entry(self, name: str, path: Path) -> Entry:
        """Return a model as it is served: of a live run the checkpoint that was exported last."""
        entry = self._newest(name, path)
        if entry.files:
            self._ready[path] = entry
        elif entry.is_live and path in self._ready:
            return self._ready[path]
        return entry

    def _newest(self, name: str, path: Path) -> Entry:
        stamp = _stamps(path)
        known = self._read.get(path)
        if known is None or known[0] != stamp:
            known = self._read[path] = (stamp, _read(name, path))
        entry = known[1]
        if entry.error or entry.files:
            return entry
        files = _fitting_files(cached_files(entry.key), None)
        if not files:
            return replace(entry, error=self._failed.get(entry.key, ""))
        with suppress(OSError):
            os.utime(cached_files(entry.key))  # it is in use: ``_remove_unused`` keeps it
        record = entry.record or read_facts(next(iter(files.values())))[1]
        entry = replace(entry, files=files, record=record)
        self._read[path] = (stamp, entry)
        return entry


async def run_child(words: Sequence[str], timeout_sec: float) -> dict[str, Any]:
    """Run a verb of the command line with --json in a process of its own; return what it printed.

    Raises GansmithError with the verb's own code and message. The process ends if the caller is cancelled.
    """
    async with child_process(["-m", "gansmith", *words, "--json"], timeout_sec) as child:
        out, _ = await child.communicate()
    try:
        told = json.loads(out)
    except ValueError:
        raise child_failed(child) from None
    return _without_error(told)


async def child_lines(
    words: Sequence[str], timeout_sec: float, stdin: bytes, tell: Callable[[dict[str, Any]], None]
) -> dict[str, Any]:
    """Run Python with ``words``, pass lines {"progress": ...} of its stdout to ``tell``, and return the last line.

    Raises GansmithError with the code and message of a line {"error": ...}. The process ends with the caller.
    """
    told: dict[str, Any] = {}
    async with child_process(words, timeout_sec, takes_stdin=True) as child:
        assert child.stdin is not None, "it is a pipe"
        assert child.stdout is not None, "it is a pipe"
        with suppress(BrokenPipeError, ConnectionResetError):  # its last line says why it ended
            child.stdin.write(stdin)
            await child.stdin.drain()
            child.stdin.close()
        async for line in child.stdout:
            told = json.loads(line)
            if "progress" in told:
                tell(told["progress"])
        await child.wait()
    if not told or "progress" in told:
        raise child_failed(child)
    return _without_error(told)


@asynccontextmanager
async def child_process(
    words: Sequence[str], timeout_sec: float, *, takes_stdin: bool = False
) -> AsyncIterator[asyncio.subprocess.Process]:
    """Start Python with ``words``; kill it, and its own children, at the end of the block or after a time."""
    child = await asyncio.create_subprocess_exec(
        sys.executable, *words, stdin=asyncio.subprocess.PIPE if takes_stdin else asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL, start_new_session=True, limit=LONGEST_LINE,
    )  # fmt: skip
    try:
        async with asyncio.timeout(timeout_sec):
            yield child
    except TimeoutError:
        raise GansmithError(
            "web.child_slow",
            f"the work took more than {timeout_sec:g} s and was ended"
            "\n  ask for less, such as fewer images or steps, or close other programs and try again",
        ) from None
    finally:
        if child.returncode is None:
            with suppress(ProcessLookupError):
                if os.name == "posix":
                    os.killpg(child.pid, signal.SIGKILL)
                else:
                    child.kill()
            await child.wait()


def child_failed(child: asyncio.subprocess.Process) -> GansmithError:
    """Return the error for a process that ended without an answer."""
    killed = ": the system killed it, often because memory ran out" if child.returncode == -9 else ""
    return GansmithError(
        "web.child_failed",
        f"the process for this work ended with code {child.returncode}{killed}"
        "\n  try again, or run the command itself in a terminal, which says more: gansmith --help lists them",
    )


def _without_error(found: dict[str, Any]) -> dict[str, Any]:
    if told := found.get("error"):
        raise GansmithError(told["code"], told["message"])
    return found


def cached_files(key: str) -> Path:
    """Return the folder in the user's cache for the ONNX files of some weights."""
    return user_folder("GANSMITH_CACHE", "XDG_CACHE_HOME", ".cache") / "web" / key[:32]


def _remove_unused(folder: Path) -> None:
    """Remove the cached files of models that were not served for a month."""
    for each in folder.iterdir():
        with suppress(OSError):
            if time.time() - each.stat().st_mtime > UNUSED_SEC:
                shutil.rmtree(each)


def _stamp(path: Path) -> tuple[int, int] | None:
    """Return what changes when a file changes."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size


def _stamps(path: Path) -> tuple[Any, ...]:
    inside = [path / MODEL_JSON, path / "model" / MODEL_JSON, path / RUN_JSON, path / "model", path / "checkpoints"]
    return tuple(map(_stamp, [path] if path.suffix.lower() == ONNX else [path, *inside]))


def _read(name: str, path: Path) -> Entry:
    """Return a model as its files describe it; one with ``error`` if they cannot be read."""
    shown = path.stem if path.suffix.lower() == ONNX else path.name
    try:
        created = datetime.fromtimestamp(path.stat().st_mtime, UTC).isoformat(timespec="seconds")
        if path.suffix.lower() == ONNX:
            content, record, facts = read_facts(path)
            files = {facts.direction or "generator": path}
            return Entry(name, shown, path, digest_of(content), created, None, record, files)
        if (path / MODEL_JSON).is_file():
            return _from_folder(name, path, path, None, created)
        if (path / "model" / MODEL_JSON).is_file():
            return _from_folder(name, path, path / "model", name, _created(path, created))
        return _from_live_run(name, path, _created(path, created))
    except (GansmithError, OSError, ValueError, KeyError, TypeError, yaml.YAMLError) as problem:
        why = str(problem) if isinstance(problem, GansmithError) else reason_of(problem)
        is_run = (path / RUN_JSON).is_file()
        return Entry(name, shown, path, digest_of(str(path).encode()), "", name if is_run else None, error=why)


def _from_folder(name: str, place: Path, folder: Path, run: str | None, created: str) -> Entry:
    values = _object(folder / MODEL_JSON)
    try:
        record = RecordFacts.model_validate(values)
    except ValidationError:  # of an older version, perhaps: the export will tell
        record = None
    files = _fitting_files(folder, record)
    return Entry(name, place.name, folder, weights_key(values), created, run, record, files)


def _from_live_run(name: str, path: Path, created: str) -> Entry:
    """Return the model of a run that has no model folder yet: its best checkpoint."""
    run = _object(path / RUN_JSON)
    recipe = parse_yaml(read_text(path / "recipe.yaml", MAX_YAML_BYTES))
    folders = sorted((path / "checkpoints").glob("[0-9]*/manifest.json"))
    if not folders:
        nothing = "the run has no checkpoint yet"
        return Entry(name, path.name, path, digest_of(str(path).encode()), created, name, error=nothing)
    state = _object(folders[-1].with_name("state.json"))
    record = RecordFacts.model_validate({
        "format": 1, "name": recipe["name"], "method": recipe["method"], "data": run["data"]["spec"],
        "seed": run["seed"], "kimg": state.get("kimg", 0.0), "sample_batch": 64,
    })  # fmt: skip
    return Entry(name, path.name, path, digest_of(read_bytes(folders[-1])), created, name, record)


def _created(run: Path, otherwise: str) -> str:
    return str(_object(run / RUN_JSON).get("created", otherwise))


def _object(path: Path) -> dict[str, Any]:
    """Return the JSON object in a file; ValueError if it holds another value."""
    values = read_json(path)
    if not isinstance(values, dict):
        raise ValueError(f"{path.name} holds no JSON object")
    return values


def _fitting_files(folder: Path, record: RecordFacts | None) -> dict[str, Path]:
    """Return the ONNX files of a folder by generator; those of other weights than ``record`` says are left out."""
    files = dict[str, Path]()
    for file in sorted(folder.glob(f"*{ONNX}")):
        try:
            _, found, facts = read_facts(file)
        except (GansmithError, OSError):
            continue
        if record is None or all(getattr(found, key) == getattr(record, key) for key in RECORD_KEYS):
            files.setdefault(facts.direction or "generator", file)
    return files
