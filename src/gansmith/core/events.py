"""Events and progress of every verb, and their display as plain lines on stderr."""

import errno
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TextIO

from typing_extensions import TypedDict  # pydantic reads this one before Python 3.12

from gansmith.core.errors import DiskFullError
from gansmith.core.file_names import shown
from gansmith.core.metric_name import column_of

PLAIN_EVERY_SEC = 10.0
HEALTHY = "healthy"  # how the message of a good verdict begins
SHORT = (
    ("loss_discriminator", "loss D"),
    ("loss_generator", "loss G"),
    ("d_real", "D(x)"),
    ("d_fake", "D(G(z))"),
    ("score_real", "score real"),
    ("score_fake", "score fake"),
    ("cycle_a", "cycle A-B-A"),
    ("cycle_b", "cycle B-A-B"),
    ("augment_p", "augment p"),
    ("augment_p_a", "augment p A"),
    ("augment_p_b", "augment p B"),
)


# Names of the verdicts on a run; evaluation/health.py has their meaning.
VerdictName = Literal[
    "healthy",
    "memorization",
    "full_collapse",
    "partial_collapse",
    "generator_wins",
    "discriminator_wins",
    "oscillating",
    "diverged",
    "stalled",
    "lagging_average",
    "grainy",
    "blurred",
]


@dataclass(frozen=True)
class Progress:
    """How far a piece of work is."""

    what: str  # "reading images", "training"
    done: float  # images, steps, or kimg while training
    total: float


class Speed(TypedDict, total=False):
    """The speed of a run; empty for work other than training."""

    kimg: float  # thousands of real images shown to the discriminator so far
    wall_sec: float  # since this start of the run
    img_per_sec: float
    eta_sec: float  # until the end of the run
    memory_mb: float  # peak


class HealthValues(TypedDict):
    """The row of log.jsonl for a verdict that changed."""

    event: Literal["health"]
    iteration: int
    kimg: float
    began_kimg: float | None  # kimg of the first snapshot with the evidence
    verdict: VerdictName
    message: str


class PreviewValues(TypedDict):
    """Previews that were written."""

    iteration: int
    grid: str  # path of the PNG file with the averaged generator's images


@dataclass(frozen=True)
class MessageEvent:
    """A message for the user. ``stopped``: a signal paused the run."""

    kind: Literal["note", "warning", "stopped"]
    message: str
    values: dict[str, Any] = field(default_factory=dict)
    progress: None = None


@dataclass(frozen=True)
class ProgressEvent:
    """How far a piece of work is, a few times a second."""

    progress: Progress
    values: Speed = field(default_factory=Speed)
    message: str = ""
    kind: Literal["progress"] = "progress"


@dataclass(frozen=True)
class RowEvent:
    """A row of log.jsonl was written: ``values`` hold its columns and the speed; None: not finite."""

    values: dict[str, float | None]
    progress: Progress
    message: str = ""
    kind: Literal["row"] = "row"


@dataclass(frozen=True)
class SnapshotEvent:
    """A snapshot was evaluated: ``values`` hold its metrics by column, its verdict and the speed."""

    message: str  # the verdict in words
    values: dict[str, Any]
    progress: Progress
    kind: Literal["snapshot"] = "snapshot"


@dataclass(frozen=True)
class HealthEvent:
    """The verdict changed: ``message`` has the evidence and a suggestion."""

    message: str
    values: HealthValues
    progress: None = None
    kind: Literal["health"] = "health"


@dataclass(frozen=True)
class PreviewEvent:
    """Previews of the fixed latents were written."""

    values: PreviewValues
    message: str = ""
    progress: None = None
    kind: Literal["preview"] = "preview"


# Something that a verb reports while it works. ``kind`` says which, and a type checker then knows the ``values``.
Event = MessageEvent | ProgressEvent | RowEvent | SnapshotEvent | HealthEvent | PreviewEvent
OnEvent = Callable[[Event], None]
OnProgress = Callable[[Progress], None]


def silent(*_: Any) -> None:
    """Do nothing: pass it as ``on_progress`` to show no progress."""


def progress_events(on_event: OnEvent) -> OnProgress:
    """Return a callback that reports progress as events."""
    return lambda progress: on_event(ProgressEvent(progress))


def duration(seconds: float) -> str:
    """Return 75 as 1:15 and 4000 as 1:06:40."""
    minutes, rest = divmod(max(0, round(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


_drawn = 0  # cells that a live bar takes on the last line of the terminal


def say(text: str) -> None:
    """Write a line to stderr and erase a live bar there; a line that cannot be written is lost without an error."""
    stream = sys.stderr
    if stream is None:
        return
    encoding = getattr(stream, "encoding", None) or "utf-8"
    line = shown(text).encode(encoding, "backslashreplace").decode(encoding)
    try:
        with suppress(OSError, ValueError):  # it may no longer be the terminal that the bar was drawn on
            redraw("", 0)
        print(line, file=stream, flush=True)
    except Exception as problem:
        mute_lost_terminal()
        if getattr(problem, "errno", None) == errno.EPIPE:
            _mute(stream)


@contextmanager
def saying_what_is_there(text: Callable[[], str]) -> Iterator[None]:
    """Say a text, if there is one, if a signal or a full disk ends the work inside: what is there, how to go on."""
    try:
        yield
    except (KeyboardInterrupt, SystemExit, DiskFullError):
        if line := text():
            say(line)
        raise


def redraw(line: str, cells: int) -> None:
    """Replace the live line of the terminal at stderr by ``line``, which takes ``cells`` cells."""
    global _drawn
    old, _drawn = _drawn, cells
    if line or old:
        room = max(1, columns() - 1)
        rest = max(0, min(old, room) - cells)
        sys.stderr.write(f"\r{line}{' ' * rest}" + ("" if line else "\r"))
        sys.stderr.flush()


def columns() -> int:
    """Return the width of the terminal at stderr; 80 if it is unknown."""
    return os.get_terminal_size(sys.stderr.fileno()).columns or 80


def mute_lost_terminal() -> None:
    """Send stdout and stderr to the null device if their terminal is gone, so that no later print fails."""
    for stream in (sys.stdout, sys.stderr):
        try:
            os.get_terminal_size(stream.fileno())
        except OSError as problem:  # a file that never was a terminal has another number
            if problem.errno in (errno.EIO, errno.ENXIO):
                _mute(stream)
        except (ValueError, AttributeError):  # it was closed
            pass


def say_result(text: str | Path) -> None:
    """Write the result of a long run to stdout; where it cannot be written, the run was a success all the same.

    A path that another program reads is written as it is, other text without control characters.
    """
    stream = sys.stdout
    if stream is None:  # it was closed before the start
        return
    try:
        with naming_stdout():
            print_result(text)
    except BrokenPipeError:  # nobody reads it any more
        _mute(stream)


def print_result(result: object) -> None:
    """Print a result; a path for another program as the bytes of its name, whatever letters the locale has."""
    stream = sys.stdout
    if not isinstance(result, Path) or stream.isatty():
        print(shown(str(result)), flush=True)
        return
    try:
        str(result).encode(stream.encoding or "utf-8")
    except UnicodeEncodeError:
        if (binary := getattr(stream, "buffer", None)) is not None:
            stream.flush()
            binary.write(os.fsencode(result) + b"\n")
            binary.flush()
            return
    print(result, flush=True)


@contextmanager
def naming_stdout() -> Iterator[None]:
    """Name standard output in an error of writing to it inside, such as that of a full disk."""
    try:
        yield
    except OSError as problem:
        problem.filename = problem.filename or "standard output"
        raise


def _mute(stream: TextIO) -> None:
    with suppress(OSError, ValueError), open(os.devnull, "wb") as null:
        os.dup2(null.fileno(), stream.fileno())


class PlainLines:
    """Prints events as lines on stderr. It raises nothing: a display must not end the work."""

    def __init__(self) -> None:
        self._losses = self._health = ""
        self._last = -PLAIN_EVERY_SEC
        self._failed = False

    def __call__(self, event: Event) -> None:
        """Print an event."""
        try:
            self._print(event)
        except Exception as problem:
            if not self._failed:
                self._failed = True
                say(f"warning: progress cannot be shown ({type(problem).__name__}: {problem}); the work goes on")

    def show(self, progress: Progress) -> None:
        """Print progress: pass it as ``on_progress``."""
        self(ProgressEvent(progress))

    def _print(self, event: Event) -> None:
        values: Mapping[str, Any] = event.values
        if event.kind in ("note", "stopped"):
            say(event.message)
        elif event.kind == "warning":
            say(f"warning: {event.message}")
        elif event.kind == "health":
            say(event.message if event.message.startswith(HEALTHY) else f"warning: {event.message}")
        elif event.kind == "snapshot":
            name = column_of(values, "fd")
            self._health = f"  {name.partition('_')[0]} {values[name]:.4g}  {event.message}"
        elif event.kind == "row":
            shown = [(label, values[key]) for key, label in SHORT if key in values]
            self._losses = "  ".join(f"{label} {'nan' if v is None else f'{v:.3f}'}" for label, v in shown)
        if event.progress is not None:
            self._step(event.progress, self._training(values) if values else _counted(event.progress))

    def _training(self, values: Mapping[str, Any]) -> str:
        speed = f"{values['kimg']:,.1f} kimg  {values['img_per_sec']:,.0f} img/s  {duration(values['eta_sec'])} left"
        return f"{speed}  {self._losses}{self._health}  {values['memory_mb']:,.0f} MB"

    def _step(self, progress: Progress, text: str) -> None:
        """Print a line if the last one is PLAIN_EVERY_SEC old, or if the work is done."""
        if progress.done >= progress.total or time.monotonic() - self._last >= PLAIN_EVERY_SEC:
            self._last = time.monotonic()
            say(f"{progress.what}: {text}")


def _counted(progress: Progress) -> str:
    return f"{progress.done:,} of {progress.total:,}"
