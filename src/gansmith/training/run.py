"""Start, resume and end runs."""

import os
import shlex
import shutil
import signal
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from gansmith.core import clock
from gansmith.core.atomic_files import is_disk_full
from gansmith.core.cpus import available_cpus
from gansmith.core.errors import CheckpointError, DataError, DiskFullError
from gansmith.core.events import Event, MessageEvent, OnEvent, duration
from gansmith.core.processes import batch_norms
from gansmith.core.runtime import Runtime, set_threads
from gansmith.core.signals import StopRequest
from gansmith.data.base import Source
from gansmith.inference.model import Model
from gansmith.recipes.load import read_run_recipe
from gansmith.runs.checkpoint import list_checkpoints
from gansmith.runs.folder import RECORD, RunFolder, remove_leftovers
from gansmith.runs.length import Budget
from gansmith.runs.log import append_row, read_rows
from gansmith.runs.options import RunOptions
from gansmith.runs.record import Change, Numerics, change_of_processes, changes_since, make_run_record
from gansmith.training.first_weights import take_weights
from gansmith.training.prepare import Prepared, find_data, open_for
from gansmith.training.state import RunState
from gansmith.training.time_limit import Timekeeper, results_sec
from gansmith.training.trainer import Trainer, latest_checkpoint, length_at


class Follower(Protocol):
    """Sends a run elsewhere while it trains, for example to TensorBoard; the files of the run are its source."""

    def follow(self, iteration: int) -> None:
        """Take note that the files of all iterations up to this one are complete; a lower one means a rollback."""

    def close(self, outcome: str) -> None:
        """Send the rest, for a limited time; ``outcome`` is finished, paused or failed."""


@dataclass(frozen=True)
class Surroundings:
    """Parts of a run from packages above training: event listener, loggers, and writer of results."""

    on_event: OnEvent
    open_loggers: Callable[[RunFolder], Follower | None]
    write_results: Callable[[RunFolder, OnEvent], None]  # called for a finished run, in the main process


def start_run(
    folder: Path,
    prepared: Prepared,
    options: RunOptions,
    runtime: Runtime,
    around: Surroundings,
    first: Model | None = None,
) -> int:
    """Make a run folder and train; return 0 if the run finished, else the number of the signal that paused it.

    ``first`` is the model ``options.init_from``. Raises ModelError if none of its layers fits the recipe, GansmithError
    if the folder cannot be made.
    """
    recipe, data, length, on_event = prepared.recipe, prepared.data, prepared.length, around.on_event
    if runtime.is_slowed_by_precision:
        on_event(
            MessageEvent(
                "warning", "this CPU has no bf16 instructions: training is many times slower than with --precision fp32"
            )
        )
    elif runtime.precision == "bf16":
        on_event(MessageEvent("note", "forward passes run in bf16, which this device supports"))
    if runtime.compiled:
        on_event(MessageEvent("note", "networks are compiled, so the first steps take longer"))
    state = RunState.fresh(recipe, data.spec, options.seed, runtime)
    if runtime.world_size > 1 and batch_norms(state.method.networks) and not recipe.sync_batchnorm:
        text = (
            "BatchNorm takes the statistics of each process's part of the batch, so weights differ from one process's"
        )
        on_event(MessageEvent("note", f"{text}; sync_batchnorm=true takes those of the whole batch"))
    taken = take_weights(state, data.spec, first, str(options.init_from), on_event) if first is not None else {}
    with StopRequest(runtime.is_main).listening() as stop:  # from the first file to the checkpoint that resume needs
        run = RunFolder.create(folder) if runtime.is_main else RunFolder(folder)
        runtime.barrier()
        if runtime.is_main:
            run.lock()
            run.recipe.write_text(recipe.to_yaml(prepared.comments))
            run.copy_of_quarantine(list(data.summary.quarantine))
            record = make_run_record(options, prepared.source, data.spec, length, runtime)
            run.write_record(record.model_copy(update={"init_layers": taken}))
        on_event(MessageEvent("note", f"run folder: {folder}"))
        on_event(
            MessageEvent(
                "note", f"{length.schedule_kimg:,.1f} kimg in {length.iterations:,} iterations ({length.source})"
            )
        )
        timekeeper = Timekeeper(length.limit, options.began, results_sec(recipe, data.spec))
        return _train(Trainer(state, data, runtime, run, length, timekeeper), stop, around)


