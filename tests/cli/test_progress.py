"""What a run tells while it goes, on stderr."""

import pytest

from gansmith.core.events import Event, HealthEvent, Progress, RowEvent, SnapshotEvent, duration
from gansmith.core.progress import ProgressPrinter

SPEED = {"img_per_sec": 200.0, "eta_sec": 75.0, "wall_sec": 1.0, "memory_mb": 512.0}
TRAINING = Progress("training", 3.0, 18.0)


def told(capsys: pytest.CaptureFixture[str], *events: Event) -> list[str]:
    with ProgressPrinter() as printer:
        for event in events:
            printer._last = -1e9  # plain lines come ten seconds apart
            printer(event)
    return capsys.readouterr().err.splitlines()


def test_durations():
    assert [duration(seconds) for seconds in (75, 4000, -3)] == ["1:15", "1:06:40", "0:00"]


def test_the_last_snapshot_stays_in_the_line(capsys):
    snapshot = SnapshotEvent("D wins", {"kimg": 2.0, "fd2k_own_train": 12.345, **SPEED}, TRAINING)
    row = RowEvent({"kimg": 3.0, "loss_generator": 1.5, **SPEED}, TRAINING)
    first, second = told(capsys, snapshot, row)
    assert first == "training: 2.0 kimg  200 img/s  1:15 left    fd2k 12.35  D wins  512 MB"
    assert second == "training: 3.0 kimg  200 img/s  1:15 left  loss G 1.500  fd2k 12.35  D wins  512 MB"


def test_a_verdict_is_a_warning_unless_all_is_well(capsys):
    ill, well = HealthEvent("D wins since 2.0 kimg: [so]", {}), HealthEvent("healthy: fd is 3", {})
    assert told(capsys, ill, well) == ["warning: D wins since 2.0 kimg: [so]", "healthy: fd is 3"]
