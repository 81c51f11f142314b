"""The speed of a run and its remaining time."""

import time

from gansmith.core.clock import Load
from gansmith.core.events import Speed
from gansmith.core.runtime import Runtime, threads

PROGRESS_SEC = 0.5
CROWD_SEC = 60.0  # in which other processes have to take cores from this run before it is said


class Clock:
    """Measures images a second since this start of the run, and predicts its end."""

    def __init__(self, kimg: float) -> None:
        self._start = self._last = time.perf_counter()
        self._first_kimg = kimg
        self._load: Load | None = Load()
        self._load_since = self._start

    def due(self) -> bool:
        """Say whether PROGRESS_SEC have passed since the last report of progress."""
        if time.perf_counter() - self._last < PROGRESS_SEC:
            return False
        self._last = time.perf_counter()
        return True

    def crowd(self, runtime: Runtime) -> float:
        """Return the cores that other processes took for CROWD_SEC from a run of several threads, once; else 0."""
        if self._load is None or time.perf_counter() - self._load_since < CROWD_SEC:
            return 0.0
        several = runtime.device.type == "cpu" and runtime.world_size == 1 and threads() > 1
        others = self._load.crowd(threads()) if several else 0.0
        self._load, self._load_since = None if others else Load(), time.perf_counter()
        return others

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
