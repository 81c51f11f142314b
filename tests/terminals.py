"""Verbs in real terminals: each runs in a fork, whose terminal is a pty of its own."""

import contextlib
import fcntl
import multiprocessing
import os
import pty
import signal
import struct
import sys
import termios
from multiprocessing.connection import Connection
from typing import Any

import numpy as np
from PIL import Image

from small_runs import quick_curves, quick_film, with_results

LIMIT_SEC = 600  # of a verb, which an alarm ends; tests assert no times


class Terminals:
    """A fork of this process that runs verbs in terminals, one at a time."""

    def __init__(self) -> None:
        self._asks, answers = multiprocessing.Pipe()
        self._process = multiprocessing.get_context("fork").Process(target=_answer, args=(answers,))
        self._process.start()

    def run(self, *words: Any, **how: Any) -> tuple[int, str]:
        """Return the exit code, negative for a signal, and all that the terminal showed; see ``_in_terminal``."""
        self._asks.send({"words": [str(word) for word in words], **how})
        return self._asks.recv()

    def close(self) -> None:
        self._asks.send(None)
        self._process.join()


def _resize(number: int, columns: int) -> None:
    fcntl.ioctl(number, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))


def _in_terminal(
    words: list[str],
    folder: str = ".",
    columns: int = 80,
    environ: dict[str, str | None] | None = None,
    encoding: str = "utf-8",
    hears_hangup: bool = True,
    narrow_at: str = "",
    close_at: str = "",
    real_results: bool = False,
) -> tuple[int, str]:
    """Run a verb; make the terminal narrow, or close it, as soon as it shows a text."""
    ready, go = os.pipe()
    child, number = pty.fork()
    if child == 0:
        os.read(ready, 1)  # until the terminal has its size
        with with_results() if real_results else with_results(quick_film, quick_curves):
            _be_the_verb(words, folder, environ or {}, encoding, hears_hangup)
    _resize(number, columns)
    os.write(go, b"x")
    shown = b""
    with contextlib.suppress(OSError):  # EIO is the end
        while data := os.read(number, 4096):
            shown += data
            if narrow_at and narrow_at.encode() in shown:
                _resize(number, 20)
                shown, narrow_at = shown + "⏎".encode(), ""
            if close_at and close_at.encode() in shown:
                break
    for each in (number, ready, go):
        os.close(each)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), shown.decode(errors="replace")


def _be_the_verb(
    words: list[str], folder: str, environ: dict[str, str | None], encoding: str, hears_hangup: bool
) -> None:
    """Run the command line as ``python -m gansmith`` does, and end the process as the interpreter does."""
    from gansmith.__main__ import main
    from gansmith.training import clock

    clock.PROGRESS_SEC = 0  # every step is shown, however fast the machine
    code: Any = 1
    try:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGHUP, signal.SIG_DFL if hears_hangup else signal.SIG_IGN)
        signal.alarm(LIMIT_SEC)
        os.chdir(folder)
        os.environ["TERM"] = "xterm-256color"
        for name, value in environ.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value
        sys.argv = ["gansmith", *words]
        sys.stdout = open(1, "w", encoding=encoding, closefd=False)  # noqa: SIM115
        sys.stderr = open(2, "w", encoding=encoding, errors="backslashreplace", closefd=False)  # noqa: SIM115
        try:
            main()
            code = 0
        except SystemExit as ended:
            code = ended.code
        except BaseException:
            sys.excepthook(*sys.exc_info())
        for stream in (sys.stdout, sys.stderr):
            try:
                stream.flush()
            except OSError:
                code = 120
    finally:
        os._exit(int(code or 0))


def _answer(answers: Connection) -> None:
    # What the verbs import late, once for all forks: a second and more for each.
    import numpy.ctypeslib
    import numpy.ma  # noqa: F401
    import torch._dynamo  # noqa: F401

    from gansmith.evaluation.downstream import synthetic_set as augment
    from gansmith.training import prepare
    from gansmith.training.planning import machine

    Image.preinit()
    augment._classifier = lambda *_: lambda images, _: np.zeros(len(images), bool)  # its training takes minutes
    machine.MEASURE_SEC = prepare.STEADY_SEC = 0.01
    while asked := answers.recv():
        answers.send(_in_terminal(**asked))


def pieces(shown: str) -> list[str]:
    """Return what was written between returns to the start of a line, without blanks at the end."""
    return [piece.rstrip() for piece in shown.replace("\n", "\r").split("\r") if piece.strip()]


def last_lines(shown: str, count: int) -> list[str]:
    """Return the last lines as the terminal keeps them: of what was drawn over each other the last."""
    lines = [[part for part in line.split("\r") if part.strip()] for line in shown.replace("\r\n", "\n").split("\n")]
    return [parts[-1].rstrip() for parts in lines if parts][-count:]
