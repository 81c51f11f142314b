"""Every mistake a user can make, as an exception whose text says what, where, got, allowed, nearest and what to do."""

import difflib
from collections.abc import Iterable
from typing import Any

# The part of a code before its first dot. The command line adds "system" for errors of the operating system.
AREAS = frozenset({
    "checkpoint", "cli", "data", "disk", "image", "machine", "metric", "model", "output", "plugin", "recipe", "run",
    "system", "training",
})  # fmt: skip


class GansmithError(ValueError):
    """A mistake of the user; shown as its message alone, without a traceback, and with exit code 2.

    ``code`` names the kind of mistake, for example "data.empty". It stays the same when the message is reworded, so
    programs and tests compare codes.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code

    def __reduce__(self) -> tuple[Any, ...]:
        """Copy and pickle with both arguments; by default an exception keeps the message alone."""
        return type(self), (self.code, str(self))


class RecipeError(GansmithError):
    """A recipe, an override or a combination of parts that cannot be."""


class DataError(GansmithError):
    """Images that cannot be found, read or used."""


class CheckpointError(GansmithError):
    """A run folder or a checkpoint that cannot be used."""


class ModelError(GansmithError):
    """A model file that cannot be used."""


class MetricError(GansmithError):
    """A judgement that these images or features do not allow."""


class TrainingError(GansmithError):
    """A run that cannot go on."""


class DiskFullError(TrainingError):
    """No room for a checkpoint; the one before it is intact."""


class GansmithWarning(UserWarning):
    """What went another way than was asked for; the command line prints its text."""


def reason_of(problem: BaseException) -> str:
    """Return what a library says went wrong, in one short line."""
    text = " ".join(str(problem).split()) or type(problem).__name__
    return text if len(text) <= 200 else text[:197] + "..."


def nearest(name: str, allowed: Iterable[str]) -> str:
    """Return ``" (did you mean 'x'?)"`` for the closest allowed name, or nothing."""
    match = difflib.get_close_matches(str(name).lower(), sorted(allowed), n=1, cutoff=0.55)
    return f" (did you mean '{match[0]}'?)" if match else ""


def unknown_name(kind: str, name: str, allowed: Iterable[str], *, hint: str = "") -> str:
    """Return the message for a name that is not in a closed set."""
    names = sorted(allowed)
    text = f"unknown {kind} '{name}'{nearest(name, names)}\n  known: {', '.join(names) or 'none'}"
    return f"{text}\n  {hint}" if hint else text
