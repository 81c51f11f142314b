import gc
from pathlib import Path

import pytest

from gansmith.__main__ import COLLECTIONS

pytest_plugins = ["browsers", "prose"]

SLOW_FILE = "\npytestmark = pytest.mark.slow"


def pytest_configure(config: pytest.Config) -> None:
    """Import the fixtures, and torch with them, but not in the main process of pytest-xdist, which runs no tests.

    What they leave in memory stays there, so Python need not look again and again for what of it may be freed.
    """
    if config.getoption("dist", "no") == "no":
        gc.set_threshold(*COLLECTIONS)
        config.pluginmanager.import_plugin("common_fixtures")
        gc.freeze()


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Without the slow tests, do not import files that hold no others: torch's compiler alone takes seconds."""
    if config.option.markexpr != "not slow" or collection_path.suffix != ".py":
        return None
    return SLOW_FILE in collection_path.read_text(encoding="utf-8") or None
