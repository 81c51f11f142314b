"""What a process says about the command that started it."""

import pytest

from gansmith.core.launched import ENDED, rank_and_size, refuse_odd_launch, repeated_options


def test_a_command_repeats_the_processes_that_gansmith_started_and_not_those_of_torchrun(monkeypatch):
    monkeypatch.delenv(ENDED, raising=False)
    monkeypatch.setenv("WORLD_SIZE", "4")
    assert repeated_options() == ""
    monkeypatch.setenv(ENDED, "somewhere")
    assert repeated_options() == " --processes 4"


@pytest.mark.parametrize(
    ("rank", "size"), [("0", "two"), ("two", "2"), ("2", "2"), ("-1", "2"), ("1", None), ("0", ""), ("0", "0")]
)
def test_a_process_number_that_cannot_be_is_refused(rank, size, monkeypatch, refused):
    monkeypatch.setenv("RANK", rank)
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    if size is not None:
        monkeypatch.setenv("WORLD_SIZE", size)
    assert rank_and_size() == (0, 1)
    with refused("machine.odd_rank"):
        refuse_odd_launch()


def test_ordinary_launches_are_not_refused(monkeypatch):
    for rank, size in ((None, None), ("0", "1"), ("3", "4")):
        for name, value in (("RANK", rank), ("WORLD_SIZE", size)):
            monkeypatch.delenv(name, raising=False) if value is None else monkeypatch.setenv(name, value)
        refuse_odd_launch()
        assert rank_and_size() == (int(rank or 0), int(size or 1))
