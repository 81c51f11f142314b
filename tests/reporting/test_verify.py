"""Files of a run, a model and the cache are checked against their checksums, and a run is repaired."""

import json
import os
import shutil
from pathlib import Path

import pytest

from gansmith import api
from gansmith.core.errors import CheckpointError, GansmithWarning
from gansmith.data import cache_folder
from gansmith.data.open import open_data
from gansmith.reporting.verify import repair, verify
from gansmith.runs.folder import RunFolder
from small_runs import assert_same_run, newest, train

NEWEST = "checkpoints/000000012"
FILES = [f"{NEWEST}/state.safetensors", f"{NEWEST}/state.json", f"{NEWEST}/manifest.json", "log.jsonl", "timing.jsonl"]
FILES += ["samples/000000012-ema.png", "samples/real.png", "run.json"]


@pytest.fixture(scope="module")
def finished(tmp_path_factory, tiny_file) -> Path:
    """A finished run of mlp-small with checkpoints 6 and 12, and its results."""
    return train(tiny_file, tmp_path_factory.mktemp("verified") / "run", "mlp-small").folder


@pytest.fixture
def run(finished, tmp_path) -> Path:
    return Path(shutil.copytree(finished, tmp_path / "run"))


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))


def damaged(path) -> list[str]:
    return [each.name for each in verify(path).damaged]


@pytest.mark.slow
def test_a_whole_run_and_its_model(finished):
    found = verify(finished)
    assert found.is_whole
    names = [each.name for each in found.files]
    assert names[:3] == ["run.json", "recipe.yaml", "checkpoints/000000006"]
    assert {"log.jsonl", "timing.jsonl", "samples/real.png", "samples/000000012-ema.png", "model"} <= {*names}
    model = verify(finished / "model")
    assert model.is_whole
    assert model.lines() == ["1 of 1 model undamaged"]
    assert repair(finished) == []


@pytest.mark.parametrize("name", FILES)
@pytest.mark.slow
@pytest.mark.parametrize("harm", ["flip", "cut", "empty"])
def test_each_damage_is_seen_and_repaired_and_the_run_goes_on_exactly(name, harm, run, finished, monkeypatch):
    if harm == "empty" and name.endswith(".jsonl"):
        pytest.skip("no checkpoint knows an empty log: the next test but two")
    monkeypatch.setattr(api, "write_results", lambda *_: None)
    path = run / name
    if harm == "flip":
        flip(path)
    else:
        os.truncate(path, path.stat().st_size // 2 if harm == "cut" else 0)
    shown = "/".join(Path(name).parts[:2])
    assert shown in damaged(run) or (name == "run.json" and harm == "flip")  # a name in it may have changed
    assert repair(run) or (name == "run.json" and harm == "flip")
    assert damaged(run) == []
    assert api.resume(run).finished
    if not name.startswith("samples"):  # a preview is not drawn again
        assert_same_run(run, finished)


def test_a_run_of_which_no_checkpoint_is_whole(refused, run):
    for path in run.glob("checkpoints/*/state.json"):
        flip(path)
    with refused("checkpoint.none_whole"):
        repair(run)


def test_an_edited_record_is_restored_but_for_the_place_of_the_data(run, tiny_file):
    path = run / "run.json"
    values = json.loads(path.read_text())
    moved = shutil.copy(tiny_file, run.parent / "moved.npz")
    path.write_text(json.dumps({**values, "seed": 7, "data": {**values["data"], "source": str(moved), "holdout": 0.5}}))
    assert damaged(run) == ["run.json"]
    assert repair(run)
    record = RunFolder(run).read_record()
    assert (record.seed, record.data.holdout, record.data.source) == (values["seed"], 0.0, str(moved))


@pytest.mark.slow
def test_rows_that_no_checkpoint_knows_are_kept_as_far_as_they_are_whole(run, monkeypatch):
    monkeypatch.setattr(api, "write_results", lambda *_: None)
    lines = (run / "log.jsonl").read_text().splitlines(keepends=True)
    (run / "log.jsonl").write_text("".join(["{}\n", "[" * 10_000 + "\n", *lines[1:]]))
    done = repair(run)
    assert any("2 rows were kept" in each for each in done)
    with pytest.raises(CheckpointError, match="--accept-changes"):
        api.resume(run)
    assert api.resume(run, accept_changes=True).finished


@pytest.mark.slow
def test_a_users_files_stay(run):
    mine = [run / "notes.txt", run / "checkpoints" / "000000001-keep" / "x", run / "checkpoints" / "2024 old" / "x"]
    mine += [run / "samples" / "mine-ema.png", run / "samples" / "000000099.png", run / "model" / ".mine.tmp"]
    for path in mine:
        path.parent.mkdir(exist_ok=True)
        path.write_text("mine")
    flip(run / "checkpoints" / "000000012" / "state.json")
    assert repair(run) == ["checkpoints/000000012 was moved to damaged/000000012"]
    assert verify(run).is_whole
    assert api.resume(run, kimg=newest(run).values["kimg"] * 3).finished
    assert all(path.read_text() == "mine" for path in mine)


def test_a_damaged_model(run):
    flip(run / "model" / "generator.safetensors")
    assert damaged(run) == ["model"]
    assert damaged(run / "model") == ["model"]


def test_what_cannot_be_verified(refused, tmp_path):
    with refused("run.nothing_to_verify"):
        verify(tmp_path / "nothing")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["pixels.u8", "labels.npy", "digests.npy", "meta.json"])
def test_a_damaged_cache_is_seen_and_read_again(name, tiny_file, tmp_path, monkeypatch):
    monkeypatch.setenv("GANSMITH_CACHE", str(tmp_path))
    whole = open_data(tiny_file).read(range(4)).copy()
    (entry,) = (path for path in cache_folder.data_folder("entries").iterdir() if path.is_dir())
    assert verify("cache").is_whole
    assert verify(tmp_path).is_whole
    flip(entry / name)
    assert damaged("cache") == [entry.name]
    if name == "pixels.u8":
        with pytest.warns(GansmithWarning, match="1 image of 96 in the cache"):
            open_data(tiny_file)
    assert (open_data(tiny_file).read(range(4)) == whole).all()
    assert verify("cache").is_whole
