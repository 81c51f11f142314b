"""``python -m gansmith``, which torchrun needs, and the ``gansmith`` command."""

import os
import signal
from types import FrameType

from gansmith.core.clock import begin_command

SPINS = (
    "30000"  # iterations of busy waiting; GNU's default of 300,000 doubles the time on busy cores: docs/performance.md
)


def main() -> None:
    """Run the command line."""
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", SPINS)  # OpenMP reads it once, when torch is imported
    begin_command()
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _interrupt)
    from gansmith.cli.app import main as run  # here: the lines above must act before torch is imported

    run()


def _interrupt(_: int, frame: FrameType | None) -> None:
    """Raise KeyboardInterrupt; during an import exit at once, because compiled modules swallow it or abort."""
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            os._exit(130)
        frame = frame.f_back
    raise KeyboardInterrupt


if __name__ == "__main__":
    main()
