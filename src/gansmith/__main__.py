"""``python -m gansmith``, which torchrun needs, and the ``gansmith`` command."""

import gc
import os
import signal
import sys
from types import FrameType

from gansmith.core.clock import begin_command
from gansmith.core.launched import note_exit_code

SPINS = (
    "30000"  # iterations of busy waiting; GNU's default of 300,000 doubles the time on busy cores: docs/performance.md
)
# Python's own values but for the last: all objects are looked at a tenth as often. Torch's import makes half a million
# that stay, and Python would look at all of them again and again while they are made.
COLLECTIONS = (700, 10, 100)


def main() -> None:
    """Run the command line."""
    gc.set_threshold(*COLLECTIONS)
    _replace_closed_streams()
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", SPINS)  # OpenMP reads it once, when torch is imported
    begin_command()
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _interrupt)
    from gansmith.cli.app import main as run  # here: the lines above must act before torch is imported

    try:
        run()
    except SystemExit as ended:
        note_exit_code(ended.code)
        raise
    finally:
        gc.freeze()  # the process ends: to look for what may be freed would take longer than all the rest of it


def _replace_closed_streams() -> None:
    """Open the null device in the place of streams that the caller closed, as in ``gansmith ... >&-``.

    Else the next file takes their number, and gets what libraries print.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number
    for name, number in (("stdout", 1), ("stderr", 2)):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(number, "w", closefd=False))


def _interrupt(_: int, frame: FrameType | None) -> None:
    """Raise KeyboardInterrupt; during an import exit at once, because compiled modules swallow it or abort."""
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            os._exit(130)
        frame = frame.f_back
    raise KeyboardInterrupt


if __name__ == "__main__":
    main()
