"""Mistakes of users: the command line answers with a code and a short message, as Python does."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from gansmith import api
from gansmith.cli.app import _code_of, main
from gansmith.core.errors import GansmithError
from gansmith.training import prepare

TINY = ("--recipe", "mlp-small", "size=8", "hidden=[8]", "batch_size=16", "fixed_images=4")


@pytest.fixture
def error_of(monkeypatch, capfd):
    """Run the command line with a mistake; check the form of its message and return (code, message)."""
    monkeypatch.setattr(prepare, "STEADY_SEC", 0.01)

    def run(*words) -> tuple[str, str]:
        monkeypatch.setattr("sys.argv", ["gansmith", *map(str, words)])
        capfd.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capfd.readouterr()
        assert ended.value.code == 2
        assert out == ""
        assert "Traceback" not in err
        _, prefix, message = err.partition("gansmith: ")
        assert prefix
        message = message.rstrip("\n")
        assert len(message.splitlines()) <= 3
        return _code_of(ended.value.__context__), message

    return run


@pytest.fixture
def refuses(error_of, prose):
    """Expect that the command line refuses words with a code, and compare its message with the snapshot."""

    def check(code: str, *words, hiding: tuple[str, ...] = ()) -> None:
        got, message = error_of(*words)
        assert got == code
        prose(code, message, hiding)

    return check


@pytest.fixture(scope="module")
def run(tiny_file, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "run"
    overrides = (*TINY[2:], "checkpoints=4")
    return api.train(tiny_file, recipe="mlp-small", overrides=overrides, out=folder, steps=4, device="cpu").folder


@pytest.fixture
def copy(run, tmp_path) -> Path:
    return shutil.copytree(run, tmp_path / "copy")


@pytest.mark.slow
def test_a_recipe_that_is_not_known(refuses, error_of, tiny_file):
    refuses("recipe.unknown_recipe", "train", tiny_file, "--recipe", "dcgam")
    refuses("recipe.unknown_recipe", "recipes", "dcgam")
    with pytest.raises(GansmithError) as caught:
        api.train(tiny_file, recipe="dcgam")
    assert (caught.value.code, str(caught.value)) == error_of("train", tiny_file, "--recipe", "dcgam")
    refuses("recipe.file_not_found", "train", tiny_file, "--recipe", "no/such.yaml")


@pytest.mark.slow
def test_a_recipe_key_that_is_not_known(refuses, tiny_file):
    refuses("recipe.unknown_key", "train", tiny_file, "bacth_size=3")


@pytest.mark.slow
def test_a_part_that_is_not_known(refuses, tiny_file):
    refuses("recipe.unknown_part", "train", tiny_file, "loss=hing")


@pytest.mark.slow
def test_unknown_label(refuses, tiny_file, tmp_path):
    overrides = (*TINY[2:], "conditional=true")
    run = api.train(tiny_file, recipe="mlp-small", overrides=overrides, out=tmp_path / "run", steps=1)
    refuses("model.unknown_label", "sample", run.folder, "--label", "drak", "--out", tmp_path / "x.png")
    assert not (tmp_path / "x.png").exists()


@pytest.mark.slow
def test_unknown_data_set(refuses, tmp_path, monkeypatch):
    refuses("data.not_found", "train", "fashion-smaple")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    refuses("data.not_found", "train", "fotos")
    refuses("data.not_found", "data", "check", "fotos")


@pytest.mark.slow
def test_gpus_of_a_sweep_without_ray(refuses, tiny_file):
    words = ("sweep", tiny_file, "--recipe", "mlp-small", "--vary", "lr=1e-4,2e-4")
    refuses("cli.workers_without_ray", *words, "--gpus-per-run", "1")


@pytest.mark.slow
@pytest.mark.parametrize("word", [
    "batch_size=1", "batch_size=many", "lr=-1", "beta1=1.5", "latent_dim=0", "ema_warmup=2",
])  # fmt: skip
def test_numbers_out_of_range(refuses, tiny_file, word):
    refuses("recipe.invalid_value", "train", tiny_file, word)


@pytest.mark.slow
def test_a_number_that_is_none(refuses, tiny_file):
    refuses("recipe.not_yaml", "train", tiny_file, "leak=.nan")


@pytest.mark.slow
@pytest.mark.parametrize(("words", "code"), [
    (("--kimg", "0"), "training.length_out_of_range"),
    (("--minutes", "-1"), "training.length_out_of_range"),
    (("--epochs", "nan"), "training.length_out_of_range"),
    (("--steps", "0"), "training.length_out_of_range"),
    (("--kimg", "1e308"), "training.length_too_long"),
    (("--epochs", "1e300"), "training.length_too_long"),
    (("--steps", "1000000000"), "training.length_too_long"),
    (("--steps", "3", "--kimg", "1"), "training.two_lengths"),
    (("--recipe", "dcgan", "--steps", "3", "kimg=1"), "training.two_lengths"),
    (("--holdout", "1.5"), "data.holdout_out_of_range"),
])  # fmt: skip
def test_options_out_of_range(refuses, tiny_file, words, code):
    refuses(code, "train", tiny_file, *words)


@pytest.mark.slow
def test_devices(refuses, tiny_file, run):
    refuses("machine.unknown_device", "train", tiny_file, "--device", "gpu")
    refuses("machine.unknown_device", "sample", run, "--device", "gpu")
    refuses("machine.unknown_precision", "train", tiny_file, "--precision", "bf61")


@pytest.mark.slow
def test_a_folder_without_images_on_the_command_line(refuses, tmp_path):
    (tmp_path / "empty").mkdir()
    refuses("data.empty", "train", tmp_path / "empty")
    refuses("data.empty", "data", "check", tmp_path / "empty")


@pytest.mark.slow
def test_a_folder_of_images_too_small(refuses, tmp_path):
    for number in range(4):
        Image.fromarray(np.full((5, 6), number * 40, np.uint8)).save(tmp_path / f"{number}.png")
    refuses("data.images_too_small", "train", tmp_path)


@pytest.mark.slow
def test_a_single_image(refuses, tmp_path):
    folder, out = tmp_path / "one", tmp_path / "run"
    folder.mkdir()
    Image.new("L", (16, 16)).save(folder / "a.png")
    refuses("data.one_image", "train", folder, *TINY, "--steps", 1, "--out", out)
    refuses("data.one_image", "train", folder, *TINY, "--steps", 1, "--dry-run")
    assert not out.exists()


@pytest.mark.slow
def test_sizes_that_networks_cannot_grow_to(refuses, tiny_file):
    refuses("data.size_out_of_range", "train", tiny_file, "size=7")


@pytest.mark.slow
def test_conditional_without_labels(refuses, tmp_path):
    np.save(tmp_path / "plain.npy", np.random.default_rng(0).integers(0, 255, (20, 8, 8), np.uint8))
    words = ("train", tmp_path / "plain.npy", *TINY, "conditional=true", "--out", tmp_path / "run")
    refuses("recipe.conditional_without_labels", *words)
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
@pytest.mark.parametrize("penalty", ["r1", "r2", "gradient_penalty"])
def test_batch_norm_under_a_penalty(refuses, tiny_file, tmp_path, penalty):
    own = (f"penalties=[{penalty}]", "base_channels=4")
    refuses("recipe.penalty_with_batch_norm", "train", tiny_file, "--recipe", "dcgan", *own, "--out", tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_a_run_folder_that_exists(refuses, tiny_file, run, tmp_path):
    before = sorted(path.stat().st_mtime_ns for path in run.rglob("*") if path.suffix in (".json", ".safetensors"))
    refuses("run.folder_not_empty", "train", tiny_file, *TINY, "--out", run)
    refuses(
        "run.folder_not_empty", "train", tiny_file, "--kimg", "1e308", "--out", run
    )  # before the recipe is chosen, which is slow
    assert before == sorted(
        path.stat().st_mtime_ns for path in run.rglob("*") if path.suffix in (".json", ".safetensors")
    )
    (tmp_path / "notes.txt").write_text("mine")
    refuses("run.folder_not_empty", "train", tiny_file, *TINY, "--out", tmp_path)


def test_a_file_where_the_run_folder_would_be(refuses, tiny_file, tmp_path):
    (tmp_path / "file").write_text("mine")
    refuses("run.file_in_the_way", "train", tiny_file, *TINY, "--out", tmp_path / "file")


def test_a_word_that_is_empty(refuses, tiny_file):
    refuses("cli.empty_word", "train", "")
    refuses("cli.empty_word", "train", tiny_file, "")


@pytest.mark.slow
@pytest.mark.parametrize("text", ["garbage", "[]", "{}", '{"data": {}, "seed": 0, "plan": {}, "plugins": []}'])
def test_a_damaged_run_record(refuses, copy, text):
    for values in copy.glob("checkpoints/*/state.json"):  # of an older version, without a copy of the record
        values.write_text(json.dumps({**json.loads(values.read_text()), "record": {}}))
    (copy / "run.json").write_text(text)
    refuses("run.unreadable_record", "resume", copy)


@pytest.mark.slow
def test_data_that_are_gone(refuses, tiny_file, tmp_path):
    data = shutil.copy(tiny_file, tmp_path / "my.npz")
    folder = api.train(data, recipe="mlp-small", overrides=TINY[2:], out=tmp_path / "run", steps=1).folder
    data.unlink()
    refuses("run.data_moved", "resume", folder)
    assert api.load(folder).sample(1)
    moved = shutil.copy(tiny_file, tmp_path / "sub.npz")
    (folder / "run.json").write_text((folder / "run.json").read_text().replace(str(data), str(moved)))
    assert api.resume(folder).finished


def test_a_model_folder_without_one_of_its_files(refuses, copy, tmp_path):
    (copy / "model" / "discriminator.safetensors").unlink()
    refuses("model.unreadable", "sample", copy / "model", "--out", tmp_path / "x.png")


@pytest.mark.slow
def test_what_is_no_run(refuses, tmp_path, tiny_file):
    for path in (tmp_path, tmp_path / "nothing", tiny_file):
        refuses("run.not_a_run", "resume", path)


def damage(folder: Path, how: str) -> None:
    state = folder / "state.safetensors"
    data = bytearray(state.read_bytes())
    if how == "cut off":
        data = data[: len(data) // 2]
    else:
        data[-1] ^= 1
    state.write_bytes(data)


@pytest.mark.slow
@pytest.mark.parametrize("how", ["cut off", "altered"])
def test_a_damaged_checkpoint_is_passed_over_and_said(copy, monkeypatch, capfd, how):
    newest = max((copy / "checkpoints").iterdir())
    before = (copy / "log.jsonl").read_text(), (newest / "state.safetensors").read_bytes()
    damage(newest, how)
    monkeypatch.setattr("sys.argv", ["gansmith", "resume", str(copy)])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 0
    warned = [line for line in capfd.readouterr().err.splitlines() if line.startswith("warning: ")]
    assert any(str(newest / "state.safetensors") in line for line in warned)
    assert ((copy / "log.jsonl").read_text(), (newest / "state.safetensors").read_bytes()) == before


@pytest.mark.slow
def test_no_whole_checkpoint_is_left(refuses, copy):
    for folder in (copy / "checkpoints").iterdir():
        damage(folder, "altered")
    shutil.rmtree(copy / "model")
    for verb in ("resume", "sample"):
        refuses("checkpoint.none_whole", verb, copy)


@pytest.mark.slow
def test_changed_data(refuses, copy, tmp_path):
    other = tmp_path / "other.npy"
    np.save(other, np.random.default_rng(0).integers(0, 255, (96, 8, 8), np.uint8))
    record = json.loads((copy / "run.json").read_text())
    record["data"]["source"] = str(other)
    (copy / "run.json").write_text(json.dumps(record))
    refuses("run.changed", "resume", copy)


def test_a_changed_recipe(refuses, copy):
    text = (copy / "recipe.yaml").read_text()
    (copy / "recipe.yaml").write_text(text.replace("batch_size: 16", "batch_size: 17"))
    refuses("run.changed", "resume", copy)


def test_a_model_file_that_lies_about_its_sizes(refuses, copy, tmp_path):
    path = copy / "model" / "model.json"
    record = json.loads(path.read_text())
    record["method"]["generator"]["hidden"] = [10**9]
    path.write_text(json.dumps(record))
    refuses("model.invalid_record", "sample", copy / "model", "--out", tmp_path / "x.png")


class Trap:
    """Makes a file when unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self):
        return (open, (str(self.marker), "w"))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["model.pt", "model.pkl", "model.pth", "generator.safetensors"])
