"""The ``gansmith`` command: its verbs, and how errors and results are shown."""

import errno
import json
import sys
import warnings
from typing import Annotated, Any

import typer

from gansmith.cli import (
    arithmetic,
    augment,
    compare,
    data,
    diagnose,
    directions,
    doctor,
    evaluate,
    features,
    interpolate,
    invert,
    plan,
    probe,
    recipes,
    resume,
    sample,
    score,
    train,
    translate,
    upscale,
)
from gansmith.errors import GansmithError, GansmithWarning
from gansmith.events import say
from gansmith.version import __version__

app = typer.Typer(
    name="gansmith",
    help="Train a GAN on your images with one command, judge it honestly, and use it.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("train")(train.train)
app.command("plan")(plan.plan)
app.command("resume")(resume.resume)
app.command("sample")(sample.sample)
app.command("score")(score.score)
app.command("evaluate")(evaluate.evaluate)
app.command("diagnose")(diagnose.diagnose)
app.command("compare")(compare.compare)
app.command("interpolate")(interpolate.interpolate)
app.command("arithmetic")(arithmetic.arithmetic)
app.command("invert")(invert.invert)
app.command("directions")(directions.directions)
app.command("translate")(translate.translate)
app.command("upscale")(upscale.upscale)
app.command("features")(features.features)
app.command("probe")(probe.probe)
app.command("augment")(augment.augment)
app.command("recipes")(recipes.recipes)
app.add_typer(data.app, name="data")
app.command("doctor")(doctor.doctor)


def _version(wanted: bool) -> None:
    if wanted:
        print(f"gansmith {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    """Results go to stdout, progress to stderr. Mistakes end with exit code 2 and say what to do."""


def main() -> None:
    """Run the command line."""
    words = [word for word in sys.argv[1:] if word != "--debug"]  # before the verb or after it
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("always", GansmithWarning)
            warnings.showwarning = _say
            app(words, prog_name="gansmith")  # also where Python was told to run the package
    except (GansmithError, OSError) as problem:
        if len(words) < len(sys.argv) - 1:
            raise
        say(f"gansmith: {_in_words(problem)}")
        if "--json" in words:
            print(json.dumps({"error": {"code": _code_of(problem), "message": _in_words(problem)}}))
        sys.exit(2)


def _say(
    message: Warning | str, category: type[Warning], filename: str, lineno: int, file: Any = None, line: Any = None
) -> None:
    """Print our own warnings as a user reads them, and others as Python does."""
    shown = f"warning: {message}\n"
    if not issubclass(category, GansmithWarning):
        shown = warnings.formatwarning(message, category, filename, lineno, line)
    say(shown.rstrip("\n"))


def _code_of(problem: GansmithError | OSError) -> str:
    """Return an error's code; the system's errors have that of their errno, for example "system.enoent"."""
    if isinstance(problem, GansmithError):
        return problem.code
    return f"system.{errno.errorcode.get(problem.errno or 0, 'unknown').lower()}"


def _in_words(problem: Exception) -> str:
    """Return an error's text; the system's errors name the file and what is wrong with it."""
    if isinstance(problem, OSError) and problem.filename is not None:
        return f"'{problem.filename}' cannot be read or written: {problem.strerror}"
    return str(problem)
