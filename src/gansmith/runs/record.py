"""What run.json says of a run, and what has changed since it was written."""

import hashlib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from gansmith.core.runtime import Runtime, numerics
from gansmith.core.version import __version__
from gansmith.data.base import DataSpec, Source
from gansmith.recipes.load import differences
from gansmith.recipes.old_files import from_old_file
from gansmith.recipes.recipe import Recipe
from gansmith.runs.checkpoint import Checkpoint
from gansmith.runs.length import RunLength
from gansmith.runs.options import RunOptions

RECORD_FORMAT = 1


def changed_row(change: dict[str, Any]) -> dict[str, Any]:
    """Return the row of log.jsonl that tells a change."""
    at = {"iteration": change["iteration"], "kimg": change["kimg"]}
    return {"event": "changed", **at, "message": "; ".join(change["changes"])}


def make_run_record(
    options: RunOptions, source: Source, spec: DataSpec, plan: RunLength, runtime: Runtime
) -> dict[str, Any]:
    """Return what run.json says."""
    return {
        "format": RECORD_FORMAT,
        "gansmith": __version__,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "data": {
            "source": source.location,  # the same from any folder
            "root": str(options.data_root.resolve()) if options.data_root else None,
            "holdout": options.holdout,
            "spec": spec.to_json(),
        },
        "seed": options.seed,
        "plan": plan.to_json(),
        "numerics": _numerics(runtime),
        "plugins": [{"file": str(Path(p).resolve()), "sha256": _digest(Path(p))} for p in options.plugins],
        "init_from": str(options.init_from) if options.init_from else None,
    }


def _numerics(runtime: Runtime) -> dict[str, str | int]:
    return {
        **numerics(),
        "device": runtime.device.type,
        "precision": runtime.precision,
        "compiled": runtime.compiled,
        "processes": runtime.world_size,
    }


def numerics_of(record: dict[str, Any]) -> dict[str, Any]:
    """Return what a run's numbers rest on, with what older runs had no choice of."""
    return {"compiled": False, **record["numerics"]}


def changes_since(
    record: dict[str, Any], checkpoint: Checkpoint, recipe: Recipe, spec: DataSpec, runtime: Runtime
) -> list[str]:
    """Return in words what differs from the run so far and decides its numbers."""
    before = Recipe.model_validate(from_old_file(checkpoint.values["recipe"]))
    changes = [f"recipe {text}" for text in differences(before, recipe)]
    known, now = record["data"]["spec"]["fingerprint"], spec.fingerprint
    if known != now or record["data"]["spec"]["pixels_sha256"] != spec.pixels_sha256:
        changes.append(f"data set '{record['data']['source']}': its images are not those of before ({known[:12]})")
    numbers = numerics_of(record)
    for name, value in _numerics(runtime).items():
        if numbers.get(name) != value:
            changes.append(f"{name}: {numbers.get(name)} -> {value}")
    for plugin in record["plugins"]:
        if _digest(Path(plugin["file"])) != plugin["sha256"]:
            changes.append(f"plugin {plugin['file']} was edited")
    return changes


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "missing"
