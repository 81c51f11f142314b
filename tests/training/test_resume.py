"""A run that was stopped and resumed is the run that was never stopped, to the bit; what cannot be is refused."""

import json
import multiprocessing
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest
import torch
from PIL import Image

from forked import Forked
from gansmith import api
from gansmith.core.errors import CheckpointError
from gansmith.reporting.tracking import Tracking
from gansmith.runs.checkpoint import MANIFEST, TENSORS, VALUES
from gansmith.runs.folder import RunFolder
from gansmith.runs.log import read_rows
from gansmith.training import trainer as training
from small_runs import (
    PAUSE_AT,
    RHYTHM,
    STEPS,
    Listener,
    assert_same_run,
    distinct_recipes,
    newest,
    resume,
    small,
    train,
)

PATIENCE_SEC = 600  # for what takes a second, on a machine that does much else
LAZY_R1 = "penalties=[{kind: r1, weight: 1, interval: 4}]"
TOY = """
name: {name}
method: {{kind: again_{name}, discriminator: {{kind: dcgan, base_channels: 4, norm: none}}{more}}}
optimizers: {{default: {{kind: adam, lr: {{start: 2.0e-3, end: 1.0e-3}}}}}}
batch_size: 8
epochs: 1
data: {{size: 8, mirror: true}}
"""
TOYS = {
    "paired": ", penalties: [{kind: r1, weight: {start: 5, end: 1}, interval: 2}]",
    "two_discriminators": ", generator: {kind: dcgan, base_channels: 4}",
}
ADA = "augment={kind: ada, adapt_kimg: 0.2, interval: 2, target: 0}"  # p moves by 0.08 at a time
VARIANTS = {
    **{name: (name, ()) for name in distinct_recipes()},
    "lazy_r1": ("dcgan", ("discriminator.norm=none", LAZY_R1)),
    "wgan": ("mlp-small", ("loss=wasserstein", "constraints=[weight_clip]", "discriminator_steps=3",
                           "optimizers.default={kind: rmsprop}")),
    "wgan_gp": ("mlp-small", ("loss=wasserstein", "penalties=[gradient_penalty]", "generator_steps=2")),
    "augmented": ("dcgan", ("augment=mirror", "mirror=true", "optimizers.generator={kind: adamw}")),
    "ada": ("dcgan", (ADA, "loss=relativistic", "lr=5e-3", "discriminator.norm=none", LAZY_R1)),
    "paired_ada": ("translate", (ADA, "loss=relativistic")),
    "unpaired_ada": ("unpaired", (ADA,)),
    "conditional": ("dcgan", ("conditional=true", "fake_labels=uniform", "spectral_norm=true")),
    "classes": ("compact", ("conditional=true", "class_weight=0.5")),
    "inpaint": ("translate", ("task=inpaint", "mirror=true", "generator.dropout=0.5")),
    "l1_alone": ("translate", ("discriminator=null",)),
    "upscale_blind": ("srgan", ("degradation=real_esrgan", "mirror=true", "crop_px=8", LAZY_R1)),
    "unpaired_r1": ("unpaired", ("loss=relativistic", LAZY_R1, "discriminator.norm=none", "mirror=true")),
    "without_average": ("mlp-small", ("ema_half_life_kimg=0", "lr={start: 2.0e-3, end: 1.0e-5, shape: cosine}")),
}  # fmt: skip


FAST = ("mlp-small", "dcgan", "ada", "translate")  # those in the fast lane too
SLOW = pytest.mark.slow


@pytest.fixture
def no_results(monkeypatch):
    """Leave out film, curves and report, which are not what these tests are about."""
    monkeypatch.setattr(api, "write_results", lambda *_: None)


@pytest.fixture(scope="session")
def plugin(tmp_path_factory) -> Path:
    """The toy methods as a plugin, under other names: pytest has registered their own."""
    text = (Path(__file__).parents[1] / "toy_methods.py").read_text()
    path = tmp_path_factory.mktemp("plugin") / "again.py"
    path.write_text(text.replace('register("toy_', 'register("again_'))
    return path


@pytest.fixture
def paused(mlp_run, tmp_path, no_results) -> Path:
    """A run of mlp-small that was stopped after 9 of 12 iterations; its checkpoints are those of 0, 6 and 9."""
    return Path(shutil.copytree(mlp_run(PAUSE_AT), tmp_path / "paused"))


