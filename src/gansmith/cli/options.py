"""Arguments and options that several verbs share."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gansmith.core.errors import GansmithError, why_not
from gansmith.core.launched import rank_and_size

if TYPE_CHECKING:
    from gansmith.core.runtime import Runtime

# Exit codes; 1 is Python's for an uncaught exception. docs/automation.md explains them.
USER_ERROR, PAUSED, ENDED_BY_VERDICT = 2, 3, 4

MORE = "More options"  # panel of the options that few people need
COMMON = "Options"


def flag(name: str, text: str, panel: str = COMMON) -> Any:
    """Return an option without a value; its empty metavar keeps its type out of the help."""
    return typer.Option(name, metavar="", help=text, rich_help_panel=panel)


_DATA = "DATA: a folder, .zip, .tar, .npz, .npy, hf:NAME[:SPLIT] or a name from 'gansmith data list'. KEY=VALUE: "
DataAndChanges = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="DATA KEY=VALUE", help=f"{_DATA}changes to the recipe, such as batch_size=128 or loss=hinge."
    ),
]
DataAndReading = Annotated[
    list[str] | None,
    typer.Argument(metavar="DATA KEY=VALUE", help=f"{_DATA}how to read DATA, such as labels=none or fit=pad."),
]
Data = Annotated[str, typer.Argument(metavar="DATA", help="Images, as for 'gansmith train'.")]
LabelledData = Annotated[str, typer.Argument(metavar="DATA", help="Labelled images, as for 'gansmith train'.")]
_MODELS = (
    "A run (its best checkpoint), RUN/checkpoints (the newest), a model folder, a .safetensors {}file, or "
    "hf:NAME/REPO, also with @REVISION, on the Hub."
)
ModelPath = Annotated[Path, typer.Argument(metavar="MODEL", help=_MODELS.format("or .onnx "))]
WeightsPath = Annotated[Path, typer.Argument(metavar="MODEL", help=_MODELS.format(""))]  # for verbs that need torch
ImagePaths = Annotated[list[Path], typer.Argument(metavar="IMAGES", help="Image files of any size, or folders.")]
PictureOut = Annotated[Path, typer.Option(metavar="FOLDER", help="New or empty folder; for one image, also a file.")]
Format = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="png, jpg, webp, tif or bmp.", show_default="the format of each image"),
]
Quality = Annotated[int | None, typer.Option(metavar="N", help="Quality of jpg and webp, 1 to 100.", show_default="95")]
Continue = Annotated[bool, flag("--continue", "Complete a folder: make only what is missing.")]

Minutes = Annotated[
    float | None, typer.Option(metavar="N", help="Take N minutes for the whole command, start and results included.")
]
Until = Annotated[
    str | None,
    typer.Option(metavar="TIME", help="End at this local time, results included; such as 18:30.", rich_help_panel=MORE),
]
Kimg = Annotated[float | None, typer.Option(metavar="N", help="Train until N thousand images were shown.")]
Epochs = Annotated[float | None, typer.Option(metavar="N", help="Train for N passes over the data.")]
Holdout = Annotated[
    float,
    typer.Option(
        metavar="SHARE", help="Hold out this share of the images, 0 to 0.9, for evaluation.", show_default=False
    ),
]
Device = Annotated[str, typer.Option(metavar="NAME", help="auto, cpu, cuda or mps.", rich_help_panel=COMMON)]
Precision = Annotated[str, typer.Option(metavar="TYPE", help="auto, fp32 or bf16.", rich_help_panel=MORE)]
Plugin = Annotated[
    list[Path] | None,
    typer.Option(
        metavar="FILE",
        help="Python file with your own losses, networks or other parts; repeatable.",
        rich_help_panel=MORE,
    ),
]
DataRoot = Annotated[
    Path | None,
    typer.Option(
        metavar="FOLDER",
        help="Folder with the files of the named data sets.",
        show_default="$GANSMITH_DATA or ~/.local/share/gansmith",
        rich_help_panel=MORE,
    ),
]
Labels = Annotated[
    str | None,
    typer.Option(
        metavar="TABLE",
        help="Take labels from a table: FILE, or FILE:FILECOLUMN:LABELCOLUMN with the names of its columns; "
        "none: no labels; folders: sub-folders; names: first words of file names.",
        rich_help_panel=MORE,
    ),
]
ZipEncoding = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="Code page of names in a .zip, such as gbk or cp932.", rich_help_panel=MORE),
]
Loggers = Annotated[
    list[str] | None,
    typer.Option(
        "--logger",
        metavar="NAME",
        help="Send the run to tensorboard, wandb, trackio or mlflow; repeatable.",
        show_default=False,
        rich_help_panel=MORE,
    ),
]
SaveEvery = Annotated[
    float | None,
    typer.Option(metavar="N", help="Save a checkpoint at least every N minutes.", rich_help_panel=MORE),
]
Port = Annotated[int, typer.Option(metavar="N", help="Port; 0 takes a free one.", min=0, max=65535)]
Host = Annotated[str, typer.Option(metavar="NAME", help="Address to listen on; one for other machines needs a token.")]
Token = Annotated[
    str | None,
    typer.Option(
        metavar="TEXT", help="Answer only clients that send this token.", envvar="GANSMITH_TOKEN", show_envvar=False,
        show_default="$GANSMITH_TOKEN",
    ),
]  # fmt: skip
AsJson = Annotated[bool, flag("--json", "Print the result as JSON.")]

Processes = Annotated[
    int | None,
    typer.Option(metavar="N", help="Use N processes on this machine; one for each GPU.", min=1, rich_help_panel=MORE),
]

On = Annotated[
    str | None,
    typer.Option(
        metavar="WHERE", help="Use workers of Ray: local, or ray://HOST:PORT.", show_default=False, rich_help_panel=MORE
    ),
]
Workers = Annotated[int, typer.Option(metavar="N", help="Train in N workers of Ray.", min=1, rich_help_panel=MORE)]
GpusPerWorker = Annotated[
    int, typer.Option(metavar="N", help="Give each worker of Ray N GPUs.", min=0, rich_help_panel=MORE)
]

Raw = Annotated[bool, flag("--raw", "Use the last weights, not their moving average (EMA).", MORE)]
Label = Annotated[str | None, typer.Option(metavar="CLASS", help="Make images of one class, by name or number.")]
Truncation = Annotated[
    float | None,
    typer.Option(metavar="T", help="Cut latents off at T standard deviations: cleaner, less varied images."),
]
Layers = Annotated[str, typer.Option(metavar="NAMES", help="Discriminator layers, comma-separated; all by default.")]
IMAGE_NUMBERS = (
    "3,9 are images 3 and 9 of 'gansmith sample'; 7:3 is image 3 of --seed 7; x.latent.safetensors is a saved latent"
)


def import_serving() -> Any:
    """Return the module that serves; GansmithError if a library of the extra is missing."""
    try:
        from gansmith.web import serving  # here: an extra
    except ImportError as problem:
        if (problem.name or "").partition(".")[0] == "gansmith":
            raise
        raise GansmithError(
            "web.extra_missing",
            f"this needs the library {problem.name}{why_not(problem, problem.name or '')}"
            "\n  install it: pip install 'gansmith[studio]'",
        ) from problem
    return serving


def data_overrides(
    labels: str | None, zip_encoding: str | None, direction: str | None = None, *, pairs: bool = False
) -> list[str]:
    """Return --labels, --zip-encoding and --direction as changes to the recipe."""
    if direction is not None and not pairs:
        raise GansmithError(
            "cli.direction_without_pairs",
            "--direction is the order of the two sides of a pair, and --pairs is missing"
            "\n  add --pairs, or leave out --direction; to translate back without pairs: gansmith translate --reverse",
        )
    given = {"labels": labels, "zip_encoding": zip_encoding, "direction": direction}
    return [f"data.{name}={json.dumps(value)}" for name, value in given.items() if value is not None]


def split_names(text: str) -> tuple[str, ...]:
    """Return the names in a comma-separated list."""
    return tuple(word.strip() for word in text.split(",") if word.strip())


def split_numbers(option: str, text: str) -> tuple[int, ...]:
    """Return the whole numbers in a comma-separated list; GansmithError for any other word."""
    for word in split_names(text):
        if not word.isdecimal():
            raise GansmithError(
                "cli.not_whole_numbers", f"{option}: '{word}' is not a whole number\n  for example {option} 10,50,100"
            )
    return tuple(int(word) for word in split_names(text))


def is_main_process() -> bool:
    """Say whether this process prints and writes: the first of torchrun's, or the only one."""
    return rank_and_size()[0] == 0


