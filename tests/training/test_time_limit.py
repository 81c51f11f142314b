"""Runs with a time limit: they end in time, whatever the speed does, and a resume repeats what was revised."""

import dataclasses
import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from unittest import mock

import pytest
import torch

from gansmith import api
from gansmith.core import clock
from gansmith.core.runtime import start_runtime
from gansmith.recipes.load import load_recipe
from gansmith.runs.folder import RunFolder
from gansmith.runs.length import Budget, RunLength, TimeLimit
from gansmith.runs.log import read_rows
from gansmith.runs.options import RunOptions
from gansmith.training import prepare
from gansmith.training import run as running
from gansmith.training import trainer as training
from gansmith.training.prepare import Speed
from gansmith.training.time_limit import CROWD_SEC, PROMISE_SEC, SHORT_RESULTS_SEC, SNAPSHOT_SHARE, Timekeeper
from small_runs import Listener, assert_same_run, newest, resume, train

MINUTE = 60.0
RESULTS_SEC = 5.0
RHYTHM = ("log_rows=30", "previews=10", "checkpoints=10", "monitor.snapshot_kimg=0")


class ScriptedClock:
    """A clock that stands still unless it is told to go on."""

    def __init__(self) -> None:
        self.now = 0.0

    def go_on(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def scripted(monkeypatch) -> ScriptedClock:
    made = ScriptedClock()
    monkeypatch.setattr(clock, "monotonic", lambda: made.now)
    monkeypatch.setattr(clock, "process", lambda: made.now)
    monkeypatch.setattr(clock, "wall", lambda: 1_800_000_000 + made.now)
    return made


def length_of(iterations: int, limit: TimeLimit, checkpoints: int = 20) -> RunLength:
    return RunLength(iterations / 100, iterations, 10, 50, max(1, iterations // checkpoints), "a test", limit)


def simulate(
    time: ScriptedClock, limit: TimeLimit, predicted: int, speed_at: Callable[[float], float], snapshot_sec: float = 0.0
) -> tuple[list[RunLength], list[float], int]:
    """Run a loop like the trainer's; return its lengths, the progress of each iteration, and its snapshots."""
    began = time.now
    time.go_on(8)  # imports, images, measuring
    keeper, length = Timekeeper(limit, began, RESULTS_SEC), length_of(predicted, limit)
    every = length.checkpoint_every if snapshot_sec else 0
    lengths, progress, snapshots, iteration = [length], [0.0], 0, 0
    while iteration < length.iterations:
        progress.append(length.moment(iteration, iteration / 100, stretches=False).progress)
        time.go_on(1 / speed_at(time.now))
        iteration, before = iteration + 1, length
        due = before.is_due(before.checkpoint_every, iteration)
        new = keeper.revise(length, iteration, 10, is_checkpoint=due, snapshot_every=every or None)
        if new:
            length, every = new, new.revision.snapshot_every or 0
            lengths.append(length)
        if every and before.is_due(every, iteration):
            with keeper.aside("snapshot"):
                time.go_on(snapshot_sec)
            snapshots += 1
    progress.append(length.moment(iteration, iteration / 100, stretches=False).progress)
    return lengths, progress, snapshots


def slowness_of(speed_at: Callable[[float], float], now: float) -> float:
    """Return how many times slower the last half minute was than the best time."""
    speeds = [speed_at(float(second)) for second in range(8, int(now))]
    return max(speeds) / (sum(speeds[-30:]) / len(speeds[-30:]))


@pytest.mark.parametrize("minutes", [2, pytest.param(20, marks=pytest.mark.slow)])
@pytest.mark.parametrize(("predicted", "speed_at"), [
    pytest.param(11_000, lambda _: 100.0, id="as predicted"),
    pytest.param(1_100, lambda _: 100.0, id="ten times faster"),
    pytest.param(110_000, lambda _: 100.0, id="ten times slower"),
    pytest.param(3, lambda _: 100.0, id="thousands of times faster"),
    pytest.param(10**8, lambda _: 100.0, id="thousands of times slower"),
    pytest.param(11_000, lambda now: 30.0 if now // 17 % 2 else 120.0, id="load comes and goes"),
    pytest.param(11_000, lambda now: 100.0 if now < 60 else 20.0, id="load comes and stays"),
    pytest.param(11_000, lambda now: 20.0 if now < 60 else 100.0, id="load ends"),
    pytest.param(11_000, lambda now: 100.0 if now < 100 else 5.0, id="load near the end"),
    pytest.param(50, lambda _: 0.4, id="long steps"),
])  # fmt: skip
def test_a_run_ends_in_time(scripted, minutes, predicted, speed_at):
    limit = TimeLimit(minutes * MINUTE)
    lengths, progress, _ = simulate(scripted, limit, predicted, speed_at)
    slowness = slowness_of(speed_at, scripted.now)  # of the results, if the load stays; it may end as well
    allowed = max(0.01 * limit.seconds, 3.0) if slowness < 1.2 else max(0.05 * limit.seconds, PROMISE_SEC)
    for factor in (1.0, slowness):
        assert abs(scripted.now + RESULTS_SEC * factor - limit.seconds) <= allowed
    assert progress == sorted(progress)
    assert len(lengths) < 60
    for before, after in pairwise(lengths):
        assert after.position(after.revision.iteration) == before.position(after.revision.iteration)


@pytest.mark.slow
@pytest.mark.parametrize("speed", [30.0, 100.0, 300.0])
def test_schedules_end_with_the_run(scripted, speed):
    _, progress, _ = simulate(scripted, TimeLimit(2 * MINUTE), 11_000, lambda _: speed)
    assert progress[-1] > 0.99
    assert progress[len(progress) // 2] == pytest.approx(0.5, abs=0.1)
    assert max(after - before for before, after in pairwise(progress)) < 0.01


@pytest.mark.slow
def test_until_ends_at_that_time(scripted):
    limit = TimeLimit(5 * MINUTE, until=clock.wall() + 5 * MINUTE)

    def speed_at(now: float) -> float:
        return 30.0 if now // 10 % 2 else 60.0

    simulate(scripted, limit, 2_000, speed_at)
    results_sec = RESULTS_SEC * slowness_of(speed_at, scripted.now)
    assert scripted.now + results_sec == pytest.approx(5 * MINUTE, abs=3)


@pytest.mark.slow
def test_snapshots_keep_to_their_share(scripted):
    """They were cheap at the start, and take ten times longer than they should."""
    limit = TimeLimit(10 * MINUTE)
    _, _, snapshots = simulate(scripted, limit, 60_000, lambda _: 100.0, snapshot_sec=4.0)
    assert snapshots >= 3
    assert snapshots * 4.0 <= SNAPSHOT_SHARE * limit.seconds
    assert scripted.now + RESULTS_SEC == pytest.approx(limit.seconds, abs=6)


def test_other_work_leaves_less_time_to_train(scripted):
    """Pictures take as long as training."""
    keeper, length = Timekeeper(TimeLimit(100.0), 0.0, RESULTS_SEC), length_of(1000, TimeLimit(100.0))
    for iteration in range(1, 51):
        scripted.go_on(0.1)
        with keeper.aside("preview"):
            scripted.go_on(0.1)
        length = keeper.revise(length, iteration, 1, is_checkpoint=iteration == 50, snapshot_every=0) or length
    assert length.iterations == pytest.approx(50 + (100 - 10 - RESULTS_SEC) / 0.2, abs=10)


@pytest.mark.slow
def test_a_slow_machine_gets_more_time_for_results(scripted, monkeypatch):
    """The process gets a third of a core, so the results take three times as long."""
    monkeypatch.setattr(clock, "process", lambda: scripted.now / 3)
    simulate(scripted, TimeLimit(2 * MINUTE), 11_000, lambda _: 100.0)
    assert scripted.now + 3 * RESULTS_SEC == pytest.approx(2 * MINUTE, abs=3)


@pytest.mark.slow
def test_a_slow_start_leaves_more_time_within_the_promise(scripted, monkeypatch):
    """The results may be as slow as the start, or as fast as training: either ends within 20 seconds."""
    monkeypatch.setattr(clock, "process", lambda: max(scripted.now - 7, 0.1))  # of the first 8 seconds it got one
    simulate(scripted, TimeLimit(5 * MINUTE), 30_000, lambda _: 100.0)
    assert scripted.now + RESULTS_SEC + 15 == pytest.approx(5 * MINUTE, abs=3)


def test_load_that_goes_does_not_end_the_command_too_early(scripted, monkeypatch):
    """Results take 5 seconds on a free core; for half a minute before them the process gets an eighth of one."""
    spent, moments = [0.0], [0.0]

    def process() -> float:
        spent[0] += (scripted.now - moments[0]) / (8 if scripted.now > 60 else 1)
        moments[0] = scripted.now
        return spent[0]

    monkeypatch.setattr(clock, "process", process)
    simulate(scripted, TimeLimit(2 * MINUTE), 11_000, lambda now: 12.0 if now > 60 else 100.0)
    assert scripted.now + RESULTS_SEC == pytest.approx(2 * MINUTE - 15, abs=3)


@pytest.fixture
def crowded(scripted, monkeypatch) -> float:
    """The process gets a twelfth of a core; return how many times longer its results take."""
    monkeypatch.setattr(clock, "process", lambda: max(scripted.now / 12, 0.1))
    return 12.0


@pytest.mark.parametrize(
    ("start", "minutes", "is_shortened"), [(0, 20, False), (0, 2.5, True), (60, 2, True), (90, 2, True), (110, 2, True)]
)
def test_results_are_shortened_where_the_whole_would_end_the_command_too_late(
    scripted, crowded, start, minutes, is_shortened
):
    """All results take a minute here, and the model alone 12 seconds."""
    limit, iteration = TimeLimit(minutes * MINUTE), 0
    length = length_of(50, limit)
    scripted.go_on(start)
    keeper = Timekeeper(limit, 0.0, RESULTS_SEC)
    while iteration < length.iterations:
        scripted.go_on(0.3)
        iteration += 1
        length = keeper.revise(length, iteration, 1, is_checkpoint=True, snapshot_every=0) or length
    assert keeper.has_time_for("film") != is_shortened
    assert scripted.now > start + 4
    end = scripted.now + crowded * (SHORT_RESULTS_SEC if is_shortened else RESULTS_SEC)
    assert end == pytest.approx(limit.seconds, abs=max(PROMISE_SEC, 0.05 * limit.seconds))


def test_results_that_are_slower_than_training_are_shortened_while_they_are_written(scripted, monkeypatch):
    """Other processes begin when training ends: the model alone takes 30 seconds."""
    keeper = Timekeeper(TimeLimit(2 * MINUTE), 0.0, RESULTS_SEC)
    scripted.go_on(100)
    assert keeper.has_time_for("film")
    processor = scripted.now
    monkeypatch.setattr(clock, "process", lambda: processor + 1)
    scripted.go_on(30)
    assert not keeper.has_time_for("report")


@pytest.mark.parametrize("start", [100, 135])
def test_a_limit_that_cannot_be_kept_is_said_before_training(scripted, crowded, tiny_data, runtime, prose, start):
    options, listener, recipe = RunOptions("x", Budget(minutes=2), began=0.0), Listener(), load_recipe("mlp-small")
    scripted.go_on(start)
    length, _ = prepare.fit_length(recipe, tiny_data, options, runtime, 1000.0, listener)
    assert (length.iterations == 1) == (start == 135)
    prose(f"start of {start} of 120 seconds", listener.said("warning")[0])


def test_a_resume_that_starts_too_late_knows_it(scripted, crowded):
    """Half a minute of two was left, and the start took 40 seconds."""
    scripted.go_on(40)
    assert Timekeeper(TimeLimit(2 * MINUTE), 0.0, RESULTS_SEC, used_sec=90).late_sec() == pytest.approx(22)
    assert Timekeeper(TimeLimit(2 * MINUTE), 0.0, RESULTS_SEC, used_sec=80).late_sec() == 0


def test_a_slow_start_shortens_the_measurement(scripted):
    scripted.go_on(80)
    assert prepare.most_sec(TimeLimit(2 * MINUTE), 0.0) == pytest.approx(4)
    assert prepare.most_sec(TimeLimit(20 * MINUTE), 0.0) == prepare.STEADY_SEC
    assert prepare.most_sec(TimeLimit(MINUTE), 0.0) == 0


def test_without_a_limit_nothing_is_revised(scripted):
    length = dataclasses.replace(length_of(100, TimeLimit(1.0)), limit=None)
    scripted.go_on(1e6)
    assert Timekeeper().revise(length, 5, 1, is_checkpoint=True, snapshot_every=0) is None


@pytest.fixture
def no_results(monkeypatch):
    monkeypatch.setattr(api, "write_results", lambda *_: None)


@pytest.fixture
def limited(scripted, monkeypatch, tiny_file, no_results) -> Callable[..., api.Run]:
    """Return a function that trains for a minute of a scripted clock: first fast, then slow, then fast again."""
    step = training.train_step

    def timed(state, *arguments):
        step(state, *arguments)
        scripted.go_on(0.05 if 300 < scripted.now % 1000 * 10 < 450 else 0.2)

    monkeypatch.setattr(prepare, "measure_speed", lambda *_: Speed(64.0))
    monkeypatch.setattr(training, "train_step", timed)

    def run(folder: Path, *overrides: str, **more) -> api.Run:
        return train(tiny_file, folder, "mlp-small", *RHYTHM, *overrides, minutes=1.0, steps=None, **more)

    return run


def revisions_of(folder: Path) -> dict[int, RunLength]:
    rows = [row for row in read_rows(RunFolder(folder).log) if row.get("event") == "revised"]
    assert len({row["iteration"] for row in rows}) == len(rows)
    return {row["iteration"]: RunLength.from_json(row["length"]) for row in rows}


def train_with(revisions: dict[int, RunLength], again: Callable[[Path], api.Run], folder: Path) -> api.Run:
    """Train with revisions that are given, whatever the clock says."""

    class Replay(Timekeeper):
        def revise(self, length, iteration, *_, **__):
            return revisions.get(iteration)

    with mock.patch.object(running, "Timekeeper", Replay):
        return again(folder)


@pytest.mark.slow
def test_revisions_are_in_log_and_checkpoint(limited, scripted, tmp_path):
    run = limited(tmp_path / "run")
    assert run.finished
    assert scripted.now == pytest.approx(MINUTE - 4, abs=4)
    revised = revisions_of(run.folder)
    assert 5 < len(revised) < 40
    last = list(revised.values())[-1]
    saved, folder = newest(run.folder), RunFolder(run.folder)
    assert saved.values["length"] == folder.record.length == last
    assert saved.values["iteration"] == last.iterations
    assert saved.values["used_sec"] == pytest.approx(scripted.now, abs=0.01)
    rows = [row for row in read_rows(folder.log) if "event" not in row]
    assert 25 <= len(rows) <= 60  # as many as the recipe says, in a run that became longer
    pictures = [path for path in folder.samples.iterdir() if path.name.endswith("-ema.png")]
    assert 10 <= len(pictures) <= 13


@pytest.mark.slow
def test_killed_runs_are_bit_identical_to_their_undisturbed_twins(limited, scripted, tmp_path):
    folder, fork = tmp_path / "run", multiprocessing.get_context("fork")
    kept = training.train_step

    def killed_at(iteration: int) -> Callable:
        def step(state, *arguments):
            if state.iteration == iteration:
                os.kill(os.getpid(), signal.SIGKILL)
            kept(state, *arguments)

        return step

    for number, (iteration, work) in enumerate([
        (61, lambda: limited(folder)), (140, lambda: resume(folder)), (190, lambda: resume(folder)),
    ]):  # fmt: skip
        with mock.patch.object(training, "train_step", killed_at(iteration)):
            process = fork.Process(target=work, daemon=True)
            process.start()
            process.join()
        assert process.exitcode == -signal.SIGKILL, number
    assert resume(folder).finished
    starts = [row["event"] for row in read_rows(RunFolder(folder).timing) if "event" in row]
    assert starts.count("started") > 1
    revised = revisions_of(folder)
    assert len(revised) >= 5
    scripted.now = 0.0
    twin = train_with(revised, limited, tmp_path / "twin")
    assert_same_run(twin.folder, folder)


@pytest.mark.slow
def test_a_pause_does_not_count_and_lost_work_neither(limited, scripted, tmp_path):
    run = limited(tmp_path / "run", stop_at=100)
    assert not run.finished
    used = newest(run.folder).values["used_sec"]
    scripted.go_on(10_000 - scripted.now % 1000)
    before, listener = scripted.now, Listener()
    assert resume(run.folder, on_event=listener).finished
    assert used + scripted.now - before == pytest.approx(MINUTE - 4, abs=5)
    assert any(text.startswith("time left: 0:") and text.endswith("(1 minute)") for text in listener.said("note"))


@pytest.mark.slow
def test_a_resume_after_the_end_of_until_ends_after_one_step(limited, scripted, tmp_path, monkeypatch):
    run = limited(tmp_path / "run", stop_at=60)
    folder = RunFolder(run.folder)
    end = TimeLimit(MINUTE, clock.wall() + 10)
    saved = folder.checkpoints / "000000060" / "state.json"
    assert saved.is_file()
    length = dataclasses.replace(folder.record.length, limit=end)
    folder.write_record(folder.record.model_copy(update={"length": length}))
    monkeypatch.setattr(running, "length_at", lambda *_: length)
    scripted.go_on(40)
    listener = Listener()
    assert resume(run.folder, on_event=listener).finished
    assert newest(run.folder).values["iteration"] == 61
    assert any("ends after one step" in text for text in listener.said("note"))
    assert any(text.endswith("expect the end 0:31 late") for text in listener.said("warning"))


@pytest.mark.slow
def test_more_kimg_end_the_time_limit(limited, scripted, tmp_path):
    run = limited(tmp_path / "run")
    seen = newest(run.folder).values["kimg"]
    assert api.resume(run.folder, kimg=seen + 0.08).finished
    assert newest(run.folder).values["kimg"] == pytest.approx(seen + 0.08)
    assert RunFolder(run.folder).record.length.limit is None
    assert "length" not in newest(run.folder).values


@pytest.mark.slow
def test_a_rollback_returns_to_the_length_of_its_checkpoint(limited, tmp_path, monkeypatch):
    checked: list[tuple[int, RunLength]] = []
    finite, failed = training.RunState.all_finite, []

    def once(self) -> bool:
        if self.iteration >= 150 and not checked:
            failed.append(self.iteration)
            return False
        return finite(self)

    restore = training.Trainer._restore

    def watched(self, accept):
        restore(self, accept)
        checked.append((self.state.iteration, self.length))

    monkeypatch.setattr(training.RunState, "all_finite", once)
    monkeypatch.setattr(training.Trainer, "_restore", watched)
    run = limited(tmp_path / "run")
    ((iteration, length),) = checked
    assert run.finished
    assert length.revision.iteration <= iteration < failed[0]
    assert list(revisions_of(run.folder)) == sorted(revisions_of(run.folder))


def test_steady_speeds_are_not_doubtful(scripted, monkeypatch, tiny_data, runtime):
    found = measured(scripted, monkeypatch, tiny_data, runtime, lambda _: 0.1)
    assert (found.doubt, found.img_per_sec) == ("", pytest.approx(80 * 0.95, rel=0.01))
    assert scripted.now < 4


def test_a_speed_that_changes_is_measured_longer_and_doubted(scripted, monkeypatch, tiny_data, runtime):
    found = measured(scripted, monkeypatch, tiny_data, runtime, lambda now: 0.4 if now // 0.7 % 2 else 0.05)
    assert "it varied from" in found.doubt
    assert 15 <= scripted.now < 18


def test_speed_settles_after_other_work_ends(scripted, monkeypatch, tiny_data, runtime):
    found = measured(scripted, monkeypatch, tiny_data, runtime, lambda now: 0.1 if now > 5 else 0.2 + now % 0.7)
    assert (found.doubt, found.img_per_sec) == ("", pytest.approx(80 * 0.95, rel=0.02))


def test_a_busy_machine_is_named(scripted, monkeypatch, tiny_data, runtime, prose):
    monkeypatch.setattr(clock, "cores", lambda: 2)
    monkeypatch.setattr(clock.Load, "others", lambda _: 1.8)
    found = measured(scripted, monkeypatch, tiny_data, runtime, lambda _: 0.1)
    prose("doubtful speed", found.warning())


def measured(scripted, monkeypatch, data, runtime, seconds_at: Callable[[float], float]) -> Speed:
    """Measure a step that takes as long as the script says."""
    from small_runs import small

    def step(state, *_):
        scripted.go_on(seconds_at(scripted.now))
        state.iteration += 1

    monkeypatch.setattr(prepare, "train_step", step)
    monkeypatch.setattr(prepare, "threads", lambda: 1)
    if clock.Load.others is LOAD_OF_OTHERS:
        monkeypatch.setattr(clock.Load, "others", lambda _: 0.0)
    return prepare.measure_speed(load_recipe("mlp-small", small("mlp-small")), data, runtime)


LOAD_OF_OTHERS = clock.Load.others


@pytest.mark.parametrize(("alone_sec", "chosen"), [(0.1, 1), (0.9, 2)])
def test_one_thread_is_measured_too_on_a_busy_machine(
    scripted, monkeypatch, tiny_data, runtime, prose, alone_sec, chosen
):
    from small_runs import small

    now = [2]

    def step(state, *_):
        scripted.go_on(alone_sec if now[-1] == 1 else 0.5)
        state.iteration += 1

    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(prepare, "train_step", step)
    monkeypatch.setattr(prepare, "threads", lambda: now[-1])
    monkeypatch.setattr(prepare, "set_threads", now.append)
    monkeypatch.setattr(clock, "cores", lambda: 2)
    monkeypatch.setattr(clock.Load, "others", lambda _: 1.0)
    speed = prepare.measure_speed(load_recipe("mlp-small", small("mlp-small")), tiny_data, runtime)
    assert now[-1] == chosen
    assert bool(speed.threads) == (chosen == 1)
    if speed.threads:
        prose("one thread on a busy machine", speed.threads)
        assert not speed.doubt  # one of two cores is free


def test_the_load_of_other_processes(scripted, monkeypatch):
    busy, own = iter([100.0, 108.0]), iter([1.0, 3.0])
    monkeypatch.setattr(clock, "_busy_sec", lambda: next(busy))
    monkeypatch.setattr(clock, "_own_sec", lambda: next(own))
    load = clock.Load()
    scripted.go_on(4.0)
    assert load.others() == 1.5


@pytest.fixture
def shared_cores(monkeypatch) -> Iterator[list[float]]:
    """Two cores; the last number of the list says how many of them other processes use."""
    others, before = [0.0], torch.get_num_threads()
    monkeypatch.setattr(clock, "cores", lambda: 2)
    monkeypatch.setattr(clock.Load, "others", lambda _: others[-1])
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    torch.set_num_threads(2)
    yield others
    torch.set_num_threads(before)


def test_threads_follow_the_cores_that_others_leave(scripted, shared_cores):
    limit, used = TimeLimit(4 * MINUTE), list[int]()
    keeper, length = Timekeeper(limit, 0.0, RESULTS_SEC, most_threads=2), length_of(2000, limit)
    for iteration in range(1, 1800):
        shared_cores.append(1.0 if 60 < scripted.now < 120 else 0.1)
        scripted.go_on(0.1)
        due = length.is_due(length.checkpoint_every, iteration)
        new = keeper.revise(length, iteration, 10, is_checkpoint=due, snapshot_every=0)
        if new:
            length = new
            torch.set_num_threads(new.threads)
        used.append(torch.get_num_threads())
    changes = [at / 10 for at in range(1, len(used)) if used[at] != used[at - 1]]
    assert used[0] == used[-1] == 2
    assert len(changes) == 2
    assert 60 <= changes[0] <= 60 + 2 * CROWD_SEC
    assert 120 <= changes[1] <= 120 + 2 * CROWD_SEC


@pytest.mark.parametrize("given", [{}, {"most_threads": 2, "OMP_NUM_THREADS": "2"}])
def test_threads_that_are_not_its_choice_stay(scripted, shared_cores, monkeypatch, given):
    shared_cores.append(2.0)
    if "OMP_NUM_THREADS" in given:
        monkeypatch.setenv("OMP_NUM_THREADS", "2")
    assert running._most_threads(start_runtime("cpu", "fp32")) == (0 if "OMP_NUM_THREADS" in given else 2)
    keeper, length = Timekeeper(TimeLimit(100.0), 0.0, RESULTS_SEC), length_of(1000, TimeLimit(100.0))
    for iteration in range(1, 800):
        scripted.go_on(0.1)
        length = keeper.revise(length, iteration, 1, is_checkpoint=iteration % 50 == 0, snapshot_every=0) or length
    assert length.threads == 2


@pytest.mark.slow
def test_a_resumed_run_goes_on_with_the_threads_of_its_checkpoint(
    limited, scripted, shared_cores, monkeypatch, tmp_path
):
    used, step = dict[int, int](), training.train_step

    def watched(state, *arguments):
        used[state.iteration] = torch.get_num_threads()
        shared_cores.append(1.0 if 20 < scripted.now < 45 else 0.0)
        step(state, *arguments)

    monkeypatch.setattr(training, "train_step", watched)
    events = Listener()
    run = limited(tmp_path / "run", on_event=events, stop_at=220)
    revised = revisions_of(run.folder)
    assert used[219] == newest(run.folder).values["length"].threads == 1
    assert any("1 thread instead of 2" in text for text in events.said("note"))
    assert torch.get_num_threads() == 2  # another run in this process begins as this one did
    assert resume(tmp_path / "run").finished
    assert used[220] == 1
    revised = revisions_of(run.folder)
    assert {1, 2} == {length.threads for length in revised.values()}
    mine = dict(used)
    scripted.now = 0.0
    twin = train_with(revised, limited, tmp_path / "twin")
    assert used == mine
    assert_same_run(twin.folder, run.folder)