@pytest.mark.slow
def test_a_paused_run_is_at_the_iteration_of_the_pause(paused):
    assert newest(paused).values["iteration"] == PAUSE_AT
    assert api.Run(paused, False).summary()["kimg"] == PAUSE_AT * 8 / 1000  # the last row of the log is of the 8th


@pytest.mark.slow
@pytest.mark.parametrize("name", [name if name in FAST else pytest.param(name, marks=SLOW) for name in VARIANTS])
def test_a_pause_changes_nothing(name, tiny_file, tmp_path, no_results):
    recipe, overrides = VARIANTS[name]
    whole = train(tiny_file, tmp_path / "whole", recipe, *overrides)
    run = train(tiny_file, tmp_path / "run", recipe, *overrides, stop_at=PAUSE_AT)
    assert (whole.finished, run.finished) == (True, False)
    assert newest(run.folder).tensors.keys() >= newest(whole.folder).tensors.keys()
    assert len(run.log) == 2
    assert api.resume(run.folder).finished
    assert_same_run(whole.folder, run.folder)
    assert [row["iteration"] for row in run.log] == [4, 8, 12]


@pytest.mark.slow
def test_the_p_of_ada_is_on_its_way_at_a_pause(tiny_file, tmp_path, no_results):
    run = train(tiny_file, tmp_path / "run", "dcgan", *VARIANTS["ada"][1], stop_at=PAUSE_AT)
    paused = newest(run.folder).tensors
    assert api.resume(run.folder).finished
    assert 0 < paused["state/augment_p"] != newest(run.folder).tensors["state/augment_p"]
    assert paused["state/augment_logits"] == 8  # of the iteration since the last change
    assert [row["augment_p"] > 0 for row in run.log] == [False, True, True]


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        "paired",
        pytest.param(
            "two_discriminators",
        ),
    ],
)
def test_a_pause_changes_nothing_in_a_method_of_a_plugin(name, tiny_file, plugin, tmp_path, no_results):
    recipe = tmp_path / f"{name}.yaml"
    recipe.write_text(TOY.format(name=name, more=TOYS[name]))

    def run_it(out: str, stop_at: int | None) -> api.Run:
        return train(tiny_file, tmp_path / out, str(recipe), overrides=RHYTHM, plugins=[plugin], stop_at=stop_at)

    whole, run = run_it("whole", None), run_it("run", PAUSE_AT)
    assert (whole.finished, run.finished) == (True, False)
    assert api.resume(run.folder).finished
    assert_same_run(whole.folder, run.folder)
    kept = {tensor.partition("/")[0] for tensor in newest(run.folder).tensors}
    assert kept >= {"networks", "averages", "optimizers", "bad_steps"}
    assert (kept >= {"state", "pools"}) == (name == "two_discriminators")


@pytest.mark.slow
def test_a_pause_at_each_of_many_iterations_changes_nothing(tiny_file, tmp_path, no_results):
    overrides = ("discriminator.norm=none", LAZY_R1, "previews=12")
    whole = train(tiny_file, tmp_path / "whole", "dcgan", *overrides)
    folder = tmp_path / "run"
    assert not train(tiny_file, folder, "dcgan", *overrides, stop_at=1).finished
    for iteration in (2, 3, 5, 6, 7, 11):
        assert not resume(folder, stop_at=iteration).finished
        assert newest(folder).values["iteration"] == iteration
    assert api.resume(folder).finished
    assert_same_run(whole.folder, folder)


@pytest.mark.slow
def test_resuming_a_finished_run_writes_its_results_and_trains_nothing(tiny_file, tmp_path):
    run = train(tiny_file, tmp_path / "run", "mlp-small")
    before, report = RunFolder(run.folder).log.read_bytes(), run.folder / "report.html"
    tensors = newest(run.folder).folder / TENSORS
    stamp = tensors.stat().st_mtime_ns
    report.unlink()
    assert api.resume(run.folder).finished
    assert report.is_file()
    assert RunFolder(run.folder).log.read_bytes() == before
    assert tensors.stat().st_mtime_ns == stamp


