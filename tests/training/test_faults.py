"""A run that is struck at any write operation goes on to the bit; what a user does to its folder is named."""

import json
import os
import shutil
import signal
import time
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest

from gansmith import api
from gansmith.core import clock
from gansmith.core.errors import GansmithWarning, RecipeError, StoppedError, TrainingError
from gansmith.core.plain_files import sha256_of
from gansmith.data.open import open_data
from gansmith.inference.load import load_model
from gansmith.recipes.load import load_recipe
from gansmith.reporting.diagnosis import diagnose
from gansmith.reporting.run_results import total_seconds
from gansmith.runs.checkpoint import list_checkpoints, load_latest
from gansmith.runs.folder import RunFolder
from gansmith.runs.log import read_rows
from gansmith.training import memory, trainer
from gansmith.training.memory import least_mb, naming_what_fits, refuse_too_large
from injection import FAULTS, Injector
from small_runs import MONITORED, PAUSE_AT, assert_same_run, newest, resume, small, train

MOMENTS = (3, 9, 20, 33, 52, 83)  # of the operations of a run of 12 steps

EDITS = {"seed": 5, "data.holdout": 0.1, "length.iterations": 24, "data.spec.count": 95}
NO_ROWS = ["{}", "[]", '{"iteration": "x", "kimg": 1}', '{"iteration": 1, "kimg": 1, "loss_generator": "y"}']


@pytest.fixture
def no_results(monkeypatch):
    monkeypatch.setattr(api, "write_results", lambda *_: None)


@pytest.fixture
def paused(mlp_run, tmp_path, no_results) -> Path:
    return Path(shutil.copytree(mlp_run(PAUSE_AT), tmp_path / "run"))


@pytest.fixture(scope="module")
def whole(mlp_run) -> Path:
    return mlp_run()


def struck(source: Path, out: Path, at: int, fault: str) -> int:
    """Train in a fork with a fault; return its wait status."""
    child = os.fork()
    if child == 0:
        code = 2
        try:
            os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
            Injector(at, fault).install()
            code = 0 if train(source, out, "mlp-small").finished else 3
        finally:
            os._exit(code)
    return os.waitpid(child, 0)[1]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::gansmith.core.errors.GansmithWarning")
@pytest.mark.parametrize("fault", FAULTS)
def test_a_run_struck_anywhere_ends_as_if_it_was_not(fault, tiny_file, tmp_path, whole, no_results):
    """kill and torn leave what a power cut leaves; full, error and term end with a message and a whole checkpoint."""
    ends = set()
    for at in MOMENTS:
        run = tmp_path / str(at)
        ends.add(struck(tiny_file, run, at, fault))
        if not any((folder / "manifest.json").is_file() for folder in list_checkpoints(run / "checkpoints")):
            shutil.rmtree(run, ignore_errors=True)  # before the first checkpoint: started again
            train(tiny_file, run, "mlp-small")
        elif newest(run).values["iteration"] < 12:
            assert load_model(run, "cpu").record.kimg == pytest.approx(newest(run).values["kimg"])
            assert api.resume(run).finished
        assert_same_run(run, whole)
    assert ends != {0}


@pytest.mark.slow
@pytest.mark.parametrize("text", ["", "\0" * 100, "[" * 10_000, "name: {"], ids=["empty", "zeros", "deep", "torn"])
def test_a_recipe_that_a_power_cut_took_is_that_of_the_checkpoint(text, paused, whole, prose):
    (paused / "recipe.yaml").write_text(text)
    said = []
    assert api.resume(paused, on_event=lambda event: said.append(event.message)).finished
    assert_same_run(paused, whole)
    assert any("the recipe of" in each for each in said)
    assert load_recipe(str(paused / "recipe.yaml")).name == "mlp-small"


@pytest.mark.slow
@pytest.mark.parametrize("harm", ["gone", "empty", "null", "old names"])
def test_a_record_that_cannot_be_read_is_that_of_the_checkpoint(harm, paused, whole):
    path = paused / "run.json"
    values = json.loads(path.read_text())
    text = {"empty": "", "null": json.dumps({**values, "length": None}), "old names": json.dumps({"plan": None})}
    path.unlink() if harm == "gone" else path.write_text(text[harm])
    with pytest.warns(GansmithWarning, match="the copy in the newest checkpoint|used"):
        assert load_model(paused, "cpu").kind == "latent"
    with pytest.warns(GansmithWarning):
        assert api.resume(paused).finished
    assert_same_run(paused, whole)
    assert RunFolder(paused).read_record().seed == values["seed"]


