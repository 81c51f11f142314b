"""The verbs as functions; ``sample`` is a method of the model that ``load`` returns."""

import math
import os
import re
import shlex
import shutil
import signal
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Unpack

from gansmith.core import clock
from gansmith.core.errors import GansmithError, StoppedError
from gansmith.core.events import (
    Event,
    MessageEvent,
    OnEvent,
    OnProgress,
    PlainLines,
    VerdictName,
    progress_events,
    silent,
)
from gansmith.core.file_names import can_be_path
from gansmith.core.html import facts
from gansmith.core.launched import rank_and_size
from gansmith.core.metric_name import column_of
from gansmith.core.on_ray import connected, run_together
from gansmith.core.processes import digest_of, launch_id
from gansmith.core.registry import load_plugins
from gansmith.core.runtime import Runtime, refuse_other_options, start_runtime
from gansmith.core.shared_work import sharing as sharing
from gansmith.core.signals import Stopped, interrupting, outliving_terminal
from gansmith.data import cache_folder
from gansmith.data.base import DataOptions, Source
from gansmith.data.check import CheckReport, check_data
from gansmith.data.datasets.base import list_named_sets
from gansmith.data.find import DataName, find_source
from gansmith.evaluation.compare import Comparison
from gansmith.evaluation.compare import compare as compare_runs
from gansmith.evaluation.downstream.labelled_data import open_fitted as open_fitted
from gansmith.evaluation.downstream.labelled_data import open_parts as open_parts
from gansmith.evaluation.downstream.linear_probe import probe as probe
from gansmith.evaluation.downstream.study import check_study as check_study
from gansmith.evaluation.downstream.study import study as study
from gansmith.evaluation.downstream.synthetic_set import augment as augment
from gansmith.evaluation.downstream.synthetic_set import check_augment as check_augment
from gansmith.evaluation.evaluate import EvaluationOptions, write_evaluation
from gansmith.evaluation.evaluate import evaluate as evaluate_model
from gansmith.evaluation.health import TITLES
from gansmith.evaluation.images import evaluate_images, open_image_sets
from gansmith.evaluation.reference import open_reference, open_truth, run_data_at
from gansmith.evaluation.result import FOLDER, Evaluation
from gansmith.evaluation.translation import evaluate_translations, evaluates_translations, write_translations
from gansmith.exporting.base import Exported, choose_format
from gansmith.inference.arithmetic import arithmetic as arithmetic
from gansmith.inference.directions import directions as directions
from gansmith.inference.features import check_features_path as check_features_path
from gansmith.inference.features import features as features
from gansmith.inference.hub import is_hub_address
from gansmith.inference.image_files import WriteOptions as WriteOptions
from gansmith.inference.image_files import failures_text as failures_text
from gansmith.inference.import_weights import import_weights as import_weights
from gansmith.inference.interpolate import check_walk_path as check_walk_path
from gansmith.inference.interpolate import interpolate as interpolate
from gansmith.inference.inversion.invert import check_inversion_path as check_inversion_path
from gansmith.inference.inversion.invert import invert as invert
from gansmith.inference.latents import pick as pick
from gansmith.inference.load import is_model, load_model
from gansmith.inference.model import Model, with_weights
from gansmith.inference.open import load as load
from gansmith.inference.score import score_files as score_files
from gansmith.inference.translate import translate as translate
from gansmith.inference.translate import translate_files as translate_files
from gansmith.inference.upscale import upscale as upscale
from gansmith.inference.upscale import upscale_files as upscale_files
from gansmith.recipes import AUTO
from gansmith.recipes.layer_table import describe_networks as describe_networks
from gansmith.recipes.layer_table import example_spec as example_spec
from gansmith.reporting.comparison_page import write_comparison
from gansmith.reporting.diagnosis import diagnose as diagnose
from gansmith.reporting.display import in_notebook, picture_of, show_page, showing
from gansmith.reporting.run_results import refresh_report, write_results
from gansmith.reporting.schemas import schema as schema
from gansmith.reporting.study_plot import check_plot as check_plot
from gansmith.reporting.study_plot import draw_study as draw_study
from gansmith.reporting.sweep_page import Sweep, end_sweep
from gansmith.reporting.tracking import Tracking, parse_loggers
from gansmith.reporting.verify import Verified
from gansmith.reporting.verify import repair as repair_run
from gansmith.reporting.verify import verify as verify_files
from gansmith.runs.checkpoint import is_checkpoint, list_checkpoints
from gansmith.runs.folder import RunFolder, is_run, make_next_folder
from gansmith.runs.log import best_snapshot, read_rows
from gansmith.runs.options import PlanKeywords, RunOptions, check_save_interval
from gansmith.runs.options import RunKeywords as RunKeywords
from gansmith.runs.storage import Store
from gansmith.runs.sweep import MANY as MANY
from gansmith.runs.sweep import Search, SweepFolder, parse_vary, recipe_of
from gansmith.runs.sweep import is_sweep as is_sweep
from gansmith.training.planning.machine import examine
from gansmith.training.planning.planner import data_options, propose
from gansmith.training.planning.proposal import Proposal as Proposal
from gansmith.training.planning.resolve import DryRun as DryRun
from gansmith.training.planning.resolve import prepare_run
from gansmith.training.planning.resolve import read_recipe as read_recipe
from gansmith.training.run import Surroundings, resume_run, start_run
from gansmith.training.sweep import plan_sweep, train_sweep

