"""The record of a run (run.json), and what has changed since it was written."""

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import Field

from gansmith.core.errors import counted, some_of
from gansmith.core.events import VerdictName
from gansmith.core.plain_files import sha256_of
from gansmith.core.registry import FrozenModel, NotNegative, Positive, Share
from gansmith.core.runtime import Runtime, numerics
from gansmith.core.version import __version__
from gansmith.data.base import DataSpec, Source
from gansmith.recipes.load import differences, run_recipe_of
from gansmith.recipes.recipe import Recipe
from gansmith.runs.checkpoint import Checkpoint
from gansmith.runs.length import RunLength
from gansmith.runs.log import LogEvent
from gansmith.runs.options import RunOptions

ALLOWED = ("processes", "threads")  # numerics that may change with the number of processes
SHOWN = 4  # names in a sentence
RECORD_FORMAT = 6  # 1 had other names: recipes/old_files.py maps them; 2 had no ended_by, 3 launch, 4 store, 5 threads


class DataRecord(FrozenModel):
    """The data of a run: source, split and contents."""

    source: str  # absolute, so that it is the same from any folder
    root: str | None = None  # folder of named data sets; None: the user's
    holdout: Share  # share of the images that the run does not train on
    spec: DataSpec


class Numerics(FrozenModel):
    """Everything about the machine that decides the last bits of a run."""

    torch: str
    threads: Positive
    cpu: str  # instruction set
    device: str
    precision: str
    compiled: bool = False
    processes: Positive = 1

    @classmethod
    def of(cls, runtime: Runtime) -> "Numerics":
        """Return the numerics of this process."""
        return cls(
            **numerics(),
            device=runtime.device.type,
            precision=runtime.precision,
            compiled=runtime.compiled,
            processes=runtime.world_size,
        )


class PluginFile(FrozenModel):
    """A plugin that a run was started with."""

    file: str
    sha256: str


class SnapshotProtocol(FrozenModel):
    """Everything that the numbers of a snapshot depend on, apart from the generator."""

    features: str  # name of the extractor
    features_sha256: str
    num_fake: Positive
    num_real: Positive
    reference: str
    weights: str


class MonitorRecord(FrozenModel):
    """How a run is monitored: decided once, so that a resumed run takes the same snapshots."""

    every: NotNegative  # iterations between snapshots; 0: none
    protocol: SnapshotProtocol | None = None  # None: no snapshots


class Change(FrozenModel):
    """Changes that the user accepted at a resume."""

    iteration: NotNegative
    kimg: float
    changes: tuple[str, ...]

    def log_row(self) -> LogEvent:
        """Return the row of log.jsonl that reports the changes."""
        return LogEvent(event="changed", iteration=self.iteration, kimg=self.kimg, message="; ".join(self.changes))


class TakenLayers(FrozenModel):
    """The layers of a network that a run took from the model of --init-from."""

    taken: NotNegative
    of: Positive  # layers of the network
    new: tuple[str, ...] = ()  # the others, each with the shapes of its weights
    classes: tuple[str, ...] = ()  # classes whose entries were taken, by name

    @property
    def text(self) -> str:
        """Return this in words, with at most four new layers."""
        out = f"{self.taken} of {counted(self.of, 'layer')} taken"
        if self.classes:
            out += f", with {'class' if len(self.classes) == 1 else 'classes'} {some_of(self.classes, SHOWN)}"
        return out + (f"; new: {some_of(self.new, SHOWN)}" if self.new else "")


class RunRecord(FrozenModel):
    """The contents of run.json: everything that a resume needs besides the recipe and a checkpoint."""

    format: int = Field(RECORD_FORMAT, le=RECORD_FORMAT)
    gansmith: str  # version that started the run
    created: str  # UTC, ISO 8601
    data: DataRecord
    seed: int
    length: RunLength
    numerics: Numerics
    plugins: tuple[PluginFile, ...] = ()
    init_from: str | None = None  # a model of the Hub with its commit: hf:NAME/REPO@COMMIT
    init_layers: dict[str, TakenLayers] = Field(default_factory=dict)  # taken from it, by network
    loggers: tuple[dict[str, Any], ...] = ()  # where a resume sends the run, too
    monitor: MonitorRecord | None = None  # None: not decided yet
    changes: tuple[Change, ...] = ()
    save_every_minutes: float | None = None
    store: str | None = None  # address in object storage that gets a copy at each checkpoint
    ended_by: VerdictName | None = None  # the verdict that ended the run before its length
    launch: str | None = None  # the start by torchrun that made the run, and a digest of its options

    @property
    def plugin_files(self) -> tuple[Path, ...]:
        """Return the files of the plugins."""
        return tuple(Path(plugin.file) for plugin in self.plugins)


