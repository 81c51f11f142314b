"""Run folders and a model folder of an older version (tests/old_run) open, resume, sample and evaluate."""

import hashlib
import json
import platform
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from gansmith import api
from gansmith.evaluation.evaluate import EvaluationOptions
from gansmith.recipes.old_files import from_old_file, record_from_old_file, snapshot_from_old_file
from gansmith.runs.folder import RECORD, RunFolder
from gansmith.runs.log import read_rows
from small_runs import newest, resume

OLD = Path(__file__).parents[1] / "old_run"
EXPECTED = json.loads((OLD / "expected.json").read_text())
IMAGES = np.load(OLD / "expected_images.npz")
OPTIONS = EvaluationOptions(num=100, on_training=True, metrics=("frechet",), features="untrained")
SAME_MACHINE = EXPECTED["cpu"] == {
    "torch": torch.__version__,
    "capability": torch.backends.cpu.get_cpu_capability(),
    "processor": platform.machine(),
}


@pytest.fixture
def old(tmp_path):
    """Return a function that copies one of the old run folders and points it to its images."""

    def copied(name: str) -> Path:
        folder = tmp_path / name
        shutil.copytree(OLD / name, folder)
        path = folder / RECORD
        record = json.loads(path.read_text())
        record["data"]["source"] = str(OLD / "images.npz")
        path.write_text(json.dumps(record))
        return folder

    return copied


@pytest.fixture(scope="module")
def resumed(tmp_path_factory, session_cache) -> Path:
    """The paused run, resumed to its end by today's code."""
    folder = tmp_path_factory.mktemp("old") / "paused"
    shutil.copytree(OLD / "paused", folder)
    record = json.loads((folder / RECORD).read_text())
    record["data"]["source"] = str(OLD / "images.npz")
    (folder / RECORD).write_text(json.dumps(record))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GANSMITH_CACHE", str(session_cache))
        patch.setattr(api, "write_results", lambda *_: None)
        # On another machine the numerics differ, which a resume accepts only when it is told to.
        assert api.resume(folder, accept_changes=not SAME_MACHINE).finished
    return folder


def assert_alike(ours: list[dict], theirs: list[dict]) -> None:
    """Fail unless rows have the same columns and numbers: equal on the same machine, else close."""
    assert [row.keys() for row in ours] == [row.keys() for row in theirs]
    for mine, its in zip(ours, theirs, strict=True):
        for name, value in mine.items():
            same = SAME_MACHINE or not isinstance(value, float)
            assert value == (its[name] if same else pytest.approx(its[name], rel=1e-2, abs=1e-4)), name


@pytest.mark.slow
def test_a_resume_computes_the_tensors_that_the_older_version_computed(resumed):
    checkpoint = newest(resumed)
    assert checkpoint.values["iteration"] == 12
    digests = EXPECTED["sha256_of_tensors"]
    assert checkpoint.tensors.keys() == digests.keys()
    for name, tensor in load_file(OLD / "expected.safetensors").items():
        assert torch.allclose(checkpoint.tensors[name], tensor, rtol=1e-3, atol=1e-5), name
    if SAME_MACHINE:
        ours = {name: hashlib.sha256(each.numpy().tobytes()).hexdigest() for name, each in checkpoint.tensors.items()}
        assert ours == digests


def test_a_resume_writes_the_rows_that_the_older_version_wrote(resumed):
    rows, wanted = (
        [row for row in log if "event" not in row] for log in (read_rows(RunFolder(resumed).log), EXPECTED["log"])
    )
    assert_alike(rows, wanted)


def test_a_resume_continues_the_file_of_snapshots_under_its_new_name(resumed):
    run = RunFolder(resumed)
    assert run.snapshots.name == "snapshots.jsonl"
    assert not (resumed / "looks.jsonl").exists()
    rows = run.read_snapshots()
    assert [row["iteration"] for row in rows] == [3, 6, 9, 12]
    assert all("modes" in row and "kinds" not in row for row in rows)
    if SAME_MACHINE:
        wanted = [snapshot_from_old_file(row) for row in EXPECTED["looks"]]
        for row in rows:  # deviations that the older version did not have
            for name in ("coverage", "texture"):
                row.get("deviations", {}).pop(name, None)
        assert [{name: row[name] for name in old} for row, old in zip(rows, wanted, strict=True)] == wanted


