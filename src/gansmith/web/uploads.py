"""Routes that take an image: translate and upscale it in tiles, or find its latent."""

import asyncio
import base64
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import JSONResponse, StreamingResponse

from gansmith.core.errors import DataError, GansmithError
from gansmith.core.events import OnProgress, Progress, silent
from gansmith.imaging.images import decode_image, open_image, quiet_readers, upright_shape
from gansmith.inference.base import needs_weights
from gansmith.inference.image_files import open_picture, pixels_of, refuse_large
from gansmith.inference.onnx_model import SUPER_RESOLUTION, OnnxModel
from gansmith.inference.translate import translate
from gansmith.inference.upscale import upscale
from gansmith.web.drawing import ResultT, busy
from gansmith.web.images import Name, PngResponse
from gansmith.web.models import Entry, child_lines
from gansmith.web.places import ONNX
from gansmith.web.refused import RefusedError
from gansmith.web.sse import MEDIA_TYPE, sse
from gansmith.web.state import State

UPLOAD_PIXELS, RESULT_PIXELS = 16_000_000, 64_000_000
WITHOUT_NUL = r"^[^\x00]*$"  # no process can be given a NUL
INVERT_SEC, MOST_INVERTING = 300.0, 4  # waiting included
BODY = {"requestBody": {"required": True, "content": {"image/*": {"schema": {"type": "string", "format": "binary"}}}}}

Tell = Callable[[dict[str, Any]], None]


def router(state: State) -> APIRouter:
    """Return the routes."""
    routes = APIRouter(prefix="/v1/models/{model}", tags=["uploads"])
    inverting = asyncio.Semaphore(1)

    @routes.post("/translate", response_class=PngResponse, openapi_extra=BODY)
    async def translate_upload(
        request: Request,
        model: Name,
        generator: Annotated[
            str, Query(max_length=200, description="a_to_b or b_to_a, of a model with two directions")
        ] = "",
    ) -> Response:
        """Translate or enlarge the image in the body, in tiles; a hole to be filled is transparent.

        With ``Accept: text/event-stream`` the answer are events: ``progress`` after each tile, then ``result``.
        """
        opened = await state.open(state.models.get(model), generator)
        body = await _image_in(request)

        async def work(tell: Tell) -> bytes:
            def on_progress(progress: Progress) -> None:
                tell({"done": progress.done, "total": progress.total})

            return await state.slow.run(lambda report: _translated(opened, body, report), on_progress)

        return await _answer(request, work, PngResponse)

    @routes.post("/invert", openapi_extra=BODY)
    async def invert_upload(
        request: Request,
        model: Name,
        steps: Annotated[int, Query(ge=1, le=2000)] = 200,
        seed: Annotated[int, Query(ge=0, lt=2**63)] = 0,
        label: Annotated[str | None, Query(max_length=200, pattern=WITHOUT_NUL)] = None,
    ) -> Response:
        """Find the latent whose image is nearest to the image in the body, in a process that has torch.

        With ``Accept: text/event-stream`` the answer are events: ``progress``, then ``result``.
        """
        entry = state.models.get(model)
        _check_weights(entry)
        body = await _image_in(request, decode=True)  # before a process starts, which takes seconds
        words = ["-m", "gansmith.web.inversion", str(entry.place), str(steps), str(seed), *([label] if label else [])]

        async def work(tell: Tell) -> dict[str, Any]:
            if state.inverting >= MOST_INVERTING:
                raise busy()
            state.inverting += 1
            try:
                async with inverting:
                    return await child_lines(words, INVERT_SEC, body, tell)
            finally:
                state.inverting -= 1

        return await _answer(request, work, JSONResponse)

    return routes


async def _image_in(request: Request, *, decode: bool = False) -> bytes:
    """Return the body; DataError if it is no image, or has too many pixels. With ``decode`` also if it is damaged."""
    body = await request.body()
    if not body:
        raise DataError("data.empty", "the body is empty\n  send the bytes of an image file")

    def look() -> None:
        with quiet_readers():
            open_image(body, UPLOAD_PIXELS)
        if decode:
            open_picture(body)

    await asyncio.to_thread(look)
    return body


def _translated(model: OnnxModel, body: bytes, on_progress: OnProgress) -> bytes:
    """Return the result for an image file as PNG."""
    if model.kind == SUPER_RESOLUTION:
        _check_result(body, model.upscaler().scale)
        return upscale(model, body, on_progress=on_progress)._repr_png_()
    generator = model.translator()
    _check_result(body, generator.scale)
    if not generator.takes_mask:
        return translate(model, body, on_progress=on_progress)._repr_png_()
    with quiet_readers():
        image = decode_image(body, UPLOAD_PIXELS)
    hole = np.asarray(image.convert("RGBA").getchannel("A")) < 128
    pixels = pixels_of(image, generator.given_channels)
    return translate(model, pixels, mask=hole, on_progress=on_progress)._repr_png_()


def _check_result(body: bytes, scale: int) -> None:
    with quiet_readers():
        height, width = upright_shape(open_image(body, UPLOAD_PIXELS))
    refuse_large(body, height * scale, width * scale, RESULT_PIXELS)


def _check_weights(entry: Entry) -> None:
    """Raise ModelError if a model is an ONNX file alone, because the search needs gradients."""
    if entry.place.suffix.lower() == ONNX:
        raise needs_weights("invert")


async def _answer(
    request: Request, work: Callable[[Tell], Awaitable[ResultT]], as_answer: Callable[[ResultT], Response]
) -> Response:
    """Return the result of ``work``; as events, with its progress, if the client wants events."""
    if MEDIA_TYPE not in request.headers.get("accept", ""):
        return as_answer(await work(silent))
    return StreamingResponse(_events(work), media_type=MEDIA_TYPE, headers={"Cache-Control": "no-store"})


async def _events(work: Callable[[Tell], Awaitable[Any]]) -> AsyncIterator[str]:
    """Yield the progress of ``work``, and its result or error."""
    told = asyncio.Queue[dict[str, Any]]()
    task = asyncio.ensure_future(work(told.put_nowait))
    task.add_done_callback(lambda _: told.put_nowait({}))
    try:
        while progress := await told.get():
            yield sse("progress", progress)
        result = task.result()
        yield sse("result", {"png": base64.b64encode(result).decode()} if isinstance(result, bytes) else result)
    except (GansmithError, RefusedError) as problem:
        yield sse("error", {"code": problem.code, "message": str(problem)})
    finally:
        task.cancel()
