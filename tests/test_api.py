"""The public functions: train, check, score and the rest of the Python interface."""

import dataclasses
import errno
import io
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import gansmith
from gansmith import api
from gansmith.data.base import DataSpec
from gansmith.data.find import find_source
from gansmith.data.sources.domains import Domains
from gansmith.inference.samples import Picture
from gansmith.recipes.load import load_recipe
from gansmith.recipes.recipe import Recipe
from gansmith.runs.folder import RunFolder
from gansmith.runs.options import RunKeywords, RunOptions
from gansmith.training import clock, prepare

SMALL = ("size=8", "hidden=[8]", "batch_size=16", "fixed_images=4", "fixed_columns=2")


@pytest.fixture(scope="module")
def events() -> list:
    return []


@pytest.fixture(scope="module")
def run(tiny_file, tmp_path_factory, events) -> api.Run:
    folder = tmp_path_factory.mktemp("runs") / "run"
    return gansmith.train(
        tiny_file,
        recipe="mlp-small",
        overrides=SMALL,
        out=folder,
        steps=6,
        seed=4,
        device="cpu",
        on_event=events.append,
    )


@pytest.mark.slow
def test_the_snippet_of_the_readme(tiny_file, tmp_path, monkeypatch):
    """Train in a few seconds as the README does, with its names and its defaults for folders."""
    monkeypatch.chdir(tmp_path)
    run = gansmith.train(tiny_file, recipe="dcgan", overrides=["base_channels=4", "batch_size=16"], steps=2)
    model = gansmith.load(run.folder)
    model.sample(64, seed=7).grid().save("grid.png")
    assert run.finished
    assert run.folder.as_posix() == "runs/dcgan-tiny-001"
    with Image.open("grid.png") as grid:
        assert (grid.size, grid.mode) == ((82, 82), "L")


