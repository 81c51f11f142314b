"""One file of a data set, on a disk or in object storage."""

import io
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import IO, Any

from gansmith.core.errors import DataError, GansmithError
from gansmith.core.file_names import escaped, path_of
from gansmith.core.object_storage import T, answered, is_address, open_storage, refused
from gansmith.core.plain_files import open_plain

BLOCK = 2**20  # bytes of a remote file that are asked for at once
CHANGES_WITH = ("ETag", "etag", "md5Hash", "mtime", "LastModified", "last_modified", "updated", "created")


class StoredFile:
    """A file that is read, by its path or its address."""

    def __init__(self, name: str | Path) -> None:
        self.is_remote = is_address(str(name))
        self.path = Path(str(name).rpartition("/")[2]) if self.is_remote else path_of(name).resolve()
        self.location = str(name) if self.is_remote else escaped(self.path)

    @cached_property
    def _storage(self) -> tuple[Any, str]:
        return open_storage(self.location, "data")

    @property
    def _info(self) -> dict[str, Any]:
        files, place = self._storage
        try:
            found: dict[str, Any] = self._answered(lambda: files.info(place))
        except Exception as problem:  # fsspec's file systems raise many types
            raise self.problem(problem, str(problem)) from problem
        return found

    def exists(self) -> bool:
        """Say whether the file is there; GansmithError if the storage refuses."""
        if not self.is_remote:
            return self.path.is_file()
        files, place = self._storage
        try:
            return bool(self._answered(lambda: files.isfile(place)))
        except Exception as problem:
            raise refused(self.location, problem, "data") from problem

    def open(self) -> IO[bytes]:
        """Open the file for reading; OSError as ``open`` raises it, GansmithError if the storage does not answer."""
        if not self.is_remote:
            return open_plain(self.path)
        files, place = self._storage
        return io.BufferedReader(RemoteFile(self._answered(lambda: files.open(place, "rb")), self._answered), BLOCK)

    def _answered(self, request: Callable[[], T]) -> T:
        return answered(request, self.location, "data")

    @cached_property
    def size(self) -> int:
        """Return the size in bytes at the first call."""
        return int(self._info["size"]) if self.is_remote else self.path.stat().st_size

    def stamp(self) -> str:
        """Return a text that changes with the file's size or modification time."""
        if self.is_remote:
            info = self._info
            return f"{info['size']} {next((info[key] for key in CHANGES_WITH if info.get(key)), '')}"
        status = self.path.stat()
        return f"{status.st_size} {status.st_mtime_ns}"

    def problem(self, problem: Exception, damage: str) -> GansmithError:
        """Return the error for a file that is missing, that the storage refuses, or that is damaged."""
        if isinstance(problem, GansmithError):  # the storage does not answer
            return problem
        if isinstance(problem, FileNotFoundError):
            return DataError(
                "data.not_found", f"'{self.location}' does not exist\n  bring it back, or start anew without it"
            )
        if self.is_remote and isinstance(problem, OSError):
            return refused(self.location, problem, "data")
        return DataError(
            "data.damaged_archive",
            f"'{self.location}' is damaged: {damage}\n  download it again, or leave it out of the set",
        )


class RemoteFile(io.RawIOBase):
    """A file of fsspec whose reads have a deadline."""

    def __init__(self, opened: IO[bytes], answered: Callable[[Callable[[], bytes]], bytes]) -> None:
        self._opened, self._answered = opened, answered

    def readable(self) -> bool:
        """Say that it is."""
        return True

    def seekable(self) -> bool:
        """Say that it is."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to a place; nothing is read."""
        return self._opened.seek(offset, whence)

    def readinto(self, buffer: Any) -> int:
        """Read as much as there is room for; GansmithError if the storage does not answer."""
        read = self._answered(lambda: self._opened.read(len(buffer)))
        buffer[: len(read)] = read
        return len(read)

    def close(self) -> None:
        """Close the file."""
        self._opened.close()
        super().close()
