"""What ``gansmith diagnose`` says of runs that went well or ill, watched or not, and of folders that are no runs."""

import dataclasses
import json
import shlex
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from gansmith import api
from gansmith.cli.app import app
from gansmith.cli.train import data_and_overrides
from gansmith.core.errors import CheckpointError
from gansmith.monitoring.health import HOPELESS, Verdict
from gansmith.recipes.load import load_recipe
from gansmith.runs.folder import RunFolder
from gansmith.runs.log import append_row
from small_runs import COLLAPSING, MONITORED, train

COLLAPSES = (*MONITORED, "batch_size=16", "hidden=[32]", "lr=3e-3", *COLLAPSING)


@pytest.fixture(scope="module")
def runs_made(tiny_file, tmp_path_factory) -> Path:
    """Runs: one that collapses and was looked at, one that nobody looked at."""
    root = tmp_path_factory.mktemp("runs")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GANSMITH_CACHE", str(root / "cache"))
        train(tiny_file, root / "ill", "mlp-small", *COLLAPSES, steps=60)
        patch.setattr(api, "write_results", lambda *_: None)
        unwatched = ("monitor.snapshot_kimg=0", "monitor.images=100", "monitor.reference=100")
        train(tiny_file, root / "blind", "mlp-small", *unwatched, *COLLAPSING, "lr=3e-3", *COLLAPSING, steps=60)
    return root


@pytest.mark.slow
def test_a_collapse_is_told_with_figure_moment_and_command(runs_made):
    found = api.diagnose(runs_made / "ill")
    assert found.verdict is not None
    assert found.verdict.name in HOPELESS
    assert found.verdict.began_kimg is not None
    text = "\n".join(found.lines())
    assert text.startswith(f"{runs_made / 'ill'} at 1.0 kimg (finished): {found.verdict.title} since ")
    assert "Did mode collapse manifest? " in text
    assert "health: " in text
    assert f"{runs_made / 'ill' / 'report.html'}: curves" in text
    assert "samples of the fixed latents, when it began" in text
    assert "The model is the checkpoint at " in text
    assert "gone" in text
    commands = [command for _, command in found.advice if command.startswith("gansmith train")]
    assert commands
    for command in commands:
        words = shlex.split(command)
        recipe = words[words.index("--recipe") + 1]
        options = words.index("--kimg")
        (source,), overrides = data_and_overrides([w for w in words[2:options] if w not in ("--recipe", recipe)
                                         and not w.startswith("--") and w not in ("3", "rollback")])  # fmt: skip
        assert Path(source).is_file()
        assert load_recipe(recipe, tuple(overrides))
    assert len(found.histogram()) == 1 + len(found.look["modes"])


def test_the_report_shows_verdict_moment_timeline_and_grid(runs_made):
    page = (runs_made / "ill" / "report.html").read_text()
    looks = RunFolder(runs_made / "ill").read_snapshots()
    section = page.partition("<h2>Health</h2>")[2].partition("</section>")[0]
    ill = sum(look["verdict"] != "healthy" for look in looks)
    assert section.count('<span class="ill"') == ill > 0
    assert section.count('<span class="well"') == len(looks) - ill
    assert "since" in section
    assert "The fixed latents when it began, at " in section
    assert "data:image/png;base64," in section
    assert f"gansmith diagnose {runs_made / 'ill'}" in section
    assert "model</dt><dd>kept from " in page


def test_a_run_that_was_not_looked_at_is_looked_at_now(runs_made):
    found = api.diagnose(runs_made / "blind", "cpu")
    assert len(found.looks) == 1
    assert found.unknown == (
        "when it began, and whether samples still improve: this run has no snapshots of its training",
    )
    assert found.verdict is not None
    assert found.verdict.began_kimg is None
    assert len(found.histogram()) > 2
    assert RunFolder(runs_made / "blind").read_snapshots() == []
    assert "Health" not in found.lines()[0]


