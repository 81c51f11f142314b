"""Signals that pause a run (Ctrl-C, SIGTERM, ...); a closed terminal does not pause it."""

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

# Ctrl-C, kill, and what SLURM, Kubernetes and spot instances send before they end a job; Windows has the first two.
PAUSING = ("SIGINT", "SIGTERM", "SIGUSR1", "SIGUSR2", "SIGXCPU")
ENDING = (*(name for name in PAUSING if name != "SIGINT"), "SIGHUP")  # they end a program unless it listens
STDERR, HEARD = 2, b"\nstopping after this step, then saving; once more leaves at once\n"


@dataclass
class StopRequest:
    """A request to finish the present step, save and stop. A signal of PAUSING sets it; a second one exits at once.

    SIGHUP sets it too, except where a terminal that was there at first has gone. With ``speaks`` the first signal is
    answered on standard error, by a write that may interrupt a print.
    """

    speaks: bool = False
    signal_number: int = 0
    _old: dict[int, Any] = field(default_factory=dict)
    _had_terminal: bool = False

    def requested(self) -> bool:
        """Say whether a stop was asked for."""
        return self.signal_number != 0

    @contextmanager
    def listening(self) -> Iterator["StopRequest"]:
        """Listen for signals inside, if this is the main thread."""
        if threading.current_thread() is threading.main_thread():
            numbers = [getattr(signal, name) for name in PAUSING if hasattr(signal, name)]
            self._old = {number: signal.signal(number, self._receive) for number in numbers}
            hangup = getattr(signal, "SIGHUP", None)
            self._had_terminal = _has_terminal()
            if hangup is not None and (_outliving or _ends_program(hangup)):  # else: nohup
                self._old[hangup] = signal.signal(hangup, self._hang_up)
        try:
            yield self
        finally:
            self.end()

    def end(self) -> None:
        """Stop listening: work after this may be cut off."""
        for number, handler in self._old.items():
            signal.signal(number, handler)
        self._old = {}

    def _hang_up(self, number: int, frame: Any) -> None:
        """Go on if the terminal was closed; stop if someone sent the signal."""
        if _has_terminal() or not self._had_terminal:
            self._receive(number, frame)

    def _receive(self, number: int, _: Any) -> None:
        if self.signal_number:
            sys.exit(128 + number)
        self.signal_number = number
        if self.speaks and sys.stderr is not None:  # else its file number may belong to another file
            with suppress(OSError):  # nobody may be there to read it any more
                os.write(STDERR, HEARD)


class Stopped(BaseException):
    """A signal that asks a program to stop, inside ``interrupting``."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number

    @property
    def name(self) -> str:
        """Return the name of the signal."""
        return signal.Signals(self.number).name


@contextmanager
def interrupting() -> Iterator[None]:
    """Raise Stopped inside when a signal of PAUSING or SIGHUP arrives, if this is the main thread.

    A SIGHUP that the program ignores, as below nohup, stays ignored, and so does that of a closed terminal inside
    ``outliving_terminal``.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    hangup: Any = getattr(signal, "SIGHUP", None)  # Windows has none

    def receive(number: int, _: Any) -> None:
        if not (number == hangup and _outliving and _had_terminal and not _has_terminal()):
            raise Stopped(number)

    numbers = [getattr(signal, name) for name in (*PAUSING, "SIGHUP") if hasattr(signal, name)]
    ignored = [number for number in numbers if signal.getsignal(number) is signal.SIG_IGN]
    numbers = [number for number in numbers if number not in ignored or (number == hangup and _outliving)]
    old = {number: signal.signal(number, receive) for number in numbers}
    try:
        yield
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)


_outliving = False  # SIGHUP is ignored by outliving_terminal, not by nohup
_had_terminal = False  # when outliving_terminal began


@contextmanager
def outliving_terminal() -> Iterator[None]:
    """Ignore SIGHUP inside, which a closed terminal sends; handlers of the program and of nohup stay as they are."""
    global _outliving, _had_terminal
    number: Any = getattr(signal, "SIGHUP", None)  # Windows has none
    main = threading.current_thread() is threading.main_thread()
    if number is None or not main or not _ends_program(number):
        yield
        return
    before = signal.signal(number, signal.SIG_IGN)
    _outliving, _had_terminal = True, _has_terminal()
    try:
        yield
    finally:
        _outliving = False
        signal.signal(number, before)


@contextmanager
def removing_half_files() -> Iterator[None]:
    """Let SIGTERM, SIGHUP and others end the program as an exception does; handlers stay.

    So half-written files are removed, and what is there can be told.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = [getattr(signal, name) for name in ENDING if hasattr(signal, name)]
    numbers = [number for number in numbers if signal.getsignal(number) is signal.SIG_DFL]
    for number in numbers:
        signal.signal(number, _exit)
    try:
        yield
    finally:
        for number in numbers:
            signal.signal(number, signal.SIG_DFL)


def _exit(number: int, _: Any) -> None:
    sys.exit(128 + number)


def _ends_program(number: int) -> bool:
    """Say whether a signal ends this program: it is neither ignored nor heard by someone else."""
    return signal.getsignal(number) in (signal.SIG_DFL, _exit)


def _has_terminal() -> bool:
    """Say whether this process has a terminal that is still there."""
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | getattr(os, "O_NOCTTY", 0)))
    except OSError:
        return False
    return True
