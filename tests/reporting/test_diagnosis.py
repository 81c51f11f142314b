"""``gansmith diagnose``: runs with and without problems, with and without snapshots, and folders that are no runs."""

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
from gansmith.evaluation.health import HOPELESS, Verdict
from gansmith.recipes.load import load_recipe
from gansmith.runs.folder import RunFolder
from gansmith.runs.log import append_row
from small_runs import COLLAPSING, MONITORED, small, train, with_results

COLLAPSES = (*MONITORED, "batch_size=16", "hidden=[32]", "lr=3e-3", *COLLAPSING)


@pytest.fixture(scope="module")
def runs_made(tiny_file, tmp_path_factory) -> Path:
    """Two runs that collapse: one with snapshots, one without."""
    root = tmp_path_factory.mktemp("runs")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GANSMITH_CACHE", str(root / "cache"))
        with with_results():
            train(tiny_file, root / "monitored", "mlp-small", *COLLAPSES, steps=60)
        patch.setattr(api, "write_results", lambda *_: None)
        no_snapshots = ("monitor.snapshot_kimg=0", "monitor.images=100", "monitor.reference=100")
        train(
            tiny_file, root / "unmonitored", "mlp-small", *no_snapshots, *COLLAPSING, "lr=3e-3", *COLLAPSING, steps=60
        )
    return root


@pytest.mark.slow
def test_a_collapse_is_reported_with_reasons_moment_and_command(runs_made):
    found = api.diagnose(runs_made / "monitored")
    assert found.verdict is not None
    assert found.verdict.name in HOPELESS
    assert found.verdict.began_kimg is not None
    assert found.lines()[0].endswith(found.verdict.message)
    assert {row["event"] for row in found.events} >= {"health"}
    report, snapshots, grid = found.evidence
    assert report.startswith(str(runs_made / "monitored" / "report.html"))
    assert snapshots.startswith(str(RunFolder(runs_made / "monitored").snapshots))
    assert grid.startswith(str(runs_made / "monitored" / "samples"))
    commands = [command for _, command in found.suggestions if command.startswith("gansmith train")]
    assert commands
    for command in commands:
        words = shlex.split(command)
        recipe = words[words.index("--recipe") + 1]
        options = words.index("--kimg")
        (source,), overrides = data_and_overrides([w for w in words[2:options] if w not in ("--recipe", recipe)
                                         and not w.startswith("--") and w not in ("3", "rollback")])  # fmt: skip
        assert Path(source).is_file()
        assert load_recipe(recipe, tuple(overrides))
    assert len(found.histogram()) == 1 + len(found.snapshot["modes"])


@pytest.mark.slow
def test_the_report_shows_verdict_moment_timeline_and_grid(runs_made):
    page = (runs_made / "monitored" / "report.html").read_text()
    snapshots = RunFolder(runs_made / "monitored").read_snapshots()
    section = page.partition("<h2>Health</h2>")[2].partition("</section>")[0]
    ill = sum(row["verdict"] != "healthy" for row in snapshots)
    assert section.count('<span class="ill"') == ill > 0
    assert section.count('<span class="well"') == len(snapshots) - ill
    assert "</figcaption>" in section
    assert "data:image/png;base64," in section
    assert f"gansmith diagnose {runs_made / 'monitored'}" in section
    assert "<dt>model</dt>" in page


@pytest.mark.slow
def test_a_run_without_snapshots_gets_one_now(prose, runs_made):
    found = api.diagnose(runs_made / "unmonitored", "cpu")
    assert len(found.snapshots) == 1
    prose("diagnosis: unknown of a run without snapshots", "\n".join(found.unknown))
    assert found.verdict is not None
    assert found.verdict.began_kimg is None
    assert len(found.histogram()) > 2
    assert RunFolder(runs_made / "unmonitored").read_snapshots() == []


