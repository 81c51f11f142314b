"""Keep a run to its time limit: watch its speed, revise its length and threads, keep time for results."""

from bisect import bisect_right
from collections.abc import Iterator
from contextlib import contextmanager
from math import ceil

from gansmith.core import clock
from gansmith.core.runtime import threads as present_threads
from gansmith.data.base import DataSpec
from gansmith.recipes.recipe import Recipe
from gansmith.runs.length import RunLength, TimeLimit

SNAPSHOT_SHARE = 0.04  # of the run's time; leaves room for errors of the prediction below 5 %
INTERVALS = (1, *(factor * 2**power for power in range(20) for factor in (2, 3)))  # in checkpoints
SETTLED_SHARE, SETTLED_SEC = 0.005, 0.25  # smaller differences of the end do not revise the length
LATE = 0.15  # share of the time limit before its end in which every checkpoint revises
RARELY = 0.1  # share of the time limit after which the length is revised, also without a checkpoint
POINT_SEC, SHORTEST_SEC = 0.25, 0.5  # between two notes of the speed; the least time that tells a speed
NEAR_SEC = 5.0  # the speed before the end is that of the last seconds
BUSY_SEC = 30.0  # the time over which a busy machine is judged, for the results
CROWD_SEC = 15.0  # the time over which other processes are watched, for the number of threads
PROMISE_SHARE, PROMISE_SEC = 0.05, 20.0  # a command ends within this share of its time limit or these seconds
LATENESS, CAUTION = 0.6, 0.75  # parts of the promise by which results may end too late, or too early on a busy machine
ENDING_SHARE = 0.5  # of the time after the start, at most, for the results; if it is not enough, they are shortened
STARTING_STEPS = 2  # allocate memory and compile: they tell no speed
# Processor seconds of the results of a finished run, on one core of a Xeon with AVX512, and a third more: imports,
# report, curves and model; then each frame of the film by the pixels of its canvas.
MIN_SIDE_PX, MAX_SIDE_PX, MAX_FRAMES = 256, 1600, 60  # of the film
GRID = 64  # images of a preview
RESULTS_SEC, FRAME_SEC, GRAY_SEC_PER_MPIXEL, COLOUR_SEC_PER_MPIXEL = 3.0, 0.005, 0.1, 0.25
SHORT_RESULTS_SEC, REPORT_SEC = 1.0, 1.5  # the model alone; curves and report


