"""Routes of the place Learn: for each page, a child process that trains a small GAN."""

import asyncio
import json
import os
import re
import secrets
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import IO, Annotated, Any, Literal

from fastapi import APIRouter
from fastapi import Path as PathPart
from fastapi.responses import FileResponse, PlainTextResponse, StreamingResponse
from pydantic import BaseModel, ConfigDict, Field

from gansmith.core.cpus import available_cpus
from gansmith.core.errors import GansmithError, unknown_name
from gansmith.core.plain_files import read_json
from gansmith.web.sse import HERE, KEEP_ALIVE_SEC, MEDIA_TYPE, sse
from gansmith.web.state import State

GRACE_SEC = 60.0  # without a page that listens, then the child ends; a starved machine needs long to ask again
START_SEC, ANSWER_SEC, END_SEC = 180.0, 120.0, 2.0
LINE_BYTES = 2**22  # of one message of a child
TOLD_BYTES = 4000  # of a child's stderr
FEWEST, MOST = 2, 8  # sessions at a time: as many as there are cores, within these
WORKER = ("-m", "gansmith.web.learn_worker")
PRESETS = Path(__file__).parent / "static" / "presets.json"
DOCS = next(
    (found for found in (Path(__file__).parent / "docs", Path(__file__).parents[3] / "docs") if found.is_dir()),
    Path(__file__).parent / "docs",
)  # of a wheel, or of a checkout
INCLUDE = re.compile(r"^```\{include\} ([a-z0-9/-]+\.md)\n```$", re.MULTILINE)

SessionId = Annotated[str, PathPart(max_length=64)]
DocName = Annotated[str, PathPart(pattern=r"^[a-z0-9-]{1,40}$")]


