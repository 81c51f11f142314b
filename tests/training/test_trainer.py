"""The loop around the step: what is not finite, a full disk, budgets, what is trained on, and what a run leaves."""

import errno
import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from gansmith import api
from gansmith.core import clock as core_clock
from gansmith.core.errors import DiskFullError, TrainingError
from gansmith.core.noise import Noise
from gansmith.core.runtime import start_runtime
from gansmith.data.batches import BatchStream
from gansmith.data.open import open_data
from gansmith.imaging.images import make_grid
from gansmith.imaging.tensors import to_uint8
from gansmith.inference.load import load_model
from gansmith.methods.adversarial import USUAL_P
from gansmith.parts.losses.non_saturating import NonSaturating
from gansmith.parts.penalties.r1 import R1
from gansmith.recipes.load import load_recipe
from gansmith.runs.checkpoint import load_checkpoint
from gansmith.runs.folder import RunFolder
from gansmith.runs.options import RunOptions
from gansmith.training import clock as speed
from gansmith.training import prepare
from gansmith.training import trainer as training
from gansmith.training.state import RunState
from small_runs import (
    RHYTHM,
    STEPS,
    Listener,
    assert_same_run,
    differing,
    newest,
    resume,
    small,
    source_for,
    train,
    with_results,
)

NAN = float("nan")


@pytest.fixture
def no_results(monkeypatch):
    monkeypatch.setattr(api, "write_results", lambda *_: None)


@pytest.fixture
def around_steps(monkeypatch):
    """Return a function that has others called before and after every step of runs to come."""

    def install(
        before: Callable[[RunState], None] = lambda _: None, after: Callable[[RunState], None] = lambda _: None
    ) -> None:
        step = training.train_step

        def watched(state, stream, runtime, moment):
            before(state)
            step(state, stream, runtime, moment)
            after(state)

        monkeypatch.setattr(training, "train_step", watched)

    return install


@pytest.fixture
def poison(monkeypatch, around_steps):
    """Return a function that makes D's loss NaN in the steps (iteration, salt) of which another says so."""

    def install(when: Callable[[int, int], bool]) -> None:
        now, loss = [0, 0], NonSaturating.discriminator

        def note(state: RunState) -> None:
            now[:] = [state.iteration, state.salt]

        def poisoned(self, real_logits, fake_logits):
            total = loss(self, real_logits, fake_logits)
            return total * NAN if when(*now) else total

        around_steps(before=note)
        monkeypatch.setattr(NonSaturating, "discriminator", poisoned)

    return install


def events_of(run: api.Run) -> list[tuple[str, int]]:
    return [(row["event"], row["iteration"]) for row in run.events]


def iterations_of(run: api.Run) -> list[int]:
    return [row["iteration"] for row in run.log]


def is_finite(folder: Path) -> bool:
    kept = {name: tensor for name, tensor in newest(folder).tensors.items() if not name.startswith("meter/")}
    return all(tensor.isfinite().all() for tensor in kept.values())


@pytest.mark.slow
@pytest.mark.parametrize("optimizer", ["adam", "adamw", "rmsprop", "sgd, momentum: 0.9"])
def test_a_step_that_is_not_finite_is_skipped_and_reported(
    optimizer, tiny_file, tmp_path, poison, around_steps, no_results
):
    poison(lambda iteration, salt: iteration in (2, 3))
    seen: dict[tuple[str, int], dict[str, torch.Tensor]] = {}

    def photograph(when: str) -> Callable[[RunState], None]:
        def take(state: RunState) -> None:
            tensors = state.tensors(training.Runtime(torch.device("cpu")))
            kept = {name: tensor.clone() for name, tensor in tensors.items() if name.startswith(("net", "opt"))}
            seen[when, state.iteration] = kept

        return take

    around_steps(photograph("before"), photograph("after"))
    run = train(tiny_file, tmp_path / "run", "mlp-small", f"optimizers.default={{kind: {optimizer}}}")
    assert run.finished
    for iteration in range(1, STEPS):
        changed = {name.split(".")[0] for name in differing(seen["before", iteration], seen["after", iteration + 1])}
        sides = {"generator"} if iteration in (2, 3) else {"generator", "discriminator"}
        assert changed == {f"{family}/{side}" for family in ("networks", "optimizers") for side in sides}
    first, *others = run.log
    assert first["skipped"] == 0.25  # 2 of 8
    assert first["loss_discriminator"] is None
    assert first["grad_norm_discriminator"] is None
    assert first["loss_generator"] > 0
    assert all(row["skipped"] == 0 and row["loss_discriminator"] > 0 for row in others)
    (event,) = run.events
    assert (event["event"], event["iteration"]) == ("skipped", 4)
    columns = "loss_discriminator, grad_norm_discriminator"
    assert event["message"] == f"2 steps in a row were skipped: their gradients were not finite ({columns})"
    assert is_finite(run.folder)


