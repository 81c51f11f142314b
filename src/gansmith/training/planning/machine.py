"""Examine the machine: versions, processors, speed, disk, extras."""

import importlib.metadata
import importlib.util
import os
import platform
import shutil
import time

import torch

from gansmith.core.cpus import available_cpus
from gansmith.core.errors import counted
from gansmith.core.runtime import limit_threads, pick_device, pick_precision, threads
from gansmith.data.cache_folder import cache_folder

MATRIX_SIDE = 1024
MEASURE_SEC = 1.0


def examine() -> dict[str, str]:
    """Return facts about this machine in words, by name; measures for a second."""
    cache = cache_folder()
    existing = next(parent for parent in (cache, *cache.parents) if parent.exists())
    limit_threads()  # as a run does, so that the speed is that of a run
    facts = {
        "gansmith": importlib.metadata.version("gansmith"),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "system": platform.platform(),
        "processor": f"{os.cpu_count()} cores, {counted(available_cpus(), 'CPU')} for this process, "
        f"{counted(threads(), 'thread')}, {torch.backends.cpu.get_cpu_capability()}",
        "speed": f"{_gflops():,.0f} GFLOP/s on the CPU (float32 matrix products)",
        "precision": f"{pick_precision('auto', pick_device('auto'))} with --precision auto",
        "cuda": _cuda(),
        "mps": "yes" if torch.backends.mps.is_available() else "no",
        "cache folder": f"{cache} ({shutil.disk_usage(existing).free / 2**30:,.1f} GiB free)",
        **{
            name: _extra(name, f"pip install 'gansmith[{name}]'")
            for name in ("tensorboard", "wandb", "trackio", "mlflow")
        },
        "film encoder": _extra("imageio_ffmpeg", "pip install imageio-ffmpeg"),
    }
    if not torch.cuda.is_available():
        facts["advice"] = "no GPU: train on images of 28 to 64 px, with a time limit such as --minutes 30"
    return facts


def _gflops() -> float:
    left, right = torch.randn(MATRIX_SIDE, MATRIX_SIDE), torch.randn(MATRIX_SIDE, MATRIX_SIDE)
    torch.mm(left, right)
    start, products = time.perf_counter(), 0
    while time.perf_counter() - start < MEASURE_SEC:
        torch.mm(left, right)
        products += 1
    return 2 * MATRIX_SIDE**3 * products / (time.perf_counter() - start) / 1e9


def _cuda() -> str:
    if not torch.cuda.is_available():
        return "no"
    properties = torch.cuda.get_device_properties(0)
    return f"{torch.cuda.device_count()} x {properties.name}, {properties.total_memory / 2**30:,.0f} GiB"


def _extra(module: str, remedy: str) -> str:
    return "yes" if importlib.util.find_spec(module) else f"no: {remedy}"
