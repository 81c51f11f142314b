import os

import pytest
import torch

from gansmith.core import cpus, runtime
from gansmith.core.cpus import available_cpus, memory_limits
from gansmith.core.errors import GansmithWarning


@pytest.fixture
def groups(tmp_path, monkeypatch):
    """Write files of control groups: {path below the root: text}."""
    monkeypatch.setattr(cpus, "CGROUPS", tmp_path / "cgroup")
    monkeypatch.setattr(cpus, "OWN", tmp_path / "own")
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)))

    def write(own: str, files: dict[str, str]) -> None:
        (tmp_path / "own").write_text(own)
        for name, text in files.items():
            path = tmp_path / "cgroup" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)

    return write


@pytest.mark.parametrize(
    ("own", "files", "expected"),
    [
        ("0::/\n", {}, 8),
        ("0::/\n", {"cpu.max": "max 100000\n"}, 8),
        ("0::/\n", {"cpu.max": "100000 100000\n"}, 1),
        ("0::/\n", {"cpu.max": "250000 100000\n"}, 3),
        ("0::/\n", {"cpu.max": "50000 100000\n"}, 1),
        ("0::/pods/a\n", {"pods/a/cpu.max": "max 100000\n", "pods/cpu.max": "200000 100000\n"}, 2),
        ("0::/../..\n", {"cpu.max": "200000 100000\n"}, 2),
        (
            "5:cpu,cpuacct:/docker/a\n4:memory:/docker/a\n",
            {"cpu,cpuacct/docker/a/cpu.cfs_quota_us": "400000\n", "cpu,cpuacct/docker/a/cpu.cfs_period_us": "100000\n"},
            4,
        ),
        (
            "4:cpuacct,cpu:/a\n",
            {"cpuacct,cpu/a/cpu.cfs_quota_us": "200000\n", "cpuacct,cpu/a/cpu.cfs_period_us": "100000\n"},
            2,
        ),
        ("", {"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, 8),
        ("no colons", {"cpu.max": "not numbers"}, 8),
        ("0::/\n", {"cpu.max": "100000 0\n"}, 8),
    ],
)
def test_quotas(groups, own, files, expected):
    groups(own, files)
    assert available_cpus() == expected


@pytest.mark.parametrize(
    ("own", "files", "expected"),
    [
        ("0::/\n", {"memory.max": "max\n"}, []),
        ("0::/\n", {"memory.max": "1048576\n"}, [1048576]),
        ("0::/job/step\n", {"job/memory.max": "4096\n", "job/step/memory.max": "max\n"}, [4096]),
        ("7:memory:/docker/a\n", {"memory/docker/a/memory.limit_in_bytes": "8192\n"}, [8192]),
        ("", {"memory/memory.limit_in_bytes": "9223372036854771712\n"}, [9223372036854771712]),
    ],
)
def test_memory_limits(groups, own, files, expected):
    groups(own, files)
    assert memory_limits() == expected


def test_limit_of_the_process(groups, monkeypatch):
    import resource

    groups("0::/\n", {})
    monkeypatch.setattr(cpus, "STATM", cpus.OWN)  # without numbers
    limits = {resource.RLIMIT_AS: (700 << 20, -1), resource.RLIMIT_DATA: (resource.RLIM_INFINITY, -1)}
    monkeypatch.setattr(resource, "getrlimit", limits.__getitem__)
    assert memory_limits() == [700 << 20]
    assert runtime.installed_memory_mb(torch.device("cpu")) == 700


def test_a_limit_of_addresses_without_what_is_mapped_but_empty(groups, monkeypatch, tmp_path):
    import resource

    groups("0::/\n", {})
    monkeypatch.setattr(resource, "getrlimit", lambda _: (6000 << 20, -1))
    (tmp_path / "statm").write_text("1024000 128000 64000 0 0 256000 0\n")  # pages of 4 KB: 4000, 500, 250, 1000 MB
    monkeypatch.setattr(cpus, "STATM", tmp_path / "statm")
    monkeypatch.setattr(os, "sysconf", lambda _: 4096)
    assert memory_limits() == [2500 << 20, 5250 << 20]
    (tmp_path / "statm").unlink()
    assert memory_limits() == [6000 << 20] * 2


def test_affinity(groups, monkeypatch):
    groups("0::/\n", {"cpu.max": "400000 100000\n"})
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {3})
    assert available_cpus() == 1


def test_more_threads_than_cpus_are_said(monkeypatch, prose):
    monkeypatch.setenv("OMP_NUM_THREADS", "16")
    monkeypatch.setattr(runtime, "threads", lambda: 16)
    monkeypatch.setattr(runtime, "available_cpus", lambda: 1)
    with pytest.warns(GansmithWarning) as said:
        runtime.start_runtime("cpu")
    prose("more threads than CPUs", str(said[0].message))
    monkeypatch.setattr(runtime, "available_cpus", lambda: 16)
    runtime.start_runtime("cpu")


@pytest.mark.parametrize(("variables", "expected"), [({}, 2), ({"OMP_NUM_THREADS": "4"}, 4)])
def test_threads_are_limited_to_the_cpus_unless_the_user_sets_them(monkeypatch, variables, expected):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    used = [4]
    monkeypatch.setattr(runtime, "threads", lambda: used[-1])
    monkeypatch.setattr(runtime, "set_threads", used.append)
    monkeypatch.setattr(runtime, "available_cpus", lambda: 2)
    runtime.limit_threads()
    assert used[-1] == expected
