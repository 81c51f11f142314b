"""Files that older versions of gansmith wrote, with names that have changed since, still open."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

from gansmith import api
from gansmith.core.errors import RecipeError
from gansmith.inference.model_record import MODEL_JSON
from gansmith.parts.networks.base import Network, networks
from gansmith.recipes.load import load_recipe
from gansmith.recipes.old_files import OLD_NETWORKS, from_old_file
from small_runs import PAUSE_AT, assert_same_run, train


@pytest.fixture(autouse=True)
def _no_results(monkeypatch):
    """Leave out film, curves and report, which are not what these tests are about."""
    monkeypatch.setattr(api, "write_results", lambda *_: None)


# A recipe that has each of the networks whose name changed.
RECIPES = {"residual": "sngan", "resnet": "unpaired"}


def age(text: str) -> str:
    """Return a text with the network names of old."""
    for old, new in OLD_NETWORKS.items():
        text = text.replace(f"kind: {new}\n", f"kind: {old}\n").replace(f'"kind": "{new}"', f'"kind": "{old}"')
    return text


def age_run(folder: Path, old: str) -> None:
    """Turn a run folder into one that an older version wrote."""
    recipe = folder / "recipe.yaml"
    recipe.write_text(age(recipe.read_text()))
    assert f"kind: {old}\n" in recipe.read_text()
    for manifest in folder.glob("checkpoints/*/manifest.json"):
        values, listed = manifest.with_name("state.json"), json.loads(manifest.read_text())
        values.write_text(age(json.dumps(json.loads(values.read_text()))))
        assert f'"kind": "{old}"' in values.read_text()
        listed["files"]["state.json"]["sha256"] = hashlib.sha256(values.read_bytes()).hexdigest()
        manifest.write_text(json.dumps(listed))


@pytest.mark.slow
@pytest.mark.parametrize("old", OLD_NETWORKS)
def test_a_run_with_the_old_name_of_a_network_resumes_as_if_nothing_had_changed(old, tiny_file, tmp_path):
    whole = train(tiny_file, tmp_path / "whole", RECIPES[old])
    run = train(tiny_file, tmp_path / "run", RECIPES[old], stop_at=PAUSE_AT)
    age_run(run.folder, old)
    assert api.resume(run.folder).finished
    assert_same_run(whole.folder, run.folder)
    assert api.load(run.folder).method.config.generator.kind == OLD_NETWORKS[old]


@pytest.mark.slow
def test_a_model_folder_with_the_old_name_of_a_network_makes_the_same_images(tiny_file, tmp_path):
    run = train(tiny_file, tmp_path / "run", "sngan")
    model = api.load(run.folder)
    folder = model.save(tmp_path / "model")
    record = folder / MODEL_JSON
    record.write_text(age(json.dumps(json.loads(record.read_text()))))
    assert '"kind": "residual"' in record.read_text()
    assert np.array_equal(api.load(folder).sample(4).images, model.sample(4).images)


@pytest.mark.parametrize("old", OLD_NETWORKS)
def test_a_recipe_of_a_user_has_no_old_names(old):
    with pytest.raises(RecipeError, match=f"unknown network '{old}'"):
        load_recipe("dcgan", (f"generator={old}",))


def test_a_network_of_a_plugin_may_have_an_old_name(monkeypatch):
    written = load_recipe("sngan").model_dump(mode="json")
    written["method"]["generator"]["kind"] = "residual"
    assert from_old_file(written)["method"]["generator"]["kind"] == "sngan_resnet"
    networks.names()
    monkeypatch.setitem(networks._parts, "residual", Network)
    assert from_old_file(written) == written
