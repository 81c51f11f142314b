"""The verbs of the latent tools as a user types them: results on stdout, progress and words on stderr."""

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import gansmith
from gansmith.evaluation.downstream import study
from gansmith.evaluation.downstream import synthetic_set as augment
from small_models import make_model


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return make_model("hidden=[8]").save(tmp_path_factory.mktemp("models") / "plain")


@pytest.fixture(scope="module")
def conditional(tmp_path_factory) -> Path:
    made = make_model("hidden=[8]", "conditional=true", classes=("dark", "gray", "light"))
    return made.save(tmp_path_factory.mktemp("models") / "conditional")


@pytest.mark.slow
def test_from_a_numbered_grid_to_a_walk(shell, folder, tmp_path):
    assert shell("sample", folder, "--seed", 7, "-n", 12, "--numbered", "--out", "grid.png") == (0, "grid.png\n", "")
    assert shell("sample", folder, "--seeds", "7:3,5", "--out", "two.npz") == (0, "two.npz\n", "")
    with np.load(tmp_path / "two.npz") as arrays:
        assert np.array_equal(arrays["images"][0], gansmith.load(folder).sample(4, seed=7).images[3])
    _, out, _ = shell("sample", folder, "--seeds", "7:3,5", "--out", "two.png", "--json")
    assert json.loads(out) == {"out": "two.png", "count": 2, "seeds": ["7:3", "5"]}
    assert shell("interpolate", folder, "--seeds", "7:3,5,9") == (0, "walk.gif\n", "")
    with Image.open(tmp_path / "walk.gif") as film:
        assert (film.n_frames, film.size) == (60, (256, 256))
    assert shell("interpolate", folder, "--seeds", "7:3,5,9", "--out", "strip.png") == (0, "strip.png\n", "")
    with Image.open(tmp_path / "strip.png") as strip:
        assert strip.width == 9 * 96 + 10 * 8
    words = ("--frames", 5, "--mode", "lerp", "--truncation", 0.5, "--raw", "--out", "x.png", "--json")
    assert json.loads(shell("interpolate", folder, "--seeds", "3,9", *words)[1]) == {"out": "x.png", "frames": 5}


@pytest.mark.slow
def test_a_walk_between_labels(shell, conditional):
    words = ("--seeds", 3, "--label", "dark", "--to-label", "light", "--out", "x.png")
    assert shell("interpolate", conditional, *words) == (0, "x.png\n", "")


@pytest.mark.slow
def test_a_sum_can_be_walked_to(shell, folder, tmp_path):
    words = ("--plus", "3,5,8", "--minus", "1,2,4", "--plus", "7,9")
    assert shell("arithmetic", folder, *words) == (0, "arithmetic.png\n", "")
    with Image.open(tmp_path / "arithmetic.png") as figure:
        assert figure.width == 3 * 96 + 3 * 36 + (3 * 96 + 16) + 5 * 8 + 8 + 16
    assert shell("interpolate", folder, "--seeds", "arithmetic.latent.safetensors,3", "--frames", 4)[0] == 0
    _, out, _ = shell("arithmetic", folder, "--plus", "3", "--out", "new/y.png", "--json")
    assert json.loads(out) == {"out": "new/y.png", "latent": "new/y.latent.safetensors"}


@pytest.mark.slow
def test_an_inversion_in_words_and_in_numbers(shell, folder, tmp_path):
    shell("sample", folder, "-n", 1, "--seed", 99, "--out", "one")
    code, out, err = shell("invert", folder, "one/000000.png", "--steps", 20)
    assert (code, out) == (0, "inverted.png\n")
    lines = err.splitlines()
    assert lines[0].startswith("step 0 of 20: distance ")
    assert re.fullmatch(r"PSNR [\d.]+ dB", lines[-3])
    assert re.fullmatch(r"256 random latents: [\d.]+ dB at best, [\d.]+ dB on average", lines[-2])
    assert shell("sample", folder, "--seeds", "inverted.latent.safetensors", "--out", "again.png")[0] == 0
    mask = np.zeros((8, 8), np.uint8)
    mask[2:5, 2:5] = 255
    Image.fromarray(mask).save(tmp_path / "mask.png")
    words = ("one/000000.png", "--mask", "mask.png", "--steps", 3, "--out", "filled", "--json")
    result = json.loads(shell("invert", folder, *words)[1])
    assert (result["out"], result["latent"], result["label"]) == ("filled", "filled/latent.safetensors", None)
    assert result["psnr_db"] > result["random_mean_db"]
    assert (tmp_path / "filled" / "filled.png").is_file()


@pytest.mark.slow
def test_directions(shell, folder):
    assert shell("directions", folder, "--num", 3) == (0, "directions.png\n", "")
    _, out, _ = shell("directions", folder, "--num", 3, "--seeds", "7:3", "--reach", 2, "--out", "x.png", "--json")
    result = json.loads(out)
    assert result["out"] == "x.png"
    assert result["strengths"] == sorted(result["strengths"], reverse=True)


@pytest.mark.slow
def test_features_are_written_and_counted(shell, folder, tiny_file, tmp_path):
    code, out, err = shell("features", folder, tiny_file, "--layers", "layers.0")
    assert (code, out) == (0, "features.npz\n")
    assert err.splitlines()[-1] == "96 images, 8 features each (layers.0 8)"
    with np.load(tmp_path / "features.npz") as arrays:
        assert arrays["features"].shape == (96, 8)
    result = json.loads(shell("features", folder, tiny_file, "--out", "x.npz", "--json")[1])
    assert result == {"out": "x.npz", "count": 96, "layers": {"layers.0": 8}}


