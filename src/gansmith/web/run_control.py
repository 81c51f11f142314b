"""Pause, stop and resume runs, by a signal to the process that holds the run's lock."""

import os
import signal
import subprocess
import sys
import tempfile
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from gansmith.core.errors import GansmithError
from gansmith.core.plain_files import read_json

LOCKS = Path("/proc/locks")  # Linux
TOLD_BYTES = 4000  # of a child's stderr


def lock_holder(lock: Path) -> int | None:
    """Return the process that holds a run's lock, None if none does or this system does not tell.

    The kernel's table of locks names it: no file of the run could, which a process that was killed leaves behind.
    """
    try:
        wanted = lock.stat()
        lines = LOCKS.read_text().splitlines()
    except OSError:
        return None
    for line in lines:
        words = line.split()
        if len(words) > 5 and words[1] == "FLOCK" and words[5].rpartition(":")[2] == str(wanted.st_ino):
            pid = int(words[4])
            if pid > 0 and _has_open(pid, wanted):
                return pid
    return None


def can_see_locks() -> bool:
    """Say whether this system tells who holds a lock."""
    return LOCKS.is_file()


def _has_open(pid: int, file: os.stat_result) -> bool:
    """Say whether a process has a file open; inodes alone are the same on several disks."""
    try:
        for name in os.listdir(f"/proc/{pid}/fd"):
            with suppress(OSError):
                if os.path.samestat(os.stat(f"/proc/{pid}/fd/{name}"), file):
                    return True
    except OSError:  # a process of another user
        return False
    return False


@dataclass
class Child:
    """A ``gansmith resume`` that the page started."""

    process: subprocess.Popen[bytes]
    stderr: IO[bytes]


@dataclass
class RunControl:
    """Sends signals to runs and resumes them; a run that it resumes goes on when the server ends."""

    _children: dict[Path, Child] = field(default_factory=dict)

    def pause(self, run: Path) -> None:
        """Ask a run to finish its step, save and end. GansmithError if it does not train, or may not be signalled."""
        _signal_holder(run, signal.SIGTERM)

    def stop(self, run: Path) -> None:
        """End a run at once, without saving: it keeps its last checkpoint."""
        _signal_holder(run, signal.SIGTERM, signal.SIGINT)  # of core/signals.py: the second one leaves at once

    def resume(self, run: Path) -> None:
        """Start ``gansmith resume`` for a run, in as many processes as before. GansmithError if it trains already."""
        child = self._children.get(run)
        if lock_holder(run / ".lock") is not None or (child is not None and child.process.poll() is None):
            raise GansmithError("web.run_is_training", "this run is training already\n  pause it first")
        stderr: Any = tempfile.TemporaryFile()  # noqa: SIM115 - it lives as long as the child
        processes = _processes(run)
        command = [sys.executable, "-m", "gansmith", "resume", str(run)]
        command += ["--processes", str(processes)] if processes > 1 else []
        options: dict[str, Any] = {"start_new_session": True} if os.name == "posix" else {}
        process = subprocess.Popen(  # noqa: S603 - no shell; the path is the server's own
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=stderr, **options
        )
        self._children[run] = Child(process, stderr)

    def failure(self, run: Path) -> str:
        """Return why a resume of this run ended with an error, once; "" if it did not."""
        child = self._children.get(run)
        if child is None or child.process.poll() is None or self._children.pop(run, None) is not child:
            return ""
        with child.stderr as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - TOLD_BYTES))
            text = file.read().decode("utf-8", "replace")
        code = child.process.returncode
        paused = code <= 0 or code > 128  # finished, or a signal
        return "" if paused else text[max(0, text.rfind("error:")) :].strip() or f"it ended with code {code}"


def _processes(run: Path) -> int:
    """Return how many processes trained a run last; 1 if its record does not say."""
    try:
        return int(read_json(run / "run.json")["numerics"]["processes"])  # a RunRecord would import torch
    except (OSError, ValueError, LookupError, TypeError):
        return 1


def _signal_holder(run: Path, *numbers: int) -> None:
    """Signal the process that holds the run's lock, and no other.

    A handle to the process is opened before the lock is looked up again, so that a number that the system has given to
    another process meanwhile cannot be hit.
    """
    if not (can_see_locks() and hasattr(os, "pidfd_open")):
        raise GansmithError(
            "web.control_unsupported",
            "this system does not tell which process trains a run\n  press Ctrl-C in the terminal of 'gansmith train'",
        )
    lock = run / ".lock"
    pid = lock_holder(lock)
    if pid is None:
        raise GansmithError(
            "web.run_not_training",
            "no process of this user and machine trains this run\n  it may be paused or finished already",
        )
    if pid == os.getpid():  # never this server
        raise GansmithError("web.run_not_training", "no process trains this run\n  resume it first")
    try:
        handle = os.pidfd_open(pid)
        try:
            if lock_holder(lock) != pid:
                raise GansmithError("web.run_not_training", "the run ended just now\n  resume it, if it should go on")
            for number in numbers:
                signal.pidfd_send_signal(handle, number)
        finally:
            os.close(handle)
    except ProcessLookupError:
        raise GansmithError("web.run_not_training", "the run ended just now\n  resume it, if it should go on") from None
    except PermissionError:
        raise GansmithError(
            "web.control_forbidden", "the run belongs to another user\n  that user can pause it with Ctrl-C"
        ) from None