def test_anything_pickled(error_of, tmp_path, tiny_file, name):
    path = tmp_path / name
    torch.save(Trap(tmp_path / "marker"), path)
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(tmp_path / "a.png")
    for words in (
        ("sample", path), ("score", path, tmp_path / "a.png"), ("score", path, path), ("resume", path),
        ("train", path), ("data", "check", path), ("train", tiny_file, "--recipe", path),
        ("train", tiny_file, "--plugin", path),
        ("train", tiny_file, *TINY, "--init-from", path, "--out", tmp_path / "r"),
    ):  # fmt: skip
        assert error_of(*words)
    code, _ = error_of("sample", path)
    assert code == ("model.unreadable" if path.suffix == ".safetensors" else "model.pickled")
    assert not (tmp_path / "marker").exists()


def test_a_pickled_model(refuses, tmp_path):
    torch.save(Trap(tmp_path / "marker"), tmp_path / "model.pt")
    refuses("model.pickled", "sample", tmp_path / "model.pt")


@pytest.mark.slow
def test_pickled_arrays(refuses, tmp_path):
    marker = tmp_path / "marker"
    np.save(tmp_path / "x.npy", np.array([Trap(marker)], dtype=object), allow_pickle=True)
    np.savez(tmp_path / "x.npz", images=np.array([Trap(marker)], dtype=object))
    for name in ("x.npy", "x.npz"):
        refuses("data.pickled_array", "train", tmp_path / name)
    assert not marker.exists()


@pytest.mark.parametrize(("verb", "expected"), [
    ("sample", "output.file_in_the_way"), ("train", "run.cannot_make_folder"),
])  # fmt: skip
def test_outputs_that_cannot_be_written(error_of, run, tiny_file, tmp_path, verb, expected):
    (tmp_path / "file").write_text("in the way")
    out = tmp_path / "file" / "below"
    words = ("sample", run, "-n", 2) if verb == "sample" else ("train", tiny_file, *TINY, "--steps", 1)
    code, message = error_of(*words, "--out", out)
    assert code == expected
    assert str(out) in message


@pytest.mark.parametrize(("kimg", "code"), [
    ("-1", "training.length_out_of_range"), ("nan", "training.length_out_of_range"),
    ("1e300", "training.length_too_long"),
])  # fmt: skip
def test_lengths_that_a_run_cannot_be_given(refuses, copy, kimg, code):
    before = (copy / "run.json").read_bytes()
    refuses(code, "resume", copy, "--kimg", kimg)
    assert (copy / "run.json").read_bytes() == before
