"""The state of an image, its URL, and the queue that draws images in batches on one thread."""

import asyncio
import base64
import binascii
import math
import re
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, TypeVar
from urllib.parse import parse_qs
from weakref import WeakKeyDictionary

import numpy as np
from pydantic import Field, ValidationError

from gansmith.core.errors import GansmithError
from gansmith.core.events import OnProgress, Progress, silent
from gansmith.core.randomness import truncate
from gansmith.core.registry import FrozenModel
from gansmith.inference.latents import Latents, find_latents, label_input
from gansmith.inference.onnx_model import OnnxModel
from gansmith.web.refused import RefusedError

MOST_SEEDS = 64  # in the state of one image
FARTHEST = 100.0  # of a move, in standard deviations of the latents
MOST_WAITING = 2048  # images in the queue
DEADLINE_SEC = 20.0
RETRY_SEC = 1
QUICK_SEC = 0.004  # a lone image that takes no longer is drawn at once: the way to the thread and back costs more
LONE_SEC = 0.01  # since the last image was asked for; under load two threads draw more than one
ResultT = TypeVar("ResultT")
TRIED_BATCHES = (2, 3)  # besides the largest: sizes in which images must be those of batches of one

MOST_LETTERS = 22_000  # of a latent: 4096 numbers
FLAT = ("seeds", "weights", "truncation", "labels", "moves", "latent")  # the entries of a state in a URL
SEED = r"([0-9]{1,19}:)?[0-9]{1,6}"
NUMBER = r"-?[0-9]{1,9}(\.[0-9]{1,17})?(e-?[0-9]{1,2})?"
SEEDS_PATTERN = f"^{SEED}(,{SEED}){{0,{MOST_SEEDS - 1}}}$"
NUMBERS_PATTERN = f"^{NUMBER}(,{NUMBER}){{0,{MOST_SEEDS - 1}}}$"
MOVES_PATTERN = f"^(dir|z)[0-9]{{1,4}}:{NUMBER}(,(dir|z)[0-9]{{1,4}}:{NUMBER}){{0,63}}$"


class ImageState(FrozenModel):
    """All that an image depends on besides its model; a PNG's text chunk "gansmith" holds it, and a URL its flat form.

    The latent is the sum of the seeds' latents times ``weights``, divided by the root of the sum of the squared
    weights, so that its numbers are as spread as one seed's. ``latent`` replaces the seeds. ``moves`` are added then.
    """

    seeds: tuple[str, ...] = Field(("0",), max_length=MOST_SEEDS, description="3, or 7:3 for image 3 of seed 7")
    weights: tuple[float, ...] = Field((), max_length=MOST_SEEDS, description="of the seeds; empty: all equal")
    truncation: float | None = Field(None, gt=0, le=100)
    labels: dict[str, float] | None = Field(
        None, max_length=MOST_SEEDS, description="weights of classes, by name or number; null: the first seed's class"
    )
    moves: dict[str, float] = Field({}, max_length=64, description="dir0: along direction 0; z12: number 12")
    latent: str | None = Field(None, max_length=MOST_LETTERS, description="base64url of float32 numbers, little endian")

    def query(self) -> list[tuple[str, str]]:
        """Return the flat form, the same for equal states."""
        out = [("seeds", ",".join(self.seeds))] if self.latent is None else [("latent", self.latent)]
        if self.latent is None and self.weights:
            out.append(("weights", ",".join(map(_text, self.weights))))
        if self.truncation is not None:
            out.append(("truncation", _text(self.truncation)))
        for name, values in (("labels", self.labels or {}), ("moves", self.moves)):
            if values:
                out.append((name, ",".join(f"{key}:{_text(values[key])}" for key in sorted(values))))
        return out


def parse_flat(text: str) -> ImageState:
    """Return the state of a flat form as one text; GansmithError for one that cannot be."""
    try:
        parts = parse_qs(text, keep_blank_values=True, strict_parsing=bool(text), max_num_fields=10)
    except ValueError:
        raise _bad(f"'{text[:40]}' is no state", "for example at=seeds%3D3%26truncation%3D0.7") from None
    unknown = parts.keys() - FLAT
    if unknown or any(len(values) > 1 for values in parts.values()):
        raise _bad(f"'{text[:40]}' is no state", f"allowed, once each: {', '.join(FLAT)}")
    values = {name: each for name, (each,) in parts.items()}
    truncation = values.pop("truncation", None)
    return parse_state(truncation=None if truncation is None else _number(truncation), **values)