class Command(BaseModel):
    """What a page asks of its session."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    settings: dict[str, Any] | None = Field(
        None, description="choices of the recipe; 'form' of the answer has the schema"
    )
    playing: bool | None = Field(None, description="train, or pause")
    speed: float | None = Field(None, ge=0, le=1000, description="iterations a second; 0: as fast as possible")
    step: Literal["both", "discriminator", "generator"] | None = Field(None, description="one step, then pause")
    restart: bool = Field(False, description="begin with new weights")
    ahead: int = Field(0, ge=0, le=1000, description="rounds that a restart trains before it shows a picture")

    def told(self) -> dict[str, Any]:
        """Return what is told to the child."""
        return {name: value for name, value in self.model_dump().items() if value is not None}


class Session:
    """A child process, the last pictures that it has sent, and the pages that listen."""

    def __init__(self, process: asyncio.subprocess.Process, stderr: IO[bytes]) -> None:
        self.name = secrets.token_urlsafe(12)
        self.process, self._stderr = process, stderr
        self.form: dict[str, Any] = {}
        self.failure = ""
        self._last: dict[str, bytes] = {}  # the newest message of each kind that a page needs
        self._listeners: set[_Listener] = set()
        self._answers: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._alone: asyncio.TimerHandle | None = None
        self._asked = 0
        self._ready = asyncio.Event()
        self._reading = asyncio.create_task(self._read())

    @classmethod
    async def start(cls) -> "Session":
        """Start a child and wait until it has imported torch."""
        stderr: Any = tempfile.TemporaryFile()  # noqa: SIM115 - it lives as long as the child
        process = await asyncio.create_subprocess_exec(
            sys.executable, *WORKER, limit=LINE_BYTES,
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=stderr,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )  # fmt: skip
        session = cls(process, stderr)
        try:
            async with asyncio.timeout(START_SEC):
                await session._ready.wait()
        except BaseException:
            await session.end()
            raise
        session._wait_alone()
        return session

    async def ask(self, command: dict[str, Any]) -> dict[str, Any]:
        """Send a command and return its answer; GansmithError for what the child refuses, or if it is gone."""
        self._asked += 1
        number, answer = self._asked, asyncio.get_running_loop().create_future()
        self._answers[number] = answer
        self._wait_alone()
        try:
            assert self.process.stdin is not None
            self.process.stdin.write(json.dumps({"id": number, **command}).encode() + b"\n")
            await self.process.stdin.drain()
            async with asyncio.timeout(ANSWER_SEC):
                found: dict[str, Any] = await answer
        except TimeoutError:
            raise GansmithError(
                "web.child_slow",
                f"the training process did not answer within {ANSWER_SEC:g} s"
                "\n  smaller networks answer sooner; or close other programs, and start it again",
            ) from None
        except ConnectionError as problem:
            failure = self.failure or "the training process has ended\n  start it again"
            raise GansmithError("web.child_failed", failure) from problem
        finally:
            self._answers.pop(number, None)
            self._wait_alone()
        if told := found.get("error"):
            raise GansmithError(told["code"], told["message"])
        return {name: value for name, value in found.items() if name not in ("kind", "id")}

    async def listen(self) -> AsyncIterator[bytes]:
        """Yield the server-sent events of this session; a page that is slow misses pictures, never the newest."""
        listener = _Listener(dict(self._last))
        self._listeners.add(listener)
        self._wait_alone()
        try:
            while True:
                if waiting := listener.take():
                    yield b"".join(b"event: %s\ndata: %s\n\n" % (kind.encode(), line) for kind, line in waiting.items())
                if self.process.returncode is not None and not listener.waiting:
                    message = self.failure or "the training process has ended\n  start it again"
                    yield sse("ended", {"message": message}).encode()
                    return
                try:
                    async with asyncio.timeout(KEEP_ALIVE_SEC):
                        await listener.changed.wait()
                except TimeoutError:
                    yield HERE.encode()
        finally:
            self._listeners.discard(listener)
            self._wait_alone()

    @property
    def is_alone(self) -> bool:
        """Say whether no page listens or waits for an answer."""
        return not self._listeners and not self._answers

    def _wait_alone(self) -> None:
        """Begin to wait for a page, unless there is one."""
        if self._alone is not None:
            self._alone.cancel()
        if self.is_alone:
            self._alone = asyncio.get_running_loop().call_later(GRACE_SEC, self.kill)

    def kill(self) -> None:
        """End the child at once."""
        if self.process.returncode is None and not self._reading.done():
            with suppress(ProcessLookupError):
                self.process.kill()

    async def end(self) -> None:
        """End the child and wait until it is gone."""
        if self._alone is not None:
            self._alone.cancel()
        self.kill()
        await self.process.wait()
        with suppress(asyncio.CancelledError):
            await self._reading

    async def _read(self) -> None:
        assert self.process.stdout is not None
        try:
            async for line in self.process.stdout:
                kind = line[9:].partition(b'"')[0].decode()  # every line begins with {"kind":"
                if kind == "answer":
                    answer = json.loads(line)
                    waiting = self._answers.get(answer["id"])
                    if waiting is not None and not waiting.done():
                        waiting.set_result(answer)
                elif kind == "ready":
                    self.form = json.loads(line)["form"]
                    self._ready.set()
                else:
                    if kind == "started":
                        self._last.clear()
                    self._last[kind] = line.rstrip()
                    for listener in self._listeners:
                        listener.put(kind, line.rstrip())
        finally:
            try:  # it closes stdout when it ends: a signal to a child that has ended would take its code from asyncio
                code = await asyncio.wait_for(asyncio.shield(self.process.wait()), END_SEC)
            except TimeoutError:
                self.kill()
                code = await self.process.wait()
            self._note_failure(code)
            self._ready.set()
            for waiting in self._answers.values():
                if not waiting.done():
                    waiting.set_exception(ConnectionError())
            for listener in self._listeners:
                listener.changed.set()

    def _note_failure(self, code: int) -> None:
        with self._stderr as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - TOLD_BYTES))
            lines = file.read().decode("utf-8", "replace").strip().splitlines()
        if code > 0:
            last = lines[-1] if lines else "no message"
            self.failure = f"the training process ended with code {code}: {last}\n  start it again, with other settings"


class _Listener:
    """One page's share of the messages: the newest of each kind since the newest start."""

    def __init__(self, waiting: dict[str, bytes]) -> None:
        self.waiting, self.changed = waiting, asyncio.Event()

    def put(self, kind: str, line: bytes) -> None:
        """Add a message; what it replaces is lost."""
        if kind == "started":
            self.waiting.clear()
        self.waiting[kind] = line
        self.changed.set()

    def take(self) -> dict[str, bytes]:
        """Return the messages that wait, and forget them."""
        out, self.waiting = self.waiting, {}
        self.changed.clear()
        return out


