"""The time, the beginning of this command, and how busy other processes keep the machine."""

# Whoever keeps a time limit reads the three functions below as ``clock.NAME()``, so tests replace them here.

import os
import time
from contextlib import suppress
from pathlib import Path

monotonic = time.monotonic
wall = time.time  # seconds since 1970
process = time.process_time  # of all cores, for this process

CROWDED = 0.3  # cores that others may use beyond those that are free

_command_began: float | None = None


def begin_command() -> None:
    """Note that the command line has begun: its imports count as time of the command."""
    global _command_began
    _command_began = monotonic()


def began() -> float:
    """Return when this command began, by ``monotonic``; now, for a call from Python."""
    return monotonic() if _command_began is None else _command_began


class Load:
    """Measures the cores that other processes use, from its creation on."""

    def __init__(self) -> None:
        self._start, self._own, self._busy = monotonic(), _own_sec(), _busy_sec()

    def others(self) -> float | None:
        """Return the cores that other processes used on average; None if the system does not say."""
        seconds, busy = monotonic() - self._start, _busy_sec()
        if busy is not None and self._busy is not None:
            return max(0.0, busy - self._busy - (_own_sec() - self._own)) / max(seconds, 1e-9)
        with suppress(OSError, AttributeError):  # not Linux: the mean of a minute, with this process
            return max(0.0, os.getloadavg()[0] - (_own_sec() - self._own) / max(seconds, 1e-9))
        return None

    def crowd(self, mine: int) -> float:
        """Return the cores that other processes used, if they leave less than ``mine`` of them free; else 0."""
        others = self.others() or 0.0
        return others if others + mine > cores() + CROWDED else 0.0

    def room(self, most: int) -> int | None:
        """Return how many threads, from 1 to ``most``, have a core beside other processes; None if that is unknown."""
        others = self.others()
        return None if others is None else max(1, min(most, int(cores() - others + CROWDED)))


def cores() -> int:
    """Return the number of cores of the machine."""
    return os.cpu_count() or 1


def _own_sec() -> float:
    times = os.times()
    return times.user + times.system


def _busy_sec() -> float | None:
    """Return the seconds in which cores were busy since the machine started; None if the system is not Linux."""
    try:
        words = Path("/proc/stat").read_text().split("\n", 1)[0].split()
        user, nice, system, _, _, irq, softirq, steal = map(int, words[1:9])
        return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError):
        return None
