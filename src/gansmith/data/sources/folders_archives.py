"""Folders and archives as sources; archives are streamed and never unpacked to disk."""

import hashlib
import os
import stat
import tarfile
import zipfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from gansmith.core.errors import DataError, reason_of
from gansmith.data.base import Item, Listing, Payload
from gansmith.data.sources.folder_labels import arrange, parts_of
from gansmith.data.sources.labels_csv import TABLE, find_table, label_by_table
from gansmith.imaging.images import ImageError

MAX_FILE_BYTES = 256 * 10**6
MAX_MEMBERS = 2_000_000  # of an archive
MAX_TOTAL_BYTES = 200 * 10**9  # of an archive, unpacked
TAR_SUFFIXES = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")


def file_stamp(path: str | Path) -> str:
    """Return a text that changes with a file's size or modification time."""
    status = os.stat(path)
    return f"{status.st_size} {status.st_mtime_ns}"


def given(data: bytes) -> Callable[[], Payload]:
    """Return a function that returns bytes which are already read."""
    return lambda: data


def _refusing(size: int) -> Callable[[], Payload]:
    """Return a function that raises ImageError for a file of this many bytes."""

    def refuse() -> Payload:
        raise ImageError("image.too_large", _too_large(size))

    return refuse


def _too_large(size: int) -> str:
    return f"{size / 10**6:.0f} MB, over the limit of {MAX_FILE_BYTES // 10**6} MB for one file"


class FolderSource:
    """A folder of images with its sub-folders; links are followed, each folder is read once."""

    items_per_job = 8

    def __init__(self, path: Path) -> None:
        self._path = path.resolve()
        self.location = str(self._path)
        self.name = self._path.name or "images"

    def _walk(self) -> Iterator[tuple[str, os.DirEntry[str]]]:
        """Yield (name below the top, entry) of every file; hidden files and folders of runs and models are skipped."""
        waiting, seen = [("", str(self._path))], set()
        while waiting:
            prefix, folder = waiting.pop()
            try:
                status = os.stat(folder)
                entries = list(os.scandir(folder))
            except OSError as problem:
                raise DataError(
                    "data.unreadable_folder", f"folder '{folder}' cannot be read: {problem.strerror}"
                ) from problem
            if (status.st_dev, status.st_ino) in seen:
                continue
            seen.add((status.st_dev, status.st_ino))
            if prefix and any(entry.name in ("run.json", "model.json") for entry in entries):
                continue  # pictures that a run wrote are not data
            for entry in entries:
                if not parts_of(entry.name):
                    continue
                if entry.is_dir():
                    waiting.append((f"{prefix}{entry.name}/", entry.path))
                elif entry.is_file():
                    yield prefix + entry.name, entry

    def stamp(self) -> str:
        """Return a digest of the names, sizes and times of all files, and of a labels.csv beside the folder."""
        try:
            stats = [(name, entry.stat()) for name, entry in self._walk()]
            stats += [(f"../{TABLE}", self._beside.stat())] if self._beside.is_file() else []
        except OSError as problem:
            raise DataError(
                "data.changed_while_read", f"folder '{self.location}' changed while it was read: {problem}"
            ) from problem
        lines = [f"{name}\0{status.st_size}\0{status.st_mtime_ns}\n" for name, status in stats]
        return hashlib.sha256("".join(sorted(lines)).encode("utf-8", "surrogateescape")).hexdigest()

    @property
    def _beside(self) -> Path:
        """Return the path of a labels.csv beside the folder, whether it exists or not."""
        return self._path.parent / TABLE

    def scan(self) -> Listing:
        """List the images, labelled by a labels.csv in or beside the folder, else by sub-folder."""
        found = {name: entry.path for name, entry in self._walk()}
        table = find_table(tuple(found), self.location)
        path = found.pop(table) if table else str(self._beside) if self._beside.is_file() else None
        listing = arrange(found.items(), self.location)
        return label_by_table(listing, read_file(path), path) if path else listing

    def stream(self, items: Sequence[Item]) -> Iterator[tuple[int, Callable[[], Payload]]]:
        """Yield functions that read the files."""
        for position, item in enumerate(items):
            yield position, partial(read_file, item.locator)


def read_file(path: str) -> bytes:
    """Return a file's bytes; ImageError if it cannot be read or is too large."""
    try:
        size = os.stat(path).st_size
        if size > MAX_FILE_BYTES:
            raise ImageError("image.too_large", _too_large(size))
        with open(path, "rb") as file:
            return file.read(MAX_FILE_BYTES)
    except OSError as problem:
        raise ImageError("image.unreadable", f"cannot be read ({problem.strerror})") from problem


