"""The curves of a run as one picture."""

from pathlib import Path
from typing import Any


def draw_curves(rows: list[dict[str, Any]], path: Path) -> None:
    """Write the curves of a run's log rows as a PNG."""
    raise NotImplementedError
