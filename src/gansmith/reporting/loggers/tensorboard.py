"""TensorBoard: event files in the folder ``tensorboard`` of the run."""

from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import yaml
from PIL import Image

from gansmith.core.plain_files import open_plain
from gansmith.reporting.loggers.base import Logger, LoggerPart, Step, TrackedRun, loggers


@loggers.register("tensorboard")
class TensorBoard(LoggerPart):
    """Event files in RUN/tensorboard, for ``tensorboard --logdir RUN``."""

    package: ClassVar[str] = "tensorboard"
    extra: ClassVar[str] = "tensorboard"

    def open(self, run: TrackedRun) -> "TensorBoardLogger":
        """Open a new event file. TensorBoard hides the steps from ``run.next_step`` on that older files hold."""
        from torch.utils.tensorboard import SummaryWriter  # an extra

        folder = run.folder / "tensorboard"
        writer = SummaryWriter(str(folder), purge_step=run.next_step)
        if run.next_step == 0:
            writer.add_text("config", f"```yaml\n{yaml.safe_dump(run.config, sort_keys=False)}```", 0)
        return TensorBoardLogger(writer, folder)


class TensorBoardLogger(Logger):
    """One event file. A resume sends again what may be lost, since the new file hides it in the old ones."""

    def __init__(self, writer: Any, folder: Path) -> None:
        self._writer, self.place = writer, str(folder)

    def send(self, step: Step) -> None:
        """Write scalars, the grid and the events, and flush: a killed run loses no step that counts as sent."""
        for name, value in step.numbers.items():
            if name != "iteration":
                self._writer.add_scalar(name, value, step.iteration)
        if step.grid is not None:
            with open_plain(step.grid) as file, Image.open(file) as image:
                self._writer.add_image("samples", np.asarray(image.convert("RGB")), step.iteration, dataformats="HWC")
        for name, message in step.events:
            self._writer.add_text(f"event/{name}", message, step.iteration)
        self._writer.flush()

    def finish(self, summary: dict[str, float | str], model: Path | None) -> None:
        """Write the final metrics as a table of text; event files hold no model folder."""
        rows = "\n".join(f"| {name} | {value} |" for name, value in summary.items())
        text = f"| metric | value |\n|---|---|\n{rows}"
        self._writer.add_text("summary", text, int(summary["iteration"]))

    def close(self, outcome: str) -> None:
        """Close the file."""
        self._writer.close()
