"""Reads files that older versions of gansmith wrote."""

from typing import Any

from gansmith.parts.networks.base import networks

OLD_NETWORKS = {"residual": "sngan_resnet", "resnet": "cyclegan_resnet"}


def from_old_file(data: Any) -> Any:
    """Return what an older version of gansmith wrote, in today's names.

    Only for files that gansmith writes: recipe.yaml of a run folder, model.json, checkpoints. A recipe that a user
    writes has today's names. A plugin's network may have an old name; then the name stays.
    """
    if not isinstance(data, dict) or not isinstance(data.get("method"), dict):
        return data
    known = networks.names()
    method = dict(data["method"])
    for field, value in method.items():
        kind = str(value.get("kind")) if isinstance(value, dict) else ""
        if kind in OLD_NETWORKS and kind not in known:
            method[field] = {**value, "kind": OLD_NETWORKS[kind]}
    return {**data, "method": method}
