import os
import signal
from contextlib import nullcontext

import pytest

from gansmith.core import signals
from gansmith.core.atomic_files import commit_file
from gansmith.core.signals import (
    ENDING,
    PAUSING,
    Stopped,
    StopRequest,
    interrupting,
    outliving_terminal,
    removing_half_files,
)


@pytest.fixture(autouse=True)
def _hears_hangup():
    """Hear SIGHUP, also where nohup started the tests."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.fixture
def terminal(monkeypatch):
    """A terminal that a test can close."""
    there = [True]
    monkeypatch.setattr(signals, "_has_terminal", lambda: there[0])
    return there


@pytest.mark.parametrize("name", PAUSING)
def test_a_signal_asks_for_a_stop(name):
    number = getattr(signal, name)
    before = signal.getsignal(number)
    with StopRequest().listening() as stop:
        assert not stop.requested()
        os.kill(os.getpid(), number)
        assert stop.signal_number == number
    assert signal.getsignal(number) is before


def test_a_second_signal_ends_at_once():
    with StopRequest().listening():
        os.kill(os.getpid(), signal.SIGUSR1)
        with pytest.raises(SystemExit) as ended:
            os.kill(os.getpid(), signal.SIGTERM)
    assert ended.value.code == 128 + signal.SIGTERM


@pytest.mark.parametrize("name", ENDING)
def test_a_signal_that_ends_the_program_removes_half_written_files(tmp_path, name):
    number = getattr(signal, name)

    def write(path):
        path.write_text("half")
        os.kill(os.getpid(), number)

    before = signal.signal(number, signal.SIG_DFL)
    try:
        with pytest.raises(SystemExit) as ended, removing_half_files():
            commit_file(tmp_path / "x.zip", write)
        assert signal.getsignal(number) is signal.SIG_DFL
    finally:
        signal.signal(number, before)
    assert ended.value.code == 128 + number
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("at_first", "later", "stops"), [(True, False, False), (True, True, True), (False, False, True)]
)
def test_sighup_stops_a_run_unless_its_terminal_was_closed(terminal, at_first, later, stops):
    terminal[0] = at_first
    with removing_half_files(), outliving_terminal(), StopRequest().listening() as stop:
        terminal[0] = later
        os.kill(os.getpid(), signal.SIGHUP)
        assert stop.requested() == stops
    assert signal.getsignal(signal.SIGHUP) is signal.SIG_DFL


@pytest.mark.parametrize(
    ("at_first", "later", "stops"), [(True, False, False), (True, True, True), (False, False, True)]
)
def test_sighup_stops_the_reading_of_images_unless_the_terminal_was_closed(terminal, at_first, later, stops):
    terminal[0] = at_first
    with removing_half_files(), outliving_terminal():
        with nullcontext() if not stops else pytest.raises(Stopped), interrupting():
            terminal[0] = later
            os.kill(os.getpid(), signal.SIGHUP)
        os.kill(os.getpid(), signal.SIGHUP)


def test_sighup_is_ignored_before_and_after_training():
    with outliving_terminal():
        os.kill(os.getpid(), signal.SIGHUP)
        with StopRequest().listening():
            pass
        os.kill(os.getpid(), signal.SIGHUP)


def test_nohup_stays():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with outliving_terminal(), StopRequest().listening() as stop:
            os.kill(os.getpid(), signal.SIGHUP)
            assert not stop.requested()
            assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)
