"""Sweeps: what is refused, runs with seeds and a collapse, a pause, the table, the page, and suggestions."""

import json
import os
import signal
from pathlib import Path
from unittest import mock

import pytest

from gansmith import api
from gansmith.core.errors import CheckpointError, DiskFullError, TrainingError
from gansmith.core.events import silent
from gansmith.evaluation.variants import compare_variants
from gansmith.parts.metrics.base import Number
from gansmith.recipes.load import load_recipe
from gansmith.reporting.sweep_page import Sweep, end_sweep
from gansmith.runs.folder import RunFolder
from gansmith.runs.sweep import SweepFolder, combinations, parse_vary
from gansmith.training import sweep as sweeping
from gansmith.training import trainer as training
from gansmith.training.sweep import end_of, plan_sweep, train_sweep
from small_runs import MONITORED, RHYTHM, Listener, small

HUNDRED = ",".join(map(str, range(1, 101)))
TINY = small("mlp-small", *RHYTHM, *MONITORED, "fixed_images=4")


def planned(*vary: str, **more):
    return plan_sweep("tiny.npz", parse_vary(vary), load_recipe("mlp-small"), **more)


def swept(source: Path, out: Path, *vary: str, **more) -> Sweep:
    words = {"recipe": "mlp-small", "overrides": TINY, "steps": 60, "seeds": 2, "precision": "fp32", "device": "cpu"}
    return api.sweep(source, vary or ["lr=2e-3,1e-3"], out=out, progress=False, **{**words, **more})


def test_values_are_separated_by_commas_outside_of_brackets():
    found = parse_vary(["lr=1e-4, 2e-4", "loss={kind: hinge, x: [1, 2]},lsgan", "lr=3e-4"])
    assert found == {"lr": ("1e-4", "2e-4", "3e-4"), "loss": ("{kind: hinge, x: [1, 2]}", "lsgan")}
    assert list(combinations({"a": ("1", "2"), "b": ("3", "4")}))[:2] == [("a=1", "b=3"), ("a=1", "b=4")]


@pytest.mark.parametrize("text", ["lr", "=1", "lr=", "lr=1,", "lr=1,,2"])
def test_values_without_a_form(text, refused):
    with refused("run.vary_form"):
        parse_vary([text])


@pytest.mark.parametrize(
    ("code", "vary", "more"),
    [
        ("recipe.unknown_key", ["batchsize=8,16"], {}),
        ("recipe.unknown_part", ["loss=hinge,hingee"], {}),
        ("run.same_variant", ["lr=1e-4,0.0001"], {}),
        ("run.many_runs", [f"lr={HUNDRED}", f"batch_size={HUNDRED}"], {"keywords": {"minutes": 10}}),
        ("run.vary_range", ["lr=1e-5..1e-3"], {}),
        ("run.vary_form", [], {}),
        ("run.unknown_search", ["lr=1,2"], {"search": "optun"}),
        ("run.sweep_out_of_range", ["lr=1,2"], {"trials": 0}),
        ("run.vary_form", ["seed=1,2"], {}),
    ],
)
def test_sweeps_that_are_refused_before_any_run(code, vary, more, refused):
    with refused(code):
        planned(*vary, **more)


@pytest.mark.slow
def test_a_sweep_needs_a_recipe(refused, tmp_path):
    with refused("run.sweep_needs_recipe"):
        api.sweep("fashion-sample", ["lr=1,2"], out=tmp_path / "s")
    with pytest.raises(TypeError, match="until"):
        api.sweep("fashion-sample", ["lr=1,2"], recipe="mlp-small", until="18:30")


def test_folders_have_names_that_need_no_quotes_and_are_unlike(tmp_path):
    folder = SweepFolder.begin(tmp_path / "s", planned("lr=1,2", seeds=(0, 7)))
    assert [run.folder for run in folder.add(("optimizers.default.lr=1e-4",))] == ["lr-1e-4_seed-0", "lr-1e-4_seed-7"]
    assert folder.add(("lr=1e-4",))[0].folder == "lr-1e-4_seed-0-2"
    assert len(folder.add(("lr=1e-4",))) == 2
    assert len(folder.record.runs) == 4


