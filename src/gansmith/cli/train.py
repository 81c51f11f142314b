"""``gansmith train``."""

import json
import shlex
from pathlib import Path
from typing import Annotated

import typer

from gansmith.cli.data import DataRoot
from gansmith.cli.options import Epochs, Holdout, Kimg, Minutes, PartsPlugin, Precision
from gansmith.errors import GansmithError
from gansmith.events import say
from gansmith.recipes import AUTO

Words = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="DATA KEY=VALUE",
        help="Images: a folder, .zip, .tar, .npz, .npy, a data set's name ('gansmith data list'; fashion-sample if "
        "left out), or hf:NAME[:SPLIT]; "
        "then changes to the recipe, for example batch_size=128 or loss=hinge.",
    ),
]
RecipeName = Annotated[
    str,
    typer.Option(
        help="A recipe's name or YAML file; 'gansmith recipes' lists them, 'gansmith plan' says what auto is.",
    ),
]
Patience = Annotated[
    int | None, typer.Option(help="End after this many looks at samples that are no better, or at a collapse.")
]
OnCollapse = Annotated[
    str | None, typer.Option(help="tell, or rollback: to the best checkpoint, with half the learning rates.")
]

Task = Annotated[
    str | None,
    typer.Option(
        help="Learn image to image: colorize, edges, deblur, denoise, inpaint, upscale2 or upscale4; the source is "
        "made from each image. Short for --recipe translate method.task=TASK."
    ),
]
Pairs = Annotated[
    bool,
    typer.Option(
        "--pairs",
        help="Learn image to image from pairs: each image is a source and, right of it, its target; or name two "
        "folders with the same file names: SOURCES TARGETS.",
    ),
]
From = Annotated[
    str | None,
    typer.Option(
        "--from",
        help="In place of DATA: images to translate, without pairs, into those of --to, and back. Short for "
        "--recipe unpaired and two data sets.",
    ),
]
To = Annotated[str | None, typer.Option(help="Images that those of --from shall look like.")]


