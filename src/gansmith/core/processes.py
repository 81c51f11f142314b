"""Processes of one run: connect them, notice dead ones, start them on this machine."""

# torchrun starts processes and describes them in environment variables; torch.distributed connects them. A process can
# wait hours for the main one, which decodes images or writes a film, so the timeout of a collective operation says
# nothing about dead processes. Each process has a heart instead: a thread that counts in the store of torchrun.

import atexit
import hashlib
import logging
import os
import platform
import signal
import socket
import sys
import tempfile
import threading
import time
import uuid
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed import PrefixStore, Store, TCPStore  # type: ignore[attr-defined]  # torch's list of names lacks them

from gansmith.core.cpus import available_cpus
from gansmith.core.errors import GansmithError, TrainingError
from gansmith.core.events import say
from gansmith.core.launched import ENDED, noted_exit_code, rank_and_size, refuse_odd_launch

ANSWER_SEC = 40.0  # until an address answers
GREETING_SEC = 15.0  # until what answers there has shown that it is the store of the main process
ARRIVAL_SEC = 300.0  # until all processes are there
ASK_AGAIN_SEC = 1.0
WAIT = timedelta(days=1)  # of a collective operation: see above
BEAT_SEC = 1.0
# A process is dead if its heart is silent for so long. After a network was cut for 20 s, TCP tries again at 25.4 s.
SILENT_SEC = 28.0
ASLEEP_SEC = 5.0  # between two beats: this process was suspended, and so may the others have been
LEAVING_SEC = 5.0  # for an orderly end after the store has gone
BUCKET_BYTES, MOST_BUCKETS = 2**20, 8  # of gradients that are sent together
HANDED_ON = ("SIGTERM", "SIGINT", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2", "SIGXCPU")  # to the processes
DEAD = 1  # exit code of a process that misses another


def join(backend: str) -> tuple[int, int]:
    """Connect this process with the others of torchrun, once; return its number and how many there are.

    Raises GansmithError if nobody answers at the address of the main process, or if a process does not come.
    """
    refuse_odd_launch()
    rank, size = rank_and_size()
    if size == 1 or dist.is_initialized():
        return rank, size
    store = _connect(rank, size)
    try:
        group = meet(PrefixStore("meeting", store), rank, size)
    except dist.DistError as problem:
        raise GansmithError(
            "machine.process_missing",
            f"process {rank} of {size} has waited {ARRIVAL_SEC:.0f} seconds for the others\n  start all of them: the "
            "same torchrun command on each machine, with its --node-rank",
        ) from problem
    dist.init_process_group(backend, store=PrefixStore(group, store), rank=rank, world_size=size, timeout=WAIT)
    heart = Heart(PrefixStore(f"hearts/{group}", _connect(rank, size, again=True)), rank, size)
    heart.start()
    atexit.register(heart.stop)
    return rank, size


def leave() -> None:
    """Disconnect this process, which ends the others that wait for it; nothing for one process alone."""
    if dist.is_initialized():
        dist.destroy_process_group()


def _connect(rank: int, size: int, *, again: bool = False) -> TCPStore:
    host, port = _address_of_main(size)
    serves = rank == 0 and os.environ.get("TORCHELASTIC_USE_AGENT_STORE") != "True" and not again
    wait = timedelta(seconds=ANSWER_SEC)
    made = Future[TCPStore]()

    def greet() -> None:  # what answers but never says a word would be waited for without an end
        try:
            made.set_result(TCPStore(host, port, size, serves, timeout=wait, wait_for_workers=False))
        except Exception as problem:
            made.set_exception(problem)

    try:
        if not serves:
            _wait_for_answer(host, port)
        threading.Thread(target=greet, daemon=True).start()
        return made.result(GREETING_SEC)
    except (OSError, TimeoutError, dist.DistError) as problem:
        raise GansmithError(
            "machine.no_answer",
            f"nobody answers at {host}:{port}, the address of the main process\n  check MASTER_ADDR and MASTER_PORT "
            "(--master-addr, --master-port or --rdzv-endpoint of torchrun), and the firewall",
        ) from problem


def _address_of_main(size: int) -> tuple[str, int]:
    host, port = os.environ.get("MASTER_ADDR", ""), os.environ.get("MASTER_PORT", "")
    if not host or not port.isdecimal() or int(port) >= 2**16:
        raise GansmithError(
            "machine.no_main_address",
            f"WORLD_SIZE says that this is one of {size} processes, but MASTER_ADDR is '{host}' and MASTER_PORT is "
            f"'{port}', which is no address\n  start all of them with torchrun or --processes, or unset WORLD_SIZE to "
            "run one process alone",
        )
    return host, int(port)


def _wait_for_answer(host: str, port: int) -> None:
    """Wait until an address answers; OSError if it does not. TCPStore would wait twice as long and log much of it."""
    end = time.monotonic() + ANSWER_SEC
    while True:
        try:
            return socket.create_connection((host, port), timeout=max(ASK_AGAIN_SEC, end - time.monotonic())).close()
        except OSError:
            if time.monotonic() >= end:
                raise
            time.sleep(min(ASK_AGAIN_SEC, max(0.0, end - time.monotonic())))


def meet(store: Store, rank: int, size: int) -> str:
    """Return a name of this start of the processes, the same in all of them; DistError if one does not come.

    The store of torchrun outlives restarts, whose number is another one on each host. So the main process names the
    group, and counts in only those that have read the new name: the others find out whether they were counted.
    """
    own, end = uuid.uuid4().hex, time.monotonic() + ARRIVAL_SEC
    if rank == 0:
        here = [f"{own}/{other}" for other in range(1, size)]
        store.set("main", own)
        store.wait(here, timedelta(seconds=ARRIVAL_SEC))
        store.set(f"{own}/all", ",".join(store.get(each).decode() for each in here))
        return own
    while time.monotonic() < end:
        with suppress(dist.DistStoreError):
            store.wait(["main"], timedelta(seconds=ASK_AGAIN_SEC))
            group = store.get("main").decode()
            store.set(f"{group}/{rank}", own)
            store.wait([f"{group}/all"], timedelta(seconds=ASK_AGAIN_SEC))
            if own in store.get(f"{group}/all").decode().split(","):
                return group
            time.sleep(ASK_AGAIN_SEC / 10)  # this was the main process of an earlier start
    raise dist.DistStoreError(f"process {rank} was not counted in")


@contextmanager
def talking() -> Iterator[None]:
    """Turn the error of a lost connection into a TrainingError."""
    try:
        yield
    except RuntimeError as problem:
        rank, size = rank_and_size()
        raise TrainingError(
            "training.process_lost",
            f"process {rank} of {size} has lost another one, which ended or was killed; see what that one said"
            "\n  'torchrun --max-restarts=3' continues from the last checkpoint by itself",
        ) from problem


class Heart(threading.Thread):
    """Counts in the store once a second, and ends this process if another one's count stands still.

    The main process watches all others; they watch it, and what it says about the dead.
    """

    def __init__(self, store: Store, rank: int, size: int) -> None:
        super().__init__(name="heart", daemon=True)
        self._store, self._rank = store, rank
        self._watched = [other for other in range(size) if other != rank] if rank == 0 else [0]
        self._stopped = threading.Event()

    def run(self) -> None:
        """Beat and watch until ``stop``."""
        seen = {other: (b"", time.monotonic()) for other in self._watched}
        before = time.monotonic()
        try:
            for other in (self._rank, *self._watched):
                self._store.add(str(other), 0)  # so that no key is missing
            while not self._stopped.wait(BEAT_SEC):
                self._store.add(str(self._rank), 1)
                counts = self._store.multi_get([str(other) for other in self._watched])
                now = time.monotonic()
                for other, count in zip(self._watched, counts, strict=True):
                    was, since = seen[other]
                    if count != was or now - before > ASLEEP_SEC:
                        seen[other] = (count, now)
                    elif now - since > SILENT_SEC and int(count) >= 0:
                        self._end(f"process {other} has been silent for {SILENT_SEC:.0f} seconds")
                before = now
        except RuntimeError as problem:
            if not self._stopped.wait(LEAVING_SEC):
                self._end(f"the main process does not answer any more: {str(problem)[:100]}")

    def stop(self) -> None:
        """Tell the others that this process ends in order."""
        self._stopped.set()
        self.join(timeout=2 * BEAT_SEC)
        try:
            self._store.add(str(self._rank), -(10**12))  # below 0: no longer expected to count
        except RuntimeError:
            return  # the store has ended before: nobody is there to tell

    def _end(self, reason: str) -> None:
        if not self._stopped.is_set():
            say(f"gansmith: process {self._rank} ends: {reason}")
            os._exit(DEAD)


@contextmanager
def averaging_gradients(parameters: Sequence[nn.Parameter], dtype: torch.dtype | None = None) -> Iterator[None]:
    """Average the gradients of a backward inside over the processes.

    They go in buckets, the last layers' first, and each bucket is sent while the backward goes on. All processes send
    the same: a missing gradient counts as zeros. With two processes the bits are those of one bucket; with more, sums
    are rounded in another order. ``dtype`` is that of what is sent; by default the gradients' own.
    """
    buckets = _buckets(parameters)
    missing, waiting = [len(each) for each in buckets], deque(range(len(buckets)))
    place = {id(parameter): number for number, bucket in enumerate(buckets) for parameter in bucket}
    sent = list[tuple[list[nn.Parameter], Tensor, Any]]()

    def send(bucket: list[nn.Parameter]) -> None:
        parts = [_in_memory_order(parameter).reshape(-1) for parameter in bucket]
        flat = parts[0] if len(parts) == 1 else torch.cat(parts)  # one alone is averaged where it is
        flat = flat if dtype is None else flat.to(dtype)
        with talking():
            sent.append((bucket, flat, dist.all_reduce(flat, async_op=True)))

    def send_whole(parameter: Tensor) -> None:
        missing[place[id(parameter)]] -= 1
        while waiting and not missing[waiting[0]]:
            send(buckets[waiting.popleft()])

    hooks = [parameter.register_post_accumulate_grad_hook(send_whole) for parameter in parameters]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
    while waiting:
        send(buckets[waiting.popleft()])
    for bucket, flat, task in sent:
        with talking():
            task.wait()
        sums = flat.to(_gradient_of(bucket[0]).dtype)
        for parameter, total in zip(bucket, sums.split([each.numel() for each in bucket]), strict=True):
            gradient = _in_memory_order(parameter)
            torch.div(total.view_as(gradient), dist.get_world_size(), out=gradient)


def _gradient_of(parameter: nn.Parameter) -> Tensor:
    if parameter.grad is None:
        parameter.grad = torch.zeros_like(parameter)
    return parameter.grad


def _in_memory_order(parameter: nn.Parameter) -> Tensor:
    """Return the gradient with its axes in the order of the parameter's memory: channels_last is copied slowly else."""
    order = sorted(range(parameter.ndim), key=parameter.stride, reverse=True)
    return _gradient_of(parameter).permute(order)


def _buckets(parameters: Sequence[nn.Parameter]) -> list[list[nn.Parameter]]:
    """Return the parameters last first, in at most MOST_BUCKETS of at least BUCKET_BYTES, each of one dtype."""
    size = max(BUCKET_BYTES, sum(each.nbytes for each in parameters) // MOST_BUCKETS)
    found, room = list[list[nn.Parameter]](), 0
    for parameter in reversed(parameters):
        if room <= 0 or parameter.dtype != found[-1][0].dtype:
            found.append([])
            room = size
        found[-1].append(parameter)
        room -= parameter.nbytes
    return found


class _OfAllProcesses(nn.modules.batchnorm._BatchNorm):
    """Batch norm with the statistics of the global batch, whose gradients, also second ones, are those of one process.

    torch.nn.SyncBatchNorm runs on GPUs alone and has no second derivative, which penalties need.
    """

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the normalized inputs (N, C, ...); in evaluation, as the plain norm does."""
        if not self.training:
            return super().forward(inputs)
        dims, shape = [0, *range(2, inputs.ndim)], (1, -1, *(1 for _ in range(2, inputs.ndim)))
        values = inputs.float()
        mean = _mean_of_all(values.mean(dims))
        centred = values - mean.view(shape)
        variance = _mean_of_all(centred.square().mean(dims))
        out = centred * (variance + self.eps).rsqrt().view(shape)
        if self.affine:
            out = out * self.weight.view(shape) + self.bias.view(shape)
        if self.running_mean is not None and self.running_var is not None and self.num_batches_tracked is not None:
            with torch.no_grad():
                self.num_batches_tracked.add_(1)
                share = 1 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
                count = inputs.numel() / inputs.shape[1] * dist.get_world_size()
                self.running_mean.lerp_(mean, share)
                self.running_var.lerp_(variance * count / (count - 1), share)
        return out.to(inputs.dtype)


class _BatchNorm1d(_OfAllProcesses, nn.BatchNorm1d):
    pass


class _BatchNorm2d(_OfAllProcesses, nn.BatchNorm2d):
    pass


def batch_norms(networks: nn.Module) -> list[nn.Module]:
    """Return the layers whose statistics are of the batch."""
    return [module for module in networks.modules() if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d)]


def synchronize_batch_norms_(networks: nn.Module) -> None:
    """Make batch norms take the statistics of the global batch; weights and their names do not change."""
    for module in batch_norms(networks):
        shared = _BatchNorm2d if isinstance(module, nn.BatchNorm2d) else _BatchNorm1d
        plain = type(module) in (nn.BatchNorm1d, nn.BatchNorm2d)
        module.__class__ = shared if plain else type(type(module).__name__, (type(module), shared), {})


class _MeanOfAll(torch.autograd.Function):
    """The mean over the processes, which have equal slices; its derivative is the same mean, again and again."""

    @staticmethod
    def forward(_: Any, values: Tensor) -> Tensor:
        """Return the mean."""
        total = values.detach().clone(memory_format=torch.contiguous_format)
        with talking():
            dist.all_reduce(total)
        return total / dist.get_world_size()

    @staticmethod
    def backward(_: Any, grad: Tensor) -> Tensor:
        """Return the mean of the gradients."""
        return _mean_of_all(grad)


def _mean_of_all(values: Tensor) -> Tensor:
    out: Tensor = _MeanOfAll.apply(values)
    return out


def launch_id() -> str | None:
    """Return a name for the start by torchrun that this process belongs to, the same after a restart; None without."""
    name = os.environ.get("TORCHELASTIC_RUN_ID")
    return f"{platform.node()}/{os.getppid()}" if name == "none" else name


def start_processes(number: int, words: Sequence[str]) -> int:
    """Run ``gansmith WORDS`` in so many processes on this machine; return the exit code of the first that failed.

    Signals are handed on to the processes; then the code is that of the first process.

    Each process gets its share of the CPUs as threads, unless OMP_NUM_THREADS is set.
    """
    # Here: torch imports its launcher in half a second, which processes that were started do not need.
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, available_cpus() // number)))
    for name in ("", ".agent.server.api"):  # the processes speak for themselves
        logging.getLogger(f"torch.distributed.elastic{name}").setLevel(logging.CRITICAL)
    config = LaunchConfig(
        min_nodes=1, max_nodes=1, nproc_per_node=number, run_id=uuid.uuid4().hex, rdzv_backend="c10d",
        rdzv_endpoint="localhost:0", max_restarts=0,
    )  # fmt: skip
    if hasattr(config, "signals_to_handle"):
        config.signals_to_handle = ",".join(HANDED_ON)
    with tempfile.TemporaryDirectory(prefix="gansmith-") as folder:
        ended = Path(folder) / "exit-code"
        os.environ[ENDED] = str(ended)
        try:
            elastic_launch(config, sys.executable)("-m", "gansmith", *words)
        except ChildFailedError as problem:
            rank, first = min(problem.failures.items(), key=lambda each: each[1].timestamp)
            if first.exitcode > 0:
                return first.exitcode
            name = signal.Signals(-first.exitcode).name
            say(
                f"gansmith: process {rank} of {number} was ended by {name}, by someone or for lack of memory"
                f"\n  'gansmith resume RUN --processes {number}' continues a run"
            )
            return 128 - first.exitcode
        except SignalException as problem:
            noted = noted_exit_code(ended)
            return 128 + problem.sigval if noted is None else noted
    return 0


def digest_of(values: object) -> str:
    """Return a short digest of values with a stable text."""
    return hashlib.sha256(repr(values).encode()).hexdigest()[:16]