def test_a_sweep_in_the_processes_of_torchrun_is_refused_before_anything_is_written(tmp_path, monkeypatch, refused):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with refused("run.sweep_in_processes"):
        api.sweep("fashion-sample", ["lr=1,2"], recipe="mlp-small", out=tmp_path / "s")
    assert not (tmp_path / "s").exists()
    SweepFolder.begin(tmp_path / "s", planned("lr=1,2"))
    with refused("run.sweep_in_processes"):
        api.resume_sweep(tmp_path / "s")


@pytest.mark.parametrize("name", ["..", ".", "../photos", "/home/photos", "a/b", ""])
def test_a_folder_outside_of_the_sweep_is_refused_because_it_would_be_emptied(name, tmp_path):
    folder = SweepFolder.begin(tmp_path / "s", planned("lr=1,2"))
    folder.add(("lr=1",))
    path = tmp_path / "s" / "sweep.json"
    path.write_text(path.read_text().replace('"lr-1_seed-0"', json.dumps(name)))
    with pytest.raises(CheckpointError, match=f"'{name}' is not the name of a folder within the sweep"):
        api.resume_sweep(tmp_path / "s", progress=False)


def test_a_run_that_diverges_has_failed_and_a_full_disk_ends_the_sweep(tmp_path):
    def diverging(path, name):
        raise TrainingError("training.diverged", "not finite\n  lower lr")

    def full(path, name):
        raise DiskFullError("disk.full", "full")

    assert end_of(tmp_path, "x", diverging) == ("failed", "not finite")
    with pytest.raises(DiskFullError):
        end_of(tmp_path, "x", full)
    folder = SweepFolder.begin(tmp_path / "s", planned("lr=1,2"))
    said = Listener()
    assert train_sweep(folder, diverging, said)
    assert folder.record.is_finished
    assert len(said.said("warning")) == 2
    found = end_sweep(folder)
    assert (found.finished, found.table.metric) == (True, "")
    assert "failed: not finite" in found.page.read_text()


@pytest.mark.slow
def test_a_sweep_of_six_with_a_collapse_and_a_pause(tiny_file, tmp_path, refused):
    step, steps = training.train_step, [0]

    def killed(state, *arguments):
        step(state, *arguments)
        steps[0] += 1
        if steps[0] == 70:  # within the second run
            os.kill(os.getpid(), signal.SIGINT)

    vary = ["optimizers.generator={kind: adam, lr: 2e-3},{kind: adam, lr: 3e-3},{kind: adam, lr: 1e-2}"]
    with mock.patch.object(training, "train_step", killed):
        found = swept(tiny_file, tmp_path / "s", *vary)
    assert not found.finished
    first = RunFolder(tmp_path / "s" / SweepFolder(tmp_path / "s").record.runs[0].folder)
    before = first.report.stat().st_mtime_ns
    with refused("run.another_sweep"):
        swept(tiny_file, tmp_path / "s", *vary, steps=31)
    found = api.resume_sweep(tmp_path / "s", progress=False)
    assert found.finished
    assert first.report.stat().st_mtime_ns == before
    a, b, c = found.table.variants
    assert [run.is_ended for run in (*a.runs, *b.runs, *c.runs)] == [False] * 4 + [True] * 2
    assert c.verdicts == "2 ended by full_collapse"
    assert all(run.kimg < 0.48 for run in c.runs)
    assert a.runs[0].kimg == pytest.approx(0.48)
    number = a.number(found.table.metric)
    assert number.deviation > 0
    assert "2 seeds" in found.table.sentence
    page = found.page.read_text()
    assert "ended by full_collapse" in page
    assert page.count("<figure>") == 3
    assert (tmp_path / "s" / "compare.html").is_file()
    assert json.loads(json.dumps(found.to_json()))["variants"]["A"]["numbers"][found.table.metric][1] > 0


def test_a_run_whose_losses_are_not_finite_has_failed_is_last_and_does_not_win(tiny_file, tmp_path):
    found = swept(tiny_file, tmp_path / "s", "lr=1e30,2e-3", steps=6, seeds=1)
    broken, good = found.table.variants
    assert (broken.verdicts, broken.runs[0].numbers) == ("1 failed", {})
    assert "not finite" in broken.runs[0].error
    assert good.runs[0].state == "finished"
    assert [variant.letter for variant in found.table.ranked] == ["B", "A"]


