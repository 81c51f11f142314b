"""Checkpoints: write, load, list and remove them; each is complete or does not exist."""

# A checkpoint is a folder of tensors (safetensors) and values (JSON). Its manifest of SHA-256 checksums is written
# last: a folder without a matching manifest is not a checkpoint. Nothing is pickled.

import os
import re
import shutil
import warnings
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import (
    Annotated,
    Any,
    NotRequired,  # pydantic reads this one before Python 3.12
    cast,
)

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor
from typing_extensions import TypedDict

from gansmith.core.atomic_files import TEMPORARY, commit_file, commit_json, is_disk_full, no_room_to, sync_folder
from gansmith.core.errors import CheckpointError, DiskFullError, GansmithWarning, reason_of
from gansmith.core.plain_files import read_json, refuse_damaged_tensors, sha256_of
from gansmith.core.registry import FrozenModel, NotNegative
from gansmith.core.tensor_files import load_tensors
from gansmith.runs.length import RunLength

FORMAT = 1
NAME = re.compile(r"\d{9}")  # of a checkpoint folder: its iteration; folders with other names are a user's
FILES = TENSORS, VALUES, MANIFEST = "state.safetensors", "state.json", "manifest.json"


class FileSum(FrozenModel):
    """The SHA-256 of a file."""

    sha256: str


class Manifest(FrozenModel):
    """The content of manifest.json: the sum of each file."""

    format: int
    files: dict[str, FileSum]


class StateValues(TypedDict):
    """The content of state.json: all that a run needs to continue and that is no tensor."""

    __pydantic_config__ = ConfigDict(extra="allow")  # type: ignore[misc]

    iteration: NotNegative
    kimg: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    salt: int
    seed: int
    planned: bool  # written on schedule, not because of a signal
    log_sizes: dict[str, NotNegative]
    recipe: dict[str, Any]
    halvings: NotRequired[NotNegative]  # absent from older checkpoints, as all below
    log_sums: NotRequired[dict[str, str]]  # SHA-256 of each log up to its size
    record: NotRequired[dict[str, Any]]  # run.json
    length: NotRequired[RunLength | None]
    used_sec: NotRequired[float]


_VALUES: TypeAdapter[StateValues] = TypeAdapter(StateValues)


@dataclass(frozen=True)
class Checkpoint:
    """The tensors and values that a run needs to continue."""

    folder: Path
    tensors: dict[str, Tensor]
    values: dict[str, Any]


def save_checkpoint(folder: Path, tensors: dict[str, Tensor], values: dict[str, Any]) -> Path:
    """Write the checkpoint ``folder`` and return it; if the disk is full, remove it and raise DiskFullError."""
    contiguous = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    needed = sum(tensor.numel() * tensor.element_size() for tensor in contiguous.values()) + 2**20
    folder.parent.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(folder.parent).free
    try:
        if free < needed:
            raise DiskFullError("disk.full", f"{free:,} bytes are free")
        _remove(folder)
        with suppress(FileExistsError):  # a user's files are in it
            folder.mkdir()
        commit_file(folder / TENSORS, lambda path: save_file(contiguous, path))
        commit_json(folder / VALUES, values)
        files = {name: {"sha256": sha256_of(folder / name)} for name in (TENSORS, VALUES)}
        commit_json(folder / MANIFEST, {"format": FORMAT, "files": files})
    except (DiskFullError, OSError) as problem:
        _remove(folder)
        if not is_disk_full(problem):
            raise
        remedy = "the previous checkpoint is intact; make room, then continue from it with 'gansmith resume'"
        if not list_checkpoints(folder.parent):
            remedy = f"nothing is saved yet: make room, remove {folder.parent.parent} and start the run again"
        raise DiskFullError(
            "disk.full",
            no_room_to(f"write the checkpoint {folder}", folder.parent, problem, f"{needed:,} bytes are needed, ")
            + f"\n  {remedy}",
        ) from problem
    sync_folder(folder.parent)
    return folder


def load_checkpoint(folder: Path) -> Checkpoint:
    """Return a checkpoint; CheckpointError if it is incomplete or its files do not match its manifest."""
    try:
        manifest = Manifest.model_validate(read_json(folder / MANIFEST))
        if manifest.format > FORMAT:
            raise CheckpointError(
                "checkpoint.newer_format",
                f"{folder} has format {manifest.format}; this version of gansmith reads formats up to {FORMAT}"
                "\n  update gansmith: a newer version wrote this run",
            )
        for name in (TENSORS, VALUES):
            if not _is_unaltered(folder / name, manifest.files[name].sha256):
                raise CheckpointError(
                    "checkpoint.altered",
                    f"{folder / name} was altered or cut off: its SHA-256 differs from the manifest",
                )
        values = _VALUES.validate_python(read_json(folder / VALUES))
        return Checkpoint(folder, load_tensors(folder / TENSORS), cast(dict[str, Any], values))
    except FileNotFoundError as problem:
        raise CheckpointError(
            "checkpoint.incomplete", f"{folder} is not a complete checkpoint: {Path(problem.filename).name} is missing"
        ) from None
    except CheckpointError:
        raise
    except ValidationError as problem:
        raise CheckpointError("checkpoint.unreadable", f"{folder} cannot be read: {first_fault(problem)}") from problem
    except (OSError, SafetensorError, ValueError, KeyError, TypeError) as problem:
        raise CheckpointError(
            "checkpoint.unreadable", f"{folder} cannot be read: {type(problem).__name__}: {reason_of(problem)}"
        ) from problem


