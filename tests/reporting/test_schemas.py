"""Files of a small run fit their JSON Schemas, and a schema that changes has a new version."""

import json
from pathlib import Path

import jsonschema
import pytest
import yaml

from gansmith import api, plugins
from gansmith.evaluation.evaluate import EvaluationOptions
from gansmith.recipes.load import load_recipe, recipe_names
from gansmith.reporting.schemas import FILES, schema
from gansmith.runs.folder import RunFolder
from gansmith.runs.log import read_rows
from small_runs import MONITORED, train

KEPT = Path(__file__).parent.parent / "snapshots" / "schemas.json"
WORDS = ("title", "description")
CLOSED = ("run",)  # older versions refuse keys that they do not know


@pytest.fixture
def own_parts(monkeypatch) -> None:
    """Hide the parts that other tests have registered."""
    for each in (each for each in vars(plugins).values() if isinstance(each, plugins.Registry)):
        own = {name: each.get(name) for name in each.names() if each.get(name).__module__.startswith("gansmith.")}
        monkeypatch.setattr(each, "_parts", own)


@pytest.fixture(scope="module")
def run(tiny_file, tmp_path_factory) -> api.Run:
    """A run of 12 steps with snapshots, whose length was changed."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(api, "write_results", lambda *_: None)
        train(tiny_file, folder, "mlp-small", *MONITORED, "previews=1", steps=8, progress=False)
    return api.resume(folder, kimg=0.096, progress=False)


def contents(run: api.Run, name: str) -> list:
    """Return the values of a run's file, or of its lines."""
    files = RunFolder(run.folder)
    if name == "recipe":
        return [yaml.safe_load(files.recipe.read_text())]
    if name == "result":
        return [json.loads(json.dumps(run.summary()))]
    if name in ("events", "snapshots"):
        return read_rows(files.log if name == "events" else files.snapshots)
    if name == "evaluation":
        options = EvaluationOptions(num=100, sets=4, features="untrained", on_training=True)
        _, path = api.evaluate(run.folder, options=options, progress=False)
        return [json.loads(path.read_text())]
    return [json.loads((run.folder / {"run": "run.json", "model": "model/model.json"}[name]).read_text())]


@pytest.mark.slow
@pytest.mark.parametrize("name", FILES)
def test_files_fit_their_schema(run, name):
    wanted = schema(name)
    jsonschema.Draft202012Validator.check_schema(wanted)
    values = contents(run, name)
    assert values
    for value in values:
        jsonschema.validate(value, wanted)
        assert isinstance(value.get("event", ""), str)
        for key in wanted.get("required", ["kimg"]):
            with pytest.raises(jsonschema.ValidationError):
                jsonschema.validate({other: value[other] for other in value if other != key}, wanted)


@pytest.mark.slow
def test_log_and_record_have_what_a_scheduler_asks_for(run):
    assert [row["event"] for row in run.events if row["event"] != "health"] == ["changed"]
    assert run.snapshots
    assert contents(run, "run")[0]["format"] == schema("run")["version"]
    assert contents(run, "model")[0]["format"] == schema("model")["version"]


@pytest.mark.slow
def test_recipes_as_a_user_writes_them_fit(tmp_path):
    validator = jsonschema.Draft202012Validator(schema("recipe"))
    for name in recipe_names():
        assert list(validator.iter_errors(load_recipe(name).model_dump(mode="json"))) == []
    part_by_name = {**load_recipe("mlp-small").model_dump(mode="json"), "batch_size": 64}
    part_by_name["method"]["loss"] = "hinge"
    assert validator.is_valid(part_by_name)
    part_by_name["method"]["loss"] = "hinje"
    assert not validator.is_valid(part_by_name)


def test_an_unknown_schema(refused):
    with refused("cli.unknown_schema"):
        schema("runs")


def bare(value):
    """Return a schema without its words."""
    if isinstance(value, dict):
        return {key: bare(each) for key, each in value.items() if key not in WORDS or isinstance(each, dict)}
    return [bare(each) for each in value] if isinstance(value, list) else value


def extends(old, new, key: str = "") -> bool:
    """Say whether a schema accepts all that an older one accepts, by the rule that it only adds to it."""
    if isinstance(old, dict) and isinstance(new, dict):
        return all(name in new and extends(old[name], new[name], name) for name in old)
    if isinstance(old, list) and isinstance(new, list) and key in ("anyOf", "enum"):
        return all(any(extends(each, other) for other in new) for each in old)
    return old == new


@pytest.mark.slow
def test_a_schema_changes_only_with_its_version(pytestconfig, own_parts):
    now = {name: bare(schema(name)) for name in FILES}
    kept = json.loads(KEPT.read_text()) if KEPT.exists() else {}
    for name, value in now.items():
        old = kept.get(name, {"version": 0})
        same_version = value["version"] == old["version"]
        breaks = value != old if name in CLOSED else not extends(old, value)
        assert not (same_version and breaks), f"the schema of '{name}' changed: raise its version in FILES"
    if pytestconfig.getoption("--write-snapshots"):
        KEPT.write_text(json.dumps(now, indent=1, sort_keys=True) + "\n")
        return
    assert now == kept, "run make snapshots"


def test_what_breaks_readers():
    old = {"properties": {"a": {"type": "integer"}}, "required": ["a"], "anyOf": [{"enum": ["x"]}]}
    more = {"properties": {"a": {"type": "integer"}, "b": {}}, "required": ["a"], "anyOf": [{"enum": ["w", "x"]}, {}]}
    assert extends(old, more)
    assert not extends(more, old)
    assert not extends(old, {**old, "required": ["a", "b"]})
    assert not extends(old, {**old, "properties": {"a": {"type": "number"}}})
