"""The training loop from top to bottom: step, snapshot, row, preview, checkpoint, end."""

import json
import math
import os
import shlex
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, Literal, cast

from gansmith.core import clock
from gansmith.core.errors import CheckpointError, DiskFullError, GansmithError, TrainingError, counted, some_of
from gansmith.core.events import (
    MessageEvent,
    OnEvent,
    PreviewEvent,
    PreviewValues,
    Progress,
    ProgressEvent,
    RowEvent,
    Speed,
    silent,
)
from gansmith.core.randomness import derive_seed
from gansmith.core.runtime import Runtime, set_threads, threads
from gansmith.data.base import ImageData
from gansmith.data.batches import BatchStream
from gansmith.recipes import AUTO
from gansmith.runs.checkpoint import (
    Checkpoint,
    is_planned,
    list_checkpoints,
    load_latest,
    prune_checkpoints,
    save_checkpoint,
)
from gansmith.runs.folder import RunFolder
from gansmith.runs.length import RunLength
from gansmith.runs.log import REVISED, LogEvent, append_row, best_snapshot
from gansmith.runs.record import threads_at
from gansmith.training.clock import Clock
from gansmith.training.previews import PreviewWriter
from gansmith.training.state import RunState, copy_weights, update_ratios
from gansmith.training.step import train_step
from gansmith.training.supervisor import MAX_ROLLBACKS, Decision, Supervisor
from gansmith.training.time_limit import Timekeeper

BAD_STEPS_IN_A_ROW = 8  # after more skipped steps in a row the run rolls back
MAX_FAILED_SAVES = 3
MOST_NAMED = 3  # columns and weights that are not finite, in a message
MENTIONED = 0.1  # a smaller change of the length is in the log alone


