"""``gansmith sample``: new images from a trained model."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from gansmith.cli.options import (
    IMAGE_NUMBERS,
    AsJson,
    Continue,
    Device,
    Label,
    ModelPath,
    Plugin,
    Processes,
    Raw,
    Truncation,
    flag,
    in_processes,
    is_main_process,
    other_processes,
)
from gansmith.cli.text import json_text, tell
from gansmith.core.errors import GansmithError
from gansmith.core.events import silent
from gansmith.core.progress import ProgressPrinter


def sample(
    model: ModelPath,
    count: Annotated[int, typer.Option("-n", "--num", metavar="N", help="Number of images.")] = 64,
    seed: Annotated[int, typer.Option(metavar="N", help="Random seed.")] = 0,
    seeds: Annotated[
        str | None,
        typer.Option(metavar="IMAGES", help=f"Make these images instead. {IMAGE_NUMBERS}."),
    ] = None,
    label: Label = None,
    truncation: Truncation = None,
    raw: Raw = False,
    out: Annotated[Path, typer.Option(metavar="FILE", help="grid.png, x.npz, x.npy, x.tif, x.zip or a folder.")] = Path(
        "samples.png"
    ),
    match_values: Annotated[
        str | None,
        typer.Option(metavar="DATA", help="Give values the histogram of DATA (quantile mapping)."),
    ] = None,
    numbered: Annotated[bool, flag("--numbered", "Write the number for --seeds below each image.")] = False,
    resume: Continue = False,
    device: Device = "auto",
    processes: Processes = None,
    plugin: Plugin = None,
    as_json: AsJson = False,
) -> None:
    """Make new images with a trained model.

    A seed gives the same first images for any --num.
    For all but grid.png, memory does not grow with --num.
    Models of science data write values in its units; see docs/science.md.

    Example: gansmith sample runs/dcgan-photos-001 -n 100 --out grid.png
    """
    from gansmith.inference.latents import pick  # here, and not api: an .onnx file needs no torch
    from gansmith.inference.match_values import FITTED_ON, FITTED_SEED, value_map
    from gansmith.inference.open import load
    from gansmith.inference.samples import check_samples_path, refuse_large_grid

    path = check_samples_path(out, numbered=numbered, resume=resume and seeds is None)
    if processes is not None and (seeds is not None or path.suffix):
        raise GansmithError(
            "cli.processes_for_one_file",
            f"--processes is for a folder of samples, and '{path}' is one file\n  pass a folder to --out",
        )
    in_processes(processes)
    others = other_processes(device)  # all of them have found the folder empty before one of them writes
    loaded = load(model, device, plugin or [])
    source: dict[str, Any] = {"count": count, "seed": seed}
    change: Callable[[Any], Any] | None = None
    if match_values is not None:
        fitted_on = loaded.draw_samples(FITTED_ON, seed=FITTED_SEED, label=label, truncation=truncation, raw=raw)
        change = value_map(fitted_on, match_values, loaded.data)
    if seeds is not None or path.suffix.lower() == ".png":
        if seeds is not None:
            shown = pick(loaded, seeds, label=label, truncation=truncation, raw=raw)
            source = {"count": len(shown), "seeds": shown.names}
        else:
            refuse_large_grid(count, loaded.data.height, loaded.data.width)
            shown = loaded.sample(count, seed=seed, label=label, truncation=truncation, raw=raw)
        shown = shown if change is None else replace(shown, images=change(shown.images))
        written = shown.save(path, numbered=numbered)
    else:
        drawn = loaded.draw_samples(count, seed=seed, label=label, truncation=truncation, raw=raw)
        drawn = drawn if change is None else drawn.mapped(change)
        with ProgressPrinter() as progress:
            share = (others.rank, others.world_size) if others else (0, 1)
            report = progress.show if is_main_process() else silent
            written = drawn.save(path, resume=resume, share=share, on_progress=report)
    if others:
        others.barrier()
    if is_main_process():
        tell(json_text({"out": str(written), **source}) if as_json else written)