@pytest.mark.slow
def test_without_its_images_the_quality_of_samples_is_unknown(prose, runs_made, tmp_path, monkeypatch):
    monkeypatch.setenv("GANSMITH_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "run"
    shutil.copytree(runs_made / "unmonitored", folder)
    record = json.loads((folder / "run.json").read_text())
    record["data"]["source"] = str(tmp_path / "gone.npz")
    (folder / "run.json").write_text(json.dumps(record))
    found = api.diagnose(folder)
    assert found.verdict is None
    assert found.histogram() == []
    assert found.suggestions == ()
    assert len(found.unknown) == 2
    assert "gone.npz" in found.unknown[1]
    prose("diagnosis of a run without its images", "\n".join(found.lines()))


@pytest.mark.slow
def test_a_running_run_is_read_as_it_is(runs_made, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(runs_made / "monitored", folder)
    run = RunFolder(folder)
    length = dataclasses.replace(run.record.length, iterations=1000, schedule_kimg=16.0)
    run.write_record(run.record.model_copy(update={"length": length}))
    append_row(run.log, {"event": "skipped", "iteration": 60, "kimg": 0.96, "message": "2 steps in a row"})
    with open(run.log, "a") as file:
        file.write('{"iteration": 61, "ki')  # is being written
    found = api.diagnose(folder)
    assert not found.status.is_finished
    assert "(not finished, 16.0 planned)" in found.lines()[0]
    assert any("skipped: 2 steps in a row" in line for line in found.lines())


@pytest.mark.parametrize("healthy", [True, False])
@pytest.mark.slow
def test_the_answer_about_collapse(prose, healthy, runs_made, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(runs_made / "monitored", folder)
    run = RunFolder(folder)
    run.snapshots.unlink()
    modes = {"hat": [0.5, 0.52], "bag": [0.3, 0.3 if healthy else 0.0], "shoe": [0.2, 0.18 if healthy else 0.48]}
    for at in (10, 20, 30):
        numbers = {"fd100_x_train": 2.0 - at / 100, "diversity100_x_train": 0.9, "copies100_x_train": 0.0}
        append_row(run.snapshots, {"iteration": at, "kimg": at / 1000, **numbers, "fd_of_one": 20.0, "modes": modes})
    found = api.diagnose(folder)
    if healthy:
        assert found.collapse.startswith("No: ")
        prose("mode collapse", found.collapse)
        assert [command for _, command in found.suggestions] == [f"gansmith resume {folder} --kimg 1.92"]
    else:
        assert found.collapse.startswith("In part: ")
        other = dataclasses.replace(found, verdict=Verdict("discriminator_wins"))  # another verdict hides no collapse
        assert other.collapse.startswith("In part: ")
        prose("mode collapse", found.collapse)
        prose("mode collapse", other.collapse)
        event = {"kimg": 0.02, "event": "health", "message": found.verdict.message}
        prose("diagnosis of a run", "\n".join(dataclasses.replace(found, events=(event,)).lines()))
        assert f"gansmith resume {folder} --kimg 1.92" in [command for _, command in found.suggestions]


@pytest.mark.slow
def test_the_command_prints_text_or_json(runs_made):
    printed = CliRunner().invoke(app, ["diagnose", str(runs_made / "monitored")])
    assert printed.exit_code == 0
    assert printed.stdout == "\n".join(api.diagnose(runs_made / "monitored").lines()) + "\n"
    read = json.loads(CliRunner().invoke(app, ["diagnose", str(runs_made / "monitored"), "--json"]).stdout)
    assert read["verdict"]["name"] in HOPELESS
    assert read["snapshot"]["modes"]
    assert read["is_finished"] is True


def test_a_folder_that_is_no_run_is_refused(refused, tmp_path):
    with refused("run.not_a_run"):
        api.diagnose(tmp_path)


@pytest.mark.slow
def test_options_of_train_become_part_of_the_recipe(prose, tiny_file, tmp_path, monkeypatch):
    monkeypatch.setattr(api, "write_results", lambda *_: None)
    words = ["train", str(tiny_file), *small("mlp-small"), "--recipe", "mlp-small", "--steps", "1"]
    out = tmp_path / "run"
    done = CliRunner().invoke(app, [*words, "--out", str(out), "--patience", "4", "--on-collapse", "rollback"])
    assert done.exit_code == 0
    monitor = load_recipe(str(out / "recipe.yaml")).monitor
    assert (monitor.patience, monitor.on_collapse) == (4, "rollback")
    wrong = CliRunner().invoke(app, [*words, "--out", str(tmp_path / "no"), "--on-collapse", "cry"])
    assert wrong.exception.code == "recipe.invalid_value"
    prose("recipe.invalid_value", str(wrong.exception))
    few = CliRunner().invoke(app, [*words, "--out", str(tmp_path / "no"), "--patience", "0"])
    assert few.exception.code == "recipe.invalid_value"
    prose("recipe.invalid_value", str(few.exception))
