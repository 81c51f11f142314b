"""``gansmith import``: weights of another program as a model folder."""

import json
from pathlib import Path
from typing import Annotated

import typer

from gansmith.cli.options import MORE, AsJson, flag, split_names
from gansmith.cli.text import tell
from gansmith.cli.train import RecipeName
from gansmith.core.output_paths import refuse_file_ending, refuse_used_folder


def import_weights(
    words: Annotated[
        list[str],
        typer.Argument(
            metavar="WEIGHTS KEY=VALUE",
            help="WEIGHTS: .safetensors or .pth files, a generator, a discriminator or both. KEY=VALUE: changes to the "
            "recipe, such as padding=0.",
        ),
    ],
    recipe: RecipeName = "dcgan",
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="New or empty folder for the model.")] = Path("imported"),
    classes: Annotated[
        str, typer.Option(metavar="NAMES", help="Names of the classes, comma-separated.", show_default="0,1,...")
    ] = "",
    labels_first: Annotated[
        bool, flag("--labels-first", "The generator takes labels first, then latents.", MORE)
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Make a model folder from the weights of another program.

    The networks must be a DCGAN or a fully connected GAN. Pickled weights (.pth)
    are read by torch's weights-only loader, with limits on memory and time.

    Example: gansmith import netG.pth netD.pth --recipe dcgan --out faces
    """
    from gansmith import api  # here: it imports torch, which takes seconds

    refuse_file_ending(out)
    refuse_used_folder(out, ": --out FOLDER")
    files = [word for word in words if "=" not in word or Path(word).exists()]
    changes = [word for word in words if word not in files]
    model = api.import_weights(
        files, recipe, overrides=changes, classes=split_names(classes), labels_first=labels_first
    )
    model.save(out)
    data = model.record.data
    facts = {
        "out": str(out), "networks": sorted(model.networks), "height": data.height, "width": data.width,
        "channels": data.channels,
    }  # fmt: skip
    tell(json.dumps(facts) if as_json else out)