RUNS = Path("runs")


@dataclass(frozen=True)
class Run:
    """A run that is finished or paused."""

    folder: Path
    finished: bool
    stopped_by: int = 0  # the number of the signal that paused it
    is_main: bool = True  # False in all but one of the processes of torchrun

    def model(self, device: str = "auto") -> Model:
        """Load the model: of the best checkpoint where snapshots were evaluated, else of the last."""
        return load_model(self.folder, device)

    @property
    def log(self) -> list[dict[str, Any]]:
        """Return the rows of numbers in log.jsonl, flat records: ``pandas.DataFrame(run.log)`` is a table of them."""
        return [row for row in read_rows(RunFolder(self.folder).log) if "event" not in row]

    @property
    def events(self) -> list[dict[str, Any]]:
        """Return the events in log.jsonl: verdicts, rollbacks, skipped steps, an early end, accepted changes."""
        return [row for row in read_rows(RunFolder(self.folder).log) if "event" in row]

    @property
    def snapshots(self) -> list[dict[str, Any]]:
        """Return the rows of snapshots.jsonl: metrics of samples and the verdict."""
        return RunFolder(self.folder).read_snapshots()

    @property
    def ended_by(self) -> VerdictName | None:
        """Return the verdict that ended the run before its length, such as "full_collapse"; None in most cases."""
        return RunFolder(self.folder).record.ended_by

    def report(self) -> Path:
        """Return the path of report.html, and show the page if this is a notebook.

        A paused run gets a report of what there is so far.
        """
        run = RunFolder.open(self.folder)
        if not run.report.is_file():
            refresh_report(run, self.model("cpu"), always=True)
        if in_notebook():
            show_page(run.report)
        return run.report

    def summary(self) -> dict[str, Any]:
        """Return what ``gansmith train --json`` prints, as JSON values; ``gansmith schema result`` describes them."""
        run = RunFolder(self.folder)
        snapshots = run.read_snapshots()
        rows = [*self.log, *read_rows(run.timing)]  # the last line of the second is of the end; rows come now and then
        best = best_snapshot(snapshots)
        return {
            "folder": str(self.folder),
            "finished": self.finished,
            "signal": signal.Signals(self.stopped_by).name if self.stopped_by else None,
            "ended_by": self.ended_by,
            "kimg": rows[-1]["kimg"] if rows else 0.0,
            "verdict": snapshots[-1]["verdict"] if snapshots else None,
            "best": best and {name: value for name, value in best.items() if not isinstance(value, dict)},
            "model": str(run.model) if run.model.is_dir() else None,
            "report": str(run.report) if run.report.is_file() else None,
        }

    def _repr_html_(self) -> str:
        run, found = RunFolder(self.folder), self.summary()
        how = "finished" if self.finished else "paused"
        shown = {"state": f"{how} at {found['kimg']:,.1f} kimg"}
        if found["ended_by"]:
            shown["ended by"] = TITLES[found["ended_by"]]
        if found["verdict"]:
            shown["verdict"] = TITLES[found["verdict"]]
        if best := found["best"]:
            name = column_of(best, "fd")
            shown["best snapshot"] = f"{name} {best[name]:.4g} at {best['kimg']:,.1f} kimg"
        shown["next"] = "run.report(), run.model().sample()" if self.finished else f"gansmith.resume('{self.folder}')"
        grid = run.grid_from(best["iteration"] if best else math.inf)
        return f"<div>{facts(str(self.folder), shown)}\n{'' if grid is None else picture_of(grid)}</div>"


