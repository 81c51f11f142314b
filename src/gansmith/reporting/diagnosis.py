"""The diagnosis of a run: verdict, mode collapse, events, evidence and suggestions."""

import math
import shlex
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from gansmith.core.errors import GansmithError, some_of
from gansmith.core.events import OnProgress, PlainLines
from gansmith.core.html import ShownAsLines
from gansmith.core.metric_name import column_of
from gansmith.core.registry import load_plugins
from gansmith.evaluation import health
from gansmith.evaluation.health import COLLAPSES, HEALTHY, Verdict
from gansmith.evaluation.reference import open_reference, run_data_of
from gansmith.evaluation.snapshot import SnapshotEvaluator, open_snapshot_extractor, snapshot_inputs
from gansmith.evaluation.suggestions import Suggestion, suggest
from gansmith.evaluation.thresholds import Thresholds, gone
from gansmith.inference.load import load_model
from gansmith.parts.metrics.class_coverage import evenness
from gansmith.recipes.load import read_run_recipe
from gansmith.recipes.recipe import Recipe
from gansmith.runs.folder import RunFolder
from gansmith.runs.log import best_snapshot, events_in, measure, read_rows
from gansmith.runs.record import RunRecord

BAR = 30  # characters of the longest bar
LATELY = 10  # a snapshot that is taken now is diagnosed beside the last tenth of the log rows


@dataclass(frozen=True)
class Status:
    """The progress of a run."""

    kimg: float
    goal_kimg: float
    is_finished: bool


@dataclass(frozen=True)
class Diagnosis(ShownAsLines):
    """The state of a run, and suggestions."""

    run: Path
    status: Status
    verdict: Verdict | None  # None: the quality of the samples is unknown
    snapshots: tuple[dict[str, Any], ...]
    events: tuple[dict[str, Any], ...]  # rows of the log
    evidence: tuple[str, ...]  # files, each with its contents
    suggestions: tuple[tuple[str, str], ...]  # in words, and as a command or ""
    unknown: tuple[str, ...]

    @property
    def snapshot(self) -> dict[str, Any] | None:
        """Return the last snapshot."""
        return self.snapshots[-1] if self.snapshots else None

    @property
    def collapse(self) -> str:
        """Return "Yes", "In part", "No" or "Unknown" for mode collapse, with the reasons."""
        if self.snapshot is None or self.verdict is None:
            return "Unknown."
        limits, modes = Thresholds(), self.snapshot["modes"]
        lost = gone(self.snapshot, limits)
        if self.verdict.name in COLLAPSES:
            degree = "Yes" if self.verdict.name == "full_collapse" else "In part"
            return f"{degree}: {'; '.join(self.verdict.reasons)}."
        made = f"samples show {len(modes) - len(lost)} of {len(modes)} modes"
        even = evenness(torch.tensor([fake for _, fake in modes.values()], dtype=torch.float64))
        rare = f"; missing or rare: {some_of(lost, 5)}" if lost else ""
        degree = "In part" if len(lost) >= limits.lost_modes * len(modes) else "No"
        return f"{degree}: {made}, as diverse as {even:.1f} equally frequent ones{rare}."

    def histogram(self) -> list[str]:
        """Return a table as lines: the share of each mode in real images and in samples, as numbers and as a bar."""
        if self.snapshot is None:
            return []
        modes, lost = self.snapshot["modes"], gone(self.snapshot, Thresholds())
        width, most = max(map(len, modes)), max(max(pair) for pair in modes.values()) or 1
        lines = [f"  {'':<{width}}    real  sample"]
        for name, (real, fake) in modes.items():
            bar = "#" * round(BAR * fake / most) + (" missing" if name in lost else "")
            lines.append(f"  {name:<{width}}  {real:6.1%}  {fake:6.1%}  {bar}".rstrip())
        return lines

    def lines(self) -> list[str]:
        """Return everything as lines of text."""
        status = self.status
        progress = "finished" if status.is_finished else f"not finished, {status.goal_kimg:,.1f} planned"
        verdict = "quality of samples unknown" if self.verdict is None else self.verdict.message
        out = [f"{self.run} at {status.kimg:,.1f} kimg ({progress}): {verdict}"]
        out += ["", f"Mode collapse: {self.collapse}", *self.histogram(), *self._kept()]
        if self.events:
            out += ["", "Events:"]
            out += [f"  {row['kimg']:10,.1f} kimg  {row['event']}: {row.get('message', '')}" for row in self.events]
        if self.evidence:
            out += ["", "Evidence:", *(f"  {text}" for text in self.evidence)]
        if self.unknown:
            out += ["", "Unknown:", *(f"  {text}" for text in self.unknown)]
        if self.suggestions:
            out += ["", "Suggestions:"]
            for words, command in self.suggestions:
                out += [f"  {words}", *([f"    {command}"] if command else [])]
        return out

    def _kept(self) -> list[str]:
        best = best_snapshot(self.snapshots)
        if best is None or best is self.snapshot:
            return []
        name, modes, lost = column_of(best, "fd"), len(best["modes"]), len(gone(best, Thresholds()))
        kept = f"The model is the checkpoint at {best['kimg']:,.1f} kimg, where {name} was lowest ({best[name]:.4g})"
        return [f"{kept}; its samples show {modes - lost} of {modes} modes."]

    def to_json(self) -> dict[str, Any]:
        """Return the diagnosis as JSON values."""
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
            **asdict(self.status),
            "verdict": verdict,
            "collapse": self.collapse,
            "snapshot": self.snapshot,
            "best": best_snapshot(self.snapshots),
            "events": list(self.events),
            "evidence": list(self.evidence),
            "suggestions": [{"words": words, "command": command} for words, command in self.suggestions],
            "unknown": list(self.unknown),
        }