@pytest.mark.slow
def test_eight_bad_steps_in_a_row_are_skipped_and_nine_roll_back(tiny_file, tmp_path, poison, no_results):
    last = {"borne": 9, "not": 10}
    at = "borne"
    poison(lambda iteration, salt: salt == 0 and 2 <= iteration <= last[at])
    assert newest(train(tiny_file, tmp_path / at, "mlp-small").folder).values["salt"] == 0
    at = "not"
    assert newest(train(tiny_file, tmp_path / at, "mlp-small").folder).values["salt"] == 1


ROLLED_BACK = (
    "checkpoints=4",
    "previews=8",
)  # of 24 steps: rows after 8, 16, 24; checkpoints 6, 12, 18; pictures 3, 6..


@pytest.mark.slow
def test_too_many_bad_steps_roll_back_to_the_last_checkpoint_with_other_draws(
    tiny_file, tmp_path, poison, around_steps, monkeypatch, no_results
):
    stepped: list[tuple[int, int]] = []
    shown, drawn, read, normal = {}, {}, BatchStream.read, Noise.normal

    def note(state: RunState) -> None:
        stepped.append((state.iteration, state.salt))

    def noted_read(self, draw):
        batch = read(self, draw)
        shown[stepped[-1]] = batch.images.numpy().tobytes()
        return batch

    def noted_normal(self, *arguments):
        drawn[stepped[-1]] = normal(self, *arguments).numpy().tobytes()
        return normal(self, *arguments)

    monkeypatch.setattr(BatchStream, "read", noted_read)
    monkeypatch.setattr(Noise, "normal", noted_normal)
    around_steps(before=note)
    poison(lambda iteration, salt: salt == 0 and iteration >= 7)
    events = Listener()
    run = train(tiny_file, tmp_path / "run", "mlp-small", *ROLLED_BACK, steps=24, on_event=events)
    assert run.finished
    at = stepped.index((12, 1))  # the row of 16 tells of 9 bad steps; the checkpoint before it is of 12
    assert stepped[:at] == [(iteration, 0) for iteration in range(16)]
    assert stepped[at:] == [(iteration, 1) for iteration in range(12, 24)]
    assert ("rollback", 12) in events_of(run)
    assert iterations_of(run) == [8, 16, 24]
    columns = "loss_discriminator, grad_norm_discriminator"
    message = f"not finite at 0.1 kimg: {columns}; back to 0.1 kimg with other random draws (rollback 1 of 3)"
    assert message in events.said("warning")
    assert is_finite(run.folder)
    assert newest(run.folder).values["salt"] == 1
    assert run.log[-1]["loss_discriminator"] > 0
    assert len(list((run.folder / "samples").glob("*-ema.png"))) == 9
    assert shown[12, 1] != shown[12, 0]  # other images, and other noise
    assert drawn[12, 1] != drawn[12, 0]


