"""``gansmith plan``: choose a recipe for the data, the machine and the time."""

import shlex
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gansmith.cli.options import (
    AsJson,
    DataAndChanges,
    DataRoot,
    Device,
    Epochs,
    Holdout,
    Kimg,
    Labels,
    Minutes,
    Plugin,
    Precision,
    Until,
    ZipEncoding,
    data_overrides,
)
from gansmith.cli.text import WIDTH, json_text, tell, wrap_lines
from gansmith.cli.train import data_and_overrides
from gansmith.core.errors import GansmithError
from gansmith.core.events import duration, say

if TYPE_CHECKING:
    from gansmith.training.planning.proposal import Proposal


def plan(
    words: DataAndChanges = None,
    minutes: Minutes = None,
    kimg: Kimg = None,
    epochs: Epochs = None,
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the recipe to this .yaml file.")] = None,
    device: Device = "auto",
    precision: Precision = "auto",
    until: Until = None,
    holdout: Holdout = 0.0,
    plugin: Plugin = None,
    labels: Labels = None,
    zip_encoding: ZipEncoding = None,
    data_root: DataRoot = None,
    as_json: AsJson = False,
) -> None:
    """Choose a recipe for your images, machine and time.

    Prints each choice and its reason, expected time and quality, and the recipe.
    'gansmith train' makes the same choices.

    Example: gansmith plan photos/ --minutes 30
    """
    (source,), overrides = data_and_overrides(words or [])
    overrides += data_overrides(labels, zip_encoding)
    if out is not None:
        if out.suffix not in (".yaml", ".yml"):
            raise GansmithError(
                "output.unknown_ending", f"cannot write a recipe as '{out}'\n  allowed: a name that ends in .yaml"
            )
        if out.exists():
            raise GansmithError("output.exists", f"'{out}' exists\n  pass another --out, or remove it")
        out.parent.mkdir(parents=True, exist_ok=True)
    from gansmith import api  # here: it imports torch, which takes seconds
    from gansmith.core.atomic_files import commit_text

    proposal = api.plan(
        source, overrides=overrides, minutes=minutes, kimg=kimg, epochs=epochs, until=until, device=device,
        precision=precision, holdout=holdout, plugins=plugin or [], data_root=data_root,
    )  # fmt: skip
    say("\n".join(proposal_lines(proposal)))
    if out is not None:
        commit_text(out, proposal.to_yaml())
        words = ["gansmith", "train", *([] if source == "fashion-sample" else [source]), "--recipe", str(out)]
        words += ["--device", device] if device != "auto" else []
        words += ["--precision", precision] if precision != "auto" else []
        words += ["--holdout", f"{holdout:g}"] if holdout else []
        words += [word for each in plugin or [] for word in ("--plugin", str(each))]
        words += ["--data-root", str(data_root)] if data_root else []
        say(f"\ntrain with it: {shlex.join(words)}")
    if as_json:
        tell(json_text(proposal.to_json()))
    else:
        tell(proposal.to_yaml().rstrip() if out is None else out)


def proposal_lines(proposal: "Proposal") -> list[str]:
    """Return the choices as a table of 80 columns, then speed, expected quality and warnings."""

    rows = [(choice.what, choice.value, choice.reason) for choice in proposal.choices]
    first, second = (max(len(row[column]) for row in rows) for column in (0, 1))
    second = min(second, 24)
    lines = [*wrap_lines(proposal.summary), ""]
    for what, value, reason in rows:
        head = f"{what:<{first}}  {value:<{second}}  "
        lines += textwrap.wrap(reason, WIDTH, initial_indent=head, subsequent_indent=" " * (first + second + 4))
    length = f"length: {proposal.kimg:,.1f} kimg, {duration(proposal.minutes * 60)} on this machine"
    around = f", {duration(proposal.around_sec)} of them for start and results" if proposal.around_sec else ""
    lines += [
        "",
        *wrap_lines([f"{length} at {proposal.img_per_sec:,.0f} images a second{around}"]),
        f"memory: {proposal.memory_mb:,.0f} MB",
    ]
    return lines + wrap_lines([proposal.outlook(), *(f"warning: {text}" for text in proposal.warnings)])
