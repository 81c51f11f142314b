"""Devices, precision and compilation of a run, and what its processes tell each other."""

# core/processes.py connects the processes. Networks are never wrapped: during each backward a few flat all-reduces
# average the gradients of the networks that the phase trains. It is exact, also for losses with penalties, and stable
# to the bit. With one process it does nothing.

import contextlib
import ctypes
import gc
import importlib.util
import os
import platform
import shutil
import sys
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from gansmith.core.cpus import available_cpus, memory_limits
from gansmith.core.errors import GansmithError, GansmithWarning, counted, unknown_name
from gansmith.core.launched import local_processes
from gansmith.core.processes import averaging_gradients, digest_of, join, talking
from gansmith.core.version import __version__

TEXT_BYTES = 200  # of a text that is gathered
SHOWN = 80  # characters of an option in an error
DEVICES = ("auto", "cpu", "cuda", "mps")
PRECISIONS = ("auto", "fp32", "bf16")
M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # from glibc's malloc.h
# One graph for each shape; dropout draws the same numbers as in an eager run.
COMPILE: dict[str, Any] = {"backend": "inductor", "dynamic": False, "options": {"fallback_random": True}}


@dataclass(frozen=True)
class Runtime:
    """How a run computes: device, precision, compilation, and this process among the others."""

    device: torch.device
    rank: int = 0
    world_size: int = 1
    precision: str = "fp32"  # of forward passes: fp32 or bf16
    compiled: bool = False  # networks run as graphs of torch.compile
    threads: int = 1  # of torch on the CPU at the start; a run may change their number, and restores it at its end

    @property
    def is_main(self) -> bool:
        """Say whether this process writes files and prints."""
        return self.rank == 0

    @property
    def has_cuda(self) -> bool:
        """Say whether the device is an NVIDIA GPU."""
        return self.device.type == "cuda"

    def slice_of(self, global_batch: int) -> tuple[int, int]:
        """Return (first, count) of this process's slice of a global batch.

        Raises GansmithError if the processes cannot have equal slices.
        """
        if global_batch % self.world_size:
            fits = [number for number in range(1, global_batch + 1) if global_batch % number == 0]
            near = min(fits, key=lambda number: (abs(number - self.world_size), number))
            raise GansmithError(
                "recipe.batch_size_of_processes",
                f"batch_size {global_batch} is not divisible by {self.world_size} processes"
                f"\n  use {near} {'process' if near == 1 else 'processes'}, or a multiple, for example "
                f"batch_size={-(-global_batch // self.world_size) * self.world_size}",
            )
        count = global_batch // self.world_size
        return self.rank * count, count

    def autocast(self) -> torch.autocast:
        """Return the autocast context for forward passes; with fp32 it changes nothing."""
        return torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.precision == "bf16")

    def compile_(self, networks: Iterable[nn.Module]) -> None:
        """Compile networks in place if ``compiled`` is set; names and weights do not change."""
        if self.compiled:
            for network in networks:
                network.compile(**COMPILE)

    @property
    def is_slowed_by_precision(self) -> bool:
        """Say whether bf16 is emulated: about 30 times slower than fp32 on a CPU without bf16 instructions."""
        return self.precision == "bf16" and self.device.type == "cpu" and not cpu_has_bf16()

    def average_(self, tensors: Iterable[Tensor]) -> None:
        """Replace floating-point tensors by their mean over the processes, with one flat all-reduce for each dtype."""
        if self.world_size == 1:
            return
        by_dtype: dict[torch.dtype, list[Tensor]] = {}
        for tensor in tensors:
            if tensor.is_floating_point():
                by_dtype.setdefault(tensor.dtype, []).append(tensor)
        for group in by_dtype.values():
            flat = torch.cat([tensor.reshape(-1) for tensor in group])
            with talking():
                dist.all_reduce(flat)
            flat.div_(self.world_size)
            for tensor, mean in zip(group, flat.split([tensor.numel() for tensor in group]), strict=True):
                tensor.copy_(mean.view_as(tensor))

    def averaging_gradients(
        self, parameters: list[nn.Parameter], dtype: torch.dtype | None = None
    ) -> contextlib.AbstractContextManager[None]:
        """Average the gradients of a backward inside over the processes; they are sent in ``dtype`` if it is given."""
        return contextlib.nullcontext() if self.world_size == 1 else averaging_gradients(parameters, dtype)

    def broadcast_(self, tensors: Iterable[Tensor]) -> None:
        """Copy the main process's tensors to all processes."""
        if self.world_size > 1:
            with talking():
                for tensor in tensors:
                    dist.broadcast(tensor, 0)

    def gather(self, tensor: Tensor) -> list[Tensor]:
        """Return the tensors of all processes by rank; they must have the same shape."""
        if self.world_size == 1:
            return [tensor]
        sent = tensor.contiguous()
        if dist.get_backend() == "gloo":  # it gathers in the CPU's memory alone
            sent = sent.cpu()
        out = [torch.empty_like(sent) for _ in range(self.world_size)]
        with talking():
            dist.all_gather(out, sent)
        return [each.to(tensor.device) for each in out]

    def any_process(self, flag: bool) -> bool:
        """Say whether the flag is true on any process; every process must call this."""
        return self.any_of((flag,))[0]

    def any_of(self, flags: Sequence[bool]) -> list[bool]:
        """Say of each flag whether it is true on any process, in one exchange; every process must call this."""
        if self.world_size == 1:
            return list(flags)
        raised = torch.tensor(flags, dtype=torch.float32, device=self.device)
        with talking():
            dist.all_reduce(raised, op=dist.ReduceOp.MAX)
        return [bool(each) for each in raised.tolist()]

    def broadcast_text(self, text: str) -> str:
        """Return the main process's text on every process; it must not be empty."""
        if self.world_size == 1:
            return text
        data = torch.frombuffer(bytearray(text.encode()), dtype=torch.uint8).to(self.device)
        length = torch.tensor(len(data), device=self.device)
        with talking():
            dist.broadcast(length, 0)
            buffer = data if self.is_main else torch.empty(int(length), dtype=torch.uint8, device=self.device)
            dist.broadcast(buffer, 0)
        return bytes(buffer.cpu().tolist()).decode()

    def gather_text(self, text: str) -> list[str]:
        """Return the texts of all processes by rank, each cut to 200 bytes."""
        cut = text.encode()[:TEXT_BYTES].ljust(TEXT_BYTES, b"\0")
        found = self.gather(torch.frombuffer(bytearray(cut), dtype=torch.uint8).to(self.device))
        return [bytes(each.cpu().tolist()).rstrip(b"\0").decode(errors="replace") for each in found]

    def barrier(self) -> None:
        """Wait until every process calls this."""
        if self.world_size > 1:
            with talking():
                dist.barrier()

    def synchronize(self) -> None:
        """Wait until the device is idle, for timing."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        elif self.device.type == "mps":
            torch.mps.synchronize()

    def free_memory(self) -> None:
        """Give back the memory of what is no longer used."""
        gc.collect()
        if self.device.type == "cuda":
            torch.cuda.empty_cache()

    def memory_mb(self) -> float:
        """Return the peak memory in MiB: of an NVIDIA GPU, otherwise of this process."""
        if self.device.type == "cuda":
            return torch.cuda.max_memory_allocated(self.device) / 2**20
        try:
            import resource
        except ImportError:  # Windows has no getrusage
            return float("nan")
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak / 2**20 if sys.platform == "darwin" else peak / 2**10


def installed_memory_mb(device: torch.device) -> float:
    """Return the memory in MiB that a run can use: the GPU's, or the least of machine, container and ulimit."""
    if device.type == "cuda":
        return torch.cuda.get_device_properties(device).total_memory / 2**20
    if not hasattr(os, "sysconf"):  # Windows
        return float("inf")
    return min([os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"), *memory_limits()]) / 2**20


def pick_device(name: str) -> torch.device:
    """Return the device for a name in DEVICES; GansmithError for another name or a device this machine lacks."""
    if name not in DEVICES:
        raise GansmithError("machine.unknown_device", unknown_name("device", name, DEVICES))
    have = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if name == "auto":
        name = "cuda" if have["cuda"] else "mps" if have["mps"] else "cpu"
    if not have[name]:
        raise GansmithError(
            "machine.device_missing",
            f"this machine has no device '{name}'\n  pass --device auto or --device cpu",
        )
    if name == "cuda":
        return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")) % torch.cuda.device_count())
    return torch.device(name)


def pick_precision(name: str, device: torch.device) -> str:
    """Return fp32 or bf16 for a name in PRECISIONS; ``auto`` is bf16 if the device has instructions for it.

    Weights, gradients, optimizer states and averages are always float32. Raises GansmithError for another name.
    """
    if name not in PRECISIONS:
        raise GansmithError("machine.unknown_precision", unknown_name("precision", name, PRECISIONS))
    if name != "auto":
        return name
    cuda_has_it = device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
    return "bf16" if cuda_has_it or (device.type == "cpu" and cpu_has_bf16()) else "fp32"


def cpu_has_bf16() -> bool:
    """Say whether this CPU has bf16 instructions; False if torch cannot say."""
    has: dict[str, object] = getattr(torch.cpu, "get_capabilities", dict)()
    return any(has.get(name) for name in ("avx512_bf16", "amx_bf16", "bf16", "sve_bf16"))


def require_compiler(device: torch.device) -> None:
    """Raise GansmithError if torch.compile lacks triton (GPU) or a C++ compiler."""
    if device.type == "cuda" and importlib.util.find_spec("triton") is None:
        raise GansmithError(
            "machine.triton_missing",
            "--compile needs the package triton on GPUs\n  pip install triton, or leave out --compile",
        )
    compiler = os.environ.get("CXX") or ("clang++" if sys.platform == "darwin" else "g++")
    if shutil.which(compiler) is None:
        raise GansmithError(
            "machine.compiler_missing",
            f"--compile needs a C++ compiler, but '{compiler}' is not on the PATH"
            "\n  install it, set the environment variable CXX to another compiler, or leave out --compile",
        )


def eagerly(when: object) -> contextlib.AbstractContextManager[None]:
    """Return a context in which compiled networks run eagerly if ``when`` is true.

    Compiled graphs have no second derivative, which penalties need, and do not call hooks of layers.
    """
    return torch.compiler.set_stance("force_eager") if when else contextlib.nullcontext()


def reuse_memory() -> None:
    """Make glibc keep freed memory: if it goes back to the system, each step has to map its pages again.

    Other C libraries lack these settings; nothing happens there.
    """
    with contextlib.suppress(OSError, AttributeError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(M_MMAP_MAX, 0)
        mallopt(M_TRIM_THRESHOLD, 2**31 - 1)


def start_runtime(device: str = "auto", precision: str = "auto", *, compiled: bool = False) -> Runtime:
    """Return the runtime of this process, connected to the others if torchrun started several.

    Raises GansmithError for an unknown device or precision, and for a device or compiler that this machine lacks.
    """
    chosen = pick_device(device)
    precision = pick_precision(precision, chosen)
    if compiled:
        require_compiler(chosen)
    if chosen.type == "cpu":
        reuse_memory()
    limit_threads()
    if chosen.type == "cpu" and threads() > (usable := available_cpus()):  # as OMP_NUM_THREADS asks
        text = f"OMP_NUM_THREADS asks for {threads()} threads, but this process may use only {counted(usable, 'CPU')}"
        hint = f"training is many times slower than with OMP_NUM_THREADS={usable}"
        warnings.warn(GansmithWarning(f"{text}: {hint}"), stacklevel=2)
    if chosen.type == "cuda":
        torch.cuda.set_device(chosen)
    each_has_a_gpu = chosen.type == "cuda" and local_processes() <= torch.cuda.device_count()
    rank, world_size = join("nccl" if each_has_a_gpu else "gloo")  # NCCL refuses two processes on one GPU
    runtime = Runtime(chosen, rank, world_size, precision, compiled, threads())
    refuse_other_versions(runtime)
    return runtime


def refuse_other_versions(runtime: Runtime) -> None:
    """Raise GansmithError if processes have other versions of gansmith, Python's torch or precision than the first."""
    mine = f"gansmith {__version__}, torch {torch.__version__}, {runtime.device.type}, {runtime.precision}"
    if differing := _differing(runtime, mine):
        raise GansmithError(
            "machine.other_versions",
            f"the processes differ: {differing}"
            "\n  install the same versions on all machines, and use the same kind of device and --precision",
        )


def refuse_other_options(runtime: Runtime, mine: Mapping[str, object]) -> None:
    """Raise GansmithError if processes were started with other options than the first; the names are those of all."""
    if runtime.world_size == 1:
        return
    for name, value in mine.items():
        text = str(value)
        text = text if len(text) <= SHOWN else f"{text[:SHOWN]}... ({digest_of(text)[:8]})"
        if differing := _differing(runtime, text):
            raise GansmithError(
                "machine.other_options",
                f"the processes were not started alike: {name} is {differing}"
                "\n  start the same command on every machine, with the same files",
            )


def _differing(runtime: Runtime, mine: str) -> str:
    """Return what the first process and one with another text say, each with its machine; "" if all say the same."""
    found = runtime.gather_text(f"{mine} on {platform.node()}")
    others = [text for text in found if text.rpartition(" on ")[0] != found[0].rpartition(" on ")[0]]
    return f"{found[0]}; {others[0]}" if others else ""


def numerics() -> dict[str, str | int]:
    """Return the settings that affect the last bits of results; a run records them and a resume compares them."""
    return {
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "cpu": torch.backends.cpu.get_cpu_capability(),
    }


def threads() -> int:
    """Return the number of CPU threads of torch's operators."""
    return torch.get_num_threads()


def limit_threads() -> None:
    """Use no more threads than the CPUs that this process may use, unless OMP_NUM_THREADS sets their number."""
    if "OMP_NUM_THREADS" not in os.environ:  # torch counts the cores of the machine, whatever the container grants
        set_threads(min(threads(), available_cpus()))


def set_threads(count: int) -> None:
    """Set the number of CPU threads of torch's operators."""
    torch.set_num_threads(count)
