"""The base classes of loggers, what they are given, and their registry."""

import importlib
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from pydantic import Field

from gansmith.core.errors import GansmithError, why_not
from gansmith.core.metric_name import MetricName
from gansmith.core.registry import Part, Registry

GROUPS = ("grad_norm", "loss", "accuracy", "penalty", "score", "update", "d")  # tag of loss_generator: loss/generator
PROJECT = "gansmith"


@dataclass(frozen=True)
class Step:
    """Everything that a run wrote at one iteration."""

    iteration: int
    numbers: dict[str, float]  # by tag, such as loss/generator; "iteration" is always among them
    grid: Path | None = None  # PNG file with samples of the averaged generator
    events: tuple[tuple[str, str], ...] = ()  # name and message of verdicts, rollbacks, changes


@dataclass(frozen=True)
class TrackedRun:
    """A run as a tracker sees it."""

    id: str  # 12 hexadecimal digits, the same after a resume
    name: str  # of the run folder at its start, with a number for a run that replaces another
    folder: Path
    config: dict[str, Any]  # the recipe and the facts of the run, nested
    next_step: int  # the first iteration that is not known to be in the tracker


class Logger(ABC):
    """The connection of one run to a tracker. All calls come from one thread of its own, and may block or raise."""

    place: str = ""  # where to look at the run, for the user; without credentials

    def last_step(self) -> int | None:
        """Return the last iteration in the tracker's store, -1 for an empty one, None if the store cannot be asked."""
        return None

    @abstractmethod
    def send(self, step: Step) -> None:
        """Store a step; the steps come in order."""

    @abstractmethod
    def finish(self, summary: dict[str, float | str], model: Path | None) -> None:
        """Store the final metrics of a finished run, and the model folder if it is wanted."""

    @abstractmethod
    def close(self, outcome: str) -> None:
        """Write what is buffered, and disconnect; ``outcome`` is finished, paused, failed or replaced."""


class LoggerPart(Part):
    """A tracker that ``--logger`` names; its fields are options, never credentials."""

    package: ClassVar[str] = ""  # the module that it needs
    extra: ClassVar[str] = ""  # the extra of gansmith that installs it; "" for plugins

    model: bool = Field(False, description="also send the model folder of the finished run")

    def check(self) -> None:
        """Raise GansmithError for what can be known before training: no package, no login."""
        if not self.package:
            return
        try:
            importlib.import_module(self.package)
        except ImportError as problem:
            remedy = f"pip install 'gansmith[{self.extra}]'" if self.extra else f"install '{self.package}'"
            why = why_not(problem, self.package) or ", which is not installed"
            raise GansmithError(
                "run.logger_not_installed",
                f"logger '{self.kind}' needs the package '{self.package}'{why}\n  {remedy}",
            ) from problem

    @abstractmethod
    def open(self, run: TrackedRun) -> Logger:
        """Connect to the tracker and continue the run with this id, or make it."""


loggers: Registry[LoggerPart] = Registry("logger", __package__)


def tag_of(name: str) -> str:
    """Return the tag of a column: loss/generator, d/fake_after, snapshot/fd2k_own_train, run/kimg."""
    for group in GROUPS:
        if name.startswith(f"{group}_"):
            return f"{group}/{name.removeprefix(f'{group}_')}"
    return f"snapshot/{name}" if MetricName.parse(name) else f"run/{name}"


def flat(config: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return a nested mapping as one with keys such as method.loss.kind."""
    out: dict[str, Any] = {}
    for name, value in config.items():
        out |= flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {f"{prefix}{name}": value}
    return out
