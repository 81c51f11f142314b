"""Write files atomically: to a temporary file, fsync, rename, fsync the folder."""

import contextlib
import errno
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from gansmith.core.errors import DiskFullError

METADATA_KEY = "gansmith"  # the entry in a weights file's header that holds the model's record


def commit_file(path: Path, write: Callable[[Path], object]) -> None:
    """Replace ``path`` by a file that ``write`` makes, whole or not at all; DiskFullError if the disk is full."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        write(temporary)
        sync_file(temporary)
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)
    except BaseException as problem:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        if is_disk_full(problem):
            free = shutil.disk_usage(path.parent).free
            raise DiskFullError(
                "disk.full", f"the disk is too full to write {path}: {free:,} bytes are free"
            ) from problem
        raise
    sync_folder(path.parent)


def commit_json(path: Path, value: Any) -> None:
    """Write a JSON file, whole or not at all."""
    text = json.dumps(value, indent=2, allow_nan=False) + "\n"
    commit_file(path, lambda temporary: temporary.write_text(text))


def sync_append(path: Path) -> int:
    """Wait until a file that was appended to is on disk; return its size in bytes, 0 if it does not exist."""
    if not path.exists():
        return 0
    sync_file(path)
    return path.stat().st_size


def sync_file(path: Path) -> None:
    """Wait until a file's bytes are on disk."""
    with open(path, "rb+") as file:
        os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Wait until a folder's list of files is on disk."""
    if os.name == "nt":  # Windows cannot open folders; it journals renames
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def is_disk_full(problem: BaseException) -> bool:
    """Return whether a write failed because the disk or the quota is full."""
    if isinstance(problem, OSError) and problem.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return True
    return isinstance(problem, SafetensorError) and any(
        word in str(problem) for word in ("No space", "quota", "too large")
    )


def _umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask
