import math

import pytest
from pydantic import TypeAdapter, ValidationError

from gansmith.core.schedules import Moment, Ramp, Scheduled, value_at


def at(number: Scheduled, progress: float) -> float:
    return value_at(number, Moment(7, 3.5, progress))


def test_a_constant_is_itself():
    assert [at(0.25, progress) for progress in (0, 0.5, 1)] == [0.25] * 3
    assert isinstance(at(3, 0.5), float)


@pytest.mark.parametrize(("progress", "expected"), [(0, 2), (0.25, 1.5), (0.5, 1), (1, 0)])
def test_linear(progress, expected):
    assert at(Ramp(start=2, end=0), progress) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(
    ("progress", "expected"),
    [(0, 1), (0.25, (1 + math.sqrt(0.5)) / 2), (0.5, 0.5), (0.75, (1 - math.sqrt(0.5)) / 2), (1, 0)],
)
def test_cosine(progress, expected):
    assert at(Ramp(start=1, end=0, shape="cosine"), progress) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(("progress", "expected"), [(0, 10), (0.1, 6), (0.2, 2), (0.2001, 2), (0.9, 2), (1, 2)])
def test_half_cosine_with_hold(progress, expected):
    assert at(Ramp(start=10, end=2, shape="cosine", until=0.2), progress) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(("progress", "expected"), [(0, 1), (0.5, 1), (0.625, 2), (0.75, 3), (0.8, 3), (1, 3)])
def test_begin_and_until(progress, expected):
    assert at(Ramp(start=1, end=3, begin=0.5, until=0.75), progress) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(("progress", "expected"), [(0, 0), (0.05, 0.5), (0.1, 1), (0.5, 1), (0.75, 0.5), (1, 0)])
def test_warmup_rises_from_0(progress, expected):
    ramp = Ramp(start=1, end=0, begin=0.5, warmup=0.1)
    assert at(ramp, progress) == pytest.approx(expected, abs=1e-12)


def test_both_shapes_start_and_end_exactly():
    for shape in ("linear", "cosine"):
        ramp = Ramp(start=2e-4, end=1e-5, shape=shape)
        assert at(ramp, 0.0) == 2e-4
        assert at(ramp, 1.0) == pytest.approx(1e-5, rel=1e-12)


@pytest.mark.parametrize(("fields", "message"), [
    ({"start": 1, "end": 0, "begin": 0.5, "until": 0.5}, r"begin \(0.5\) must be below until \(0.5\)"),
    ({"start": 1, "end": 0, "begin": 0.8, "until": 0.2}, r"begin \(0.8\) must be below until \(0.2\)"),
    ({"start": 1, "end": 0, "until": 1.5}, "until"),
    ({"start": 1, "end": 0, "begin": -0.5}, "begin"),
    ({"start": 1}, "end"),
    ({"start": 1, "end": float("nan")}, "finite"),
    ({"start": 1, "end": 0, "shape": "step"}, "'linear' or 'cosine'"),
    ({"start": 1, "end": 0, "warmup": 1}, "warmup"),
])  # fmt: skip
def test_errors(fields, message):
    with pytest.raises(ValidationError, match=message):
        Ramp(**fields)


def test_a_field_takes_either_and_keeps_it():
    adapter = TypeAdapter(Scheduled)
    assert adapter.validate_python("2e-4") == 2e-4  # what PyYAML makes of 2e-4
    ramp = adapter.validate_python({"start": 1, "end": 0, "shape": "cosine"})
    assert ramp == Ramp(start=1, end=0, shape="cosine")
    assert adapter.validate_python(ramp.model_dump(mode="json")) == ramp
