"""Signals that stop a run (Ctrl-C, SIGTERM), and a closed terminal, which does not."""

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

STDERR, HEARD = 2, b"\nstopping after this step, then saving; once more leaves at once\n"


@dataclass
class StopRequest:
    """A request to finish the present step, save and stop. Ctrl-C or SIGTERM sets it; a second one exits at once.

    With ``speaks`` the first signal is answered on standard error, by a write that may interrupt a print.
    """

    speaks: bool = False
    signal_number: int = 0
    _old: dict[int, Any] = field(default_factory=dict)

    def requested(self) -> bool:
        """Say whether a stop was asked for."""
        return self.signal_number != 0

    @contextmanager
    def listening(self) -> Iterator["StopRequest"]:
        """Listen for signals inside, if this is the main thread."""
        if threading.current_thread() is threading.main_thread():
            self._old = {number: signal.signal(number, self._receive) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield self
        finally:
            self.end()

    def end(self) -> None:
        """Stop listening: work after this may be cut off."""
        for number, handler in self._old.items():
            signal.signal(number, handler)
        self._old = {}

    def _receive(self, number: int, _: Any) -> None:
        if self.signal_number:
            sys.exit(128 + number)
        self.signal_number = number
        if self.speaks and sys.stderr is not None:  # else its file number may belong to another file
            with suppress(OSError):  # nobody may be there to read it any more
                os.write(STDERR, HEARD)


@contextmanager
def outliving_terminal() -> Iterator[None]:
    """Ignore SIGHUP inside, which a closed terminal sends; handlers of the program and of nohup stay as they are."""
    number: Any = getattr(signal, "SIGHUP", None)  # Windows has none
    main = threading.current_thread() is threading.main_thread()
    if number is None or not main or signal.getsignal(number) is not signal.SIG_DFL:
        yield
        return
    signal.signal(number, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(number, signal.SIG_DFL)
