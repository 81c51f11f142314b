"""The command line in a fork of the test process, which has imported torch: a new interpreter takes seconds for it."""

import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

from gansmith.__main__ import main

LIMIT_SEC = 600  # of a verb; tests assert no times


class Forked:
    """The command in a fork of this process, with what the tests use of ``subprocess.Popen``."""

    def __init__(self, words: tuple[object, ...], errors: Path, environment: dict[str, str]) -> None:
        self.returncode: int | None = None
        self._errors = errors
        end, begin = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            os.dup2(begin, 1)
            os.dup2(os.open(errors, os.O_WRONLY | os.O_CREAT), 2)
            os.environ.update(environment)
            _be_the_command([str(word) for word in words])
        os.close(begin)
        self.stdout = open(end)  # noqa: SIM115

    def poll(self) -> int | None:
        if self.returncode is None and (ended := os.waitpid(self.pid, os.WNOHANG))[0]:
            self.returncode = os.waitstatus_to_exitcode(ended[1])
        return self.returncode

    def send_signal(self, number: int) -> None:
        os.kill(self.pid, number)

    def wait(self, timeout: float = LIMIT_SEC) -> int:
        end = time.monotonic() + timeout
        while (code := self.poll()) is None:
            assert time.monotonic() < end, "it took too long"
            time.sleep(0.004)
        return code

    def communicate(self, timeout: float = LIMIT_SEC) -> tuple[str, str]:
        self.wait(timeout)
        with self.stdout:
            return self.stdout.read(), self._errors.read_text()


def _be_the_command(words: list[str]) -> None:
    """Run the command line as ``python -m gansmith`` does, and end the process."""
    code: Any = 1
    try:
        for number, handler in ((signal.SIGINT, signal.default_int_handler), (signal.SIGTERM, signal.SIG_DFL)):
            signal.signal(number, handler)
        sys.argv = ["gansmith", *words]
        sys.stdout, sys.stderr = (os.fdopen(number, "w", buffering=1, closefd=False) for number in (1, 2))
        try:
            main()
        except SystemExit as ended:
            code = ended.code
        except BaseException:
            sys.excepthook(*sys.exc_info())
    finally:
        os._exit(int(code or 0))
