"""What a process says about the command that started it."""

from gansmith.core.launched import ENDED, repeated_options


def test_a_command_repeats_the_processes_that_gansmith_started_and_not_those_of_torchrun(monkeypatch):
    monkeypatch.delenv(ENDED, raising=False)
    monkeypatch.setenv("WORLD_SIZE", "4")
    assert repeated_options() == ""
    monkeypatch.setenv(ENDED, "somewhere")
    assert repeated_options() == " --processes 4"
