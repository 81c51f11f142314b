"""The ``gansmith`` command: its verbs in groups, and how it prints errors and warnings."""

import errno
import io
import os
import re
import shutil
import sys
import time
import warnings
from collections.abc import Callable, Mapping
from contextlib import suppress
from types import MappingProxyType
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from gansmith.cli import (
    arithmetic,
    augment,
    compare,
    data,
    diagnose,
    directions,
    doctor,
    evaluate,
    export,
    features,
    import_weights,
    interpolate,
    invert,
    plan,
    probe,
    recipes,
    resume,
    sample,
    schema,
    score,
    serve,
    studio,
    sweep,
    train,
    translate,
    upscale,
    verify,
)
from gansmith.cli.options import ENDED_BY_VERDICT, PAUSED, USER_ERROR, flag
from gansmith.cli.text import json_text
from gansmith.core.errors import GansmithError, GansmithWarning, StoppedError, reason_of
from gansmith.core.events import say
from gansmith.core.launched import rank_and_size, refuse_odd_launch
from gansmith.core.signals import removing_half_files
from gansmith.core.version import __version__

MAIN_FIRST_SEC = 3.0  # that another process waits with its error
NO_MEMORY = re.compile("failed to map segment|cannot allocate memory", re.IGNORECASE)  # of the loader and of the system
NARROW = 60  # columns; with fewer, rich's tables cut words
TRAIN, LOOK, USE, SHIP = "Train", "Look at runs", "Use a model", "Ship a model"
EVALUATE, DATA, MACHINE = "Evaluate a model", "Data", "Machine"
PANELS = (TRAIN, LOOK, USE, SHIP, EVALUATE, DATA, MACHINE)  # of ``gansmith --help``, from top to bottom


class Command(TyperCommand):
    """A verb; its help is plain text on a narrow terminal."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if shutil.get_terminal_size().columns < NARROW:
            self.rich_markup_mode = None
        arguments: list[Any] = [param for param in self.params if param.param_type_name == "argument"]
        for argument in arguments:
            argument.display_type_rich = lambda ctx: None  # the name is enough; typer would show <list[str]>

    def get_help_option(self, ctx: Any) -> Any:
        """Return the option --help."""
        return _without_type(super().get_help_option(ctx))


class Group(TyperGroup):
    """A group of verbs."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the verbs in the order of PANELS; typer would put groups of verbs last."""
        panels = {name: getattr(command, "rich_help_panel", None) for name, command in self.commands.items()}
        return sorted(panels, key=lambda name: PANELS.index(panels[name]) if panels[name] in PANELS else 0)

    def invoke(self, ctx: Any) -> Any:
        """Run a verb; with --json an error of usage, which typer prints on stderr, is printed as JSON too."""
        try:
            return super().invoke(ctx)
        except Exception as problem:
            if ctx.parent is None and hasattr(problem, "format_message"):  # click's exceptions; typer has its own copy
                _print_json_error("cli.usage", problem.format_message())
            raise

    def get_help_option(self, ctx: Any) -> Any:
        """Return the option --help."""
        return _without_type(super().get_help_option(ctx))


def _without_type(option: Any) -> Any:
    """Return an option with the empty metavar of our other flags; typer would show <bool>."""
    option.metavar = ""
    return option


app = typer.Typer(
    name="gansmith",
    cls=Group,
    help="Train a GAN on your images with one command, judge it honestly, and use it.",
    epilog="Results go to stdout, progress to stderr. Exit codes: 0 done, 2 error, 3 paused, 4 ended by a verdict.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
data_app = typer.Typer(cls=Group, no_args_is_help=True)


def add_verbs(panel: str, *verbs: Callable[..., None]) -> None:
    """Make each function a verb with its name, in a panel of ``gansmith --help``."""
    for verb in verbs:
        app.command(cls=Command, rich_help_panel=panel)(verb)


add_verbs(TRAIN, train.train, resume.resume, sweep.sweep, plan.plan, recipes.recipes)
add_verbs(LOOK, verify.verify, verify.repair)
add_verbs(LOOK, diagnose.diagnose, compare.compare)
add_verbs(USE, sample.sample, interpolate.interpolate, arithmetic.arithmetic, directions.directions)
add_verbs(USE, invert.invert, translate.translate, upscale.upscale, features.features, augment.augment)
add_verbs(LOOK, studio.studio)
add_verbs(SHIP, export.export, serve.serve)
app.command("import", cls=Command, rich_help_panel=USE)(import_weights.import_weights)
add_verbs(EVALUATE, evaluate.evaluate, score.score, probe.probe)
add_verbs(MACHINE, doctor.doctor, schema.schema)
app.add_typer(
    data_app, name="data", rich_help_panel=DATA, help="Check a data set, list named data sets, or empty the cache."
)
data_app.command("check", cls=Command)(data.check)
data_app.command("list", cls=Command)(data.list_sets)
data_app.command("clean", cls=Command)(data.clean)


def _version(wanted: bool) -> None:
    if wanted:
        print(f"gansmith {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool,
        typer.Option("--version", metavar="", callback=_version, is_eager=True, help="Print the version and exit."),
    ] = False,
    debug: Annotated[bool, flag("--debug", "Show the traceback of an error.")] = False,
) -> None:
    """Declare the options before the verb; ``main`` reads --debug itself."""