def other_processes(device: str) -> "Runtime | None":
    """Return the runtime that joins the processes of torchrun, once all are here; None for one alone."""
    if rank_and_size()[1] == 1:
        return None
    from gansmith.core.runtime import start_runtime  # here: it imports torch

    runtime = start_runtime(device)
    runtime.barrier()
    return runtime


def in_processes(number: int | None) -> None:
    """Run this command in so many processes, and exit as they do; nothing for one, and inside of torchrun."""
    if number is None or number == 1:
        return
    # Here: it imports torch.
    from gansmith.core.processes import start_processes

    if rank_and_size()[1] > 1:
        raise GansmithError(
            "cli.processes_inside_torchrun",
            "--processes starts processes of its own, but torchrun has already started this one"
            "\n  leave out --processes, or torchrun",
        )
    raise typer.Exit(start_processes(number, words_without(sys.argv[1:], "--processes")))


def refuse_workers_without_ray(on: str | None, workers: int, gpus_per_worker: int, processes: int | None) -> None:
    """Raise GansmithError for options of Ray without --on, and for --on with --processes."""
    if on is None and (workers != 1 or gpus_per_worker):
        raise GansmithError(
            "cli.workers_without_ray",
            "--workers and --gpus-per-worker are for Ray, and --on is missing"
            "\n  add --on local, or for processes of this machine without Ray: --processes N",
        )
    if on is not None and processes is not None:
        raise GansmithError(
            "cli.two_ways_to_start",
            "--processes starts processes of this machine, and --on workers of Ray\n  pass only one of them",
        )


def words_without(words: list[str], option: str) -> list[str]:
    """Return the words of a command without an option and its value."""
    kept, skip = list[str](), False
    for word in words:
        if not skip and word != option and not word.startswith(f"{option}="):
            kept.append(word)
        skip = word == option and not skip
    return kept
