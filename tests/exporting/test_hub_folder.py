"""Format hub-folder: a folder that gansmith.load opens, and a card whose front matter the Hub's own library reads."""

import errno
from pathlib import Path

import numpy as np
import pytest
import yaml
from huggingface_hub import ModelCard

import gansmith
from gansmith import api
from gansmith.core.atomic_files import commit_json
from gansmith.core.errors import DiskFullError, GansmithError, GansmithWarning
from gansmith.evaluation.result import FILE, FOLDER, Evaluation, Protocol
from gansmith.exporting import hub_folder
from gansmith.exporting.base import formats
from gansmith.exporting.hub_folder import HubFolder
from gansmith.parts.metrics.base import Number

PROTOCOL = Protocol(
    features="fashion", features_sha256="ab" * 32, resize="28 px", num_fake=1000, num_sets=4, num_real=500,
    reference="held-out images", reference_fingerprint="cd" * 32, reference_split="all of them",
)  # fmt: skip


@pytest.fixture
def no_onnx(monkeypatch):
    monkeypatch.setattr(hub_folder, "_write_onnx", lambda *_, **__: None)


def front_matter(folder) -> dict:
    return yaml.safe_load((folder / "README.md").read_text().split("---\n")[1])


def test_a_model_alone(model, tmp_path, no_onnx):
    (written,) = HubFolder(license="mit", repo="ann/toy").export(model, tmp_path / "hub", raw=False, run=None)
    assert written.facts["files"] == [
        "README.md", "discriminator.safetensors", "generator-raw.safetensors", "generator.safetensors", "model.json",
        "preview.png",
    ]  # fmt: skip
    assert np.array_equal(gansmith.load(written.path).sample(3).images, model.sample(3).images)
    text = (written.path / "README.md").read_text()
    assert front_matter(written.path) == {
        "library_name": "gansmith", "license": "mit", "tags": ["gan", "image-generation", "gansmith", "pytorch"],
        "pipeline_tag": "unconditional-image-generation", "datasets": ["toy"],
    }  # fmt: skip
    assert "placeholder" not in text
    assert "gansmith sample hf:ann/toy " in text
    assert "FOLDER" not in text


def test_a_used_folder_stays(model, tmp_path, refused, no_onnx):
    (tmp_path / "hub").mkdir()
    (tmp_path / "hub" / "x").touch()
    with refused("output.exists"):
        HubFolder().export(model, tmp_path / "hub", raw=False, run=None)
    with refused("output.unknown_ending"):
        HubFolder().export(model, tmp_path / "hub.txt", raw=False, run=None)
    assert [path.name for path in tmp_path.iterdir()] == ["hub"]


def test_the_current_folder_is_filled(model, tmp_path, monkeypatch, no_onnx):
    monkeypatch.chdir(tmp_path)
    (written,) = HubFolder().export(model, Path(), raw=False, run=None)
    assert written.facts["files"] == sorted(path.name for path in tmp_path.iterdir())
    assert np.array_equal(gansmith.load(tmp_path).sample(3).images, model.sample(3).images)


@pytest.mark.parametrize("problem", [
    OSError(errno.ENOSPC, "No space left on device"), DiskFullError("disk.full", "no room for .hub.tmp/README.md"),
], ids=["system", "ours"])  # fmt: skip
def test_a_disk_that_fills_up_before_the_card(model, tmp_path, monkeypatch, refused, no_onnx, problem):
    def fail(*_):
        raise problem

    monkeypatch.setattr(HubFolder, "_card", fail)
    with refused("disk.full", (r"[\d,]+ bytes are free",)):
        HubFolder().export(model, tmp_path / "hub", raw=False, run=None)
    assert not list(tmp_path.iterdir())


def test_nothing_stays_of_an_export_that_fails(model, tmp_path, monkeypatch):
    def fail(*_, **__):
        raise GansmithError("export.differs", "no")

    monkeypatch.setattr(hub_folder, "_write_onnx", fail)
    with pytest.raises(GansmithError):
        HubFolder().export(model, tmp_path / "hub", raw=False, run=None)
    assert list(tmp_path.iterdir()) == []


def test_without_the_libraries_of_onnx_there_is_a_warning(model, tmp_path, monkeypatch):
    class Missing:
        def export(self, *_, **__):
            raise GansmithError("export.extra_missing", "no onnx")

    monkeypatch.setattr(type(formats), "get", lambda *_: Missing)
    with pytest.warns(GansmithWarning, match="no onnx"):
        HubFolder().export(model, tmp_path / "hub", raw=False, run=None)
    assert (tmp_path / "hub" / "model.json").is_file()


@pytest.mark.slow
def test_a_run_with_its_film_and_scores(tiny_file, tmp_path):
    words = ("size=8", "hidden=[8]", "latent_dim=4", "monitor.snapshot_kimg=0")
    run = api.train(tiny_file, recipe="mlp-small", overrides=words, steps=2, out=tmp_path / "run",
                    on_event=gansmith.silent)  # fmt: skip
    numbers = {"fd1k_fashion": Number(1.5, 0.1, "4 sets", 1000)}
    found = Evaluation("mlp-small", 0.1, PROTOCOL, numbers, (), {}, 1.0)
    (run.folder / FOLDER).mkdir()
    commit_json(run.folder / FOLDER / FILE, found.to_json())
    (written,) = gansmith.export(run.folder, "hub-folder", out=tmp_path / "hub")
    assert {"generator.onnx", "preview.png", "film.gif"} <= set(written.facts["files"])
    card = ModelCard((written.path / "README.md").read_text())
    (score,) = card.data.eval_results
    assert (score.metric_type, score.metric_value, score.dataset_name) == ("fd1k_fashion", 1.5, "held-out images")
    assert "500 images, held-out images" in score.metric_args["protocol"]
    assert front_matter(written.path)["license"] == "other"
    again = gansmith.export(run.folder / "model", "hub-folder", out=tmp_path / "again")[0].path
    assert front_matter(again)["datasets"] == ["tiny"]


@pytest.mark.parametrize("content", [b"\x80\xff", b"no front matter", b"---\n" + b"x" * 2**21])
def test_a_card_that_is_none_is_written_anew(content, model, tmp_path):
    model.save(tmp_path / "model")
    (tmp_path / "model" / "README.md").write_bytes(content)
    card = hub_folder.card_of(gansmith.load(tmp_path / "model"), None)
    assert card.startswith("---\n")
    assert "library_name: gansmith" in card
