"""Decisions from snapshots: verdict, best checkpoint, and when to end a run or roll it back."""

import json
import time
from dataclasses import asdict, dataclass
from typing import Literal

from gansmith.core.events import (
    HealthEvent,
    HealthValues,
    MessageEvent,
    OnEvent,
    Progress,
    SnapshotEvent,
    Speed,
    VerdictName,
)
from gansmith.core.metric_name import column_of
from gansmith.core.runtime import Runtime
from gansmith.data.base import ImageData
from gansmith.evaluation.health import HEALTHY, HOPELESS, Verdict, diagnose
from gansmith.evaluation.snapshot import open_snapshot_extractor
from gansmith.evaluation.suggestions import suggest
from gansmith.methods.capabilities import samples_from_latents
from gansmith.runs.folder import RunFolder
from gansmith.runs.length import RunLength
from gansmith.runs.log import Row, append_row, best_snapshot, read_rows
from gansmith.runs.record import MonitorRecord
from gansmith.training.monitor import Monitor, choose_interval
from gansmith.training.state import RunState
from gansmith.training.time_limit import Timekeeper

MAX_ROLLBACKS = 3


@dataclass(frozen=True)
class Decision:
    """The next action of the training loop after a snapshot."""

    action: Literal["continue", "end", "roll_back"] = "continue"
    message: str = ""
    iteration: int = 0  # of the checkpoint to roll back to
    verdict: VerdictName | None = None  # that ends the run


class Supervisor:
    """Evaluates snapshots in the main process and decides; all processes learn the decision."""

    def __init__(
        self, run: RunFolder, state: RunState, data: ImageData, timekeeper: Timekeeper, runtime: Runtime
    ) -> None:
        self._run, self._state, self._data, self._timekeeper, self._runtime = run, state, data, timekeeper, runtime
        self._options = state.recipe.monitor
        self._monitor: Monitor | None = None
        self._every: int | None = None  # iterations between snapshots; 0: none; None: not known yet

    def interval(self, length: RunLength) -> int | None:
        """Return the positions between snapshots of a length; 0 for none, None if that is not decided yet."""
        if length.revision and length.revision.snapshot_every is not None:
            return length.revision.snapshot_every
        known = self._run.record.monitor if self._every is None else None
        return known.every if known else self._every

    def after_step(self, length: RunLength, speed: Speed, on_event: OnEvent, *, is_last: bool) -> Decision:
        """Evaluate a snapshot if one is due, and decide; every process calls it at every checkpoint of the schedule."""
        decision = Decision()
        if self._runtime.is_main:
            start = time.perf_counter()
            with self._timekeeper.aside("reference"):
                if self._every is None:
                    self._every = self._interval(length, speed["img_per_sec"], on_event)
                every = self.interval(length) or 0
                is_due = every > 0 and (is_last or length.is_due(every, self._state.iteration))
                if is_due:
                    self._watching().open_reference()
            if is_due:
                with self._timekeeper.aside("snapshot"):
                    decision = self._evaluate(length, speed, on_event, start, is_last=is_last)
        return Decision(**json.loads(self._runtime.broadcast_text(json.dumps(asdict(decision)))))

    def _interval(self, length: RunLength, img_per_sec: float, on_event: OnEvent) -> int:
        """Return the iterations between snapshots from run.json, where they are written once for every resume."""
        known = self._run.record.monitor
        if known is not None:
            self._monitor = self._open(known.protocol.features) if known.protocol else None
            return known.every
        latent = samples_from_latents(self._state.method)
        wanted = latent and self._options.snapshot_kimg != 0
        monitor = self._open(self._options.features) if wanted else None
        every = choose_interval(length, self._options, img_per_sec, monitor)
        self._monitor = monitor if every else None
        decided = MonitorRecord(every=every, protocol=self._monitor.protocol() if self._monitor else None)
        self._run.write_record(self._run.record.model_copy(update={"monitor": decided}))
        if not every and (self._options.patience or self._options.on_collapse != "warn"):
            why = (
                "the run is too short for snapshots within 5 % of its time; set their interval with snapshot_kimg="
                if latent
                else f"models of method '{self._state.recipe.method.kind}' make no samples of their own"
            )
            effect = "this run has no snapshots, so --patience and --on-collapse have no effect"
            on_event(MessageEvent("warning", f"{effect}\n  {why}"))
        return every

    def _open(self, features: str | None) -> Monitor:
        return Monitor(self._state, self._data, self._options, open_snapshot_extractor(self._data, features))

    def _watching(self) -> Monitor:
        assert self._monitor is not None
        return self._monitor

    def _evaluate(self, length: RunLength, speed: Speed, on_event: OnEvent, start: float, *, is_last: bool) -> Decision:
        at = {"iteration": self._state.iteration, "kimg": round(self._state.kimg, 6)}
        earlier = self._run.read_snapshots()
        snapshot = {**at, **self._watching().evaluate()}
        verdict = diagnose(read_rows(self._run.log), [*earlier, snapshot])
        snapshot["verdict"] = verdict.name
        append_row(self._run.snapshots, snapshot)
        append_row(self._run.timing, {**at, "snapshot_sec": round(time.perf_counter() - start, 3)})
        numbers = {name: value for name, value in snapshot.items() if not isinstance(value, dict)}
        progress = Progress("training", self._state.kimg, length.schedule_kimg)
        on_event(SnapshotEvent(verdict.title, {**numbers, **speed}, progress))
        if verdict.name != (earlier[-1]["verdict"] if earlier else HEALTHY):
            message = verdict.message + self._suggestion(verdict)
            row = HealthValues(
                event="health",
                iteration=self._state.iteration,
                kimg=at["kimg"],
                began_kimg=verdict.began_kimg,
                verdict=verdict.name,
                message=message,
            )
            append_row(self._run.log, row)
            on_event(HealthEvent(message, row))
        return self._decide([*earlier, snapshot], verdict, is_last=is_last)

    def _suggestion(self, verdict: Verdict) -> str:
        found = [each for each in suggest(verdict.name, self._state.recipe, self._data.spec) if each.overrides]
        return f"; try: {found[0].words} ({' '.join(found[0].overrides)})" if found else ""

    def _decide(self, snapshots: list[Row], verdict: Verdict, *, is_last: bool) -> Decision:
        best = best_snapshot(snapshots)
        assert best is not None
        name = column_of(best, "fd")
        found = f"{name} was best at {best['kimg']:,.1f} kimg ({best[name]:.4g})"
        since = sum(snapshot["iteration"] > best["iteration"] for snapshot in snapshots)
        hopeless = verdict.name in HOPELESS and since > 0
        if hopeless and self._options.on_collapse == "rollback" and self._state.salt < MAX_ROLLBACKS:
            return Decision("roll_back", f"{verdict.message}; {found}", best["iteration"])
        patience = self._options.patience
        if is_last:
            return Decision()
        if hopeless and (patience is not None or self._options.on_collapse == "stop"):
            message = f"{verdict.message}; {found}, and that checkpoint is the model"
            return Decision("end", message, verdict=verdict.name)
        if patience is not None and since >= patience:
            return Decision("end", f"no improvement in {since} snapshots; {found}, and that checkpoint is the model")
        return Decision()
