"""Start, resume and end runs."""

import os
import shlex
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from gansmith.core import clock
from gansmith.core.atomic_files import is_disk_full, no_room_to
from gansmith.core.cpus import available_cpus
from gansmith.core.errors import (
    CheckpointError,
    DataError,
    DiskFullError,
    GansmithError,
    RecipeError,
    TrainingError,
    reason_of,
)
from gansmith.core.events import Event, MessageEvent, OnEvent, duration, silent
from gansmith.core.launched import repeated_options
from gansmith.core.processes import batch_norms
from gansmith.core.registry import plugin_fault, plugin_parts_in
from gansmith.core.runtime import Runtime, set_threads
from gansmith.core.signals import Stopped, StopRequest, interrupting
from gansmith.data.base import ImageData, Source
from gansmith.inference.model import Model
from gansmith.recipes.load import read_run_recipe, run_recipe_of
from gansmith.recipes.recipe import Recipe
from gansmith.runs.checkpoint import Checkpoint, list_checkpoints
from gansmith.runs.folder import RECORD, RunFolder, remove_leftovers
from gansmith.runs.length import Budget
from gansmith.runs.log import append_row, read_rows
from gansmith.runs.options import RunOptions
from gansmith.runs.record import Change, change_of_processes, changes_since, make_run_record, threads_at
from gansmith.training.first_weights import take_weights
from gansmith.training.memory import naming_what_fits, refuse_too_large
from gansmith.training.prepare import Prepared, find_data, open_for, precise_enough
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
    write_results: Callable[[RunFolder, OnEvent, Callable[[str], bool]], None]  # ``write_results`` of api.py
    store: Callable[[RunFolder], None] = silent  # called in the main process after each checkpoint, and at the end


def command_for(run: Path) -> str:
    """Return the command that continues a run as it is being trained."""
    return f"gansmith resume {shlex.quote(str(run))}{repeated_options()}"


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
    runtime = precise_enough(runtime, options.precision, data.spec)
    with _explaining(recipe, data, runtime):
        state = RunState.fresh(recipe, data.spec, options.seed, runtime)
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
            run.write_recipe(recipe, prepared.comments)
            run.copy_of_quarantine(list(data.summary.quarantine))
            record = make_run_record(options, prepared.source, data.spec, length, runtime)
            run.hold_record(record.model_copy(update={"init_layers": taken}))
        on_event(MessageEvent("note", f"run folder: {folder}"))
        on_event(
            MessageEvent(
                "note", f"{length.schedule_kimg:,.1f} kimg in {length.iterations:,} iterations ({length.source})"
            )
        )
        results = results_sec(recipe, data.spec)
        timekeeper = Timekeeper(length.limit, options.began, results, most_threads=_most_threads(runtime))
        return _train(Trainer(state, data, runtime, run, length, timekeeper), stop, around)


