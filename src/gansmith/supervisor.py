"""What follows from looks at a run: rows, verdicts, which checkpoint is best, and when to end or go back."""

import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from gansmith.data.base import ImageData
from gansmith.engine import Engine
from gansmith.health import HEALTHY, HOPELESS, Verdict, best_look, fd_column, judge
from gansmith.methods.latent import LatentMethod
from gansmith.optimizers.base import OptimizerPart
from gansmith.plan import Plan
from gansmith.recipe import Recipe, differences
from gansmith.run_folder import RunFolder, append_row, read_rows
from gansmith.run_state import RunState
from gansmith.schedules import Ramp
from gansmith.watch import Watch, choose_interval, open_watch_extractor

MAX_ROLLBACKS = 3


@dataclass(frozen=True)
class Ruling:
    """What the training loop has to do after a look: ``go_on``, ``end``, or ``go_back`` to an iteration."""

    kind: str = "go_on"
    message: str = ""
    iteration: int = 0


Tell = Callable[[str, str, dict[str, Any]], None]  # kind, message, values


class Supervisor:
    """Looks at a run at its planned checkpoints, in the main process; the others learn what follows."""

    def __init__(self, run: RunFolder, state: RunState, data: ImageData, plan: Plan, engine: Engine) -> None:
        self._run, self._state, self._data, self._plan, self._engine = run, state, data, plan, engine
        self._options = state.recipe.watch
        self._watch: Watch | None = None
        known = run.record.get("watch") if engine.is_main else None
        self._every: int | None = known["every"] if known else None  # None: not yet decided
        shared = engine.share_text(json.dumps(self._every))
        self._every = json.loads(shared)

    def after_step(self, img_per_sec: float, tell: Tell) -> Ruling:
        """Look if it is time, and return what follows; every process calls it at every planned checkpoint."""
        ruling = Ruling()
        if self._engine.is_main:
            self._decide(img_per_sec)
            at_end = self._state.iteration >= self._plan.iterations
            if self._every and (self._state.iteration % self._every == 0 or at_end):
                ruling = self._look(tell)
        return Ruling(**json.loads(self._engine.share_text(json.dumps(asdict(ruling)))))

    def _decide(self, img_per_sec: float) -> None:
        """Fix once how often to look, and write it into the run: a resumed run looks at the same moments."""
        latent = isinstance(self._state.method, LatentMethod)
        if self._every is None:
            watch = self._open(None) if latent and self._options.look_kimg != 0 else None
            self._every = choose_interval(self._plan, self._options, img_per_sec, watch)
            self._watch = watch if self._every else None
            protocol = self._watch.protocol() if self._watch else {}
            self._run.write_record({**self._run.record, "watch": {"every": self._every, **protocol}})
        elif self._every and self._watch is None:
            self._watch = self._open(self._run.record["watch"]["features"])

    def _open(self, name: str | None) -> Watch:
        extractor = open_watch_extractor(self._data, name or self._options.features)
        return Watch(self._state, self._data, self._options, extractor)

    def _look(self, tell: Tell) -> Ruling:
        assert self._watch is not None
        state, start = self._state, time.perf_counter()
        at = {"iteration": state.iteration, "kimg": round(state.kimg, 6)}
        numbers, facts = self._watch.look()
        before = judge(read_rows(self._run.log))
        append_row(self._run.log, {**at, **numbers})
        append_row(self._run.looks, {**at, **facts})
        rows = read_rows(self._run.log)
        verdict = judge(rows)
        if verdict.name != before.name:
            row = {"event": "health", **at, "verdict": verdict.name, "message": verdict.message}
            append_row(self._run.log, {**row, "began_kimg": verdict.began_kimg})
            tell("warning" if verdict.name != HEALTHY else "note", f"health: {verdict.message}", {})
        append_row(self._run.timing, {**at, "look_sec": round(time.perf_counter() - start, 3)})
        tell("look", verdict.title, {**at, **numbers})
        return self._rule(rows, verdict)

    def _rule(self, rows: list[dict[str, Any]], verdict: Verdict) -> Ruling:
        options, best = self._options, best_look(rows)
        assert best is not None
        name = fd_column(best)
        found = f"{name} was best at {best['kimg']:,.1f} kimg ({best[name]:.4g})"
        may_go_back = options.on_collapse == "rollback" and self._state.salt < MAX_ROLLBACKS
        if may_go_back and verdict.name in HOPELESS and best["iteration"] < self._state.iteration:
            return Ruling("go_back", f"{verdict.message}; {found}", best["iteration"])
        if options.patience is None or self._state.iteration >= self._plan.iterations:
            return Ruling()
        since = sum(1 for row in rows if fd_column(row) and row["iteration"] > best["iteration"])
        if since and verdict.name in HOPELESS:
            return Ruling("end", f"ended: {verdict.message}; {found}, and that checkpoint is kept")
        if since >= options.patience:
            return Ruling("end", f"ended: no better for {since} looks; {found}, and that checkpoint is kept")
        return Ruling()


def calmer(recipe: Recipe) -> tuple[Recipe, str]:
    """Return a recipe with all learning rates halved, and what has changed in words."""
    optimizers = {name: part.model_copy(update={"lr": _half(part)}) for name, part in recipe.optimizers.items()}
    new = recipe.model_copy(update={"optimizers": optimizers})
    return new, "; ".join(differences(recipe, new))


def _half(part: OptimizerPart) -> float | Ramp:
    lr: float | Ramp = part.lr
    if isinstance(lr, Ramp):
        return lr.model_copy(update={"start": lr.start / 2, "end": lr.end / 2})
    return lr / 2
