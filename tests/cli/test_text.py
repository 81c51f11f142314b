"""What is written to the terminal: names cannot steer it, and paths that programs read stay as they are."""

import os
from pathlib import Path

import pytest

from gansmith.cli.text import tell
from gansmith.core.events import say, say_result

HOSTILE = "a\x1b[2J\x07\x9b31m\u202eb\r"
SHOWN = "a\\x1b[2J\\x07\\x9b31m\\u202eb\\r"


def test_notes_and_errors_hold_no_control_characters(capsys):
    say(f"note: '{HOSTILE}'\n  second line\twith a tab")
    assert capsys.readouterr().err == f"note: '{SHOWN}'\n  second line\twith a tab\n"


@pytest.mark.parametrize("write", [tell, say_result])
def test_results_hold_none_but_in_a_path_for_a_program(capsys, monkeypatch, write):
    write(HOSTILE)
    assert capsys.readouterr().out == f"{SHOWN}\n"
    write(Path(HOSTILE))
    assert capsys.readouterr().out == f"{HOSTILE}\n"
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    write(Path(HOSTILE))
    assert capsys.readouterr().out == f"{SHOWN}\n"


def test_names_that_are_no_utf_8_can_be_written(capsys):
    say("folder/\udcff.png")
    tell("folder/\udcff.png")
    out, err = capsys.readouterr()
    assert out == err
    assert "\udcff" not in out


@pytest.mark.parametrize("write", [tell, say_result])
def test_a_path_for_a_program_keeps_its_bytes(capfdbinary, write):
    write(Path(os.fsdecode(b"caf\xe9/x")))
    write(Path("after"))
    assert capfdbinary.readouterr().out == b"caf\xe9/x\nafter\n"
