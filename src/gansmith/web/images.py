"""Routes that return pictures drawn from latents: images, grids, strips and films."""

import asyncio
import hashlib
import io
import json
import re
import tempfile
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path as FilePath
from typing import Annotated, Any
from urllib.parse import urlencode

import numpy as np
import onnxruntime
import PIL
from fastapi import APIRouter, Depends, Path, Query, Request, Response
from PIL.PngImagePlugin import PngInfo

from gansmith.core.errors import GansmithError, ModelError
from gansmith.core.version import __version__
from gansmith.imaging.images import POINT, enlarge, make_grid, on_white, to_pil
from gansmith.imaging.scatter import draw_points
from gansmith.imaging.video import write_gif, write_mp4
from gansmith.inference.interpolate import FILM_PX, FRAME_SEC, walk_latents
from gansmith.inference.latents import Latents, refuse_points
from gansmith.inference.onnx_model import OnnxModel
from gansmith.web.drawing import (
    MOST_LETTERS,
    MOVES_PATTERN,
    NUMBERS_PATTERN,
    SEED,
    SEEDS_PATTERN,
    ImageState,
    checked_state,
    latents_of,
    packed,
    parse_flat,
    parse_state,
)
from gansmith.web.models import Entry
from gansmith.web.state import State

MOST_IN_GRID, MOST_FRAMES, MOST_STOPS = 256, 240, 64
WIDEST_PX = 16_384  # of a strip: browsers draw no wider canvas
AT_ONCE = 16  # frames of a film in the queue at a time, so that others need not wait for all of them
DRAWN_BY = f"{__version__} {onnxruntime.__version__} {PIL.__version__}"  # what bytes depend on besides the model
FOREVER, ASK_AGAIN = "public, max-age=31536000, immutable", "no-cache"
RANGES_PATTERN = f"^{SEED}(-[0-9]{{1,6}})?(,{SEED}(-[0-9]{{1,6}})?){{0,{MOST_IN_GRID - 1}}}$"
FILMS: dict[str, str] = {"gif": "image/gif", "mp4": "video/mp4"}

Name = Annotated[str, Path(alias="model", description="id of a model", max_length=200)]
Version = Annotated[
    str | None, Query(max_length=64, description="of the model; with it the answer never changes, and caches keep it")
]
Stops = Annotated[
    list[str], Query(alias="at", min_length=1, max_length=MOST_STOPS, description="states, each in its flat form")
]
Frames = Annotated[int, Query(ge=1, le=MOST_FRAMES)]
Closed = Annotated[bool, Query(description="return to the first stop at the end")]
Mode = Annotated[str, Query(pattern="^(slerp|lerp)$")]


class PngResponse(Response):
    """A PNG picture."""

    media_type = "image/png"


class FilmResponse(Response):
    """A GIF or MP4."""

    media_type = "image/gif"


async def state_of_query(
    seeds: Annotated[
        str | None,
        Query(
            max_length=2000,
            json_schema_extra={"pattern": SEEDS_PATTERN},
            description="3, or 7:3 for image 3 of seed 7; several with commas",
        ),
    ] = None,
    weights: Annotated[
        str | None,
        Query(max_length=2000, json_schema_extra={"pattern": NUMBERS_PATTERN}, description="one for each seed"),
    ] = None,
    truncation: Annotated[float | None, Query(gt=0, le=100, allow_inf_nan=False)] = None,
    labels: Annotated[str | None, Query(max_length=4000, description="a class, or 0:0.3,1:0.7")] = None,
    moves: Annotated[
        str | None,
        Query(max_length=2000, json_schema_extra={"pattern": MOVES_PATTERN}, description="dir0:1.5,z12:-0.4"),
    ] = None,
    latent: Annotated[
        str | None,
        Query(max_length=MOST_LETTERS, description="base64url of float32 numbers"),
    ] = None,
) -> ImageState:
    """Return the state in a query; not a plain function, which FastAPI would call on another thread."""
    return parse_state(seeds, weights, truncation, labels, moves, latent)


InQuery = Annotated[ImageState, Depends(state_of_query)]


