"""Recipes by name or from YAML files, with overrides; their errors and differences."""

import re
from collections.abc import Iterator
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from gansmith.core.errors import GansmithError, RecipeError, nearest, unknown_name
from gansmith.core.plain_files import MAX_YAML_BYTES, AnchorError, parse_yaml, read_text
from gansmith.core.schedules import Ramp
from gansmith.data.base import DataOptions
from gansmith.recipes import AUTO
from gansmith.recipes.old_files import from_old_file
from gansmith.recipes.recipe import Recipe


def recipe_names() -> list[str]:
    """Return the names of the recipes that come with gansmith."""
    return sorted(path.name.removesuffix(".yaml") for path in _shipped().iterdir() if path.name.endswith(".yaml"))


def recipe_text(name: str) -> str:
    """Return the YAML text of a shipped recipe or a file; RecipeError if there is neither."""
    if name.endswith((".yaml", ".yml")) or "/" in name:
        path = Path(name)
        if not path.exists() or path.is_dir():
            raise RecipeError(
                "recipe.file_not_found",
                f"recipe file '{name}' does not exist\n  known recipes: {', '.join(recipe_names())}",
            )
        if path.stat().st_size > MAX_YAML_BYTES:
            raise RecipeError(
                "recipe.file_too_large",
                f"recipe file '{name}' has {path.stat().st_size:,} bytes, more than {MAX_YAML_BYTES:,}"
                "\n  is it a recipe? 'gansmith recipes' lists those that come with gansmith",
            )
        try:
            return read_text(path, MAX_YAML_BYTES)
        except UnicodeDecodeError as problem:
            raise RecipeError(
                "recipe.not_text",
                f"recipe file '{name}' is not UTF-8 text: byte {problem.start + 1:,} is no part of a character"
                "\n  save it as UTF-8",
            ) from problem
    if name == AUTO:
        raise RecipeError(
            "recipe.auto_without_text",
            f"recipe '{AUTO}' depends on your data, so it cannot be printed"
            "\n  write a recipe for your data: gansmith plan DATA --out FILE.yaml",
        )
    if name not in recipe_names():
        raise RecipeError(
            "recipe.unknown_recipe",
            unknown_name("recipe", name, [AUTO, *recipe_names()], hint="or pass the path of a .yaml file"),
        )
    return (_shipped() / f"{name}.yaml").read_text(encoding="utf-8")


def method_kind(text: str) -> str:
    """Return the kind of method in a recipe's text, "" if it has none; the recipe may have unknown parts."""
    try:
        method = parse_yaml(text)["method"]
        return str(method if isinstance(method, str) else method["kind"])
    except (KeyError, TypeError, ValueError, yaml.YAMLError):
        return ""


def load_recipe(name: str, overrides: tuple[str, ...] = ()) -> Recipe:
    """Return a shipped recipe or the recipe in a file, with ``key=value`` overrides applied.

    A key is a path (``method.loss.real_label``) or the end of one, such as ``lr``; an end sets every field that has it.
    Raises RecipeError with the key, the allowed values and the nearest match.
    """
    is_shipped = name in recipe_names()
    return override(_shipped_recipe(name) if is_shipped else _recipe_of(name), overrides)


def _recipe_of(name: str) -> Recipe:
    return parse_recipe(recipe_text(name), where=f"recipe {name}")


_shipped_recipe = cache(_recipe_of)  # a plan asks for the same one many times


def parse_recipe(text: str, *, where: str) -> Recipe:
    """Return the recipe in a YAML text; RecipeError if it is invalid. ``where`` begins the error message."""
    return _validate(_read_yaml(text, where), where)


def read_run_recipe(path: Path) -> Recipe:
    """Return the recipe of a run folder, also of an older version; RecipeError if it is invalid."""
    where = f"recipe {path}"
    try:
        text = read_text(path, MAX_YAML_BYTES)
    except (OSError, UnicodeDecodeError) as problem:
        why = getattr(problem, "strerror", None) or "it is not UTF-8 text"
        raise RecipeError("recipe.unreadable", f"{where} cannot be read: {why}") from problem
    return run_recipe_of(_read_yaml(text, where), where)