def diagnose(path: str | Path, device: str = "auto", on_progress: OnProgress | None = None) -> Diagnosis:
    """Return the diagnosis of a run, finished or not.

    If the run took no snapshots while it trained, this takes one of its model now; that needs the training images.
    Raises CheckpointError for a folder that is no run.
    """
    run = RunFolder.open(Path(path))
    record = run.record
    load_plugins(record.plugin_files)
    recipe = read_run_recipe(run.recipe)
    everything, snapshots, unknown = read_rows(run.log), run.read_snapshots(), list[str]()
    rows, events = [row for row in everything if "event" not in row], events_in(everything)
    verdict = health.diagnose(rows, snapshots) if snapshots else None
    if not snapshots:
        unknown.append("beginning and trend: the run took no snapshots while it trained")
        try:
            snapshots = [_snapshot_now(run, recipe, device, on_progress or PlainLines().show)]
            verdict = health.diagnose_once(rows[-max(3, len(rows) // LATELY) :], snapshots[0])
        except GansmithError as problem:
            unknown.append("quality of samples: " + str(problem).partition("\n")[0])
    last, length = (rows or [{"kimg": 0.0, "iteration": 0}])[-1], record.length
    return Diagnosis(
        run=run.path,
        status=Status(float(last["kimg"]), length.schedule_kimg, last["iteration"] >= length.iterations),
        verdict=verdict,
        snapshots=tuple(snapshots),
        events=tuple(events),
        evidence=_evidence(run, verdict, snapshots),
        suggestions=() if verdict is None else _suggestions(run, recipe, verdict, snapshots[-1]),
        unknown=tuple(unknown),
    )


def _snapshot_now(run: RunFolder, recipe: Recipe, device: str, on_progress: OnProgress) -> dict[str, Any]:
    """Return a snapshot of the run's model, compared with its training images."""
    model = load_model(run.path, device)
    method = model.latent_method("diagnose")
    training, _, _ = open_reference(
        model.record.data, run_data_of(run), None, on_training=True, on_progress=on_progress
    )
    options = recipe.monitor
    evaluator = SnapshotEvaluator.open(training, open_snapshot_extractor(training, options.features), options)
    draws = snapshot_inputs(method, training, options, model.record.seed)
    iteration = max((int(row["iteration"]) for row in read_rows(run.log)), default=0) + 1
    return {
        "iteration": iteration,
        "kimg": model.record.kimg,
        **evaluator.evaluate(model.draw(draws.inputs, draws.labels)),
    }


def _evidence(run: RunFolder, verdict: Verdict | None, snapshots: list[dict[str, Any]]) -> tuple[str, ...]:
    out = []
    if run.report.is_file():
        out.append(f"{run.report}: curves, verdicts over time, newest samples")
    if len(snapshots) > 1:
        name = column_of(snapshots[-1], "fd")
        values = [measure(each, "fd") for each in snapshots]
        went = f"{name} went from {values[0]:.3g} to {values[-1]:.3g}, lowest {min(values):.3g}"
        out.append(f"{run.snapshots_file()}: {went}")
    began, moment = math.inf, "newest"
    if verdict is not None and verdict.began_kimg is not None:
        began = next((each["iteration"] for each in snapshots if each["kimg"] >= verdict.began_kimg), 0)
        moment = "when the problem began"
    if grid := run.grid_from(began):
        out.append(f"{grid}: samples of the fixed latents, {moment}")
    return tuple(out)


def _suggestions(
    run: RunFolder, recipe: Recipe, verdict: Verdict, snapshot: dict[str, Any]
) -> tuple[tuple[str, str], ...]:
    record, name = run.record, shlex.quote(str(run.path))
    kimg = record.length.schedule_kimg
    if verdict.name == HEALTHY:
        return (("train longer: samples still improve", f"gansmith resume {name} --kimg {2 * kimg:g}"),)
    found = suggest(verdict.name, recipe, record.data.spec)
    absent = [mode for mode, (real, _) in snapshot["modes"].items() if real == 0]
    first = [(f"add images of {', '.join(absent)}: the training data has none", "")] if absent else []
    return (*first, *((each.words, _command(run, record, each, kimg)) for each in found))


def _command(run: RunFolder, record: RunRecord, suggestion: Suggestion, kimg: float) -> str:
    """Return the command that follows a suggestion, in a new run or a resume; "" for a suggestion in words alone."""
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
