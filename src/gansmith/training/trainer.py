"""The training step, the same for every method, and the loop around it with its once-in-a-while blocks."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from gansmith.core.errors import CheckpointError, DiskFullError, TrainingError
from gansmith.core.events import Event, OnEvent, silent
from gansmith.core.randomness import derive_seed
from gansmith.core.runtime import Runtime
from gansmith.data.base import ImageData
from gansmith.data.batches import BatchStream
from gansmith.runs.checkpoint import Checkpoint, list_checkpoints, load_latest, prune_checkpoints, save_checkpoint
from gansmith.runs.folder import RunFolder
from gansmith.runs.length import RunLength
from gansmith.runs.log import append_row, best_look, read_rows
from gansmith.training.clock import Clock
from gansmith.training.previews import PreviewWriter
from gansmith.training.state import RunState, copy_weights, update_ratios
from gansmith.training.step import train_step
from gansmith.training.supervisor import MAX_ROLLBACKS, Ruling, Supervisor

BAD_STEPS_IN_A_ROW = 8  # more than this many steps skipped in a row: back to the last checkpoint
MAX_FAILED_SAVES = 3


@dataclass
class Trainer:
    """One run at work: its state, its data, its folder."""

    state: RunState
    data: ImageData
    runtime: Runtime
    run: RunFolder
    plan: RunLength
    on_event: OnEvent = silent
    stop_requested: Callable[[], bool] = lambda: False
    _failed_saves: int = 0

    def __post_init__(self) -> None:
        self._previews = PreviewWriter(self.run, self.state.method, self.state.recipe, self.state.seed, self.data)
        self._clock = Clock(self.state.kimg)
        self._stream = self._make_stream()
        self._supervisor = Supervisor(self.run, self.state, self.data, self.plan, self.runtime)

    def run_to_end(self) -> bool:
        """Train until the plan's last iteration or a request to stop, then save; say whether the end was reached."""
        state = self.state
        if state.iteration == 0:
            if self.runtime.is_main:
                self._previews.write_real()
            self._preview()
            self._save()
        while state.iteration < self.plan.iterations:
            plan = self.plan
            row = (state.iteration + 1) % plan.log_every == 0 or state.iteration + 1 == plan.iterations
            before = copy_weights(state) if row else None
            train_step(state, self._stream, self.runtime, state.moment(plan.schedule_kimg))
            planned = state.iteration % plan.checkpoint_every == 0 or state.iteration == plan.iterations
            ruling = self._look() if planned else Ruling()
            if ruling.kind == "go_back":
                self._go_back(ruling)
                continue
            at_end = state.iteration == self.plan.iterations
            row = row or at_end
            if row:
                self._write_row({} if before is None else update_ratios(state, before))
                if not self._healthy():
                    self._roll_back()
                    continue
            if state.iteration % plan.preview_every == 0 or at_end:
                self._preview()
            stop = self.runtime.any_process(self.stop_requested())
            due = state.iteration % plan.checkpoint_every == 0 or at_end
            if due or stop:
                if row or self._finite():
                    self._save(stop)
                elif due:
                    self._roll_back()
                    continue
                else:  # without a stop it would go on to its next row or checkpoint, and resumed it will
                    said = f"not finite at {state.kimg:.1f} kimg: not saved, the checkpoint before stays the last"
                    self.on_event(Event("warning", said))
            if stop:
                break
            self._tell_progress()
        return state.iteration >= self.plan.iterations

    def _make_stream(self) -> BatchStream:
        recipe, salt = self.state.recipe, self.state.salt
        seed = derive_seed("data", self.state.seed, salt)
        domains = max(1, len(recipe.method.domains))
        return BatchStream(self.data, recipe.batch_size, seed, self.runtime, mirror=recipe.data.mirror, domains=domains)

    def _write_row(self, more: dict[str, float]) -> None:
        state = self.state
        means = {**state.meter.take(self.runtime), **more}
        kimg = round(state.kimg, 6)
        row: dict[str, Any] = {
            "iteration": state.iteration,
            "kimg": kimg,
            "epoch": round(kimg * 1000 / len(self.data), 4),
        }
        row |= {name: value if math.isfinite(value) else None for name, value in means.items()}
        speed = self._clock.read(state.kimg, self.plan.schedule_kimg, self.runtime)
        if self.runtime.is_main:
            append_row(self.run.log, row)
            append_row(self.run.timing, {"iteration": state.iteration, "kimg": kimg, **speed})
        self.on_event(Event("row", values={**row, **speed}))

    def _look(self) -> Ruling:
        """Judge samples if it is time, and return what follows; an end that is ruled becomes the plan's."""
        if not self._finite():
            return Ruling()  # the row or the checkpoint of this iteration deals with it
        speed = self._clock.read(self.state.kimg, self.plan.schedule_kimg, self.runtime)

        def tell(kind: str, message: str, values: dict[str, Any]) -> None:
            self.on_event(Event(kind, message, {**values, **speed} if kind == "look" else values))

        ruling = self._supervisor.after_step(speed["img_per_sec"], tell)
        if ruling.kind == "end":
            self._tell_event("ended", ruling.message)
            self.plan = self.plan.ended_at(self.state.iteration, ruling.message)
            if self.runtime.is_main:
                self.run.write_record({**self.run.record, "plan": self.plan.to_json()})
        return ruling

    def _tell_progress(self) -> None:
        if self._clock.due():
            speed = self._clock.read(self.state.kimg, self.plan.schedule_kimg, self.runtime)
            self.on_event(Event("progress", values={"kimg": self.state.kimg, **speed}))

    def _preview(self) -> None:
        if self.runtime.is_main:
            self._previews.write(self.state)
        self.on_event(Event("preview", values={"iteration": self.state.iteration}))

    def _healthy(self) -> bool:
        """Say whether training may go on; a few steps skipped on their own are told and are no reason to go back."""
        worst = int(self.state.bad_steps[1].item())
        self.state.bad_steps[1] = 0
        finite = self._finite()
        if worst:
            self._tell_event("skipped", f"{worst} steps in a row had gradients that are not finite and were skipped")
        return finite and worst <= BAD_STEPS_IN_A_ROW

    def _finite(self) -> bool:
        return not self.runtime.any_process(not self.state.all_finite())  # pools are each process's own

    def _roll_back(self) -> None:
        """Go back to the last checkpoint of the plan with other draws; TrainingError after the last allowed time."""
        state, failed_at = self.state, self.state.kimg
        rollbacks = state.salt + 1
        if rollbacks > MAX_ROLLBACKS:
            raise TrainingError(
                "training.diverged",
                f"training stopped at {failed_at:.1f} kimg: losses are not finite even after {MAX_ROLLBACKS} rollbacks"
                f"\n  the last good checkpoint is in {self.run.checkpoints}; try a lower lr, for example lr=1e-4",
            )
        self._restore(lambda each: bool(each.values["planned"]))
        message = f"not finite at {failed_at:.1f} kimg: back to {state.kimg:.1f} kimg with other random draws"
        self._tell_event("rollback", f"{message} (rollback {rollbacks} of {MAX_ROLLBACKS})")

    def _go_back(self, ruling: Ruling) -> None:
        """Go back to the best checkpoint and halve all learning rates, which the checkpoint then knows."""
        state, failed_at = self.state, self.state.kimg
        self._restore(lambda each: bool(each.values["planned"]) and each.values["iteration"] <= ruling.iteration)
        state.halvings += 1
        done = f"at {failed_at:.1f} kimg back to {state.kimg:.1f} kimg, learning rates times {0.5**state.halvings:g}"
        self._tell_event("rollback", f"{ruling.message}; {done} (rollback {state.salt} of {MAX_ROLLBACKS})")
        self._save()

    def _restore(self, accept: Callable[[Checkpoint], bool]) -> None:
        """Take up an earlier checkpoint with other random draws, and forget what was written after it."""
        state, salt = self.state, self.state.salt + 1
        checkpoint, _ = load_latest(self.run.checkpoints, accept=accept)
        state.restore(checkpoint.tensors, checkpoint.values, self.runtime)
        state.salt = salt
        state.bad_steps.zero_()
        state.meter.cells = {}
        self._stream = self._make_stream()
        self._clock = Clock(state.kimg)
        self.runtime.barrier()
        if self.runtime.is_main:  # newer checkpoints first: a resume must not take up what was left behind
            kept = {each for each in list_checkpoints(self.run.checkpoints) if int(each.name) <= state.iteration}
            prune_checkpoints(self.run.checkpoints, kept)
            self.run.truncate(checkpoint.values["log_sizes"])
            self.run.drop_samples_after(state.iteration)

    def _tell_event(self, name: str, message: str) -> None:
        state = self.state
        if self.runtime.is_main:
            row = {"event": name, "iteration": state.iteration, "kimg": round(state.kimg, 6), "message": message}
            append_row(self.run.log, row)
        self.on_event(Event("warning", message))

    def _save(self, stop: bool = False) -> None:
        """Write a checkpoint; without room go on until the next one, and stop when that has failed too often."""
        state, planned = self.state, self.state.iteration % self.plan.checkpoint_every == 0
        tensors, full = state.tensors(self.runtime), None
        try:
            if self.runtime.is_main:
                values = {**state.values(), "planned": planned, "log_sizes": self.run.sizes()}
                values["recipe"] = state.recipe.model_dump(mode="json")
                save_checkpoint(self.run.checkpoints / f"{state.iteration:09d}", tensors, values)
                prune_checkpoints(self.run.checkpoints, self._worth_keeping())
        except DiskFullError as problem:
            full = problem
        if not self.runtime.any_process(full is not None):  # the others wait here until the main process has written
            self._failed_saves = 0
            return
        self._failed_saves += 1
        message = self.runtime.broadcast_text(str(full))
        if self._failed_saves >= MAX_FAILED_SAVES or stop or state.iteration == 0:
            raise DiskFullError("disk.full", message) from full
        self.on_event(Event("warning", message))

    def _worth_keeping(self) -> set[Any]:
        """Return the last two checkpoints of the plan, which a rollback may need, the newest of all, and the best."""
        folders = list_checkpoints(self.run.checkpoints)
        planned = [folder for folder in folders if int(folder.name) % self.plan.checkpoint_every == 0]
        best = best_look(read_rows(self.run.looks))
        kept = [folder for folder in folders if best and int(folder.name) == best["iteration"]]
        return {*planned[:2], *folders[:1], *kept}


def latest_checkpoint(run: RunFolder) -> tuple[Checkpoint, list[str]]:
    """Return the newest whole checkpoint of a run, and why newer ones were passed over."""
    if not run.checkpoints.is_dir():
        raise CheckpointError("checkpoint.no_folder", f"'{run.path}' has no checkpoints folder")
    return load_latest(run.checkpoints)
