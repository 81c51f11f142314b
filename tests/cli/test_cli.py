import errno
import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from forked import Forked
from gansmith.cli.app import PANELS, main
from gansmith.cli.text import json_text
from gansmith.core import clock as core_clock
from gansmith.core.errors import GansmithError, TrainingError
from gansmith.core.version import __version__
from gansmith.evaluation.health import HOPELESS
from gansmith.parts.losses.base import losses
from gansmith.recipes.load import parse_recipe
from gansmith.training import prepare
from small_runs import COLLAPSING, MONITORED, RHYTHM, small, with_results

TINY = ("--recipe", "mlp-small", "size=8", "hidden=[8]", "batch_size=16", "fixed_images=4", "conditional=true")
VERBS = {
    (): ["--version", "--debug", "train", "plan", "resume", "sample", "score", "recipes", "doctor", "data"],
    ("train",): [
        "--recipe", "--out", "--kimg", "--steps", "--epochs", "--minutes", "--seed", "--device", "--precision",
        "--compile", "--holdout", "--init-from", "--plugin", "--data-root", "--dry-run", "--json", "KEY=VALUE", "DATA",
        "--until",
    ],
    ("plan",): [
        "DATA", "KEY=VALUE", "--minutes", "--kimg", "--epochs", "--out", "--device", "--precision", "--plugin",
        "--data-root", "--json", "--until",
    ],
    ("sweep",): [
        "DATA", "KEY=VALUE", "--vary", "--recipe", "--seeds", "--minutes-each", "--search", "--trials", "--patience",
        "--out", "--holdout", "--device", "--yes", "--json",
    ],
    ("resume",): ["RUN", "--kimg", "--accept-changes", "--json"],
    ("sample",): [
        "MODEL", "--num", "-n", "--seed", "--seeds", "--label", "--truncation", "--raw", "--out", "--numbered",
        "--device", "--plugin", "--json",
    ],
    ("interpolate",): ["MODEL", "--seeds", "--frames", "--mode", "--label", "--to-label", "--out", "--numbered"],
    ("arithmetic",): ["MODEL", "--plus", "--minus", "--label", "--out", "--numbered", "--device", "--json"],
    ("invert",): ["MODEL", "IMAGE", "--mask", "--steps", "--seed", "--label", "--out", "--device", "--json"],
    ("directions",): ["MODEL", "--num", "--seeds", "--reach", "--label", "--out", "--device", "--json"],
    ("evaluate",): [
        "MODEL", "DATA", "--num", "-n", "--features", "--metrics", "--sets", "--weights", "--on-training", "--truth",
        "--training", "--raw", "--truncation", "--seed", "--out", "--data-root", "--device", "--plugin", "--json",
    ],
    ("compare",): ["RUNS", "--out", "--device", "--plugin", "--json"],
    ("score",): ["MODEL", "IMAGES", "--label", "--device", "--json"],
    ("recipes",): ["NAME", "KEY=VALUE", "--shapes", "--json"],
    ("schema",): ["NAME"],
    ("doctor",): ["--json"],
    ("data",): ["check", "list", "clean"],
    ("data", "check"): ["DATA", "--size", "--channels", "--data-root", "--json"],
    ("data", "list"): ["--data-root", "--json"],
    ("data", "clean"): ["--json"],
}  # fmt: skip


class Shell:
    """The command line in this process."""

    def __init__(self, monkeypatch, capfd) -> None:
        self._monkeypatch, self._capfd = monkeypatch, capfd

    def __call__(self, *words) -> tuple[int, str, str]:
        """Return exit code, stdout and stderr."""
        self._monkeypatch.setattr("sys.argv", ["gansmith", *map(str, words)])
        self._capfd.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = self._capfd.readouterr()
        return int(ended.value.code or 0), out, err


@pytest.fixture
def shell(monkeypatch, capfd) -> Shell:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERM", "dumb")
    return Shell(monkeypatch, capfd)