def test_without_its_images_nothing_is_said_of_samples(runs_made, tmp_path, monkeypatch):
    monkeypatch.setenv("GANSMITH_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "run"
    shutil.copytree(runs_made / "blind", folder)
    record = json.loads((folder / "run.json").read_text())
    record["data"]["source"] = str(tmp_path / "gone.npz")
    (folder / "run.json").write_text(json.dumps(record))
    found = api.diagnose(folder)
    assert found.verdict is None
    assert found.collapse == "Unknown."
    assert found.histogram() == []
    assert found.advice == ()
    assert len(found.unknown) == 2
    assert found.unknown[1].startswith("quality of its samples: ")
    assert "gone.npz" in found.unknown[1]
    assert "unknown quality of samples" in found.lines()[0]


def test_a_running_run_is_read_as_it_is(runs_made, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(runs_made / "ill", folder)
    run = RunFolder(folder)
    length = dataclasses.replace(run.record.length, iterations=1000, schedule_kimg=16.0)
    run.write_record(run.record.model_copy(update={"length": length}))
    append_row(run.log, {"event": "skipped", "iteration": 60, "kimg": 0.96, "message": "2 steps in a row"})
    with open(run.log, "a") as file:
        file.write('{"iteration": 61, "ki')  # is being written
    found = api.diagnose(folder)
    assert not found.standing.is_finished
    assert "(not finished, 16.0 planned)" in found.lines()[0]
    assert any("skipped: 2 steps in a row" in line for line in found.lines())


@pytest.mark.parametrize("healthy", [True, False])
def test_the_answer_about_collapse(healthy, runs_made, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(runs_made / "ill", folder)
    run = RunFolder(folder)
    run.snapshots.unlink()
    kinds = {"hat": [0.5, 0.52], "bag": [0.3, 0.3 if healthy else 0.0], "shoe": [0.2, 0.18 if healthy else 0.48]}
    for at in (10, 20, 30):
        numbers = {"fd100_x_train": 2.0 - at / 100, "diversity100_x_train": 0.9, "copies100_x_train": 0.0}
        append_row(run.snapshots, {"iteration": at, "kimg": at / 1000, **numbers, "fd_of_one": 20.0, "modes": kinds})
    found = api.diagnose(folder)
    if healthy:
        assert found.collapse == "No: 3 of 3 kinds are generated, as diverse as 2.7 equally frequent kinds."
        assert found.advice == (("train longer, the samples still improve", f"gansmith resume {folder} --kimg 1.92"),)
    else:
        assert found.collapse == "In part: 1 of 3 kinds of images are hardly ever made: bag."
        other = dataclasses.replace(found, verdict=Verdict("discriminator_wins"))  # another verdict hides no collapse
        assert other.collapse == (
            "In part: 2 of 3 kinds are generated, as diverse as 2.0 equally frequent kinds; missing or rare: bag."
        )
        assert "  bag    30.0%    0.0%   gone" in found.histogram()
        assert ("longer training: rare kinds often come late", f"gansmith resume {folder} --kimg 1.92") in found.advice


def test_the_command_prints_text_or_json(runs_made):
    told = CliRunner().invoke(app, ["diagnose", str(runs_made / "ill")])
    assert told.exit_code == 0
    assert "Did mode collapse manifest?" in told.stdout
    read = json.loads(CliRunner().invoke(app, ["diagnose", str(runs_made / "ill"), "--json"]).stdout)
    assert read["verdict"]["name"] in HOPELESS
    assert read["look"]["modes"]
    assert read["is_finished"] is True


def test_what_is_no_run_is_refused(tmp_path):
    with pytest.raises(CheckpointError, match=r"is no run folder: it has no run\.json"):
        api.diagnose(tmp_path)


def test_options_of_train_become_part_of_the_recipe(tiny_file, tmp_path, monkeypatch):
    monkeypatch.setattr(api, "write_results", lambda *_: None)
    from small_runs import small

    words = ["train", str(tiny_file), *small("mlp-small"), "--recipe", "mlp-small", "--steps", "1"]
    out = tmp_path / "run"
    done = CliRunner().invoke(app, [*words, "--out", str(out), "--patience", "4", "--on-collapse", "rollback"])
    assert done.exit_code == 0
    monitor = load_recipe(str(out / "recipe.yaml")).monitor
    assert (monitor.patience, monitor.on_collapse) == (4, "rollback")
    wrong = CliRunner().invoke(app, [*words, "--out", str(tmp_path / "no"), "--on-collapse", "cry"])
    assert (
        "override 'monitor.on_collapse=cry': monitor.on_collapse: input should be 'warn' or 'rollback', got 'cry'"
        in str(wrong.exception)
    )
    few = CliRunner().invoke(app, [*words, "--out", str(tmp_path / "no"), "--patience", "0"])
    assert "monitor.patience: input should be greater than or equal to 1, got 0" in str(few.exception)