@pytest.mark.slow
def test_a_changed_recipe_is_refused_and_accepted_when_asked(paused, refused):
    path = RunFolder(paused).recipe
    path.write_text(path.read_text().replace("lr: 0.0002", "lr: 0.0003"))
    with refused("run.changed"):
        api.resume(paused)
    events = Listener()
    assert api.resume(paused, accept_changes=True, on_event=events).finished
    (row,) = [row for row in read_rows(RunFolder(paused).log) if "event" in row]
    assert row["event"] == "changed"
    assert row["iteration"] == PAUSE_AT
    assert "optimizers.default.lr: 0.0002 -> 0.0003" in row["message"]
    assert any("0.0002 -> 0.0003" in text for text in events.said("warning"))
    assert newest(paused).values["recipe"]["optimizers"]["default"]["lr"] == 0.0003


@pytest.mark.slow
def test_several_changes_are_counted(paused, refused):
    path = RunFolder(paused).recipe
    path.write_text(path.read_text().replace("lr: 0.0002", "lr: 0.0003").replace("beta1: 0.5", "beta1: 0.6"))
    with refused("run.changed"):
        api.resume(paused)


@pytest.mark.slow
def test_another_recipe_is_refused_even_when_changes_are_accepted(paused):
    path = RunFolder(paused).recipe
    path.write_text(path.read_text().replace("- 16", "- 17"))
    with pytest.raises(CheckpointError) as caught:  # torch's list of tensors is too long for ``refused``
        api.resume(paused, accept_changes=True)
    assert caught.value.code == "checkpoint.other_networks"


def folder_of_images(path: Path, count: int) -> Path:
    path.mkdir()
    for number in range(count):
        pixels = np.random.default_rng(number).integers(0, 255, (8, 8), np.uint8)
        Image.fromarray(pixels).save(path / f"{number:02d}.png")
    return path


@pytest.mark.slow
@pytest.mark.parametrize("change", ["added", "altered"])
def test_changed_images_are_refused_and_accepted_once(change, tmp_path, no_results, refused):
    images = folder_of_images(tmp_path / "images", 24)
    run = train(images, tmp_path / "run", "mlp-small", stop_at=3)
    shutil.copyfile(images / "03.png", images / ("24.png" if change == "added" else "04.png"))
    with refused("run.changed", hiding=[r"[0-9a-f]{12}"]):
        api.resume(run.folder)
    assert not resume(run.folder, accept_changes=True, stop_at=PAUSE_AT).finished
    assert [row["event"] for row in run.events] == ["changed"]
    assert api.resume(run.folder).finished  # accepted is accepted


@pytest.mark.slow
def test_another_number_of_threads_is_refused_if_it_was_set(paused, monkeypatch, refused):
    monkeypatch.setenv("OMP_NUM_THREADS", "2")  # torch reads it when it is imported
    torch.set_num_threads(2)
    try:
        with refused("run.changed"):
            api.resume(paused)
        monkeypatch.delenv("OMP_NUM_THREADS")
        used, step = set[int](), training.train_step
        monkeypatch.setattr(training, "train_step", lambda *given: (used.add(torch.get_num_threads()), step(*given)))
        assert api.resume(paused).finished  # not set: as many as before
        assert used == {1}
        assert torch.get_num_threads() == 2  # the next run in this process begins as this one did
    finally:
        torch.set_num_threads(1)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "value"), [("torch", "2.9.0"), ("cpu", "NO SUCH CPU")])
def test_other_numerics_are_refused_by_name(name, value, paused):
    run = RunFolder(paused)
    numerics = run.record.numerics
    now = getattr(numerics, name)
    run.write_record(run.record.model_copy(update={"numerics": numerics.model_copy(update={name: value})}))
    with pytest.raises(CheckpointError) as caught:
        api.resume(paused)
    assert caught.value.code == "run.changed"
    assert f"{name}: {value} -> {now}\n" in str(caught.value)
    del caught  # its traceback holds the lock
    assert api.resume(paused, accept_changes=True).finished
    assert getattr(run.record.numerics, name) == now
    assert run.record.changes[0].changes == (f"{name}: {value} -> {now}",)


@pytest.mark.slow
def test_another_number_of_processes_is_allowed_and_logged(paused):
    run = RunFolder(paused)
    numerics = run.record.numerics.model_copy(update={"processes": 2, "threads": 3})
    run.write_record(run.record.model_copy(update={"numerics": numerics}))
    assert api.resume(paused).finished
    assert run.record.changes[0].changes == ("processes: 2 -> 1",)
    assert (run.record.numerics.processes, run.record.numerics.threads) == (1, torch.get_num_threads())