def resume_run(
    folder: Path,
    runtime: Runtime,
    around: Surroundings,
    *,
    kimg: float | None = None,
    accept_changes: bool = False,
    loggers: tuple[dict[str, Any], ...] = (),
    save_every_minutes: float | None = None,
    store: str | None = None,
    began: float | None = None,
) -> int:
    """Continue a run from its newest complete checkpoint; return the same number as ``start_run``.

    ``kimg`` is a new length, which ends a time limit. A time limit counts the seconds of the earlier commands up to the
    checkpoint, and of this one since ``began``. Raises CheckpointError if recipe, data, machine or a plugin changed and
    ``accept_changes`` is false. ``loggers``, ``save_every_minutes`` and ``store`` are written to run.json.
    """
    Budget(kimg=kimg)
    began = clock.monotonic() if began is None else began
    run = RunFolder.open(folder)
    if runtime.is_main:
        run.lock()
        remove_leftovers(run)
    try:
        trainer = _resumed(run, runtime, around.on_event, kimg, accept_changes, began)
        new: dict[str, Any] = {"loggers": loggers, "save_every_minutes": save_every_minutes, "store": store}
        if runtime.is_main and any(getattr(run.record, name) != value for name, value in new.items()):
            run.write_record(run.record.model_copy(update=new))
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
    if runtime.is_main:
        run.hold_record(record)  # of an older version, or of a checkpoint where the file cannot be read
    recipe = _recipe_of(run, checkpoint, runtime, on_event)
    runtime.slice_of(recipe.batch_size)  # refuses numbers of processes, before anything is written
    options = _options_of(run)
    source = _find_again(run, options, runtime)
    _restore_threads(threads_at(record, checkpoint))
    recipe, data = open_for(recipe, source, options, runtime, on_event)
    changes = changes_since(record, checkpoint, recipe, data.spec, runtime)
    sums = run.log_sums(checkpoint.values["log_sizes"])
    for name, known in checkpoint.values.get("log_sums", {}).items():
        if sums.get(name) != known:
            changes.append(f"{name}: its rows up to the checkpoint were changed")
    if changes and not accept_changes:
        more = f"\n  and {len(changes) - 1} more" if len(changes) > 1 else ""
        raise CheckpointError(
            "run.changed",
            f"'{run.path}' cannot continue exactly: {changes[0]}{more}"
            "\n  undo the change, or pass --accept-changes to continue with it (the log records it)",
        )
    changes += change_of_processes(record, runtime)
    refuse_too_large(recipe, data.spec, runtime)
    with _explaining(recipe, data, runtime):
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
        most_threads=_most_threads(runtime),
    )
    if length.limit is not None and state.iteration < length.iterations:
        left = timekeeper.left()
        over = "; the run ends after one step, 'gansmith resume --kimg' gives it a new length" if left <= 0 else ""
        on_event(MessageEvent("note", f"time left: {duration(left)} ({length.limit}){over}"))
        if late := timekeeper.late_sec():
            text = (
                f"{length.limit} cannot be kept, because this start took so long; expect the end {duration(late)} late"
            )
            on_event(MessageEvent("warning", text))
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


def _recipe_of(run: RunFolder, checkpoint: Checkpoint, runtime: Runtime, on_event: OnEvent) -> Recipe:
    """Return the recipe of a run; that of the checkpoint, with a warning, if recipe.yaml cannot be read."""
    try:
        return read_run_recipe(run.recipe)
    except RecipeError as problem:
        if problem.code not in ("recipe.unreadable", "recipe.not_a_mapping", "recipe.not_yaml"):
            raise
        recipe = run_recipe_of(checkpoint.values["recipe"], f"recipe of {checkpoint.folder}")
        text = str(problem).partition("\n")[0]
        on_event(MessageEvent("warning", f"{text}\n  used, and written again: the recipe of {checkpoint.folder}"))
        if runtime.is_main:
            run.write_recipe(recipe)
        return recipe


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
    trainer.on_saved = lambda: _store_or_warn(run, around)
    _note_time(trainer, "started")
    first = state.iteration
    try:
        last = f"the last checkpoint is kept: {command_for(run.path)}"
        with _explaining(state.recipe, trainer.data, trainer.runtime, last):
            finished = trainer.run_to_end()
        stop.end()
        _note_time(trainer, "finished" if finished else "paused")
        if loggers is not None:
            loggers.follow(state.iteration)
        if finished and main:
            with interrupting():
                trained = state.iteration > first
                has_time_for = trainer.timekeeper.has_time_for if trained else lambda _: True
                around.write_results(run, around.on_event, has_time_for)
                _store_finished(run, around)
        outcome = "finished" if finished else "paused"
    except Stopped as stopped:
        todo = f"'{command_for(run.path)}' writes the rest"
        around.on_event(MessageEvent("stopped", f"{stopped.name}: trained to the end, but results are missing; {todo}"))
        return stopped.number
    except OSError as problem:
        if not is_disk_full(problem):
            raise _cannot_write(trainer, problem) from problem
        raise DiskFullError(
            "disk.full",
            no_room_to(f"write {problem.filename or run.path}", run.path, problem)
            + f"\n  the last checkpoint is intact; make room, then: {command_for(run.path)}",
        ) from problem
    finally:
        set_threads(trainer.runtime.threads)
        if loggers is not None:
            loggers.close(outcome)
        if main:
            run.unlock()
    if finished:
        return 0
    number = stop.signal_number or signal.SIGTERM  # a signal may have reached another process alone
    if main:
        saved = int(list_checkpoints(run.checkpoints)[0].name) * state.images_per_iteration / 1000
        todo = f"continue with: {command_for(run.path)}"
        around.on_event(MessageEvent("stopped", f"{signal.Signals(number).name}: saved at {saved:,.1f} kimg; {todo}"))
    return int(number)


