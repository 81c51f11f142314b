"""What torchrun says about this process, in environment variables; the exit code of the first process."""

import os
from contextlib import suppress
from pathlib import Path

from gansmith.core.errors import GansmithError

ENDED = "GANSMITH_ENDED"  # the file in which the first process notes its exit code, for ``gansmith --processes``


def rank_and_size() -> tuple[int, int]:
    """Return this process's number among those of the run, and how many there are; (0, 1) for an odd launch."""
    rank, size = os.environ.get("RANK", "0"), os.environ.get("WORLD_SIZE", "1")
    is_odd = not (rank.isdecimal() and size.isdecimal() and int(rank) < int(size))
    return (0, 1) if is_odd else (int(rank), int(size))


def refuse_odd_launch() -> None:
    """Raise GansmithError for a process number that no process of so many has."""
    rank, size = os.environ.get("RANK", "0"), os.environ.get("WORLD_SIZE", "1")
    if (rank, size) != tuple(map(str, rank_and_size())):
        raise GansmithError(
            "machine.odd_rank",
            f"RANK is '{rank}' and WORLD_SIZE is '{size}', but processes have the numbers 0 to WORLD_SIZE - 1"
            "\n  start all of them with torchrun or --processes, or unset both to run one process alone",
        )


def local_processes() -> int:
    """Return the number of processes of the run on this machine."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", "1"))


def is_first_here() -> bool:
    """Say whether this is the first process of the run on this machine."""
    return os.environ.get("LOCAL_RANK", "0") == "0"


def repeated_options() -> str:
    """Return the option that starts as many processes again, with a space before it; "" without ``--processes``."""
    return f" --processes {rank_and_size()[1]}" if ENDED in os.environ else ""


def note_exit_code(code: object) -> None:
    """Write the exit code of the first process to the file that ``gansmith --processes`` named, if it did."""
    path = os.environ.get(ENDED)
    if path and rank_and_size()[0] == 0:
        with suppress(OSError):  # the command that started this process may be gone
            Path(path).write_text(str(code), encoding="utf-8")


def noted_exit_code(path: Path) -> int | None:
    """Return what ``note_exit_code`` wrote; None if it wrote nothing."""
    with suppress(OSError, ValueError):
        return int(path.read_text(encoding="utf-8"))
    return None