@dataclass
class Trainer:
    """Trains one run: its state, its data, its folder and its length."""

    state: RunState
    data: ImageData
    runtime: Runtime
    run: RunFolder
    length: RunLength
    timekeeper: Timekeeper = field(default_factory=Timekeeper)
    on_event: OnEvent = silent
    stop_requested: Callable[[], bool] = lambda: False
    on_saved: Callable[[], None] = silent  # called in the main process after a checkpoint
    _failed_saves: int = 0
    _saved_at: float = field(default_factory=clock.monotonic)

    def __post_init__(self) -> None:
        self._previews = PreviewWriter(self.run, self.state.method, self.state.recipe, self.state.seed, self.data)
        self._clock = Clock(self.state.kimg)
        self._stream = self._make_stream()
        self._supervisor = Supervisor(self.run, self.state, self.data, self.timekeeper, self.runtime)
        self.timekeeper.restart(self.state.iteration)

    def run_to_end(self) -> bool:
        """Train until the last iteration or a request to stop; return whether the last iteration was reached."""
        state, runtime = self.state, self.runtime

        # A new run begins with previews, and with a checkpoint, so that it can be resumed from now on.
        if state.iteration == 0:
            if runtime.is_main:
                self._previews.write_real()
            self._write_previews()
            self._save(planned=True)

        while state.iteration < self.length.iterations:
            # One step. A log row compares the weights after it with those before it.
            length = self.length
            row_due = length.is_due(length.log_every, state.iteration + 1) or state.iteration + 1 == length.iterations
            before = copy_weights(state) if row_due else None
            moment = length.moment(state.iteration, state.kimg, stretches=state.recipe.name == AUTO)
            train_step(state, self._stream, runtime, moment)
            checkpoint_due = length.is_due(length.checkpoint_every, state.iteration)

            # Decisions of one process that all follow, in one exchange.
            new_length = self._new_length(is_checkpoint=checkpoint_due)
            flags = (self.stop_requested(), self._is_time_to_save(), new_length is not None)
            stop, is_time_to_save, is_revised = runtime.any_of(flags)

            # Length: a time limit revises it, at checkpoints and where the time is over. The checkpoint below has it.
            if is_revised:
                self._revise_length(new_length)
                checkpoint_due = True
            at_end = state.iteration >= self.length.iterations

            # Snapshot: only together with a checkpoint, so that the best one can be kept and returned to.
            decision = Decision()
            if (checkpoint_due or at_end) and self._is_finite():  # if not, the row or the checkpoint below rolls back
                decision = self._supervisor.after_step(length, self._speed(), self.on_event, is_last=at_end)
            if decision.action == "roll_back":
                self._roll_back_to_best(decision)
                continue
            if decision.action == "end":
                self._end_here(decision)
                at_end = True

            # Log row. It also counts skipped steps, too many of which roll back.
            row_due = row_due or at_end
            if row_due:
                not_finite = self._write_row({} if before is None else update_ratios(state, before))
                if not self._is_healthy(not_finite, is_last=at_end):
                    self._roll_back(not_finite)
                    continue

            # Previews of the fixed inputs.
            if length.is_due(length.preview_every, state.iteration) or at_end:
                self._write_previews()

            # Checkpoint: on schedule, and when a signal asks to stop. Weights that are not finite are never saved.
            if checkpoint_due or at_end or stop or is_time_to_save:
                if row_due or self._is_finite():
                    self._save(planned=checkpoint_due, stop=stop)
                elif checkpoint_due or at_end:
                    self._roll_back([])
                    continue
                elif stop:  # without the stop, the next row or checkpoint would roll back; so it will after a resume
                    reason = f"not finite at {state.kimg:.1f} kimg: not saved; the last checkpoint stays as it is"
                    self.on_event(MessageEvent("warning", reason))
            if stop:
                break

            # Progress, a few times a second.
            if self._clock.due():
                speed = Speed(kimg=state.kimg, **self._speed())
                self.on_event(ProgressEvent(self._progress(), speed))
                if others := self._clock.crowd(runtime):
                    self._say_crowded(others)

        return state.iteration >= self.length.iterations

    def _say_crowded(self, others: float) -> None:
        """Warn that the threads of this run wait for each other on a busy machine."""
        text = f"other processes use {others:.1f} of {clock.cores()} cores, so the {threads()} threads of this run wait"
        remedy = f"Ctrl-C, then OMP_NUM_THREADS=1 gansmith resume {shlex.quote(str(self.run.path))} --accept-changes"
        more = "one thread may be several times faster"
        self.on_event(MessageEvent("warning", f"{text} for each other; {more}\n  to go on with one: {remedy}"))

    def _is_time_to_save(self) -> bool:
        """Say in the main process whether --save-every-minutes asks for a checkpoint."""
        every = self.run.record.save_every_minutes if self.runtime.is_main else None
        return every is not None and clock.monotonic() - self._saved_at >= 60 * every

    def _make_stream(self) -> BatchStream:
        recipe, salt = self.state.recipe, self.state.salt
        seed = derive_seed("data", self.state.seed, salt)
        domains = max(1, len(recipe.method.domains))
        return BatchStream(self.data, recipe.batch_size, seed, self.runtime, mirror=recipe.data.mirror, domains=domains)

    def _speed(self) -> Speed:
        speed = self._clock.read(self.state.kimg, self.length.schedule_kimg, self.runtime)
        if self.length.limit is not None:
            speed["eta_sec"] = round(max(0.0, self.timekeeper.left()), 1)
        return speed

    def _new_length(self, *, is_checkpoint: bool) -> RunLength | None:
        """Return in the main process the length that the time limit needs; None where the present one holds."""
        state = self.state
        if self.length.limit is None or not self.runtime.is_main:
            return None
        is_set = state.recipe.monitor.snapshot_kimg is not None  # the user has set the interval
        every = None if is_set else self._supervisor.interval(self.length)
        images = state.images_per_iteration
        return self.timekeeper.revise(
            self.length, state.iteration, images, is_checkpoint=is_checkpoint, snapshot_every=every
        )

    def _revise_length(self, new: RunLength | None) -> None:
        """Take the main process's new length in all processes, and log it."""
        state = self.state
        told = self.runtime.broadcast_text(json.dumps(new and new.to_json()))
        before, self.length = self.length, RunLength.from_json(json.loads(told))
        message = f"{before.schedule_kimg:,.1f} -> {self.length.schedule_kimg:,.1f} kimg, {self.length.source}"
        if used := self._use_threads(self.length.threads):
            message = f"{message}; {used}"
        if self.runtime.is_main:
            row = LogEvent(event=REVISED, iteration=state.iteration, kimg=round(state.kimg, 6), message=message)
            append_row(self.run.log, {**row, "length": self.length.to_json()})
            self.run.write_record(self.run.record.model_copy(update={"length": self.length}))
        if used or abs(self.length.schedule_kimg / before.schedule_kimg - 1) > MENTIONED:
            self.on_event(MessageEvent("note", f"length: {message}"))

    def _use_threads(self, wanted: int | None) -> str:
        """Use so many threads, and say so; empty without a change. The order of sums depends on their number."""
        present = threads()
        if wanted is None or wanted == present or "OMP_NUM_THREADS" in os.environ:
            return ""
        set_threads(wanted)
        return f"{counted(wanted, 'thread')} instead of {present}, as other processes leave room"

    def _progress(self) -> Progress:
        return Progress("training", self.state.kimg, self.length.schedule_kimg)

    def _write_row(self, ratios: dict[str, float]) -> list[str]:
        """Write a row of the log, and return the columns that are not finite."""
        state = self.state
        means = {**state.meter.take(self.runtime), **ratios}
        at = {"iteration": state.iteration, "kimg": round(state.kimg, 6)}
        row: dict[str, Any] = {**at, "epoch": round(at["kimg"] * 1000 / len(self.data), 4)}
        row |= {name: value if math.isfinite(value) else None for name, value in means.items()}
        speed = self._speed()
        if self.runtime.is_main:
            append_row(self.run.log, row)
            append_row(self.run.timing, {**at, **speed})
        self.on_event(RowEvent({**row, **cast(dict[str, float], speed)}, self._progress()))
        return [name for name, value in means.items() if not math.isfinite(value)]

    def _write_previews(self) -> None:
        if self.runtime.is_main:
            with self.timekeeper.aside("preview"):
                self.run.make_folders()
                grid = self._previews.write(self.state)
            self.on_event(PreviewEvent(PreviewValues(iteration=self.state.iteration, grid=str(grid))))

    def _write_event(self, name: Literal["skipped", "rollback", "ended"], message: str) -> None:
        """Write an event into log.jsonl and report it as a warning."""
        state = self.state
        if self.runtime.is_main:
            kimg = round(state.kimg, 6)
            append_row(self.run.log, LogEvent(event=name, iteration=state.iteration, kimg=kimg, message=message))
        self.on_event(MessageEvent("warning", message))

    def _end_here(self, decision: Decision) -> None:
        """Make this iteration the last one; the schedules stay as they are."""
        self._write_event("ended", decision.message)
        self.length = self.length.ended_at(self.state.iteration, decision.message)
        if self.runtime.is_main:
            now = {"length": self.length, "ended_by": decision.verdict}
            self.run.write_record(self.run.record.model_copy(update=now))

    def _is_healthy(self, not_finite: list[str], *, is_last: bool) -> bool:
        """Say whether training can go on, and report skipped steps; a few on their own do not roll back.

        At the end of a run a few are too many if they are all steps: its weights are those of the start.
        """
        worst = int(self.state.bad_steps[1].item())
        self.state.bad_steps[1] = 0
        finite = self._is_finite()
        if worst:
            text = f"{worst} steps in a row were skipped: their gradients were not finite"
            self._write_event("skipped", f"{text} ({_few(not_finite)})")
        return finite and worst <= BAD_STEPS_IN_A_ROW and not (is_last and self.state.is_untrained())

    def _is_finite(self) -> bool:
        return not self.runtime.any_process(not self.state.all_finite())  # each process has its own pools

    def _roll_back(self, not_finite: list[str]) -> None:
        """Return to the last checkpoint of the schedule with other random draws.

        ``not_finite`` are columns of the last row. Raises TrainingError after MAX_ROLLBACKS.
        """
        state, failed_at = self.state, self.state.kimg
        rollbacks, where = state.salt + 1, _few([*state.not_finite(), *not_finite])
        if rollbacks > MAX_ROLLBACKS:
            raise TrainingError(
                "training.diverged",
                f"training stopped at {failed_at:.1f} kimg: {where} not finite even after {MAX_ROLLBACKS} rollbacks"
                f"\n  the last good checkpoint is in {self.run.checkpoints}; try a lower lr, for example lr=1e-4",
            )
        self._restore(lambda each: bool(each.values["planned"]))
        message = f"not finite at {failed_at:.1f} kimg: {where}; back to {state.kimg:.1f} kimg with other random draws"
        self._write_event("rollback", f"{message} (rollback {rollbacks} of {MAX_ROLLBACKS})")

    def _roll_back_to_best(self, decision: Decision) -> None:
        """Return to the best checkpoint and halve all learning rates, which is saved at once."""
        state, failed_at = self.state, self.state.kimg
        self._restore(lambda each: bool(each.values["planned"]) and each.values["iteration"] <= decision.iteration)
        state.halvings += 1
        done = f"at {failed_at:.1f} kimg back to {state.kimg:.1f} kimg, learning rates times {0.5**state.halvings:g}"
        self._write_event("rollback", f"{decision.message}; {done} (rollback {state.salt} of {MAX_ROLLBACKS})")
        self._save(planned=True)

    def _restore(self, accept: Callable[[Checkpoint], bool]) -> None:
        """Restore an earlier checkpoint with other random draws, and remove everything written after it."""
        state, salt = self.state, self.state.salt + 1
        checkpoint, _ = load_latest(self.run.checkpoints, accept=accept)
        state.restore(checkpoint.tensors, checkpoint.values, self.runtime)
        state.salt = salt
        state.bad_steps[int(state.is_untrained()) :] = 0
        state.meter.cells = {}
        self._stream = self._make_stream()
        self._clock = Clock(state.kimg)
        self.length = length_at(checkpoint, self.length)
        if self.runtime.world_size == 1:
            self._use_threads(threads_at(self.run.record, checkpoint))
        self.timekeeper.restart(state.iteration)
        self.runtime.barrier()
        if self.runtime.is_main:  # newer checkpoints first: a resume after a kill must not continue from them
            kept = {each for each in list_checkpoints(self.run.checkpoints) if int(each.name) <= state.iteration}
            prune_checkpoints(self.run.checkpoints, kept)
            self.run.truncate(checkpoint.values["log_sizes"])
            self.run.drop_samples_after(state.iteration)

    def _save(self, *, planned: bool, stop: bool = False) -> None:
        """Write a checkpoint; on a full disk go on until the next one, and raise DiskFullError after too many.

        Rollbacks return to a ``planned`` checkpoint, whose place does not depend on a signal.
        """
        state, full = self.state, None
        tensors = state.tensors(self.runtime)
        try:
            if self.runtime.is_main:
                with self.timekeeper.aside("checkpoint"):
                    self.run.complete(state.recipe)
                    values = self._values(self.run, planned=planned)
                    save_checkpoint(self.run.checkpoints / f"{state.iteration:09d}", tensors, values)
                    prune_checkpoints(self.run.checkpoints, self._worth_keeping())
                    self.on_saved()
        except DiskFullError as problem:
            full = problem
        if not self.runtime.any_process(full is not None):  # the others wait here until the main process has written
            self._failed_saves, self._saved_at = 0, clock.monotonic()
            return
        self._failed_saves += 1
        message = self.runtime.broadcast_text(str(full))
        if self._failed_saves >= MAX_FAILED_SAVES or stop or state.iteration == 0:
            raise DiskFullError("disk.full", message) from full
        self.on_event(MessageEvent("warning", message))

    def _values(self, run: RunFolder, *, planned: bool) -> dict[str, Any]:
        """Return the values of a checkpoint in a run folder."""
        sizes = run.sizes()
        values = {**self.state.values(), "planned": planned, "log_sizes": sizes, "log_sums": run.log_sums(sizes)}
        values["record"] = self.run.record.model_dump(mode="json")
        values["recipe"] = self.state.recipe.model_dump(mode="json")
        if self.length.limit is not None:
            values |= {"length": self.length.to_json(), "used_sec": round(self.timekeeper.used(), 3)}
        return values

    def rescue(self) -> Path | None:
        """Write the present state as a run in a temporary folder, because the run folder is gone; None if it fails."""
        try:
            run = RunFolder.create(Path(tempfile.mkdtemp(prefix="gansmith-rescued-")) / self.run.path.absolute().name)
            run.write_recipe(self.state.recipe)
            run.write_record(self.run.record)
            place = run.checkpoints / f"{self.state.iteration:09d}"
            save_checkpoint(place, self.state.tensors(self.runtime), self._values(run, planned=True))
        except (OSError, GansmithError):
            return None
        return run.path

    def _worth_keeping(self) -> set[Path]:
        """Return the last two checkpoints of the schedule, for a rollback, the newest of all, and the best."""
        folders = list_checkpoints(self.run.checkpoints)
        planned = list(islice((folder for folder in folders if is_planned(folder)), 2))
        best = best_snapshot(self.run.read_snapshots())
        kept = [folder for folder in folders if best and int(folder.name) == best["iteration"]]
        return {*planned, *folders[:1], *kept}


def _few(names: list[str]) -> str:
    """Return the first of some names, and how many more there are."""
    if not names:  # in another process, whose pools are its own
        return "weights"
    return some_of(names, MOST_NAMED)


def latest_checkpoint(run: RunFolder) -> tuple[Checkpoint, list[str]]:
    """Return the newest whole checkpoint of a run, and the reasons why newer ones were skipped."""
    if not run.checkpoints.is_dir():
        raise CheckpointError(
            "checkpoint.no_folder", f"'{run.path}' has no checkpoints folder\n  start the run again: gansmith train"
        )
    return load_latest(run.checkpoints)


def length_at(checkpoint: Checkpoint, length: RunLength) -> RunLength:
    """Return the length that holds from a checkpoint on: its own where a time limit revises it, else ``length``."""
    own: RunLength | None = checkpoint.values.get("length")
    return length if length.limit is None or own is None else own
