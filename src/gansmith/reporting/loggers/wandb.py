"""Weights & Biases; with WANDB_MODE=offline, files in RUN/wandb for ``wandb sync``."""

import os
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

from pydantic import Field

from gansmith.core.errors import GansmithError
from gansmith.core.plain_files import read_bytes
from gansmith.reporting.loggers.base import PROJECT, Logger, LoggerPart, Step, TrackedRun, loggers

INIT_SEC = 30.0  # how long wandb may take to connect; a process that ends waits for it
FINISH_SEC, MODEL_SEC = 25.0, 580.0  # how long wandb may upload at the end, less than gansmith waits; with the model
BLOCK, HEADER, FILE_HEADER = 32768, 7, 7  # of a .wandb file, in bytes: LevelDB's log format


@loggers.register("wandb")
class Wandb(LoggerPart):
    """A run at wandb.ai or on your own server; WANDB_ENTITY, WANDB_MODE and WANDB_BASE_URL count."""

    package: ClassVar[str] = "wandb"
    extra: ClassVar[str] = "wandb"

    project: str | None = Field(None, description="project; null: WANDB_PROJECT, else gansmith")

    def check(self) -> None:
        """Also require a login, unless the mode is offline."""
        super().check()
        import wandb  # an extra

        settings = wandb.setup().settings
        if settings.mode == "online" and not wandb.login(prompt=False, verify=False):
            raise GansmithError(
                "run.logger_login",
                "logger 'wandb' has no login: there is no WANDB_API_KEY and no key that 'wandb login' stored"
                "\n  log in once: wandb login; or keep the run on this disk: WANDB_MODE=offline gansmith train ...",
            )

    def open(self, run: TrackedRun) -> "WandbLogger":
        """Start or continue the run with this id."""
        import wandb  # an extra

        settings = wandb.Settings(
            console="off", silent=True, disable_git=True, save_code=False,
            x_disable_meta=True, x_disable_stats=True, x_disable_machine_info=True,
            init_timeout=INIT_SEC, finish_timeout=MODEL_SEC if self.model else FINISH_SEC,
        )  # fmt: skip
        project = self.project or os.environ.get("WANDB_PROJECT") or PROJECT
        started = wandb.init(
            project=project, id=run.id, name=run.name, resume="allow", dir=str(run.folder), settings=settings,
        )  # fmt: skip
        started.config.update(run.config, allow_val_change=True)
        return WandbLogger(started, run)


class WandbLogger(Logger):
    """A run of wandb."""

    def __init__(self, run: Any, tracked: TrackedRun) -> None:
        self._run, self._tracked = run, tracked
        offline = f"{tracked.folder / 'wandb'} (offline; to send it: wandb sync)"
        self.place = offline if run.offline else run.url or ""

    def last_step(self) -> int | None:
        """Return the last step on the server; offline, the last in the files that earlier processes wrote."""
        if not self._run.offline:
            return int(self._run.step) - 1
        files = self._tracked.folder.glob(f"wandb/offline-run-*-{self._tracked.id}/*.wandb")
        return last_stored_step([file for file in files if file.parent != Path(self._run.dir).parent])

    def send(self, step: Step) -> None:
        """Log one row of history; events are alerts."""
        import wandb  # an extra

        grid = {} if step.grid is None else {"samples": wandb.Image(str(step.grid))}
        self._run.log({**step.numbers, **grid}, step=step.iteration, commit=True)
        for name, message in step.events:
            self._run.alert(title=name, text=message, wait_duration=0)

    def finish(self, summary: dict[str, float | str], model: Path | None) -> None:
        """Set the summary; the model folder becomes an artifact of type model."""
        import wandb  # an extra

        self._run.summary.update(summary)
        if model is not None:
            artifact = wandb.Artifact(f"model-{self._tracked.id}", type="model")
            artifact.add_dir(str(model))
            self._run.log_artifact(artifact)

    def close(self, outcome: str) -> None:
        """Upload what is left, for a limited time; the rest stays on disk, for ``wandb sync``."""
        self._run.finish(exit_code=1 if outcome == "failed" else 0)


def last_stored_step(files: Sequence[Path]) -> int | None:
    """Return the last step in .wandb files, -1 if they have none; None without files, as after ``wandb clean``."""
    steps = [record.history.step.num for path in files for record in read_records(path) if record.HasField("history")]
    return max(steps, default=-1) if files else None


def read_records(path: Path) -> Iterator[Any]:
    """Yield the records of a .wandb file, as far as they are whole; wandb has no public reader."""
    from wandb.proto.wandb_internal_pb2 import Record  # an extra

    data, place, parts = read_bytes(path), FILE_HEADER, b""
    while place + HEADER <= len(data):
        if (room := BLOCK - place % BLOCK) < HEADER:
            place += room
            continue
        _, size, kind = struct.unpack_from("<IHB", data, place)  # the kinds: 1 whole, 2 first, 3 middle, 4 last part
        if kind == 0 or place + HEADER + size > len(data):
            return
        parts += data[place + HEADER : place + HEADER + size]
        place += HEADER + size
        if kind in (1, 4):
            record = Record()
            record.ParseFromString(parts)
            yield record
            parts = b""
