"""Routes that tell about the server and its models: list, details, health, metrics."""

from pathlib import Path
from typing import Any

from fastapi import APIRouter, Response
from fastapi.responses import PlainTextResponse

from gansmith.core.plain_files import open_plain
from gansmith.web.drawing import FARTHEST
from gansmith.web.images import Name
from gansmith.web.models import Entry
from gansmith.web.state import State

MOST_CARD_BYTES = 200_000


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
        facts = {**entry.to_json(), "preparing": state.models.is_preparing(entry), "card": _card(entry)}
        if not entry.files or entry.error:
            return facts
        opened = await state.open(entry)
        facts |= {"generators": list(entry.files), "bytes": opened.path.stat().st_size}
        if opened.draws_latents:
            facts |= {
                "directions": [f"dir{number}" for number in range(len(opened.directions))],
                "mixes_labels": opened.latent_input("draw").mixes_labels,
                "truncation": {"min": 0.05, "max": 4.0},
                "moves": {"min": -FARTHEST, "max": FARTHEST},
            }
        else:
            facts |= {"scale": opened.scale, "takes_mask": opened.takes_mask}
        return facts

    @routes.post("/v1/models/{model}/refresh", tags=["models"])
    async def refresh(model: Name) -> dict[str, str]:
        """Export the newest checkpoint of a run that is still training; ``version`` changes when that is done."""
        entry = state.models.get(model)
        state.models.refresh(entry)
        return {"version": entry.version}

    @routes.get("/healthz", tags=["server"])
    async def healthz() -> dict[str, str]:
        """Say that the server runs."""
        return {"status": "ok"}

    @routes.get("/readyz", tags=["server"])
    async def readyz(response: Response) -> dict[str, str]:
        """Say whether the newest model can be drawn: 503 while it is prepared."""
        newest = next(iter(state.models.list()), None)
        if newest is None or newest.files or newest.error:
            return {"status": "ready"}
        response.status_code = 503
        return {"status": "preparing"}

    @routes.get("/metrics", tags=["server"], response_class=PlainTextResponse)
    async def metrics() -> str:
        """Return numbers for Prometheus, of this process."""
        return state.metrics.text(state.drawing, state.slow)

    return routes


def _card(entry: Entry) -> str | None:
    """Return the model card that lies beside the model, None without one."""
    folder = entry.place.parent if entry.place.is_file() else entry.place
    path: Path = folder / "README.md"
    try:
        with open_plain(path) as file:
            return file.read(MOST_CARD_BYTES).decode("utf-8", "replace")
    except OSError:
        return None