@pytest.fixture(scope="module")
def trained(tiny_file, tmp_path_factory, session_cache) -> tuple[Path, subprocess.CompletedProcess]:
    """A run made by the command in a process of its own."""
    folder = tmp_path_factory.mktemp("runs") / "my run"
    words = ("train", tiny_file, *TINY, "--steps", "4", "--seed", "3", "--out", folder, "--device", "cpu")
    with with_results():
        made = Forked(words, folder.parent / "stderr.txt", {"GANSMITH_CACHE": str(session_cache)})
    out, err = made.communicate()
    return folder, subprocess.CompletedProcess(words, made.wait(), out, err)


@pytest.fixture(scope="module")
def run(trained) -> Path:
    return trained[0]


@pytest.mark.slow
@pytest.mark.parametrize(("verb", "names"), VERBS.items(), ids=lambda value: " ".join(value)[:20])
def test_help_fits_80_columns_and_names_the_options(shell, verb, names):
    code, out, err = shell(*verb, "--help")
    assert (code, err) == (0, "")
    assert max(len(line.rstrip("\n")) for line in out.splitlines()) <= 80
    for name in names:
        assert name in out
    assert shell(*verb, "-h")[1] == out


@pytest.mark.slow
@pytest.mark.parametrize(
    ("verb", "words"),
    {
        "train": "[DATA KEY=VALUE]...",
        "score": "{MODEL} {IMAGES}...",
        "recipes": "[NAME] [KEY=VALUE]...",
        "evaluate": "{MODEL} [DATA]",
        "compare": "{RUNS}...",
    }.items(),
)
def test_the_usage_has_brackets_once_and_the_help_no_python_types(shell, verb, words):
    out = shell(verb, "--help")[1]
    assert f"Usage: gansmith {verb} [OPTIONS] {words}" in out
    assert not re.search("<(list|str|path|int|float)", out)


def test_help_shows_the_panels_in_order(shell):
    out = shell("--help")[1]
    places = [out.index(f"─ {panel} ─") for panel in PANELS]
    assert places == sorted(places)
    assert not re.search(r"^│ {14}", out, re.MULTILINE), "a verb takes more than one line"


def test_version(shell):
    assert shell("--version") == (0, f"gansmith {__version__}\n", "")


@pytest.mark.slow
def test_train_writes_a_run_and_prints_its_folder(trained):
    folder, done = trained
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{folder}\n"
    for text in ("tiny: 96 images", "run folder: ", "loss D", "D(G(z))", "writing model", "report.html"):
        assert text in done.stderr
    record = json.loads((folder / "run.json").read_text())
    assert (record["seed"], record["length"]["iterations"]) == (3, 4)
    assert "batch_size: 16" in (folder / "recipe.yaml").read_text()
    assert (folder / "model" / "generator.safetensors").is_file()


