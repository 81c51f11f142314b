"""The option --processes: the command that each process runs, and torchrun around it."""

import pytest
import typer

from gansmith.cli.options import in_processes, words_without
from gansmith.core import processes


def test_each_process_runs_the_command_without_the_option():
    words = ["train", "--processes", "2", "photos", "--processes=4", "lr=1", "--json"]
    assert words_without(words, "--processes") == ["train", "photos", "lr=1", "--json"]


def test_torchrun_has_processes_of_its_own(monkeypatch, refused):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with refused("cli.processes_inside_torchrun"):
        in_processes(2)


def test_the_command_ends_with_the_code_of_its_processes(monkeypatch):
    monkeypatch.setattr("sys.argv", ["gansmith", "train", "photos", "--processes", "2"])
    asked = []
    monkeypatch.setattr(processes, "start_processes", lambda *given: asked.append(given) or 3)
    with pytest.raises(typer.Exit) as ended:
        in_processes(2)
    assert ended.value.exit_code == 3
    assert asked == [(2, ["train", "photos"])]
    in_processes(1)
    in_processes(None)
    assert len(asked) == 1
