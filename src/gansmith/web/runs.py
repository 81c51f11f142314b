"""Routes of the place Watch: runs, thinned rows, preview grids, live events, and control."""

import asyncio
import math
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import yaml
from fastapi import APIRouter, Header, Query, Request
from fastapi import Path as PathPart
from fastapi.responses import Response, StreamingResponse

from gansmith.core.errors import GansmithError, reason_of
from gansmith.core.metric_name import MetricName
from gansmith.core.plain_files import (
    MAX_YAML_BYTES,
    open_plain,
    parse_json,
    parse_yaml,
    read_bytes,
    read_json,
    read_text,
)
from gansmith.runs.log import events_in, fault_of, read_rows
from gansmith.web.judge import meaning_of
from gansmith.web.run_control import RunControl, can_see_locks, lock_holder
from gansmith.web.run_log import RECENT, Row, RunLog
from gansmith.web.sse import HERE, KEEP_ALIVE_SEC, MEDIA_TYPE, sse
from gansmith.web.state import State

# ``followed`` counts each run once for each stream that tells of it.
POLL_SEC = 1.0  # between two looks of a stream at the files of its runs; with over 5 followed up to 4 times as long
PAUSE_SEC, LONGEST_PAUSE_SEC = 3.0, 60.0  # between messages of rows and pictures: for each one followed, and at most
MOST_FOLLOWED = 128
MOST_READERS = 16  # runs whose rows are in memory, and runs in one stream
SNAPSHOTS_SHOWN = 2000
TAIL_BYTES = 2**14
MAX_PNG_BYTES = 2**27
LIVE_SEC = 120.0  # without a table of locks: a log as young as this is of a run in training
OLD_NAMES = {"looks.jsonl": "snapshots.jsonl"}  # files of older versions
SHARES = ("coverage", "copies", "missing")  # metrics that are shares of images
Z95 = 1.96

RunId = Annotated[str, PathPart(max_length=200)]
LastId = Annotated[str, Header(alias="Last-Event-ID", max_length=4000)]
After = Annotated[
    str, Query(max_length=4000, description="the id of the last event received: only what came since is sent")
]


class Seen(NamedTuple):
    """How much of a run a client has received."""

    life: str = ""  # of the reader that counted; another one counts anew
    version: int = 0
    whole: int = 0
    rows: int = 0
    events: int = 0
    milestones: int = 0
    shown: int = 0

    @classmethod
    def parse(cls, text: str) -> "Seen":
        """Return what a client sent back; what cannot be read has seen nothing of this reader."""
        life, *numbers = text.split(".")
        good = len(numbers) == len(cls._fields) - 1 and all(each.isascii() and each.isdigit() for each in numbers)
        return cls(life, *map(int, numbers)) if good and max(map(len, numbers)) < 16 else cls()

    def __str__(self) -> str:
        return ".".join(map(str, self))


