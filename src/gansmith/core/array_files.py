"""Read .npy files, also in several threads at once; never pickle."""

from collections.abc import Callable
from pathlib import Path
from typing import IO, Literal, TypeVar

import numpy as np

ResultT = TypeVar("ResultT")
TRIES = 20  # each of which fails by chance


def parsed_again(read: Callable[[], ResultT]) -> ResultT:
    """Return what a function reads; it is called again where CPython's parser fails by chance.

    numpy parses the text of a header with ``ast``, and CPython before 3.11.8 and 3.12.1 raises SystemError ("AST
    constructor recursion depth mismatch") where several threads do that at once.
    """
    for _ in range(TRIES - 1):
        try:
            return read()
        except SystemError:
            continue
    return read()


def load_array(file: str | Path | IO[bytes], mmap_mode: Literal["r"] | None = None) -> np.ndarray:
    """Return the array of a .npy file, memory-mapped with ``mmap_mode``; raises as ``numpy.load``."""
    start = 0 if isinstance(file, str | Path) else file.tell()

    def read() -> np.ndarray:
        if not isinstance(file, str | Path):
            file.seek(start)
        array: np.ndarray = np.load(file, mmap_mode, allow_pickle=False)
        return array

    return parsed_again(read)
