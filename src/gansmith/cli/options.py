"""Arguments and options that several verbs share, worded once."""

from pathlib import Path
from typing import Annotated

import typer

ModelPath = Annotated[
    Path,
    typer.Argument(
        metavar="MODEL",
        help="A run folder (its best checkpoint; RUN/checkpoints: its last), a model folder or a .safetensors file.",
    ),
]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")]
Plugin = Annotated[list[Path] | None, typer.Option(help="A Python file with parts the model uses.")]
PartsPlugin = Annotated[list[Path] | None, typer.Option(help="A Python file with parts of your own.")]
Precision = Annotated[str, typer.Option(help="Of forward passes: fp32, bf16, or auto.")]
Minutes = Annotated[float | None, typer.Option(help="Length in minutes on this machine, as measured.")]
Kimg = Annotated[float | None, typer.Option(help="Length in thousands of images shown.")]
Epochs = Annotated[float | None, typer.Option(help="Length in passes over the data.")]
Holdout = Annotated[float, typer.Option(help="Share of the images kept out of training, for judging.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
Raw = Annotated[bool, typer.Option("--raw", help="Use the weights without averaging.")]
Label = Annotated[str | None, typer.Option(help="One class, by name or number.")]
Truncation = Annotated[float | None, typer.Option(help="Cut latents off at T deviations: tamer images.")]
SEEDS = "3,9,27: images of 'gansmith sample' by number, from 0; 7:3 is number 3 of --seed 7; x.safetensors a latent"
Layers = Annotated[
    str, typer.Option(help="Hidden layers of the discriminator, with commas between; all without it.", metavar="NAMES")
]
Labelled = Annotated[str, typer.Argument(metavar="DATA", help="Labelled images, as for 'gansmith train'.")]


def words_of(text: str) -> tuple[str, ...]:
    """Return the words of a list with commas between."""
    return tuple(word.strip() for word in text.split(",") if word.strip())


def numbers_of(option: str, text: str) -> tuple[int, ...]:
    """Return the whole numbers of a list with commas between; GansmithError for another word."""
    from gansmith.errors import GansmithError

    for word in words_of(text):
        if not word.isdecimal():
            raise GansmithError(
                "cli.not_whole_numbers", f"{option}: '{word}' is no whole number\n  for example {option} 10,50,100"
            )
    return tuple(int(word) for word in words_of(text))