class Reader:
    """What is known of one run folder; ``refresh`` looks at its files, at most once a second."""

    def __init__(self, name: str, path: Path) -> None:
        self.name, self.path, self.log = name, path, RunLog(path / "log.jsonl")
        self.life = secrets.token_hex(4)
        self.snapshots: list[Row] = []
        self.previews: list[int] = []
        self.shown_version = 0  # grows when snapshots or previews change
        self.milestones: list[Row] = []  # started, paused and finished, of timing.jsonl
        self.record: dict[str, Any] = {}
        self.recipe: dict[str, Any] = {}
        self.speed: Row = {}
        self.problem = ""
        self.pid: int | None = None
        self._stamps: dict[str, tuple[int, int]] = {}
        self._looked, self._lock = -POLL_SEC, threading.Lock()
        self._reading = False

    def refresh(self, *, rows: bool = True) -> None:
        """Read what has changed; an unreadable folder gives ``problem``."""
        with self._lock:
            if time.monotonic() - self._looked < POLL_SEC * 0.8:
                return
            try:
                self._refresh(rows)
                self.problem = ""
            except FileNotFoundError:
                self.problem = "the folder of this run is gone"
            except PermissionError:
                self.problem = "this folder cannot be read: the user of the server has no rights"
            except (OSError, ValueError, yaml.YAMLError) as problem:  # ValueError: GansmithError too
                self.problem = f"this run cannot be read: {reason_of(problem)}"
            self._looked = time.monotonic()

    def _refresh(self, rows: bool) -> None:
        if self._changed("run.json", must_exist=True):
            self.record = _mapping(read_json(self.path / "run.json"))
        if self._changed("recipe.yaml"):
            self.recipe = _mapping(parse_yaml(read_text(self.path / "recipe.yaml", MAX_YAML_BYTES)))
        if self._changed("timing.jsonl"):
            self._read_timing()
        for name in ("snapshots.jsonl", *OLD_NAMES):
            if self._changed(name):
                self.snapshots = [_snapshot(row) for row in read_rows(self.path / name)][-SNAPSHOTS_SHOWN:]
                self.shown_version += 1
        if self._changed("samples"):
            found = (each.name for each in (self.path / "samples").iterdir())
            before = self.previews
            self.previews = sorted(int(name[:9]) for name in found if name[:9].isdigit() and name[9:] == "-ema.png")
            self.shown_version += self.previews != before
        self.pid = lock_holder(self.path / ".lock")
        if rows and self.log.catch_up() and not self._reading:
            self._reading = True
            threading.Thread(target=self._read_on, daemon=True).start()

    def _read_on(self) -> None:
        """Read the rest of a long log, with room for other requests in between."""
        try:
            while self.log.catch_up():
                time.sleep(0.002)
        except OSError:  # the next look reports it
            pass
        finally:
            self._reading = False

    def _changed(self, name: str, *, must_exist: bool = False) -> bool:
        try:
            status = (self.path / name).stat()
        except FileNotFoundError:
            if must_exist:
                raise
            return False
        stamp = (status.st_mtime_ns, status.st_size)
        before, self._stamps[name] = self._stamps.get(name), stamp
        return before != stamp

    def _read_timing(self) -> None:
        with open_plain(self.path / "timing.jsonl") as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - TAIL_BYTES))
            lines = file.read().splitlines(keepends=True)[0 if size <= TAIL_BYTES else 1 :]
        self.milestones = []
        for line in lines:
            with suppress(ValueError):
                row = parse_json(line)
                if fault_of(row, "timing.jsonl"):
                    continue
                if "event" in row:
                    self.milestones.append(row)
                elif "img_per_sec" in row:
                    self.speed = row

    @property
    def status(self) -> str:
        """Return training, paused, finished, or ended: it was killed, or its machine is another one."""
        if self.pid is not None:
            return "training"
        last = self.milestones[-1]["event"] if self.milestones else "started"
        if last != "started":
            return str(last)
        young = self._stamps.get("timing.jsonl", (0, 0))[0] / 1e9 > time.time() - LIVE_SEC
        return "training" if young and not can_see_locks() else "ended"

    def summary(self) -> dict[str, Any]:
        """Return what the list of runs shows."""
        length, data = _mapping(self.record.get("length")), _mapping(_mapping(self.record.get("data")).get("spec"))
        last = self.snapshots[-1] if self.snapshots else {}
        done = max([self.speed, *self.milestones[-1:]], key=lambda row: row.get("iteration", 0))
        is_live = self.status == "training"
        written = self._stamps.get("timing.jsonl", (0, 0))[0] / 1e9
        eta = self.speed.get("eta_sec") if is_live else None
        return {
            "id": self.name,
            "recipe": _text(self.recipe.get("name")),
            "method": _text(_mapping(self.recipe.get("method")).get("kind")),
            "data": _text(data.get("name")),
            "seed": _number(self.record.get("seed")),
            "created": _text(self.record.get("created")),
            "status": self.status,
            "iteration": done.get("iteration", 0),
            "kimg": done.get("kimg", 0.0),
            "schedule_kimg": _number(length.get("schedule_kimg")),
            "iterations": _number(length.get("iterations")),
            "ended_by": _text(self.record.get("ended_by")) or None,
            "img_per_sec": self.speed.get("img_per_sec"),
            "memory_mb": self.speed.get("memory_mb"),
            "eta_sec": None if eta is None else round(max(0.0, eta - max(0.0, time.time() - written)), 1),
            "verdict": _text(last.get("verdict")) or None,
            "no_verdict": self._no_verdict(is_live) if not self.snapshots else None,
            "preview": self.previews[-1] if self.previews else None,
            "problem": self.problem,
        }

    def shown(self) -> dict[str, Any]:
        """Return which preview grids there are, the metrics of all snapshots, and what each metric means."""
        columns = dict.fromkeys(column for row in self.snapshots for column in row["metrics"])
        meanings = {column: asdict(meaning_of(column)) for column in columns}
        return {"previews": self.previews, "rows": self.snapshots, "meanings": meanings}

    def _no_verdict(self, is_live: bool) -> str:
        """Say why a run without snapshots has no verdict."""
        if _mapping(self.record.get("monitor")).get("every") == 0:
            return (
                "No verdict: this run takes no snapshots. They are off, the run is too short for them, or its models"
                " make no samples of their own."
            )
        if is_live:
            return "No verdict yet: the first snapshot is still to come."
        return "No verdict: the run ended before its first snapshot."

    def events(self) -> list[dict[str, Any]]:
        """Return the events of the run in their order: verdicts, rollbacks, changes, starts and ends."""
        found = [
            {
                "kind": row["event"],
                "iteration": row.get("iteration", 0),
                "kimg": row.get("kimg", 0.0),
                "message": str(row.get("message", "")),
                "verdict": _text(row.get("verdict")) or None,
                "began_kimg": _number(row.get("began_kimg")),
                "utc": _text(row.get("utc")) or None,
            }
            for row in [*self.milestones, *events_in(list(self.log.events))]
        ]
        return sorted(found, key=lambda each: each["iteration"])

    def seen_now(self) -> Seen:
        """Return what a client has seen that knows all that was read so far."""
        log = self.log
        events, milestones = log.event_count, len(self.milestones)
        return Seen(self.life, log.version, int(log.is_whole), log.rows, events, milestones, self.shown_version)

    def news(self, seen: Seen) -> Iterator[tuple[str, dict[str, Any], Seen]]:
        """Yield what is new to a client: the event, its data, and what the client has seen with it."""
        now = self.seen_now()
        new = now.rows - seen.rows
        if seen[:2] != now[:2] or now.whole > seen.whole or (now.whole and new > RECENT):
            seen = now._replace(events=seen.events, milestones=seen.milestones, shown=seen.shown)
            yield "reset", {}, seen  # curves are to be asked for anew
        elif now.whole and new > 0:
            seen = seen._replace(rows=now.rows)
            yield "rows", {"rows": list(self.log.recent)[-new:], "total": now.rows}, seen
        if (seen.events, seen.milestones) != (now.events, now.milestones):
            seen = seen._replace(events=now.events, milestones=now.milestones)
            yield "events", {"events": self.events()}, seen
        if seen.shown != now.shown:
            seen = seen._replace(shown=now.shown)
            yield "snapshots", self.shown(), seen

    def details(self) -> dict[str, Any]:
        """Return what the page of one run needs besides rows."""
        return {
            **self.summary(),
            "recipe_values": _flat(self.recipe),
            "columns": self.log.columns,
            "events": self.events(),
            "evaluation": self._evaluation(),
        }

    def _evaluation(self) -> dict[str, Any] | None:
        """Return the last evaluation of the run's model: its numbers with their deviations, and the protocol."""
        try:
            found = read_json(self.path / "model" / "evaluation" / "evaluation.json")
            return {"numbers": found["numbers"], "kimg": found.get("kimg"), "protocol": found.get("protocol", {})}
        except (OSError, ValueError, KeyError, TypeError):
            return None


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _number(value: Any) -> int | float | None:
    return value if type(value) in (int, float) else None


