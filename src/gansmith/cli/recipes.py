"""``gansmith recipes``. Without ``--shapes`` it reads YAML alone and never imports torch."""

import shlex
from importlib import resources
from pathlib import Path
from typing import Annotated, Any

import typer

from gansmith.errors import RecipeError, unknown_name
from gansmith.recipes import AUTO, AUTO_SUMMARY, AUTO_TEXT


def recipes(
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="Print this recipe.")] = None,
    overrides: Annotated[list[str] | None, typer.Argument(metavar="KEY=VALUE", help="Changes, with --shapes.")] = None,
    shapes: Annotated[
        bool, typer.Option("--shapes", help="Compute the table of layer shapes, with your changes.")
    ] = False,
) -> None:
    """List the recipes, or print one with the shapes of its layers."""
    folder = resources.files("gansmith.recipes")
    files = {path.name.removesuffix(".yaml"): path for path in folder.iterdir() if path.name.endswith(".yaml")}
    known = sorted([AUTO, *files])
    if name is None:
        width = max(len(each) for each in known)
        for each in known:
            summary = AUTO_SUMMARY if each == AUTO else _summary(files[each].read_text(encoding="utf-8"))
            print(f"{each:<{width}}  {summary}")
    elif overrides and not shapes:
        words = shlex.join(overrides)
        raise RecipeError(
            "cli.recipe_changes_without_shapes",
            f"the file of a recipe is printed as it is, without {words}"
            f"\n  the layers with changes: gansmith recipes {name} --shapes {words}"
            f"\n  the whole with changes: gansmith train DATA --recipe {name} {words} --dry-run",
        )
    elif shapes:
        _print_shapes(name, overrides or [])
    elif name == AUTO:
        print(AUTO_TEXT, end="")
    elif name in files:
        print(files[name].read_text(encoding="utf-8"), end="")
    elif Path(name).is_file():
        print(Path(name).read_text(encoding="utf-8"), end="")
    else:
        raise RecipeError(
            "recipe.unknown_recipe", unknown_name("recipe", name, known, hint="or pass the path of a .yaml file")
        )


def _summary(text: str) -> str:
    line = next((line for line in text.splitlines() if line.startswith("summary:")), "summary:")
    return line.removeprefix("summary:").strip()


def _print_shapes(name: str, overrides: list[str]) -> None:
    from gansmith import api

    recipe: Any = api.read_recipe(name, overrides)
    print("\n".join(api.describe_networks(recipe, api.example_spec(recipe))))
