"""Routes that return pictures drawn from latents: images, grids, strips and films."""

import hashlib
import io
import json
from collections.abc import Callable, Sequence
from typing import Annotated
from urllib.parse import urlencode

import numpy as np
import onnxruntime
import PIL
from fastapi import APIRouter, Depends, Path, Query, Request, Response
from PIL.PngImagePlugin import PngInfo

from gansmith.core.errors import ModelError
from gansmith.core.version import __version__
from gansmith.imaging.images import POINT, make_grid, to_pil
from gansmith.imaging.scatter import draw_points
from gansmith.inference.latents import Latents, refuse_points
from gansmith.web.drawing import (
    MOVES_PATTERN,
    NUMBERS_PATTERN,
    SEEDS_PATTERN,
    ImageState,
    latents_of,
    parse_state,
)
from gansmith.web.models import Entry
from gansmith.web.state import State

MOST_IN_GRID = 256
DRAWN_BY = f"{__version__} {onnxruntime.__version__} {PIL.__version__}"  # what bytes depend on besides the model
FOREVER, ASK_AGAIN = "public, max-age=31536000, immutable", "no-cache"

Name = Annotated[str, Path(alias="model", description="id of a model", max_length=200)]
Version = Annotated[
    str | None, Query(max_length=64, description="of the model; with it the answer never changes, and caches keep it")
]


def state_of_query(
    seeds: Annotated[
        str | None, Query(pattern=SEEDS_PATTERN, description="3, or 7:3 for image 3 of seed 7; several with commas")
    ] = None,
    weights: Annotated[str | None, Query(pattern=NUMBERS_PATTERN, description="one for each seed")] = None,
    truncation: Annotated[float | None, Query(gt=0, le=100, allow_inf_nan=False)] = None,
    labels: Annotated[str | None, Query(max_length=4000, description="a class, or 0:0.3,1:0.7")] = None,
    moves: Annotated[str | None, Query(pattern=MOVES_PATTERN, description="dir0:1.5,z12:-0.4")] = None,
    latent: Annotated[
        str | None, Query(max_length=22_000, pattern="^[A-Za-z0-9_-]+$", description="base64url of float32 numbers")
    ] = None,
) -> ImageState:
    """Return the state in a query."""
    return parse_state(seeds, weights, truncation, labels, moves, latent)


InQuery = Annotated[ImageState, Depends(state_of_query)]


def router(state: State) -> APIRouter:
    """Return the routes."""
    routes = APIRouter(prefix="/v1/models/{model}", tags=["images"])

    @routes.get("/image.png", response_class=PngResponse)
    async def image(request: Request, model: Name, wanted: InQuery, version: Version = None) -> Response:
        """Draw one image."""
        entry = _entry(state, model, version)

        def finish(images: np.ndarray) -> bytes:
            return _encode(images[0], entry, [wanted])

        return await _drawn(state, request, entry, "image.png", wanted.query(), version, lambda: [wanted], finish)

    @routes.get("/grid.png", response_class=PngResponse)
    async def grid(
        request: Request,
        model: Name,
        wanted: InQuery,
        first: Annotated[int, Query(ge=0, le=999_999, description="number of the first image")] = 0,
        n: Annotated[int, Query(ge=1, le=MOST_IN_GRID, description="number of images")] = 36,
        seed: Annotated[int, Query(ge=0, lt=2**63)] = 0,
        columns: Annotated[int, Query(ge=1, le=MOST_IN_GRID)] = 6,
        gap: Annotated[int, Query(ge=0, le=16, description="px between images")] = 2,
        version: Version = None,
    ) -> Response:
        """Draw images ``first``, ``first`` + 1, ... of a seed side by side; labels and truncation are the query's."""
        entry = _entry(state, model, version)

        def states() -> list[ImageState]:
            prefix = f"{seed}:" if seed else ""
            names = [f"{prefix}{min(number, 999_999)}" for number in range(first, first + n)]
            return [wanted.model_copy(update={"seeds": (name,), "weights": ()}) for name in names]

        def finish(images: np.ndarray) -> bytes:
            if images.shape[1:] == POINT:
                return _encode(draw_points(images), entry, states())
            return _encode(make_grid(images, min(columns, n), gap_px=gap), entry, states())

        numbers = {"first": first, "n": n, "seed": seed, "columns": columns, "gap": gap}
        query = [*wanted.query(), *((name, str(value)) for name, value in numbers.items())]
        return await _drawn(state, request, entry, "grid.png", query, version, states, finish, points=True)

    return routes


class PngResponse(Response):
    """A PNG picture."""

    media_type = "image/png"


def _entry(state: State, name: str, version: str | None) -> Entry:
    """Return a model; ModelError if it is unknown, or has other weights now than ``version``."""
    entry = state.models.get(name)
    if version is not None and version != entry.version:
        raise ModelError("web.other_version", f"model '{entry.id}' has changed: its version is {entry.version} now")
    return entry


async def _drawn(
    state: State,
    request: Request,
    entry: Entry,
    what: str,
    query: Sequence[tuple[str, str]],
    version: str | None,
    states: Callable[[], Sequence[ImageState]],
    finish: Callable[[np.ndarray], bytes],
    *,
    points: bool = False,
    media_type: str = "image/png",
) -> Response:
    """Return the answer to a permalink: from the client's own cache if it has it, else drawn."""
    flat = urlencode(query)
    digest = hashlib.sha256(f"{DRAWN_BY} {entry.key} {what}?{flat}".encode()).hexdigest()[:32]
    headers = {
        "ETag": f'"{digest}"',
        "Cache-Control": FOREVER if version else ASK_AGAIN,
        "Link": f'</v1/models/{entry.id}/{what}?{flat}&version={entry.version}>; rel="canonical"',
    }
    if f'"{digest}"' in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    model = state.open(entry)
    if not points:
        refuse_points(model, "draw an image")
    latents: Latents = latents_of(model, states())
    return Response(await state.drawing.draw(model, latents, finish), media_type=media_type, headers=headers)


def _encode(image: np.ndarray, entry: Entry, states: Sequence[ImageState]) -> bytes:
    """Return a PNG file whose text chunk "gansmith" is enough to draw the picture again."""
    facts = {"model": entry.id, "version": entry.version, "recipe": entry.record.name if entry.record else None}
    text = PngInfo()
    text.add_text("gansmith", json.dumps({**facts, "states": [each.model_dump(mode="json") for each in states]}))
    buffer = io.BytesIO()
    to_pil(image).save(buffer, "PNG", pnginfo=text)
    return buffer.getvalue()
