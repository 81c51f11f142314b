"""What torchrun says about this process, in environment variables."""

import os


def rank_and_size() -> tuple[int, int]:
    """Return this process's number among those of the run, and how many there are."""
    return int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))


def local_processes() -> int:
    """Return the number of processes of the run on this machine."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", "1"))


def is_first_here() -> bool:
    """Say whether this is the first process of the run on this machine."""
    return os.environ.get("LOCAL_RANK", "0") == "0"
