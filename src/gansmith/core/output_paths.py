"""Checks of files and folders that are about to be written."""

from pathlib import Path

from gansmith.core.errors import GansmithError


def refuse_used_folder(path: Path, option: str = "") -> None:
    """Raise GansmithError unless a folder to be written is new or empty; ``option`` is how another is named."""
    if path.is_file() or (path.is_dir() and any(path.iterdir())):
        there = "a file" if path.is_file() else "already there and not empty"
        raise GansmithError("output.exists", f"'{path}' is {there}\n  remove it, or name another folder{option}")


def file_for(out: str | Path, what: str, ending: str) -> Path:
    """Return the path of a file to be written; GansmithError for another ending, or a file in the way of its folder."""
    path = Path(out)
    if path.suffix.lower() != ending:
        raise GansmithError(
            "output.unknown_ending", f"cannot write {what} as '{path.suffix or path.name}'\n  allowed: x{ending}"
        )
    make_room(path)
    return path


def make_room(path: Path) -> None:
    """Make the folders above a file or folder to be written; GansmithError if a file is in the way."""
    if any(parent.is_file() for parent in path.parents) or (path.is_file() and not path.suffix):
        raise GansmithError(
            "output.file_in_the_way",
            f"'{path}' cannot be written: a file is in the way\n  name another place: --out PATH",
        )
    path.parent.mkdir(parents=True, exist_ok=True)