def plan(
    source: DataName | Source = "fashion-sample",
    *,
    on_event: OnEvent | None = None,
    progress: bool = True,
    **keywords: Unpack[PlanKeywords],
) -> Proposal:
    """Plan a recipe for the data, the machine and the budget; pass ``proposal.recipe`` to ``train`` to use it.

    The keywords are overrides, kimg, epochs, minutes, device, precision, holdout, plugins and data_root, with the same
    meaning as in ``train``, like ``on_event`` and ``progress``. Writes only the cache of images. Raises GansmithError
    where ``train`` would.
    """
    if unknown := keywords.keys() - PlanKeywords.__optional_keys__:
        raise TypeError(f"plan() got an unexpected keyword argument '{min(unknown)}'")
    options = RunOptions.of(source, **keywords)
    load_plugins(options.plugins)
    with showing(on_event, progress=progress) as listen:
        return propose(options, start_runtime(options.device, options.precision), listen)[0]


def dry_run(source: DataName | Source, **keywords: Unpack[RunKeywords]) -> DryRun:
    """Prepare the run that ``train`` would start with the same keywords; write only the cache of images."""
    options, notes = RunOptions.of(source, **keywords), list[str]()
    runtime = start_runtime(options.device, options.precision, compiled=options.compiled)

    def note(event: Event) -> None:
        if event.message:
            notes.append(event.message)

    load_plugins(options.plugins)
    parse_loggers(options.loggers)
    prepared = prepare_run(options, runtime, note, measure=True)
    parse_loggers(options.loggers or prepared.recipe.monitor.loggers)
    return DryRun(prepared, notes, describe_networks(prepared.recipe, prepared.data.spec))


@outliving_terminal()
def train(
    source: DataName | Source = "fashion-sample",
    *,
    out: str | Path | None = None,
    on_event: OnEvent | None = None,
    progress: bool = True,
    **keywords: Unpack[RunKeywords],
) -> Run:
    """Train on images and return the run.

    ``source`` is a data set: a name, a folder, an archive or an array file. ``out`` is the new run folder; None makes
    the next free one in ``runs``. The keywords are optional and mean the same as the options of ``gansmith train``:

    - recipe: a name, a file or a Recipe ("auto"); overrides: a list of "KEY=VALUE"; plugins: a list of files
    - kimg, steps, epochs, minutes or until ("18:30"): the length, only one of them; minutes and until are the time of
      the whole call, and the length in kimg follows the speed
    - seed (0); holdout, a share of the images (0.0); data_root, a folder; init_from, a model
    - device ("auto"), precision ("auto"), compiled (False)
    - save_every_minutes: a checkpoint at least this often, besides those of the schedule
    - store: an address ("s3://bucket/faces", "gs://...", "file://...") that gets a copy of the run at each checkpoint
    - loggers: a list of trackers, such as ["wandb"] or [{"kind": "wandb", "project": "faces", "model": True}]

    It shows its progress: in a notebook as one live display, elsewhere on stderr; ``progress=False`` turns that off.
    ``on_event`` is called with every event, too (``gansmith.Event``); an exception that it raises ends the run.
    Raises GansmithError for any mistake that the user can correct, and TypeError for an unknown keyword.
    Ctrl-C saves the run and returns it unfinished; closing the terminal does not end it.
    """
    options = RunOptions.of(source, **keywords)
    runtime = start_runtime(options.device, options.precision, compiled=options.compiled)
    load_plugins(options.plugins)
    options = replace(options, loggers=_checked(options.loggers, runtime), launch=_launch(options, out))
    refuse_other_options(runtime, options.shared())
    begun = _begun(options, out, runtime)
    if begun is not None:  # torchrun has started the processes again
        return resume(
            begun, device=options.device, loggers=options.loggers or None, store=options.store, on_event=on_event,
            progress=progress,
        )  # fmt: skip
    if out:
        RunFolder.check_free(Path(out))
    with _surroundings(on_event, progress, runtime, _store_for(options.store, runtime, out=out)) as around:
        first = load_weights(options.init_from, "train", "cpu", options.plugins) if options.init_from else None
        if first is not None and first.origin is not None:
            options = replace(options, init_from=Path(first.origin.address))  # of the Hub: with the commit
        try:
            with interrupting():
                prepared = prepare_run(options, runtime, around.on_event)
        except Stopped as stopped:
            text = f"{stopped.name} before the first step: nothing is trained yet\n  start again with the same command"
            raise StoppedError("run.stopped", text) from stopped
        options = replace(options, loggers=options.loggers or _checked(prepared.recipe.monitor.loggers, runtime))
        name = run_name(prepared.recipe.name, prepared.source.name)
        made = "" if out or not runtime.is_main else str(make_next_folder(RUNS, name))
        folder = Path(out) if out else Path(runtime.broadcast_text(made or "-"))  # the text of the main process counts
        try:
            stopped_by = start_run(folder, prepared, options, runtime, around, first)
        except BaseException:
            if made:
                with suppress(OSError):  # not empty: there is something to resume or to read
                    folder.rmdir()
            raise
    return Run(folder, stopped_by == 0, stopped_by, runtime.is_main)