def run_recipe_of(values: Any, where: str) -> Recipe:
    """Return a recipe as a run or a checkpoint holds it, also of an older version; RecipeError if it is invalid."""
    return _validate(from_old_file(values), where)


def override(recipe: Recipe, overrides: tuple[str, ...]) -> Recipe:
    """Return a recipe with ``key=value`` overrides applied in order; each is validated, RecipeError if invalid."""
    for text in overrides:
        values = recipe.model_dump(mode="json")
        key, equals, written = text.partition("=")
        if not equals or not key:
            raise RecipeError(
                "recipe.override_form", f"override '{text}' is not of the form key=value\n  for example batch_size=64"
            )
        value = _read_yaml(written, f"override '{text}'") if written.strip() else None
        for path in reversed(_matching_paths(values, key)):
            _set(values, path, value)
        recipe = _validate(values, f"override '{text}'")
    return recipe


def named_paths(recipe: Recipe, overrides: tuple[str, ...]) -> set[str]:
    """Return the dotted paths of the fields that overrides set, applied in order."""
    paths: set[str] = set()
    for text in overrides:
        key = text.partition("=")[0]
        after = override(recipe, (text,))
        paths |= {".".join(path) for path in _matching_paths(recipe.model_dump(mode="json"), key)}
        recipe = after
    return paths


def differences(before: Recipe, after: Recipe) -> list[str]:
    """Return the fields that differ between two recipes, as ``path: before -> after``."""
    old, new = flat(before), flat(after)
    paths = [path for path in {**old, **new} if old.get(path) != new.get(path)]
    return [f"{path}: {old.get(path, 'absent')} -> {new.get(path, 'absent')}" for path in sorted(paths)]


def flat(recipe: Recipe) -> dict[str, Any]:
    """Return the values of a recipe by dotted path; list items have their index in the path."""
    return {".".join(path): value for path, value in _leaves(recipe.model_dump(mode="json"))}


def _shipped() -> Any:
    return resources.files("gansmith.recipes")


def _read_yaml(text: str, where: str) -> Any:
    try:
        return parse_yaml(text)
    except AnchorError as problem:
        raise RecipeError("recipe.yaml_anchors", f"{where}: {problem}") from problem
    except (yaml.YAMLError, ValueError) as problem:
        mark, reason = (
            getattr(problem, "problem_mark", None),
            getattr(problem, "problem", None) or str(problem).partition("\n")[0],
        )
        at = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        raise RecipeError("recipe.not_yaml", f"{where}: not valid YAML: {at}{reason[:200]}") from problem


def _validate(values: Any, where: str) -> Recipe:
    if not isinstance(values, dict):
        raise RecipeError(
            "recipe.not_a_mapping",
            f"{where}: a recipe is a mapping of fields, got {type(values).__name__}"
            "\n  for an example: gansmith recipes dcgan",
        )
    try:
        return Recipe.model_validate(values)
    except ValidationError as problem:
        raise RecipeError(code_of(problem), explain(problem, where)) from problem


def code_of(problem: ValidationError) -> str:
    """Return the code of the first error: ``explain`` describes the same one."""
    first = _sorted_errors(problem)[0]
    cause = first.get("ctx", {}).get("error")
    if isinstance(cause, GansmithError):
        return cause.code
    return {"extra_forbidden": "recipe.unknown_field", "missing": "recipe.missing_field"}.get(
        first["type"], "recipe.invalid_value"
    )


def _sorted_errors(problem: ValidationError) -> list[ErrorDetails]:
    """Return the errors, unknown fields first: a misspelt name often causes other errors."""
    return sorted(problem.errors(include_url=False), key=lambda error: error["type"] != "extra_forbidden")


