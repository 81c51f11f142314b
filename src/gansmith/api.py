"""The verbs as plain functions: all that the command line and the web page call."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

from gansmith.core.events import Event, OnEvent, PlainLines, silent
from gansmith.core.registry import load_plugins
from gansmith.core.runtime import Runtime, start_runtime
from gansmith.core.signals import outliving_terminal
from gansmith.data.base import DataOptions, Source
from gansmith.data.find import DataName
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
from gansmith.evaluation.evaluate import evaluate as evaluate_samples
from gansmith.evaluation.reference import open_reference, open_truth, run_data_of
from gansmith.evaluation.result import FOLDER, Evaluation
from gansmith.evaluation.translation import evaluate_translations, evaluates_translations, write_translations
from gansmith.inference.arithmetic import arithmetic as arithmetic
from gansmith.inference.directions import directions as directions
from gansmith.inference.features import check_features_path as check_features_path
from gansmith.inference.features import features as features
from gansmith.inference.interpolate import check_walk_path as check_walk_path
from gansmith.inference.interpolate import interpolate as interpolate
from gansmith.inference.inversion.invert import check_inversion_path as check_inversion_path
from gansmith.inference.inversion.invert import invert as invert
from gansmith.inference.latents import pick as pick
from gansmith.inference.load import load_model
from gansmith.inference.model import Model
from gansmith.inference.score import score_files
from gansmith.inference.translate import translate as translate
from gansmith.inference.translate import translate_files as translate_files
from gansmith.inference.upscale import upscale as upscale
from gansmith.inference.upscale import upscale_files as upscale_files
from gansmith.planning.proposal import Proposal as Proposal
from gansmith.planning.resolve import DryRun as DryRun
from gansmith.planning.resolve import dry_run as dry_run
from gansmith.planning.resolve import plan as plan
from gansmith.planning.resolve import prepare_run
from gansmith.planning.resolve import read_recipe as read_recipe
from gansmith.recipes.layer_table import describe_networks as describe_networks
from gansmith.recipes.layer_table import example_spec as example_spec
from gansmith.reporting.comparison_page import write_comparison
from gansmith.reporting.diagnosis import diagnose as diagnose
from gansmith.reporting.run_results import refresh_report, write_results
from gansmith.reporting.study_plot import check_plot as check_plot
from gansmith.reporting.study_plot import draw_study as draw_study
from gansmith.reporting.tensorboard import TensorBoardLog
from gansmith.runs.folder import RunFolder, is_run, next_folder
from gansmith.runs.log import read_rows
from gansmith.runs.options import RunKeywords as RunKeywords
from gansmith.runs.options import RunOptions
from gansmith.runs.record import numerics_of
from gansmith.training.run import Surroundings, resume_run, start_run

if TYPE_CHECKING:
    from gansmith.data.check import CheckReport

RUNS = Path("runs")


@dataclass(frozen=True)
class Run:
    """A run that has ended or was paused."""

    folder: Path
    finished: bool
    stopped_by: int = 0  # the signal that asked for a pause
    is_main: bool = True  # False in the other processes of torchrun

    def model(self, device: str = "auto") -> Model:
        """Return the model as it is now."""
        return load_model(self.folder, device)

    def rows(self) -> list[dict[str, Any]]:
        """Return the rows of log.jsonl."""
        return read_rows(RunFolder(self.folder).log)


@outliving_terminal()
def train(
    source: DataName | Source = "fashion-sample",
    *,
    out: str | Path | None = None,
    on_event: OnEvent | None = None,
    **keywords: Unpack[RunKeywords],
) -> Run:
    """Train on images and return the run.

    ``source`` is a data set: a name, a folder, an archive, an array file. ``out`` is the new run folder; None takes the
    next free one under ``runs``. Keywords, all optional, have the meaning of the options of ``gansmith train``:

    - recipe (default "auto"; a name, a file, or a Recipe), overrides (a list of "KEY=VALUE"), plugins (files)
    - one of kimg, steps, epochs, minutes
    - seed (0), holdout (0.0), data_root, init_from (a model)
    - device ("auto"), precision ("auto"), compiled (False)

    Without ``on_event`` it prints lines on stderr; ``on_event=gansmith.silent`` prints nothing. So do all verbs here,
    some with ``on_progress``. Raises a GansmithError for anything that a user can mend, TypeError for an unknown
    keyword. Ctrl-C saves and returns a run that is not finished; a terminal that is closed does not end the run.
    """
    options = RunOptions.of(source, **keywords)
    runtime = start_runtime(options.device, options.precision, compiled=options.compiled)
    around = _surroundings(on_event, runtime)
    if out:
        RunFolder.check_free(Path(out))
    prepared = prepare_run(options, runtime, around.on_event)
    name = run_name(prepared.recipe.name, prepared.source.name)
    folder = Path(out) if out else Path(runtime.broadcast_text(str(next_folder(RUNS, name))))
    first_weights = load_model(options.init_from, "cpu").networks if options.init_from else None
    signal = start_run(folder, prepared, options, runtime, around, first_weights)
    return Run(folder, signal == 0, signal, runtime.is_main)


def run_name(recipe: str, data: str) -> str:
    """Return the name of a run folder, without its number: what needs no quotes in a shell."""
    slug = re.sub(r"[^\w.]+", "-", data).strip("-.")[:64]
    return f"{recipe}-{slug or 'data'}"


def _surroundings(on_event: OnEvent | None, runtime: Runtime) -> Surroundings:
    """Return what training calls outside of itself; only the main process reports."""
    return Surroundings(
        on_event or PlainLines() if runtime.is_main else silent,
        lambda run, iteration: TensorBoardLog.open(run.path / "tensorboard", iteration),
        lambda run, listener: write_results(run, load_model(run.path, "cpu"), listener),
    )


@outliving_terminal()
def resume(
    folder: str | Path,
    *,
    kimg: float | None = None,
    accept_changes: bool = False,
    on_event: OnEvent | None = None,
) -> Run:
    """Go on with a run; ``kimg`` gives it another length, which is logged as a change."""
    run = RunFolder.open(Path(folder))
    record = run.record
    load_plugins(tuple(Path(plugin["file"]) for plugin in record["plugins"]))
    known = numerics_of(record)
    runtime = start_runtime(known["device"], known["precision"], compiled=known["compiled"])
    around = _surroundings(on_event, runtime)
    signal = resume_run(run.path, runtime, around, kimg=kimg, accept_changes=accept_changes)
    return Run(run.path, signal == 0, signal, runtime.is_main)


def load(path: str | Path, device: str = "auto", plugins: Sequence[str | Path] = ()) -> Model:
    """Return the model of a run folder, a model folder or a .safetensors file."""
    load_plugins(tuple(Path(plugin) for plugin in plugins))
    return load_model(path, device)


def check(
    source: str | Path,
    *,
    size: str | None = None,
    channels: int | None = None,
    data_root: str | Path | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> "CheckReport":
    """Look at a data set without training on it; ``on_progress(done, total)`` is called for each image."""
    from gansmith.data.check import check_data

    lines = PlainLines()
    tell = on_progress or (lambda done, total: lines.tell("reading images", done, total))
    options = DataOptions.model_validate({"size": size, "channels": channels})
    return check_data(source, options, root=Path(data_root) if data_root else None, on_progress=tell)


def list_data(data_root: str | Path | None = None) -> list[dict[str, Any]]:
    """Return name, splits, contents, licence of each data set with a name, whether it is here, and where it goes."""
    from gansmith.data.datasets.base import list_named_sets

    return list_named_sets(Path(data_root) if data_root else None)


def clean_cache() -> int:
    """Delete the cache of decoded images and return the number of bytes freed."""
    from gansmith.data import cache_folder

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
) -> tuple[Evaluation, Path]:
    """Evaluate a model against images it was not trained on; return the metrics and the JSON file that holds them.

    ``source`` is a data set; None takes the images that the run held out. ``out`` is a folder; None: ``evaluation``
    in the model's folder. Raises a GansmithError for a model or data that cannot be evaluated.
    """
    options, listen = options or EvaluationOptions(), on_event or PlainLines()

    def tell(what: str, done: int, total: int) -> None:
        listen(Event("data", values={"what": what, "done": done, "total": total}))

    model, folder = load(path, device, plugins), Path(path)
    if not evaluates_translations(model.method):
        model.latent_method("evaluate")  # before any features are computed
    run_data = run_data_of(RunFolder.open(folder)) if is_run(folder) else None
    wanted = None if source is None else str(source)
    root = Path(data_root) if data_root else None
    found = open_reference(
        model.record.data, run_data, wanted, root=root, on_training=options.on_training, on_progress=tell
    )
    place = Path(out) if out else (folder if folder.is_dir() else folder.parent) / FOLDER
    if evaluates_translations(model.method):
        truth = open_truth(model.record.data, run_data, options.truth, root)
        result, picture = evaluate_translations(model, *found, options, truth, on_progress=tell)
        path = write_translations(result, picture, place)
    else:
        result, evidence = evaluate_samples(model, *found[:2], options, training=found[2], on_progress=tell)
        path = write_evaluation(result, evidence, place)
    if run_data is not None and out is None:
        refresh_report(RunFolder.open(folder), model)
    return result, path


def compare(
    runs: Sequence[str | Path],
    *,
    out: str | Path | None = None,
    device: str = "auto",
    plugins: Sequence[str | Path] = (),
) -> tuple[Comparison, Path | None]:
    """Compare two to eight run folders by their logs and last judgements; ``out`` is the HTML file that is written.

    Raises CheckpointError for a folder that is no run, MetricError for judgements under protocols that differ.
    """
    load_plugins(tuple(Path(plugin) for plugin in plugins))
    found = compare_runs([Path(run) for run in runs], device)
    return found, None if out is None else write_comparison(found, Path(out))


def examine_machine() -> dict[str, str]:
    """Return what this machine has and how fast it is, by name."""
    from gansmith.planning.machine import examine

    return examine()


def score(
    model: Model,
    paths: Sequence[str | Path],
    label: str | None = None,
    how: str = "discriminator",
    *,
    on_event: OnEvent | None = None,
) -> list[tuple[str, float]]:
    """Return how usual image files, or folders of them, are to a model; see ``score_files``.

    A damaged file in a folder is told as a warning and left out.
    """

    listen = on_event or PlainLines()

    def tell(file: str, reason: str) -> None:
        listen(Event("warning", f"left out: {file} ({reason})", {"file": file, "reason": reason}))

    return score_files(model, paths, label, how, on_left_out=tell)