def resume_run(
    folder: Path,
    runtime: Runtime,
    around: Surroundings,
    *,
    kimg: float | None = None,
    accept_changes: bool = False,
    loggers: tuple[dict[str, Any], ...] = (),
    began: float | None = None,
) -> int:
    """Continue a run from its newest complete checkpoint; return the same number as ``start_run``.

    ``kimg`` is a new length, which ends a time limit. A time limit counts the seconds of the earlier commands up to the
    checkpoint, and of this one since ``began``. Raises CheckpointError if recipe, data, machine or a plugin changed and
    ``accept_changes`` is false. ``loggers`` are written to run.json.
    """
    Budget(kimg=kimg)
    began = clock.monotonic() if began is None else began
    run = RunFolder.open(folder)
    if runtime.is_main:
        run.lock()
        remove_leftovers(run)
    try:
        trainer = _resumed(run, runtime, around.on_event, kimg, accept_changes, began)
        if runtime.is_main and run.record.loggers != loggers:
            run.write_record(run.record.model_copy(update={"loggers": loggers}))
    except BaseException:
        run.unlock()
        raise
    with StopRequest(runtime.is_main).listening() as stop:
        return _train(trainer, stop, around)


def _resumed(
    run: RunFolder, runtime: Runtime, on_event: OnEvent, kimg: float | None, accept_changes: bool, began: float
) -> Trainer:
    """Return a trainer at the newest complete checkpoint; write accepted changes to the log and run.json."""
    record = run.record
    checkpoint, passed_over = latest_checkpoint(run)
    for reason in passed_over:
        on_event(MessageEvent("warning", f"checkpoint skipped: {reason}"))
    recipe = read_run_recipe(run.recipe)
    options = _options_of(run)
    source = _find_again(run, options, runtime)
    _restore_threads(record.numerics)
    recipe, data = open_for(recipe, source, options, runtime, on_event)
    changes = changes_since(record, checkpoint, recipe, data.spec, runtime)
    if changes and not accept_changes:
        more = f"\n  and {len(changes) - 1} more" if len(changes) > 1 else ""
        raise CheckpointError(
            "run.changed",
            f"'{run.path}' cannot continue exactly: {changes[0]}{more}"
            "\n  undo the change, or pass --accept-changes to continue with it (the log records it)",
        )
    changes += change_of_processes(record, runtime)
    state = RunState.fresh(recipe, data.spec, record.seed, runtime)
    state.restore(checkpoint.tensors, checkpoint.values, runtime)
    length = length_at(checkpoint, record.length)
    runtime.barrier()
    if runtime.is_main:
        run.rename_old_files()
        run.truncate(checkpoint.values["log_sizes"])
        run.drop_samples_after(state.iteration)
        for change in record.changes:  # if the run was killed before the next checkpoint, the log must not lose them
            if change.iteration >= state.iteration:
                append_row(run.log, change.log_row())
    if kimg is not None:
        if kimg <= state.kimg:
            raise CheckpointError(
                "run.length_already_seen",
                f"--kimg {kimg:g} is not above the {state.kimg:g} kimg that the run has already trained"
                "\n  pass the new total length of the run",
            )
        changes.append(f"schedule: {length.schedule_kimg:g} kimg -> {kimg:g} kimg")
        length = length.extended(kimg, state.images_per_iteration)
    if changes and runtime.is_main:
        change = Change(iteration=state.iteration, kimg=round(state.kimg, 6), changes=tuple(changes))
        append_row(run.log, change.log_row())
        new = make_run_record(options, source, data.spec, length, runtime)
        now = {name: getattr(new, name) for name in ("data", "length", "numerics", "plugins")}
        ended_by = None if kimg is not None else record.ended_by
        changed = {**now, "changes": (*record.changes, change), "ended_by": ended_by}
        run.write_record(record.model_copy(update=changed))
    for text in changes:
        on_event(MessageEvent("warning", f"changed: {text}"))
    done = (
        "; the run is finished, so only its results are written again" if state.iteration >= length.iterations else ""
    )
    on_event(MessageEvent("note", f"resumed at {state.kimg:,.1f} of {length.schedule_kimg:,.1f} kimg{done}"))
    timekeeper = Timekeeper(
        length.limit,
        began,
        results_sec(recipe, data.spec),
        used_sec=checkpoint.values.get("used_sec", 0.0),
        snapshot_sec=sum(row.get("snapshot_sec", 0.0) for row in read_rows(run.timing)),
    )
    if length.limit is not None and state.iteration < length.iterations:
        left = timekeeper.left()
        over = "; the run ends after one step, 'gansmith resume --kimg' gives it a new length" if left <= 0 else ""
        on_event(MessageEvent("note", f"time left: {duration(left)} ({length.limit}){over}"))
    return Trainer(state, data, runtime, run, length, timekeeper)