def parse_state(
    seeds: str | None = None,
    weights: str | None = None,
    truncation: float | None = None,
    labels: str | None = None,
    moves: str | None = None,
    latent: str | None = None,
) -> ImageState:
    """Return the state of a flat form; GansmithError for one that cannot be."""
    return checked_state(
        {
            "seeds": tuple((seeds or "0").split(",")),
            "weights": tuple(map(_number, weights.split(","))) if weights else (),
            "truncation": truncation,
            "labels": _pairs(labels) or None,
            "moves": _pairs(moves),
            "latent": latent,
        }
    )


def checked_state(values: dict[str, Any]) -> ImageState:
    """Return a state of its values; GansmithError if one is out of range, or they contradict each other."""
    try:
        state = ImageState.model_validate(values)
    except ValidationError as problem:
        first = problem.errors(include_url=False, include_input=False)[0]
        raise _bad(f"{'.'.join(map(str, first['loc']))}: {first['msg']}", "docs/deploy.md explains the state") from None
    state = state.model_copy(update={"seeds": tuple(map(_plain_seed, state.seeds))})
    if state.latent is None and not state.seeds:
        raise _bad("seeds name no image", "for example seeds=3")
    if state.weights and len(state.weights) != len(state.seeds):
        raise _bad(f"there are {len(state.weights)} weights for {len(state.seeds)} seeds", "pass one weight for each")
    latent = () if state.latent is None else unpacked(state.latent).tolist()
    labels = state.labels or {}
    numbers = [*state.weights, *labels.values(), *state.moves.values(), *latent]
    if not all(map(math.isfinite, numbers)):
        raise _bad("a number is not finite", "pass finite numbers")
    if state.weights and not any(state.weights):
        raise _bad("all weights are 0", "pass a weight other than 0")
    if any(abs(each) > FARTHEST for each in (*state.weights, *state.moves.values(), *latent)):
        raise _bad("a number is out of range", f"allowed: -{FARTHEST:g} to {FARTHEST:g}")
    if labels and not (min(labels.values()) >= 0 and 0 < sum(labels.values()) < FARTHEST):
        raise _bad("weights of labels are below 0, all 0 or too large", "for example 0.5")
    return state


def latents_of(model: OnnxModel, states: Sequence[ImageState]) -> Latents:
    """Return the latents of states; GansmithError for seeds, labels or moves that the model does not have."""
    wanted = model.latent_input("draw")
    values, classes = [], []
    for state in states:
        values.append(_latent_of(model, state))
        if wanted.num_classes:
            classes.append(_classes_of(model, state))
        elif state.labels:
            model.class_number(next(iter(state.labels)))  # says that this model has no labels
    names = tuple(state.seeds[0] if state.latent is None else "" for state in states)
    return Latents(np.stack(values), np.stack(classes) if classes else None, names)


def _latent_of(model: OnnxModel, state: ImageState) -> np.ndarray:
    """Return the latent of one state, float32 (latent_dim,)."""
    wide = model.latent_input("draw").latent_dim
    if state.latent is not None:
        base = unpacked(state.latent)
        if len(base) != wide:
            raise _bad(f"the latent has {len(base)} numbers", f"this model takes {wide}")
    elif len(state.seeds) == 1:
        base = truncate(find_latents(model, state.seeds[0]).values, state.truncation)[0]
    else:
        shares = dict[str, float]()  # of each seed once, because only different seeds are independent
        for seed, weight in zip(state.seeds, state.weights or [1.0] * len(state.seeds), strict=True):
            shares[seed] = shares.get(seed, 0.0) + weight
        weights = np.array(list(shares.values()), np.float64)
        if not np.abs(weights).max() > 1e-9:
            raise _bad("the weights of the seeds add up to 0", "pass other weights")
        parts = truncate(find_latents(model, list(shares)).values, state.truncation).astype(np.float64)
        base = (weights @ parts / np.sqrt((weights**2).sum())).astype(np.float32)
    for name, step in state.moves.items():
        kind, number = name.rstrip("0123456789"), name.lstrip("dirz")
        vectors = model.directions if kind == "dir" else None
        count = wide if vectors is None else len(vectors)
        if kind not in ("dir", "z") or not number.isdecimal() or int(number) >= count:
            raise _bad(f"there is no move '{name[:40]}'", f"allowed: z0 to z{wide - 1}, and the model's directions")
        base = base.copy()
        if vectors is None:
            base[int(number)] += np.float32(step)
        else:
            base += np.float32(step) * vectors[int(number)]
    return base


def _classes_of(model: OnnxModel, state: ImageState) -> np.ndarray:
    """Return the weights of the classes, float32 (num_classes,): those of ``labels``, else the first seed's class."""
    if not state.labels:
        named = find_latents(model, state.seeds[0] if state.seeds else "0").classes
        assert named is not None, "the model is conditional"
        return named[0]
    out = np.zeros(model.latent_input("draw").num_classes, np.float32)
    for name, weight in state.labels.items():
        out[model.class_number(name)] += np.float32(weight)
    return out / out.sum()


