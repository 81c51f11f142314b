"""MLflow: a tracking server or an SQLite file, as MLFLOW_TRACKING_URI says."""

import logging
import os
import re
import time
from pathlib import Path
from typing import Any, ClassVar

from PIL import Image
from pydantic import Field

from gansmith.core.errors import GansmithError, reason_of
from gansmith.core.plain_files import open_plain
from gansmith.reporting.loggers.base import PROJECT, Logger, LoggerPart, Step, TrackedRun, flat, loggers

ID_TAG = "gansmith.id"
LONGEST = 5000  # characters of a tag or parameter
PARAMS = 100  # in one request
STATUS = {"finished": "FINISHED", "failed": "FAILED"}  # others are KILLED, until a resume


@loggers.register("mlflow")
class Mlflow(LoggerPart):
    """A run of MLflow; MLFLOW_TRACKING_URI and MLFLOW_EXPERIMENT_NAME count."""

    package: ClassVar[str] = "mlflow"
    extra: ClassVar[str] = "mlflow"

    project: str | None = Field(None, description="experiment; null: MLFLOW_EXPERIMENT_NAME, else gansmith")

    def check(self) -> None:
        """Also require a store that opens; an SQLite file is made here, since a kill while it is made ruins it."""
        super().check()
        try:
            _client()
        except Exception as problem:
            raise GansmithError(
                "run.logger_store",
                f"logger 'mlflow' cannot open its store: {reason_of(problem)}"
                "\n  set MLFLOW_TRACKING_URI to a server or a file, for example sqlite:////home/me/mlflow.db",
            ) from problem

    def open(self, run: TrackedRun) -> "MlflowLogger":
        """Find the run by its tag, or make it."""
        client = _client()
        name = self.project or os.environ.get("MLFLOW_EXPERIMENT_NAME") or PROJECT
        known = client.get_experiment_by_name(name)
        experiment = known.experiment_id if known else client.create_experiment(name)
        found = client.search_runs([experiment], f"tags.`{ID_TAG}` = '{run.id}'")
        started = found[0] if found else client.create_run(experiment, run_name=run.name, tags={ID_TAG: run.id})
        client.update_run(started.info.run_id, status="RUNNING")
        logger = MlflowLogger(client, started.info.run_id, f"experiment {name}, run {started.info.run_id}")
        logger.send_params({key: value for key, value in flat(run.config).items() if key not in started.data.params})
        return logger


def _client() -> Any:
    from mlflow import MlflowClient  # an extra

    logging.getLogger("mlflow").setLevel(logging.WARNING)  # it would announce each table that it makes
    return MlflowClient()


class MlflowLogger(Logger):
    """A run of MLflow."""

    def __init__(self, client: Any, run_id: str, place: str) -> None:
        self._client, self._id, self.place = client, run_id, place
        names = [each.path for each in client.list_artifacts(run_id, "images")]
        self._grids = {int(number) for name in names for number in re.findall(r"\bstep\W(\d+)\W", name)}

    def send_params(self, config: dict[str, Any]) -> None:
        """Set parameters, which cannot be changed later."""
        from mlflow.entities import Param  # an extra

        params = [Param(key, str(value)[:LONGEST]) for key, value in config.items()]
        for first in range(0, len(params), PARAMS):
            self._client.log_batch(self._id, params=params[first : first + PARAMS])

    def last_step(self) -> int | None:
        """Return the last step in the store."""
        return int(self._client.get_run(self._id).data.metrics.get("iteration", -1))

    def send(self, step: Step) -> None:
        """Log the grid, then the numbers with the events as tags in one request."""
        from mlflow.entities import Metric, RunTag  # an extra

        if step.grid is not None and step.iteration not in self._grids:
            with open_plain(step.grid) as file, Image.open(file) as image:
                self._client.log_image(self._id, image, key="samples", step=step.iteration, synchronous=True)
        now = int(time.time() * 1000)
        metrics = [Metric(name, value, now, step.iteration) for name, value in step.numbers.items()]
        tags = [
            RunTag(f"event.{step.iteration:09d}.{number}.{name}", message[:LONGEST])
            for number, (name, message) in enumerate(step.events)
        ]
        self._client.log_batch(self._id, metrics=metrics, tags=tags)

    def finish(self, summary: dict[str, float | str], model: Path | None) -> None:
        """Set the final metrics as tags, which replace those of an earlier end."""
        for name, value in summary.items():
            self._client.set_tag(self._id, f"summary.{name}", str(value))
        if model is not None:
            self._client.log_artifacts(self._id, str(model), "model")

    def close(self, outcome: str) -> None:
        """Set the status of the run."""
        self._client.set_terminated(self._id, STATUS.get(outcome, "KILLED"))
