"""Models of the Hub: what is downloaded, what is checked, and what is refused. The Hub is one of loopback."""

import errno
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import threading
from dataclasses import replace

import huggingface_hub
import numpy as np
import pytest
import torch

import gansmith
from fake_hub import FakeHub, point_to, serve, variables
from gansmith import api
from gansmith.exporting import hub_folder
from gansmith.inference import hub
from gansmith.inference.load import load_model
from gansmith.inference.model import Model
from gansmith.reporting import model_card
from gansmith.runs.folder import RunFolder

REPO, ADDRESS = "ann/clothes", "hf:ann/clothes"


@pytest.fixture
def fake(tmp_path, monkeypatch, model):
    """A Hub with the model of the fixture ``model`` and files that nobody asked for."""
    saved = model.save(tmp_path / "saved")
    files = {path.name: path.read_bytes() for path in saved.iterdir()}
    extra = {
        "pytorch_model.bin": b"pickle",
        "train.py": b"raise SystemExit",
        "../up.safetensors": b"",
        "README.md": b"",
    }
    with serve(FakeHub({REPO: files | extra})) as running:
        point_to(running, str(tmp_path / "hub"), monkeypatch)
        yield running


def change_record(fake: FakeHub, **changes) -> None:
    record = json.loads(fake.repos[REPO]["model.json"])
    fake.repos[REPO]["model.json"] = json.dumps({**record, **changes}).encode()


@pytest.mark.slow
def test_a_model_is_loaded_and_nothing_else_is_downloaded(fake, model, tmp_path):
    loaded = gansmith.load(ADDRESS)
    assert np.array_equal(loaded.sample(4).images, model.sample(4).images)
    assert loaded.origin.address == f"{ADDRESS}@{fake.commit(REPO)}"
    assert sorted(path.name for path in loaded.origin.path.iterdir()) == [
        "discriminator.safetensors", "generator-raw.safetensors", "generator.safetensors", "model.json",
    ]  # fmt: skip
    assert not list(tmp_path.rglob("up.safetensors"))


@pytest.mark.slow
def test_a_revision(fake, refused):
    fake.tags = ("main", "v1")
    assert gansmith.from_pretrained(REPO, revision="v1").origin.address.endswith(fake.commit(REPO))
    with refused("hub.no_such_revision"):
        gansmith.from_pretrained(REPO, revision="v2")


@pytest.mark.slow
def test_init_from_records_the_commit(fake, tiny_file, tmp_path, monkeypatch):
    monkeypatch.setattr(api, "write_results", lambda *_: None)
    words = ("size=8", "hidden=[8]", "latent_dim=4", "monitor.snapshot_kimg=0")
    run = api.train(
        tiny_file, recipe="mlp-small", overrides=words, steps=1, out=tmp_path / "r", init_from=ADDRESS,
        on_event=gansmith.silent,
    )  # fmt: skip
    record = RunFolder(run.folder).record
    assert record.init_from == f"{ADDRESS}@{fake.commit(REPO)}"
    assert record.init_layers["generator"].taken == record.init_layers["generator"].of


@pytest.mark.slow
def test_the_command_line_takes_an_address(fake, shell):
    code, out, _ = shell("sample", ADDRESS, "-n", 4, "--out", "x.png")
    assert (code, out) == (0, "x.png\n")
    code, _, err = shell("evaluate", ADDRESS, "fashion-sample")
    assert code == 2
    assert "--out" in err


@pytest.mark.parametrize("address", [
    "hf:", "hf:clothes", "hf:ann/clothes/more", "hf:ann/..", "hf:ann/clothes@", "hf:../x", "hf:ann/clothes@../x",
    "hf:ann/clo thes",
])  # fmt: skip
def test_what_is_no_address(refused, address):
    with refused("hub.address"):
        load_model(address)


def test_a_repository_that_does_not_exist(fake, refused):
    with refused("hub.not_found"):
        load_model("hf:ann/shoes")


@pytest.mark.slow
def test_a_private_repository(fake, refused, monkeypatch, tmp_path):
    fake.private.add(REPO)
    load_model(ADDRESS)
    monkeypatch.delenv("HF_TOKEN")
    monkeypatch.setattr(huggingface_hub.constants, "HF_TOKEN_PATH", str(tmp_path / "none"))
    with refused("hub.not_found"):
        load_model(ADDRESS)


def test_weights_of_another_program(fake, refused):
    del fake.repos[REPO]["model.json"]
    with refused("hub.not_a_model"):
        load_model(ADDRESS)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "size"), [("model.json", 2**21), ("generator.safetensors", 2**33)])
def test_a_huge_file_is_not_downloaded(fake, refused, name, size):
    fake.sizes[name] = size
    with refused("hub.too_large"):
        load_model(ADDRESS)
    assert not any(name in each for each in fake.asked)


@pytest.mark.slow
def test_a_file_of_another_size_than_the_hub_says(fake):
    fake.sizes["generator.safetensors"] = 5
    with pytest.raises(gansmith.core.errors.ModelError) as caught:
        load_model(ADDRESS)
    assert caught.value.code in ("hub.altered", "hub.unreachable")  # the library may notice first


@pytest.mark.slow
def test_a_file_of_another_hash(fake, refused):
    content = fake.repos[REPO]["generator.safetensors"]
    fake.repos[REPO]["generator.safetensors"] = content[:-1] + bytes([content[-1] ^ 1])
    with refused("model.altered"):
        load_model(ADDRESS)