@pytest.mark.slow
def test_importing_gansmith_imports_no_torch():
    code = (
        "import sys, gansmith; gansmith.__version__; assert 'torch' not in sys.modules and 'numpy' not in sys.modules\n"
        "for name in gansmith.__all__: assert getattr(gansmith, name) is not None\n"
        "try: gansmith.sample\nexcept AttributeError as problem: print(problem)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "module 'gansmith' has no attribute 'sample'"


def test_the_public_names():
    assert gansmith.__all__ == [
        "Event", "GansmithError", "Model", "Run", "__version__", "arithmetic", "check", "compare", "directions",
        "evaluate", "export", "features", "from_pretrained", "import_weights", "interpolate", "invert", "load",
        "open_fitted", "open_parts", "pick", "plan", "probe", "resume", "schema", "silent", "sweep", "train",
        "translate", "upscale",
    ]  # fmt: skip
    assert gansmith.train is api.train
    assert (gansmith.load, gansmith.resume, gansmith.check) == (api.load, api.resume, api.check)


@pytest.mark.slow
def test_the_run(run):
    assert run.finished
    assert dataclasses.is_dataclass(run)
    assert {path.name for path in run.folder.iterdir()} >= {
        "checkpoints", "curves.png", "film.gif", "film.mp4", "log.jsonl", "model", "recipe.yaml", "report.html",
        "run.json", "samples", "timing.jsonl",
    }  # fmt: skip
    assert run.model("cpu").record.seed == 4


def test_rows_of_a_run(run):
    rows = run.log
    assert [row["iteration"] for row in rows] == [1, 2, 3, 4, 5, 6]
    assert rows[-1]["kimg"] == pytest.approx(6 * 16 / 1000)
    assert rows[-1]["epoch"] == pytest.approx(1.0)
    for row in rows:
        assert 0 < row["d_real"] < 1
        assert 0 < row["d_fake"] < 1
        assert {"loss_discriminator", "loss_generator", "grad_norm_generator"} <= row.keys()
        assert not {"wall_sec", "img_per_sec", "eta_sec", "memory_mb"} & row.keys()  # those are in timing.jsonl


def test_events_of_a_run(run, events):
    kinds = [event.kind for event in events]
    assert {"note", "row", "preview"} <= set(kinds) <= {"note", "row", "preview", "progress"}
    notes = [event.message for event in events if event.kind == "note"]
    assert notes[0] == "tiny: 96 images, 8 x 8, gray, 3 classes"
    assert f"run folder: {run.folder}" in notes
    assert notes[-1] == "writing model, film, curves and report"
    rows = [event.values for event in events if event.kind == "row"]
    assert [row["iteration"] for row in rows] == [1, 2, 3, 4, 5, 6]
    assert all(row.keys() >= {"wall_sec", "img_per_sec", "eta_sec", "memory_mb", "loss_generator"} for row in rows)
    assert [event.values["iteration"] for event in events if event.kind == "preview"] == [0, 1, 2, 3, 4, 5, 6]
    for event in events:
        assert (event.kind == "note") == bool(event.message)


@pytest.mark.slow
def test_progress_between_rows(tiny_file, tmp_path, monkeypatch):
    monkeypatch.setattr(clock, "PROGRESS_SEC", 0.0)
    events: list = []
    overrides = (*SMALL, "log_rows=1", "previews=1")
    api.train(tiny_file, recipe="mlp-small", overrides=overrides, out=tmp_path / "r", steps=4, on_event=events.append)
    progress = [event.values for event in events if event.kind == "progress" and event.values]
    assert [values["kimg"] for values in progress] == pytest.approx([0.016, 0.032, 0.048, 0.064])
    assert progress[0].keys() == {"kimg", "wall_sec", "img_per_sec", "eta_sec", "memory_mb"}
    assert len([event for event in events if event.kind == "row"]) == 1


@pytest.mark.slow
def test_progress_of_reading_images(tmp_path):
    images = np.random.default_rng(1).integers(0, 255, (40, 8, 8, 3)).astype(np.uint8)
    np.save(tmp_path / "new.npy", images)
    events: list = []
    overrides = (*SMALL, "channels=3", "hidden=[4]")
    api.train(tmp_path / "new.npy", recipe="mlp-small", overrides=overrides, out=tmp_path / "r", steps=1,
              on_event=events.append)  # fmt: skip
    shown = [event.progress for event in events if event.kind == "progress" and event.progress.what == "reading images"]
    assert shown
    assert all(0 < each.done <= each.total for each in shown)
    assert shown[-1].done == shown[-1].total


@pytest.mark.parametrize(("source", "name"), [
    ("tiny.npz", "tiny"), (".", "my-photos-2024-ü"), ("../my photos (2024), ü", "my-photos-2024-ü"),
    ("fashion-sample", "fashion-sample"), ("a.b.tar.gz", "a"), ("a.b", "a.b"), (".hidden", "hidden"),
    ("$(rm -r x).zip", "rm-r-x"), ("x" * 200, "x" * 64), (Domains("tiny.npz", "a.b"), "tiny-to-a.b"),
])  # fmt: skip
def test_the_name_of_a_run_needs_no_quotes_in_a_shell(source, name, tmp_path, monkeypatch):
    here = tmp_path / "my photos (2024), ü"
    for folder in ("a.b", ".hidden", "x" * 200):
        (here / folder).mkdir(parents=True)
    monkeypatch.chdir(here)
    np.savez("tiny.npz", images=np.zeros((4, 8, 8), np.uint8))
    with zipfile.ZipFile("$(rm -r x).zip", "w"), tarfile.open("a.b.tar.gz", "w:gz"):
        pass
    assert api.run_name("auto", find_source(source).name) == f"auto-{name}"
    assert api.run_name("auto", "()") == "auto-data"


@pytest.mark.slow
def test_a_recipe_as_a_value(tiny_file, tmp_path):
    recipe = load_recipe("mlp-small", SMALL)
    assert isinstance(recipe, Recipe)
    run = api.train(str(tiny_file), recipe=recipe, overrides=["lr=1e-3"], out=str(tmp_path / "r"), steps=1)
    assert "lr: 0.001" in (run.folder / "recipe.yaml").read_text()


def test_an_unknown_keyword_is_refused(tmp_path):
    with pytest.raises(TypeError, match="'minuts'"):
        api.train(tmp_path, minuts=3)
    with pytest.raises(TypeError, match="'recipe'"):
        api.plan(tmp_path, recipe="dcgan")  # a plan chooses the recipe


def test_every_keyword_is_an_option():
    fields = {field.name for field in dataclasses.fields(RunOptions)} - {"source", "budget", "began", "launch"}
    assert fields | {"kimg", "steps", "epochs", "minutes", "until"} == RunKeywords.__optional_keys__


@pytest.mark.slow
def test_the_same_run_twice_has_the_same_numbers(run, tiny_file, tmp_path):
    again = api.train(tiny_file, recipe="mlp-small", overrides=SMALL, out=tmp_path / "r", steps=6, seed=4)
    assert again.log == run.log
    other = api.train(tiny_file, recipe="mlp-small", overrides=SMALL, out=tmp_path / "s", steps=6, seed=5)
    assert other.log != run.log


@pytest.mark.slow
def test_starting_from_the_weights_of_a_model(refused, run, tiny_file, tmp_path):
    """The learning rate is so small that the weights stay as they were loaded."""
    new = api.train(tiny_file, recipe="mlp-small", overrides=(*SMALL, "lr=1e-30"), out=tmp_path / "r", steps=1,
                    seed=9, init_from=run.folder / "model")  # fmt: skip
    before, after = run.model("cpu"), new.model("cpu")
    for name in ("generator-raw", "discriminator"):
        assert all(
            (value == after.networks[name].state_dict()[key]).all()
            for key, value in before.networks[name].state_dict().items()
        )
    taken = RunFolder(new.folder).record.init_layers
    assert {name: (each.taken, each.of) for name, each in taken.items()} == {
        "generator": (2, 2),
        "discriminator": (2, 2),
    }
    assert "generator: 2 of 2 layers taken" in (new.folder / "report.html").read_text()
    with refused("model.initial_weights_unfit"):
        api.train(tiny_file, recipe="mlp-small", overrides=(*SMALL, "hidden=[9]"), out=tmp_path / "s", steps=1,
                  init_from=run.folder)  # fmt: skip
    assert not (tmp_path / "s").exists()


@pytest.mark.slow
def test_a_dry_run_writes_nothing(tiny_file, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(prepare, "STEADY_SEC", 0.05)
    found = api.dry_run(tiny_file, recipe="mlp-small", overrides=SMALL, kimg=1.6)
    prepared = found.prepared
    assert list(tmp_path.iterdir()) == []
    assert (prepared.length.iterations, prepared.length.schedule_kimg) == (100, 1.6)
    assert prepared.img_per_sec > 0
    assert found.minutes == pytest.approx(1600 / prepared.img_per_sec / 60)
    assert found.summary[0] == "tiny: 96 images, 8 x 8, gray, 3 classes"
    assert prepared.recipe.data.shape == (8, 8)
    assert found.shapes[0].startswith("generator: ")


def test_pictures_show_themselves_in_notebooks(run):
    picture = run.model("cpu").sample(5).grid(columns=3)
    assert isinstance(picture, Picture)
    data = picture._repr_png_()
    with Image.open(io.BytesIO(data)) as image:
        assert (image.format, image.size) == ("PNG", (3 * 10 + 2, 2 * 10 + 2))
        assert np.array_equal(np.asarray(image)[..., None], picture.array)


@pytest.mark.slow
def test_a_data_set_is_checked(tiny_file):
    report = gansmith.check(tiny_file, size="8")
    assert (report.usable, report.inferred) == (96, {"height": 8, "width": 8, "channels": 1})


def test_images_of_any_shape_are_scored(run, tmp_path):
    folder = tmp_path / "some images"
    (folder / "deeper").mkdir(parents=True)
    noise = np.random.default_rng(0)
    Image.fromarray(noise.integers(0, 255, (30, 20, 3)).astype(np.uint8)).save(folder / "b.png")
    Image.fromarray(noise.integers(0, 255, (8, 8)).astype(np.uint8)).save(folder / "deeper" / "a.PNG")
    Image.new("L", (8, 8)).save(folder / "deeper" / "b.jfif", "JPEG")  # every ending that training reads
    (folder / "notes.txt").write_text("no image")
    model = run.model("cpu")
    scored = api.score(model, [folder, folder / "b.png"])
    assert [name for name, _ in scored] == [
        str(folder / name) for name in ("b.png", "deeper/a.PNG", "deeper/b.jfif", "b.png")
    ]
    assert scored[0][1] == scored[3][1]
    assert all(0 < value < 1 for _, value in scored)
    exact = np.asarray(Image.open(folder / "deeper" / "a.PNG"))[None, ..., None]
    assert scored[1][1] == pytest.approx(float(model.score(exact)[0]))


def test_images_that_cannot_be_scored(refused, run, tmp_path):
    model = run.model("cpu")
    with refused("data.path_not_found"):
        api.score(model, [tmp_path / "no.png"])
    with refused("data.empty"):
        api.score(model, [tmp_path])
    (tmp_path / "bad.png").write_bytes(b"no image")
    with refused("data.unreadable_image"):
        api.score(model, [tmp_path / "bad.png"])


def test_a_damaged_image_among_others_is_left_out_with_a_warning(refused, run, tmp_path, monkeypatch):
    model, events = run.model("cpu"), []
    for name in ("a", "c"):
        Image.fromarray(np.random.default_rng(0).integers(0, 255, (8, 8)).astype(np.uint8)).save(
            tmp_path / f"{name}.png"
        )
    (tmp_path / "b.png").write_bytes((tmp_path / "a.png").read_bytes()[:60])
    scored = api.score(model, [tmp_path], on_event=events.append)
    assert [name for name, _ in scored] == [str(tmp_path / name) for name in ("a.png", "c.png")]
    (event,) = events
    assert event.kind == "warning"
    assert event.values == {"file": str(tmp_path / "b.png"), "reason": event.values["reason"]}
    assert event.values["reason"].startswith("truncated or damaged")
    assert event.message == f"left out: {tmp_path / 'b.png'} ({event.values['reason']})"
    with refused("data.some_unreadable"):
        api.score(model, [tmp_path, tmp_path / "b.png"])

    def locked(path: Path) -> bytes:
        if path.name == "a.png":
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return path.read_bytes()

    monkeypatch.setattr("gansmith.inference.score.read_bytes", locked)
    (tmp_path / "c.png").write_bytes(b"")
    with refused("data.none_readable"):
        api.score(model, [tmp_path])


@pytest.mark.slow
def test_the_tables_of_layers_need_no_data_and_no_memory():
    recipe = load_recipe("dcgan", ("base_channels=1024", "max_channels=4096", "size=1024"))
    lines = api.describe_networks(recipe, api.example_spec(recipe))
    assert any(line.startswith("generator: ") for line in lines)
    assert any("3 x 1024 x 1024" in line for line in lines)
    assert isinstance(api.example_spec(recipe), DataSpec)


@pytest.mark.slow
def test_a_run_that_cannot_start_leaves_no_folder(tiny_file, tmp_path, monkeypatch):
    def fail(*_: object) -> None:
        raise RuntimeError

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(api, "start_run", fail)
    with pytest.raises(RuntimeError):
        gansmith.train(tiny_file, recipe="mlp-small", steps=1, progress=False)
    assert list((tmp_path / "runs").iterdir()) == []
