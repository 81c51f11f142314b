"""Work on many images that processes share, with the results of a single process."""

import io
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

import numpy as np
import torch

from gansmith.core.array_files import load_array
from gansmith.core.launched import rank_and_size
from gansmith.core.runtime import Runtime, start_runtime

PartT = TypeVar("PartT")
ALONE = Runtime(torch.device("cpu"))
_together = ALONE


@contextmanager
def shared_by(runtime: Runtime) -> Iterator[None]:
    """Share the work inside between the processes of a runtime; all must do the same inside."""
    global _together
    before, _together = _together, runtime
    try:
        yield
    finally:
        _together = before


@contextmanager
def sharing(device: str = "auto") -> Iterator[Runtime]:
    """Share the work inside with the other processes that torchrun has started, if it has; yield the runtime."""
    runtime = start_runtime(device) if rank_and_size()[1] > 1 else ALONE
    with shared_by(runtime):
        yield runtime
    runtime.barrier()


def together() -> Runtime:
    """Return the runtime of the processes that share the present work; one process alone outside of ``shared_by``."""
    return _together


def in_shares(parts: Sequence[PartT], work: Callable[[PartT], tuple[np.ndarray, ...]]) -> list[tuple[np.ndarray, ...]]:
    """Return the results of ``work`` for each part, in order; each process works on every N-th part."""
    runtime = _together
    if not parts:
        return []
    mine = [work(part) for part in parts[runtime.rank :: runtime.world_size]]
    if runtime.world_size == 1:
        return mine
    sent = io.BytesIO()
    for result in mine:
        for array in result:
            np.save(sent, array)
    lengths = [int(each) for each in runtime.gather(torch.tensor(sent.tell(), device=runtime.device))]
    padded = torch.zeros(max(lengths), dtype=torch.uint8)
    padded[: sent.tell()] = torch.frombuffer(bytearray(sent.getvalue() or b"\0"), dtype=torch.uint8)[: sent.tell()]
    found: list[list[np.ndarray]] = []
    for each, length in zip(runtime.gather(padded.to(runtime.device)), lengths, strict=True):
        stream = io.BytesIO(bytes(each[:length].cpu().numpy()))
        found.append([])
        while stream.tell() < length:
            found[-1].append(load_array(stream))
    width = len(found[0]) // len(range(0, len(parts), runtime.world_size))  # arrays of one result
    return [
        tuple(found[at % runtime.world_size][at // runtime.world_size * width :][:width]) for at in range(len(parts))
    ]
