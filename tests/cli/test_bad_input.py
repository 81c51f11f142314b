"""What users get wrong, and what they are told: the same text from Python and from the command line."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from gansmith import api
from gansmith.cli.app import main
from gansmith.core.errors import GansmithError
from gansmith.planning import planner

TINY = ("--recipe", "mlp-small", "size=8", "hidden=[8]", "batch_size=16", "fixed_images=4")


@pytest.fixture
def told(monkeypatch, capfd):
    """Return what the command line says of a mistake, after checking how it says it."""

    monkeypatch.setattr(planner, "PROBE_SEC", 0.01)
    monkeypatch.setattr(planner, "MEASURE_SEC", 0.01)

    def run(*words) -> str:
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
        return message

    return run


@pytest.fixture(scope="module")
def run(tiny_file, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "run"
    overrides = (*TINY[2:], "checkpoints=4")
    return api.train(tiny_file, recipe="mlp-small", overrides=overrides, out=folder, steps=4, device="cpu").folder


@pytest.fixture
def copy(run, tmp_path) -> Path:
    return shutil.copytree(run, tmp_path / "copy")


def test_unknown_recipe(told, tiny_file):
    message = "unknown recipe 'dcgam' (did you mean 'dcgan'?)\n  known: "
    assert told("train", tiny_file, "--recipe", "dcgam").startswith(message)
    assert told("recipes", "dcgam").startswith(message)
    with pytest.raises(GansmithError) as caught:
        api.train(tiny_file, recipe="dcgam")
    assert str(caught.value) == told("train", tiny_file, "--recipe", "dcgam")
    assert told("train", tiny_file, "--recipe", "no/such.yaml").startswith("recipe file 'no/such.yaml' does not exist")


def test_unknown_key(told, tiny_file):
    message = told("train", tiny_file, "bacth_size=3")
    assert message.startswith("override 'bacth_size=': no field of this recipe is called 'bacth_size'")
    assert "(did you mean 'batch_size'?)" in message
    assert "gansmith recipes" in message


def test_unknown_part(told, tiny_file):
    assert told("train", tiny_file, "loss=hing") == (
        "override 'loss=hing': method.loss: unknown loss 'hing' (did you mean 'hinge'?)"
        "\n  known: hinge, least_squares, minimax, non_saturating, relativistic, wasserstein"
    )


def test_unknown_label(told, tiny_file, tmp_path):
    overrides = (*TINY[2:], "conditional=true")
    run = api.train(tiny_file, recipe="mlp-small", overrides=overrides, out=tmp_path / "run", steps=1)
    assert told("sample", run.folder, "--label", "drak", "--out", tmp_path / "x.png") == (
        "unknown label 'drak' (did you mean 'dark'?)\n  known: dark, gray, light"
    )
    assert not (tmp_path / "x.png").exists()


def test_unknown_data_set(told, tmp_path, monkeypatch):
    assert told("train", "fashion-smaple").startswith(
        "'fashion-smaple' is neither a data set nor a path (did you mean 'fashion-sample'?)\n  known data sets: "
    )
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    assert "(did you mean 'photos'?)" in told("train", "fotos")
    assert "(did you mean 'photos'?)" in told("data", "check", "fotos")


@pytest.mark.parametrize(("word", "where", "allowed"), [
    ("batch_size=1", "batch_size", "greater than or equal to 2, got 1"),
    ("batch_size=many", "batch_size", "valid integer"),
    ("lr=-1", "lr", "got -1"),
    ("beta1=1.5", "beta1", "got 1.5"),
    ("latent_dim=0", "latent_dim", "greater than or equal to 1, got 0"),
    ("ema_warmup=2", "ema_warmup", "less than or equal to 1, got 2"),
    ("leak=.nan", "leak", "got nan"),
])  # fmt: skip
def test_numbers_out_of_range(told, tiny_file, word, where, allowed):
    message = told("train", tiny_file, word)
    assert message.startswith(f"override '{word}': ")
    assert where in message
    assert allowed in message


@pytest.mark.parametrize(("words", "message"), [
    (("--kimg", "0"), "--kimg must be above 0, got 0"),
    (("--minutes", "-1"), "--minutes must be above 0, got -1"),
    (("--epochs", "nan"), "--epochs must be above 0, got nan"),
    (("--steps", "0"), "--steps must be above 0, got 0"),
    (("--kimg", "1e308"), "1e+308 kimg are too long\n  allowed: up to 999,999,999 iterations"),
    (("--epochs", "1e300"), "1e+300 epochs of 96 images are too long\n  allowed: up to 999,999,999 iterations"),
    (("--steps", "1000000000"), "1000000000 steps are too long\n  allowed: up to 999,999,999 iterations"),
    (("--steps", "3", "--kimg", "1"), "--kimg and --steps both set the length; pass one of them"),
    (("--recipe", "dcgan", "--steps", "3", "kimg=1"), "--steps and kimg=1 both set the length; pass one of them"),
    (("--holdout", "1.5"), "holdout 1.5 is outside 0 to 0.9\n  pass a share of the images, for example 0.1"),
])  # fmt: skip
def test_options_out_of_range(told, tiny_file, words, message):
    assert told("train", tiny_file, *words) == message


def test_devices(told, tiny_file, run):
    wanted = "unknown device 'gpu' (did you mean 'cpu'?)\n  known: auto, cpu, cuda, mps"
    assert told("train", tiny_file, "--device", "gpu") == wanted
    assert told("sample", run, "--device", "gpu") == wanted
    assert told("train", tiny_file, "--precision", "bf61") == (
        "unknown precision 'bf61' (did you mean 'bf16'?)\n  known: auto, bf16, fp32"
    )


def test_empty_folder(told, tmp_path):
    (tmp_path / "empty").mkdir()
    message = told("train", tmp_path / "empty")
    assert "no images" in message
    assert str(tmp_path / "empty") in message
    assert told("data", "check", tmp_path / "empty") == message


def test_images_too_small(told, tmp_path):
    for number in range(4):
        Image.fromarray(np.full((5, 6), number * 40, np.uint8)).save(tmp_path / f"{number}.png")
    assert told("train", tmp_path).startswith(
        "images too small: they are 5 x 6 px, the minimum is 8 x 8\n  check that the folder does not hold"
    )


def test_a_single_image(told, tmp_path):
    folder, out = tmp_path / "one", tmp_path / "run"
    folder.mkdir()
    Image.new("L", (16, 16)).save(folder / "a.png")
    message = "'one' has one image to train on\n  at least 2 are needed; 'gansmith data check' says what was left out"
    assert told("train", folder, *TINY, "--steps", 1, "--out", out) == message
    assert told("train", folder, *TINY, "--steps", 1, "--dry-run") == message
    assert not out.exists()


def test_sizes_that_networks_cannot_grow_to(told, tiny_file):
    assert told("train", tiny_file, "size=7") == (
        "networks cannot have size 7"
        "\n  allowed: sides of 8 to 1024 that are 3 to 8 times a power of two, the same power for both"
        "\n  nearest: 8 and 10"
    )


def test_conditional_without_labels(told, tmp_path):
    np.save(tmp_path / "plain.npy", np.random.default_rng(0).integers(0, 255, (20, 8, 8), np.uint8))
    message = told("train", tmp_path / "plain.npy", *TINY, "conditional=true", "--out", tmp_path / "run")
    assert message == (
        "this recipe is conditional, but 'plain' has no labels"
        "\n  put the images into one sub-folder for each class, or pass conditional=false"
    )
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("penalty", ["r1", "r2", "gradient_penalty"])
def test_batch_norm_under_a_penalty(told, tiny_file, tmp_path, penalty):
    own = (f"penalties=[{penalty}]", "base_channels=4")
    message = told("train", tiny_file, "--recipe", "dcgan", *own, "--out", tmp_path / "run")
    assert message.startswith(f"penalty '{penalty}' needs the gradient of each image alone, and discriminator 'dcgan'")
    assert message.endswith("pass discriminator.norm=none")
    assert not (tmp_path / "run").exists()


def test_a_run_folder_that_exists(told, tiny_file, run, tmp_path):
    before = sorted(path.stat().st_mtime_ns for path in run.rglob("*") if path.suffix in (".json", ".safetensors"))
    for words in (
        TINY,
        ("--kimg", "1e308"),
    ):  # the second would fail later: without --recipe it takes seconds to choose
        assert told("train", tiny_file, *words, "--out", run) == (
            f"'{run}' is already there and not empty\n  go on with it: gansmith resume {run}"
        )
    assert before == sorted(
        path.stat().st_mtime_ns for path in run.rglob("*") if path.suffix in (".json", ".safetensors")
    )
    (tmp_path / "notes.txt").write_text("mine")
    assert told("train", tiny_file, *TINY, "--out", tmp_path) == (
        f"'{tmp_path}' is already there and not empty\n  remove it, or name another folder: --out DIR"
    )


def test_a_file_where_the_run_folder_would_be(told, tiny_file, tmp_path):
    (tmp_path / "file").write_text("mine")
    assert told("train", tiny_file, *TINY, "--out", tmp_path / "file") == (
        f"'{tmp_path / 'file'}' is a file\n  name another place for the run folder: --out DIR"
    )


def test_an_empty_word(told, tiny_file):
    message = "an empty word is no data set\n  is a variable of your shell empty? for the current folder write ."
    assert told("train", "") == message
    assert told("train", tiny_file, "") == message


@pytest.mark.parametrize(("text", "why"), [
    ("garbage", "Expecting value: line 1 column 1 (char 0)"), ("[]", "it has no 'data'"), ("{}", "it has no 'data'"),
    ('{"data": {}, "seed": 0, "plan": {}, "plugins": []}', "it has no 'numerics'"),
])  # fmt: skip
def test_a_damaged_run_record(told, copy, text, why):
    (copy / "run.json").write_text(text)
    for verb in ("resume", "sample"):
        assert told(verb, copy) == f"'{copy / 'run.json'}' cannot be read: {why}"


def test_data_that_are_gone(refused, tiny_file, tmp_path):
    data = shutil.copy(tiny_file, tmp_path / "my.npz")
    folder = api.train(data, recipe="mlp-small", overrides=TINY[2:], out=tmp_path / "run", steps=1).folder
    data.unlink()
    with refused("run.data_moved"):
        api.resume(folder)
    assert api.load(folder).sample(1)
    moved = shutil.copy(tiny_file, tmp_path / "sub.npz")
    (folder / "run.json").write_text((folder / "run.json").read_text().replace(str(data), str(moved)))
    assert api.resume(folder).finished


def test_a_model_folder_without_one_of_its_files(told, copy, tmp_path):
    (copy / "model" / "discriminator.safetensors").unlink()
    assert told("sample", copy / "model", "--out", tmp_path / "x.png") == (
        f"'{copy / 'model' / 'discriminator.safetensors'}' cannot be read: No such file or directory"
    )


def test_what_is_no_run(told, tmp_path, tiny_file):
    for path in (tmp_path, tmp_path / "nothing", tiny_file):
        assert told("resume", path) == (
            f"'{path}' is no run folder: it has no run.json\n  pass the folder that 'gansmith train' printed"
        )


def damage(folder: Path, how: str) -> None:
    state = folder / "state.safetensors"
    data = bytearray(state.read_bytes())
    if how == "cut off":
        data = data[: len(data) // 2]
    else:
        data[-1] ^= 1
    state.write_bytes(data)


@pytest.mark.parametrize("how", ["cut off", "altered"])
def test_a_damaged_checkpoint_is_passed_over_and_said(copy, monkeypatch, capfd, how):
    newest = max((copy / "checkpoints").iterdir())
    wanted = (copy / "log.jsonl").read_text(), (newest / "state.safetensors").read_bytes()
    damage(newest, how)
    monkeypatch.setattr("sys.argv", ["gansmith", "resume", str(copy)])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 0
    err = capfd.readouterr().err
    assert f"warning: passed over: {newest / 'state.safetensors'} was altered or cut off" in err
    assert ((copy / "log.jsonl").read_text(), (newest / "state.safetensors").read_bytes()) == wanted


def test_no_whole_checkpoint_is_left(told, copy, tmp_path):
    for folder in (copy / "checkpoints").iterdir():
        damage(folder, "altered")
    shutil.rmtree(copy / "model")
    for verb in ("resume", "sample"):
        message = told(verb, copy)
        assert message.startswith(f"no whole checkpoint in {copy / 'checkpoints'}")
        assert "was altered or cut off: its SHA-256 is not the manifest's" in message


def test_changed_data(told, copy, tiny_file, monkeypatch, tmp_path):
    import json

    other = tmp_path / "other.npy"
    np.save(other, np.random.default_rng(0).integers(0, 255, (96, 8, 8), np.uint8))
    record = json.loads((copy / "run.json").read_text())
    record["data"]["source"] = str(other)
    (copy / "run.json").write_text(json.dumps(record))
    message = told("resume", copy)
    assert message.startswith(f"'{copy}' cannot go on exactly: data set '{other}': its images are not those of before")
    assert message.endswith("--accept-changes to go on all the same (it is logged)")


def test_a_changed_recipe(told, copy):
    text = (copy / "recipe.yaml").read_text()
    (copy / "recipe.yaml").write_text(text.replace("batch_size: 16", "batch_size: 17"))
    assert "cannot go on exactly: recipe batch_size: 16 -> 17" in told("resume", copy)


def test_a_model_file_that_lies_about_its_sizes(told, copy, tmp_path):
    import json

    path = copy / "model" / "model.json"
    record = json.loads(path.read_text())
    record["method"]["generator"]["hidden"] = [10**9]
    path.write_text(json.dumps(record))
    message = told("sample", copy / "model", "--out", tmp_path / "x.png")
    assert "cannot be read: method.generator.hidden.0: input should be less than or equal to 65536" in message


class Trap:
    """Makes a file when unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self):
        return (open, (str(self.marker), "w"))