def explain(problem: ValidationError, where: str, top_fields: list[str] | None = None) -> str:
    """Return at most three lines about the first error; ``top_fields`` are the fields, if it is not a recipe."""
    errors = _sorted_errors(problem)
    first = errors[0]
    place = ".".join(str(part) for part in first["loc"] if part not in ("number", "ramp"))
    cause = first.get("ctx", {}).get("error")
    if isinstance(cause, GansmithError):
        head, *rest = str(cause).split("\n")
        text = "\n".join([f"{where}: {place + ': ' if place else ''}{head}", *rest])
    elif first["type"] == "extra_forbidden":
        inside = len(first["loc"]) > 1
        fields = top_fields if top_fields and not inside else _fields_at(first["loc"][:-1])
        key, owner = str(first["loc"][-1]), "it" if top_fields else "a recipe"
        text = f"{where}: '{place}' is not a field of {owner}{nearest(key, fields)}\n  fields: {', '.join(fields)}"
    elif first["type"] == "missing":
        help_line = "" if top_fields else "\n  every recipe has it; for an example: gansmith recipes dcgan"
        text = f"{where}: '{place}' is missing{help_line}"
    else:
        message = re.sub(r"^Value error, |, unable to parse string as an? \w+", "", first["msg"])
        got = "" if isinstance(first["input"], dict) or ", got " in message else f", got {first['input']!r}"
        text = f"{where}: {place + ': ' if place else ''}{message[:1].lower()}{message[1:]}{got}"
    return text + (f"\n  and {len(errors) - 1} more" if len(errors) > 1 else "")


def _fields_at(place: tuple[int | str, ...]) -> list[str]:
    owner = Ramp if place[-1:] == ("ramp",) else DataOptions if place == ("data",) else Recipe
    return list(owner.model_fields)


def _paths(value: Any, before: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Yield the path of every field; list items have their index in the path."""
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, entry in pairs:
        path = (*before, str(key))
        yield path
        yield from _paths(entry, path)


def _leaves(value: Any) -> Iterator[tuple[tuple[str, ...], Any]]:
    def at(path: tuple[str, ...]) -> Any:
        found = value
        for part in path:
            found = found[int(part)] if isinstance(found, list) else found[part]
        return found

    for path in _paths(value):
        entry = at(path)
        if not (isinstance(entry, dict | list) and entry):
            yield path, entry


def _matching_paths(values: dict[str, Any], key: str) -> list[tuple[str, ...]]:
    wanted = tuple(key.split("."))
    paths = list(_paths(values))
    exact = [path for path in paths if path == wanted]
    ends = [path for path in paths if path[-len(wanted) :] == wanted]
    if wanted[0] in values.get("optimizers", {}):  # a network, before its optimizer
        ends = [path for path in ends if path[0] != "optimizers"] or ends
    # an optimizer of one network may be added
    if not exact and len(wanted) == 2 and wanted[0] == "optimizers":
        return [wanted]
    if not (exact or ends):
        known = {".".join(path) for path in paths} | {path[-1] for path in paths}
        raise RecipeError(
            "recipe.unknown_key",
            f"override '{key}=': no field of this recipe is called '{key}'{nearest(key, known)}"
            "\n  'gansmith recipes NAME' shows the fields of a recipe",
        )
    return exact or ends


def _set(values: dict[str, Any], path: tuple[str, ...], value: Any) -> None:
    """Set a field in place; a part with a new kind loses the fields of its old kind."""
    *heads, last = path
    for index, head in enumerate(heads):
        parent = values
        values = values[int(head)] if isinstance(values, list) else values[head]
        if last == "kind" and index == len(heads) - 1 and values.get("kind") != value:
            if isinstance(parent, list):
                parent[int(head)] = {"kind": value}
            else:
                parent[head] = {"kind": value}
            return
    if last in ("kimg", "epochs") and not heads and value is not None:
        values["kimg"] = values["epochs"] = None
    if isinstance(values, dict) and isinstance(values.get(last), list) and not isinstance(value, list | None):
        value = [value]  # penalties=r1
    if isinstance(values, list):
        values[int(last)] = value
    else:
        values[last] = value
