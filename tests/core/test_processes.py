"""Processes: mistakes at the start, dead and suspended ones, and what a restart is recognised by."""

import os
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
import torch
from torch import nn

from gansmith.core import processes
from gansmith.core.processes import Heart, launch_id, synchronize_batch_norms_, talking
from gansmith.core.runtime import Runtime, refuse_other_options, refuse_other_versions
from gansmith.data.base import random_images
from gansmith.runs.folder import RunFolder
from gansmith.training.prepare import refuse_other_data


class TwoOfThem(Runtime):
    """The main process of two; the other one says ``others``."""

    others = ""

    def gather_text(self, text: str) -> list[str]:
        return [text, self.others]


@pytest.fixture
def store():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    return processes.TCPStore("127.0.0.1", port, 2, True, timeout=timedelta(seconds=5), wait_for_workers=False)


@pytest.fixture
def ended(monkeypatch):
    """Return the exit codes of a process that ends itself, which goes on here; hearts beat fast."""
    codes: list[int] = []
    monkeypatch.setattr(processes.os, "_exit", codes.append)
    monkeypatch.setattr(processes, "BEAT_SEC", 0.01)
    monkeypatch.setattr(processes, "SILENT_SEC", 0.3)
    monkeypatch.setattr(processes, "LEAVING_SEC", 0.1)
    return codes


def wait_for(codes: list[int]) -> None:
    end = time.monotonic() + 20
    while not codes and time.monotonic() < end:
        time.sleep(0.01)


@pytest.mark.slow
@pytest.mark.parametrize("answers", [False, True], ids=["nobody", "another program"])
def test_an_address_that_nobody_answers(monkeypatch, refused, capfd, answers):
    with socket.create_server(("127.0.0.1", 0)) as other:
        address = {"RANK": "1", "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "9"}
        if answers:
            address["MASTER_PORT"] = str(other.getsockname()[1])
        for name, value in address.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(processes, "ANSWER_SEC", 0.2)
        monkeypatch.setattr(processes, "GREETING_SEC", 1.0)
        with refused("machine.no_answer", hiding=[r"127\.0\.0\.1:\d+"]):
            processes.join("gloo")
    if not answers:
        assert capfd.readouterr().err == ""  # torch's own attempts are long stack traces


@pytest.mark.parametrize("port", [None, "http", "294110"])
def test_one_of_several_processes_without_an_address(monkeypatch, refused, port):
    for name, value in {"RANK": "0", "WORLD_SIZE": "2", "MASTER_ADDR": port and "host", "MASTER_PORT": port}.items():
        monkeypatch.delenv(name, raising=False) if value is None else monkeypatch.setenv(name, value)
    with refused("machine.no_main_address"):
        processes.join("gloo")


@pytest.mark.slow
def test_a_process_that_never_comes(monkeypatch, refused, store):
    address = {"RANK": "1", "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(store.port)}
    for name, value in address.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(processes, "ARRIVAL_SEC", 0.2)
    with refused("machine.process_missing"):
        processes.join("gloo")


def test_a_silent_process_ends_the_others(store, ended, capfd):
    heart = Heart(store, 0, 2)  # the other one never beats
    heart.start()
    wait_for(ended)
    heart.stop()
    assert ended[0] == processes.DEAD
    assert "process 1 has been silent" in capfd.readouterr().err


@pytest.mark.slow
def test_a_process_that_beats_or_ended_in_order_ends_nobody(store, ended):
    first, second = Heart(store, 0, 2), Heart(store, 1, 2)
    first.start()
    second.start()
    time.sleep(0.6)
    second.stop()
    time.sleep(0.6)
    assert first.is_alive()
    first.stop()
    assert ended == []


def test_other_versions_are_named(refused, monkeypatch):
    runtime = TwoOfThem(torch.device("cpu"))
    monkeypatch.setattr(TwoOfThem, "others", "gansmith 0.0.9, torch 2.0.0, cpu, fp32 on other")
    monkeypatch.setattr("gansmith.core.runtime.__version__", "1.0")
    monkeypatch.setattr(torch, "__version__", "3.0")
    monkeypatch.setattr("platform.node", lambda: "here")
    with refused("machine.other_versions"):
        refuse_other_versions(runtime)
    monkeypatch.setattr(TwoOfThem, "others", "gansmith 1.0, torch 3.0, cpu, fp32 on other")
    refuse_other_versions(runtime)


def test_other_options_are_named(refused, monkeypatch):
    runtime = TwoOfThem(torch.device("cpu"), 0, 2)
    monkeypatch.setattr("platform.node", lambda: "here")
    monkeypatch.setattr(TwoOfThem, "others", "1 on other")
    refuse_other_options(runtime, {"seed": 1})
    with refused("machine.other_options"):
        refuse_other_options(runtime, {"seed": 0})
    refuse_other_options(Runtime(torch.device("cpu")), {"seed": 0})


def test_other_data_are_named(refused, monkeypatch):
    monkeypatch.setattr(TwoOfThem, "others", "0123456789ab on other (95 images)")
    monkeypatch.setattr("platform.node", lambda: "here")
    with refused("data.differs_between_processes"):
        refuse_other_data(random_images((8, 8, 1), 96), TwoOfThem(torch.device("cpu")))


def test_a_lost_process_is_an_error_of_training(refused):
    with refused("training.process_lost"), talking():
        raise RuntimeError("Connection reset by peer")


def test_one_process_alone_has_the_batch_statistics_of_torch(monkeypatch):
    monkeypatch.setattr(processes.dist, "all_reduce", lambda values: values)
    monkeypatch.setattr(processes.dist, "get_world_size", lambda: 1)
    for norm, shape in ((nn.BatchNorm1d(3), (8, 3)), (nn.BatchNorm2d(3), (4, 3, 5, 5))):
        plain, inputs = type(norm)(3), 2 + 3 * torch.randn(shape)
        synchronize_batch_norms_(shared := nn.Sequential(norm))
        torch.testing.assert_close(shared(inputs), plain(inputs))
        assert shared[0].state_dict().keys() == plain.state_dict().keys()
        for name, value in plain.state_dict().items():
            torch.testing.assert_close(shared[0].state_dict()[name], value)
        sides = []
        for network in (shared.train(), plain.train()):
            leaf = inputs.clone().requires_grad_()
            (grad,) = torch.autograd.grad(network(leaf).pow(3).sum(), leaf, create_graph=True)
            sides.append((grad, *torch.autograd.grad(grad.square().sum(), leaf)))
        for mine, theirs in zip(*sides, strict=True):  # first and second derivatives
            torch.testing.assert_close(mine, theirs, rtol=1e-3, atol=1e-3)
        torch.testing.assert_close(shared.eval()(inputs), plain.eval()(inputs))


def test_a_start_is_recognised_by_its_name_or_by_the_process_that_made_it(monkeypatch):
    monkeypatch.delenv("TORCHELASTIC_RUN_ID", raising=False)
    assert launch_id() is None
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "job-7")
    assert launch_id() == "job-7"
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "none")
    assert launch_id().endswith(f"/{os.getppid()}")