@pytest.mark.parametrize("name", ["model.pt", "model.pkl", "model.pth", "generator.safetensors"])
def test_anything_pickled(told, tmp_path, tiny_file, name):
    path = tmp_path / name
    torch.save(Trap(tmp_path / "marker"), path)
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(tmp_path / "a.png")
    for words in (
        ("sample", path), ("score", path, tmp_path / "a.png"), ("score", path, path), ("resume", path),
        ("train", path), ("data", "check", path), ("train", tiny_file, "--recipe", path),
        ("train", tiny_file, "--plugin", path),
        ("train", tiny_file, *TINY, "--init-from", path, "--out", tmp_path / "r"),
    ):  # fmt: skip
        assert told(*words)
    if path.suffix != ".safetensors":
        assert told("sample", path) == (
            f"'{path}' is no .safetensors file"
            "\n  gansmith never loads pickled files (.pt, .pth, .pkl): they can run code"
        )
    assert not (tmp_path / "marker").exists()


def test_pickled_arrays(told, tmp_path):
    marker = tmp_path / "marker"
    np.save(tmp_path / "x.npy", np.array([Trap(marker)], dtype=object), allow_pickle=True)
    np.savez(tmp_path / "x.npz", images=np.array([Trap(marker)], dtype=object))
    for name in ("x.npy", "x.npz"):
        assert "holds Python objects" in told("train", tmp_path / name)
    assert not marker.exists()


@pytest.mark.parametrize("verb", ["sample", "train"])
def test_places_that_cannot_be_written(told, run, tiny_file, tmp_path, verb):
    (tmp_path / "file").write_text("in the way")
    out = tmp_path / "file" / "below"
    words = ("sample", run, "-n", 2) if verb == "sample" else ("train", tiny_file, *TINY, "--steps", 1)
    assert str(out) in told(*words, "--out", out)


@pytest.mark.parametrize("kimg", ["-1", "nan", "1e300"])
def test_lengths_that_a_run_cannot_be_given(told, copy, kimg):
    before = (copy / "run.json").read_bytes()
    message = told("resume", copy, "--kimg", kimg)
    assert "kimg" in message
    assert (copy / "run.json").read_bytes() == before