def test_a_run_that_failed_after_a_good_snapshot_does_not_win(tiny_file, tmp_path):
    swept(tiny_file, tmp_path / "s", seeds=1, steps=60)
    folder = SweepFolder(tmp_path / "s")
    best = compare_variants(folder).ranked[0]
    folder.note(best.runs[0].folder, "failed", "not finite")
    table = compare_variants(folder)
    assert best.letter not in table.leaders
    assert table.ranked[-1].letter == best.letter


def of_numbers(sweep: SweepFolder, values: dict[tuple[str, ...], tuple[float, ...]]):
    """Return the table of a sweep whose runs have these values of fd."""
    for changes in values:
        sweep.add(changes)

    def read(path, run):
        value = values[run.changes][run.seed]
        numbers = {} if value is None else {"fd1k_own": Number(value, None, "", 0)}
        return mock.Mock(seed=run.seed, numbers=numbers, state="finished", verdict="healthy", is_ended=False)

    with mock.patch("gansmith.evaluation.variants._read", read):
        return compare_variants(sweep)


def test_a_variant_is_worse_if_its_seeds_say_so(tmp_path):
    folder = SweepFolder.begin(tmp_path / "s", planned("lr=1,2,3", seeds=(0, 1, 2)))
    values = {("lr=1",): (2.0, 2.1, 1.9), ("lr=2",): (1.0, 1.1, 0.9), ("lr=3",): (0.7, 1.6, 1.0)}
    table = of_numbers(folder, values)
    assert (table.leaders, table.is_decided) == (("B", "C"), True)
    assert table.variants[0].number("fd1k_own").deviation == pytest.approx(0.1)
    assert [variant.letter for variant in table.ranked] == ["B", "C", "A"]
    assert table.sentence == "B, C better by fd1k_own over 3 seeds"
    behind = SweepFolder.begin(tmp_path / "behind", planned("lr=1,2,3,4", seeds=(0, 1, 2)))
    values = {("lr=1",): (None,) * 3, ("lr=2",): (3.0, 3.1, 2.9), ("lr=3",): (2.0, 2.1, 1.9), ("lr=4",): (1.0, 1.1, 1)}
    assert [variant.letter for variant in of_numbers(behind, values).ranked] == ["D", "C", "B", "A"]
    one = SweepFolder.begin(tmp_path / "one", planned("lr=1,2"))
    table = of_numbers(one, {("lr=1",): (2.0,), ("lr=2",): (1.0,)})
    assert "one seed" in table.sentence
    assert not table.is_decided


@pytest.mark.slow
def test_suggestions_repeat_when_a_sweep_goes_on(tmp_path, monkeypatch):
    pytest.importorskip("optuna", reason="pip install 'gansmith[search]'")
    monkeypatch.setattr(sweeping, "_value_of", lambda sweep, changes: abs(float(changes[0].partition("=")[2]) - 3e-4))
    record = planned("lr=1e-5..1e-2", "batch_size=8..64", "loss=hinge,least_squares", search="optuna", trials=6)
    whole = SweepFolder.begin(tmp_path / "whole", record)
    assert train_sweep(whole, lambda *_: True, silent)
    cut = SweepFolder.begin(tmp_path / "cut", record)
    turns = iter([True, True, False])
    assert not train_sweep(cut, lambda *_: next(turns), silent)
    assert train_sweep(cut, lambda *_: True, silent)
    assert cut.record.runs == whole.record.runs
    assert len(whole.record.variants()) == 6
    values = [float(each[0].partition("=")[2]) for each in whole.record.variants()]
    assert all(1e-5 <= each <= 1e-2 for each in values)
    monkeypatch.setattr(sweeping, "_value_of", lambda *_: None)  # all of its runs have failed
    few = SweepFolder.begin(tmp_path / "few", planned("loss=hinge,least_squares", "lr=1,2", search="optuna"))
    assert few.record.trials == 4
    assert train_sweep(few, lambda *_: True, silent)
    assert sorted(few.record.variants()) == sorted(combinations(few.record.vary))


def test_optuna_that_is_missing_is_named(monkeypatch, tmp_path, refused):
    monkeypatch.setitem(__import__("sys").modules, "optuna", None)
    folder = SweepFolder.begin(tmp_path / "s", planned("lr=1,2", search="optuna"))
    with refused("run.optuna_missing", hiding=[r", which cannot be imported: .*"]):
        train_sweep(folder, lambda *_: True, silent)