def _is_unaltered(path: Path, sha256: str) -> bool:
    """Compare a file with its sum; the length of a tensors file is compared with its header first."""
    if path.name == TENSORS:
        try:
            refuse_damaged_tensors(path)
        except (ValueError, KeyError, TypeError, AttributeError):
            return False
    return sha256_of(path) == sha256


def is_checkpoint(folder: Path) -> bool:
    """Say whether a folder is a completely written checkpoint."""
    return (folder / MANIFEST).is_file()


def is_planned(folder: Path) -> bool:
    """Say whether a checkpoint was written on schedule, not because of a signal; False for an incomplete one."""
    with suppress(OSError, ValueError, KeyError, TypeError):
        return bool(read_json(folder / VALUES)["planned"])
    return False


def list_checkpoints(parent: Path) -> list[Path]:
    """Return the checkpoint folders, newest first, complete or not; other folders are left alone."""
    return sorted(
        (path for path in parent.glob("[0-9]*") if NAME.fullmatch(path.name) and _is_ours(path)), reverse=True
    )


def _is_ours(folder: Path) -> bool:
    """Say whether a folder is a checkpoint, complete or not: it has a file of one, or is empty."""
    with suppress(OSError):
        names = os.listdir(folder)
        return not names or any(name in FILES or TEMPORARY.fullmatch(name) for name in names)
    return False


def load_latest(parent: Path, *, accept: Callable[[Checkpoint], bool] = lambda _: True) -> tuple[Checkpoint, list[str]]:
    """Return the newest complete checkpoint that ``accept`` admits, and the reasons why newer ones were skipped.

    Raises CheckpointError if there is none.
    """
    reasons: list[str] = []
    for folder in list_checkpoints(parent):
        try:
            checkpoint = load_checkpoint(folder)
        except CheckpointError as problem:
            reasons.append(str(problem))
            continue
        if accept(checkpoint):
            return checkpoint, reasons
    nothing = "the folder is empty"
    if not (parent.parent / "model").exists():
        nothing += f": the run has saved nothing yet; remove {parent.parent} and start it again"
    raise CheckpointError(
        "checkpoint.none_whole",
        "\n  ".join([f"no complete checkpoint in {parent}", *(reasons or [nothing])][:3]),
    )


def load_newest(parent: Path) -> Checkpoint:
    """Return the newest complete checkpoint; a GansmithWarning says why a newer one was skipped.

    Raises CheckpointError if there is none.
    """
    checkpoint, reasons = load_latest(parent)
    if reasons:
        warnings.warn(GansmithWarning(f"{reasons[0]}\n  used instead: {checkpoint.folder}"), stacklevel=2)
    return checkpoint


def prune_checkpoints(parent: Path, keep: set[Path]) -> None:
    """Remove all checkpoints except ``keep``; a user's own files in their folders stay."""
    for folder in list_checkpoints(parent):
        if folder not in keep:
            _remove(folder)


def _remove(folder: Path) -> None:
    """Remove the files of a checkpoint, and its folder if nothing else is in it.

    The manifest goes first: half a checkpoint must not look complete.
    """
    for path in (folder / MANIFEST, folder / TENSORS, folder / VALUES, *folder.glob(".*.tmp")):
        if path.name in FILES or TEMPORARY.fullmatch(path.name):
            with suppress(OSError):
                path.unlink()
    with suppress(OSError):  # it does not exist, or has a user's files
        folder.rmdir()


def first_fault(problem: ValidationError) -> str:
    """Return in words what is wrong with a file that does not have the fields it should have."""
    first = problem.errors(include_url=False)[0]
    place = ".".join(map(str, first["loc"]))
    if not place:
        return "it holds no JSON object"
    return (
        f"it has no '{place}'"
        if first["type"] == "missing"
        else f"{place}: {first['msg'].removeprefix('Value error, ')}"
    )


def weights_of(tensors: dict[str, Tensor]) -> dict[str, dict[str, Tensor]]:
    """Return a checkpoint's tensors by network: averaged weights under its name, their raw weights as NAME-raw."""
    out: dict[str, dict[str, Tensor]] = {}
    averaged = {name.split("/")[1].split(".")[0] for name in tensors if name.startswith("averages/")}
    for full, tensor in tensors.items():
        family, _, rest = full.partition("/")
        if family in ("networks", "averages"):
            name, _, key = rest.partition(".")
            raw = family == "networks" and name in averaged
            out.setdefault(name + ("-raw" if raw else ""), {})[key] = tensor
    return out