@pytest.mark.slow
def test_a_restart_by_torchrun_continues_its_run_without_a_name_for_it(tiny_file, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "job-7")
    first = train(tiny_file, None, "mlp-small", stop_at=PAUSE_AT)
    again = train(tiny_file, None, "mlp-small")
    assert (first.folder, first.finished, again.finished) == (again.folder, False, True)
    assert [path.name for path in (tmp_path / "runs").iterdir()] == [again.folder.name]
    other = train(tiny_file, None, "mlp-small", seed=4)  # the same start, but another command
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "job-8")
    assert len({again.folder, other.folder, train(tiny_file, None, "mlp-small").folder}) == 3


@pytest.mark.slow
def test_a_restart_begins_anew_if_there_was_no_checkpoint(tiny_file, tmp_path, monkeypatch):
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "job-7")
    train(tiny_file, tmp_path / "run", "mlp-small", stop_at=PAUSE_AT)
    shutil.rmtree(tmp_path / "run" / "checkpoints")
    again = train(tiny_file, tmp_path / "run", "mlp-small")
    assert again.finished
    assert (tmp_path / "run" / "timing.jsonl").read_text().count('"started"') == 1


@pytest.mark.slow
def test_fewer_cpus_than_threads_before_is_a_change(paused, monkeypatch):
    """More threads than CPUs run at a tenth of the speed of one."""
    run = RunFolder(paused)
    numerics = run.record.numerics.model_copy(update={"threads": 8})
    run.write_record(run.record.model_copy(update={"numerics": numerics}))
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr("gansmith.core.runtime.available_cpus", lambda: 1)
    monkeypatch.setattr("gansmith.training.run.available_cpus", lambda: 1)
    with pytest.raises(CheckpointError, match="threads: 8 -> 1"):
        api.resume(paused)
    assert api.resume(paused, accept_changes=True).finished
    assert run.record.numerics.threads == 1


@pytest.mark.slow
def test_a_run_goes_on_on_another_device(paused, refused):
    run = RunFolder(paused)
    numerics = run.record.numerics.model_copy(update={"device": "cuda"})  # as if it was trained on a GPU
    run.write_record(run.record.model_copy(update={"numerics": numerics}))
    with refused("machine.device_missing"):
        api.resume(paused)
    with pytest.raises(CheckpointError, match="device: cuda -> cpu"):
        api.resume(paused, device="cpu")
    assert api.resume(paused, accept_changes=True).finished
    assert run.record.changes[0].changes == ("device: cuda -> cpu",)
    assert run.record.numerics.device == "cpu"


@pytest.mark.slow
def test_a_refused_run_folder_is_free_at_once(paused):
    path = RunFolder(paused).recipe
    text = path.read_text()
    path.write_text(text.replace("lr: 0.0002", "lr: 0.0003"))
    with pytest.raises(CheckpointError) as caught:
        api.resume(paused)
    path.write_text(text)
    assert api.resume(paused).finished
    assert caught.value  # a notebook keeps the traceback of the last error, and with it what it refers to


@pytest.mark.slow
def test_an_edited_plugin_is_refused(tiny_file, tmp_path, no_results, refused):
    plugin = tmp_path / "my_loss.py"
    plugin.write_text(
        "from gansmith.plugins import losses\n\n"
        '@losses.register("my_hinge")\nclass MyHinge(losses.get("hinge")):\n    pass\n'
    )
    run = train(tiny_file, tmp_path / "run", "mlp-small", "loss=my_hinge", plugins=[plugin], stop_at=3)
    plugin.write_text(plugin.read_text() + "# edited\n")
    with refused("run.changed"):
        api.resume(run.folder)
    assert not resume(run.folder, accept_changes=True, stop_at=PAUSE_AT).finished
    assert api.resume(run.folder).finished  # accepted is accepted


@pytest.mark.slow
@pytest.mark.parametrize("stop_at", [PAUSE_AT, None])
def test_another_length_is_logged_and_reached(stop_at, tiny_file, tmp_path, no_results):
    run = train(tiny_file, tmp_path / "run", "mlp-small", stop_at=stop_at)
    at = stop_at or STEPS
    assert api.resume(run.folder, kimg=0.16).finished
    assert newest(run.folder).values["iteration"] == 20
    events = run.events
    assert [(row["event"], row["iteration"]) for row in events] == [("changed", at)]
    assert events[0]["message"] == "schedule: 0.096 kimg -> 0.16 kimg"
    assert [row["iteration"] for row in run.log] == [4, 8, 12, 16, 20]
    record = RunFolder(run.folder).record
    assert record.length.iterations == 20
    assert record.length.source == "extended to 0.16 kimg"


