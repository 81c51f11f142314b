"""Find the runs and models in folders, and give each an id that a URL can hold."""

import os
import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from gansmith.core.errors import ModelError, unknown_name

RUN_JSON, MODEL_JSON, ONNX = "run.json", "model.json", ".onnx"
DEPTH = 3  # folders below a FOLDER that are searched
MOST_ENTRIES = 20_000  # files and folders that one search looks at
FRESH_SEC = 1.0  # a search is repeated after this time
SHOWN = 20  # ids in a message
LONGEST_ID = 180  # a file's name may be longer than routes take ids; a number may be added


@dataclass(frozen=True)
class Found:
    """What one search found, by id: run folders, and models (a run, a model folder or an .onnx file)."""

    runs: dict[str, Path]
    models: dict[str, Path]


class Places:
    """The folders that the server looks into. Clients name what is in them by id, and never by a path."""

    def __init__(self, folders: Sequence[Path]) -> None:
        self.folders = [Path(os.path.abspath(folder)) for folder in folders]
        self._ids = dict[Path, str]()  # once given, an id stays
        self._found = Found({}, {})
        self._looked = -FRESH_SEC

    def search(self) -> Found:
        """Return the runs and models that are there now; what appeared or went since is noticed within a second."""
        if time.monotonic() - self._looked >= FRESH_SEC:
            runs, models = dict[str, Path](), dict[str, Path]()
            for path, is_run, is_model in self._walk():
                name = self._id_of(path)
                if is_run:
                    runs[name] = path
                if is_model:
                    models[name] = path
            self._found, self._looked = Found(runs, models), time.monotonic()
        return self._found

    def run(self, name: str) -> Path:
        """Return the folder of a run; ModelError for an unknown id."""
        return _known("run", name, self.search().runs)

    def model(self, name: str) -> Path:
        """Return the place of a model; ModelError for an unknown id."""
        return _known("model", name, self.search().models)

    def _walk(self) -> Iterator[tuple[Path, bool, bool]]:
        waiting, seen = [(folder, 0) for folder in self.folders], 0
        while waiting:
            path, depth = waiting.pop(0)
            if path.suffix.lower() == ONNX and path.is_file():
                yield path, False, True
                continue
            try:
                is_run, is_model = (path / RUN_JSON).is_file(), (path / MODEL_JSON).is_file()
                if is_run or is_model:
                    yield path, is_run, True
                elif depth < DEPTH:
                    inside = sorted(each for each in path.iterdir() if not each.name.startswith("."))
                    seen += len(inside)
                    waiting += [(each, depth + 1) for each in inside if _may_hold(each)]
            except OSError:  # it went away, or may not be read
                continue
            if seen > MOST_ENTRIES:
                return

    def _id_of(self, path: Path) -> str:
        """Return the id of a path: its name in the letters of URLs, with a number if another path has that id."""
        if path not in self._ids:
            name = path.stem if path.suffix.lower() == ONNX else path.name
            if name == "model" and path.parent.name:  # RUN/model
                name = f"{path.parent.name}-{name}"
            base = re.sub(r"[^A-Za-z0-9_-]+", "-", name).strip("-")[:LONGEST_ID] or "model"
            taken, number, free = set(self._ids.values()), 2, base
            while free in taken:
                free, number = f"{base}-{number}", number + 1
            self._ids[path] = free
        return self._ids[path]


def _may_hold(path: Path) -> bool:
    return path.is_dir() or path.suffix.lower() == ONNX


def _known(kind: str, name: str, known: dict[str, Path]) -> Path:
    if name not in known:
        names = list(known)
        more = f"{len(names) - SHOWN} more are in the list of {kind}s" if len(names) > SHOWN else ""
        raise ModelError("web.unknown_id", unknown_name(kind, name[:100], names[:SHOWN], hint=more))
    return known[name]
