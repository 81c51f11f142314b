"""Object storage (s3://, gs://, file://, ...), by fsspec."""

from typing import Any, Literal

from gansmith.core.errors import GansmithError, reason_of, why_not


def is_address(name: str) -> bool:
    """Say whether a name is the address of object storage, and not a path."""
    return "://" in name


ADVICE = {
    "run": "check the address, the login and the room there",
    "data": "check the address, the login and the network; then start again, or 'gansmith resume' goes on",
}


def open_storage(address: str, area: Literal["run", "data"]) -> tuple[Any, str]:
    """Return the file system of an address and the path in it.

    GansmithError with a code of ``area`` for an address that fsspec, or its package for it, cannot open.
    """
    who = {"run": "--store", "data": "DATA"}[area]
    try:
        import fsspec  # here: an extra
    except ImportError as problem:
        raise GansmithError(
            f"{area}.storage_package",
            f"{who} needs the library fsspec{why_not(problem, 'fsspec')}\n  pip install 'gansmith[storage]'",
        ) from problem
    try:
        files, path = fsspec.core.url_to_fs(address)
    except (ImportError, ValueError) as problem:
        raise GansmithError(
            f"{area}.storage_package",
            f"{who} '{address}' cannot be opened: {reason_of(problem)}"
            "\n  s3:// needs the package s3fs, gs:// the package gcsfs",
        ) from problem
    except Exception as problem:  # of the storage: no login, no answer
        raise refused(address, problem, area) from problem
    return files, str(path).rstrip("/")


def refused(address: str, problem: Exception, area: Literal["run", "data"]) -> GansmithError:
    """Return the error of a storage that refuses; a GansmithError is returned as it is."""
    if isinstance(problem, GansmithError):
        return problem
    return GansmithError(
        f"{area}.storage_refused",
        f"'{address}' cannot be used: {type(problem).__name__}: {reason_of(problem)}\n  {ADVICE[area]}",
    )
