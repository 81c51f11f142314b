"""Write files atomically: to a temporary file, fsync, rename, fsync the folder."""

# Some file systems (GCS FUSE, S3, CIFS, NFS, Lustre) refuse modes, locks, or fsync. That is said once.

import contextlib
import errno
import json
import os
import re
import shutil
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from safetensors import SafetensorError

from gansmith.core.errors import DiskFullError, GansmithWarning
from gansmith.core.plain_files import refuse_special

NOT_SUPPORTED = (errno.EPERM, errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOLCK)
LOCK_FAILS = (errno.EIO, errno.ESTALE, errno.ETIMEDOUT)  # of mounts over a network that have no locks, or lose them
TEMPORARY = re.compile(r"\..+\.(\d+|[a-z0-9_]{8})\.tmp")  # names of half-written files and folders
LONGEST_NAME = 255  # bytes
METADATA_KEY = "gansmith"  # the entry in a weights file's header that holds the model's record


def commit_file(path: Path, write: Callable[[Path], object], *, flush: bool = True) -> None:
    """Replace ``path`` by a file that ``write`` makes, whole or not at all; DiskFullError if the disk is full.

    Without ``flush`` it takes less time, and a power cut may leave the newest files cut short or empty.
    """
    temporary = temporary_name(path)
    with contextlib.suppress(FileNotFoundError):
        refuse_special(path, path.stat())  # a rename would put the file in a device's place
    try:
        write(temporary)
        if flush:
            sync_file(temporary)
        with if_supported("file modes", "files keep the mode that it gives them", path, errno.EACCES):
            os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)
    except BaseException as problem:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        if is_disk_full(problem):
            raise DiskFullError("disk.full", no_room_to(f"write {path}", path.parent, problem)) from problem
        raise
    if flush:
        sync_folder(path.parent)


def temporary_name(path: Path) -> Path:
    """Return the name of a file while it is written, like TEMPORARY and no longer than file systems allow."""
    name, end = os.fsencode(path.name), f".{os.getpid()}.tmp"
    room = LONGEST_NAME - len(end) - 1
    kept = path.name if len(name) <= room else name[:room].decode("utf-8", "ignore")
    return path.with_name(f".{kept}{end}")


def commit_json(path: Path, value: Any) -> None:
    """Write a JSON file, whole or not at all."""
    commit_text(path, json.dumps(value, indent=2, allow_nan=False) + "\n")


def commit_text(path: Path, text: str) -> None:
    """Write a file of UTF-8 text, whole or not at all."""
    commit_bytes(path, text.encode("utf-8"))


def commit_bytes(path: Path, data: bytes, *, flush: bool = True) -> None:
    """Write a file of these bytes, whole or not at all; ``flush`` as in ``commit_file``."""
    commit_file(path, lambda temporary: temporary.write_bytes(data), flush=flush)


def sync_append(path: Path) -> int:
    """Wait until a file that was appended to is on disk; return its size in bytes, 0 if it does not exist."""
    if not path.exists():
        return 0
    sync_file(path)
    return path.stat().st_size


def sync_file(path: Path) -> None:
    """Wait until a file's bytes are on disk."""
    with open(path, "rb+") as file, if_supported("flushing a file", "a power cut may cost the newest files", path):
        os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Wait until a folder's list of files is on disk."""
    if os.name == "nt":  # Windows cannot open folders; it journals renames
        return
    refused = (errno.EACCES, errno.EBADF, errno.EISDIR)  # some refuse to open a folder at all
    with if_supported("flushing a folder", "a power cut may cost the newest files", folder, *refused):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


_said = set[str]()


@contextlib.contextmanager
def if_supported(feature: str, consequence: str, path: Path, *more: int) -> Iterator[None]:
    """Go on where a file system refuses a feature; a GansmithWarning says so once for each feature.

    ``more`` has numbers of errors beside NOT_SUPPORTED that mean the same for this feature.
    """
    try:
        yield
    except (OSError, NotImplementedError) as problem:
        if isinstance(problem, OSError) and problem.errno not in (*NOT_SUPPORTED, *more):
            raise
        if feature not in _said:
            _said.add(feature)
            text = f"the file system of '{path}' does not support {feature}: {consequence}"
            warnings.warn(GansmithWarning(text), stacklevel=4)


def file_lock(path: Path, wait_sec: float = -1) -> FileLock:
    """Return a lock of the system; Timeout if another process has it for longer than ``wait_sec`` (-1: wait for ever).

    Where the file system has no locks, the library would take the existence of the file for one. If a process was
    killed on another machine, that file would stay for ever.
    """
    try:
        return FileLock(path, timeout=wait_sec, fallback_to_soft=False)
    except TypeError:  # an older version, which does not fall back
        return FileLock(path, timeout=wait_sec)


@contextlib.contextmanager
def one_at_a_time(path: Path, warning: str) -> Iterator[None]:
    """Wait until no other process holds a lock; a GansmithWarning says so. Without locks, go on."""
    lock = file_lock(path)
    with contextlib.suppress(OSError, NotImplementedError):  # a file system without locks, or one that loses them
        try:
            lock.acquire(timeout=0)
        except Timeout:
            warnings.warn(GansmithWarning(warning), stacklevel=3)
            lock.acquire()
    try:
        yield
    finally:
        release_lock(lock)


def release_lock(lock: FileLock) -> None:
    """Release a lock; one that a file system does not release ends with this process."""
    with contextlib.suppress(OSError, NotImplementedError):
        lock.release()


def is_disk_full(problem: BaseException) -> bool:
    """Return whether a write failed because the disk or the quota is full; true for a DiskFullError."""
    if isinstance(problem, DiskFullError):
        return True
    if isinstance(problem, OSError) and problem.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return True
    return isinstance(problem, SafetensorError) and any(
        word in str(problem) for word in ("No space", "quota", "too large")
    )


def is_file_limit(problem: BaseException) -> bool:
    """Return whether a write failed because of the limit on the size of a file (ulimit -f)."""
    return _tells_of(problem, errno.EFBIG, "File too large")


def _tells_of(problem: BaseException, number: int, words: str) -> bool:
    """Return whether an error of writing, or the cause of a DiskFullError, has a number, or words of safetensors."""
    cause = (problem.__cause__ if isinstance(problem, DiskFullError) else None) or problem
    return getattr(cause, "errno", None) == number or words in str(cause)


def no_room_to(do: str, folder: Path, problem: BaseException, needed: str = "") -> str:
    """Return why something cannot be done: the disk, a quota or the limit on the size of a file; ends the line.

    ``do`` is a verb and its object, such as "write x.png"; ``needed`` comes before the room that is left.
    """
    if _tells_of(problem, errno.EDQUOT, "quota"):
        return f"cannot {do}: {needed}the quota is used up"
    if is_file_limit(problem):
        return f"cannot {do}: {needed}the limit on the size of a file is reached (ulimit -f)"
    return f"the disk is too full to {do}: {needed}{shutil.disk_usage(folder).free:,} bytes are free"


def _umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask
