"""Errors of users, with stable codes, and helpers for their messages."""

import difflib
import re
from collections.abc import Iterable, Sequence
from typing import Any

# The part of a code before its first dot. The command line adds "system" for errors of the operating system.
AREAS = frozenset({
    "checkpoint", "cli", "data", "disk", "export", "hub", "image", "import", "machine", "metric", "model", "output",
    "plugin", "recipe", "run", "system", "training", "web",
})  # fmt: skip


_NUMBER = re.compile(r"\d[\d,.]*")


class GansmithError(ValueError):
    """A mistake of the user. The command line prints the message without a traceback and exits with code 2.

    A message has at most three lines: what is wrong, where, the value, the allowed values, the nearest match, what to
    do. ``code`` identifies the mistake, for example "data.empty". It does not change when the message is reworded, so
    programs and tests compare codes.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.results: dict[str, Any] = {}  # what --json prints beside the error: work that is done all the same

    def __reduce__(self) -> tuple[Any, ...]:
        """Copy and pickle with both arguments; by default an exception keeps only its message."""
        return type(self), (self.code, str(self))


class RecipeError(GansmithError):
    """An invalid recipe, override or combination of parts."""


class DataError(GansmithError):
    """Images that are missing, unreadable or unusable."""


class CheckpointError(GansmithError):
    """An unusable run folder or checkpoint."""


class ModelError(GansmithError):
    """An unusable model file, or a model that cannot do what is asked."""


class MetricError(GansmithError):
    """A metric that cannot be computed from these images or features."""


class TrainingError(GansmithError):
    """A run that cannot continue."""


class StoppedError(GansmithError):
    """A signal ended the work before there was anything to save; the command line exits with code 3."""


class DiskFullError(TrainingError):
    """No disk space for a checkpoint; the previous checkpoint is intact."""


class GansmithWarning(UserWarning):
    """Something happened differently than requested; the command line prints the text."""


def why_not(problem: ImportError, module: str) -> str:
    """Return "" for a module that is not installed, else why it cannot be imported, as the end of a sentence."""
    missing = isinstance(problem, ModuleNotFoundError) and problem.name in (module, None)
    return "" if missing else f", which cannot be imported: {reason_of(problem)}"


def reason_of(problem: BaseException) -> str:
    """Return a library's error message in one line of at most 200 characters."""
    text = " ".join(str(problem).split()) or type(problem).__name__
    return text if len(text) <= 200 else text[:197] + "..."


def counted(number: int, noun: str) -> str:
    """Return "1 image", or "1,234 images": a number with its noun."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def some_of(names: Sequence[str], most: int, between: str = ", ") -> str:
    """Return "a, b, c and 4 more": the first ``most`` of some names, and how many others there are."""
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return between.join(names[:most]) + more


def by_reason(problems: Iterable[tuple[str, str]], most: int = 3) -> list[str]:
    """Return "a.png, b.png and 4 more (cut off)" for each reason of some pairs (name, reason), the commonest first.

    Reasons that differ in their numbers alone are one, of which that of the first name is shown.
    """
    groups: dict[str, list[tuple[str, str]]] = {}
    for name, reason in problems:
        groups.setdefault(_NUMBER.sub("0", reason), []).append((name, reason))
    lines = []
    for group in sorted(groups.values(), key=lambda each: -len(each)):
        names, reasons = zip(*group, strict=True)
        first = f"such as: {reasons[0]}" if len({*reasons}) > 1 else reasons[0]
        lines.append(f"{some_of(names, most)} ({first})")
    return lines


def nearest(name: str, allowed: Iterable[str]) -> str:
    """Return ``" (did you mean 'x'?)"`` with the closest allowed name, or ``""``."""
    match = difflib.get_close_matches(str(name).lower(), sorted(allowed), n=1, cutoff=0.55)
    return f" (did you mean '{match[0]}'?)" if match else ""


def unknown_name(kind: str, name: str, allowed: Iterable[str], *, hint: str = "") -> str:
    """Return the message for a name that is not one of the allowed names."""
    names = sorted(allowed)
    text = f"unknown {kind} '{name}'{nearest(name, names)}\n  known: {', '.join(names) or 'none'}"
    return f"{text}\n  {hint}" if hint else text