def _launch(options: RunOptions, out: str | Path | None) -> str | None:
    """Return what a run of torchrun is recognised by after a restart: the start, and a digest of the options."""
    name = launch_id()
    source = str(getattr(options.source, "location", options.source))
    return name and f"{name}:{digest_of((replace(options, source=source, began=0.0), str(out)))}"


def _begun(options: RunOptions, out: str | Path | None, runtime: Runtime) -> Path | None:
    """Return the run that this start by torchrun made before a restart, for all processes; None without one."""
    if options.launch is None:
        return None
    found = RunFolder.of_launch(options.launch, [Path(out)] if out else RUNS.glob("*")) if runtime.is_main else None
    text = runtime.broadcast_text(str(found.path) if found else "-")
    return None if text == "-" else Path(text)


def run_name(recipe: str, data: str) -> str:
    """Return the name of a run folder without its number; it needs no quotes in a shell."""
    slug = re.sub(r"[^\w.]+", "-", data).strip("-.")[:64]
    slug = slug if can_be_path(slug) else re.sub(r"[^A-Za-z0-9_.]+", "-", slug).strip("-.")
    return f"{recipe}-{slug or 'data'}"


def _checked(loggers: str | dict[str, Any] | Sequence[Any], runtime: Runtime) -> tuple[dict[str, Any], ...]:
    """Return loggers as run.json holds them, after checking them in the main process."""
    found = parse_loggers(loggers, check=runtime.is_main)
    return tuple({"kind": logger.kind, **logger.model_dump(mode="json")} for logger in found)


@contextmanager
def _surroundings(
    on_event: OnEvent | None, progress: bool, runtime: Runtime, store: Store | None
) -> Iterator[Surroundings]:
    """Yield the listener, the loggers of run.json and the writer of results; only the main process has a listener."""
    main = runtime.is_main
    with showing(on_event if main else None, progress=progress and main) as listen:
        yield Surroundings(
            listen,
            lambda run: Tracking.open(run, parse_loggers(run.record.loggers, check=False), listen),
            lambda run, listener, has_time_for: write_results(run, load_model(run.path, "cpu"), listener, has_time_for),
            silent if store is None else store.push,
        )


def _store_for(
    address: str | None, runtime: Runtime, *, run: RunFolder | None = None, out: str | Path | None = None
) -> Store | None:
    """Return the storage of a new run, or of ``run``, in the main process, after claiming it; None without one."""
    if address is None or not runtime.is_main:
        return None
    store = Store(address)
    store.claim(run, Path(out) if out else None)
    return store


def _opened(folder: str | Path, store: str | None) -> RunFolder:
    """Open a run; one that is not on this machine is fetched from its storage first."""
    if store and not Path(folder).exists():
        Store(store).pull(Path(folder))
    return RunFolder.open(Path(folder))


