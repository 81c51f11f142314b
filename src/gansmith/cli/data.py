"""``gansmith data``: check a data set, list the named ones, empty the cache."""

from typing import Annotated

import typer

from gansmith.cli.options import USER_ERROR, AsJson, DataAndReading, DataRoot, Labels, ZipEncoding, data_overrides
from gansmith.cli.text import json_text, tell, wrap_lines
from gansmith.cli.train import data_and_overrides
from gansmith.core.progress import ProgressPrinter


def check(
    words: DataAndReading = None,
    size: Annotated[str | None, typer.Option(metavar="PX", help="Check for this size: SIDE or HEIGHTxWIDTH.")] = None,
    channels: Annotated[int | None, typer.Option(metavar="N", help="Check for 1, 3 or 4 channels.")] = None,
    labels: Labels = None,
    zip_encoding: ZipEncoding = None,
    data_root: DataRoot = None,
    as_json: AsJson = False,
) -> None:
    """Count images, sizes, classes, duplicates and damaged files.

    Also prints the image size and channels that training would use. The exit code is 2 if training would refuse the
    images.
    """
    (source,), overrides = data_and_overrides(words or [])
    overrides += data_overrides(labels, zip_encoding)
    from gansmith import api  # here: it imports torch, which takes seconds

    with ProgressPrinter() as printer:
        report = api.check(
            source, overrides=overrides, size=size, channels=channels, data_root=data_root, on_progress=printer.show
        )
    tell(json_text(report.to_json()) if as_json else "\n".join(wrap_lines(report.lines())))
    if report.refused:
        raise typer.Exit(USER_ERROR)


def list_sets(
    data_root: DataRoot = None,
    as_json: AsJson = False,
) -> None:
    """List the named data sets, their licences, and where their files go."""
    from gansmith import api  # here: it imports torch, which takes seconds

    sets = api.list_data(data_root)
    if as_json:
        tell(json_text({"sets": sets}))
        return
    for each in sets:
        files = ("" if each["here"] else "missing, expected in ") + (each["folder"] or "built in")
        about = wrap_lines([f"{each['name']}: {each['about']}", f"  licence: {each['licence']}"])
        tell(*about, f"  files: {files}")
    tell("NAME stands for the training split, NAME:test for the test split.")


def clean(as_json: AsJson = False) -> None:
    """Delete the cache of decoded images; training rebuilds it."""
    from gansmith import api  # here: it imports torch, which takes seconds

    freed = api.clean_cache()
    tell(json_text({"bytes_freed": freed}) if as_json else f"{freed:,} bytes freed")