def _store_or_warn(run: RunFolder, around: Surroundings) -> None:
    """Copy the run to its storage; training goes on if that refuses."""
    try:
        around.store(run)
    except GansmithError as problem:
        todo = f"training goes on in '{run.path}', and the next checkpoint tries again"
        around.on_event(MessageEvent("warning", f"{problem}\n  {todo}"))


def _store_finished(run: RunFolder, around: Surroundings) -> None:
    """Copy a finished run to its storage; GansmithError that says how to send it again."""
    try:
        around.store(run)
    except GansmithError as problem:
        done = f"the run is finished and whole in '{run.path}'; send it again: {command_for(run.path)}"
        raise GansmithError(problem.code, f"{problem}\n  {done}") from problem


def _cannot_write(trainer: Trainer, problem: OSError) -> TrainingError:
    """Return the error for a run that cannot be written to; if its folder is gone, its state is kept elsewhere."""
    run, kimg = trainer.run, trainer.state.kimg
    if run.path.is_dir():
        return TrainingError(
            "run.cannot_write",
            f"'{problem.filename or run.path}' cannot be written at {kimg:,.1f} kimg: {problem.strerror or problem}"
            f"\n  the last checkpoint is intact; remove the cause, then: {command_for(run.path)}",
        )
    kept = trainer.rescue() if trainer.runtime.world_size == 1 else None
    went_on = f"its state is in '{kept}': {command_for(kept)}" if kept else "its state is lost"
    return TrainingError(
        "run.folder_gone",
        f"run folder '{run.path}' was moved or removed while it was trained, at {kimg:,.1f} kimg"
        f"\n  {went_on}\n  if the folder was moved, resume it there: it goes on from its last checkpoint",
    )


@contextmanager
def _explaining(recipe: Recipe, data: ImageData, runtime: Runtime, last: str = "") -> Iterator[None]:
    """Turn an error of memory or of a plugin inside into TrainingError; ``last`` ends its message."""
    more = f"\n  {last}" if last else ""
    try:
        with naming_what_fits(recipe, data, runtime, last):
            yield
    except GansmithError as problem:
        if problem.code in ("plugin.part_failed", "plugin.wrong_result") and last:
            raise TrainingError(problem.code, f"{problem}{more}") from problem
        raise
    except (Exception, SystemExit) as problem:
        parts = plugin_parts_in(recipe)
        fault = plugin_fault(problem)
        if not fault and (not parts or isinstance(problem, OSError | SystemExit)):
            raise
        fault = fault or f"training fails with {'; '.join(parts)}: {type(problem).__name__}: {reason_of(problem)}"
        raise TrainingError("plugin.failed", f"{fault}\n  to see where, pass --debug{more}") from problem


def _note_time(trainer: Trainer, event: str) -> None:
    """Append the time of an event to timing.jsonl."""
    if trainer.runtime.is_main:
        row = {"event": event, "iteration": trainer.state.iteration, "kimg": round(trainer.state.kimg, 6)}
        append_row(trainer.run.timing, {**row, "utc": datetime.now(UTC).isoformat(timespec="seconds")})


def _most_threads(runtime: Runtime) -> int:
    """Return up to how many threads a run with a time limit may use; 0 if their number is not for it to choose."""
    is_free = runtime.device.type == "cpu" and runtime.world_size == 1 and "OMP_NUM_THREADS" not in os.environ
    return runtime.threads if is_free else 0


def _restore_threads(recorded: int) -> None:
    """Use as many threads as before, if this machine grants them: the order of sums depends on it.

    OMP_NUM_THREADS takes precedence. More threads than CPUs run at a tenth of the speed of one.
    """
    if "OMP_NUM_THREADS" not in os.environ and recorded <= available_cpus():
        set_threads(recorded)
