"""What happened in a run, as a colleague would say it: from its rows and looks, or from a look that is made now."""

import math
import shlex
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from gansmith.core.errors import GansmithError
from gansmith.core.events import OnProgress, PlainLines
from gansmith.core.metric_name import column_of
from gansmith.core.registry import load_plugins
from gansmith.evaluation.reference import open_reference, run_data_of
from gansmith.evaluation.snapshot import SnapshotEvaluator, open_snapshot_extractor, snapshot_inputs
from gansmith.inference.load import load_model
from gansmith.monitoring import health
from gansmith.monitoring.health import COLLAPSES, HEALTHY, Verdict
from gansmith.monitoring.suggestions import Suggestion, suggest
from gansmith.monitoring.thresholds import Thresholds, gone
from gansmith.parts.metrics.class_coverage import evenness
from gansmith.recipes.load import read_run_recipe
from gansmith.recipes.recipe import Recipe
from gansmith.runs.folder import RunFolder
from gansmith.runs.log import best_snapshot, measure, read_rows
from gansmith.runs.record import RunRecord

BAR = 30  # characters of the longest bar
LATELY = 10  # of the rows, a tenth: what a look that is made now is seen beside


@dataclass(frozen=True)
class Standing:
    """How far a run is."""

    kimg: float
    goal_kimg: float
    is_finished: bool


@dataclass(frozen=True)
class Diagnosis:
    """What is known of a run and what to do."""

    run: Path
    standing: Standing
    verdict: Verdict | None  # None: nothing can be said of the samples
    looks: tuple[dict[str, Any], ...]
    events: tuple[dict[str, Any], ...]
    shown_by: tuple[str, ...]
    advice: tuple[tuple[str, str], ...]  # in words, and as a command or ""
    unknown: tuple[str, ...]

    @property
    def look(self) -> dict[str, Any] | None:
        """Return the last look."""
        return self.looks[-1] if self.looks else None

    @property
    def collapse(self) -> str:
        """Say whether mode collapse manifested."""
        if self.look is None or self.verdict is None:
            return "Unknown."
        limits, kinds = Thresholds(), self.look["modes"]
        lost = gone(self.look, limits)
        if self.verdict.name in COLLAPSES:
            degree = "Yes" if self.verdict.name == "full_collapse" else "In part"
            return f"{degree}: {'; '.join(self.verdict.reasons)}."
        made = f"{len(kinds) - len(lost)} of {len(kinds)} kinds are generated"
        even = evenness(torch.tensor([fake for _, fake in kinds.values()], dtype=torch.float64))
        more = f" and {len(lost) - 5} more" if len(lost) > 5 else ""
        rare = f"; missing or rare: {', '.join(lost[:5])}{more}" if lost else ""
        degree = "In part" if len(lost) >= limits.lost_modes * len(kinds) else "No"
        return f"{degree}: {made}, as diverse as {even:.1f} equally frequent kinds{rare}."

    def histogram(self) -> list[str]:
        """Return a line for each kind of images: its share of real images and of samples."""
        if self.look is None:
            return []
        kinds, lost = self.look["modes"], gone(self.look, Thresholds())
        width, most = max(map(len, kinds)), max(max(pair) for pair in kinds.values()) or 1
        lines = [f"  {'':<{width}}    real    made"]
        for name, (real, fake) in kinds.items():
            bar = "#" * round(BAR * fake / most) + (" gone" if name in lost else "")
            lines.append(f"  {name:<{width}}  {real:6.1%}  {fake:6.1%}  {bar}".rstrip())
        return lines

    def lines(self) -> list[str]:
        """Return everything as lines of text."""
        standing = self.standing
        where = "finished" if standing.is_finished else f"not finished, {standing.goal_kimg:,.1f} planned"
        said = "unknown quality of samples" if self.verdict is None else self.verdict.message
        out = [f"{self.run} at {standing.kimg:,.1f} kimg ({where}): {said}"]
        out += ["", f"Did mode collapse manifest? {self.collapse}", *self.histogram(), *self._kept()]
        if self.events:
            out += ["", "What happened:"]
            out += [f"  {row['kimg']:10,.1f} kimg  {row['event']}: {row.get('message', '')}" for row in self.events]
        if self.shown_by:
            out += ["", "Where to look:", *(f"  {text}" for text in self.shown_by)]
        if self.unknown:
            out += ["", "Unknown:", *(f"  {text}" for text in self.unknown)]
        if self.advice:
            out += ["", "Try next:"]
            for words, command in self.advice:
                out += [f"  {words}", *([f"    {command}"] if command else [])]
        return out

    def _kept(self) -> list[str]:
        best = best_snapshot(self.looks)
        if best is None or best is self.look:
            return []
        name, kinds, lost = column_of(best, "fd"), len(best["modes"]), len(gone(best, Thresholds()))
        kept = f"The model is the checkpoint at {best['kimg']:,.1f} kimg, with the lowest {name} ({best[name]:.4g})"
        return [f"{kept}; it generates {kinds - lost} of {kinds} kinds."]

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON values."""
        verdict = None
        if self.verdict is not None:
            verdict = {
                "name": self.verdict.name,
                "title": self.verdict.title,
                "reasons": list(self.verdict.reasons),
                "began_kimg": self.verdict.began_kimg,
            }
        return {
            "run": str(self.run),
            **asdict(self.standing),
            "verdict": verdict,
            "collapse": self.collapse,
            "look": self.look,
            "best": best_snapshot(self.looks),
            "events": list(self.events),
            "shown_by": list(self.shown_by),
            "advice": [{"words": words, "command": command} for words, command in self.advice],
            "unknown": list(self.unknown),
        }


def diagnose(path: str | Path, device: str = "auto", on_progress: OnProgress | None = None) -> Diagnosis:
    """Return what happened in a run, finished or not, and what to try next.

    Where the run was not looked at while it trained, samples of its model are judged now, if its images are there.
    Raises CheckpointError for a folder that is no run.
    """
    run = RunFolder.open(Path(path))
    record = run.record
    load_plugins(record.plugin_files)
    recipe = read_run_recipe(run.recipe)
    everything, looks, unknown = read_rows(run.log), run.read_snapshots(), list[str]()
    rows, events = [row for row in everything if "event" not in row], [row for row in everything if "event" in row]
    verdict = health.diagnose(rows, looks) if looks else None
    if not looks:
        unknown.append("when it began, and whether samples still improve: this run has no snapshots of its training")
        try:
            looks = [_look_now(run, recipe, device, on_progress or PlainLines().show)]
            verdict = health.diagnose_once(rows[-max(3, len(rows) // LATELY) :], looks[0])
        except GansmithError as problem:
            unknown.append("quality of its samples: " + str(problem).partition("\n")[0])
    last, length = (rows or [{"kimg": 0.0, "iteration": 0}])[-1], record.length
    return Diagnosis(
        run=run.path,
        standing=Standing(float(last["kimg"]), length.schedule_kimg, last["iteration"] >= length.iterations),
        verdict=verdict,
        looks=tuple(looks),
        events=tuple(events),
        shown_by=_shown_by(run, verdict, looks),
        advice=() if verdict is None else _advice(run, recipe, verdict, looks[-1]),
        unknown=tuple(unknown),
    )


def _look_now(run: RunFolder, recipe: Recipe, device: str, on_progress: OnProgress) -> dict[str, Any]:
    """Return a look at the run's model, beside its training images."""
    model = load_model(run.path, device)
    method = model.latent_method("diagnose")
    training, _, _ = open_reference(
        model.record.data, run_data_of(run), None, on_training=True, on_progress=on_progress
    )
    options = recipe.monitor
    eye = SnapshotEvaluator.open(training, open_snapshot_extractor(training, options.features), options)
    draws = snapshot_inputs(method, training, options, model.record.seed)
    iteration = max((int(row["iteration"]) for row in read_rows(run.log)), default=0) + 1
    return {"iteration": iteration, "kimg": model.record.kimg, **eye.evaluate(model.draw(draws.inputs, draws.labels))}


