"""``gansmith recipes``: list or print recipes; imports torch for ``--shapes`` only."""

import shlex
from importlib import resources
from pathlib import Path
from typing import Annotated, Any

import typer

from gansmith.cli.options import flag
from gansmith.errors import RecipeError, unknown_name
from gansmith.recipes import AUTO, AUTO_SUMMARY, AUTO_TEXT


def recipes(
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="Recipe to print; without it, list all.")] = None,
    overrides: Annotated[
        list[str] | None, typer.Argument(metavar="KEY=VALUE", help="Changes to the recipe; needs --shapes.")
    ] = None,
    shapes: Annotated[bool, flag("--shapes", "Print the layers, their output shapes and parameters.")] = False,
) -> None:
    """List the recipes, print one, or print its layers.

    Example: gansmith recipes dcgan --shapes size=64
    """
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
            f"the file of a recipe is printed as it is, without {words}"
            f"\n  the layers with changes: gansmith recipes {name} --shapes {words}"
            f"\n  the whole with changes: gansmith train DATA --recipe {name} {words} --dry-run"
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
        raise RecipeError(unknown_name("recipe", name, known, hint="or pass the path of a .yaml file"))


def _summary(text: str) -> str:
    line = next((line for line in text.splitlines() if line.startswith("summary:")), "summary:")
    return line.removeprefix("summary:").strip()


def _print_shapes(name: str, overrides: list[str]) -> None:
    from gansmith import api

    recipe: Any = api.read_recipe(name, overrides)
    print("\n".join(api.describe_networks(recipe, api.example_spec(recipe))))
