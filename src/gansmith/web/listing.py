"""Routes that tell about the server and its models: list, details, health, metrics."""

from typing import Any

from fastapi import APIRouter

from gansmith.web.images import Name
from gansmith.web.state import State


def router(state: State) -> APIRouter:
    """Return the routes."""
    routes = APIRouter()

    @routes.get("/v1/models", tags=["models"])
    async def models() -> list[dict[str, Any]]:
        """List the models, the newest first."""
        return [entry.to_json() for entry in state.models.list()]

    @routes.get("/v1/models/{model}", tags=["models"])
    async def model(model: Name) -> dict[str, Any]:
        """Describe a model; one without an ONNX file is prepared now, which ``preparing`` says."""
        entry = state.models.get(model)
        state.models.prepare(entry)
        names = []
        if entry.files and entry.record is not None and entry.record.method.kind == "latent":
            names = [f"dir{number}" for number in range(len(state.open(entry).directions))]
        return {**entry.to_json(), "preparing": state.models.is_preparing(entry), "directions": names}

    @routes.get("/healthz", tags=["server"])
    async def healthz() -> dict[str, str]:
        """Say that the server runs."""
        return {"status": "ok"}

    @routes.get("/readyz", tags=["server"])
    async def readyz() -> dict[str, str]:
        """Say that the server takes requests."""
        return {"status": "ok"}

    return routes
