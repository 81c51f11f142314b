"""Send a run to its loggers while it trains: each step once, from the run's files, in threads."""

import shlex
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Self

import yaml
from pydantic import ValidationError

from gansmith.core.atomic_files import commit_json
from gansmith.core.errors import GansmithError, RecipeError, reason_of
from gansmith.core.events import MessageEvent, OnEvent
from gansmith.core.plain_files import parse_yaml, read_json
from gansmith.core.registry import FrozenModel
from gansmith.recipes.load import code_of, explain
from gansmith.reporting.loggers.base import Logger, LoggerPart, Step, TrackedRun, loggers
from gansmith.reporting.run_steps import StepFiles, config_of, digest_of, summary_of
from gansmith.runs.folder import RunFolder

END_SEC, MODEL_SEC = 30.0, 600.0  # how long the end of a run waits for its loggers; with the model folder
SLOW_SEC = 60.0  # a logger that is busy with one step for longer is reported
RETRY_SEC = 60.0  # after a failure
SETTLE_SEC = 0.2  # a rollback takes less time from the removal of files to ``follow``


def parse_loggers(
    specs: str | dict[str, Any] | Sequence[str | dict[str, Any]], *, check: bool = True
) -> tuple[LoggerPart, ...]:
    """Return the loggers that names, mappings, or mappings as YAML ask for; one of them needs no list.

    Raises GansmithError for an unknown name or option and a logger that is given twice; with ``check`` also for a
    package that is not installed, a tracker without login and a store that cannot be opened.
    """
    parts: dict[str, LoggerPart] = {}
    for spec in [specs] if isinstance(specs, str | dict) else specs:
        try:
            part = loggers.parse(_read(spec) if isinstance(spec, str) else spec)
        except ValidationError as problem:
            raise RecipeError(code_of(problem), explain(problem, f"--logger {spec}")) from problem
        if part.kind in parts:
            raise GansmithError("run.logger_twice", f"logger '{part.kind}' is given twice\n  pass each logger once")
        if check:
            part.check()
        parts[part.kind] = part
    return tuple(parts.values())


def _read(spec: str) -> Any:
    try:
        return parse_yaml(spec)
    except (yaml.YAMLError, ValueError):
        return spec  # no logger has such a name


class Tracking:
    """The loggers of a run. The thread that trains calls the methods; only ``close`` waits."""

    def __init__(self, run: RunFolder, parts: Sequence[LoggerPart], on_event: OnEvent) -> None:
        self._on_event = on_event
        self._senders = [Sender(run, part) for part in parts]

    @classmethod
    def open(cls, run: RunFolder, parts: Sequence[LoggerPart], on_event: OnEvent) -> Self | None:
        """Start the loggers of a run; None without loggers."""
        return cls(run, parts, on_event) if parts else None

    def follow(self, iteration: int) -> None:
        """Send everything up to an iteration, whose files are complete. A lower one than before is a rollback."""
        for sender in self._senders:
            sender.follow(iteration)
        self._report()

    def close(self, outcome: str) -> None:
        """Send the rest, for END_SEC at most, or MODEL_SEC if the model is sent; ``outcome`` is as in Logger.close."""
        start = time.monotonic()
        for sender in self._senders:
            sender.end(outcome)
        for sender in self._senders:
            sender.join(start + (MODEL_SEC if sender.part.model and outcome == "finished" else END_SEC))
        self._report()

    def _report(self) -> None:
        for sender in self._senders:
            for event in sender.news():
                self._on_event(event)


class Mark(FrozenModel):
    """A place in the sequence of steps."""

    step: int = -1  # iteration; -1: before the first step
    digest: str = ""  # of all numbers up to it; "": unknown
    events: tuple[str, ...] = ()  # digests of all events up to it


