"""Import matplotlib, also where MPLBACKEND names a backend that is not installed, and without a home folder."""

import os
import sys
from pathlib import Path

from gansmith.core.user_folders import is_writable
from gansmith.data.cache_folder import cache_folder


def load_matplotlib() -> None:
    """Import matplotlib. A wrong MPLBACKEND, which notebooks hand to commands, is ignored: files need no display."""
    if "matplotlib" in sys.modules:
        return
    if "MPLCONFIGDIR" not in os.environ and not _has_config_folder():
        os.environ["MPLCONFIGDIR"] = str(cache_folder() / "matplotlib")  # else it warns, and lists all fonts each time
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


def _has_config_folder() -> bool:
    """Say whether matplotlib can keep its list of fonts in a folder of this user."""
    try:
        return is_writable(Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "matplotlib")
    except RuntimeError:  # no HOME, and a user id without a name
        return False
