"""JSON Schemas of the files that gansmith writes, each with a version."""

from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict, TypeAdapter

from gansmith.core.errors import GansmithError, unknown_name
from gansmith.core.events import HealthValues, VerdictName
from gansmith.evaluation.result import Evaluation
from gansmith.inference.model_record import FORMAT, ModelRecord
from gansmith.recipes.recipe import Recipe
from gansmith.runs.log import LogEvent
from gansmith.runs.record import RECORD_FORMAT, RunRecord


class LogRow(BaseModel):
    """A row of numbers in log.jsonl; the other columns depend on the method. null: not finite."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, float | None]

    iteration: int
    kimg: float
    epoch: float


class SnapshotRow(BaseModel):
    """A row of snapshots.jsonl; the names of the other columns say metric, images, extractor and split."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, float | None]

    iteration: int
    kimg: float
    verdict: VerdictName
    fd_of_one: float
    deviations: dict[str, float] = {}  # of fd, coverage and texture; rows of older runs have fewer
    modes: dict[str, tuple[float, float]]  # name: share of the training images, share of the samples


class ModelFile(ModelRecord):
    """The contents of model.json."""

    sha256: dict[str, str]  # of the weights, by file name


class RunResult(BaseModel):
    """The object that train --json and resume --json print."""

    model_config = ConfigDict(extra="forbid")

    folder: str
    finished: bool  # false: a signal paused the run
    signal: str | None  # name of that signal
    ended_by: VerdictName | None  # the verdict that ended the run before its length
    kimg: float  # that the run has reached
    verdict: VerdictName | None  # of the last snapshot
    best: dict[str, float | str | None] | None  # the snapshot with the lowest fd, which became the model
    model: str | None  # folder of the finished model
    report: str | None


@dataclass(frozen=True)
class _File:
    what: str
    version: int  # raise it when a change breaks readers; a test compares the schema with the last one
    type: Any


FILES = {
    "run": _File("run.json", RECORD_FORMAT, RunRecord),
    "recipe": _File("recipe.yaml", 1, Recipe),
    "model": _File("model.json", FORMAT, ModelFile),
    "events": _File("a line of log.jsonl", 1, LogRow | LogEvent | HealthValues),
    "snapshots": _File("a line of snapshots.jsonl", 1, SnapshotRow),
    "evaluation": _File("evaluation.json", 2, Evaluation),
    "result": _File("the output of train --json and resume --json", 1, RunResult),
}


def schema(name: str) -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of a file that gansmith writes, by name; GansmithError for another name.

    The parts of a recipe are those that are registered: plugins that were loaded are among them.
    """
    if name not in FILES:
        raise GansmithError("cli.unknown_schema", unknown_name("schema", name, FILES))
    file = FILES[name]
    head = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"gansmith: {file.what}",
        "version": file.version,
    }
    return {**TypeAdapter(file.type).json_schema(mode="serialization"), **head}
