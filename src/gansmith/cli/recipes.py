"""``gansmith recipes``: list recipes, or print one; only its layers need torch."""

import shlex
from importlib import resources
from pathlib import Path
from typing import Annotated, Any

import typer

from gansmith.cli.options import AsJson, flag
from gansmith.cli.text import json_text, tell
from gansmith.core.errors import RecipeError, unknown_name
from gansmith.core.plain_files import MAX_YAML_BYTES, read_text
from gansmith.recipes import AUTO, AUTO_SUMMARY, AUTO_TEXT, GOALS

LAYERS = "# Layers at "  # begins the comment below a printed recipe


def recipes(
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="Recipe to print, with its layers.")] = None,
    overrides: Annotated[
        list[str] | None, typer.Argument(metavar="KEY=VALUE", help="Changes to the recipe; needs --shapes.")
    ] = None,
    shapes: Annotated[bool, flag("--shapes", "Print only the layers, with your changes.")] = False,
    as_json: AsJson = False,
) -> None:
    """List the recipes, or print one with its layers.

    Example: gansmith recipes dcgan --shapes size=64
    """
    folder = resources.files("gansmith.recipes")
    files = {path.name.removesuffix(".yaml"): path for path in folder.iterdir() if path.name.endswith(".yaml")}
    known = sorted([AUTO, *files])
    if name is None:
        _print_list({each: _summary(path.read_text(encoding="utf-8")) for each, path in files.items()}, as_json)
    elif overrides and not shapes:
        words = shlex.join(overrides)
        raise RecipeError(
            "cli.recipe_changes_without_shapes",
            f"a recipe is printed without changes, got {words}"
            f"\n  the layers with changes: gansmith recipes {name} --shapes {words}"
            f"\n  the recipe with changes: gansmith train DATA --recipe {name} {words} --dry-run",
        )
    elif as_json and name != AUTO:
        tell(json_text(_as_json(name, overrides or [])))
    elif shapes:
        tell("\n".join(_layers(name, overrides or [])[1:]))
    elif name == AUTO:
        tell(json_text({"name": AUTO, "text": AUTO_TEXT}) if as_json else AUTO_TEXT.rstrip("\n"))
    elif name in files:
        _print_recipe(name, files[name].read_text(encoding="utf-8"))
    elif Path(name).is_file():
        _print_recipe(name, read_text(name, MAX_YAML_BYTES))
    else:
        raise RecipeError(
            "recipe.unknown_recipe", unknown_name("recipe", name, known, hint="or pass the path of a .yaml file")
        )


def _print_list(summaries: dict[str, str], as_json: bool) -> None:
    summaries[AUTO] = AUTO_SUMMARY
    if as_json:
        listed = [(goal, name) for goal, names in GOALS.items() for name in names]
        tell(json_text({"recipes": [{"name": n, "goal": goal, "summary": summaries[n]} for goal, n in listed]}))
        return
    width = max(map(len, summaries))
    for goal, names in GOALS.items():
        tell(f"{goal}:")
        for name in names:
            tell(f"  {name:<{width}}  {summaries[name]}")


def _summary(text: str) -> str:
    line = next((line for line in text.splitlines() if line.startswith("summary:")), "summary:")
    return line.removeprefix("summary:").strip()


def _print_recipe(name: str, text: str) -> None:
    """Print a recipe, then its layers as comments: the output is a valid recipe file."""
    tell(text.split(LAYERS)[0].rstrip() + "\n")  # a saved output has layers already
    title, *lines = _layers(name, [])
    tell(title, *(f"# {line}" for line in lines))


def _as_json(name: str, overrides: list[str]) -> dict[str, Any]:
    from gansmith import api  # imports torch, which the list does without

    recipe: Any = api.read_recipe(name, overrides)
    return {"recipe": recipe.model_dump(mode="json"), "networks": _layers(name, overrides)[1:]}


def _layers(name: str, overrides: list[str]) -> list[str]:
    """Return a title and the table of each network, one line each."""
    from gansmith import api  # imports torch, which the list does without

    recipe: Any = api.read_recipe(name, overrides)
    spec: Any = api.example_spec(recipe)
    sides = f"{spec.height} x {spec.width} px with {spec.channels} channel{'s' if spec.channels > 1 else ''}"
    return [f"{LAYERS}{sides}: output shape and parameters of each layer.", *api.describe_networks(recipe, spec)]
