"""The options of a new run, as a user gives them."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypedDict, Unpack

from gansmith.core import clock
from gansmith.core.errors import GansmithError
from gansmith.core.file_names import can_be_path
from gansmith.core.plain_files import sha256_of
from gansmith.data.base import Source
from gansmith.data.find import DataName
from gansmith.recipes import AUTO
from gansmith.recipes.recipe import Recipe
from gansmith.runs.length import Budget, TimeLimit


class PlanKeywords(TypedDict, total=False):
    """The keywords of ``gansmith.plan``."""

    overrides: Sequence[str]  # KEY=VALUE, changes to the recipe
    kimg: float | None  # the length: at most one of kimg, epochs, minutes and until
    epochs: float | None
    minutes: float | None  # of the whole command
    until: str | None  # a local time at which the command ends, such as "18:30"
    device: str  # auto, cpu, cuda or mps
    precision: str  # auto, fp32 or bf16
    holdout: float  # share of the images that is not trained on, 0 to 0.9
    plugins: Sequence[str | Path]
    data_root: str | Path | None  # where the files of named data sets are


class RunKeywords(PlanKeywords, total=False):
    """The keywords of ``gansmith.train``."""

    recipe: str | Recipe
    steps: int | None  # a length, too
    seed: int
    compiled: bool
    init_from: str | Path | None  # a model whose weights are the first ones
    loggers: Sequence[Any]  # trackers that the run is sent to: names, or mappings with options
    save_every_minutes: float | None  # a checkpoint at least this often, besides those of the schedule
    store: str | None  # address in object storage for a copy of the run


@dataclass(frozen=True)
class RunOptions:
    """What a user asks of a new run; ``of`` makes it from keywords."""

    source: DataName | Source
    budget: Budget = Budget()
    recipe: str | Recipe = AUTO
    overrides: tuple[str, ...] = ()
    seed: int = 0
    device: str = "auto"
    precision: str = "auto"
    compiled: bool = False
    holdout: float = 0.0
    init_from: Path | None = None
    plugins: tuple[Path, ...] = ()
    data_root: Path | None = None
    loggers: tuple[Any, ...] = ()
    save_every_minutes: float | None = None
    store: str | None = None
    began: float = field(default_factory=clock.began)  # when the command began, by clock.monotonic
    launch: str | None = None  # see ``RunRecord``

    @property
    def time_limit(self) -> TimeLimit | None:
        """Return the time limit of the command; None without one."""
        return self.budget.time_limit(self.began)

    def shared(self) -> dict[str, object]:
        """Return the options that have to be the same in all processes of a run; paths may differ."""
        recipe = self.recipe
        if isinstance(recipe, str) and can_be_path(recipe) and Path(recipe).is_file():
            recipe = f"a file with SHA-256 {sha256_of(Path(recipe))[:12]}"
        lengths = {name: value for name, value in asdict(self.budget).items() if value is not None}
        length = " ".join(f"{name} {value}" for name, value in lengths.items()) or "that of the recipe"
        names = ("seed", "compiled", "holdout", "save_every_minutes", "store")
        rest = {name: getattr(self, name) for name in names}
        own = recipe if isinstance(recipe, str) else recipe.to_yaml()
        return {"recipe": own, "KEY=VALUE": " ".join(self.overrides) or "none", "length": length, **rest}

    @classmethod
    def of(cls, source: DataName | Source, **keywords: Unpack[RunKeywords]) -> "RunOptions":
        """Return the options that keywords ask for; GansmithError for two lengths, TypeError for an unknown keyword."""
        rest: dict[str, Any] = dict(keywords)
        lengths = [rest.pop(name, None) for name in ("kimg", "steps", "epochs", "minutes", "until")]
        for name in ("init_from", "data_root"):
            rest[name] = Path(rest[name]) if rest.get(name) else None
        rest["overrides"] = tuple(rest.get("overrides", ()))
        loggers = rest.get("loggers", ())
        rest["loggers"] = (loggers,) if isinstance(loggers, str | dict) else tuple(loggers)
        check_save_interval(rest.get("save_every_minutes"))
        rest["plugins"] = tuple(Path(plugin) for plugin in rest.get("plugins", ()))
        return cls(source, Budget(*lengths), **rest)


def check_save_interval(minutes: float | None) -> None:
    """Raise GansmithError for minutes between saves that are not above 0."""
    if minutes is not None and not 0 < minutes < math.inf:
        raise GansmithError(
            "run.save_interval", f"--save-every-minutes {minutes:g} is not a time\n  allowed: above 0, for example 10"
        )