def _shown_by(run: RunFolder, verdict: Verdict | None, looks: list[dict[str, Any]]) -> tuple[str, ...]:
    out = []
    if run.report.is_file():
        out.append(f"{run.report}: curves, verdicts over time, newest samples")
    if len(looks) > 1:
        name = column_of(looks[-1], "fd")
        values = [measure(look, "fd") for look in looks]
        out.append(f"{run.snapshots}: {name} went from {values[0]:.3g} to {values[-1]:.3g}, lowest {min(values):.3g}")
    began, moment = math.inf, "newest"
    if verdict is not None and verdict.began_kimg is not None:
        began = next((look["iteration"] for look in looks if look["kimg"] >= verdict.began_kimg), 0)
        moment = "when it began"
    if grid := run.grid_from(began):
        out.append(f"{grid}: samples of the fixed latents, {moment}")
    return tuple(out)


def _advice(run: RunFolder, recipe: Recipe, verdict: Verdict, look: dict[str, Any]) -> tuple[tuple[str, str], ...]:
    record, name = run.record, shlex.quote(str(run.path))
    kimg = record.length.schedule_kimg
    if verdict.name == HEALTHY:
        return (("train longer, the samples still improve", f"gansmith resume {name} --kimg {2 * kimg:g}"),)
    found = suggest(verdict.name, recipe, record.data.spec)
    absent = [kind for kind, (real, _) in look["modes"].items() if real == 0]
    first = [(f"add images of {', '.join(absent)}: the training data has none", "")] if absent else []
    return (*first, *((each.words, _command(run, record, each, kimg)) for each in found))


def _command(run: RunFolder, record: RunRecord, suggestion: Suggestion, kimg: float) -> str:
    """Return the command that starts the run anew with a suggestion; "" for a suggestion in words alone."""
    if suggestion.longer:
        return f"gansmith resume {shlex.quote(str(run.path))} --kimg {2 * kimg:g}"
    if not (suggestion.overrides or suggestion.options):
        return ""
    data = record.data
    words = ["gansmith", "train", data.source, "--recipe", str(run.recipe), *suggestion.overrides, *suggestion.options]
    words += ["--kimg", f"{kimg:g}", "--seed", str(record.seed)]
    words += ["--holdout", f"{data.holdout:g}"] if data.holdout else []
    words += ["--data-root", data.root] if data.root else []
    words += [word for plugin in record.plugins for word in ("--plugin", plugin.file)]
    return shlex.join(words)
