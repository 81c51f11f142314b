import re
import subprocess
import sys
from importlib import resources

import pytest
import torch
import yaml

from gansmith.api import describe_networks, example_spec
from gansmith.recipes import AUTO, GOALS
from gansmith.recipes.load import differences, load_recipe, parse_recipe, recipe_names, recipe_text
from gansmith.recipes.recipe import Recipe
from gansmith.training.state import RunState
from small_runs import few_in_the_fast_lane

TORCH_FREE = """
import sys
from gansmith.cli.app import app
for words in (["--help"], ["recipes"], ["recipes", "--help"], ["recipes", "auto"], ["train", "--help"]):
    try:
        app(words)
    except SystemExit as problem:
        assert not problem.code, problem.code
    assert "torch" not in sys.modules, f"{words} imports torch"
"""


def header(name: str) -> list[str]:
    """Return the comment lines above the first field."""
    lines = recipe_text(name).splitlines()
    return lines[: next(number for number, line in enumerate(lines) if not line.startswith("#"))]


def test_every_file_that_is_no_module_is_a_recipe():
    assert {"compact", "dcgan", "mlp-small"} <= set(recipe_names())
    files = {path.name for path in resources.files("gansmith.recipes").iterdir() if path.name != "__pycache__"}
    assert {name for name in files if not name.endswith(".py")} == {f"{name}.yaml" for name in recipe_names()}


@pytest.mark.parametrize("name", recipe_names())
def test_it_loads_under_its_file_name_with_a_summary(name):
    recipe = load_recipe(name)
    assert recipe.name == name
    assert 10 <= len(recipe.summary) <= 100


@pytest.mark.parametrize("name", recipe_names())
def test_it_comes_back_from_what_is_written(name):
    recipe = load_recipe(name)
    again = parse_recipe(recipe.to_yaml(), where="x")
    assert again == recipe
    assert differences(recipe, again) == []
    assert Recipe.model_validate(recipe.model_dump(mode="json")) == recipe


@pytest.mark.parametrize("name", recipe_names())
def test_its_header_says_where_it_is_from_how_to_run_it_what_it_costs_and_what_it_reached(name):
    text = "\n".join(header(name))
    for line in ("Source", "Costs", "Reached"):
        assert re.search(rf"^# {line}: +\S", text, re.MULTILINE), line
    assert re.search(rf"^# Run: +gansmith train .*--recipe {re.escape(name)}\b", text, re.MULTILINE)


@pytest.mark.parametrize("name", recipe_names())
def test_it_writes_only_what_it_means(name):
    written = yaml.safe_load(recipe_text(name))
    assert "Layers at" not in recipe_text(name), "they are printed from the code"
    assert list(written)[:2] == ["name", "summary"]
    assert max(map(len, recipe_text(name).splitlines())) <= 120


@pytest.mark.parametrize("name", recipe_names())
def test_it_builds_on_its_example(name):
    recipe = load_recipe(name)
    spec = example_spec(recipe)
    lines = describe_networks(recipe, spec)
    with torch.device("meta"):
        method = recipe.method.build(spec)
    assert len([line for line in lines if line.endswith(" parameters")]) == len(method.networks)
    assert set(recipe.optimizers) <= {"default", *method.networks}


@pytest.mark.parametrize("name", recipe_names())
def test_its_state_can_be_made(name, runtime):
    small = ["base_channels=4"] if "base_channels" in load_recipe(name).to_yaml() else []
    recipe = load_recipe(name, (*small, "batch_size=4"))
    state = RunState.fresh(recipe, example_spec(recipe), 0, runtime)
    assert set(state.optimizers) == set(state.method.networks)
    assert state.all_finite()


def test_mlp_small_is_the_network_it_says():
    lines = "\n".join(describe_networks(load_recipe("mlp-small"), example_spec(load_recipe("mlp-small"))))
    generator, discriminator = lines.split("discriminator")
    assert re.findall(r"^  Linear +(\d+)", generator, re.MULTILINE) == ["300", "784"]
    assert re.findall(r"^  Linear +(\d+)", discriminator, re.MULTILINE) == ["300", "100", "1"]


@pytest.mark.slow
def test_help_and_recipes_never_import_torch():
    done = subprocess.run([sys.executable, "-c", TORCH_FREE], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for name in recipe_names():
        assert re.search(rf"^  {re.escape(name)} +{re.escape(load_recipe(name).summary)}$", done.stdout, re.MULTILINE)


def test_the_list_has_every_recipe_once_by_goal_within_80_columns(shell):
    lines = shell("recipes")[1].splitlines()
    assert max(map(len, lines)) <= 80
    assert [line.removesuffix(":") for line in lines if not line.startswith("  ")] == list(GOALS)
    assert sorted(line.split()[0] for line in lines if line.startswith("  ")) == sorted([AUTO, *recipe_names()])


@pytest.mark.slow
@pytest.mark.parametrize("name", few_in_the_fast_lane(recipe_names()))
def test_it_is_printed_with_the_layers_that_it_builds(name, shell):
    recipe = load_recipe(name)
    spec = example_spec(recipe)
    code, out, _ = shell("recipes", name)
    text, layers = out.split("# Layers at ")
    assert (code, text) == (0, recipe_text(name) + "\n")
    title, *lines = layers.splitlines()
    assert title.startswith(f"{spec.height} x {spec.width} px with {spec.channels} channel")
    assert [line.removeprefix("# ") for line in lines] == describe_networks(recipe, spec)
    assert parse_recipe(out, where="x") == recipe, "what is printed is a recipe"