class SentRecord(FrozenModel):
    """What a tracker has of a run, in RUN/loggers/NAME.json; written before and after each step."""

    id: str  # of the run in the tracker
    name: str  # there: of the run folder at the start
    number: int = 1  # of the tracker's run: a run whose past has changed begins another one
    sent: Mark = Mark()
    sending: Mark | None = None  # the step that the tracker has or has not, if the run was killed now
    finished: int = -1  # iteration whose final metrics the tracker has


class Sender:
    """Sends a run to one logger, in a thread.

    The files of the run are the queue. So a slow logger takes no memory and loses nothing, and a resume goes on where
    the record ends. The steps that a resumed run trains again are compared with those that were sent. Where they
    differ, as after a rollback, the tracker gets a new run with all steps.
    """

    def __init__(self, run: RunFolder, part: LoggerPart) -> None:
        self.part = part
        self._run, self._path = run, run.path / "loggers" / f"{part.kind}.json"
        self._until, self._turn = -1, 0  # the last complete iteration; how often the run has gone back
        self._outcome, self._left = "", False  # of the run, once it ends; whether the run has ended without the thread
        self._lock, self._wake = threading.Lock(), threading.Event()
        self._news: deque[MessageEvent] = deque()
        self._warned, self._busy_since = False, 0.0
        self._logger: Logger | None = None
        self._record = SentRecord(id="", name="")
        self._files, self._files_turn = StepFiles(run), 0
        self._passed, self._known = -1, dict[int, str]()  # the last step that was read; digests of those in the tracker
        self._thread = threading.Thread(target=self._work, name=f"logger {part.kind}", daemon=True)
        self._thread.start()

    # Called by the thread that trains:

    def follow(self, iteration: int) -> None:
        """Note the last complete iteration."""
        with self._lock:
            self._turn += iteration < self._until
            self._until = iteration
        self._wake.set()

    def end(self, outcome: str) -> None:
        """Ask the thread to send the rest and to end."""
        self._outcome = outcome
        self._wake.set()

    def join(self, deadline: float) -> None:
        """Wait for the end of the thread until a moment of ``time.monotonic``."""
        self._thread.join(max(0.0, deadline - time.monotonic()))
        if self._thread.is_alive():
            self._left = True
            self._warn("the run ended before all steps were sent")

    def news(self) -> list[MessageEvent]:
        """Return what there is to tell the user."""
        if (since := self._busy_since) and time.monotonic() - since > SLOW_SEC:
            self._warn(f"no answer for {SLOW_SEC:.0f} s; training goes on")
        return [self._news.popleft() for _ in range(len(self._news))]

    def _warn(self, reason: str) -> None:
        """Tell once that the tracker has a problem."""
        if not self._warned:
            self._warned = True
            todo = f"to send the missing steps later: gansmith resume {shlex.quote(str(self._run.path))}"
            self._news.append(MessageEvent("warning", f"logger '{self.part.kind}': {reason}\n  {todo}"))

    # Called by the thread of the logger:

    def _work(self) -> None:
        failed_at = float("-inf")
        while not (outcome := self._outcome):
            self._wake.wait()
            self._wake.clear()
            if time.monotonic() - failed_at > RETRY_SEC and not self._try(self._catch_up):
                failed_at = time.monotonic()
        self._try(lambda: self._finish(outcome))

    def _try(self, work: Callable[[], None]) -> bool:
        """Do something with the tracker; after a failure disconnect, since it is unknown what the tracker has."""
        turn, self._busy_since = self._turn, time.monotonic()
        try:
            work()
        except Exception as problem:
            self._logger = None
            time.sleep(SETTLE_SEC)
            if turn == self._turn:  # else a rollback took away the file that it was about to send
                then = "" if self._outcome else "; training goes on, and sending is tried again every minute"
                self._warn(f"{reason_of(problem)}{then}")
                return False
            self._wake.set()
        finally:
            self._busy_since = 0.0
        return True

    def _catch_up(self) -> None:
        """Send all steps that are complete and not in the tracker."""
        while not self._sent_all():
            pass

    def _sent_all(self) -> bool:
        """Read on and send; return False if it must read again, from the beginning."""
        turn = self._turn
        if self._logger is None:
            self._connect()
        if turn != self._files_turn:
            self._restart(turn)
        steps = self._files.read(self._until)
        if turn != self._turn:  # these rows may be gone
            return False
        for step, digest in steps:
            if self._has_changed(step.iteration, digest):
                self._replace()
                return False
            if step.iteration > self._record.sent.step:
                self._send(step, digest)
            self._passed = step.iteration
        return True

    def _restart(self, turn: int) -> None:
        self._files.restart()
        self._files_turn, self._passed = turn, -1

    def _has_changed(self, iteration: int, digest: str) -> bool:
        """Return whether the steps up to this one are not those that the tracker has."""
        sent = self._record.sent
        if iteration <= sent.step:
            return self._known.setdefault(iteration, digest) != digest
        return bool(sent.digest) and self._passed != sent.step  # the last step in the tracker is not in the log

    def _send(self, step: Step, digest: str) -> None:
        assert self._logger is not None
        known, keyed = self._record.sent.events, {digest_of(*each): each for each in self._files.events(step.iteration)}
        new = [key for key in keyed if key not in known]
        mark = Mark(step=step.iteration, digest=digest, events=(*known, *new))
        self._commit(self._record.model_copy(update={"sending": mark}))
        self._logger.send(Step(step.iteration, step.numbers, step.grid, tuple(keyed[key][1:] for key in new)))
        self._commit(self._record.model_copy(update={"sent": mark, "sending": None}))
        self._known[step.iteration] = digest
        self._busy_since = time.monotonic()

    def _connect(self) -> None:
        """Read the record, connect, and ask the tracker what it has."""
        if self._path.exists():
            record = SentRecord.model_validate(read_json(self._path))
        else:
            record = SentRecord(id=uuid.uuid4().hex[:12], name=self._run.path.resolve().name)
        self._commit(record)  # before the tracker knows the id, so that a kill leaves no second run there
        name = record.name if record.number == 1 else f"{record.name}-{record.number}"
        tracked = TrackedRun(record.id, name, self._run.path.resolve(), config_of(self._run), record.sent.step + 1)
        logger = self.part.open(tracked)
        last, sent = logger.last_step(), record.sent
        if last is not None and record.sending is not None and last >= record.sending.step:
            sent = record.sending
        elif last is not None and last < sent.step:  # it was killed before it had written all
            sent = Mark(step=last, events=sent.events)
        self._commit(record.model_copy(update={"sent": sent, "sending": None}))
        self._known = {sent.step: sent.digest} if sent.digest else {}
        self._restart(self._files_turn)
        self._logger = logger
        if logger.place:
            self._news.append(MessageEvent("note", f"logger '{self.part.kind}': {logger.place}"))

    def _replace(self) -> None:
        """Begin a new run in the tracker, because the past of this run has changed."""
        assert self._logger is not None
        self._logger.close("replaced")
        self._logger = None
        old = self._record
        self._commit(SentRecord(id=uuid.uuid4().hex[:12], name=old.name, number=old.number + 1))

    def _finish(self, outcome: str) -> None:
        """Send the rest, the final metrics and the model of a finished run, and disconnect."""
        self._catch_up()
        sent = self._record.sent
        if outcome == "finished" and sent.digest and self._passed < sent.step:  # the run ended earlier this time
            self._replace()
            self._catch_up()
        assert self._logger is not None
        if outcome == "finished" and self._record.finished != self._until:
            model = self._run.model if self.part.model and self._run.model.is_dir() else None
            self._logger.finish(summary_of(self._run, self._until), model)
            self._commit(self._record.model_copy(update={"finished": self._until}))
        self._logger.close(outcome)

    def _commit(self, record: SentRecord) -> None:
        if self._left:  # a resume in this process may be writing the record
            raise TimeoutError("the run has ended")
        self._record = record
        self._path.parent.mkdir(exist_ok=True)
        commit_json(self._path, record.model_dump(mode="json"))