def _flat(values: Any, head: str = "") -> dict[str, Any]:
    """Return the leaves of nested values by dotted path."""
    if isinstance(values, dict | list) and values:
        pairs = values.items() if isinstance(values, dict) else enumerate(values)
        return {
            path: leaf
            for key, value in pairs
            for path, leaf in _flat(value, f"{head}.{key}" if head else f"{key}").items()
        }
    return {head: values}


def _snapshot(row: Row) -> Row:
    """Return a snapshot's metrics by column, each share with its 95 % interval (Wilson 1927)."""
    out = {"iteration": row["iteration"], "kimg": row["kimg"], "verdict": _text(row.get("verdict")) or None}
    metrics, intervals = {}, {}
    for column, value in row.items():
        name = MetricName.parse(column)
        if name is None or not name.count or _number(value) is None:
            continue
        metrics[column] = value
        if name.metric in SHARES and name.metric != "missing" and 0 <= value <= 1:
            intervals[column] = _wilson(value, name.count)
    return {**out, "metrics": metrics, "intervals": intervals, "modes": _mapping(row.get("modes") or row.get("kinds"))}


def _wilson(share: float, count: int) -> list[float]:
    middle = (share + Z95**2 / (2 * count)) / (1 + Z95**2 / count)
    reach = Z95 / (1 + Z95**2 / count) * math.sqrt(share * (1 - share) / count + Z95**2 / (4 * count**2))
    return [round(max(0.0, middle - reach), 5), round(min(1.0, middle + reach), 5)]


@dataclass
class Followed:
    """A run that a stream tells of, and what its client knows of it; without a reader it is gone."""

    name: str
    reader: Reader | None
    problem: str = ""  # why there is no reader
    seen: Seen | None = None  # None: the client asks for all that there is by itself
    summary: dict[str, Any] = field(default_factory=dict)
    happened: Any = None


