"""The speed of a run and its remaining time."""

import time

from gansmith.core.events import Speed
from gansmith.core.runtime import Runtime

PROGRESS_SEC = 0.5


class Clock:
    """Measures images a second since this start of the run, and predicts its end."""

    def __init__(self, kimg: float) -> None:
        self._start = self._last = time.perf_counter()
        self._first_kimg = kimg

    def due(self) -> bool:
        """Say whether PROGRESS_SEC have passed since the last report of progress."""
        if time.perf_counter() - self._last < PROGRESS_SEC:
            return False
        self._last = time.perf_counter()
        return True

    def read(self, kimg: float, schedule_kimg: float, runtime: Runtime) -> Speed:
        """Return wall_sec (since this start), img_per_sec, eta_sec (until the end) and memory_mb (peak)."""
        runtime.synchronize()
        wall = time.perf_counter() - self._start
        rate = (kimg - self._first_kimg) * 1000 / wall if wall > 0 else 0.0
        eta = (schedule_kimg - kimg) * 1000 / rate if rate > 0 else 0.0
        memory = runtime.memory_mb()
        return {
            "wall_sec": round(wall, 3),
            "img_per_sec": round(rate, 1),
            "eta_sec": round(eta, 1),
            "memory_mb": memory,
        }