class _Archive:
    """An archive, .zip or .tar: its regular files are listed, up to the limits above."""

    items_per_job = 1  # members that are read ahead lie in memory

    def __init__(self, path: Path) -> None:
        self._path = path.resolve()
        self.location = str(self._path)
        self.name = self._path.name.split(".")[0] or "images"

    def stamp(self) -> str:
        return file_stamp(self._path)

    def scan(self) -> Listing:
        found: list[tuple[str, Any]] = []
        total = skipped = 0
        for name, size, is_regular, locator in self._members():
            total += size
            if len(found) + skipped >= MAX_MEMBERS or total > MAX_TOTAL_BYTES:
                raise DataError(
                    "data.archive_too_large",
                    f"archive '{self.location}' holds more than {MAX_MEMBERS:,} files"
                    f" or {MAX_TOTAL_BYTES // 10**9} GB\n  split it, or unpack it and pass the folder",
                )
            if is_regular:
                found.append((name, locator))
            else:
                skipped += bool(parts_of(name))
        table = find_table([name for name, _ in found], self.location)
        listing = arrange([entry for entry in found if entry[0] != table], self.location)
        if table:
            content = self._read(next(locator for name, locator in found if name == table))
            listing = label_by_table(listing, content, f"{self.location}/{table}")
        links = f"ignored: {skipped:,} links or special files in the archive"
        return Listing(listing.items, listing.classes, listing.ignored, (*listing.notes, *([links] if skipped else [])))

    def _members(self) -> Iterable[tuple[str, int, bool, Any]]:
        """Yield (name, declared size in bytes, whether it is a regular file, locator) of all members but folders."""
        raise NotImplementedError

    def _read(self, locator: Any) -> bytes:
        """Return the content of one member."""
        (_, read), *_ = self.stream([Item("", -1, locator)])
        content = read()
        assert isinstance(content, bytes)
        return content

    def stream(self, items: Sequence[Item]) -> Iterator[tuple[int, Callable[[], Payload]]]:
        raise NotImplementedError

    def _damaged(self, problem: Exception) -> DataError:
        return DataError(
            "data.damaged_archive",
            f"archive '{self.location}' is damaged: {reason_of(problem)}"
            "\n  download or pack it again, or unpack the readable files and pass the folder",
        )


class ZipSource(_Archive):
    """A .zip of a folder of images."""

    items_per_job = 8

    def _members(self) -> Iterator[tuple[str, int, bool, Any]]:
        try:
            with zipfile.ZipFile(self._path) as archive:
                members = archive.infolist()
        except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as problem:
            raise self._damaged(problem) from problem
        for member in members:
            kind = stat.S_IFMT(member.external_attr >> 16)
            if not member.is_dir():
                yield member.filename, member.file_size, kind in (0, stat.S_IFREG), member

    def stream(self, items: Sequence[Item]) -> Iterator[tuple[int, Callable[[], Payload]]]:
        """Yield functions that read members; the archive stays open as long as any of them exists."""
        archive = zipfile.ZipFile(self._path)
        for position, item in enumerate(items):
            yield position, partial(_read_member, archive, item.locator)


def _read_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bytes:
    if member.file_size > MAX_FILE_BYTES:
        raise ImageError("image.too_large", _too_large(member.file_size))
    try:
        return archive.read(member)  # reads no more than the declared size
    except Exception as problem:  # bad checksums, unknown methods, encryption, damaged streams
        raise ImageError("image.unreadable", f"cannot be read from the archive ({problem})") from problem


class TarSource(_Archive):
    """A .tar of a folder of images, plain or compressed, read from front to back."""

    def _walk(self) -> Iterator[tuple[int, tarfile.TarFile, tarfile.TarInfo]]:
        """Yield (position, open archive, member) from front to back; DataError for a damaged archive."""
        try:
            with tarfile.open(self._path, "r:*") as archive:
                for ordinal, member in enumerate(archive):
                    yield ordinal, archive, member
        except Exception as problem:  # tarfile and the decompressors raise many types
            raise self._damaged(problem) from problem

    def _members(self) -> Iterator[tuple[str, int, bool, Any]]:
        for ordinal, _, member in self._walk():
            if not member.isdir():
                yield member.name, max(0, member.size), member.isreg(), ordinal

    def stream(self, items: Sequence[Item]) -> Iterator[tuple[int, Callable[[], Payload]]]:
        """Yield members in the archive's order, already read."""
        wanted = {item.locator: position for position, item in enumerate(items)}
        for ordinal, archive, member in self._walk():
            if ordinal not in wanted:
                continue
            if member.size > MAX_FILE_BYTES:
                yield wanted[ordinal], _refusing(member.size)
                continue
            try:
                file = archive.extractfile(member)
                data = file.read() if file else b""
            except Exception as problem:  # many types here too
                raise self._damaged(problem) from problem
            yield wanted[ordinal], given(data)