@pytest.mark.slow
def test_removing_what_the_message_names_mends_a_damaged_cache(fake, model):
    path = load_model(ADDRESS).origin.path / "generator.safetensors"
    content = path.read_bytes()
    for damaged in (content[:-1] + bytes([content[-1] ^ 1]), content[:-1]):
        path.resolve().write_bytes(damaged)
        with pytest.raises(gansmith.GansmithError) as caught:
            load_model(ADDRESS)
        shutil.rmtree(re.search(r"remove (\S+),", str(caught.value))[1])
        assert np.array_equal(load_model(ADDRESS).sample(2).images, model.sample(2).images)


@pytest.mark.slow
@pytest.mark.parametrize("content", [b"[]", b"{}", b'{"sha256": []}', b'{"sha256": {}}'])
def test_a_record_of_another_program(fake, refused, content):
    fake.repos[REPO]["model.json"] = content
    with refused("hub.not_a_model"):
        load_model(ADDRESS)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["../up.safetensors", "/etc/passwd", "pytorch_model.bin", "*.safetensors", ""])
def test_a_record_that_lists_other_files(fake, refused, name):
    change_record(fake, sha256={name: "0"})
    with refused("hub.strange_file"):
        load_model(ADDRESS)


@pytest.mark.slow
def test_a_record_that_lists_a_missing_file(fake, refused):
    change_record(fake, sha256={"generator_two.safetensors": "0"})
    with refused("hub.incomplete"):
        load_model(ADDRESS)


@pytest.mark.slow
def test_pickled_weights_under_the_name_of_others(fake, refused, tmp_path):
    torch.save({}, tmp_path / "x")
    content = (tmp_path / "x").read_bytes()
    fake.repos[REPO]["generator.safetensors"] = content
    change_record(fake, sha256={"generator.safetensors": hashlib.sha256(content).hexdigest()})
    with refused("model.unreadable"):
        load_model(ADDRESS)


@pytest.mark.slow
def test_a_hub_that_does_not_answer(fake, refused, monkeypatch):
    fake.hangs = threading.Event()
    monkeypatch.setattr(hub, "TIMEOUT_SEC", 0.2)
    with refused("hub.unreachable"):
        load_model(ADDRESS)


def test_a_full_disk(fake, refused, monkeypatch):
    def fail(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", fail)
    with refused("disk.full"):
        load_model(ADDRESS)


@pytest.mark.slow
def test_a_repository_that_changes_during_the_download(fake, refused, monkeypatch):
    download = huggingface_hub.snapshot_download

    def change_first(*words, **keywords):
        fake.repos[REPO]["README.md"] = b"new"
        return download(*words, **keywords)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", change_first)
    with refused("hub.changed"):
        load_model(ADDRESS)


def test_a_hub_address_without_its_library(refused, monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with refused("hub.library_missing"):
        load_model(ADDRESS)


@pytest.mark.slow
def test_offline_the_cache_is_used(fake, refused, model, monkeypatch):
    load_model(ADDRESS)
    count = len(fake.asked)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    assert np.array_equal(load_model(ADDRESS).sample(2).images, model.sample(2).images)
    with refused("hub.offline", hiding=("cache: .*",)):
        load_model("hf:ann/shoes")
    assert len(fake.asked) == count


@pytest.mark.slow
def test_push_and_load_in_another_process(fake, model, tmp_path):
    """The other process knows the address alone; it draws the same bytes."""
    address = model.push_to_hub("ann/new", license="mit")
    assert address == f"hf:ann/new@{fake.commit('ann/new')}"
    names = {"README.md", "generator.onnx", "generator.safetensors", "generator-raw.safetensors", "model.json"}
    assert names | {"discriminator.safetensors", "preview.png"} == set(fake.repos["ann/new"])
    code = f"import gansmith, sys; sys.stdout.buffer.write(gansmith.load('{address}').sample(4).images.tobytes())"
    known = {**os.environ, **variables(fake, str(tmp_path / "other"))}
    made = subprocess.run([sys.executable, "-c", code], env=known, capture_output=True, check=True)
    assert made.stdout == model.sample(4).images.tobytes()


@pytest.mark.slow
def test_push_of_a_model_of_a_folder_with_a_strange_name(fake, refused, model, monkeypatch):
    renamed = Model(model.record.model_copy(update={"data": replace(model.data, name="my fotós (2)")}), {
        name: dict(network.state_dict()) for name, network in model.networks.items()
    }, "cpu")  # fmt: skip
    monkeypatch.setattr(hub_folder, "_write_onnx", lambda *_, **__: None)
    renamed.push_to_hub("ann/new")
    assert b"datasets:\n- my-fot-s-2\n" in fake.repos["ann/new"]["README.md"]
    monkeypatch.setattr(model_card, "NO_DATASET_ID", re.compile("$^"))
    with refused("hub.card_refused"):
        renamed.push_to_hub("ann/new")


@pytest.mark.slow
def test_push_without_a_login(fake, refused, model, monkeypatch, tmp_path):
    monkeypatch.delenv("HF_TOKEN")
    monkeypatch.setattr(huggingface_hub.constants, "HF_TOKEN_PATH", str(tmp_path / "none"))
    with refused("hub.no_access"):
        model.push_to_hub("ann/new")
    with refused("hub.address"):
        model.push_to_hub("new")
