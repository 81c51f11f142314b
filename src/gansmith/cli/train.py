"""``gansmith train``: train a GAN, or prepare a run and print it."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gansmith.cli.options import (
    ENDED_BY_VERDICT,
    MORE,
    PAUSED,
    AsJson,
    DataAndChanges,
    DataRoot,
    Device,
    Epochs,
    GpusPerWorker,
    Holdout,
    Kimg,
    Labels,
    Loggers,
    Minutes,
    On,
    Plugin,
    Precision,
    Processes,
    SaveEvery,
    Until,
    Workers,
    ZipEncoding,
    data_overrides,
    flag,
    in_processes,
    refuse_workers_without_ray,
)
from gansmith.cli.text import json_text, tell, wrap_lines
from gansmith.core.errors import GansmithError
from gansmith.core.events import duration, say, say_result
from gansmith.recipes import AUTO

if TYPE_CHECKING:
    from gansmith import api

    # Here: both import torch.
    from gansmith.data.sources.domains import Domains
    from gansmith.data.sources.pairs import FolderPairs

RunFolder = Annotated[
    Path | None, typer.Option(metavar="FOLDER", help="New folder for the run.", show_default="runs/NAME-001")
]
RecipeName = Annotated[str, typer.Option(metavar="NAME", help="Recipe from 'gansmith recipes', or a YAML file.")]
Seed = Annotated[int, typer.Option(metavar="N", help="Random seed.", min=0)]
DryRun = Annotated[bool, flag("--dry-run", "Print networks, length, speed and recipe, without training.")]
Task = Annotated[
    str | None,
    typer.Option(
        metavar="TASK",
        help="Learn image to image, with sources made from DATA: colorize, edges, deblur, denoise, inpaint, upscale2 "
        "or upscale4.",
        rich_help_panel=MORE,
    ),
]
Pairs = Annotated[
    bool,
    flag(
        "--pairs",
        "Learn image to image from pairs: images with source left and target right, or two folders with equal file "
        "names (SOURCES TARGETS).",
        MORE,
    ),
]
Direction = Annotated[
    str | None,
    typer.Option(
        metavar="ORDER",
        help="Order of the two sides of --pairs: source-target, or target-source.",
        show_default="source-target",
        rich_help_panel=MORE,
    ),
]
From = Annotated[
    str | None,
    typer.Option(
        "--from",
        metavar="DATA",
        help="Learn to translate these images into images like those of --to, and back, without pairs.",
        rich_help_panel=MORE,
    ),
]
To = Annotated[
    str | None, typer.Option(metavar="DATA", help="Images of the other kind; see --from.", rich_help_panel=MORE)
]
InitFrom = Annotated[
    Path | None,
    typer.Option(
        metavar="MODEL", help="Start from the layers of this model that fit, also hf:NAME/REPO.", rich_help_panel=MORE
    ),
]
Patience = Annotated[
    int | None,
    typer.Option(
        metavar="N", help="Stop after N snapshots without improvement, or at mode collapse.", rich_help_panel=MORE
    ),
]
OnCollapse = Annotated[
    str | None,
    typer.Option(
        metavar="ACTION",
        help="At mode collapse or divergence: warn, stop, or rollback (to the best checkpoint, half the learning "
        "rates).",
        rich_help_panel=MORE,
    ),
]
Steps = Annotated[int | None, typer.Option(metavar="N", help="Train for N iterations.", rich_help_panel=MORE)]
Compile = Annotated[bool, flag("--compile", "Compile networks: slow start, faster on GPUs.", MORE)]


def train(
    words: DataAndChanges = None,
    recipe: RecipeName = AUTO,
    minutes: Minutes = None,
    kimg: Kimg = None,
    epochs: Epochs = None,
    out: RunFolder = None,
    seed: Seed = 0,
    device: Device = "auto",
    holdout: Holdout = 0.0,
    dry_run: DryRun = False,
    as_json: AsJson = False,
    task: Task = None,
    pairs: Pairs = False,
    direction: Direction = None,
    start: From = None,
    to: To = None,
    init_from: InitFrom = None,
    patience: Patience = None,
    on_collapse: OnCollapse = None,
    steps: Steps = None,
    until: Until = None,
    precision: Precision = "auto",
    compiled: Compile = False,
    save_every_minutes: SaveEvery = None,
    store: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS",
            help="Copy the run there at each checkpoint: s3://, gs:// or file://.",
            rich_help_panel=MORE,
        ),
    ] = None,
    processes: Processes = None,
    on: On = None,
    workers: Workers = 1,
    gpus_per_worker: GpusPerWorker = 0,
    logger: Loggers = None,
    plugin: Plugin = None,
    labels: Labels = None,
    zip_encoding: ZipEncoding = None,
    data_root: DataRoot = None,
) -> None:
    """Train a GAN on your images.

    Without DATA it trains on fashion-sample: 10,000 pictures of clothes.
    The recipe 'auto' fits images, machine and time; 'gansmith plan' explains it.

    Example: gansmith train photos/ --minutes 30

    Example: gansmith train photos/ --recipe dcgan batch_size=128 --kimg 500
    """
    refuse_workers_without_ray(on, workers, gpus_per_worker, processes)
    if not dry_run:
        in_processes(processes)
    unpaired = start is not None or to is not None
    if unpaired:
        names, overrides = unpaired_data_and_overrides(words or [], start, to)
    else:
        names, overrides = data_and_overrides(words or [], pairs=pairs)
    recipe, task_overrides = translation_recipe(recipe, task, pairs, unpaired)
    task_overrides += data_overrides(labels, zip_encoding, direction, pairs=pairs)
    from gansmith import api  # here and below: the command line starts without torch

    source = _source(names, unpaired=unpaired, pairs=pairs)
    keywords: api.RunKeywords = {
        "recipe": recipe,
        "overrides": [*task_overrides, *overrides, *_snapshot_overrides(patience, on_collapse)],
        "kimg": kimg, "steps": steps, "epochs": epochs, "minutes": minutes, "until": until,
        "seed": seed, "holdout": holdout, "init_from": init_from, "plugins": plugin or [], "data_root": data_root,
        "device": device, "precision": precision, "compiled": compiled,
        "loggers": logger or [], "save_every_minutes": save_every_minutes, "store": store,
    }  # fmt: skip
    if dry_run:
        found = api.dry_run(source, **keywords)
        tell(json_text(found.to_json()) if as_json else "\n".join(_dry_run_lines(found)))
        return
    if on is not None:
        run = api.train_on_ray(source, on=on, workers=workers, gpus_per_worker=gpus_per_worker, out=out, **keywords)
    else:
        run = api.train(source, out=out, **keywords)
    print_run(run, as_json=as_json)


def translation_recipe(recipe: str, task: str | None, pairs: bool, unpaired: bool = False) -> tuple[str, list[str]]:
    """Return the recipe and overrides for --task, --pairs, or --from with --to."""
    if task is not None and pairs:
        raise GansmithError(
            "cli.task_and_pairs",
            "--task makes sources from single images, but --pairs expects sources in the data\n  pass only one of them",
        )
    if unpaired and (task is not None or pairs):
        raise GansmithError(
            "cli.two_ways_to_translate",
            f"--from and --to learn without pairs, and {'--pairs' if pairs else '--task'} learns from pairs"
            "\n  pass only one of them",
        )
    if unpaired:
        return ("unpaired" if recipe == AUTO else recipe), []
    if task is not None and recipe != AUTO:
        _check_task(recipe, task)
    overrides = [f"method.task={task}"] if task is not None else _pair_overrides(recipe) if pairs else []
    return ("translate" if overrides and recipe == AUTO else recipe), overrides


def _pair_overrides(recipe: str) -> list[str]:
    """Return the overrides that --pairs means for a recipe; GansmithError for one that does not learn from pairs."""
    if recipe == AUTO:
        return ["pairs=true", "method.task=null"]
    from gansmith.recipes.load import method_kind, recipe_text  # here: it imports torch

    kind = method_kind(recipe_text(recipe))
    if kind not in ("", "paired", "super_resolution"):
        raise GansmithError(
            "cli.pairs_of_other_method",
            f"--pairs needs a recipe that learns from pairs, but recipe '{recipe}' has method '{kind}'"
            "\n  leave out --recipe; to enlarge images, from small ones to large ones: --recipe srresnet or srgan",
        )
    return ["pairs=true", *([] if kind == "super_resolution" else ["method.task=null"])]


def _check_task(recipe: str, task: str) -> None:
    """Raise GansmithError for a recipe whose method has no tasks."""
    from gansmith.recipes.load import method_kind, recipe_text  # here: it imports torch

    kind = method_kind(recipe_text(recipe))
    if kind not in ("", "paired"):
        raise GansmithError(
            "cli.task_of_other_method",
            f"--task {task} needs a recipe with method 'paired', but recipe '{recipe}' has method '{kind}'"
            "\n  leave out --recipe or --task; to enlarge images: --recipe srgan scale=4",
        )


def _snapshot_overrides(patience: int | None, on_collapse: str | None) -> list[str]:
    """Return --patience and --on-collapse as overrides of the recipe."""
    given = {"patience": patience, "on_collapse": on_collapse}
    return [f"monitor.{name}={value}" for name, value in given.items() if value is not None]


def print_run(run: "api.Run", *, as_json: bool) -> None:
    """Print the folder of a run; exit with a code of its own if a signal paused it, or a verdict ended it."""
    if run.is_main and as_json:
        say_result(json_text(run.summary()))
    elif run.is_main and run.finished:
        say_result(run.folder)
        # Here: both import torch.
        from gansmith.methods.base import verb_of
        from gansmith.recipes.load import method_kind, recipe_text

        folder = shlex.quote(str(run.folder))
        verb = verb_of(method_kind(recipe_text(str(run.folder / "recipe.yaml"))))
        command = f"gansmith {verb} {folder}" + (" IMAGES" if verb != "sample" else "")
        report = f"report: {run.folder}/report.html; " if (run.folder / "report.html").is_file() else ""
        say(f"{report}new images: {command}")
    if not run.finished:
        raise typer.Exit(PAUSED)
    if run.is_main and run.ended_by is not None:
        raise typer.Exit(ENDED_BY_VERDICT)


def data_and_overrides(words: list[str], *, pairs: bool = False) -> tuple[list[str], list[str]]:
    """Split the words after ``train`` into DATA and overrides; with ``pairs``, DATA may be two folders."""
    if "" in words:
        raise GansmithError(
            "cli.empty_word",
            "an argument is empty\n  is a variable of your shell empty? for the current folder write .",
        )
    sources = [word for word in words if "=" not in word or Path(word).exists()]
    overrides = [word for word in words if word not in sources]
    if len(sources) > 1 and not pairs:
        from gansmith.data.sources.shards import BETWEEN, SHARDS_PREFIX, is_shard  # here: it imports NumPy

        if all(map(is_shard, sources)):
            sources = [SHARDS_PREFIX + BETWEEN.join(sources)]
    if len(sources) > (2 if pairs else 1):
        raise GansmithError(
            "cli.several_data_sets",
            f"expected one data set, got {len(sources)}: {', '.join(sources[:4])}"
            "\n  changes to the recipe are written KEY=VALUE",
        )
    return sources or ["fashion-sample"], overrides


def unpaired_data_and_overrides(words: list[str], start: str | None, to: str | None) -> tuple[list[str], list[str]]:
    """Return --from and --to, and the overrides."""
    _, overrides = data_and_overrides(words)
    data = [word for word in words if word not in overrides]
    if start is None or to is None or data:
        got = f"DATA '{data[0]}' too" if data else f"only {'--to' if start is None else '--from'}"
        raise GansmithError(
            "cli.from_without_to",
            f"--from and --to name the two data sets to translate between, got {got}"
            "\n  pass both, without DATA: gansmith train --from summer/ --to winter/",
        )
    return [start, to], overrides


def _source(names: list[str], *, unpaired: bool, pairs: bool) -> "str | Domains | FolderPairs":
    """Return the data set with one name, or with the names of two domains or two folders of pairs."""
    # Here: both import torch.
    from gansmith.data.sources.domains import Domains
    from gansmith.data.sources.layouts import sides_of
    from gansmith.data.sources.pairs import FolderPairs

    if unpaired:
        return Domains(*names)
    sides = sides_of(Path(names[0])) if pairs and len(names) == 1 else None
    return FolderPairs(*(sides or map(Path, names))) if sides or len(names) == 2 else names[0]


def _dry_run_lines(found: "api.DryRun") -> list[str]:
    prepared, length = found.prepared, found.prepared.length
    around = f", {duration(prepared.around_sec)} of them for start and results" if prepared.around_sec else ""
    speed = f"{prepared.img_per_sec:,.0f} images a second on this machine"
    return [
        *wrap_lines(found.summary),
        "",
        *found.shapes,
        "",
        f"length: {length.schedule_kimg:,.1f} kimg in {length.iterations:,} iterations ({length.source})",
        f"speed: {speed}, about {duration(60 * found.minutes)} in all{around}",
        "",
        prepared.recipe.to_yaml().rstrip("\n"),
    ]