def _options_of(run: RunFolder) -> RunOptions:
    """Return the options that a run was started with."""
    record, known = run.record, run.record.data
    return RunOptions(
        known.source,
        seed=record.seed,
        holdout=known.holdout,
        plugins=record.plugin_files,
        data_root=Path(known.root) if known.root else None,
    )


def _find_again(run: RunFolder, options: RunOptions, runtime: Runtime) -> Source:
    """Find the data of a run; CheckpointError if they are missing."""
    try:
        return find_data(options, runtime)
    except DataError as problem:
        if problem.code not in ("data.not_found", "data.not_a_folder"):
            raise
        raise CheckpointError(
            "run.data_moved",
            f"the data of '{run.path}' are missing: {str(problem).splitlines()[0]}"
            f"\n  put them back, or set data.source in {run.path / RECORD} to their new path",
        ) from problem


def _train(trainer: Trainer, stop: StopRequest, around: Surroundings) -> int:
    """Train until the last iteration or a signal, then write the results of a finished run."""
    run, state, main = trainer.run, trainer.state, trainer.runtime.is_main
    loggers, outcome = around.open_loggers(run) if main else None, "failed"

    def on_event(event: Event) -> None:
        if loggers is not None:  # progress is reported after everything else of an iteration
            loggers.follow(state.iteration if event.kind == "progress" else state.iteration - 1)
        if main:
            around.on_event(event)

    trainer.on_event, trainer.stop_requested = on_event, stop.requested
    _note_time(trainer, "started")
    try:
        finished = trainer.run_to_end()
        stop.end()
        _note_time(trainer, "finished" if finished else "paused")
        if loggers is not None:
            loggers.follow(state.iteration)
        if finished and main:
            around.write_results(run, around.on_event)
        outcome = "finished" if finished else "paused"
    except OSError as problem:
        if not is_disk_full(problem):
            raise
        free = shutil.disk_usage(run.path).free
        raise DiskFullError(
            "disk.full",
            f"the disk is too full to write {problem.filename or run.path}: {free:,} bytes are free"
            f"\n  the last checkpoint is intact; free some space, then: gansmith resume {run.path}",
        ) from problem
    finally:
        if loggers is not None:
            loggers.close(outcome)
        if main:
            run.unlock()
    if finished:
        return 0
    number = stop.signal_number or signal.SIGTERM  # a signal may have reached another process alone
    if main:
        saved = int(list_checkpoints(run.checkpoints)[0].name) * state.images_per_iteration / 1000
        todo = f"continue with: gansmith resume {shlex.quote(str(run.path))}"
        around.on_event(MessageEvent("stopped", f"{signal.Signals(number).name}: saved at {saved:,.1f} kimg; {todo}"))
    return int(number)


def _note_time(trainer: Trainer, event: str) -> None:
    """Append the time of an event to timing.jsonl."""
    if trainer.runtime.is_main:
        row = {"event": event, "iteration": trainer.state.iteration, "kimg": round(trainer.state.kimg, 6)}
        append_row(trainer.run.timing, {**row, "utc": datetime.now(UTC).isoformat(timespec="seconds")})


def _restore_threads(recorded: Numerics) -> None:
    """Use as many threads as before, if this machine grants them: the order of sums depends on it.

    OMP_NUM_THREADS takes precedence. More threads than CPUs run at a tenth of the speed of one.
    """
    if "OMP_NUM_THREADS" not in os.environ and recorded.threads <= available_cpus():
        set_threads(recorded.threads)
