"""Import matplotlib, also where MPLBACKEND names a backend that is not installed."""

import os
import sys


def load_matplotlib() -> None:
    """Import matplotlib. A wrong MPLBACKEND, which notebooks hand to commands, is ignored: files need no display."""
    if "matplotlib" in sys.modules:
        return
    try:
        import matplotlib
    except ValueError:
        for name in [each for each in sys.modules if each.partition(".")[0] == "matplotlib"]:
            del sys.modules[name]  # half imported
        backend = os.environ.pop("MPLBACKEND")
        try:
            import matplotlib  # noqa: F401  (once more, without the backend)
        finally:
            os.environ["MPLBACKEND"] = backend