@dataclass
class _Job:
    model: OnnxModel
    latents: np.ndarray
    labels: np.ndarray | None
    finish: Callable[[np.ndarray], Any]
    done: asyncio.Future[Any]
    left: bool = False  # nobody waits for it any more


@dataclass
class DrawingQueue:
    """Draws on one thread what waits: no timer, and images of one model together, if that does not change them.

    A lone image of a model that is known to be quick is drawn at once, on the caller's thread.
    """

    most_waiting: int = MOST_WAITING
    deadline_sec: float = DEADLINE_SEC
    waiting: deque[_Job] = field(default_factory=deque)
    drawn: int = 0  # images so far
    batches: int = 0  # in which they were drawn
    _exact: "WeakKeyDictionary[OnnxModel, int]" = field(default_factory=WeakKeyDictionary)
    _fastest: "WeakKeyDictionary[OnnxModel, float]" = field(default_factory=WeakKeyDictionary)  # s for a lone image
    _thread: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1, "drawing"))
    _worker: asyncio.Task[None] | None = None
    _asked: float = -math.inf  # when the last image was

    @property
    def images_waiting(self) -> int:
        """Return the number of images in the queue."""
        return sum(len(job.latents) for job in self.waiting if not job.left)

    async def draw(self, model: OnnxModel, latents: Latents, finish: Callable[[np.ndarray], ResultT]) -> ResultT:
        """Return what ``finish`` makes of the images, uint8 (N, H, W, C).

        Raises RefusedError: 429 if the queue is full, 504 at the deadline. A caller that is cancelled leaves the queue.
        """
        if self.waiting and self.images_waiting + len(latents) > self.most_waiting:
            raise busy()
        loop = asyncio.get_running_loop()
        job = _Job(model, latents.values, label_input(model, latents.classes), finish, loop.create_future())
        is_idle = self._worker is None or self._worker.done()
        is_lone, self._asked = len(latents) == 1 and loop.time() - self._asked > LONE_SEC, loop.time()
        if is_idle and is_lone and self._fastest.get(model, math.inf) <= QUICK_SEC:
            (made,) = self._draw([job])
            if isinstance(made, Exception):
                raise made
            return made
        self.waiting.append(job)
        if is_idle:
            self._worker = loop.create_task(self._work())
        try:
            async with asyncio.timeout(self.deadline_sec):
                return await job.done
        except TimeoutError:
            raise late(self.deadline_sec) from None
        finally:
            job.left = True

    def close(self) -> None:
        """End the thread."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def _work(self) -> None:
        """Draw until nothing waits."""
        loop = asyncio.get_running_loop()
        while jobs := self._take():
            results = await loop.run_in_executor(self._thread, self._draw, jobs)
            for job, result in zip(jobs, results, strict=True):
                if job.done.done():
                    continue
                if isinstance(result, Exception):
                    job.done.set_exception(result)
                else:
                    job.done.set_result(result)

    def _take(self) -> list[_Job]:
        """Return the first job and those behind it that fit into one batch with it; none if nothing waits."""
        jobs, images = list[_Job](), 0
        while self.waiting:
            job = self.waiting[0]
            images += len(job.latents)
            if jobs and not job.left and (job.model is not jobs[0].model or images > job.model.record.sample_batch):
                break
            self.waiting.popleft()
            if job.left:
                images -= len(job.latents)
            else:
                jobs.append(job)
        return jobs

    def _draw(self, jobs: list[_Job]) -> list[Any]:
        """Return the result of each job, or what it raised."""
        began = time.perf_counter()
        try:
            images = self._images(jobs)
        except Exception as problem:
            return [problem] * len(jobs)
        out, first = list[Any](), 0
        for job in jobs:
            count = len(job.latents)
            try:
                out.append(job.finish(images[first : first + count]))
            except Exception as problem:
                out.append(problem)
            first += count
        if first == 1:
            model, taken = jobs[0].model, time.perf_counter() - began
            self._fastest[model] = min(taken, self._fastest.get(model, math.inf))
        return out

    def _images(self, jobs: list[_Job]) -> np.ndarray:
        model = jobs[0].model
        latents = np.concatenate([job.latents for job in jobs])
        given = [_as_weights(model, job.labels) for job in jobs]
        labels = None if given[0] is None else np.concatenate([each for each in given if each is not None])
        if len(latents) > 1 and model not in self._exact:
            self._exact[model] = largest_exact_batch(model)
        at_once = self._exact.get(model, 1)
        parts = [slice(first, first + at_once) for first in range(0, len(latents), at_once)]
        self.drawn, self.batches = self.drawn + len(latents), self.batches + len(parts)
        made = [model.draw_batch(latents[at], None if labels is None else labels[at]) for at in parts]
        return model.data.picture(np.concatenate(made))


@dataclass
class SlowQueue:
    """Does long work on one thread, one piece after the other: films, and uploads that are translated in tiles."""

    most_waiting: int = 8
    deadline_sec: float = 300.0
    waiting: int = 0
    _thread: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1, "slow"))

    async def run(self, work: Callable[[OnProgress], ResultT], on_progress: OnProgress = silent) -> ResultT:
        """Return the result of ``work``, which reports its progress; it ends at the next report if its caller is gone.

        Raises RefusedError: 429 if too much waits, 504 at the deadline.
        """
        if self.waiting >= self.most_waiting:
            raise busy()
        loop, left = asyncio.get_running_loop(), threading.Event()

        def report(progress: Progress) -> None:
            if left.is_set():
                raise InterruptedError
            loop.call_soon_threadsafe(on_progress, progress)

        self.waiting += 1
        try:
            async with asyncio.timeout(self.deadline_sec):
                return await loop.run_in_executor(self._thread, work, report)
        except TimeoutError:
            raise late(self.deadline_sec) from None
        finally:
            left.set()
            self.waiting -= 1

    def close(self) -> None:
        """End the thread."""
        self._thread.shutdown(wait=False, cancel_futures=True)


def busy() -> RefusedError:
    """Return the error for a full queue."""
    return RefusedError(429, "web.busy", f"too much is waiting\n  ask again in {RETRY_SEC} s")


def late(deadline_sec: float) -> RefusedError:
    """Return the error for an answer that takes too long."""
    return RefusedError(504, "web.deadline", f"the answer took more than {deadline_sec:g} s\n  ask for less, or later")


def largest_exact_batch(model: OnnxModel) -> int:
    """Return the most images that may be drawn at once: 1 if larger batches change an image on this machine."""
    most = model.record.sample_batch
    names = [f"{number}" for number in range(most)]
    found = find_latents(model, names)
    labels = _as_weights(model, label_input(model, found.classes))
    pick = [0, 1, 2, most - 1]
    alone = [model.draw_batch(found.values[[row]], None if labels is None else labels[[row]]) for row in pick]
    for size in (*TRIED_BATCHES, most):
        made = model.draw_batch(found.values[:size], None if labels is None else labels[:size])
        if any(not np.array_equal(made[[row]], one) for row, one in zip(pick, alone, strict=True) if row < size):
            return 1
    return most


def _as_weights(model: OnnxModel, labels: np.ndarray | None) -> np.ndarray | None:
    if labels is None or labels.ndim == 2:
        return labels
    return np.eye(model.latent_input("draw").num_classes, dtype=np.float32)[labels]


def packed(latent: np.ndarray) -> str:
    """Return a latent for a URL: base64 of float32, little endian."""
    return base64.urlsafe_b64encode(np.asarray(latent, "<f4").tobytes()).decode().rstrip("=")


def unpacked(text: str) -> np.ndarray:
    """Return the latent of a URL, float32 (latent_dim,); GansmithError for another text."""
    try:
        data = base64.b64decode(text + "=" * (-len(text) % 4), "-_", validate=True)
        return np.frombuffer(data, "<f4").astype(np.float32)
    except (ValueError, binascii.Error):
        raise _bad("the latent is not base64 of float32 numbers", "take it from the answer to /latent") from None


def _pairs(text: str | None) -> dict[str, float]:
    out = dict[str, float]()
    for part in text.split(",") if text else ():
        name, _, value = part.rpartition(":")
        out[name or value] = _number(value) if name else 1.0
    return out


def _number(text: str) -> float:
    if not re.fullmatch(NUMBER, text):
        raise _bad(f"'{text[:40]}' is not a number", "for example 0.5")
    return float(text)


def _plain_seed(text: str) -> str:
    """Return the name of an image as ``gansmith sample --numbered`` writes it: 0:3 is 3."""
    seed, _, number = text.strip().rpartition(":")
    if not re.fullmatch(SEED, text.strip()):
        raise _bad(f"'{text[:40]}' names no image", "for example seeds=3, or 7:3 for image 3 of seed 7")
    if int(seed or 0) >= 2**63:
        raise _bad(f"seed {seed[:40]} is too large", "allowed: up to 63 bits")
    return f"{int(seed)}:{int(number)}" if int(seed or 0) else f"{int(number)}"


def _text(value: float) -> str:
    return repr(float(value)).removesuffix(".0")


def _bad(wrong: str, allowed: str) -> GansmithError:
    return GansmithError("web.bad_request", f"{wrong}\n  {allowed}")