@pytest.mark.slow
@pytest.mark.parametrize("stop_at", [3, 9, 15, 18])
def test_a_pause_around_a_rollback_changes_nothing(stop_at, tiny_file, tmp_path, poison, no_results):
    poison(lambda iteration, salt: salt == 0 and 5 <= iteration < 20)
    whole = train(tiny_file, tmp_path / "whole", "mlp-small", *ROLLED_BACK, steps=24)
    assert newest(whole.folder).values["salt"] == 1
    run = train(tiny_file, tmp_path / "run", "mlp-small", *ROLLED_BACK, steps=24, stop_at=stop_at)
    assert not run.finished
    assert api.resume(run.folder).finished
    assert_same_run(whole.folder, run.folder)


@pytest.mark.slow
@pytest.mark.parametrize("stop_at", [9, 15])
def test_a_pause_while_weights_are_not_finite_changes_nothing(stop_at, tiny_file, tmp_path, around_steps, no_results):
    def spoil(state: RunState) -> None:
        if state.iteration == 13 and state.salt == 0:
            next(state.method.networks["generator"].parameters()).data[0] = NAN

    around_steps(after=spoil)
    rhythm = ("checkpoints=4", "log_rows=1")  # of 48 steps: the checkpoint of 24 finds it
    whole = train(tiny_file, tmp_path / "whole", "mlp-small", *rhythm, steps=48)
    assert whole.events[0]["message"].startswith("not finite at 0.2 kimg: generator.")
    run = train(tiny_file, tmp_path / "run", "mlp-small", *rhythm, steps=48, stop_at=stop_at)
    assert not run.finished
    events = Listener()
    assert not resume(run.folder, stop_at=16, on_event=events).finished
    assert events.said("warning") == ["not finite at 0.1 kimg: not saved; the last checkpoint stays as it is"]
    assert events.said("stopped") == [f"SIGINT: saved at 0.1 kimg; continue with: gansmith resume {run.folder}"]
    assert newest(run.folder).values["iteration"] == 12
    assert api.resume(run.folder).finished
    assert_same_run(whole.folder, run.folder)


@pytest.mark.slow
def test_bad_steps_counted_before_a_checkpoint_are_not_held_against_the_new_draws(
    tiny_file, tmp_path, poison, no_results
):
    poison(lambda iteration, salt: salt == 0 and iteration >= 6)
    # of 40 steps: rows after 10, 20, ..; checkpoints 8, 16, ..: that of 16 has counted 10 bad steps, of which
    # the row of 20 tells
    run = train(tiny_file, tmp_path / "run", "mlp-small", "log_rows=4", "checkpoints=5", steps=40)
    assert run.finished
    assert newest(run.folder).values["salt"] == 1


# of 40 steps: every 13, or every 8, which is between what spoils it and the row that finds it
@pytest.mark.slow
@pytest.mark.parametrize("checkpoints", [3, 5])
def test_a_batch_statistic_alone_that_is_not_finite_rolls_back(
    checkpoints, tiny_file, tmp_path, around_steps, no_results
):
    def spoil(state: RunState) -> None:
        if state.iteration == 15 and state.salt == 0:
            buffers = dict(state.method.networks["generator"].named_buffers())
            next(buffer for name, buffer in buffers.items() if "running_var" in name)[0] = NAN

    around_steps(after=spoil)
    rhythm = ("log_rows=4", f"checkpoints={checkpoints}")
    run = train(tiny_file, tmp_path / "run", "dcgan", *rhythm, steps=40)
    assert run.finished
    assert newest(run.folder).values["salt"] == 1
    assert [name for name, _ in events_of(run)] == ["rollback"]
    assert is_finite(run.folder)


def _spoil_weight(state: RunState) -> None:
    next(state.method.networks["discriminator"].parameters()).data[0] = NAN


def _nan_batch(read):
    def spoiled(self, draw):
        batch = read(self, draw)
        return batch if draw < 12 else replace(batch, images=batch.images * NAN)

    return spoiled


