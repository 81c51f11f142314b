"""Ray: what is refused without it, and a worker's mistake. benchmarks/on_ray.py runs the rest."""

import os
import sys
from types import SimpleNamespace

import pytest

from gansmith import api
from gansmith.cli.options import refuse_workers_without_ray
from gansmith.core import on_ray
from gansmith.core.errors import DataError, GansmithError
from gansmith.core.on_ray import _in_worker, run_each, run_together
from gansmith.core.signals import Stopped


def test_ray_that_is_missing_is_named(monkeypatch, refused, tmp_path):
    monkeypatch.setitem(sys.modules, "ray", None)
    with refused("machine.ray_missing"):
        api.train_on_ray("fashion-sample", on="local")
    with pytest.raises(GansmithError, match="needs the library ray"):
        api.sweep("fashion-sample", ["batch_size=8,16"], recipe="mlp-small", out=tmp_path / "sweep", on="local")
    assert not (tmp_path / "sweep").exists()


def test_an_address_that_is_none(refused):
    with refused("machine.not_an_address"):
        run_together(lambda: None, "host:10001", 2)


@pytest.mark.parametrize(("workers", "gpus"), [(64, 0), (2, 1)])
def test_more_workers_than_this_machine_has_room_for(monkeypatch, refused, workers, gpus):
    found = SimpleNamespace(cluster_resources=lambda: {"CPU": 2.0, "memory": 1e9})
    monkeypatch.setattr(on_ray, "connected", lambda _: found)
    with refused("machine.too_small_for_workers"):
        run_together(lambda: None, "local", workers, gpus)


def test_a_sweep_with_gpus_that_this_machine_does_not_have(monkeypatch):
    monkeypatch.setattr(on_ray, "connected", lambda _: SimpleNamespace(cluster_resources=lambda: {"CPU": 2.0}))
    with pytest.raises(GansmithError, match=r"need 0\.5 GPUs together"):
        run_each(str, ["a"], "ray", 0.5, on_end=print)


def test_a_signal_while_ray_waits_stops_a_sweep(monkeypatch):
    cancelled = []

    def wait(_tasks, num_returns):
        raise SystemError(f"{num_returns} returned a result with an exception set") from Stopped(2)

    found = SimpleNamespace(
        cluster_resources=lambda: {"CPU": 2.0},
        remote=lambda **_: lambda _: SimpleNamespace(remote=lambda *words: words[-1]),
        wait=wait,
        cancel=lambda task, force: cancelled.append((task, force)),
        exceptions=SimpleNamespace(WorkerCrashedError=ZeroDivisionError),
    )
    monkeypatch.setattr(on_ray, "connected", lambda _: found)
    with pytest.raises(Stopped):
        run_each(str, ["a", "b"], "local", on_end=print)
    assert cancelled == [("a", True), ("b", True)]


def test_options_of_ray_without_it(refused):
    with refused("cli.workers_without_ray"):
        refuse_workers_without_ray(None, 2, 0, None)
    with refused("cli.two_ways_to_start"):
        refuse_workers_without_ray("local", 2, 0, 2)
    refuse_workers_without_ray("local", 2, 1, None)
    refuse_workers_without_ray(None, 1, 0, 4)


def test_a_mistake_is_returned_by_its_worker_and_a_restart_has_the_same_name(monkeypatch, tmp_path):
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "")
    monkeypatch.chdir(tmp_path)

    def work():
        raise DataError("data.empty", f"{os.environ['TORCHELASTIC_RUN_ID']} in {os.getcwd()}")

    found = _in_worker(work, "name", str(tmp_path))
    assert (found.code, str(found)) == ("data.empty", f"name in {tmp_path}")