@pytest.mark.slow
def test_train_json_and_default_folder(shell, tiny_file, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, out, err = shell("train", tiny_file, *TINY, "--steps", 1, "--json")
    found = json.loads(out)
    assert (code, found["folder"], found["finished"]) == (0, "runs/mlp-small-tiny-001", True)
    assert "training: " in err


@pytest.fixture
def _quick_measure(monkeypatch):
    monkeypatch.setattr(prepare, "STEADY_SEC", 0.05)
    monkeypatch.setattr(prepare, "SPREAD", float("inf"))  # no doubt, whatever the machine does
    monkeypatch.setattr(core_clock, "CROWDED", float("inf"))


@pytest.mark.slow
@pytest.mark.usefixtures("_quick_measure")
def test_dry_run(shell, tiny_file, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, out, _ = shell("train", tiny_file, *TINY, "--dry-run", "--kimg", 0.8)
    assert code == 0
    assert list(tmp_path.iterdir()) == []
    for text in ("tiny: 96 images, 8 x 8", "generator: ", "Linear", "LeakyReLU", "0.8 kimg in 50 iterations"):
        assert text in out
    assert "images a second" in out
    assert "\nname: mlp-small\n" in out
    assert "hidden:" in out


SMALL_PLAN = ("base_channels=4", "latent_dim=4", "batch_size=8")


@pytest.mark.slow
@pytest.mark.usefixtures("_quick_measure")
def test_plan(shell, tiny_file, tmp_path):
    code, out, err = shell("plan", tiny_file, *SMALL_PLAN, "--kimg", 0.016)
    assert (code, parse_recipe(out, where="x").name) == (0, "auto")
    assert max(map(len, err.splitlines())) <= 80
    for text in (
        "tiny: 96 images, 8 x 8",
        "recipe ",
        "compact ",
        "as you asked",
        "0.016 ",
        "images a second",
    ):
        assert text in err
    assert "warning: 96 images are very few" in err
    assert "expected quality: unknown; no run on similar images is recorded" in err
    file = tmp_path / "new folder" / "mine.yaml"
    code, out, err = shell("plan", tiny_file, *SMALL_PLAN, "--kimg", 0.016, "--out", file)
    assert (code, out) == (0, f"{file}\n")
    assert f"train with it: gansmith train {tiny_file} --recipe '{file}'\n" in err
    kept = file.read_bytes()
    assert shell("plan", tiny_file, *SMALL_PLAN, "--kimg", 0.016, "--out", file) == (
        2, "", f"gansmith: '{file}' exists\n  pass another --out, or remove it\n"
    )  # fmt: skip
    assert file.read_bytes() == kept
    options = ("--precision", "fp32", "--holdout", 0.25, "--data-root", tmp_path, "--out", tmp_path / "other.yaml")
    err = shell("plan", tiny_file, *SMALL_PLAN, *options)[2]
    assert "warning: 72 images are very few" in err
    assert f"--precision fp32 --holdout 0.25 --data-root {tmp_path}\n" in err
    assert shell("train", tiny_file, "--recipe", file, "--out", tmp_path / "run", "--steps", 2)[0] == 0
    plan = json.loads(shell("plan", tiny_file, *SMALL_PLAN, "--kimg", 0.016, "--json")[1])
    assert plan.keys() >= {
        "recipe",
        "choices",
        "img_per_sec",
        "kimg",
        "minutes",
        "memory_mb",
        "expectation",
        "warnings",
    }
    assert shell("plan", tiny_file, "--out", tmp_path / "x.txt") == (
        2, "", f"gansmith: cannot write a recipe as '{tmp_path}/x.txt'\n  allowed: a name that ends in .yaml\n"
    )  # fmt: skip


@pytest.mark.slow
@pytest.mark.usefixtures("_quick_measure")
def test_dry_run_of_auto(shell, tiny_file):
    code, out, _ = shell("train", tiny_file, *SMALL_PLAN, "--dry-run", "--steps", 2)
    assert code == 0
    for text in ("recipe: compact (", "batch_size: 8 (as you asked)", "iterations (2 steps)", "\nname: auto\n"):
        assert text in out


@pytest.mark.slow
def test_resume_of_a_finished_run_changes_nothing(shell, run):
    before = {path: path.read_bytes() for path in (run / "log.jsonl", *run.rglob("*.safetensors"))}
    code, out, _ = shell("resume", run)
    assert (code, out) == (0, f"{run}\n")
    assert {path: path.read_bytes() for path in before} == before
    found = json.loads(shell("resume", run, "--json")[1])
    assert found == {
        "folder": str(run), "finished": True, "signal": None, "ended_by": None, "kimg": 0.064, "verdict": None,
        "best": None, "model": str(run / "model"), "report": str(run / "report.html"),
    }  # fmt: skip


@pytest.mark.slow
def test_sample_in_every_form(shell, run, tmp_path):
    out = tmp_path / "new folder" / "grid.png"
    assert shell("sample", run, "-n", 20, "--seed", 7, "--out", out) == (0, f"{out}\n", "")
    with Image.open(out) as grid:
        assert grid.size == (82, 32)
    shell("sample", run, "-n", 20, "--seed", 7, "--out", tmp_path / "x.npz")
    shell("sample", run, "-n", 20, "--seed", 7, "--out", tmp_path / "x.zip")
    shell("sample", run, "-n", 20, "--seed", 7, "--out", tmp_path / "png")
    with np.load(tmp_path / "x.npz") as arrays:
        images, labels = arrays["images"], arrays["labels"]
    assert images.shape == (20, 8, 8, 1)
    names = {f"{('dark', 'gray', 'light')[label]}/{index:06d}.png": index for index, label in enumerate(labels)}
    with zipfile.ZipFile(tmp_path / "x.zip") as archive:
        assert set(archive.namelist()) == set(names)
        for name, index in names.items():
            assert archive.read(name) == (tmp_path / "png" / name).read_bytes()
            with Image.open(tmp_path / "png" / name) as image:
                assert np.array_equal(np.asarray(image), images[index, ..., 0])


@pytest.mark.slow
def test_samples_in_a_folder_are_continued(shell, run, tmp_path):
    assert shell("sample", run, "-n", 5, "--out", tmp_path / "x")[0] == 0
    code, out, _ = shell("sample", run, "-n", 70, "--out", tmp_path / "x", "--continue", "--json")
    assert (code, json.loads(out)) == (0, {"out": str(tmp_path / "x"), "count": 70, "seed": 0})
    assert len(list((tmp_path / "x").rglob("*.png"))) == 70
    code, _, err = shell("sample", run, "-n", 70, "--seed", 1, "--out", tmp_path / "x", "--continue")
    assert code == 2
    assert "--seed" in err


@pytest.mark.slow
def test_sample_of_a_run_without_checkpoints_warns_and_uses_the_model_folder(prose, shell, run, tmp_path):
    copy = shutil.copytree(run, tmp_path / "run")
    shutil.rmtree(copy / "checkpoints")
    out = tmp_path / "grid.png"
    code, printed, warning = shell("sample", copy, "--out", out)
    assert (code, printed) == (0, f"{out}\n")
    prose("model.no_whole_checkpoint", warning, [re.escape(str(copy))])


@pytest.mark.slow
def test_options_of_sample(shell, run, tmp_path):
    def made(*words) -> np.ndarray:
        path = tmp_path / f"{len(list(tmp_path.iterdir()))}.npz"
        code, out, err = shell("sample", run, "-n", 6, *words, "--out", path)
        assert (code, out, err) == (0, f"{path}\n", "")
        with np.load(path) as arrays:
            return arrays["images"]

    plain = made()
    assert np.array_equal(made("--seed", 0), plain)
    assert np.array_equal(made("--label", "light"), made("--label", 2))
    for other in (("--seed", 1), ("--label", "light"), ("--truncation", 0.3), ("--raw",)):
        assert not np.array_equal(made(*other), plain)
    _, out, _ = shell("sample", run, "--num", 2, "--out", tmp_path / "g.png", "--json")
    assert json.loads(out) == {"out": str(tmp_path / "g.png"), "count": 2, "seed": 0}


@pytest.mark.slow
def test_score(shell, run, tmp_path):
    shell("sample", run / "model", "-n", 3, "--label", "dark", "--out", tmp_path / "fakes")
    code, out, err = shell("score", run, tmp_path / "fakes", "--label", "dark")
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert len(lines) == 3
    assert all(re.fullmatch(r" *[01]\.\d{4}  .+\.png", line) for line in lines)
    one = tmp_path / "fakes" / "dark" / "000001.png"
    _, out, _ = shell("score", run, one, one, "--label", 0, "--json")
    scores = json.loads(out)["scores"]
    assert [entry["file"] for entry in scores] == [str(one)] * 2
    assert f"{scores[0]['score']:8.4f}  {one}" == lines[1]


@pytest.mark.slow
def test_score_of_a_folder_with_a_damaged_image(shell, run, tmp_path):
    shell("sample", run / "model", "-n", 1, "--label", "dark", "--out", tmp_path / "fakes")
    bad = tmp_path / "fakes" / "bad.png"
    bad.write_bytes(b"no image")
    code, out, err = shell("score", run, tmp_path / "fakes", "--label", "dark")
    assert (code, len(out.splitlines())) == (0, 1)
    assert err.startswith(f"warning: left out: {bad} (not an image")
    found = json.loads(shell("score", run, tmp_path / "fakes", "--label", "dark", "--json")[1])
    (good,), (left_out,) = found["scores"], found["left_out"]
    assert good.keys() == {"file", "score"}
    assert (left_out["file"], left_out["reason"][:12]) == (str(bad), "not an image")
    assert shell("score", run, bad, "--label", "dark")[0] == 2


@pytest.mark.slow
def test_recipes(prose, shell, tmp_path):
    code, out, _ = shell("recipes")
    assert code == 0
    assert re.search("^  auto +planned for your images", out, re.MULTILINE)
    prose("recipe auto", shell("recipes", "auto")[1])
    code, _, error = shell("recipes", "auto", "--shapes")
    assert code == 2
    prose("recipe.auto_without_text", error)
    assert "\nname: dcgan\n" in "\n" + shell("recipes", "dcgan")[1]
    own = tmp_path / "own.yaml"
    own.write_text(shell("recipes", "mlp-small")[1])
    assert shell("recipes", own)[1] == own.read_text(), "a saved recipe has its layers once"
    edited = own.read_text().replace("hidden: [300]", "hidden: [200]")
    own.write_text(edited)
    assert "\n#   Linear         200   20,200\n" in shell("recipes", own)[1], "the layers are those of the edited file"
    own.write_text("name: own\n")
    assert shell("recipes", own)[:2] == (2, "name: own\n\n")
    code, printed, error = shell("recipes", "dcgan", "size=32")
    assert (code, printed) == (2, "")
    prose("cli.recipe_changes_without_shapes", error)


@pytest.mark.slow
def test_shapes_of_a_recipe(shell):
    code, out, _ = shell("recipes", "dcgan", "--shapes", "size=32", "channels=1", "base_channels=16")
    assert code == 0
    lines = out.splitlines()
    assert re.fullmatch(r"generator: [\d,]+ parameters", lines[0])
    assert any(line.endswith("1 x 32 x 32") for line in lines)
    assert any(line.startswith("discriminator: ") for line in lines)
    assert shell("recipes", "dcgan", "size=32", "--shapes", "channels=1", "base_channels=16")[1] == out


@pytest.mark.slow
def test_doctor(shell, monkeypatch):
    from gansmith.training.planning import machine

    monkeypatch.setattr(machine, "MEASURE_SEC", 0.01)
    code, out, _ = shell("doctor")
    assert code == 0
    assert f"gansmith      {__version__}" in out
    facts = json.loads(shell("doctor", "--json")[1])
    assert {"gansmith", "python", "torch", "processor", "speed", "cuda", "cache folder"} <= facts.keys()
    assert all(line.split("  ")[0] in facts for line in out.splitlines())


@pytest.mark.slow
@pytest.mark.parametrize("has_bf16", [True, False])
def test_doctor_shows_the_precision_of_auto(has_bf16, shell, monkeypatch):
    from gansmith.training.planning import machine

    monkeypatch.setattr(machine, "MEASURE_SEC", 0.01)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": has_bf16}, raising=False)
    precision = json.loads(shell("doctor", "--json")[1])["precision"]
    assert precision.startswith("bf16 " if has_bf16 else "fp32 ")


@pytest.mark.slow
def test_data_check(shell, tiny_file):
    code, out, _ = shell("data", "check", tiny_file)
    assert code == 0
    assert "96 usable images of 96" in out
    assert "training would use: 8 x 8 (all images are 8 x 8 px), channels 1" in out
    report = json.loads(shell("data", "check", tiny_file, "--json", "--size", 8, "--channels", 3)[1])
    assert report["inferred"] == {"height": 8, "width": 8, "channels": 3}
    assert report["classes"] == {"dark": 32, "gray": 32, "light": 32}


@pytest.mark.slow
@pytest.mark.parametrize("good", [0, 40])
def test_a_check_of_images_that_training_would_refuse_ends_with_2(shell, photos, good):
    for path in sorted(path for path in photos.rglob("*") if path.is_file())[good:]:
        path.unlink()
    for index in range(3):
        (photos / f"damaged{index}.png").write_bytes(b"\x89PNG")
    code, out, _ = shell("data", "check", photos)
    assert code == 2
    assert out.splitlines()[-1] == f"training would refuse: 3 of {good + 3} images are bad, more than 5%"
    one_reason = "corrupt: 3 files: damaged0.png, damaged1.png, damaged2.png ("
    assert one_reason in " ".join(out.split())
    assert ("sizes" in out) == (good > 0)
    code, out, _ = shell("data", "check", photos, "--json")
    assert code == 2
    report = json.loads(out)
    assert (report["usable"], report["refused"]) == (good, f"3 of {good + 3} images are bad, more than 5%")


@pytest.mark.slow
def test_data_check_and_list_use_the_given_folder(shell, tmp_path):
    code, out, err = shell("data", "check", "mnist", "--data-root", tmp_path)
    assert (code, out) == (2, "")
    assert f"put its files into {tmp_path}/MNIST/raw, or pass their folder as --data-root" in err
    code, out, err = shell("data", "list", "--data-root", tmp_path)
    assert (code, err) == (0, "")
    assert re.search(r"^mnist: handwritten digits; 60,000 train, 10,000 test", out, re.MULTILINE)
    assert f"  licence: CC BY-SA 3.0\n  files: missing, expected in {tmp_path}/MNIST/raw\n" in out
    assert "  licence: MIT\n  files: built in\n" in out
    listed = json.loads(shell("data", "list", "--json")[1])["sets"]
    assert {each["name"] for each in listed} > {"mnist", "cifar10", "fashion-sample"}


@pytest.mark.slow
def test_data_clean(shell, tiny_file, tmp_path, monkeypatch):
    monkeypatch.setenv("GANSMITH_CACHE", str(tmp_path))
    assert shell("train", tiny_file, *TINY, "--steps", 1, "--out", tmp_path / "run")[0] == 0
    code, out, _ = shell("data", "clean")
    assert code == 0
    assert int(out.split()[0].replace(",", "")) > 96 * 64
    assert shell("data", "clean")[1] == "0 bytes freed\n"
    assert (tmp_path / "run" / "run.json").is_file()  # only the cache is emptied


@pytest.mark.slow
def test_a_mistake_is_a_message_and_exit_code_2(shell, tiny_file):
    code, out, err = shell("train", tiny_file, "lr=fast")
    assert (code, out) == (2, "")
    assert err.strip().startswith("gansmith: override 'lr=fast': ")
    assert "Traceback" not in err


def test_a_mistake_as_json(shell, run, tmp_path):
    code, out, err = shell("sample", run, "--label", "drak", "--json")
    assert code == 2
    assert json.loads(out) == {"error": {"code": "model.unknown_label", "message": err[len("gansmith: ") : -1]}}
    code, out, err = shell("train", tmp_path, "--kimg", "0", "--json")
    assert (code, json.loads(out)["error"]["code"]) == (2, "training.length_out_of_range")
    assert err == "gansmith: --kimg must be above 0, got 0\n"


def test_an_error_of_the_system_as_json(shell, run, tmp_path, monkeypatch):
    def missing(*args, **kwargs):
        raise FileNotFoundError(errno.ENOENT, "No such file or directory", "x.png")

    monkeypatch.setattr("gansmith.inference.open.load", missing)
    code, out, err = shell("sample", run, "--json")
    message = "'x.png' cannot be read or written: No such file or directory"
    assert (code, err) == (2, f"gansmith: {message}\n")
    assert json.loads(out) == {"error": {"code": "system.enoent", "message": message}}
    nameless = lambda *args, **kwargs: (_ for _ in ()).throw(OSError("no words"))  # noqa: E731
    monkeypatch.setattr("gansmith.inference.open.load", nameless)
    assert json.loads(shell("sample", run, "--json")[1])["error"] == {"code": "system.unknown", "message": "no words"}


@pytest.mark.parametrize("words", [["--debug", "recipes", "dcgam"], ["recipes", "dcgam", "--debug"]])
def test_debug_shows_the_traceback(monkeypatch, words):
    monkeypatch.setattr("sys.argv", ["gansmith", *words])
    with pytest.raises(GansmithError) as caught:
        main()
    assert caught.value.code == "recipe.unknown_recipe"


@pytest.mark.parametrize("words", [
    ["trian"], ["train", "--resipe", "x"], ["sample"], ["sample", "run", "-n", "many"], ["train", "--seed", "-1"],
])  # fmt: skip
def test_words_that_the_command_line_does_not_know(shell, words):
    code, out, err = shell(*words)
    assert (code, out) == (2, "")
    assert "Traceback" not in err
    code, out, _ = shell(*words, "--json")
    assert (code, json.loads(out)["error"]["code"]) == (2, "cli.usage")


def test_a_fault_of_gansmith_as_json(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["gansmith", "doctor", "--json"])
    monkeypatch.setattr("gansmith.api.examine_machine", lambda: 1 / 0)
    with pytest.raises(ZeroDivisionError):  # Python prints the traceback and exits with 1
        main()
    error = {"code": "internal", "message": "ZeroDivisionError: division by zero"}
    assert json.loads(capsys.readouterr().out) == {"error": error}


@pytest.mark.slow
def test_recipes_and_dry_runs_as_json(shell, tiny_file):
    listed = json.loads(shell("recipes", "--json")[1])["recipes"]
    assert {"auto", "dcgan"} <= {each["name"] for each in listed}
    assert all(each["summary"] for each in listed)
    recipe = json.loads(shell("recipes", "mlp-small", "--json", "--shapes", "latent_dim=7")[1])["recipe"]
    assert recipe["method"]["latent_dim"] == 7
    assert json.loads(shell("recipes", "auto", "--json")[1])["name"] == "auto"
    code, out, _ = shell("train", tiny_file, *TINY, "--steps", 3, "--dry-run", "--json")
    found = json.loads(out)
    assert (code, found["length"]["iterations"], found["recipe"]["batch_size"]) == (0, 3, 16)


def test_numbers_that_json_lacks_are_null():
    assert json_text({"a": [float("nan"), (1.5, float("inf"))]}) == '{"a": [null, [1.5, null]]}'


def test_cleaning_the_cache_as_json(shell, tmp_path, monkeypatch):
    monkeypatch.setenv("GANSMITH_CACHE", str(tmp_path / "cache"))
    assert shell("data", "clean", "--json") == (0, '{"bytes_freed": 0}\n', "")


@pytest.mark.slow
def test_a_verdict_that_ends_a_run_has_its_own_exit_code(shell, tiny_file, tmp_path, monkeypatch):
    monkeypatch.setattr("gansmith.api.write_results", lambda *_: None)
    words = (*small("mlp-small", *RHYTHM), *MONITORED, "batch_size=16", "hidden=[32]", "lr=3e-3", *COLLAPSING)
    code, out, err = shell(
        "train", tiny_file, "--recipe", "mlp-small", "--steps", 60, "--seed", 3, "--precision", "fp32", *words,
        "--on-collapse", "stop", "--out", tmp_path / "run", "--json",
    )  # fmt: skip
    found = json.loads(out)
    assert (code, found["finished"], found["ended_by"]) == (4, True, found["verdict"])
    assert found["verdict"] in HOPELESS
    assert "warning: full mode collapse" in err or "warning: diverged" in err
    assert shell("resume", tmp_path / "run")[0] == 4


def test_a_run_that_cannot_go_on_has_the_same_exit_code(shell, monkeypatch):
    def diverge(*args, **kwargs):
        raise TrainingError("training.diverged", "losses are not finite")

    monkeypatch.setattr("gansmith.api.resume", diverge)
    code, out, _ = shell("resume", "run", "--json")
    assert (code, json.loads(out)["error"]["code"]) == (4, "training.diverged")


def test_a_process_that_nobody_answers_ends_at_once(shell, monkeypatch):
    def unanswered(*args, **kwargs):
        raise GansmithError("machine.no_answer", "nobody answers")

    ended = []
    monkeypatch.setattr("gansmith.api.resume", unanswered)
    monkeypatch.setattr("os._exit", ended.append)
    assert shell("resume", "run")[0] == 2
    assert ended == []
    monkeypatch.setenv("WORLD_SIZE", "2")
    shell("resume", "run")
    assert ended == [2], "an ordinary end waits for a thread of torch, which aborts it"


def test_words_that_are_neither_data_nor_a_change(prose, shell, tiny_file):
    code, out, err = shell("train", tiny_file, "batch_size", "16", "--json")
    assert (code, json.loads(out)["error"]["code"]) == (2, "cli.several_data_sets")
    prose("cli.several_data_sets", err)


@pytest.mark.slow
def test_torch_is_not_imported_for_help_and_the_list_of_recipes():
    lines = ["--help", "recipes", "recipes auto", "train --help", "plan --help"]
    code = (
        "import sys; from gansmith.cli.app import main\n"
        "for line in sys.argv[1:]:\n"
        "    sys.argv = ['gansmith', *line.split()]\n"
        "    try: main()\n"
        "    except SystemExit as ended: assert not ended.code, line\n"
        "    assert 'torch' not in sys.modules, line\n"
        "    assert line != '--help' or not {'pydantic', 'filelock'} & {*sys.modules}, 'the help takes twice as long'"
    )
    done = subprocess.run([sys.executable, "-c", code, *lines], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert all(text in done.stdout for text in ("gansmith train", "gansmith plan", "dcgan"))


PLUGIN = '''
from pydantic import Field
from gansmith.plugins import AdversarialLoss, losses

@losses.register("twofold")
class Twofold(AdversarialLoss):
    """Scores times a number."""

    factor: float = Field(2.0, gt=0)

    def discriminator(self, real_logits, fake_logits):
        return self.factor * (fake_logits.mean() - real_logits.mean())

    def generator(self, real_logits, fake_logits):
        return -self.factor * fake_logits.mean()
'''


@pytest.fixture
def plugin(tmp_path):
    losses.names()
    known, modules = dict(losses._parts), set(sys.modules)
    path = tmp_path / "plug ins" / "my_loss.py"
    path.parent.mkdir()
    path.write_text(PLUGIN)

    def forget() -> None:
        losses._parts.clear()
        losses._parts.update(known)
        for name in set(sys.modules) - modules:
            if name.startswith("gansmith_plugin_"):
                del sys.modules[name]

    yield path, forget
    forget()


@pytest.mark.slow
def test_a_loss_in_one_file_outside_the_package(shell, tiny_file, tmp_path, plugin):
    path, forget = plugin
    words = ("train", tiny_file, *TINY, "--steps", 2, "--out", tmp_path / "run")
    assert "unknown loss 'twofold'" in shell(*words, "loss=twofold")[2]
    given = ("--plugin", path)
    assert "known: hinge, least_squares, minimax, non_saturating, relativistic, twofold, wasserstein" in shell(
        *words, *given, "loss=twofould"
    )[2]  # fmt: skip
    assert "did you mean 'factor'" in shell(*words, *given, "loss={kind: twofold, facter: 3}")[2]
    assert "greater than 0, got -1" in shell(*words, *given, "loss=twofold", "factor=-1")[2]
    code, out, err = shell(*words, *given, "loss=twofold", "factor=3")
    assert (code, out) == (0, f"{tmp_path / 'run'}\n"), err
    assert "score real" in err
    forget()
    for model in (tmp_path / "run", tmp_path / "run" / "model"):
        code, _, err = shell("sample", model, "--out", tmp_path / "g.png")
        assert code == 2, model  # a model never imports code that the user did not name
        assert "Traceback" not in err
    assert shell("sample", tmp_path / "run", *given, "--out", tmp_path / "g.png")[0] == 0
    forget()
    assert shell("resume", tmp_path / "run")[0] == 0
    path.write_text(PLUGIN.replace("2.0", "5.0"))
    forget()
    code, _, err = shell("resume", tmp_path / "run")
    assert code == 2
    assert str(path) in err


@pytest.mark.slow
@pytest.mark.parametrize(("mine", "spins"), [
    ({}, "30000"), ({"GOMP_SPINCOUNT": "7"}, "7"), ({"OMP_WAIT_POLICY": "ACTIVE"}, None),
])  # fmt: skip
def test_threads_spin_briefly_unless_the_user_chooses_otherwise(mine, spins):
    """The OpenMP library reads the value when torch is imported, so it must be set before."""
    code = (
        "import gansmith.__main__ as it, os, sys; assert 'torch' not in sys.modules;"
        "import gansmith.cli.app as app; app.main = lambda: print(os.environ.get('GOMP_SPINCOUNT'));"
        "assert 'torch' not in sys.modules; it.main()"
    )
    clean = {name: value for name, value in os.environ.items() if name not in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")}
    done = subprocess.run(
        [sys.executable, "-c", code], env={**clean, **mine}, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == str(spins)


@pytest.mark.skipif(os.name == "nt", reason="Windows removes no folder that is in use")
def test_a_current_folder_that_was_removed(tmp_path):
    """As the folder of a job that has ended; torch would end the process without a word of help."""
    gone = tmp_path / "gone"
    gone.mkdir()
    code = "import os, sys; os.rmdir(sys.argv.pop()); from gansmith.cli.app import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, "recipes", gone], cwd=gone, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert done.stderr == "gansmith: the current folder was removed\n  change to one that exists: cd ~\n"
