"""What follows from looks at a run: its verdicts, which checkpoint is best, and when to end or to go back."""

import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from gansmith.core.metric_name import column_of
from gansmith.core.runtime import Runtime
from gansmith.data.base import ImageData
from gansmith.evaluation.snapshot import open_snapshot_extractor
from gansmith.methods.capabilities import samples_from_latents
from gansmith.monitoring.health import HEALTHY, HOPELESS, Verdict, judge
from gansmith.monitoring.suggestions import remedies
from gansmith.runs.folder import RunFolder
from gansmith.runs.length import RunLength
from gansmith.runs.log import append_row, best_look, read_rows
from gansmith.training.monitor import Monitor, choose_interval
from gansmith.training.state import RunState

MAX_ROLLBACKS = 3
Tell = Callable[[str, str, dict[str, Any]], None]  # kind, message and values of an event


@dataclass(frozen=True)
class Ruling:
    """What the training loop has to do after a look: ``go_on``, ``end``, or ``go_back`` to an iteration."""

    kind: str = "go_on"
    message: str = ""
    iteration: int = 0


class Supervisor:
    """Looks at a run at planned checkpoints, in the main process; the others learn what follows."""

    def __init__(self, run: RunFolder, state: RunState, data: ImageData, plan: RunLength, runtime: Runtime) -> None:
        self._run, self._state, self._data, self._plan, self._engine = run, state, data, plan, runtime
        self._options = state.recipe.watch
        self._watch: Monitor | None = None
        self._every: int | None = None  # iterations between looks, 0 for never; None: not yet known

    def after_step(self, img_per_sec: float, tell: Tell) -> Ruling:
        """Look if it is time, and return what follows; every process calls it at every planned checkpoint."""
        ruling = Ruling()
        if self._engine.is_main:
            if self._every is None:
                self._every = self._decide(img_per_sec, tell)
            at_end = self._state.iteration >= self._plan.iterations
            if self._every and (self._state.iteration % self._every == 0 or at_end):
                ruling = self._look(tell)
        return Ruling(**json.loads(self._engine.broadcast_text(json.dumps(asdict(ruling)))))

    def _decide(self, img_per_sec: float, tell: Tell) -> int:
        """Return how often to look: as run.json says, where it is written once, so that a resumed run does the same."""
        known = self._run.record.get("watch")
        if known is not None:
            if known["every"]:
                self._watch = self._open(known["features"])
            return int(known["every"])
        latent = samples_from_latents(self._state.method)
        watch = self._open(self._options.features) if latent and self._options.look_kimg != 0 else None
        every = choose_interval(self._plan, self._options, img_per_sec, watch)
        self._watch = watch if every else None
        protocol = self._watch.protocol() if self._watch else {}
        self._run.write_record({**self._run.record, "watch": {"every": every, **protocol}})
        if not every and (self._options.patience or self._options.on_collapse == "rollback"):
            told = "this run is not looked at, so --patience and --on-collapse have nothing to go by"
            short = "it is too short for looks within 5 % of its time: set them with look_kimg="
            kind = self._state.recipe.method.kind
            why = short if latent else f"looks are at samples, and a model of method '{kind}' makes none of its own"
            tell("warning", f"{told}\n  {why}", {})
        return every

    def _open(self, features: str | None) -> Monitor:
        return Monitor(self._state, self._data, self._options, open_snapshot_extractor(self._data, features))

    def _look(self, tell: Tell) -> Ruling:
        assert self._watch is not None
        start, at = time.perf_counter(), {"iteration": self._state.iteration, "kimg": round(self._state.kimg, 6)}
        looks = read_rows(self._run.looks)
        before = looks[-1]["verdict"] if looks else HEALTHY
        look = {**at, **self._watch.look()}
        verdict = judge(read_rows(self._run.log), [*looks, look])
        look["verdict"] = verdict.name
        append_row(self._run.looks, look)
        append_row(self._run.timing, {**at, "look_sec": round(time.perf_counter() - start, 3)})
        tell("look", verdict.title, {name: value for name, value in look.items() if not isinstance(value, dict)})
        if verdict.name != before:
            message = verdict.message + self._remedy(verdict)
            row = {"event": "health", **at, "began_kimg": verdict.began_kimg, "message": message}
            append_row(self._run.log, row)
            tell("health", message, row)
        return self._rule([*looks, look], verdict)

    def _remedy(self, verdict: Verdict) -> str:
        found = [each for each in remedies(verdict.name, self._state.recipe, self._data.spec) if each.overrides]
        return f"; try: {found[0].words} ({' '.join(found[0].overrides)})" if found else ""

    def _rule(self, looks: list[dict[str, Any]], verdict: Verdict) -> Ruling:
        best = best_look(looks)
        assert best is not None
        name = column_of(best, "fd")
        found = f"{name} was best at {best['kimg']:,.1f} kimg ({best[name]:.4g})"
        since = sum(look["iteration"] > best["iteration"] for look in looks)
        hopeless = verdict.name in HOPELESS and since > 0
        if hopeless and self._options.on_collapse == "rollback" and self._state.salt < MAX_ROLLBACKS:
            return Ruling("go_back", f"{verdict.message}; {found}", best["iteration"])
        if self._options.patience is None or self._state.iteration >= self._plan.iterations:
            return Ruling()
        if hopeless:
            return Ruling("end", f"{verdict.message}; {found}, and that checkpoint is the model")
        if since >= self._options.patience:
            return Ruling("end", f"no better for {since} looks; {found}, and that checkpoint is the model")
        return Ruling()
