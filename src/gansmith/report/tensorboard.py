"""A run's log as TensorBoard events, when the extra is installed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np


class TensorBoardLog:
    """Events of one run."""

    @classmethod
    def open(cls, folder: Path, purge_iteration: int) -> TensorBoardLog | None:
        """Return a log that replaces events from ``purge_iteration`` on, or None without the tensorboard extra."""
        raise NotImplementedError

    def row(self, row: dict[str, Any]) -> None:
        """Write the numbers of a log row at its iteration."""
        raise NotImplementedError

    def image(self, name: str, image: np.ndarray, iteration: int) -> None:
        """Write uint8 (H, W, C)."""
        raise NotImplementedError

    def close(self) -> None:
        """Write what is left."""
        raise NotImplementedError