@pytest.mark.slow
def test_a_probe_is_a_table_and_words(shell, folder, tiny_file):
    words = ("probe", folder, tiny_file, "--per-class", "2,4", "--seeds", 2)
    code, out, _ = shell(*words)
    assert code == 0
    assert [line.split("  ")[0] for line in out.splitlines()[1:6]] == [
        "features", "discriminator", "untrained discriminator", "pixels", "PCA of pixels, 50"
    ]  # fmt: skip
    assert out.splitlines()[6].startswith("with 2 labels a class the discriminator's features are ")
    result = json.loads(shell(*words, "--json")[1])
    assert len(result["accuracies"]["pixels"]["4"]) == 2


@pytest.mark.slow
def test_a_synthetic_set_and_a_study_of_it(shell, conditional, tiny_file, tmp_path, monkeypatch):
    monkeypatch.setattr(augment, "_classifier", lambda *_: lambda images, _: np.zeros(len(images), bool))
    monkeypatch.setattr(study, "_tested", lambda *_: 0.5)
    monkeypatch.setattr(study, "train_on_labels", lambda *_, **__: None)
    code, out, err = shell("augment", conditional, tiny_file, "--per-class", 3, "--filters", "")
    assert (code, out) == (0, "synthetic.npz\n")
    assert err.splitlines()[-1] == "9 candidates; dropped: none (by the first filter that failed)"
    assert gansmith.check("synthetic.npz").to_json()["classes"] == {"dark": 3, "gray": 3, "light": 3}
    words = ("--per-class", 3, "--study", "--real", 4, "--seeds", 2, "--plot", "x.png", "--out", "made", "--json")
    result = json.loads(shell("augment", conditional, tiny_file, *words)[1])
    assert (result["out"], result["count"], result["plot"]) == ("made", 9, "x.png")
    assert result["study"]["accuracies"]["real"] == {"4": [0.5, 0.5], "all": [0.5, 0.5]}
    assert sorted(each.name for each in (tmp_path / "made").iterdir()) == ["dark", "gray", "light"]
    assert (tmp_path / "x.png").is_file()


def test_a_plot_that_is_not_written_is_known_before_the_work(shell, conditional, tmp_path):
    code, out, err = shell("augment", conditional, "none", "--study", "--plot", "x.jpg")
    assert (code, out) == (2, "")
    assert ".jpg" in err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("words", "code"), [
    (("interpolate", "--seeds", "a,b"), "cli.unknown_image"),
    (("interpolate", "--seeds", "3,"), "cli.unknown_image"),
    (("interpolate", "--seeds", "3"), "cli.walk_of_one_image"),
    (("interpolate", "--seeds", "3,9", "--out", "walk.avi"), "output.unknown_ending"),
    (("interpolate", "--seeds", "3,9", "--label", "dark"), "model.no_labels"),
    (("interpolate", "--seeds", "3,9", "--device", "gpu"), "machine.unknown_device"),
    (("interpolate", "--seeds", "3,none.safetensors"), "model.unreadable_latents"),
    (("arithmetic",), "cli.nothing_to_add"),
    (("arithmetic", "--plus", "3", "--out", "x.gif"), "output.unknown_ending"),
    (("invert", "none.png"), "data.unreadable_image"),
    (("invert", "none.png", "--out", "x.jpg"), "output.unknown_ending"),
    (("directions", "--num", "99"), "cli.num_out_of_range"),
    (("features", "x.zip", "--out", "x.csv"), "output.unknown_ending"),
    (("features", "none"), "data.not_found"),
    (("probe", "none", "--per-class", "10,x"), "cli.not_whole_numbers"),
    (("augment", "none"), "model.no_labels"),
    (("sample", "--seeds", "x"), "cli.unknown_image"),
    (("sample", "--numbered", "--out", "x.zip"), "output.numbered_without_grid"),
], ids=lambda value: "" if isinstance(value, str) else " ".join(value))  # fmt: skip
def test_mistakes_are_messages_and_write_nothing(shell, prose, folder, tmp_path, words, code):
    exit_code, out, err = shell(words[0], folder, *words[1:], "--json")
    assert exit_code == 2
    error = json.loads(out)["error"]
    assert error["code"] == code
    assert err == f"gansmith: {error['message']}\n"
    assert len(err.splitlines()) <= 3
    prose(code, error["message"])
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_help_does_not_import_torch():
    code = (
        "import sys; from gansmith.cli.app import main\n"
        "for verb in sys.argv[1:]:\n"
        "    sys.argv = ['gansmith', verb, '--help']\n"
        "    try: main()\n"
        "    except SystemExit: pass\n"
        "    assert 'torch' not in sys.modules, verb"
    )
    verbs = ["interpolate", "arithmetic", "invert", "directions", "features", "probe", "augment"]
    done = subprocess.run([sys.executable, "-c", code, *verbs], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert all(f"gansmith {verb}" in done.stdout for verb in verbs)


def test_the_tools_are_functions_of_the_package():
    for name in ("interpolate", "arithmetic", "invert", "directions", "pick"):
        assert callable(getattr(gansmith, name))
