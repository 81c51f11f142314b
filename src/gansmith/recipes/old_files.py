"""Reads files that older versions of gansmith wrote: old names of files, keys and parts."""

from typing import Any

from gansmith.parts.networks.base import networks

OLD_NETWORKS = {"residual": "sngan_resnet", "resnet": "cyclegan_resnet"}
OLD_FILES = {"looks.jsonl": "snapshots.jsonl"}  # in a run folder
_RECIPE_KEYS = {"watch": "monitor"}
_MONITOR_KEYS = {"look_kimg": "snapshot_kimg"}
_COLLAPSE_ACTIONS = {"tell": "warn"}
_RECORD_KEYS = {"plan": "length", "watch": "monitor"}
_SNAPSHOT_KEYS = {"kinds": "modes"}
_VERDICTS = {"memorising": "memorization"}


def from_old_file(data: Any) -> Any:
    """Return a recipe or a model.json of an older version, as parsed, with today's names.

    Only for files that gansmith writes: recipe.yaml of a run folder, model.json, checkpoints. A recipe that a user
    writes has today's names. A plugin's network may have an old name; then the name stays.
    """
    if not isinstance(data, dict):
        return data
    data = _renamed(data, _RECIPE_KEYS)
    if isinstance(data.get("monitor"), dict):
        monitor = _renamed(data["monitor"], _MONITOR_KEYS)
        if "on_collapse" in monitor:
            monitor["on_collapse"] = _new_name(monitor["on_collapse"], _COLLAPSE_ACTIONS)
        data["monitor"] = monitor
    if isinstance(data.get("method"), dict):
        data["method"] = _with_new_networks(data["method"])
    return data


def record_from_old_file(data: Any) -> Any:
    """Return a run.json of an older version, as parsed, with today's names."""
    if not isinstance(data, dict) or data.get("format", 1) not in (1, 2, 3):
        return data
    if data.get("format", 1) != 1:
        return {**data, "format": 4}
    data = {**_renamed(data, _RECORD_KEYS), "format": 4}
    if isinstance(data.get("monitor"), dict):
        protocol = {name: value for name, value in data["monitor"].items() if name != "every"}
        data["monitor"] = {"every": data["monitor"].get("every"), "protocol": protocol or None}
    return data


def snapshot_from_old_file(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row of looks.jsonl or snapshots.jsonl with today's names; a resumed run has rows of both kinds."""
    row = _renamed(row, _SNAPSHOT_KEYS)
    if "verdict" in row:
        row["verdict"] = _new_name(row["verdict"], _VERDICTS)
    return row


def _with_new_networks(method: dict[str, Any]) -> dict[str, Any]:
    known, method = networks.names(), dict(method)
    for field, value in method.items():
        kind = str(value.get("kind")) if isinstance(value, dict) else ""
        if kind in OLD_NETWORKS and kind not in known:
            method[field] = {**value, "kind": OLD_NETWORKS[kind]}
    return method


def _new_name(value: Any, names: dict[str, str]) -> Any:
    return names.get(value, value) if isinstance(value, str) else value


def _renamed(data: dict[str, Any], names: dict[str, str]) -> dict[str, Any]:
    return {names.get(key, key): value for key, value in data.items()}
