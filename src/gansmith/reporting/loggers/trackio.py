"""Trackio: an SQLite file on this machine, a Space of the Hub, or your own server."""

from pathlib import Path
from typing import Any, ClassVar

from pydantic import Field

from gansmith.reporting.loggers.base import PROJECT, Logger, LoggerPart, Step, TrackedRun, loggers


@loggers.register("trackio")
class Trackio(LoggerPart):
    """A run of ``trackio show``; TRACKIO_DIR, TRACKIO_SPACE_ID and TRACKIO_SERVER_URL count."""

    package: ClassVar[str] = "trackio"
    extra: ClassVar[str] = "trackio"

    project: str = Field(PROJECT, description="project of the dashboard")

    def open(self, run: TrackedRun) -> "TrackioLogger":
        """Start or continue the run; Trackio finds it by its name, so that the name ends in the run's id."""
        import trackio  # an extra

        for module in (trackio, trackio.run, trackio.utils):  # stdout is for results
            module.print = lambda *_, **__: None
        started = trackio.init(
            self.project, f"{run.name}-{run.id}", resume="allow", config=run.config, embed=False,
            auto_log_cpu=False, auto_log_gpu=False,
        )  # fmt: skip
        return TrackioLogger(started, f"trackio show --project {self.project}")


class TrackioLogger(Logger):
    """A run of Trackio."""

    def __init__(self, run: Any, place: str) -> None:
        self._run, self.place = run, place

    def last_step(self) -> int | None:
        """Return the last step in the store; None from a remote store without steps, which may not have answered."""
        following = self._run._next_step  # where rows without a step would go on
        return None if following == 0 and self._run.url is not None else following - 1

    def send(self, step: Step) -> None:
        """Log one row; events are alerts. Trackio writes them half a second later, in a thread of its own."""
        import trackio  # an extra

        grid = {} if step.grid is None else {"samples": trackio.Image(str(step.grid))}
        self._run.log({**step.numbers, **grid}, step=step.iteration)
        for name, message in step.events:
            self._run.alert(title=name, text=message, level=trackio.AlertLevel.INFO, step=step.iteration)

    def finish(self, summary: dict[str, float | str], model: Path | None) -> None:
        """Report the final metrics as an alert, since Trackio has no summary; the model folder becomes an artifact."""
        import trackio  # an extra

        text = "\n".join(f"{name}: {value}" for name, value in summary.items())
        self._run.alert(title="summary", text=text, level=trackio.AlertLevel.INFO, step=int(summary["iteration"]))
        if model is not None:
            self._run.log_artifact(str(model), name=f"model-{self._run.name}", type="model")

    def close(self, outcome: str) -> None:
        """Wait until all is written."""
        self._run.finish()