@outliving_terminal()
def resume(
    folder: str | Path,
    *,
    kimg: float | None = None,
    device: str | None = None,
    accept_changes: bool = False,
    loggers: Sequence[Any] | None = None,
    save_every_minutes: float | None = None,
    store: str | None = None,
    on_event: OnEvent | None = None,
    progress: bool = True,
) -> Run:
    """Continue a run from its newest checkpoint and return it.

    A run with a time limit has the time that its earlier commands left; pauses do not count, except with ``until``.
    ``kimg`` changes the length, ``device`` the device; None keeps the run's own. ``accept_changes`` continues although
    recipe, data, torch, threads or device changed, or the run's device is missing. The log records all of this.
    ``loggers`` replaces the loggers of the run; [] ends all of them. ``save_every_minutes`` replaces the run's own.
    ``store`` replaces the run's address in object storage, "" ends the copies; a folder that does not exist is fetched
    from it. ``on_event`` and ``progress`` are as in ``train``.
    Raises CheckpointError for a folder that cannot be continued exactly.
    """
    began = clock.began()
    check_save_interval(save_every_minutes)
    run = _opened(folder, store)
    record = run.record
    load_plugins(record.plugin_files)
    known = record.numerics
    try:
        runtime = start_runtime(device or known.device, known.precision, compiled=known.compiled)
    except GansmithError as problem:
        if device is not None or problem.code != "machine.device_missing":
            raise
        if not accept_changes:
            raise GansmithError(
                problem.code,
                f"{str(problem).splitlines()[0]}, which '{run.path}' was trained on"
                f"\n  to go on with another one: gansmith resume {shlex.quote(str(run.path))} --accept-changes",
            ) from problem
        runtime = start_runtime("auto", known.precision, compiled=known.compiled)
    newest = next((folder.name for folder in list_checkpoints(run.checkpoints) if is_checkpoint(folder)), "none")
    alike = {"kimg": kimg, "accept_changes": accept_changes, "store": store}
    refuse_other_options(runtime, {**alike, "creation of the run": record.created, "newest checkpoint": newest})
    specs = _checked(record.loggers if loggers is None else loggers, runtime)
    place = (record.store if store is None else store) or None
    try:
        copies = _store_for(place, runtime, run=run)
    except GansmithError as problem:
        if store is not None:
            raise
        without = f"to continue without a copy: gansmith resume {shlex.quote(str(run.path))} --store none"
        raise GansmithError(problem.code, f"{problem}\n  {without}") from problem
    with _surroundings(on_event, progress, runtime, copies) as around:
        stopped_by = resume_run(
            run.path, runtime, around, kimg=kimg, accept_changes=accept_changes, loggers=specs,
            save_every_minutes=record.save_every_minutes if save_every_minutes is None else save_every_minutes,
            store=place, began=began,
        )  # fmt: skip
    return Run(run.path, stopped_by == 0, stopped_by, runtime.is_main)


def train_on_ray(
    source: DataName | Source = "fashion-sample",
    *,
    on: str = "local",
    workers: int = 1,
    gpus_per_worker: int = 0,
    out: str | Path | None = None,
    **keywords: Unpack[RunKeywords],
) -> Run:
    """Train as ``train`` does, in workers of Ray, which start again after a crash and go on exactly.

    ``on`` is "local" or the address of a cluster, "ray://HOST:PORT". The run folder and the data have to be on a disk
    that all workers share. Raises GansmithError as ``train`` does, without Ray, and if nobody answers.
    """
    RunOptions.of(source, **keywords)
    return run_together(partial(train, source, out=out, **keywords), on, workers, gpus_per_worker)


def resume_on_ray(
    folder: str | Path, *, on: str = "local", workers: int = 1, gpus_per_worker: int = 0, **keywords: Any
) -> Run:
    """Continue a run as ``resume`` does, in workers of Ray; see ``train_on_ray``."""
    _opened(folder, keywords.get("store"))
    return run_together(partial(resume, folder, **keywords), on, workers, gpus_per_worker)