@dataclass
class Watch:
    """The readers of runs, and the streams that follow them."""

    state: State
    control: RunControl = field(default_factory=RunControl)
    followed: int = 0
    _readers: "OrderedDict[Path, Reader]" = field(default_factory=OrderedDict)
    _listed: dict[Path, Reader] = field(default_factory=dict)  # without rows

    def summaries(self) -> list[dict[str, Any]]:
        """Return summaries of all runs, those in training first, then the newest."""
        found = self.state.places.search().runs
        self._listed = {path: self._listed.get(path) or Reader(name, path) for name, path in found.items()}
        for reader in self._listed.values():
            reader.refresh(rows=False)
        newest = sorted(
            (each.summary() for each in self._listed.values()), key=lambda each: each["created"], reverse=True
        )
        return sorted(newest, key=lambda each: each["status"] != "training")

    def reader(self, name: str) -> Reader:
        """Return the reader of a run; ModelError for an unknown id."""
        path = self.state.places.run(name)
        reader = self._readers.pop(path, None) or Reader(name, path)
        self._readers[path] = reader
        while len(self._readers) > MOST_READERS:
            self._readers.popitem(last=False)
        return reader

    async def ready(self, name: str) -> Reader:
        """Return the reader of a run after a look at its files; GansmithError for one that cannot be read."""
        reader = self.reader(name)
        await asyncio.to_thread(reader.refresh)
        if reader.problem:
            raise GansmithError("web.run_unreadable", f"run '{name}': {reader.problem}")
        return reader

    async def follow(self, names: Sequence[str], last: str = "") -> AsyncIterator[str]:
        """Yield the server-sent events of runs until all are gone. ``last`` is the id of the last event received.

        What happens to a run is told at once. Rows, speed, verdicts and pictures wait longer, the more is followed:
        each page that draws them takes time from the training on its machine.
        """
        places = dict(zip(names, last.split(",") if last else [], strict=False))
        runs = [self._followed(name, places.get(name, "" if last else None)) for name in names]
        spoke, turn = 0.0, -1
        self.followed += len(names)
        try:
            while True:
                before, turn = turn, int(time.monotonic() / min(LONGEST_PAUSE_SEC, self.followed * PAUSE_SEC))
                out = await asyncio.to_thread(self._look, runs, turn != before)
                if out:
                    spoke = time.monotonic()
                    yield out
                elif time.monotonic() - spoke > KEEP_ALIVE_SEC:
                    spoke = time.monotonic()
                    yield HERE
                if all(run.reader is None for run in runs):
                    return
                often = POLL_SEC * min(4, max(1, self.followed / 5))
                await asyncio.sleep(often - time.monotonic() % often)  # all at once: a page draws its runs together
        finally:
            self.followed -= len(names)

    def _followed(self, name: str, place: str | None) -> Followed:
        try:
            return Followed(name, self.reader(name), seen=None if place is None else Seen.parse(place))
        except GansmithError as problem:
            return Followed(name, None, str(problem))

    def _look(self, runs: list[Followed], is_turn: bool) -> str:
        """Return the events of one look at the files of runs."""
        out = []
        for run in runs:
            for event, data in self._told(run, is_turn):
                place = ",".join("" if each.seen is None else str(each.seen) for each in runs)
                out.append(sse(event, {"run": run.name, **data}, place))
        return "".join(out)

    def _told(self, run: Followed, is_turn: bool) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield what is to be told of a run; ``run.seen`` is what its client has seen with each."""
        reader = run.reader
        if reader is not None:
            reader.refresh()
            run.problem = reader.problem
        if run.problem:
            yield "gone", {"message": run.problem}
            run.reader, run.problem = None, ""
        if run.reader is None or reader is None:
            return
        before, failure = run.happened, self.control.failure(reader.path)
        with reader.log.lock:
            run.seen = run.seen or reader.seen_now()
            events = [event for event in reader.log.events if event["event"] != "health"]
            run.happened = (failure, reader.status, events[-1:], len(reader.milestones))
            if run.happened != before or is_turn:
                for event, data, seen in reader.news(run.seen):
                    run.seen = seen
                    yield event, data
                now = reader.summary()
                if {**now, "eta_sec": 0} != {**run.summary, "eta_sec": 0}:
                    run.summary = now
                    yield "state", now
        if failure and (before is None or failure != before[0]):
            yield "failure", {"message": failure}


def router(state: State) -> APIRouter:
    """Return the routes."""
    routes, watch = APIRouter(prefix="/v1", tags=["runs"]), Watch(state)

    @routes.get("/runs")
    async def runs() -> dict[str, Any]:
        """List the runs, those in training first, then the newest."""
        return {"runs": await asyncio.to_thread(watch.summaries), "allow_control": state.allow_control}

    @routes.get("/runs/{run}")
    async def run_details(run: RunId) -> dict[str, Any]:
        """Describe a run: recipe, events, columns of its log, last evaluation."""
        return (await watch.ready(run)).details()

    @routes.get("/runs/{run}/rows")
    async def rows(
        run: RunId,
        columns: Annotated[str, Query(max_length=2000, description="names, separated by commas")] = "",
        low: Annotated[float, Query(alias="from", allow_inf_nan=False)] = 0.0,
        high: Annotated[float, Query(alias="to", allow_inf_nan=False)] = 1e12,
        points: Annotated[int, Query(ge=10, le=5000)] = 1000,
    ) -> dict[str, Any]:
        """Return points of a run's curves between two positions in kimg, thinned to their extremes."""
        reader = await watch.ready(run)
        wanted = [each for each in columns.split(",") if each][:40] or reader.log.columns
        try:
            return await asyncio.to_thread(reader.log.thinned, wanted, low, high, points)
        except FileNotFoundError:
            return {"iteration": [], "kimg": [], "columns": {}, "rows_in_point": 1, "whole": True, "rows": 0}

    @routes.get("/runs/{run}/snapshots")
    async def snapshots(run: RunId) -> dict[str, Any]:
        """Return the iterations that have preview grids, the metrics of all snapshots, and what they mean."""
        reader = await watch.ready(run)
        return reader.shown()

    @routes.get("/runs/{run}/snapshots/{iteration}.png", response_class=Response)
    async def grid(
        request: Request,
        run: RunId,
        iteration: Annotated[str, PathPart(pattern=r"^(\d{1,12}|real)$")],
        weights: Literal["ema", "raw"] = "ema",
    ) -> Response:
        """Return the preview grid of an iteration; ``real`` is the grid of training images."""
        path = state.places.run(run) / "samples"
        file = path / ("real.png" if iteration == "real" else f"{int(iteration):09d}-{weights}.png")
        try:
            status = await asyncio.to_thread(file.stat)
            # A rollback writes other grids of the same iterations: browsers ask each time whether it is the same.
            headers = {"Cache-Control": "no-cache", "ETag": f'"{status.st_mtime_ns:x}-{status.st_size:x}"'}
            if request.headers.get("if-none-match") == headers["ETag"]:
                return Response(status_code=304, headers=headers)
            return Response(await asyncio.to_thread(read_bytes, file, MAX_PNG_BYTES), 200, headers, "image/png")
        except OSError as problem:
            raise GansmithError(
                "web.no_such_snapshot",
                f"run '{run}' has no preview grid of iteration {iteration}\n  its list: /v1/runs/{run}/snapshots",
            ) from problem

    def stream(names: list[str], last: str) -> StreamingResponse:
        """Answer with the events of runs; ModelError if none of them is there."""
        if not set(names) & set(state.places.search().runs):
            state.places.run(names[0])
        if watch.followed + len(names) > MOST_FOLLOWED:
            raise GansmithError(
                "web.too_many_streams",
                f"pages follow {watch.followed} runs already; together at most {MOST_FOLLOWED}\n  close some",
            )
        return StreamingResponse(
            watch.follow(names, last), media_type=MEDIA_TYPE, headers={"Cache-Control": "no-store"}
        )

    @routes.get("/runs/{run}/events")
    async def events(run: RunId, after: After = "", last_event_id: LastId = "") -> StreamingResponse:
        """Stream what happens in a run: state, rows, events, snapshots, reset, failure, gone."""
        return stream([run], last_event_id or after)

    @routes.get("/events")
    async def events_of_runs(
        run: Annotated[list[str], Query(min_length=1, max_length=MOST_READERS, description="ids of runs")],
        after: After = "",
        last_event_id: LastId = "",
    ) -> StreamingResponse:
        """Stream what happens in several runs, each event with the id of its ``run``."""
        return stream(list(dict.fromkeys(run)), last_event_id or after)

    @routes.post("/runs/{run}/{action}", status_code=202)
    async def control(run: RunId, action: Literal["pause", "resume", "stop"]) -> dict[str, str]:
        """Pause a run (it saves first), stop it at once, or resume it."""
        path = state.places.run(run)
        if not state.allow_control:
            raise GansmithError(
                "web.read_only", "this page only looks at runs\n  start it with: gansmith studio --allow-control"
            )
        await asyncio.to_thread(getattr(watch.control, action), path)
        return {"asked": action}

    return routes
