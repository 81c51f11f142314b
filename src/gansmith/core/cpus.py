"""The CPUs and the memory that this process may use: affinity, and the limits of its container."""

import contextlib
import math
import os
from pathlib import Path

CGROUPS, OWN, STATM = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup"), Path("/proc/self/statm")


def available_cpus() -> int:
    """Return how many CPUs this process may use at once, at least 1.

    The least of its affinity and of the quotas of its control groups (``docker --cpus``, Kubernetes limits); part of a
    CPU counts as a whole one.
    """
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min([allowed, *(math.ceil(quota) for quota in _quotas())]))


def _quotas() -> list[float]:
    """Return the CPUs that each control group of this process grants; groups without a limit are left out."""
    return [quota for folder in _groups("cpu") if (quota := _quota(folder)) is not None]


def memory_limits() -> list[int]:
    """Return the bytes that each control group grants, and the limits of this process (ulimit -v, ulimit -d).

    These limit addresses, of which libraries take gigabytes that they never fill: what is mapped but not in memory now
    is subtracted.
    """
    found = []
    for folder in _groups("memory"):
        for name in ("memory.max", "memory.limit_in_bytes"):
            with contextlib.suppress(OSError, ValueError):  # no such file, or "max"
                found.append(int((folder / name).read_text()))
    with contextlib.suppress(ImportError):  # Windows
        import resource

        limits = (resource.getrlimit(kind)[0] for kind in (resource.RLIMIT_AS, resource.RLIMIT_DATA))
        empty = _mapped_but_empty()
        found += [limit - each for limit, each in zip(limits, empty, strict=True) if limit != resource.RLIM_INFINITY]
    return found


def _mapped_but_empty() -> tuple[int, int]:
    """Return the bytes of this process, in all and of its data, that are mapped but not in memory; 0 if unknown."""
    try:
        pages = [int(word) for word in STATM.read_text().split()]
        size, resident, shared, _, _, data, _ = (each * os.sysconf("SC_PAGE_SIZE") for each in pages)
    except (OSError, ValueError):
        return 0, 0
    return max(0, size - resident), max(0, data - (resident - shared))


def _groups(controller: str) -> list[Path]:
    """Return the folders of the control groups of this process, versions 2 and 1."""
    folders = [CGROUPS, CGROUPS / controller]
    try:
        for line in OWN.read_text().splitlines():  # "0::/a/b", or "4:cpu,cpuacct:/a/b" in version 1
            _, controllers, path = line.split(":", 2)
            if not controllers or controller in controllers.split(","):  # "cpuacct,cpu" on some systems
                below = CGROUPS / controllers / path.lstrip("/")
                folders += [below, *below.parents]
    except (OSError, ValueError):
        pass
    return [*dict.fromkeys(folder for folder in folders if folder == CGROUPS or CGROUPS in folder.parents)]


def _quota(folder: Path) -> float | None:
    """Return the quota of a control group, version 2 or 1, in CPUs."""
    try:
        if (folder / "cpu.max").is_file():
            limit, period = (folder / "cpu.max").read_text().split()
        else:
            limit = (folder / "cpu.cfs_quota_us").read_text()
            period = (folder / "cpu.cfs_period_us").read_text()
        return float(limit) / float(period) if float(limit) > 0 else None
    except (OSError, ValueError, ZeroDivisionError):  # no limit: "max", or no such file
        return None