def sweep(
    source: DataName | Source = "fashion-sample",
    vary: Mapping[str, Sequence[Any]] | Sequence[str] = (),
    *,
    seeds: int | Sequence[int] = 3,
    search: Search = "grid",
    trials: int | None = None,
    patience: int | None = None,
    out: str | Path | None = None,
    most_runs: int = MANY,
    on: str | None = None,
    gpus_per_run: float = 0.0,
    on_event: OnEvent | None = None,
    progress: bool = True,
    **keywords: Unpack[RunKeywords],
) -> Sweep:
    """Train a recipe with every combination of values and seeds, and compare them.

    ``vary`` maps keys of the recipe to values, or has texts such as "lr=1e-4,2e-4". ``seeds`` is a number, or the
    seeds. With ``search="optuna"`` only ``trials`` combinations are trained, and a value may be a range: "1e-5..1e-3".
    A run ends early at mode collapse or divergence, and after ``patience`` snapshots without improvement. The keywords
    are those of ``train`` for every run: recipe, overrides, a length, device, ... With ``holdout`` every run is
    evaluated. The runs come one after the other, or with ``on`` ("local", "ray://HOST:PORT") at once in workers of Ray.
    The same call with the same ``out`` continues a sweep that was stopped.

    Raises GansmithError for a combination that is no recipe, and for more than ``most_runs`` runs.
    """
    _refuse_sweep_in_processes()
    if isinstance(keywords.get("recipe", AUTO), str) and keywords.get("recipe", AUTO) == AUTO:
        raise GansmithError(
            "run.sweep_needs_recipe",
            "a sweep needs --recipe: 'auto' would plan each run anew"
            "\n  'gansmith recipes' lists the recipes; to plan one for your data: gansmith plan DATA --out FILE.yaml",
        )
    if keywords.get("until") is not None or "seed" in keywords:
        name = "seed" if "seed" in keywords else "until"
        raise TypeError(f"sweep() has no keyword '{name}': pass seeds, and minutes for the time of each run")
    rest: dict[str, Any] = {**keywords}
    monitored = ["monitor.on_collapse=stop", *([] if patience is None else [f"monitor.patience={patience}"])]
    plugins = [os.path.realpath(plugin) for plugin in rest.pop("plugins", ())]
    recipe = read_recipe(rest.pop("recipe"), (*monitored, *rest.pop("overrides", ())), [Path(each) for each in plugins])
    RunOptions.of(source, **rest)  # refuses two lengths
    root = Path(rest["data_root"]) if rest.get("data_root") else None
    found = find_source(source, root)
    for name in ("data_root", "init_from"):
        if rest.get(name):
            rest[name] = str(rest[name] if is_hub_address(rest[name]) else os.path.realpath(rest[name]))
    record = plan_sweep(
        found.location,
        {key: tuple(map(str, each)) for key, each in vary.items()} if isinstance(vary, Mapping) else parse_vary(vary),
        recipe, seeds=range(seeds) if isinstance(seeds, int) else seeds, search=search, trials=trials, most=most_runs,
        keywords={name: value for name, value in {**rest, "plugins": plugins}.items() if value not in (None, [])},
    )  # fmt: skip
    if on is not None:
        connected(on)  # before anything is written
    folder = Path(out) if out else make_next_folder(RUNS, f"sweep-{run_name(recipe.name, found.name)}")
    return _swept(SweepFolder.begin(folder, record), on, gpus_per_run, on_event, progress)


def resume_sweep(
    folder: str | Path,
    *,
    on: str | None = None,
    gpus_per_run: float = 0.0,
    on_event: OnEvent | None = None,
    progress: bool = True,
) -> Sweep:
    """Train the runs of a sweep that are left, and compare all; CheckpointError for a folder that is no sweep."""
    _refuse_sweep_in_processes()
    return _swept(SweepFolder.open(Path(folder)), on, gpus_per_run, on_event, progress)


def _refuse_sweep_in_processes() -> None:
    """Raise GansmithError where torchrun has started several processes: each would train the whole sweep."""
    if (size := rank_and_size()[1]) > 1:
        raise GansmithError(
            "run.sweep_in_processes",
            f"a sweep trains its runs one after the other in one process, and this is one of {size}"
            "\n  leave out torchrun; to train several runs at once, add --on local",
        )


@outliving_terminal()
def _swept(folder: SweepFolder, on: str | None, gpus_each: float, on_event: OnEvent | None, progress: bool) -> Sweep:
    shown: dict[str, Any] = {"on_event": on_event, "progress": progress} if on is None else {"progress": False}
    with showing(on_event, progress=progress) as listen:
        folder.lock()
        try:
            with suppress(Stopped), interrupting():
                train_sweep(folder, partial(train_swept, **shown), listen, on=on, gpus_each=gpus_each)
            return end_sweep(folder)
        finally:
            folder.unlock()


def train_swept(path: Path, name: str, on_event: OnEvent | None = None, progress: bool = True) -> bool:
    """Train or continue one run of the sweep in a folder, and evaluate it if images are held out.

    Return False if a signal paused it. Raises GansmithError as ``train`` does.
    """
    record, folder = SweepFolder(path).record, path / name
    run = record.run(name)
    if any(is_checkpoint(each) for each in list_checkpoints(folder / "checkpoints")):
        done = resume(folder, on_event=on_event, progress=progress)
    else:
        shutil.rmtree(folder, ignore_errors=True)  # nothing is trained yet
        load_plugins(tuple(Path(plugin) for plugin in record.keywords.get("plugins", ())))
        done = train(
            record.source, out=folder, recipe=recipe_of(record), overrides=run.changes, seed=run.seed,
            on_event=on_event, progress=progress, **record.keywords,
        )  # fmt: skip
    if done.finished and record.keywords.get("holdout"):
        evaluate(folder, device=record.keywords.get("device", "auto"), on_event=on_event, progress=progress)
    return done.finished


