"""Object storage (s3://, gs://, file://, ...), by fsspec."""

import threading
from collections.abc import Callable
from concurrent.futures import Future, wait
from typing import Any, Literal, TypeVar

from gansmith.core.errors import GansmithError, reason_of, why_not

T = TypeVar("T")
Area = Literal["run", "data"]
SILENT_SEC = 60.0  # the storage may take so long to answer


def is_address(name: str) -> bool:
    """Say whether a name is the address of object storage, and not a path."""
    return "://" in name


ADVICE = {
    "run": "check the address, the login and the room there",
    "data": "check the address, the login and the network; then start again, or 'gansmith resume' goes on",
}


def open_storage(address: str, area: Area) -> tuple[Any, str]:
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
        files, path = fsspec.core.url_to_fs(address)  # here: fsspec keeps one for each thread
    except (ImportError, ValueError) as problem:
        raise GansmithError(
            f"{area}.storage_package",
            f"{who} '{address}' cannot be opened: {reason_of(problem)}"
            "\n  s3:// needs the package s3fs, gs:// the package gcsfs",
        ) from problem
    except Exception as problem:  # of the storage: no login, no answer
        raise refused(address, problem, area) from problem
    return files, str(path).rstrip("/")


def refused(address: str, problem: Exception, area: Area) -> GansmithError:
    """Return the error of a storage that refuses; a GansmithError is returned as it is."""
    if isinstance(problem, GansmithError):
        return problem
    return GansmithError(
        f"{area}.storage_refused",
        f"'{address}' cannot be used: {type(problem).__name__}: {reason_of(problem)}\n  {ADVICE[area]}",
    )


def asked(request: Callable[[], T]) -> "Future[T]":
    """Start a request in a thread of its own, which may stay without an answer for ever."""
    answer = Future[T]()

    def ask() -> None:
        try:
            answer.set_result(request())
        except BaseException as problem:
            answer.set_exception(problem)

    threading.Thread(target=ask, daemon=True).start()
    return answer


def answered(request: Callable[[], T], address: str, area: Area) -> T:
    """Return what a request to storage returns, or raise what it raises; GansmithError if it takes too long."""
    answer = asked(request)
    wait([answer], SILENT_SEC)
    if not answer.done():
        raise silent(address, f"has not answered for {SILENT_SEC:.0f} s", area)
    return answer.result()


def silent(address: str, what: str, area: Area) -> GansmithError:
    """Return the error of a storage that does not answer."""
    return GansmithError(f"{area}.storage_silent", f"'{address}' {what}\n  {ADVICE[area]}")