def make_run_record(
    options: RunOptions, source: Source, spec: DataSpec, length: RunLength, runtime: Runtime
) -> RunRecord:
    """Return the record of a new run."""
    return RunRecord(
        gansmith=__version__,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        data=DataRecord(
            source=source.location,
            root=os.path.realpath(options.data_root) if options.data_root else None,
            holdout=options.holdout,
            spec=spec,
        ),
        seed=options.seed,
        length=length,
        numerics=Numerics.of(runtime),
        plugins=tuple(PluginFile(file=os.path.realpath(p), sha256=_digest(Path(p))) for p in options.plugins),
        init_from=str(options.init_from) if options.init_from else None,
        loggers=options.loggers,
        save_every_minutes=options.save_every_minutes,
        store=options.store,
        launch=options.launch,
    )


def changes_since(
    record: RunRecord, checkpoint: Checkpoint, recipe: Recipe, spec: DataSpec, runtime: Runtime
) -> list[str]:
    """Return in words every difference from the run so far that decides its numbers."""
    before = run_recipe_of(checkpoint.values["recipe"], f"recipe of {checkpoint.folder}")
    changes = [f"recipe {text}" for text in differences(before, recipe)]
    changes += [f"run.json {text}" for text in edits(record, checkpoint)]
    known = record.data.spec
    if (known.fingerprint, known.pixels_sha256) != (spec.fingerprint, spec.pixels_sha256):
        had, has = (each.count + each.held_out for each in (known, spec))
        number = "" if had == has else f", {has:,} instead of {had:,}"
        changes.append(f"data set '{record.data.source}': its images have changed{number} ({known.fingerprint[:12]})")
    recorded = record.numerics.model_dump()
    recorded["threads"] = threads_at(record, checkpoint)
    more_or_fewer = record.numerics.processes != runtime.world_size
    for name, value in Numerics.of(runtime).model_dump().items():
        if recorded[name] != value and not (more_or_fewer and name in ALLOWED):
            changes.append(f"{name}: {recorded[name]} -> {value}")
    for plugin in record.plugins:
        if _digest(Path(plugin.file)) != plugin.sha256:
            changes.append(f"plugin {plugin.file} was edited")
    return changes


def threads_at(record: RunRecord, checkpoint: Checkpoint) -> int:
    """Return the threads that a run used from a checkpoint on: a time limit may have changed their number."""
    length: RunLength | None = checkpoint.values.get("length")
    return (length and length.threads) or record.numerics.threads


def edits(record: RunRecord, checkpoint: Checkpoint) -> list[str]:
    """Return in words what decides the numbers of a run and was edited in run.json since a checkpoint was written.

    What gansmith itself writes there between two checkpoints is no edit: an accepted change, a revised length.
    """
    if "record" not in checkpoint.values:  # of an older version
        return []
    before, now = flattened(checkpoint.values["record"]), flattened(record.model_dump(mode="json"))
    names = ["seed", "created", "init_from", "data.holdout"]
    names += [name for name in {**before, **now} if name.startswith("monitor.") and "monitor" not in before]
    accepted = checkpoint.values["record"].get("changes", [])
    if isinstance(accepted, list) and len(record.changes) == len(accepted):
        names += [name for name in {**before, **now} if name.startswith("data.spec.")]
        if record.length.limit is None and record.ended_by is None:
            names += [name for name in {**before, **now} if name.startswith("length.") and name != "length.source"]
    changed = [name for name in names if before.get(name) != now.get(name)]
    return [f"{name}: {before.get(name)} -> {now.get(name)}" for name in changed]


def flattened(values: Any, above: str = "") -> dict[str, Any]:
    """Return the values of nested mappings by dotted path."""
    if not isinstance(values, dict):
        return {above: values}
    out = dict[str, Any]()
    for name, value in values.items():
        out |= flattened(value, f"{above}.{name}" if above else str(name))
    return out


def change_of_processes(record: RunRecord, runtime: Runtime) -> list[str]:
    """Return in words that the run goes on with another number of processes, which is allowed: [] or one text.

    Data and noise are those of the global batch, whatever the number; sums are rounded differently.
    """
    before = record.numerics.processes
    return [f"processes: {before} -> {runtime.world_size}"] if before != runtime.world_size else []


def _digest(path: Path) -> str:
    return sha256_of(path) if path.is_file() else "missing"
