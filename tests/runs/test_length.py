import pytest

from gansmith.recipes.load import load_recipe
from gansmith.recipes.recipe import Recipe
from gansmith.runs.length import Budget, RunLength, run_length


def recipe(*overrides: str) -> Recipe:
    return load_recipe("dcgan", ("batch_size=100", "epochs=10", *overrides))


def plan(budget: Budget, *overrides: str, count: int = 1000, images: int = 100, img_per_sec: float = 0.0) -> RunLength:
    return run_length(recipe(*overrides), budget, count, images, img_per_sec)


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
])  # fmt: skip
def test_errors(refused, fields, code):
    with refused(code):
        Budget(**fields)


def test_three_lengths_read_well(refused):
    with refused("training.two_lengths"):
        Budget(kimg=1, steps=1, minutes=1)


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