@pytest.mark.slow
@pytest.mark.parametrize(("place", "value"), EDITS.items(), ids=EDITS)
def test_a_record_that_was_edited_is_refused_by_name(place, value, paused, refused):
    values = json.loads((paused / "run.json").read_text())
    *above, name = place.split(".")
    part = values
    for each in above:
        part = part[each]
    part[name] = value
    (paused / "run.json").write_text(json.dumps(values))
    with refused("run.changed") as caught:
        api.resume(paused)
    assert f"run.json {place}: " in str(caught.value) or "and " in str(caught.value)


@pytest.mark.slow
@pytest.mark.parametrize("line", NO_ROWS)
def test_a_log_that_was_edited_is_refused_by_name(line, paused, refused):
    log = paused / "log.jsonl"
    log.write_text(line + "\n" + log.read_text())
    with refused("run.changed", [r"'.*'"]):
        api.resume(paused)


@pytest.mark.slow
@pytest.mark.parametrize(("place", "value"), [
    ("recipe", {"name": -1}), ("recipe", {"monitor": {"on_collapse": []}}), ("record", {"changes": 5}),
], ids=str)  # fmt: skip
def test_values_of_a_checkpoint_that_cannot_be_are_refused_by_name(place, value, paused):
    folder = newest(paused).folder
    values = json.loads((folder / "state.json").read_text())
    values[place] |= value
    (folder / "state.json").write_text(json.dumps(values))
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["files"]["state.json"]["sha256"] = sha256_of(folder / "state.json")
    (folder / "manifest.json").write_text(json.dumps(manifest))
    if place == "recipe":
        with pytest.raises(RecipeError, match=r"recipe of .*(name|on_collapse): "):
            api.resume(paused)
    else:
        assert api.resume(paused).finished


@pytest.mark.slow
def test_snapshots_that_cannot_be_read_do_not_keep_a_model_from_use(paused):
    (paused / "snapshots.jsonl").write_text("{}\n")
    with pytest.warns(GansmithWarning, match="used instead"):
        assert load_model(paused, "cpu").record.kimg == pytest.approx(newest(paused).values["kimg"])


@pytest.mark.slow
def test_folders_with_other_names_are_left_alone(paused, whole):
    run = paused
    for name in ("2024 old", "000000001-keep", "0000000001", "12"):
        (run / "checkpoints" / name).mkdir()
    (run / "samples" / "000000010-mine.png").write_text("mine")
    (run / "samples" / "my-ema.png").write_text("mine")
    assert api.resume(run).finished
    for path in (run / "samples").glob("*m[iy]*.png"):
        assert path.read_text() == "mine"
        path.unlink()
    assert len(list(run.glob("checkpoints/*"))) == 4 + len(list_checkpoints(run / "checkpoints"))
    assert_same_run(run, whole)


def during(step: int, do, monkeypatch) -> None:
    """Do something to the folder of a run before one of its steps."""
    count, real = [0], trainer.train_step

    def stepping(*arguments):
        count[0] += 1
        if count[0] == step:
            do()
        return real(*arguments)

    monkeypatch.setattr(trainer, "train_step", stepping)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["samples", "checkpoints", "run.json", "recipe.yaml"])
def test_what_is_removed_while_a_run_trains_is_written_again(name, tiny_file, tmp_path, monkeypatch, no_results):
    def remove() -> None:
        path = tmp_path / "run" / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()

    during(8, remove, monkeypatch)
    assert train(tiny_file, tmp_path / "run", "mlp-small").finished
    assert (tmp_path / "run" / name).exists()
    assert load_model(tmp_path / "run", "cpu").record.kimg == pytest.approx(0.096)