def train(
    words: Words = None,
    recipe: RecipeName = AUTO,
    task: Task = None,
    pairs: Pairs = False,
    start: From = None,
    to: To = None,
    out: Annotated[Path | None, typer.Option(help="Run folder; made anew.", show_default="runs/NAME-001")] = None,
    kimg: Kimg = None,
    steps: Annotated[int | None, typer.Option(help="Length in iterations.")] = None,
    epochs: Epochs = None,
    minutes: Minutes = None,
    seed: Annotated[int, typer.Option(help="Decides every random number.", min=0)] = 0,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "auto",
    precision: Precision = "auto",
    compiled: Annotated[bool, typer.Option("--compile", help="Compile networks: slow to start; for GPUs.")] = False,
    holdout: Holdout = 0.0,
    patience: Patience = None,
    on_collapse: OnCollapse = None,
    init_from: Annotated[Path | None, typer.Option(help="Start from the weights of a model.")] = None,
    plugin: PartsPlugin = None,
    data_root: DataRoot = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and stop.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Train a generator on images."""
    unpaired = start is not None or to is not None
    source, overrides = between(words or [], start, to) if unpaired else split_words(words or [], pairs=pairs)
    recipe, chosen = translating(recipe, task, pairs, unpaired)
    from gansmith import api
    from gansmith.cli.progress import ProgressPrinter
    from gansmith.plan import Budget

    overrides = [*chosen, *overrides, *_watched(patience, on_collapse)]
    plugins = plugin or []
    if dry_run:
        preview = api.dry_run(
            source, recipe, overrides, Budget(kimg, steps, epochs, minutes), device=device, precision=precision,
            compiled=compiled, holdout=holdout, plugins=plugins, data_root=data_root,
        )  # fmt: skip
        _print_preview(preview)
        return
    with ProgressPrinter() as printer:
        run = api.train(
            source, recipe=recipe, overrides=overrides, out=out, kimg=kimg, steps=steps, epochs=epochs, minutes=minutes,
            seed=seed, device=device, precision=precision, compiled=compiled, holdout=holdout, init_from=init_from,
            plugins=plugins, data_root=data_root, on_event=printer,
        )  # fmt: skip
    show_run(run, as_json=as_json)


def translating(recipe: str, task: str | None, pairs: bool, unpaired: bool = False) -> tuple[str, list[str]]:
    """Return the recipe and the changes that --task, --pairs, and --from with --to stand for."""
    if task is not None and pairs:
        raise GansmithError(
            "cli.task_and_pairs",
            "--task makes sources from single images, and --pairs says that they are there\n  pass one of them",
        )
    if unpaired and (task is not None or pairs):
        raise GansmithError(
            "cli.two_ways_to_translate",
            f"--from and --to learn without pairs, and {'--pairs' if pairs else '--task'} learns from pairs"
            "\n  pass one or the other",
        )
    if unpaired:
        return ("unpaired" if recipe == AUTO else recipe), []
    if task is not None and recipe != AUTO:
        _refuse_task(recipe, task)
    chosen = [f"method.task={task}"] if task is not None else ["pairs=true", "method.task=null"] if pairs else []
    return ("translate" if chosen and recipe == AUTO else recipe), chosen


def _refuse_task(recipe: str, task: str) -> None:
    """Raise GansmithError for a recipe whose method makes no sources by a task."""
    from gansmith.recipe import method_kind, recipe_text

    kind = method_kind(recipe_text(recipe))
    if kind not in ("", "paired"):
        raise GansmithError(
            "cli.task_of_other_method",
            f"--task {task} is for recipes of method 'paired', and recipe '{recipe}' has method '{kind}'"
            "\n  leave out --recipe, or leave out --task; images are made larger by: --recipe srgan scale=4",
        )


def _watched(patience: int | None, on_collapse: str | None) -> list[str]:
    """Return what options say of looks as changes to the recipe."""
    given = {"patience": patience, "on_collapse": on_collapse}
    return [f"watch.{name}={value}" for name, value in given.items() if value is not None]


def show_run(run: "api.Run", *, as_json: bool) -> None:  # type: ignore[name-defined]  # noqa: F821
    """Print where a run is, and leave with 130 or 143 when Ctrl-C or SIGTERM paused it."""
    if run.is_main and as_json:
        print(json.dumps({"folder": str(run.folder), "finished": run.finished}))
    elif run.is_main and run.finished:
        print(run.folder)
        from gansmith.methods.base import verb_of
        from gansmith.recipe import method_kind, recipe_text

        folder = shlex.quote(str(run.folder))
        verb = verb_of(method_kind(recipe_text(str(run.folder / "recipe.yaml"))))
        use = f"gansmith {verb} {folder}" + (" IMAGES" if verb != "sample" else "")
        say(f"look at {run.folder}/report.html; new images: {use}")
    if not run.finished:
        raise typer.Exit(128 + run.stopped_by)


def split_words(words: list[str], *, pairs: bool = False) -> tuple[str, list[str]]:
    """Return the data source and the overrides of a command line; with ``pairs`` the source may be two folders."""
    if "" in words:
        raise GansmithError(
            "cli.empty_word",
            "an empty word is no data set\n  is a variable of your shell empty? for the current folder write .",
        )
    sources = [word for word in words if "=" not in word or Path(word).exists()]
    if pairs and len(sources) == 2:
        return f"pairs:{sources[0]}::{sources[1]}", [word for word in words if word not in sources]
    if len(sources) > 1:
        raise GansmithError(
            "cli.several_data_sets",
            f"one data set at a time, got {len(sources)}: {', '.join(sources[:4])}"
            "\n  changes to the recipe are written KEY=VALUE",
        )
    overrides = [word for word in words if word not in sources]
    return (sources[0] if sources else "fashion-sample"), overrides


def between(words: list[str], start: str | None, to: str | None) -> tuple[str, list[str]]:
    """Return the data source that --from and --to stand for, and the overrides of a command line."""
    from gansmith.data.domains import join_domains

    _, overrides = split_words(words)
    data = [word for word in words if word not in overrides]
    if start is None or to is None or data:
        got = f"DATA '{data[0]}' too" if data else f"only {'--to' if start is None else '--from'}"
        raise GansmithError(
            "cli.from_without_to",
            f"--from and --to are the two sets of images to translate between, got {got}"
            "\n  pass both, and no DATA: gansmith train --from summer/ --to winter/",
        )
    return join_domains(start, to), overrides


def _print_preview(preview: "api.Preview") -> None:  # type: ignore[name-defined]  # noqa: F821
    plan = preview.plan
    minutes = plan.schedule_kimg * 1000 / preview.img_per_sec / 60
    print("\n".join(preview.summary))
    print()
    print("\n".join(preview.shapes))
    print(f"\n{plan.schedule_kimg:,.1f} kimg in {plan.iterations:,} iterations ({plan.source})")
    print(f"{preview.img_per_sec:,.0f} images a second as measured here: about {minutes:,.1f} minutes")
    print(f"\n{preview.recipe.to_yaml()}", end="")