class Sessions:
    """The sessions of this server."""

    def __init__(self) -> None:
        self.most = min(MOST, max(FEWEST, available_cpus()))
        self._all: dict[str, Session] = {}
        self._starting = 0

    def get(self, name: str) -> Session:
        """Return a session; GansmithError for one that is unknown or has ended."""
        session = self._all.get(name)
        if session is None or session.process.returncode is not None:
            raise GansmithError("web.unknown_session", "this training has ended\n  start it again")
        return session

    async def start(self) -> Session:
        """Start a session; GansmithError if there are too many. One that nobody looks at makes room."""
        self._all = {name: each for name, each in self._all.items() if each.process.returncode is None}
        if len(self._all) + self._starting >= self.most:
            alone = next((each for each in self._all.values() if each.is_alone), None)
            if alone is None:
                raise GansmithError(
                    "web.too_many_sessions",
                    f"{self.most} pages train a GAN already, which is all that this machine's cores allow"
                    "\n  close one of them, and try again",
                )
            await self.end(alone.name)
        self._starting += 1
        try:
            session = await Session.start()
        except TimeoutError:
            raise GansmithError(
                "web.child_slow", f"torch did not start within {START_SEC:g} s\n  close other programs, and try again"
            ) from None
        finally:
            self._starting -= 1
        self._all[session.name] = session
        return session

    async def end(self, name: str) -> None:
        """End a session, if it is there."""
        session = self._all.pop(name, None)
        if session is not None:
            await session.end()

    async def end_all(self) -> None:
        """End every session."""
        await asyncio.gather(*(self.end(name) for name in list(self._all)))


def router(state: State) -> APIRouter:
    """Return the routes."""
    sessions = Sessions()

    @asynccontextmanager
    async def running(_: Any) -> AsyncIterator[None]:
        yield
        await sessions.end_all()

    routes = APIRouter(prefix="/v1/learn", tags=["learn"], lifespan=running)

    @routes.get("/presets")
    async def presets() -> list[dict[str, Any]]:
        """List the experiments: settings, what they show, and what mends it."""
        found: list[dict[str, Any]] = read_json(PRESETS)
        return found

    @routes.get("/docs/{name}.png", response_class=FileResponse)
    async def docs_picture(name: DocName) -> FileResponse:
        """Return a picture of these pages."""
        return FileResponse(_of_docs("pictures/lessons", name, ".png"), media_type="image/png")

    @routes.get("/docs/{name}")
    async def docs(name: DocName) -> PlainTextResponse:
        """Return a page of the documentation as Markdown, with its tables of measurements."""
        page = _of_docs("questions", name, ".md")
        text = page.read_text(encoding="utf-8")
        return PlainTextResponse(INCLUDE.sub(lambda found: (page.parent / found[1]).read_text(encoding="utf-8"), text))

    @routes.post("", status_code=201)
    async def start(command: Command) -> dict[str, Any]:
        """Start training; the answer has the session's id and the schema of its settings."""
        session = await sessions.start()
        try:
            if session.failure:
                raise GansmithError("web.child_failed", session.failure)
            answer = await session.ask({**command.told(), "settings": command.settings or {}})
        except BaseException:
            await sessions.end(session.name)
            raise
        return {"session": session.name, "form": session.form, **answer}

    @routes.post("/{session}")
    async def change(session: SessionId, command: Command) -> dict[str, Any]:
        """Change settings, pause, go on, or make one step."""
        return await sessions.get(session).ask(command.told())

    @routes.delete("/{session}", status_code=204)
    async def end(session: SessionId) -> None:
        """End training."""
        await sessions.end(session)

    @routes.get("/{session}/events")
    async def events(session: SessionId) -> StreamingResponse:
        """Stream what to draw: started, frame, survey, ended. A session that nobody listens to ends."""
        return StreamingResponse(
            sessions.get(session).listen(), media_type=MEDIA_TYPE, headers={"Cache-Control": "no-store"}
        )

    return routes


def _of_docs(folder: str, name: str, ending: str) -> Path:
    """Return a file of the documentation; GansmithError if there is none."""
    files = {file.stem: file for file in (DOCS / folder).glob(f"*{ending}")}
    if name not in files:
        raise GansmithError("web.no_such_page", unknown_name("page of the documentation", name, files))
    return files[name]