@pytest.mark.slow
@pytest.mark.parametrize("moved", [True, False], ids=["renamed", "removed"])
def test_a_run_folder_that_goes_while_it_trains(moved, tiny_file, tmp_path, whole, monkeypatch, no_results):
    run = tmp_path / "run"
    during(8, lambda: run.rename(tmp_path / "new") if moved else shutil.rmtree(run), monkeypatch)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    with pytest.raises(TrainingError) as caught:
        train(tiny_file, run, "mlp-small")
    assert caught.value.code == "run.folder_gone"
    assert not run.exists()
    (kept,) = tmp_path.glob("gansmith-rescued-*/run")
    assert str(kept) in str(caught.value)
    monkeypatch.undo()
    monkeypatch.setattr(api, "write_results", lambda *_: None)
    assert newest(kept).values["iteration"] == 8
    if moved:
        assert api.resume(tmp_path / "new").finished
        assert_same_run(tmp_path / "new", whole)
    assert api.resume(kept).finished
    assert all((a == b).all() for a, b in zip(*(newest(each).tensors.values() for each in (kept, whole)), strict=True))


@pytest.mark.slow
def test_a_read_only_file_is_named(tiny_file, tmp_path, monkeypatch, no_results):
    def fail(*_: object) -> None:
        raise PermissionError(13, "Permission denied", str(tmp_path / "run" / "log.jsonl"))

    during(3, lambda: monkeypatch.setattr(trainer, "append_row", fail), monkeypatch)
    with pytest.raises(TrainingError) as caught:
        train(tiny_file, tmp_path / "run", "mlp-small")
    assert caught.value.code == "run.cannot_write"
    assert "Permission denied" in str(caught.value)


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGXCPU, signal.SIGTERM])
def test_a_signal_before_the_first_step(number, tiny_file, tmp_path, monkeypatch):
    monkeypatch.setattr(api, "prepare_run", lambda *_, **__: os.kill(os.getpid(), number))
    before = signal.signal(number, signal.SIG_DFL)
    try:
        with pytest.raises(StoppedError, match="nothing is trained yet"):
            train(tiny_file, tmp_path / "run", "mlp-small")
    finally:
        signal.signal(number, before)


@pytest.mark.slow
def test_checkpoints_by_the_clock(tiny_file, tmp_path, monkeypatch, whole, no_results, refused):
    saved = []
    real = trainer.save_checkpoint

    def noted(folder, *rest):
        saved.append(int(folder.name))
        return real(folder, *rest)

    monkeypatch.setattr(trainer, "save_checkpoint", noted)
    run = train(tiny_file, tmp_path / "run", "mlp-small", save_every_minutes=1e-6, stop_at=PAUSE_AT).folder
    assert saved == list(range(PAUSE_AT + 1))
    assert len(list_checkpoints(run / "checkpoints")) == 3  # two of the schedule, and the newest
    assert resume(run).finished
    assert saved == [*range(PAUSE_AT + 1), *range(PAUSE_AT + 1, 13)]
    assert_same_run(run, whole)
    with refused("run.save_interval"):
        train(tiny_file, tmp_path / "other", "mlp-small", save_every_minutes=0)


JUMPS = (0, 3e7, -3e7, 5, -5, 1e9, -1e9)  # seconds; a year is 3e7


def jumping(monkeypatch) -> None:
    """Make the clock of the day jump at each look, to and fro."""
    count, now = iter(range(10**9)), time.time

    class Jumping(datetime):
        @classmethod
        def now(cls, tz=None):
            return datetime.fromtimestamp(time.time(), tz)

    monkeypatch.setattr(time, "time", lambda: now() + JUMPS[next(count) % len(JUMPS)])
    monkeypatch.setattr(clock, "wall", time.time)
    monkeypatch.setattr("gansmith.training.run.datetime", Jumping)


@pytest.mark.slow
def test_a_clock_that_jumps_changes_nothing(tiny_file, tmp_path, monkeypatch, whole, no_results):
    jumping(monkeypatch)
    run = train(tiny_file, tmp_path / "run", "mlp-small", save_every_minutes=1e5, stop_at=PAUSE_AT).folder
    assert resume(run).finished
    assert_same_run(run, whole)
    numbers = [row for row in read_rows(run / "timing.jsonl") if "event" not in row]
    assert len(numbers) == 3
    assert all(0 <= row["wall_sec"] < 600 and 0 <= row["eta_sec"] < 600 for row in numbers)
    assert total_seconds(numbers) < 600
    assert diagnose(run).to_json()


