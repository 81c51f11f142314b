"""Faults that strike a run at a chosen write operation or step: kills, errors of the disk, torn files."""

import errno
import os
import signal
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

from gansmith.training import trainer

FAULTS = ("kill", "torn", "full", "error", "term")


class Injector:
    """Counts the operations of a process, in order: fsync, replace, mkdir, append, step; strikes at the chosen one."""

    def __init__(self, at: int, fault: str) -> None:
        self.count, self.at, self.fault, self.struck = 0, at, fault, False

    def install(self) -> None:
        """Wrap the operations; for a process that ends afterwards."""
        for owner, name in (
            (os, "fsync"),
            (os, "replace"),
            (os, "mkdir"),
            (trainer, "append_row"),
            (trainer, "train_step"),
        ):
            setattr(owner, name, self._counted(getattr(owner, name), name))

    def _counted(self, call: Callable[..., Any], name: str) -> Callable[..., Any]:
        def run(*arguments: Any, **keywords: Any) -> Any:
            if self._strikes():
                self._strike(name, arguments)
            return call(*arguments, **keywords)

        return run

    def _strikes(self) -> bool:
        self.count += 1
        return self.count == self.at or (self.fault == "full" and self.at <= self.count < self.at + 8)

    def _strike(self, name: str, arguments: tuple[Any, ...]) -> None:
        self.struck = True
        if self.fault in ("full", "error") and name != "train_step":
            number = errno.ENOSPC if self.fault == "full" else errno.EIO
            raise OSError(number, os.strerror(number), str(arguments[0]))
        if self.fault == "term":
            os.kill(os.getpid(), signal.SIGTERM)
        elif self.fault in ("kill", "torn"):
            if self.fault == "torn" and name == "fsync":
                _tear(arguments[0])
            os.kill(os.getpid(), signal.SIGKILL)


def _tear(descriptor: int) -> None:
    """Cut a file that was not flushed in half, as a power cut may."""
    found = os.fstat(descriptor)
    if stat.S_ISREG(found.st_mode):
        os.ftruncate(descriptor, found.st_size // 2)


def cut_power(run: Path, draw: Any) -> str:
    """Empty one file of a run that was not a whole checkpoint, as a power cut may where nothing was flushed."""
    names = ["recipe.yaml", "run.json", "samples", "timing.jsonl"]
    name = draw.choice(names)
    path = run / name
    if path.is_dir():
        pictures = sorted(path.iterdir())
        if not pictures:
            return ""
        path = draw.choice(pictures)
    if path.is_file() and path.suffix != ".jsonl":
        path.write_bytes(b"")
        return str(path.relative_to(run))
    return ""


def flip_newest(run: Path, draw: Any) -> str:
    """Flip a bit in a file of the newest checkpoint, if an older one is whole."""
    folders = sorted(each for each in run.glob("checkpoints/*") if (each / "manifest.json").is_file())
    if len(folders) < 2:
        return ""
    path = draw.choice(sorted(folders[-1].iterdir()))
    data = bytearray(path.read_bytes())
    if not data:
        return ""
    data[draw.randrange(len(data))] ^= 1 << draw.randrange(8)
    path.write_bytes(bytes(data))
    return str(path.relative_to(run))