def load_weights(path: str | Path, verb: str, device: str = "auto", plugins: Sequence[str | Path] = ()) -> Model:
    """Load a model that torch runs; ModelError, which names ``verb``, for an .onnx file."""
    return with_weights(load(path, device, plugins), verb)


def from_pretrained(
    repo: str, revision: str | None = None, device: str = "auto", plugins: Sequence[str | Path] = ()
) -> Model:
    """Load a model of the Hugging Face Hub: NAME/REPO, with a branch, tag or commit; see ``load``."""
    return load_weights(f"hf:{repo}" + (f"@{revision}" if revision else ""), "load", device, plugins)


def check(
    source: str | Path,
    *,
    overrides: Sequence[str] = (),
    size: str | None = None,
    channels: int | None = None,
    data_root: str | Path | None = None,
    on_progress: OnProgress | None = None,
) -> CheckReport:
    """Check every image of a data set; ``on_progress`` is called for each. Raises DataError without images.

    ``overrides`` are options of the data, such as "labels=none".
    """
    report = on_progress or PlainLines().show
    chosen = {name: value for name, value in (("size", size), ("channels", channels)) if value is not None}
    options = DataOptions.model_validate({**data_options(tuple(overrides)).model_dump(), **chosen})
    return check_data(source, options, root=Path(data_root) if data_root else None, on_progress=report)


def verify(path: str | Path) -> Verified:
    """Check every file of a run, a model folder or the cache ("cache") against its checksum."""
    return verify_files(path)


def repair(folder: str | Path) -> list[str]:
    """Repair a run from its undamaged files; return in words what was done. ``verify`` says what is damaged.

    Raises CheckpointError for a folder without a whole checkpoint.
    """
    return repair_run(folder)


def list_data(data_root: str | Path | None = None) -> list[dict[str, Any]]:
    """Return name, splits, contents, licence and folder of each named data set, and whether its files are there."""
    return list_named_sets(Path(data_root) if data_root else None)


def clean_cache() -> int:
    """Delete the cache of decoded images and return the number of bytes freed."""

    return cache_folder.clean_cache()


def evaluate(
    path: str | Path,
    source: str | Path | None = None,
    *,
    options: EvaluationOptions | None = None,
    out: str | Path | None = None,
    device: str = "auto",
    plugins: Sequence[str | Path] = (),
    data_root: str | Path | None = None,
    on_event: OnEvent | None = None,
    progress: bool = True,
) -> tuple[Evaluation, Path | None]:
    """Evaluate a model on images that it was not trained on, or images of any tool; return the result and its file.

    ``path`` is a model (a run, a model folder, a file, hf:NAME/REPO) or else a data set, whose images are judged.
    ``source`` is the reference set, a data set; None takes the images that the run held out. ``out`` is a folder; None:
    ``evaluation`` in the model's folder, and no file for a data set. ``on_event`` and ``progress`` are those of
    ``train``. Processes that torchrun has started share the work; only the main one shows progress and writes. Raises
    GansmithError for a model or images that cannot be evaluated.
    """
    with sharing(device) as runtime:
        return _evaluate(
            path, source, options or EvaluationOptions(), out, device, plugins, data_root, on_event,
            progress=progress and runtime.is_main, writes=runtime.is_main,
        )  # fmt: skip