@pytest.mark.slow
@pytest.mark.parametrize("length", [{"minutes": 0.01}, {"until": "00:00"}])
def test_a_time_limit_with_a_clock_that_jumps(length, tiny_file, tmp_path, monkeypatch, no_results):
    jumping(monkeypatch)
    stop = None if "minutes" in length else 30
    run = train(tiny_file, tmp_path / "run", "mlp-small", steps=None, stop_at=stop, **length)
    assert run.finished or run.stopped_by == signal.SIGINT
    last = newest(run.folder).values
    assert 0 < last["iteration"] <= RunFolder(run.folder).record.length.iterations
    assert 0 <= last["used_sec"] < 600


@pytest.mark.slow
def test_an_extractor_that_does_not_fit_is_refused_before_anything_is_written(tiny_file, tmp_path, refused):
    for name in ("fashion", "nothing"):
        with refused("recipe.unfit_extractor"):
            train(tiny_file, tmp_path / "run", "mlp-small", f"monitor.features={name}", "monitor.snapshot_kimg=0.05")
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_snapshots_take_an_extractor_that_fits(tmp_path, no_results):
    """Gray images like those of Fashion-MNIST, but of another size than its extractor takes."""
    images = np.random.default_rng(0).integers(0, 256, (120, 28, 28, 1), np.uint8)
    np.savez(tmp_path / "gray.npz", images=images)
    overrides = [*small("mlp-small"), *MONITORED, "size=16", "previews=1", "log_rows=1"]
    run = train(tmp_path / "gray.npz", tmp_path / "run", "mlp-small", overrides=overrides)
    assert run.finished
    assert all("fd100_untrained_train" in row or "fd100_own_train" in row for row in run.snapshots), run.snapshots
    assert run.snapshots


@pytest.mark.slow
@pytest.mark.parametrize("override", ["hidden=[4096,4096]", "batch_size=65536"])
def test_a_recipe_that_cannot_fit_is_refused_with_one_that_does(override, tiny_file, tmp_path, monkeypatch):
    monkeypatch.setattr(memory, "installed_memory_mb", lambda _: 700)
    overrides = [*small("mlp-small"), "hidden=[512]", override]
    with pytest.raises(RecipeError) as caught:
        train(tiny_file, tmp_path / "run", "mlp-small", overrides=overrides)
    assert caught.value.code == "recipe.too_large_for_memory"
    assert not (tmp_path / "run").exists()
    words = str(caught.value).split("nearest that fits: ")[1].split(" (")[0].split()
    fitting = load_recipe("mlp-small", (*overrides, *words))
    assert least_mb(fitting, open_data(tiny_file, fitting.data).spec, fitting.batch_size) < 700


@pytest.mark.slow
def test_memory_that_runs_out_names_the_batch_that_fits(tiny_file, tmp_path, monkeypatch, no_results, refused):
    real = trainer.train_step

    def needs_too_much(state, *rest):
        if state.recipe.batch_size > 4:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 1 bytes.")
        return real(state, *rest)

    monkeypatch.setattr(trainer, "train_step", needs_too_much)
    monkeypatch.setattr(memory, "train_step", needs_too_much)
    with refused("training.out_of_memory", [r"\(.* MB in all\)", r"resume .*"]) as caught:
        train(tiny_file, tmp_path / "run", "mlp-small")
    assert "batch_size=4 fits" in str(caught.value)
    assert load_latest(tmp_path / "run" / "checkpoints")[0].values["iteration"] == 0


def test_other_errors_are_not_of_memory(tiny_file):
    data = open_data(tiny_file)
    recipe = load_recipe("mlp-small", tuple(small("mlp-small")))
    runtime = api.start_runtime("cpu")
    refuse_too_large(recipe, data.spec, runtime)
    with pytest.raises(RuntimeError, match="shapes"), naming_what_fits(recipe, data, runtime):
        raise RuntimeError("shapes differ")
    assert np.isfinite(least_mb(recipe, data.spec, 8))
