"""The log of a run as TensorBoard events, if the extra is installed."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np

from gansmith.core.metric_name import MetricName
from gansmith.reporting.series import is_number

GROUPS = ("grad_norm", "loss", "accuracy", "penalty", "score", "update", "d")  # tag of loss_generator: loss/generator


class TensorBoardLog:
    """The TensorBoard log of one run; ``open`` makes it."""

    def __init__(self, writer: Any) -> None:
        self._writer = writer

    @classmethod
    def open(cls, folder: Path, purge_iteration: int) -> TensorBoardLog | None:
        """Return a log in ``folder``, or None without the extra ``tensorboard``.

        TensorBoard hides the events from ``purge_iteration`` on that a stopped run left: a resume repeats them.
        """
        if importlib.util.find_spec("tensorboard") is None:
            return None
        from torch.utils.tensorboard import SummaryWriter  # an extra, and it imports torch

        return cls(SummaryWriter(str(folder), purge_step=purge_iteration))

    def row(self, row: dict[str, Any]) -> None:
        """Write the numbers of a log row at its iteration, or an event row as text; null values are left out."""
        step = int(row["iteration"])
        if "event" in row:
            self._writer.add_text(f"event/{row['event']}", str(row.get("message", "")), step)
            return
        for name, value in row.items():
            if name != "iteration" and is_number(value):
                self._writer.add_scalar(tag_of(name), value, step)

    def image(self, name: str, image: np.ndarray, iteration: int) -> None:
        """Write uint8 (H, W, C) with 1, 3 or 4 channels."""
        self._writer.add_image(name, image, iteration, dataformats="HWC")

    def close(self) -> None:
        """Write the remaining events and close the file."""
        self._writer.close()


def tag_of(name: str) -> str:
    """Return the tag of a column: loss/generator, d/fake_after, snapshot/fd2k_own_train, run/kimg."""
    for group in GROUPS:
        if name.startswith(f"{group}_"):
            return f"{group}/{name.removeprefix(f'{group}_')}"
    return f"snapshot/{name}" if MetricName.parse(name) else f"run/{name}"
