"""A planned recipe with its reasons, and the builder that keeps the user's own settings."""

from dataclasses import asdict, dataclass
from html import escape
from typing import Any

import yaml

from gansmith.core.html import LEFT, table
from gansmith.recipes.load import flat, load_recipe, named_paths, override
from gansmith.recipes.recipe import Recipe
from gansmith.training.planning.expectations import Expectation

USERS = "as you asked"
EDITING = "Planned by gansmith. An edit below changes only its own field: gamma and lr do not follow size and batch."


@dataclass(frozen=True)
class Choice:
    """One decision and its reason."""

    what: str
    value: str
    reason: str


@dataclass(frozen=True)
class Proposal:
    """A recipe for the data, the machine and the budget, with the reason for each choice."""

    recipe: Recipe
    choices: tuple[Choice, ...]
    warnings: tuple[str, ...]
    summary: tuple[str, ...]  # of the data
    img_per_sec: float
    kimg: float
    memory_mb: float
    expectation: Expectation | None
    around_sec: float = 0.0  # of a time limit: before the first step and after the last

    @property
    def minutes(self) -> float:
        """Return how many minutes the run takes at the measured speed; with a time limit, the whole command."""
        return (self.kimg * 1000 / self.img_per_sec + self.around_sec) / 60

    def notes(self) -> list[str]:
        """Return one line for each choice."""
        return [f"{choice.what}: {choice.value} ({choice.reason})" for choice in self.choices]

    def outlook(self) -> str:
        """Return the expected quality, in words."""
        seen = self.expectation
        quality = (
            "unknown; no run on similar images is recorded" if seen is None else f"see {seen.picture}, {seen.words}"
        )
        return f"expected quality: {quality}"

    def comments(self) -> tuple[str, ...]:
        """Return the comment lines above the recipe in a file."""
        return (EDITING, *self.notes())

    def to_yaml(self) -> str:
        """Return the recipe as YAML, with the choices as comments above it."""
        return self.recipe.to_yaml(self.comments())

    def _repr_html_(self) -> str:
        rows = [tuple(escape(text) for text in (each.what, each.value, each.reason)) for each in self.choices]
        length = f"{self.kimg:,.1f} kimg, about {self.minutes:,.1f} minutes at {self.img_per_sec:,.0f} images a second"
        said = [*self.summary, length, self.outlook(), *(f"warning: {text}" for text in self.warnings)]
        lines = "".join(f"<div>{escape(line)}</div>" for line in said)
        return f"<div>{table(('choice', 'value', 'reason'), rows, LEFT)}{lines}</div>"

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {**asdict(self), "recipe": self.recipe.model_dump(mode="json"), "minutes": round(self.minutes, 2)}


class RecipeBuilder:
    """A recipe under construction; it never changes a setting that the user made."""

    def __init__(self, base: str, overrides: tuple[str, ...]) -> None:
        self.base, self.recipe = base, load_recipe(base)
        self.choices: list[Choice] = []
        self._named: dict[str, set[str]] = {}  # paths, by override
        for text in overrides:
            named = named_paths(self.recipe, (text,))
            self.recipe = override(self.recipe, (text,))
            self._named[text] = {self._of_kind(path, text) for path in named}
        self._decided: list[str] = []

    def _of_kind(self, path: str, text: str) -> str:
        """Return the path that an override sets; ``augment=ada`` names a part, so it sets the part's kind."""
        kind = f"{path}.kind"
        is_name = text.partition("=")[2].strip() == flat(self.recipe).get(kind)
        return kind if is_name else path

    def is_users(self, path: str) -> bool:
        """Say whether the user has set a field, a field below it, or a part that contains it."""
        return any(_overlap(path, named) for named in self._all_named())

    def _is_of_another_part(self, path: str) -> bool:
        owner = path.rpartition(".")[0]
        return any(named == f"{owner}.kind" for named in self._all_named())

    def _all_named(self) -> set[str]:
        return set().union(*self._named.values())

    def has(self, path: str) -> bool:
        """Say whether the recipe has a field."""
        return any(f"{known}.".startswith(f"{path}.") for known in flat(self.recipe))

    def decide(self, what: str, paths: tuple[str, ...], value: Any, reason: str, *, of_any_part: bool = False) -> None:
        """Set fields that mean the same to one value, and note the choice.

        The fields stay as they are where the user has set one of them, or where the recipe has none of them. A part
        whose kind the user has named keeps its fields, too, unless ``of_any_part``.
        """
        self._decided += paths
        if any(self.is_users(path) for path in paths):
            values = flat(self.recipe)
            found = [(path, name) for path in paths for name in values if _overlap(path, name)]
            words = [_in_words(values.get(f"{path}.kind", values[name])) for path, name in found]
            self.choices.append(Choice(what, " / ".join(dict.fromkeys(words)), USERS))
            return
        mine = [path for path in paths if self.has(path) and (of_any_part or not self._is_of_another_part(path))]
        if mine:
            written = yaml.safe_dump(value, default_flow_style=True, width=1000).removesuffix("...\n").strip()
            self.recipe = override(self.recipe, tuple(f"{path}={written}" for path in mine))
            self.choices.append(Choice(what, _in_words(value), reason))

    def note_the_rest(self) -> None:
        """Note the user's settings of fields that nothing decides."""
        for text, paths in self._named.items():
            if not any(_overlap(path, decided) for path in paths for decided in self._decided):
                key, _, value = text.partition("=")
                self.choices.append(Choice(key, value, USERS))


def _overlap(left: str, right: str) -> bool:
    """Say whether two dotted paths are equal, or one lies below the other."""
    return f"{left}.".startswith(f"{right}.") or f"{right}.".startswith(f"{left}.")


def _in_words(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, dict):
        return f"{value['start']:g} to {value['end']:g}" if "start" in value else str(value["kind"])
    if isinstance(value, list):
        return " x ".join(map(str, value)) or "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:,.6g}" if isinstance(value, float) else str(value)