def results_sec(recipe: Recipe, data: DataSpec) -> float:
    """Return the estimated seconds for model, film, curves and report of a finished run."""
    images = recipe.fixed_images or GRID
    height, width = data.height * -(-images // recipe.fixed_columns), data.width * min(recipe.fixed_columns, images)
    enlarged = max(1, ceil(MIN_SIDE_PX / max(height, width, 1)))  # as the film does
    mpixels = min(height * width * enlarged**2, MAX_SIDE_PX**2) / 1e6
    per_mpixel = GRAY_SEC_PER_MPIXEL if data.channels == 1 else COLOUR_SEC_PER_MPIXEL
    return RESULTS_SEC + min(recipe.previews + 1, MAX_FRAMES) * (FRAME_SEC + per_mpixel * mpixels)


def train_sec(limit: TimeLimit, began: float, recipe: Recipe, data: DataSpec) -> float:
    """Return the seconds that are left for training, for a command that began at ``began``; at least 0."""
    left = limit.seconds - (clock.monotonic() - began)
    return max(0.0, left - _reserved_sec(limit, left, results_sec(recipe, data), slow_start=_slowness_since(began)))


def too_late_sec(limit: TimeLimit, began: float) -> float:
    """Return by how many seconds a command that trains nothing more would break the promise; 0 if it need not."""
    return _late_sec(limit, limit.seconds - (clock.monotonic() - began), _slowness_since(began))


def _late_sec(limit: TimeLimit, left: float, slowness: float) -> float:
    late = SHORT_RESULTS_SEC * slowness - left
    return late if late > _promise_sec(limit) else 0.0


def _promise_sec(limit: TimeLimit) -> float:
    return max(PROMISE_SEC, PROMISE_SHARE * limit.seconds)


def _slowness_since(began: float) -> float:
    """Return how many times longer a command has taken since it began than with a core of its own."""
    return max(1.0, (clock.monotonic() - began) / max(clock.process(), 1e-9))


def _reserved_sec(
    limit: TimeLimit, after_start: float, results_sec: float, *, slow_start: float, slowness: float = 1.0
) -> float:
    """Return the seconds to leave for the results, of those after the start; for shortened ones if that is too much.

    Start and results wait for disks and for many short turns of the processor, which training does less; so a slow
    start asks for more. But other work may end any moment, and then the command must not end too early.
    """
    whole = min(results_sec * max(slowness, slow_start), results_sec + CAUTION * _promise_sec(limit))
    most = ENDING_SHARE * max(after_start, 0.0)
    return whole if whole <= most else min(SHORT_RESULTS_SEC * max(slow_start, slowness), most)


class Timekeeper:
    """Revises the length of a run so that its command ends in time; without a limit it does nothing."""

    def __init__(
        self,
        limit: TimeLimit | None = None,
        began: float = 0.0,
        results_sec: float = 0.0,
        *,
        used_sec: float = 0.0,
        snapshot_sec: float = 0.0,
        most_threads: int = 0,
    ) -> None:
        """Count from ``began``; earlier commands took ``used_sec``, and their snapshots ``snapshot_sec`` of it.

        ``most_threads``: up to so many threads are used, as many as have a core beside other processes; 0: no choice.
        """
        self._limit, self._began, self._results_sec = limit, began, results_sec
        self._used_sec, self._snapshot_sec = used_sec, snapshot_sec
        self._total: dict[str, float] = {}  # seconds in this command, by the work that is no training
        self._last: dict[str, float] = {}  # seconds of the last time
        self._revised_at = self._started = clock.monotonic()
        self._slow_start = _slowness_since(began)
        self._most_threads, self._load, self._load_since = most_threads, clock.Load(), self._started
        self._ended: tuple[float, float] | None = None  # when the results began: by the clock, and processor time
        self._after_start = self.left() if limit else 0.0
        self.restart(0)

    def restart(self, iteration: int) -> None:
        """Forget the speed: the run continues from another iteration."""
        self._first = iteration
        self._points: list[tuple[float, int]] = []  # seconds of training alone, iteration
        self._processor_sec: list[float] = []  # of this process, at the points
        self._best_speed = 0.0  # iterations a second over NEAR_SEC

    def used(self) -> float:
        """Return the seconds that the commands of this run have taken."""
        return self._used_sec + clock.monotonic() - self._began

    def left(self) -> float:
        """Return the seconds until the command should end."""
        assert self._limit is not None
        if self._limit.until is not None:
            return self._limit.until - clock.wall()
        return self._limit.seconds - self.used()

    def late_sec(self) -> float:
        """Return by how many seconds a resumed command that makes one step would break the promise; 0 if it need not.

        Only when it begins: later the speed says more.
        """
        return 0.0 if self._limit is None else _late_sec(self._limit, self.left(), self._slow_start)

    def has_time_for(self, part: str) -> bool:
        """Say whether a part of the results (film, report) and those after it would end the command in time.

        They are as slow as training was, or as the results up to now, if that is slower.
        """
        if self._limit is None:
            return True
        now = clock.monotonic(), clock.process()
        wall, processor = (late - early for late, early in zip(now, self._ended or now, strict=True))
        self._ended = self._ended or now
        slowness = self._slowness() if self._seconds_noted() >= SHORTEST_SEC else self._slow_start
        slowness = max(slowness, wall / max(processor, 1e-9)) if wall >= SHORTEST_SEC else slowness
        needed = self._results_sec - SHORT_RESULTS_SEC if part == "film" else REPORT_SEC
        return needed * slowness <= self.left() + LATENESS * _promise_sec(self._limit)

    @contextmanager
    def aside(self, what: str) -> Iterator[None]:
        """Count the seconds of the block as another work than training."""
        start = clock.monotonic()
        yield
        self._last[what] = clock.monotonic() - start
        self._total[what] = self._total.get(what, 0.0) + self._last[what]

    def revise(
        self,
        length: RunLength,
        iteration: int,
        images_per_iteration: int,
        *,
        is_checkpoint: bool,
        snapshot_every: int | None,
    ) -> RunLength | None:
        """Return a new length after an iteration, or None to go on with the present one.

        ``snapshot_every``: the present positions between snapshots, 0 for none; None leaves them as they are.
        """
        if self._limit is None:
            return None
        self._note(iteration)
        last, now = length.revision, clock.monotonic()
        left = self.left() - self._ending_sec()
        at_end = iteration >= length.iterations
        is_rare = now - self._revised_at >= max(RARELY * self._limit.seconds, NEAR_SEC)
        threads = self._other_threads()
        is_expected = at_end or is_checkpoint or is_rare or (last and iteration == last.check_at)
        if left > 0 and not (is_expected or threads):
            return None
        speed = self._speed(max(left, NEAR_SEC))
        if speed is None and at_end:  # a length that was much too short
            speed = (iteration - self._first) / max(now - self._started, 1e-9)
        if (left <= 0 and at_end) or (left > 0 and speed is None):
            return None
        end = iteration + int(max(left, 0.0) * (1 - self._share_aside()) * (speed or 0.0))
        settled = self._settled_sec() * (speed or 0.0)  # iterations
        if left > 0 and abs(end - length.iterations) <= settled:
            if at_end or (left > LATE * self._limit.seconds and not threads):
                return None
            end = length.iterations
        self._revised_at = now
        steps, todo = end - iteration, (last.planned if last else length.iterations) - length.position(iteration)
        is_close = todo < 1.5 * length.checkpoint_every
        is_long = steps > 4 * settled + 2
        check_at = iteration + ceil(steps / 2) if is_close and is_long else 0
        every = self._snapshot_every(length, todo, snapshot_every)
        if threads:
            self.restart(iteration)
            check_at = iteration + ceil(NEAR_SEC * (speed or 0.0))
        used = threads or present_threads()
        return length.revised(
            iteration, end, images_per_iteration, check_at=check_at, snapshot_every=every, threads=used
        )

    def _other_threads(self) -> int | None:
        """Return another number of threads, if other processes began or ceased to take cores; None to keep it.

        Threads without a core of their own are waited for by all others, many times in each step.
        """
        now = clock.monotonic()
        if not self._most_threads or now - self._load_since < CROWD_SEC:
            return None
        room = self._load.room(self._most_threads)
        self._load, self._load_since = clock.Load(), now
        return room if room != present_threads() else None

    def _settled_sec(self) -> float:
        assert self._limit is not None
        return max(SETTLED_SEC, SETTLED_SHARE * self._limit.seconds)

    def _note(self, iteration: int) -> None:
        """Note the time of an iteration, in seconds of training alone."""
        seconds = clock.monotonic() - sum(self._total.values())
        if iteration - self._first >= STARTING_STEPS and (
            not self._points or seconds - self._points[-1][0] >= POINT_SEC
        ):
            self._points.append((seconds, iteration))
            self._processor_sec.append(clock.process())
            then, before = self._points[self._point_before(NEAR_SEC)]
            if seconds - then >= NEAR_SEC:
                self._best_speed = max(self._best_speed, (iteration - before) / (seconds - then))

    def _speed(self, seconds: float) -> float | None:
        """Return iterations a second over the last seconds, or all there are; None if they are too few."""
        if not self._points:
            return None
        (now, iteration), (then, before) = self._points[-1], self._points[self._point_before(seconds)]
        return (iteration - before) / (now - then) if now - then >= SHORTEST_SEC else None

    def _point_before(self, seconds: float) -> int:
        """Return the index of the last point that is so many seconds old, or of the first."""
        now, iteration = self._points[-1]
        return max(0, bisect_right(self._points, (now - seconds, iteration)) - 1)

    def _share_aside(self) -> float:
        """Return the share of this command's time since the first step that was no training."""
        aside = sum(self._total.values())
        return min(0.5, aside / max(clock.monotonic() - self._started, 1e-9))

    def _ending_sec(self) -> float:
        """Return the seconds that the end of the command takes: last snapshot, picture, checkpoint, and results."""
        last = sum(self._last.get(name, 0.0) for name in ("preview", "checkpoint", "snapshot"))
        assert self._limit is not None
        return last + _reserved_sec(
            self._limit, self._after_start, self._results_sec, slow_start=self._slow_start, slowness=self._slowness()
        )

    def _seconds_noted(self) -> float:
        return self._points[-1][0] - self._points[0][0] if self._points else 0.0

    def _slowness(self) -> float:
        """Return how many times longer work takes than with a core of its own, by the last half minute.

        Time that a hypervisor or a shared core takes counts as time of this process; the speed shows it.
        """
        if not self._points:
            return 1.0
        then = self._point_before(BUSY_SEC)
        wall = self._points[-1][0] - self._points[then][0]
        processor = self._processor_sec[-1] - self._processor_sec[then]
        if wall < SHORTEST_SEC:
            return 1.0
        speed = (self._points[-1][1] - self._points[then][1]) / wall
        return max(1.0, wall / max(processor, 1e-9), self._best_speed / max(speed, 1e-9))

    def _snapshot_every(self, length: RunLength, todo: float, present: int | None) -> int | None:
        """Return the positions between the snapshots to come, so that all take at most SNAPSHOT_SHARE."""
        assert self._limit is not None
        if not (present and "snapshot" in self._last):
            return present
        spent = self._snapshot_sec + self._total["snapshot"] + self._total.get("reference", 0.0)
        left = SNAPSHOT_SHARE * self._limit.seconds - spent
        allowed = left / max(self._last["snapshot"], 1e-9) - 1  # one comes at the end
        checkpoints = todo / length.checkpoint_every
        return length.checkpoint_every * next(each for each in INTERVALS if checkpoints / each <= max(allowed, 1e-3))
