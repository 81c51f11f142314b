from datetime import datetime

import pytest

from gansmith.core import clock
from gansmith.recipes.load import load_recipe
from gansmith.recipes.recipe import Recipe
from gansmith.runs.length import Budget, RunLength, TimeLimit, run_length


def recipe(*overrides: str) -> Recipe:
    return load_recipe("dcgan", ("batch_size=100", "epochs=10", *overrides))


def plan(budget: Budget, *overrides: str, count: int = 1000, images: int = 100, img_per_sec: float = 0.0) -> RunLength:
    limit = budget.time_limit(0.0)
    sec = limit.seconds if limit else 0.0
    return run_length(recipe(*overrides), budget, count, images, limit=limit, img_per_sec=img_per_sec, train_sec=sec)


@pytest.mark.parametrize(("budget", "overrides", "iterations", "source"), [
    (Budget(), (), 100, "10 epochs of 1,000 images"),
    (Budget(), ("kimg=3",), 30, "3 kimg"),
    (Budget(epochs=2.5), (), 25, "2.5 epochs of 1,000 images"),
    (Budget(epochs=2.5), ("kimg=3",), 25, "2.5 epochs of 1,000 images"),
    (Budget(kimg=0.25), (), 3, "0.25 kimg"),
    (Budget(kimg=0.25), ("kimg=3",), 3, "0.25 kimg"),
    (Budget(steps=7), (), 7, "7 steps"),
    (Budget(minutes=0.5), (), 60, "0.5 minutes at 200 images a second as measured"),
    (Budget(kimg=1e-6), (), 1, "1e-06 kimg"),
])  # fmt: skip
def test_lengths(budget, overrides, iterations, source):
    got = plan(budget, *overrides, img_per_sec=200.0)
    assert got.iterations == iterations
    assert got.schedule_kimg == pytest.approx(iterations * 0.1)
    assert got.source == source


def test_an_iteration_may_show_several_batches():
    assert plan(Budget(kimg=3), images=500).iterations == 6
    assert plan(Budget(steps=6), images=500).schedule_kimg == 3.0


@pytest.mark.parametrize("kimg", [0.3, 0.7, 1.1, 2.2, 4.1, 4.6, 8.2, 16.1, 32.3])
def test_rounding_errors_add_no_iteration(kimg):
    assert plan(Budget(kimg=kimg)).iterations == round(kimg * 10)
    assert plan(Budget(steps=1)).extended(kimg, 100).iterations == round(kimg * 10)


@pytest.mark.parametrize(("fields", "code"), [
    ({"kimg": 1, "steps": 1}, "training.two_lengths"),
    ({"epochs": 1, "minutes": 1}, "training.two_lengths"),
    ({"kimg": 0}, "training.length_out_of_range"),
    ({"steps": -5}, "training.length_out_of_range"),
    ({"minutes": float("nan")}, "training.length_out_of_range"),
    ({"epochs": float("inf")}, "training.length_out_of_range"),
    ({"until": "18:30", "minutes": 3}, "training.two_lengths"),
    ({"until": "noon"}, "training.not_a_time"),
    ({"until": "24:00"}, "training.not_a_time"),
    ({"until": "18:60"}, "training.not_a_time"),
    ({"until": "18:3"}, "training.not_a_time"),
    ({"until": ""}, "training.not_a_time"),
])  # fmt: skip
def test_errors(refused, fields, code):
    with refused(code):
        Budget(**fields)


def test_three_lengths_read_well(refused):
    with refused("training.two_lengths"):
        Budget(kimg=1, steps=1, minutes=1)


@pytest.mark.slow
def test_intervals():
    got = plan(Budget(steps=1000), "log_rows=200", "previews=10", "checkpoints=4", "checkpoint_kimg=1000")
    assert (got.log_every, got.preview_every, got.checkpoint_every) == (5, 100, 250)
    often = plan(Budget(steps=1000), "checkpoints=1", "checkpoint_kimg=5")
    assert often.checkpoint_every == 50
    short = plan(Budget(steps=3))
    assert (short.log_every, short.preview_every, short.checkpoint_every) == (1, 1, 1)


def test_an_extended_length_keeps_its_intervals():
    first = plan(Budget(steps=1000))
    longer = first.extended(200, 100)
    assert longer.iterations == 2000
    assert longer.schedule_kimg == 200
    assert longer.source == "extended to 200 kimg"
    assert (longer.log_every, longer.preview_every, longer.checkpoint_every) == (
        first.log_every, first.preview_every, first.checkpoint_every,
    )  # fmt: skip
    assert RunLength(**first.to_json()) == first
    assert RunLength.from_json(first.to_json()) == first


@pytest.mark.parametrize(
    ("until", "seconds"), [("18:30", 1800), ("17:59", 86_340), ("18:00", 86_400), ("9:05", 54_300)]
)
def test_until_is_the_next_time_of_that_name(monkeypatch, until, seconds):
    now = datetime(2026, 3, 4, 18, 0, 0)
    monkeypatch.setattr(clock, "wall", lambda: now.timestamp() + 20)
    monkeypatch.setattr(clock, "monotonic", lambda: 120.0)  # the command began 20 seconds ago
    limit = Budget(until=until).time_limit(100.0)
    assert limit == TimeLimit(seconds, now.timestamp() + seconds)
    assert str(limit) == f"until {until:0>5}"


def test_a_revised_length_keeps_its_past():
    first = plan(Budget(minutes=0.5), "log_rows=60", "previews=6", "checkpoints=6", img_per_sec=200.0)
    twice = first.revised(20, 100, 100, snapshot_every=20)
    assert (twice.iterations, twice.schedule_kimg, twice.source) == (100, 10.0, "0.5 minutes at the speed so far")
    assert [twice.position(at) for at in (20, 60, 100)] == [20, 40, 60]
    third = twice.revised(60, 70, 100, snapshot_every=None)
    assert [third.position(at) for at in (60, 65, 70)] == [40, 50, 60]
    assert [third.moment(at, at / 10, stretches=False).progress for at in (60, 70)] == [pytest.approx(2 / 3), 1.0]
    assert third.moment(70, 7.0, stretches=True).stretch == pytest.approx(70 / 60)
    assert RunLength.from_json(third.to_json()) == third
    here = third.revised(64, 64, 100, snapshot_every=None)
    assert (here.iterations, here.position(64)) == (64, third.position(64))


@pytest.mark.parametrize("every", [1, 7, 10])
def test_what_is_due_comes_as_often_in_a_revised_length(every):
    first = plan(Budget(minutes=0.5), img_per_sec=200.0)
    assert [at for at in range(1, 61) if first.is_due(every, at)] == list(range(every, 61, every))
    longer, shorter = (first.revised(20, end, 100, snapshot_every=None) for end in (180, 30))
    due = [at for at in range(21, 181) if longer.is_due(every, at)]
    assert len(due) == len([at for at in range(21, 61) if first.is_due(every, at)])
    assert len([at for at in range(21, 31) if shorter.is_due(every, at)]) <= len(due)