@pytest.mark.slow
def test_a_change_survives_a_kill_before_the_next_checkpoint(paused):
    def die(_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):  # stands in for a kill: nothing more is written
        api.resume(paused, kimg=0.16, on_event=Listener(lambda e: die(e) if e.kind == "preview" else None))
    assert api.resume(paused).finished
    assert [row["event"] for row in read_rows(RunFolder(paused).log) if "event" in row] == ["changed"]


@pytest.mark.slow
@pytest.mark.parametrize("damage", ["cut", "flipped", "no_manifest", "empty_values"])
def test_a_broken_checkpoint_is_skipped_and_made_again(damage, mlp_run, paused):
    broken = newest(paused).folder
    data = bytearray((broken / TENSORS).read_bytes())
    if damage == "cut":
        (broken / TENSORS).write_bytes(data[: len(data) // 2])
    elif damage == "flipped":
        data[-5] ^= 1
        (broken / TENSORS).write_bytes(data)
    elif damage == "no_manifest":
        (broken / MANIFEST).unlink()
    else:
        (broken / VALUES).write_text("")
    events = Listener()
    assert api.resume(paused, on_event=events).finished
    (warning,) = events.said("warning")
    assert warning.startswith("checkpoint skipped: ")
    assert str(broken) in warning
    assert any("resumed at 0.0 of 0.1 kimg" in text for text in events.said("note"))
    assert_same_run(mlp_run(), paused)


@pytest.mark.slow
def test_without_a_complete_checkpoint_a_resume_is_refused(paused, refused):
    folders = sorted(RunFolder(paused).checkpoints.iterdir())
    assert [int(folder.name) for folder in folders] == [0, 6, PAUSE_AT]
    for folder in folders:
        data = bytearray((folder / TENSORS).read_bytes())
        data[100] ^= 8
        (folder / TENSORS).write_bytes(data)
    with refused("checkpoint.none_whole"):
        api.resume(paused)


def test_resuming_another_folder_is_refused(tmp_path, refused):
    with refused("run.not_a_run"):
        api.resume(tmp_path)


@pytest.mark.slow
def test_a_second_writer_is_refused(paused, refused):
    hold = "import sys, filelock\nwith filelock.FileLock(sys.argv[1]):\n    print('held', flush=True)\n    input()"
    command = [sys.executable, "-c", hold, str(paused / ".lock")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout.readline()
        with refused("run.locked"):
            api.resume(paused)
        other.communicate(b"\n", timeout=PATIENCE_SEC)
    assert api.resume(paused).finished


@pytest.mark.slow
@pytest.mark.parametrize("where", ["create", "write_record", "Tracking"])
def test_a_signal_while_the_folder_is_made_leaves_a_run_that_can_go_on(
    where, tiny_file, mlp_run, tmp_path, monkeypatch, no_results
):
    owner, name = (Tracking, "open") if where == "Tracking" else (RunFolder, where)
    make = getattr(owner, name)

    def interrupted(*arguments):
        os.kill(os.getpid(), signal.SIGTERM)
        return make(*arguments)

    whole = mlp_run()
    monkeypatch.setattr(owner, name, staticmethod(interrupted) if where != "write_record" else interrupted)
    run = train(tiny_file, tmp_path / "run", "mlp-small")
    assert (run.finished, run.stopped_by, newest(run.folder).values["iteration"]) == (False, signal.SIGTERM, 1)
    monkeypatch.undo()
    assert api.resume(run.folder).finished
    assert_same_run(whole, run.folder)


@pytest.mark.slow
def test_a_signal_in_the_last_step_comes_too_late(tiny_file, tmp_path, no_results):
    run = train(tiny_file, tmp_path / "run", "mlp-small", stop_at=STEPS)
    assert (run.finished, run.stopped_by) == (True, 0)
    assert [row["event"] for row in read_rows(RunFolder(run.folder).timing) if "event" in row] == [
        "started",
        "finished",
    ]


@pytest.mark.slow
def test_a_signal_while_results_are_written_and_a_resume_that_writes_them(tiny_file, tmp_path, monkeypatch):
    written = []
    monkeypatch.setattr(api, "write_results", lambda *_: os.kill(os.getpid(), signal.SIGINT))
    run = train(tiny_file, tmp_path / "run", "mlp-small")
    assert (run.finished, run.stopped_by) == (False, signal.SIGINT)
    monkeypatch.setattr(api, "write_results", lambda *_: written.append(1))
    assert api.resume(tmp_path / "run").finished
    assert written


@pytest.mark.slow
@pytest.mark.parametrize("module", ["typer", "gansmith.api"])
def test_a_signal_while_modules_are_imported_leaves_quietly(module, tmp_path):
    """Even in one that swallows KeyboardInterrupt."""
    package = tmp_path / module.replace(".", "/")
    package.parent.mkdir(exist_ok=True)
    package.with_suffix(".py").write_text(
        "import os, signal\ntry: os.kill(os.getpid(), signal.SIGINT)\nexcept BaseException: print('swallowed')\n"
    )
    code = f"import gansmith, gansmith.__main__ as it; gansmith.__path__.insert(0, {str(package.parent)!r}); it.main()"
    environ = {**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"}
    words = [sys.executable, "-c", code, "doctor"]
    done = subprocess.run(words, env=environ, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")


# What follows starts processes by forks of this one: a new interpreter takes seconds to import torch.

SLEEPER = """
import os, signal, time
from gansmith.plugins import losses

@losses.register("sleeper")
class Sleeper(losses.get("hinge")):
    def generator(self, real_logits, fake_logits):
        if os.path.exists(os.environ["SLEEP_WHEN"]):
            stop = signal.getsignal(signal.SIGINT).__self__
            print("asleep", flush=True)
            while not stop.requested():
                time.sleep(0.01)
            print("heard", flush=True)
            time.sleep(3600)
        return super().generator(real_logits, fake_logits)
"""


def iteration_of(folder: Path) -> int:
    """Return the iteration of the newest checkpoint folder, whole or not, -1 without one."""
    return max((int(path.name) for path in folder.glob("checkpoints/[0-9]*")), default=-1)


def wait_for(process: Forked, condition) -> None:
    end = time.monotonic() + PATIENCE_SEC
    while not condition():
        assert process.poll() is None, f"it ended too early: {process.communicate()}"
        assert time.monotonic() < end, "it took too long"
        time.sleep(0.004)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_saves_and_prints_how_to_continue(number, tiny_file, tmp_path, fork):
    folder = tmp_path / "run"
    words = small("mlp-small", "log_rows=1", "previews=1", "checkpoints=1", "checkpoint_kimg=1e6")
    process = fork("train", tiny_file, "--recipe", "mlp-small", "--out", folder, "--steps", 10**6, "--json", *words)
    wait_for(process, lambda: iteration_of(folder) == 0 and (folder / "checkpoints/000000000" / MANIFEST).exists())
    process.send_signal(number)
    out, err = process.communicate(timeout=PATIENCE_SEC)
    assert f"{number.name}: " in err
    assert f"gansmith resume {folder}" in err
    assert "Traceback" not in err
    told = json.loads(out)
    assert (told["folder"], told["finished"], told["signal"]) == (str(folder), False, number.name)
    checkpoint = newest(folder)
    assert checkpoint.values["iteration"] == iteration_of(folder) > 0
    assert not api.resume(folder, on_event=Listener(stop_at_progress)).finished
    assert newest(folder).values["iteration"] > checkpoint.values["iteration"]
    assert process.returncode == 3


def stop_at_progress(event) -> None:
    if event.kind == "progress":
        os.kill(os.getpid(), signal.SIGINT)


@pytest.mark.slow
def test_a_second_signal_leaves_at_once(tiny_file, tmp_path, fork):
    plugin, flag, folder = tmp_path / "sleeper.py", tmp_path / "sleep", tmp_path / "run"
    plugin.write_text(SLEEPER)
    words = small("mlp-small", "loss=sleeper", "checkpoints=1000")
    process = fork("train", tiny_file, "--recipe", "mlp-small", "--out", folder, "--steps", 10**5, "--plugin", plugin,
                   *words, SLEEP_WHEN=str(flag))  # fmt: skip
    wait_for(process, lambda: iteration_of(folder) > 0)
    flag.touch()
    assert process.stdout.readline() == "asleep\n"
    process.send_signal(signal.SIGINT)
    assert process.stdout.readline() == "heard\n"  # two signals that wait for a process without a processor are one
    assert process.poll() is None  # it finishes its step first, which takes an hour
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=PATIENCE_SEC) == 130
    assert newest(folder).values["iteration"] > 0
    assert process.communicate()[1].count("stopping after this step, then saving; once more leaves at once") == 1


KILLED = {
    "mlp": ("mlp-small", ()),
    "dcgan": ("dcgan", ()),
    "lazy_r1": ("dcgan", ("discriminator.norm=none", LAZY_R1)),
    "unpaired": ("unpaired", ()),
    "paired": ("translate", ("task=inpaint", "generator.dropout=0.5")),
    "super_resolution": ("srgan", ("degradation=real_esrgan",)),
}
KILLED_STEPS = 36
# A row every 3, a checkpoint every 4, a picture every 9; no snapshots, whose interval depends on the machine's speed.
KILLED_RHYTHM = ("log_rows=12", "previews=4", "checkpoints=9", "monitor.snapshot_kimg=0")


def kill(process_id: int, returncode: Callable[[], int | None], folder: Path, moment: int, delay: float) -> None:
    """Send SIGKILL a moment after the first file of a checkpoint at or after ``moment`` is there."""
    end = time.monotonic() + PATIENCE_SEC
    while iteration_of(folder) < moment:
        assert returncode() is None, "it ended too early"
        assert time.monotonic() < end, "it took too long"
        time.sleep(0.002)
    time.sleep(delay)
    os.kill(process_id, signal.SIGKILL)


def assert_was_killed(folder: Path, kills: int) -> None:
    """Fail unless the run was started again; a kill may come before a start is noted, or cut the note off."""
    *starts, end = [row["event"] for row in read_rows(RunFolder(folder).timing) if "event" in row]
    assert end == "finished"
    assert set(starts) == {"started"}
    assert 2 <= len(starts) <= kills + 1


def until_killed(work: Callable[[], object]) -> None:
    """Do work whose last step waits for SIGKILL, so that a slow machine does not miss the moment."""
    step = training.train_step

    def held(state: Any, *arguments: Any) -> None:
        while state.iteration == KILLED_STEPS - 1:
            signal.pause()
        step(state, *arguments)

    with mock.patch.object(training, "train_step", held):
        work()


@pytest.mark.slow
@pytest.mark.parametrize("name", KILLED)
def test_kill_nine_at_random_moments_changes_nothing(name, tiny_file, tmp_path, no_results):
    (recipe, overrides), kills = KILLED[name], 3
    whole = train(tiny_file, tmp_path / "whole", recipe, *KILLED_RHYTHM, *overrides, steps=KILLED_STEPS)
    folder, draw = tmp_path / "run", random.Random(name)
    fork = multiprocessing.get_context("fork")  # torch is imported already

    def first() -> None:
        train(tiny_file, folder, recipe, *KILLED_RHYTHM, *overrides, steps=KILLED_STEPS)

    def again() -> None:
        api.resume(folder)

    for number, moment in enumerate(sorted(draw.sample(range(4, KILLED_STEPS - 4), kills))):
        process = fork.Process(target=until_killed, args=(again if number else first,), daemon=True)
        process.start()
        kill(process.pid, lambda each=process: each.exitcode, folder, moment, draw.uniform(0, 0.03))
        process.join()
        assert process.exitcode == -signal.SIGKILL
    again()
    assert_was_killed(folder, kills)
    assert_same_run(whole.folder, folder)


@pytest.mark.slow
def test_kill_nine_of_the_command_changes_nothing(tiny_file, tmp_path, no_results, fork):
    steps = 120  # the moment is far from the end, which a slow machine may otherwise reach first
    rhythm = ("log_rows=40", "previews=4", "checkpoints=30", "monitor.snapshot_kimg=0")
    whole = train(tiny_file, tmp_path / "whole", "mlp-small", *rhythm, steps=steps)
    folder, words = tmp_path / "run", small("mlp-small", *RHYTHM, *rhythm)
    process = fork("train", tiny_file, "--recipe", "mlp-small", "--out", folder, "--steps", steps,
                   "--seed", 3, "--precision", "fp32", *words)  # fmt: skip
    kill(process.pid, process.poll, folder, 11, 0.01)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert api.resume(folder).finished
    assert_was_killed(folder, 1)
    assert_same_run(whole.folder, folder)
