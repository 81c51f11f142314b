"""Thinned rows of a growing log."""

import json
import os
from pathlib import Path

import numpy as np
import pytest

from gansmith.web import run_log
from gansmith.web.run_log import RunLog


def write(path: Path, first: int, count: int, **more: float | None) -> None:
    with open(path, "a") as file:
        for number in range(first, first + count):
            row = {"iteration": number, "kimg": number / 10, "loss": float(number % 7), **more}
            file.write(json.dumps(row) + "\n")


def read(log: RunLog) -> None:
    while log.catch_up():
        pass


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "log.jsonl"


def test_columns_have_a_limit(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_log, "MOST_COLUMNS", 8)
    write(path, 0, 3)
    for number in range(3, 20):
        write(path, number, 1, **{f"column_{number}": 1.0})
    write(path, 20, 2)
    log = RunLog(path)
    read(log)
    assert (log.rows, log.columns) == (22, ["loss", *(f"column_{number}" for number in range(3, 8))])
    assert log.thinned(["loss", "column_3"], 0, 1e9, 100)["columns"]["column_3"]["mean"].count(1.0) == 1


def test_lines_that_are_no_rows_are_left_out(path: Path) -> None:
    write(path, 0, 1)
    with open(path, "a") as file:
        file.write('5\nnull\n{"iteration": 1, "kimg": "x"}\n{"event": {}, "iteration": 1, "kimg": 1}\n')
        file.write('{"iteration": 1, "kimg": NaN}\n' + "[" * 5000 + "\n")
    write(path, 1, 1)
    log = RunLog(path)
    read(log)
    assert (log.rows, log.event_count) == (2, 0)


def test_no_spike_is_lost_in_a_long_log(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_log, "MOST_GROUPS", 64)
    monkeypatch.setattr(run_log, "EXACT_BYTES", 4000)
    write(path, 0, 1234)
    write(path, 1234, 1, loss=900.0)
    write(path, 1235, 3000)
    log = RunLog(path)
    read(log)
    found = log.thinned(["loss"], 0, 1e9, 20)
    assert log.rows == 4235
    assert len(found["kimg"]) <= 20
    assert found["whole"] is True
    assert max(found["columns"]["loss"]["max"]) == 900
    assert min(found["columns"]["loss"]["min"]) == 0
    place = int(np.argmax(found["columns"]["loss"]["max"]))
    assert abs(found["kimg"][place] - 123.4) < 423.5 / 10
    weight = found["rows_in_point"]
    assert weight * (len(found["kimg"]) - 1) < 4235 <= weight * len(found["kimg"])


def test_a_zoom_shows_single_rows(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_log, "MOST_GROUPS", 64)
    write(path, 0, 4000)
    log = RunLog(path)
    read(log)
    found = log.thinned(["loss"], 200, 202, 100)
    assert found["iteration"] == list(range(2000, 2021))
    assert found["columns"]["loss"] == {"mean": [float(number % 7) for number in range(2000, 2021)]}


def test_the_mean_is_over_all_rows_of_a_point(path: Path) -> None:
    write(path, 0, 100)
    log = RunLog(path)
    read(log)
    found = log.thinned(["loss"], 0, 1e9, 10)
    assert found["columns"]["loss"]["mean"] == pytest.approx(
        [np.mean([number % 7 for number in range(start, start + 10)]) for start in range(0, 100, 10)], rel=1e-5
    )


def test_a_log_grows_while_it_is_read(path: Path) -> None:
    log = RunLog(path)
    read(log)
    assert log.thinned(["loss"], 0, 1e9, 10)["kimg"] == []
    write(path, 0, 3)
    with open(path, "a") as file:
        file.write('{"iteration": 3, "kimg"')  # the writer is in the middle of a line
    read(log)
    assert log.rows == 3
    with open(path, "a") as file:
        file.write(': 0.3, "loss": 1.0}\n')
    read(log)
    assert log.rows == 4
    assert log.recent[-1]["kimg"] == 0.3


def test_a_rollback_that_cuts_the_log_is_noticed(path: Path) -> None:
    write(path, 0, 50)
    log = RunLog(path)
    read(log)
    before = log.version
    size = path.stat().st_size
    os.truncate(path, size // 2 // 40 * 40)
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(lines[:20]))
    write(path, 20, 100, after=1.0)  # longer than before, so that the size alone would not tell
    read(log)
    assert log.version > before
    assert log.rows == 120
    assert "after" in log.columns


def test_events_are_no_rows(path: Path) -> None:
    write(path, 0, 5)
    with open(path, "a") as file:
        file.write(json.dumps({"event": "rollback", "iteration": 4, "kimg": 0.4, "message": "not finite"}) + "\n")
    write(path, 5, 5, other=None)
    log = RunLog(path)
    read(log)
    assert log.rows == 10
    assert [event["message"] for event in log.events] == ["not finite"]
    found = log.thinned(["loss", "other"], 0, 1e9, 100)
    assert len(found["kimg"]) == 10
    assert found["columns"]["other"]["mean"] == [None] * 10


def test_a_broken_line_is_left_out(path: Path) -> None:
    write(path, 0, 2)
    with open(path, "a") as file:
        file.write("no JSON\n[1]\n")
    write(path, 2, 2)
    log = RunLog(path)
    read(log)
    assert log.rows == 4


def test_a_long_log_is_drawn_from_samples_until_it_is_read(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_log, "CHUNK_BYTES", 1000)
    monkeypatch.setattr(run_log, "SAMPLE_BYTES", 400)
    write(path, 0, 2000)
    log = RunLog(path)
    log.catch_up(1000)
    found = log.thinned(["loss"], 0, 1e9, 20)
    assert found["whole"] is False
    assert 10 <= len(found["kimg"]) <= 40
    assert found["kimg"][0] <= 0.1
    assert found["kimg"][-1] > 190
    read(log)
    assert log.thinned(["loss"], 0, 1e9, 20)["whole"] is True
