import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import gansmith
from gansmith.core.errors import DiskFullError
from gansmith.reporting import run_results
from gansmith.runs.folder import RunFolder

pytestmark = pytest.mark.slow

FINISHED = Path(__file__).parents[1] / "old_run" / "finished"


@pytest.fixture
def run(tmp_path) -> RunFolder:
    """A finished run."""
    return RunFolder.open(shutil.copytree(FINISHED, tmp_path / "run"))


@pytest.mark.parametrize(("name", "what"), [("draw_curves", "curves"), ("write_report", "report")])
def test_a_picture_that_fails_is_a_warning_and_the_model_stays(run, monkeypatch, prose, name, what):
    def fail(*_: object, **__: object) -> None:
        raise ValueError("no such backend")

    events = []
    monkeypatch.setattr(run_results, name, fail)
    run_results.write_results(run, gansmith.load(run.path, "cpu"), events.append)
    warnings = [event.message for event in events if event.kind == "warning"]
    assert len(warnings) == 1
    prose(f"no {what}", warnings[0])
    assert len(gansmith.load(run.model, "cpu").sample(1).images) == 1


@pytest.mark.parametrize("left", [(), ("film",), ("report",)])
def test_results_for_which_no_time_is_left(run, prose, left):
    parts = {"film": {"film.gif"}, "report": {"curves.png", "report.html"}}
    for name in set().union(*parts.values()):
        (run.path / name).unlink(missing_ok=True)
    shutil.rmtree(run.model)
    events = []
    run_results.write_results(run, gansmith.load(run.path, "cpu"), events.append, lambda part: part in left)
    written = {path.name for path in run.path.iterdir()} & set().union(*parts.values())
    assert written == set().union(*(parts[part] for part in left))
    prose("shortened results", events[-1].message)
    assert (run.model / "preview.png").is_file()
    assert len(gansmith.load(run.model, "cpu").sample(1).images) == 1


def test_a_full_disk_is_an_error(run, monkeypatch):
    def fail(*_: object) -> None:
        raise DiskFullError("disk.full", "the disk is too full")

    monkeypatch.setattr(run_results, "draw_curves", fail)
    with pytest.raises(DiskFullError):
        run_results.write_results(run, gansmith.load(run.path, "cpu"), lambda _: None)


@pytest.mark.parametrize("backend", ["nosuch", "module://not_installed"])  # notebooks set the second kind
def test_curves_where_mplbackend_names_a_backend_that_is_not_installed(tmp_path, backend):
    code = (
        "from pathlib import Path; from gansmith.reporting.curves import draw_curves\n"
        f"draw_curves([{{'kimg': 1.0, 'loss_generator': 2.0}}], Path({str(tmp_path / 'curves.png')!r}))"
    )
    environ = {**os.environ, "MPLBACKEND": backend}
    subprocess.run([sys.executable, "-c", code], check=True, env=environ)
    assert (tmp_path / "curves.png").stat().st_size > 0


def test_curves_without_a_home_folder_print_nothing(tmp_path):
    code = (
        "from pathlib import Path; from gansmith.reporting.curves import draw_curves\n"
        f"draw_curves([{{'kimg': 1.0, 'loss_generator': 2.0}}], Path({str(tmp_path / 'curves.png')!r}))"
    )
    kept = {name: text for name, text in os.environ.items() if name not in ("XDG_CONFIG_HOME", "MPLCONFIGDIR")}
    environ = {**kept, "HOME": "/dev/null", "GANSMITH_CACHE": str(tmp_path / "cache")}
    told = subprocess.run([sys.executable, "-c", code], check=True, env=environ, capture_output=True, text=True)
    assert told.stderr == ""
    assert (tmp_path / "cache" / "matplotlib").is_dir()