def router(state: State) -> APIRouter:
    """Return the routes."""
    routes = APIRouter(prefix="/v1/models/{model}", tags=["images"])
    pictures = _Pictures(state)

    @routes.get("/image.png", response_class=PngResponse)
    async def image(request: Request, model: Name, wanted: InQuery, version: Version = None) -> Response:
        """Draw one image; its text chunk "gansmith" holds the state."""
        entry = pictures.entry(model, version)

        async def draw() -> bytes:
            opened = await pictures.open_for_images(entry)
            latents = latents_of(opened, [wanted])
            return await state.drawing.draw(opened, latents, lambda made: _png(made[0], entry, [wanted]))

        return await pictures.answer(request, entry, "image.png", wanted.query(), version, draw)

    @routes.get("/grid.png", response_class=PngResponse)
    async def grid(
        request: Request,
        model: Name,
        seeds: Annotated[
            str,
            Query(max_length=8000, json_schema_extra={"pattern": RANGES_PATTERN}, description="0-35, or 3,7:9,12-15"),
        ] = "0-35",
        truncation: Annotated[float | None, Query(gt=0, le=100, allow_inf_nan=False)] = None,
        labels: Annotated[str | None, Query(max_length=4000)] = None,
        moves: Annotated[str | None, Query(max_length=2000, json_schema_extra={"pattern": MOVES_PATTERN})] = None,
        columns: Annotated[int, Query(ge=1, le=MOST_IN_GRID)] = 6,
        gap: Annotated[int, Query(ge=0, le=16, description="px between images")] = 2,
        version: Version = None,
    ) -> Response:
        """Draw many images as one picture, without captions; of a model of points, a plot."""
        entry = pictures.entry(model, version)
        common = parse_state(None, None, truncation, labels, moves)
        states = [common.model_copy(update={"seeds": (name,)}) for name in _names(seeds)]

        def lay_out(made: np.ndarray) -> bytes:
            is_points = made.shape[1:] == POINT
            picture = draw_points(made) if is_points else make_grid(made, min(columns, len(made)), gap_px=gap)
            return _png(picture, entry, states)

        async def draw() -> bytes:
            opened = await state.open(entry)
            return await state.drawing.draw(opened, latents_of(opened, states), lay_out)

        query = [("seeds", seeds), *common.query()[1:], ("columns", str(columns)), ("gap", str(gap))]
        return await pictures.answer(request, entry, "grid.png", query, version, draw)

    @routes.get("/strip.png", response_class=PngResponse)
    async def strip(
        request: Request,
        model: Name,
        at: Stops,
        frames: Frames = 60,
        closed: Closed = True,
        mode: Mode = "slerp",
        version: Version = None,
    ) -> Response:
        """Draw the frames of a walk side by side in one row, for a page that shows one of them at a time."""
        entry = pictures.entry(model, version)
        stops = [parse_flat(text) for text in at]

        async def draw() -> bytes:
            opened = await pictures.open_for_images(entry)
            if frames * opened.data.width > WIDEST_PX:
                raise GansmithError(
                    "web.strip_too_wide",
                    f"a strip of {frames} frames would be {frames * opened.data.width} px wide"
                    f"\n  allowed: {WIDEST_PX // opened.data.width} frames",
                )
            latents = _walk(opened, stops, frames, closed=closed, mode=mode)
            made = await pictures.frames(opened, latents)
            return await asyncio.to_thread(_png, np.concatenate(list(made), axis=1), entry, stops)

        query = [*(("at", urlencode(stop.query())) for stop in stops), *_walk_query(frames, closed, mode)]
        return await pictures.answer(request, entry, "strip.png", query, version, draw)

    @routes.get("/walk.{form}", response_class=FilmResponse)
    async def walk(
        request: Request,
        model: Name,
        form: Annotated[str, Path(pattern="^(gif|mp4)$")],
        at: Stops,
        frames: Frames = 60,
        closed: Closed = True,
        mode: Mode = "slerp",
        seconds: Annotated[float | None, Query(ge=0.1, le=120, allow_inf_nan=False, description="of the film")] = None,
        version: Version = None,
    ) -> Response:
        """Make a film of a walk between states, enlarged without blur to at least 256 px."""
        entry = pictures.entry(model, version)
        stops = [parse_flat(text) for text in at]
        length = frames * FRAME_SEC if seconds is None else seconds

        async def draw() -> bytes:
            opened = await pictures.open_for_images(entry)
            made = await pictures.frames(opened, _walk(opened, stops, frames, closed=closed, mode=mode))
            return await state.slow.run(lambda _: _film(made, length / frames, form))

        query = [*(("at", urlencode(stop.query())) for stop in stops), *_walk_query(frames, closed, mode)]
        query.append(("seconds", f"{length:g}"))
        return await pictures.answer(request, entry, f"walk.{form}", query, version, draw, FILMS[form])

    @routes.post("/latent")
    async def latent(model: Name, wanted: ImageState) -> dict[str, Any]:
        """Return the latent of a state, base64url of float32, and the weights of the classes."""
        opened = await state.open(state.models.get(model))
        found = latents_of(opened, [checked_state(wanted.model_dump())])
        labels = None
        if found.classes is not None:
            labels = {name: float(each) for name, each in zip(opened.classes, found.classes[0], strict=True) if each}
        return {"latent": packed(found.values[0]), "labels": labels}

    return routes


class _Pictures:
    """What the routes have in common."""

    def __init__(self, state: State) -> None:
        self.state = state

    def entry(self, name: str, version: str | None) -> Entry:
        """Return a model; ModelError if it is unknown, or has other weights now than ``version``."""
        entry = self.state.models.get(name)
        if version is not None and version != entry.version:
            raise ModelError(
                "web.other_version",
                f"model '{entry.id}' has other weights now: its version is {entry.version}"
                "\n  without 'version' these draw",
            )
        return entry

    async def open_for_images(self, entry: Entry) -> OnnxModel:
        """Return a model that makes images; ModelError if it makes points."""
        opened = await self.state.open(entry)
        opened.latent_input("draw")
        refuse_points(opened, "draw an image")
        return opened

    async def frames(self, opened: OnnxModel, latents: Latents) -> np.ndarray:
        """Return the images of many latents, a few at a time."""
        parts = [list(range(len(latents)))[first : first + AT_ONCE] for first in range(0, len(latents), AT_ONCE)]
        draw = self.state.drawing.draw
        return np.concatenate([await draw(opened, latents.take(rows), lambda made: made) for rows in parts])

    async def answer(
        self,
        request: Request,
        entry: Entry,
        what: str,
        query: Sequence[tuple[str, str]],
        version: str | None,
        draw: Callable[[], Awaitable[bytes]],
        media_type: str = "image/png",
    ) -> Response:
        """Return the answer to a permalink; nothing is drawn if the client has these bytes."""
        flat = urlencode(query)
        digest = hashlib.sha256(f"{DRAWN_BY} {entry.key} {what}?{flat}".encode()).hexdigest()[:32]
        headers = {
            "ETag": f'"{digest}"',
            "Cache-Control": FOREVER if version else ASK_AGAIN,
            "Link": f'</v1/models/{entry.id}/{what}?{flat}&version={entry.version}>; rel="canonical"',
        }
        if f'"{digest}"' in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=headers)
        return Response(await draw(), media_type=media_type, headers=headers)


def _walk(model: OnnxModel, stops: Sequence[ImageState], frames: int, *, closed: bool, mode: str) -> Latents:
    if len(stops) == 1:  # it stands still
        return latents_of(model, stops).take([0] * frames)
    return walk_latents(latents_of(model, stops), frames, closed=closed, mode=mode)


def _walk_query(frames: int, closed: bool, mode: str) -> list[tuple[str, str]]:
    return [("frames", str(frames)), ("closed", str(int(closed))), ("mode", mode)]


def _names(seeds: str) -> list[str]:
    """Return the names of images in a list with ranges: 3,7:9-11 are 3, 7:9, 7:10 and 7:11."""
    names = list[str]()
    for part in seeds.split(","):
        if not re.fullmatch(f"{SEED}(-[0-9]{{1,6}})?", part):
            raise GansmithError("web.bad_request", f"'{part[:40]}' names no images\n  for example seeds=0-35,7:3")
        first, _, last = part.partition("-")
        seed, _, number = first.rpartition(":")
        end = int(last or number)
        if not 0 <= end - int(number) < MOST_IN_GRID - len(names):
            raise GansmithError(
                "web.grid_too_large", f"seeds={seeds[:100]} names no images, or too many\n  allowed: {MOST_IN_GRID}"
            )
        names += [f"{seed}:{each}" if int(seed or 0) else str(each) for each in range(int(number), end + 1)]
    return names


def _film(frames: np.ndarray, frame_sec: float, form: str) -> bytes:
    """Return a film of images uint8 (N, H, W, C)."""
    seconds = [frame_sec] * len(frames)
    with tempfile.TemporaryDirectory(prefix="gansmith-") as folder:
        path = FilePath(folder) / f"walk.{form}"
        if form == "gif":
            write_gif([enlarge(on_white(each), FILM_PX) for each in frames], seconds, path)
        else:
            height, width, _ = enlarge(on_white(frames[0]), FILM_PX).shape
            write_mp4((enlarge(on_white(each), FILM_PX) for each in frames), seconds, (width, height), path)
        return path.read_bytes()


def _png(image: np.ndarray, entry: Entry, states: Sequence[ImageState]) -> bytes:
    """Return a PNG file whose text chunk "gansmith" is enough to draw the picture again."""
    facts = {"model": entry.id, "version": entry.version, "recipe": entry.record.name if entry.record else None}
    text = PngInfo()
    text.add_text("gansmith", json.dumps({**facts, "states": [each.model_dump(mode="json") for each in states]}))
    buffer = io.BytesIO()
    to_pil(image).save(buffer, "PNG", pnginfo=text)
    return buffer.getvalue()
