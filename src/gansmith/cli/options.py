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
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
Raw = Annotated[bool, typer.Option("--raw", help="Use the weights without averaging.")]
Label = Annotated[str | None, typer.Option(help="One class, by name or number.")]
Truncation = Annotated[float | None, typer.Option(help="Cut latents off at T deviations: tamer images.")]
SEEDS = "3,9,27: images of 'gansmith sample' by number, from 0; 7:3 is number 3 of --seed 7; x.safetensors a latent"