def _evaluate(
    path: str | Path,
    source: str | Path | None,
    options: EvaluationOptions,
    out: str | Path | None,
    device: str,
    plugins: Sequence[str | Path],
    data_root: str | Path | None,
    on_event: OnEvent | None,
    *,
    progress: bool,
    writes: bool,
) -> tuple[Evaluation, Path | None]:
    folder = Path(path)
    if not is_model(path):
        out = out if writes else None
        return _evaluate_images(path, source, options, out, plugins, data_root, on_event, progress)
    model = load_weights(path, "evaluate", device, plugins)
    if not evaluates_translations(model.method):
        model.latent_method("evaluate")  # before any features are computed
    run_data = run_data_at(folder)
    wanted = None if source is None else str(source)
    root = Path(data_root) if data_root else None
    if out is None and is_hub_address(path):
        raise GansmithError(
            "output.folder_needed", f"'{path}' is on the Hub, so the result needs another folder\n  pass --out FOLDER"
        )
    place = Path(out) if out else (folder if folder.is_dir() else folder.parent) / FOLDER
    with showing(on_event, progress=progress) as listen:
        report = progress_events(listen)
        found = open_reference(
            model.record.data, run_data, wanted, root=root, on_training=options.on_training, on_progress=report
        )
        if evaluates_translations(model.method):
            truth = open_truth(model.record.data, run_data, options.truth, root)
            result, picture = evaluate_translations(model, *found, options, truth, on_progress=report)
            path = write_translations(result, picture, place) if writes else place
        else:
            result, evidence = evaluate_model(model, *found[:2], options, training=found[2], on_progress=report)
            path = write_evaluation(result, evidence, place) if writes else place
    if out is None and writes and is_run(folder):
        refresh_report(RunFolder.open(folder), model)
    return result, path


def _evaluate_images(
    judged: str | Path,
    reference: str | Path | None,
    options: EvaluationOptions,
    out: str | Path | None,
    plugins: Sequence[str | Path],
    data_root: str | Path | None,
    on_event: OnEvent | None,
    progress: bool,
) -> tuple[Evaluation, Path | None]:
    load_plugins(tuple(Path(plugin) for plugin in plugins))
    root = Path(data_root) if data_root else None
    with showing(on_event, progress=progress) as listen:
        report = progress_events(listen)
        named = None if reference is None else str(reference)
        sets = open_image_sets(str(judged), named, options.training, root=root, on_progress=report)
        result, evidence = evaluate_images(sets, options, on_progress=report)
    return result, write_evaluation(result, evidence, Path(out)) if out else None


def export(
    path: str | Path | Model,
    to: str = "onnx",
    *,
    out: str | Path | None = None,
    raw: bool = False,
    plugins: Sequence[str | Path] = (),
    **options: str | None,
) -> list[Exported]:
    """Write a model, or the model of a path, for other programs; return the files, one for each generator.

    ``to`` is a format: onnx, html, html-film, torch-export, safetensors, hub-folder. ``out`` is a file, or the folder
    of hub-folder; None: the generator's name in this folder. ``raw`` takes the weights without EMA. ``options`` are
    those of the format, for onnx ``weights="fp16"`` and ``quantize="int8"``; None and "fp32" are the defaults. An onnx
    file is run and compared with torch before it is kept. Raises GansmithError for an unknown format or option, a
    library that is missing, and an output that exists; ModelError for a model that this format cannot hold.
    """
    load_plugins(tuple(Path(plugin) for plugin in plugins))
    chosen = choose_format(to, options)
    model = load_weights(path, "export", "cpu") if isinstance(path, str | Path) else with_weights(path, "export")
    run = RunFolder.open(model.origin.path) if model.origin is not None and is_run(model.origin.path) else None
    return chosen.export(model, None if out is None else Path(out), raw=raw, run=run)


def compare(
    runs: Sequence[str | Path],
    *,
    out: str | Path | None = None,
    device: str = "auto",
    plugins: Sequence[str | Path] = (),
) -> tuple[Comparison, Path | None]:
    """Compare two to eight runs by their logs and last evaluations, and write the HTML file ``out``.

    Raises CheckpointError for a folder that is no run, MetricError for evaluations with different protocols.
    """
    load_plugins(tuple(Path(plugin) for plugin in plugins))
    found = compare_runs([Path(run) for run in runs], device)
    return found, None if out is None else write_comparison(found, Path(out))


def examine_machine() -> dict[str, str]:
    """Return versions, processors, speed, disk and extras of this machine, by name."""
    return examine()


def score(
    model: Model,
    paths: Sequence[str | Path],
    label: str | None = None,
    how: str = "discriminator",
    *,
    on_event: OnEvent | None = None,
    progress: bool = True,
) -> list[tuple[str, float]]:
    """Score how typical images are of a model's training data; ``paths`` are files or folders. See ``score_files``.

    A damaged file is left out, with a warning.
    """
    with showing(on_event, progress=progress) as listen:

        def warn(file: str, reason: str) -> None:
            listen(MessageEvent("warning", f"left out: {file} ({reason})", {"file": file, "reason": reason}))

        return list(score_files(model, paths, label, how, on_left_out=warn, on_failed=warn))