def main() -> None:
    """Run the command line."""
    words = [word for word in sys.argv[1:] if word != "--debug"]  # before the verb or after it
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a locale may lack letters of a name
    try:
        with removing_half_files(), warnings.catch_warnings():
            warnings.simplefilter("always", GansmithWarning)
            warnings.showwarning = _print_warning
            _refuse_removed_folder()
            refuse_odd_launch()
            _run(words)
    except (GansmithError, OSError) as problem:
        if rank_and_size()[0] and _code_of(problem) != "training.process_lost":
            time.sleep(MAIN_FIRST_SEC)  # torchrun ends this process if the first one says the same
        _print_json_error(_code_of(problem), _error_text(problem), getattr(problem, "results", {}))
        if len(words) < len(sys.argv) - 1:
            raise
        say(f"gansmith: {_error_text(problem)}")
        ended = PAUSED if isinstance(problem, StoppedError) else USER_ERROR
        if _code_of(problem) == "machine.no_answer" and rank_and_size()[1] > 1:
            sys.stdout.flush()
            os._exit(ended)  # a thread of torch may still wait for the answer, and would abort an ordinary end
        sys.exit(ENDED_BY_VERDICT if _code_of(problem) == "training.diverged" else ended)
    except (Exception, SystemExit) as problem:
        if fault := _fault_of_plugin(problem):
            fault += "\n  to see where, pass --debug"
            _print_json_error("plugin.failed", fault)
            if len(words) < len(sys.argv) - 1:
                raise
            say(f"gansmith: {fault}")
            sys.exit(USER_ERROR)
        if isinstance(problem, SystemExit):
            raise
        # A fault of gansmith: Python prints the traceback and exits with INTERNAL_ERROR.
        _print_json_error("internal", f"{type(problem).__name__}: {problem}")
        raise


def _fault_of_plugin(problem: BaseException) -> str:
    """Return in words where a plugin's code raised an error; "" if it was not in a plugin."""
    if "gansmith.core.registry" not in sys.modules:
        return ""  # no part was loaded
    from gansmith.core.registry import plugin_fault  # here: it imports pydantic, a third of the time of --help

    return plugin_fault(problem)


def _print_json_error(code: str, message: str, results: Mapping[str, Any] = MappingProxyType({})) -> None:
    """Print an error, beside what is done all the same, as a JSON object on stdout if the user asked for JSON."""
    if "--json" in sys.argv[1:]:
        with suppress(OSError):  # standard output may be what failed
            print(json_text({**results, "error": {"code": code, "message": message}}), flush=True)


def _refuse_removed_folder() -> None:
    """Raise GansmithError if the folder that the shell is in was removed: torch would end the process."""
    try:
        os.getcwd()
    except FileNotFoundError as problem:
        raise GansmithError(
            "machine.folder_removed", "the current folder was removed\n  change to one that exists: cd ~"
        ) from problem


def _run(words: list[str]) -> None:
    """Run a verb; GansmithError where torch is missing, which only .onnx files can do without."""
    try:
        app(words, prog_name="gansmith")  # the same name for python -m gansmith
    except ModuleNotFoundError as problem:
        if problem.name != "torch":
            raise
        raise GansmithError(
            "machine.torch_missing",
            "this needs torch, which is not installed\n  pip install torch"
            "\n  without it: sample, interpolate, arithmetic, translate and upscale, with an .onnx file",
        ) from problem
    except (MemoryError, ImportError, OSError) as problem:
        if not (isinstance(problem, MemoryError) or NO_MEMORY.search(str(problem))):
            raise
        raise GansmithError(
            "machine.no_memory",
            f"memory ran out: {reason_of(problem)}"
            "\n  free memory, or raise the limit (ulimit -v); the libraries alone take about 5 GB of addresses",
        ) from problem


def _print_warning(
    message: Warning | str, category: type[Warning], filename: str, lineno: int, file: Any = None, line: Any = None
) -> None:
    """Print warnings of gansmith without file and line, and other warnings as Python does."""
    shown = f"warning: {message}\n"
    if not issubclass(category, GansmithWarning):
        shown = warnings.formatwarning(message, category, filename, lineno, line)
    say(shown.rstrip("\n"))


def _code_of(problem: GansmithError | OSError) -> str:
    """Return the code of an error; for an error of the system the name of its errno: "system.enoent"."""
    if isinstance(problem, GansmithError):
        return problem.code
    return f"system.{errno.errorcode.get(problem.errno or 0, 'unknown').lower()}"


def _error_text(problem: Exception) -> str:
    """Return the text of an error; an error of the system includes the name of the file."""
    if isinstance(problem, OSError) and problem.filename is not None:
        return f"'{problem.filename}' cannot be read or written: {problem.strerror}"
    return str(problem)