def test_a_resume_writes_the_record_with_todays_names(resumed):
    written = json.loads((resumed / RECORD).read_text())
    record = RunFolder(resumed).record
    assert record.length.iterations == 12
    assert record.monitor.every == 3
    assert record.monitor.protocol.num_fake == 100
    assert SAME_MACHINE or written["format"] == 2  # changes were accepted, so it was written anew


@pytest.mark.slow
def test_the_old_log_sizes_cut_the_snapshots_back(old, monkeypatch):
    monkeypatch.setattr(api, "write_results", lambda *_: None)
    folder = old("paused")
    shutil.rmtree(folder / "checkpoints" / "000000009")
    assert not resume(folder, stop_at=7, accept_changes=not SAME_MACHINE).finished
    assert [row["iteration"] for row in RunFolder(folder).read_snapshots()] == [3, 6]


def test_the_resumed_run_makes_the_samples_of_the_older_version(resumed):
    model = api.load(resumed, "cpu")
    assert model.record.kimg == pytest.approx(EXPECTED["model_kimg"])
    made = model.sample(8, seed=5).images
    assert np.abs(made.astype(int) - IMAGES["resumed"]).max() <= 1


@pytest.mark.slow
@pytest.mark.parametrize("name", ["finished", "folder"])
def test_a_finished_run_and_its_model_folder_make_the_same_samples(name, old):
    run = old("finished")
    model = api.load(run / "model" if name == "folder" else run, "cpu")
    assert model.method.config.generator.kind == "sngan_resnet"  # it was called residual
    assert np.abs(model.sample(8, seed=5).images.astype(int) - IMAGES[name]).max() <= 1


@pytest.mark.slow
def test_the_resumed_run_is_evaluated_with_the_same_number(resumed, tmp_path):
    found, _ = api.evaluate(resumed, options=OPTIONS, out=tmp_path / "out", device="cpu")
    (name,) = EXPECTED["numbers"]
    assert found.numbers[name].value == pytest.approx(EXPECTED["numbers"][name]["value"], rel=1e-3)


@pytest.mark.slow
def test_an_old_run_is_diagnosed_and_compared_before_any_resume(old):
    paused, finished = old("paused"), old("finished")
    diagnosis = api.diagnose(paused, "cpu")
    assert len(diagnosis.lines()) > 3
    assert all(Path(line.split(": ")[0]).exists() for line in diagnosis.evidence)
    comparison, _ = api.compare([paused, finished])
    assert len(comparison.to_json()["runs"]) == 2
    assert (paused / "looks.jsonl").exists()  # reading changes nothing
    assert json.loads((paused / RECORD).read_text())["format"] == 1


def test_old_names_are_mapped_and_new_files_are_left_alone():
    recipe = {"watch": {"look_kimg": 1, "on_collapse": "tell", "patience": 2}, "method": {"kind": "latent"}}
    monitor = {"snapshot_kimg": 1, "on_collapse": "warn", "patience": 2}
    assert from_old_file(recipe) == {"monitor": monitor, "method": {"kind": "latent"}}
    record = {"format": 1, "plan": {"iterations": 2}, "watch": {"every": 0}}
    read = {"format": 4, "length": {"iterations": 2}, "monitor": {"every": 0, "protocol": None}}
    assert record_from_old_file(record) == read
    assert record_from_old_file(read) == read
    assert record_from_old_file({**read, "format": 2}) == read
    assert snapshot_from_old_file({"kinds": {}, "verdict": "memorising"}) == {"modes": {}, "verdict": "memorization"}
    assert snapshot_from_old_file({"modes": {}, "verdict": "stalled"}) == {"modes": {}, "verdict": "stalled"}
