"""``gansmith evaluate``: metrics of a model, or of images of any tool, against real images."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gansmith.cli.options import (
    MORE,
    AsJson,
    DataRoot,
    Device,
    Plugin,
    Processes,
    Raw,
    Truncation,
    flag,
    in_processes,
    is_main_process,
    split_names,
)
from gansmith.cli.text import columns, json_text, number_text, tell, wrap_lines

if TYPE_CHECKING:
    from gansmith.evaluation.baselines import BaselineComparison
    from gansmith.evaluation.result import Evaluation


def evaluate(
    model: Annotated[
        Path,
        typer.Argument(
            metavar="MODEL",
            help="A run (its best checkpoint), RUN/checkpoints (the newest), a model folder, a .safetensors file, or "
            "hf:NAME/REPO on the Hub. Or images of any tool, as for 'gansmith train'.",
        ),
    ],
    source: Annotated[
        str | None, typer.Argument(metavar="DATA", help="Reference set; by default the images that the run held out.")
    ] = None,
    num: Annotated[int, typer.Option("-n", "--num", metavar="N", help="Images per set of samples.")] = 10_000,
    features: Annotated[
        str, typer.Option(metavar="NAME", help="Extractor: fashion, own, untrained, inception, dinov2 or clip.")
    ] = "",
    metrics: Annotated[str, typer.Option(metavar="NAMES", help="Metrics, comma-separated; all by default.")] = "",
    sets: Annotated[int, typer.Option(metavar="N", help="Independent sets of samples.", rich_help_panel=MORE)] = 4,
    weights: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Weights file of Inception.", rich_help_panel=MORE),
    ] = None,
    on_training: Annotated[bool, flag("--on-training", "Use the training images as reference set.")] = False,
    truth: Annotated[
        str,
        typer.Option(
            metavar="DATA",
            help="Known translations of --from images, for a model trained without pairs.",
            rich_help_panel=MORE,
        ),
    ] = "",
    training: Annotated[
        str,
        typer.Option(
            metavar="DATA",
            help="Training images of the tool whose images are judged, to find copies.",
            rich_help_panel=MORE,
        ),
    ] = "",
    raw: Raw = False,
    truncation: Truncation = None,
    seed: Annotated[int, typer.Option(metavar="N", help="Random seed of the samples.")] = 0,
    out: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Folder for the result.", show_default="MODEL/evaluation; none for images"),
    ] = None,
    data_root: DataRoot = None,
    device: Device = "auto",
    processes: Processes = None,
    plugin: Plugin = None,
    as_json: AsJson = False,
) -> None:
    """Measure a model, or images of any tool, against real images.

    Prints FD, density, coverage and more, each with its standard deviation. The real images are the ones held
    out of training; --on-training uses the training images.
    """
    in_processes(processes)
    from gansmith import api  # here: it imports torch, which takes seconds
    from gansmith.evaluation.evaluate import EvaluationOptions

    options = EvaluationOptions(
        num=num, sets=sets, features=features, metrics=split_names(metrics), weights=weights, on_training=on_training,
        raw=raw, truncation=truncation, seed=seed, truth=truth, training=training,
    )  # fmt: skip
    found, path = api.evaluate(
        model, source, options=options, out=out, device=device, plugins=plugin or [], data_root=data_root
    )
    if is_main_process():
        tell(json_text(found.to_json()) if as_json else "\n".join([*_lines(found), *([str(path)] if path else [])]))


def _lines(found: "Evaluation") -> list[str]:
    from gansmith.evaluation.baselines import baseline_comparisons  # here: it imports torch

    out = wrap_lines([found.title, *found.protocol.lines()])
    comparisons = baseline_comparisons(found)
    out += [""] if comparisons else []
    out += [line for each in comparisons for line in _table(each)]
    width = max(map(len, found.numbers), default=0)
    for name, number in () if comparisons else found.numbers.items():
        spread = "" if number.deviation is None else f" +- {number.deviation:.3g} ({number.over})"
        out.append(f"  {name:<{width}}  {number.value:10.4g}{spread}")
    skipped = [f"not measured: {', '.join(kinds)} ({why})" for why, kinds in found.skipped_by_reason().items()]
    return [*out, *wrap_lines([*found.words, *skipped])]


def _table(found: "BaselineComparison") -> list[str]:
    """Return a table of a model and its baseline: a row per metric, with targets and difference."""
    head = [found.title or "metric", "model", found.baseline, "targets", "difference, 95 %", ""]
    rows = []
    for name in found.names():
        gain = found.gains.get(name)
        apart = "" if gain is None else "{:+.3g} to {:+.3g}".format(*found.interval(name))
        numbers = (each.get(name) for each in (found.model, found.without, found.target))
        cells = ["" if number is None else number_text(number) for number in numbers]
        rows.append([name, *cells, apart, found.verdict(name)])
    return [*columns([head, *rows]), ""]