PLACES = {
    "loss of D": ("loss_discriminator",), "loss of G": ("loss_generator",), "penalty": ("penalty_r1",),
    "weight": ("discriminator.", "loss_discriminator"), "batch": ("loss_discriminator",),
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize(("place", "named"), PLACES.items(), ids=PLACES)
def test_the_place_of_a_number_that_is_not_finite_is_named(
    place, named, tiny_file, tmp_path, monkeypatch, around_steps, no_results
):
    if place == "weight":
        around_steps(after=lambda state: _spoil_weight(state) if state.iteration >= 6 else None)
    elif place == "batch":
        monkeypatch.setattr(BatchStream, "read", _nan_batch(BatchStream.read))
    else:
        now, owner = [0], R1 if place == "penalty" else NonSaturating
        name = {"loss of D": "discriminator", "loss of G": "generator", "penalty": "__call__"}[place]
        real = getattr(owner, name)
        around_steps(before=lambda state: now.__setitem__(0, state.iteration))
        spoiled = lambda *each, **more: real(*each, **more) * (NAN if now[0] >= 6 else 1)  # noqa: E731
        monkeypatch.setattr(owner, name, spoiled)
    penalty = ("penalties=[{kind: r1, weight: 1}]",) if place == "penalty" else ()
    with pytest.raises(TrainingError) as caught:
        train(tiny_file, tmp_path / "run", "mlp-small", "checkpoints=24", "log_rows=24", *penalty, steps=96)
    assert caught.value.code == "training.diverged"
    assert all(each in str(caught.value).partition("\n")[0] for each in named), str(caught.value)
    assert is_finite(tmp_path / "run")


@pytest.mark.slow
def test_a_run_that_stays_not_finite_ends_with_an_error(tiny_file, tmp_path, poison, no_results):
    poison(lambda iteration, salt: iteration >= 6)
    folder = tmp_path / "run"
    with pytest.raises(TrainingError) as caught:
        train(tiny_file, folder, "mlp-small", "checkpoints=24", "log_rows=24", steps=144)
    first, second = str(caught.value).split("\n")
    assert re.fullmatch(r"training stopped at [01]\.\d kimg: .* not finite even after 3 rollbacks", first)
    assert "loss_discriminator" in first
    assert second == f"  the last good checkpoint is in {folder / 'checkpoints'}; try a lower lr, for example lr=1e-4"
    assert [name for name, _ in events_of(api.Run(folder, False))].count("rollback") >= 1
    assert is_finite(folder)
    RunFolder(folder).lock()  # and it is free


@pytest.mark.parametrize("steps", [1, 4, 12])
def test_a_short_run_whose_steps_are_all_skipped_ends_with_an_error(steps, tiny_file, tmp_path, poison, no_results):
    poison(lambda iteration, salt: True)
    with pytest.raises(TrainingError, match="loss_discriminator") as caught:
        train(tiny_file, tmp_path / "run", "mlp-small", "checkpoints=4", steps=steps)
    assert caught.value.code == "training.diverged"


def test_a_short_run_whose_steps_are_all_skipped_tries_other_draws_first(tiny_file, tmp_path, poison, no_results):
    poison(lambda iteration, salt: salt == 0)
    run = train(tiny_file, tmp_path / "run", "mlp-small", "checkpoints=2", steps=4)
    assert run.finished
    assert ("rollback", 0) in events_of(run) or ("rollback", 2) in events_of(run)


@pytest.fixture
def full_disk(monkeypatch):
    """Return a function that lets checkpoints of some iterations fail for want of room."""

    def install(iterations: set[int]) -> None:
        save = training.save_checkpoint

        def failing(folder, tensors, values):
            if values["iteration"] in iterations:
                raise DiskFullError(
                    "disk.full", f"the disk is too full for the checkpoint {folder}: 9 bytes are needed, 8 are free"
                )
            return save(folder, tensors, values)

        monkeypatch.setattr(training, "save_checkpoint", failing)

    return install


@pytest.mark.slow
def test_a_checkpoint_that_does_not_fit_is_reported_and_training_continues(tiny_file, tmp_path, full_disk, no_results):
    whole = train(tiny_file, tmp_path / "whole", "mlp-small", "checkpoints=6")
    full_disk({2, 4, 8, 10})  # never three in a row
    events = Listener()
    run = train(tiny_file, tmp_path / "run", "mlp-small", "checkpoints=6", on_event=events)
    assert run.finished
    assert len(events.said("warning")) == 4
    assert "000000002: 9 bytes are needed, 8 are free" in events.said("warning")[0]
    assert_same_run(whole.folder, run.folder)


@pytest.mark.slow
def test_the_third_checkpoint_in_a_row_that_does_not_fit_ends_the_run_which_can_be_resumed(
    tiny_file, tmp_path, full_disk, monkeypatch, no_results, refused
):
    whole = train(tiny_file, tmp_path / "whole", "mlp-small", "checkpoints=6")
    save = training.save_checkpoint
    full_disk({4, 6, 8})
    with refused("disk.full"):
        train(tiny_file, tmp_path / "run", "mlp-small", "checkpoints=6")
    assert newest(tmp_path / "run").values["iteration"] == 2
    monkeypatch.setattr(training, "save_checkpoint", save)
    assert api.resume(tmp_path / "run").finished
    assert_same_run(whole.folder, tmp_path / "run")


@pytest.mark.slow
def test_no_room_at_a_stop_or_at_the_start_is_an_error(tiny_file, tmp_path, full_disk, no_results):
    full_disk({0, 9})
    with pytest.raises(DiskFullError):
        train(tiny_file, tmp_path / "start", "mlp-small")
    full_disk({9})
    training_run = tmp_path / "stop"
    with pytest.raises(DiskFullError):
        train(tiny_file, training_run, "mlp-small", stop_at=9)


@pytest.mark.slow
@pytest.mark.parametrize("writer", ["append_row", "picture"])
def test_no_room_for_a_log_or_a_picture_is_an_error_without_a_traceback(
    writer, tiny_file, tmp_path, monkeypatch, no_results, refused
):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device", str(tmp_path / "run"))

    if writer == "append_row":
        monkeypatch.setattr(training, "append_row", full)
    else:
        monkeypatch.setattr(Image.Image, "save", full)
    with refused("disk.full", hiding=[r"[\d,]+(?= bytes)"]):
        train(tiny_file, tmp_path / "run", "mlp-small")


@pytest.mark.slow
def test_kimg_counts_every_real_image_that_d_is_shown(tiny_file, tmp_path, monkeypatch, no_results):
    shown, read = [], BatchStream.read

    def counted(self, draw):
        batch = read(self, draw)
        shown.append(len(batch.images))
        return batch

    monkeypatch.setattr(BatchStream, "read", counted)
    run = train(tiny_file, tmp_path / "run", "mlp-small", "discriminator_steps=3", kimg=0.24, steps=None)
    assert sum(shown) == 240
    assert [row["kimg"] for row in run.log][-1] == 0.24
    assert [row["epoch"] for row in run.log][-1] == 2.5
    assert newest(run.folder).values["iteration"] == 10


@pytest.mark.slow
@pytest.mark.parametrize(("budget", "iterations"), [
    ({"steps": 7}, 7), ({"kimg": 0.1}, 13), ({"kimg": 0.008}, 1), ({"epochs": 0.5}, 6), ({"epochs": 1}, 12),
])  # fmt: skip
def test_a_budget_ends_exactly(budget, iterations, tiny_file, tmp_path, no_results):
    run = train(tiny_file, tmp_path / "run", "mlp-small", **{"steps": None, **budget})
    assert run.finished
    assert newest(run.folder).values["iteration"] == iterations == iterations_of(run)[-1]
    plan = RunFolder(run.folder).record.length
    assert plan.iterations == iterations
    assert plan.schedule_kimg == pytest.approx(iterations * 8 / 1000)


@pytest.mark.slow
@pytest.mark.parametrize("recipe", ["dcgan", "unpaired"])
def test_speed_is_measured_with_the_augmentation_at_work(recipe, tiny_file, monkeypatch):
    """At its first step p is 0 and costs nothing, which would promise too many images."""
    seen = []

    def step(state, *_):
        seen.append({name: p.item() for name, p in state.method.state.items() if name.startswith("augment_p")})
        state.iteration += 1

    monkeypatch.setattr(prepare, "train_step", step)
    made = load_recipe(recipe, small(recipe, "augment=ada"))
    found = prepare.prepare(made, RunOptions(source_for(recipe, tiny_file)), start_runtime("cpu"), lambda _: None)
    prepare.measure_speed(found.recipe, found.data, start_runtime("cpu"), 0.01)
    assert seen[0].keys() == ({"augment_p"} if recipe == "dcgan" else {"augment_p_a", "augment_p_b"})
    assert [p for each in seen for p in each.values()] == pytest.approx([USUAL_P] * len(seen) * len(seen[0]))


def at_start(folder: Path) -> dict[str, torch.Tensor]:
    return load_checkpoint(folder / "checkpoints/000000000").tensors


def part(tensors: dict[str, torch.Tensor], head: str) -> dict[str, torch.Tensor]:
    return {name.removeprefix(head): tensor for name, tensor in tensors.items() if name.startswith(head)}


@pytest.fixture(scope="module")
def finished(tiny_file_of_module, tmp_path_factory, session_cache) -> Path:
    """A whole run of dcgan with its results; nobody may change it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GANSMITH_CACHE", str(session_cache))
        folder = tmp_path_factory.mktemp("finished") / "run"
        with with_results():
            assert train(tiny_file_of_module, folder, "dcgan", "conditional=true", "fixed_images=24").finished
    return folder


@pytest.fixture(scope="module")
def tiny_file_of_module(tiny_file) -> Path:
    return tiny_file


@pytest.mark.slow
def test_init_from_takes_the_weights_and_nothing_else(tiny_file, finished, tmp_path, no_results):
    words = ("conditional=true",)
    run = train(tiny_file, tmp_path / "run", "dcgan", *words, init_from=finished, stop_at=1, seed=5)
    first, source = at_start(run.folder), newest(finished).tensors
    for family in ("networks/", "averages/"):
        assert differing(part(first, family), part(source, family)) == []
    assert not part(first, "optimizers/")
    assert part(source, "optimizers/")
    assert load_checkpoint(run.folder / "checkpoints/000000000").values["seed"] == 5
    assert RunFolder(run.folder).record.init_from == str(finished)


@pytest.mark.slow
def test_init_from_one_file_takes_that_network(tiny_file, finished, tmp_path, no_results):
    file = finished / "model/generator.safetensors"
    run = train(tiny_file, tmp_path / "run", "dcgan", "conditional=true", init_from=file, stop_at=1)
    plain = train(tiny_file, tmp_path / "plain", "dcgan", "conditional=true", stop_at=1)
    first, source = at_start(run.folder), newest(finished).tensors
    assert differing(part(first, "networks/generator."), part(source, "averages/generator.")) == []
    assert differing(part(first, "averages/generator."), part(source, "averages/generator.")) == []
    names = ("networks/discriminator.",)
    assert all(differing(part(first, name), part(at_start(plain.folder), name)) == [] for name in names)


@pytest.mark.slow
def test_init_from_weights_that_do_not_fit_is_an_error(refused, tiny_file, finished, tmp_path):
    with refused("model.initial_weights_unfit"):
        train(tiny_file, tmp_path / "run", "mlp-small", init_from=finished)
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_the_holdout_is_recorded_and_never_trained_on(tiny_file, tmp_path, monkeypatch, no_results):
    shown, read = set(), BatchStream.read

    def seen(self, draw):
        batch = read(self, draw)
        shown.update(image.tobytes() for image in to_uint8(batch.images))
        return batch

    monkeypatch.setattr(BatchStream, "read", seen)
    run = train(tiny_file, tmp_path / "run", "mlp-small", holdout=0.25, stop_at=6)
    assert api.resume(run.folder).finished
    record = RunFolder(run.folder).record.data
    assert (record.holdout, record.spec.held_out, record.spec.count) == (0.25, 24, 72)
    data = open_data(tiny_file, holdout=0.25, seed=3)
    kept = {image.tobytes() for image in data.held_out.read(range(24))}
    assert len(kept) == 24
    assert shown == {image.tobytes() for image in data.read(range(72))}  # 96 draws show each of 72
    assert not shown & kept
    assert run.log[-1]["epoch"] == pytest.approx(96 / 72, abs=1e-4)


@pytest.mark.slow
def test_bad_files_are_listed_in_the_run(tmp_path, no_results):
    images = tmp_path / "images"
    images.mkdir()
    for number in range(24):
        Image.fromarray(np.random.default_rng(number).integers(0, 255, (8, 8), np.uint8)).save(images / f"{number}.png")
    data = (images / "7.png").read_bytes()
    (images / "bad.png").write_bytes(data[: len(data) // 2])
    run = train(images, tmp_path / "run", "mlp-small", steps=1)
    (entry,) = [json.loads(line) for line in (run.folder / "quarantine.jsonl").read_text().splitlines()]
    assert entry["file"].endswith("bad.png")
    assert entry["reason"]
    assert RunFolder(run.folder).record.data.spec.count == 24


@pytest.mark.slow
def test_a_finished_run_leaves_its_results(finished):
    starts = {
        "model/generator.safetensors": b"",
        "model/generator-raw.safetensors": b"",
        "model/discriminator.safetensors": b"",
        "model/model.json": b"{",
        "model/README.md": b"---",
        "model/preview.png": b"\x89PNG",
        "curves.png": b"\x89PNG",
        "film.gif": b"GIF8",
        "film.mp4": b"\0\0\0",
        "report.html": b"<!",
        "log.jsonl": b"{",
        "timing.jsonl": b"{",
        "recipe.yaml": b"name: dcgan",
        "samples/real.png": b"\x89PNG",
        "samples/000000000-ema.png": b"\x89PNG",
        "samples/000000012-raw.png": b"\x89PNG",
    }
    for name, head in starts.items():
        data = (finished / name).read_bytes()
        assert data.startswith(head), name
        assert len(data) > 100, name
    assert not list(finished.rglob("*.tmp"))
    assert {path.name for path in (finished / "checkpoints").iterdir()} == {"000000006", "000000012"}
    assert (finished / "model/preview.png").read_bytes() == (finished / "samples/000000012-ema.png").read_bytes()
    assert re.search(
        r"Parameters: generator [\d,]+, discriminator [\d,]+\.\n", (finished / "model/README.md").read_text()
    )


@pytest.mark.parametrize(("which", "raw"), [("ema", False), ("raw", True)])
@pytest.mark.parametrize("count", [24, 31])
def test_the_followed_grid_is_what_sampling_makes(which, raw, count, finished):
    with Image.open(finished / f"samples/000000012-{which}.png") as image:
        followed = np.asarray(image)
    samples = load_model(finished, "cpu").sample(count, seed=3, raw=raw)
    assert samples.labels[:24].tolist() == [0] * 8 + [1] * 8 + [2] * 8
    again = make_grid(samples.images[:24], 8)
    np.testing.assert_array_equal(again.reshape(followed.shape), followed)
    assert len(np.unique(samples.images.reshape(count, -1), axis=0)) == count
    first = finished / f"samples/000000000-{which}.png"
    assert first.read_bytes() != (finished / f"samples/000000012-{which}.png").read_bytes()


@pytest.mark.slow
def test_run_folder_model_folder_and_single_file_make_the_same_images(finished):
    places = [finished, finished / "model", finished / "model/generator.safetensors"]
    made = [load_model(place, "cpu").sample(20, seed=9, truncation=1.5).images for place in places]
    made.append(api.load(finished, "cpu").sample(64, seed=9, truncation=1.5).images[:20])
    for other in made[1:]:
        np.testing.assert_array_equal(made[0], other)
    raws = [finished, finished / "model"]
    one, two = (load_model(place, "cpu").sample(9, seed=1, raw=True).images for place in raws)
    np.testing.assert_array_equal(one, two)
    assert not np.array_equal(one, load_model(finished, "cpu").sample(9, seed=1).images)


@pytest.mark.slow
def test_rows_say_where_training_is(tiny_file, tmp_path, no_results):
    events = Listener()
    run = train(tiny_file, tmp_path / "run", "mlp-small", on_event=events)
    assert iterations_of(run) == [4, 8, 12]
    columns = {"iteration", "kimg", "epoch", "loss_discriminator", "loss_generator", "d_real", "d_fake", "skipped"}
    columns |= {"d_fake_after", "accuracy_real", "accuracy_fake", "grad_norm_discriminator", "grad_norm_generator"}
    columns |= {"update_discriminator", "update_generator"}
    assert all(set(row) == columns for row in run.log)
    rows = [event.values for event in events.events if event.kind == "row"]
    assert all({"img_per_sec", "eta_sec", "memory_mb", "wall_sec"} <= row.keys() for row in rows)
    assert [event.values["iteration"] for event in events.events if event.kind == "preview"] == [0, 3, 6, 9, 12]


@pytest.mark.slow
@pytest.mark.parametrize(("loss", "has_accuracy"), [
    ("hinge", True), ("least_squares", True), ("wasserstein", False), ("relativistic", False),
])  # fmt: skip
def test_accuracy_is_logged_where_scores_have_a_boundary(loss, has_accuracy, tiny_file, tmp_path, no_results):
    (row, *_) = train(tiny_file, tmp_path / "run", "mlp-small", f"loss={loss}", steps=4).log
    assert ("accuracy_real" in row, "accuracy_fake" in row) == (has_accuracy, has_accuracy)


def test_overrides_of_small_runs_are_known_to_every_recipe():
    assert set(small("mlp-small")) >= {"size=8", "batch_size=8", "hidden=[16]"}
    assert set(small("dcgan", *RHYTHM)) >= {"size=8", "base_channels=4", *RHYTHM}


def test_a_run_whose_cores_others_take_says_so_once(tiny_file, tmp_path, monkeypatch, no_results, prose):
    monkeypatch.setattr(core_clock, "cores", lambda: 2)
    monkeypatch.setattr(core_clock.Load, "others", lambda _: 1.0)
    monkeypatch.setattr(speed, "CROWD_SEC", 0.0)
    monkeypatch.setattr(speed, "PROGRESS_SEC", 0.0)
    for module in (speed, training):
        monkeypatch.setattr(module, "threads", lambda: 2)
    events = Listener()
    run = train(tiny_file, tmp_path / "run", "mlp-small", on_event=events)
    (said,) = [text for text in events.said("warning") if "wait for each other" in text]
    assert f"OMP_NUM_THREADS=1 gansmith resume {run.folder} --accept-changes" in said
    prose("threads that wait for each other", said.replace(str(tmp_path), "FOLDER"))


@pytest.mark.parametrize(("threads", "others"), [(1, 1.0), (2, 0.2)])
def test_a_run_that_has_the_cores_it_needs_says_nothing(monkeypatch, threads, others):
    monkeypatch.setattr(core_clock, "cores", lambda: 2)
    monkeypatch.setattr(core_clock.Load, "others", lambda _: others)
    monkeypatch.setattr(speed, "CROWD_SEC", 0.0)
    monkeypatch.setattr(speed, "threads", lambda: threads)
    assert speed.Clock(0.0).crowd(start_runtime("cpu", "fp32")) == 0.0