def test_folders_of_others_are_left_alone(tmp_path):
    (tmp_path / "other").mkdir()
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "run.json").write_text("{}")
    assert RunFolder.of_launch("x", tmp_path.iterdir()) is None
    assert (tmp_path / "broken" / "run.json").exists()


def test_flags_of_all_processes_take_one_exchange(monkeypatch):
    sent, others = [], torch.tensor([0.0, 1.0, 0.0])

    def all_reduce(values, op):
        sent.append(values.tolist())
        values.copy_(values.maximum(others))

    monkeypatch.setattr(processes.dist, "all_reduce", all_reduce)
    assert Runtime(torch.device("cpu"), 0, 2).any_of((True, False, False)) == [True, True, False]
    assert sent == [[1.0, 0.0, 0.0]]
    assert Runtime(torch.device("cpu")).any_of((True, False)) == [True, False]
    assert len(sent) == 1


def test_processes_of_a_restart_meet_in_a_store_that_remembers_the_start_before():
    store = torch.distributed.HashStore()

    def start(size: int) -> set[str]:
        with ThreadPoolExecutor(size) as pool:
            return {each.result() for each in [pool.submit(processes.meet, store, rank, size) for rank in range(size)]}

    first, second, larger = start(2), start(2), start(3)
    assert [len(each) for each in (first, second, larger)] == [1, 1, 1]
    assert len(first | second | larger) == 3


@pytest.mark.slow
def test_a_process_does_not_meet_a_main_process_that_is_gone(monkeypatch):
    store = torch.distributed.HashStore()
    monkeypatch.setattr(processes, "ARRIVAL_SEC", 0.5)
    monkeypatch.setattr(processes, "ASK_AGAIN_SEC", 0.1)
    with ThreadPoolExecutor(2) as pool:
        assert len({each.result() for each in [pool.submit(processes.meet, store, rank, 2) for rank in range(2)]}) == 1
    for rank in (1, 0):
        with pytest.raises(torch.distributed.DistError):
            processes.meet(store, rank, 2)
