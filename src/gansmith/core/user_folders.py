"""Folders of this user: for the cache and for named data sets."""

import os
import stat
import tempfile
import warnings
from pathlib import Path

from gansmith.core.errors import GansmithWarning

_said = set[str]()


def user_folder(own: str, xdg: str, below_home: str) -> Path:
    """Return the folder $``own``, else gansmith in $``xdg``, else gansmith in ``below_home`` of the home folder.

    Without a home folder that can be written to (containers, unknown user ids) it is a temporary folder; a
    GansmithWarning says so once.
    """
    try:
        if os.environ.get(own):
            return Path(os.environ[own]).expanduser()
        folder = Path(os.environ.get(xdg) or Path.home() / below_home).expanduser() / "gansmith"
        if is_writable(folder):
            return folder
        reason = f"'{folder}' cannot be written to"
    except RuntimeError:  # no HOME, and a user id without a name
        reason = "there is no home folder"
    folder = _temporary_folder()
    if own not in _said:
        _said.add(own)
        text = f"{reason}; used instead: {folder}\n  to keep files elsewhere, set {own} to a folder"
        warnings.warn(GansmithWarning(text), stacklevel=3)
    return folder


def is_writable(folder: Path) -> bool:
    """Say whether files can be written to a folder, which may have to be made."""
    # Not Path.exists, which raises an error below a folder that is closed to this user, as /root is to others.
    there = next(each for each in (folder, *folder.absolute().parents) if os.path.exists(each))
    return there.is_dir() and os.access(there, os.W_OK | os.X_OK)


def _temporary_folder() -> Path:
    """Return this user's temporary folder; a new one if another user has taken its name."""
    user = os.getuid() if hasattr(os, "getuid") else 0  # Windows: each user has a temporary folder
    folder = Path(tempfile.gettempdir()) / f"gansmith-{user}"
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()
        if stat.S_ISDIR(found.st_mode) and found.st_uid == user:
            return folder
    except FileExistsError:
        pass
    return Path(tempfile.mkdtemp(prefix="gansmith-"))
