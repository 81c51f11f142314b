"""The application: routes, errors as JSON, the page, and uvicorn that serves it."""

import importlib
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from fastapi import Depends, FastAPI, Request
from fastapi.dependencies.models import Dependant
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException

from gansmith.core.errors import GansmithError, unknown_name
from gansmith.core.version import __version__
from gansmith.web import images, listing, uploads
from gansmith.web.refused import RefusedError
from gansmith.web.security import Security
from gansmith.web.state import State

STATIC = Path(__file__).parent / "static"
STATUS = {
    "web.unknown_id": 404, "web.unknown_generator": 404, "web.other_version": 404, "web.unusable_model": 409,
    "web.preparing": 503, "web.child_slow": 504, "web.child_failed": 500, "image.too_large": 413,
    "data.enlarged_too_large": 413,
    "web.run_not_training": 409, "web.run_is_training": 409, "web.run_unreadable": 403, "web.no_such_snapshot": 404,
    "web.no_such_page": 404, "web.no_such_picture": 404,
    "web.read_only": 403, "web.control_forbidden": 403, "web.control_unsupported": 501, "web.unknown_session": 404,
    "web.too_many_sessions": 429, "web.too_many_streams": 429, "web.unknown_parameter": 422,
}  # fmt: skip
_TEXTS = {"type": "object", "properties": {name: {"type": "string"} for name in ("code", "message")}}
_ERROR = {"type": "object", "properties": {"error": _TEXTS}, "required": ["error"]}
PROBLEM: dict[str, Any] = {
    "description": "A stable code, and words for a person.",
    "content": {"application/json": {"schema": _ERROR}},
}
TOLD = (400, 401, 403, 404, 405, 408, 409, 413, 421, 422, 429, 500, 503, 504)  # statuses of errors
PAGE_ROUTERS = ("runs", "learn", "judge")  # of the page, not of ``serve``


def create_app(
    folders: Sequence[Path], *, page: bool = True, token: str | None = None, allow_control: bool = False
) -> Security:
    """Return the ASGI application over folders, or over one model; without ``page`` only the API of models."""
    state = State.of(folders, allow_control=allow_control)

    @asynccontextmanager
    async def running(_: FastAPI) -> AsyncIterator[None]:
        newest = next(iter(state.models.list()), None)
        if newest is not None:
            state.models.prepare(newest)
        yield
        await state.close()

    app = FastAPI(
        title="gansmith", version=__version__, lifespan=running, docs_url=None, redoc_url=None,
        openapi_url="/v1/openapi.json", responses=dict.fromkeys(TOLD, PROBLEM),
        dependencies=[Depends(_refuse_unknown_parameters)],
    )  # fmt: skip
    app.state.gansmith = state
    for kind, handler in (
        (GansmithError, _told),
        (RefusedError, _refused),
        (HTTPException, _http),
        (RequestValidationError, _invalid),
    ):
        app.add_exception_handler(kind, handler)  # type: ignore[arg-type]
    app.include_router(listing.router(state))
    app.include_router(images.router(state))
    app.include_router(uploads.router(state))
    if page:
        for name in PAGE_ROUTERS:
            if (Path(__file__).parent / f"{name}.py").is_file():
                app.include_router(importlib.import_module(f"gansmith.web.{name}").router(state))
        app.add_route("/", _page)
        app.mount("/static", StaticFiles(directory=STATIC), "static")
    return Security(app, token, state.metrics)


async def _refuse_unknown_parameters(request: Request) -> None:
    """Refuse parameters that a route does not take: a mistyped one would silently give another picture."""
    known = {*_parameters(request.scope["route"].dependant), "token"}
    for name in request.query_params:
        if name not in known:
            raise GansmithError("web.unknown_parameter", unknown_name("parameter", name[:100], known - {"token"}))


def _parameters(dependant: Dependant) -> Iterator[str]:
    for field in dependant.query_params:
        yield field.alias
    for part in dependant.dependencies:
        yield from _parameters(part)


async def _page(_: Request) -> FileResponse:
    return FileResponse(STATIC / "index.html", headers={"Cache-Control": "no-cache"})


def error_json(status: int, code: str, message: str, headers: dict[str, str] | None = None) -> JSONResponse:
    """Return an error as every route tells it."""
    return JSONResponse({"error": {"code": code, "message": message}}, status, headers)


async def _told(_: Request, problem: GansmithError) -> JSONResponse:
    status = STATUS.get(problem.code, 400)
    return error_json(status, problem.code, str(problem), {"Retry-After": "1"} if status in (429, 503) else None)


async def _refused(_: Request, problem: RefusedError) -> JSONResponse:
    headers = {"Retry-After": "1"} if problem.status == 429 else None
    return error_json(problem.status, problem.code, str(problem), headers)


async def _http(_: Request, problem: HTTPException) -> JSONResponse:
    told = {
        404: ("web.not_found", "there is nothing at this address\n  all addresses: /v1/openapi.json"),
        405: ("web.method_not_allowed", "this address takes another method\n  all methods: /v1/openapi.json"),
    }
    code, message = told.get(problem.status_code, ("web.bad_request", str(problem.detail)))
    return error_json(problem.status_code, code, message, dict(problem.headers or {}))


async def _invalid(_: Request, problem: RequestValidationError) -> JSONResponse:
    first: dict[str, Any] = dict(problem.errors()[0])
    where = ".".join(map(str, first["loc"][1:]))
    return error_json(422, "web.invalid", f"{where}: {first['msg']}" if where else str(first["msg"]))
