"""Folders and archives as sources; archives are streamed and never unpacked to disk."""

import bz2
import copy
import gzip
import hashlib
import io
import itertools
import lzma
import os
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import IO, Any, Self

from gansmith.core.errors import DataError, GansmithError, counted, reason_of
from gansmith.core.file_names import escaped, path_of, printable
from gansmith.core.plain_files import open_plain
from gansmith.data.base import DataOptions, Item, Listing, Payload
from gansmith.data.sources.array_files import ArrayFiles
from gansmith.data.sources.frames import FIRST, step_of
from gansmith.data.sources.layouts import TABLE, Files, lay_out, open_bytes
from gansmith.data.sources.options import FOLDER_LABELS, NAME_LABELS, NO_LABELS
from gansmith.data.sources.walk import LeftOut, belonging, walk_folder
from gansmith.data.sources.zip_names import decoded_names
from gansmith.imaging.images import ImageError

MAX_FILE_BYTES = 256 * 10**6
MAX_MEMBERS = 2_000_000  # of an archive
MAX_TOTAL_BYTES = 200 * 10**9  # of an archive, unpacked
MAX_DECODER_BYTES = 256 * 2**20  # memory of a decompressor
# An archive that unpacks to more is refused if that is also more than so many times its size.
FREE_BYTES, MAX_RATIO = 4 * 10**9, 100
# So many entries are read in any case; of more each must take as many bytes of the archive as the smallest image.
FREE_MEMBERS, LEAST_BYTES = 100_000, 64
MAX_TAR_HEADER_BYTES, MAX_TAR_HEADERS = 2**20, 256  # of names and other facts beside the files of a .tar
TAR_SUFFIXES = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")
TAR_HEADERS = (tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE, *tarfile.GNU_TYPES[:2])
TAR_ENDS = ("EOFHeaderError", "EmptyHeaderError")
PACKED = -1  # size in the locator of a member of a compressed .tar, which is found by its number alone
PACKED_TARS = (".tar", ".tar.gz", ".tar.bz2", ".tar.xz")
# The first bytes of archives, and their endings.
ARCHIVE_STARTS = (
    (b"PK\3\4", ".zip"), (b"\x1f\x8b", ".tar.gz"), (b"BZh", ".tar.bz2"), (b"\xfd7zXZ", ".tar.xz"),
    (b"7z\xbc\xaf", ".7z"), (b"Rar!", ".rar"), (b"\x28\xb5\x2f\xfd", ".zst"),
)  # fmt: skip
DEFLATE64 = 9
# Methods of .zip that Python unpacks, and names of others.
ZIP_METHODS = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA}
OTHER_ZIP_METHODS = {
    DEFLATE64: "Deflate64",
    93: "Zstandard",
    95: "XZ",
    96: "JPEG",
    97: "WavPack",
    98: "PPMd",
    99: "AES",
}


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


class FileSource:
    """Files of images in a folder or an archive; ``under`` sets the options that decide how they are read."""

    items_per_job = 8
    location: str
    name: str

    def __init__(self, path: Path) -> None:
        self.path = path.resolve()
        self.location = escaped(self.path)
        self._options = DataOptions()
        self._arrays: ArrayFiles | None = None

    def under(self, options: DataOptions) -> Self:
        """Return this source as read under some options."""
        other = copy.copy(self)
        other._options = options
        return other

    def stamp(self) -> str:
        """Return a text that changes with the files, and with the table that the options name."""
        return self._stamp() + self._stamp_of_table()

    def _stamp(self) -> str:
        raise NotImplementedError

    def _stamp_of_table(self) -> str:
        asked = self._options.labels
        if asked in (None, NO_LABELS, FOLDER_LABELS, NAME_LABELS):
            return ""
        assert asked is not None
        tables = [path for path in (path_of(asked), path_of(asked.rsplit(":", 2)[0])) if path.is_file()]
        return " ".join(["", *map(file_stamp, tables[:1])])

    def scan(self) -> Listing:
        """List the images, with the labels that the layout or a table gives; DataError without images."""
        files, notes = self.listed_files()
        listing = lay_out(files, self._options)
        if listing.are_arrays:
            step = None if self._options.frames == FIRST else step_of(self._options.frames)
            self._arrays = ArrayFiles(listing, self._stream_files, step)
            listing = self._arrays.listing
        return Listing(listing.items, listing.classes, listing.ignored, (*listing.notes, *notes))

    def listed_files(self) -> tuple[Files, list[str]]:
        """Return the files, and notes on them."""
        raise NotImplementedError

    def stream(self, items: Sequence[Item]) -> Iterator[tuple[int, Callable[[], Payload]]]:
        """Yield functions that read the files: bytes, or uint8 (H, W, C) of arrays."""
        return self._arrays.stream(items) if self._arrays else self._stream_files(items)

    def can_pick(self, item: Item) -> bool:
        """Say whether an item is read without those before it."""
        return self._arrays is None

    def _stream_files(self, items: Sequence[Item]) -> Iterator[tuple[int, Callable[[], Payload]]]:
        """Yield functions that read the files, here those of a disk."""
        for position, item in enumerate(items):
            yield position, partial(read_file, item.locator)

    def _read_many(self, locators: Sequence[Any]) -> Iterator[tuple[int, bytes]]:
        """Yield the content of small files with their positions, in the fastest order; empty for a file that fails."""
        for position, read in self._stream_files([Item("", -1, locator) for locator in locators]):
            try:
                content = read()
            except ImageError:
                content = b""
            assert isinstance(content, bytes)
            yield position, content


class FolderSource(FileSource):
    """A folder of images with its sub-folders; links are followed, each folder is read once."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.name = printable(self.path.name) or "images"

    def _walk(self, left_out: LeftOut | None = None) -> Iterator[tuple[str, os.DirEntry[str]]]:
        """Yield (name below the top, entry) of every file that may belong to the data set."""
        return walk_folder(self.path, left_out or LeftOut())

    def _stamp(self) -> str:
        """Return a digest of the names, sizes and times of all files, and of a labels.csv beside the folder."""
        try:
            stats = [(name, entry.stat()) for name, entry in self._walk()]
            stats += [(f"../{TABLE}", self._beside.stat())] if self._beside.is_file() else []
        except OSError as problem:
            raise DataError(
                "data.changed_while_read", f"folder '{self.location}' changed while it was read: {problem}"
            ) from problem
        lines = [f"{name}\0{status.st_size}\0{status.st_mtime_ns}\n" for name, status in stats]
        return hashlib.sha256("".join(sorted(lines)).encode()).hexdigest()

    @property
    def _beside(self) -> Path:
        """Return the path of a labels.csv beside the folder, whether it exists or not."""
        return self.path.parent / TABLE

    def listed_files(self) -> tuple[Files, list[str]]:
        """Return the files that may belong to the data set, and no notes."""
        left_out = LeftOut()
        names = [(name, entry.path) for name, entry in self._walk(left_out)]
        beside = self._beside if self._beside.is_file() else None
        return Files(self.location, names, left_out, open_bytes, self._read_many, beside), []


class _WholeFile(FileSource):
    """A source that is one file, and has its name without the ending."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.name = printable(self.path.name).split(".")[0] or "images"

    def _stamp(self) -> str:
        return file_stamp(self.path)

    def _open(self) -> IO[bytes]:
        return open_plain(self.path)

    def _size(self) -> int:
        return self.path.stat().st_size


class OneFileSource(_WholeFile):
    """A single file with one image or several: a TIFF stack, a DICOM or NIfTI volume, an animation."""

    all_frames = True  # of a file that is all the data, every frame is an image

    def listed_files(self) -> tuple[Files, list[str]]:
        """Return the file, and no notes."""
        names = [(printable(self.path.name), str(self.path))]
        return Files(self.location, names, LeftOut(), open_bytes, self._read_many), []


def read_file(path: str) -> bytes:
    """Return a file's bytes; ImageError if it cannot be read or is too large."""
    try:
        with open_plain(path) as file:
            size = os.fstat(file.fileno()).st_size
            if size > MAX_FILE_BYTES:
                raise ImageError("image.too_large", _too_large(size))
            return file.read(size)
    except OSError as problem:
        raise ImageError("image.unreadable", f"cannot be read ({problem.strerror})") from problem


def _most_words() -> str:
    return f"more than {MAX_MEMBERS:,} files or {MAX_TOTAL_BYTES // 10**9} GB"


class _Archive(_WholeFile):
    """An archive, .zip or .tar: its regular files are listed, up to the limits above."""

    items_per_job = 1  # members that are read ahead lie in memory

    def listed_files(self) -> tuple[Files, list[str]]:
        """Return the regular files, and notes on their names; DataError for too many."""
        names: list[tuple[str, Any]] = []
        left_out = LeftOut()
        total = skipped = 0
        for name, size, is_regular, locator in self._members():
            total += size
            self._refuse_too_much(len(names) + skipped, total)
            if is_regular:
                names.append((name, locator))
            else:
                skipped += 1
                left_out.add("link or special file")
        files = Files(self.location, belonging(names, left_out), left_out, self.open_member, self._read_many)
        return files, self._notes()

    def _refuse_too_much(self, members: int, total: int) -> None:
        """Raise DataError for more files or bytes than are read, or than an archive of this size can honestly hold."""
        size = self._size()
        if members >= MAX_MEMBERS or total > MAX_TOTAL_BYTES:
            raise self._too_large(_most_words())
        if total > max(FREE_BYTES, MAX_RATIO * size):
            raise self._too_large(f"more than {FREE_BYTES // 10**9} GB, over {MAX_RATIO} times its own size")
        if members > max(FREE_MEMBERS, size // LEAST_BYTES):
            raise self._too_large(f"more than {FREE_MEMBERS:,} files with less than {LEAST_BYTES} bytes for each")

    def _too_large(self, what: str) -> DataError:
        return DataError(
            "data.archive_too_large",
            f"archive '{self.location}' holds {what}\n  split it, or unpack it and pass the folder",
        )

    def _notes(self) -> list[str]:
        return []

    def _members(self) -> Iterable[tuple[str, int, bool, Any]]:
        """Yield (name, declared size in bytes, whether it is a regular file, locator) of all members but folders."""
        raise NotImplementedError

    def open_member(self, locator: Any) -> IO[bytes]:
        """Return the content of one member as a file in memory; DataError if it cannot be read."""
        ((_, read),) = self._stream_files([Item("", -1, locator)])
        try:
            content = read()
        except ImageError as problem:
            raise DataError(
                "data.unreadable_table", f"a table in '{self.location}' {problem}\n  pack the archive again"
            ) from problem
        assert isinstance(content, bytes)
        return io.BytesIO(content)

    def _damaged(self, problem: Exception) -> GansmithError:
        if isinstance(problem, FileNotFoundError):
            return DataError("data.not_found", f"archive '{self.location}' does not exist any more\n  bring it back")
        if kind := other_archive(self.path):
            return DataError("data.other_archive", f"archive '{self.location}' is {kind[0]}\n  {kind[1]}")
        return DataError(
            "data.damaged_archive",
            f"archive '{self.location}' is damaged: {reason_of(problem)}"
            "\n  download or pack it again, or unpack the readable files and pass the folder",
        )


def no_end_note(names: str) -> str:
    """Return a note on .tar files that end without the zeros that mark an end, as those do that were cut off."""
    return f"without an end mark, so perhaps cut off: {names}; compare the size with the original, or pack it again"


def other_archive(path: Path) -> tuple[str, str] | None:
    """Return what a file is that is no archive of the kind that its ending says, and the remedy; None if unknown."""
    try:
        with open_plain(path) as file:
            start = file.read(512).lstrip(b"\xef\xbb\xbf \t\r\n")
    except OSError:
        return None
    if start[:14].lower().startswith((b"<!doctype html", b"<html")):
        return "an HTML page: its download failed", "open the address in a browser, and download what it offers"
    if start.startswith(b"version https://git-lfs"):
        return "a pointer of Git LFS, not an archive", "run 'git lfs pull' in its repository"
    if not start:
        return "an empty file", "download or pack it again"
    is_tar = start[257:262] == b"ustar"
    endings = (end for first, end in ARCHIVE_STARTS if start.startswith(first))
    ending = ".tar" if is_tar else next(endings, "")
    name = path.name.lower()
    if not ending or name.endswith(ending) or (ending in PACKED_TARS and name.endswith(TAR_SUFFIXES)):
        return None
    remedy = f"give it the ending {ending}"
    return f"a {ending} file", remedy if ending in (".zip", *TAR_SUFFIXES) else "unpack it and pass the folder"


class _TooManyError(ValueError):
    """More entries than MAX_MEMBERS."""


class _Entries(list[zipfile.ZipInfo]):
    """The entries of a .zip, up to MAX_MEMBERS."""

    def append(self, entry: zipfile.ZipInfo) -> None:
        if len(self) >= MAX_MEMBERS:
            raise _TooManyError
        super().append(entry)


class _Zip(zipfile.ZipFile):
    """A .zip; its list of entries is limited while zipfile reads it, before it fills the memory."""

    def __setattr__(self, name: str, value: object) -> None:
        super().__setattr__(name, _Entries() if name == "filelist" else value)


class ZipSource(_Archive):
    """A .zip of a folder of images."""

    items_per_job = 8
    _note = ""

    def _members(self) -> Iterator[tuple[str, int, bool, Any]]:
        try:
            with open_plain(self.path) as file, _Zip(file) as archive:
                members = archive.infolist()
        except _TooManyError as problem:
            raise self._too_large(_most_words()) from problem
        except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as problem:
            raise self._damaged(problem) from problem
        self._refuse_odd(members)
        names, self._note = decoded_names(members, self._options.zip_encoding)
        for name, member in zip(names, members, strict=True):
            kind = stat.S_IFMT(member.external_attr >> 16)
            if not member.is_dir():
                yield name, member.file_size, kind in (0, stat.S_IFREG), member

    def _notes(self) -> list[str]:
        return [self._note] if self._note else []

    def _refuse_odd(self, members: Sequence[zipfile.ZipInfo]) -> None:
        """Raise DataError for entries that share bytes, an encrypted archive, and a method that is not known."""
        ends = sorted((member.header_offset, member.compress_size) for member in members)
        if any(first + 30 + size > second for (first, size), (second, _) in pairwise(ends)):
            raise self._damaged(ValueError("entries overlap, as in archives made to unpack without end"))
        locked = sum(member.flag_bits & 1 for member in members)
        if locked > len(members) / 2:
            raise DataError(
                "data.encrypted_archive",
                f"archive '{self.location}' is encrypted: {counted(locked, 'entry').replace('entrys', 'entries')}"
                "\n  unpack it with its password, and pass the folder",
            )
        methods = [member.compress_type for member in members if not _can_unpack(member.compress_type)]
        if len(methods) > len(members) / 2:
            name = OTHER_ZIP_METHODS.get(methods[0], f"method {methods[0]}")
            library = "\n  or install what reads it: pip install 'gansmith[formats]'" if methods[0] == DEFLATE64 else ""
            raise DataError(
                "data.zip_method",
                f"archive '{self.location}' is packed with {name}, which Python does not unpack"
                f"\n  unpack it with another program and pass the folder{library}",
            )

    def _stream_files(self, items: Sequence[Item]) -> Iterator[tuple[int, Callable[[], Payload]]]:
        """Yield functions that read members; the archive stays open as long as any of them exists."""
        archive = zipfile.ZipFile(self.path)
        for position, item in enumerate(items):
            yield position, partial(_read_member, archive, item.locator)


def _can_unpack(method: int) -> bool:
    """Say whether a method of .zip can be unpacked; Deflate64 needs the library inflate64."""
    if method != DEFLATE64:
        return method in ZIP_METHODS
    try:
        import inflate64  # noqa: F401  # an extra: imported here so that gansmith starts without it
    except ModuleNotFoundError:
        return False
    return True


def _read_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bytes:
    """Return a member's bytes, no more than its header says; ImageError if it is damaged, longer or too large."""
    if member.file_size > MAX_FILE_BYTES:
        raise ImageError("image.too_large", _too_large(member.file_size))
    if member.flag_bits & 1:
        raise ImageError("image.unreadable", "encrypted: unpack the archive with its password, and pass the folder")
    try:
        if member.compress_type == DEFLATE64:
            return _read_deflate64(archive, member)
        if member.compress_type == zipfile.ZIP_BZIP2:
            return _read_bzip2(archive, member)
        if member.compress_type == zipfile.ZIP_LZMA and _lzma_dictionary(archive, member) > MAX_DECODER_BYTES:
            raise ImageError("image.too_large", f"needs more than {MAX_DECODER_BYTES >> 20} MB to unpack")
        # For other methods than Deflate zipfile unpacks all that it has read at once: small steps bound that.
        step = member.file_size if member.compress_type == zipfile.ZIP_DEFLATED else 1 << 12
        parts, left = [], member.file_size
        with archive.open(member) as file:
            while left and (part := file.read(min(step, left))):
                parts.append(part)
                left -= len(part)
            if left or file.read(1):
                raise ImageError("image.unreadable", "its size differs from what the archive says")
        return b"".join(parts)
    except (ImageError, MemoryError):
        raise
    except Exception as problem:  # bad checksums, unknown methods, encryption, damaged streams
        raise ImageError("image.unreadable", f"cannot be read from the archive ({problem})") from problem


def _packed(archive: zipfile.ZipFile, member: zipfile.ZipInfo, most: int) -> bytes:
    """Return the first packed bytes of a member."""
    with open_plain(str(archive.filename)) as file:
        file.seek(member.header_offset)
        header = file.read(30)
        file.seek(int.from_bytes(header[26:28], "little") + int.from_bytes(header[28:30], "little"), os.SEEK_CUR)
        return file.read(min(member.compress_size, most))


def _lzma_dictionary(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> int:
    """Return the size of the dictionary that a member packed with LZMA asks for, in bytes."""
    return int.from_bytes(_packed(archive, member, 9)[5:9], "little")


def _read_bzip2(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bytes:
    """Return a member packed with bzip2, of which zipfile would unpack gigabytes from a few bytes."""
    packed, unpacker, out = _packed(archive, member, MAX_FILE_BYTES), bz2.BZ2Decompressor(), bytearray()
    while not unpacker.eof and len(out) <= member.file_size:
        part = unpacker.decompress(packed, member.file_size + 1 - len(out))
        packed = b""
        if not part and unpacker.needs_input:
            break
        out += part
    return _checked(bytes(out), member)


def _checked(out: bytes, member: zipfile.ZipInfo) -> bytes:
    """Return the content of a member; ImageError unless it has the size and sum that the archive says."""
    if len(out) != member.file_size:
        raise ImageError("image.unreadable", "its size differs from what the archive says")
    if zlib.crc32(out) != member.CRC:
        raise ImageError("image.unreadable", "cannot be read from the archive (its checksum is wrong)")
    return out


def _read_deflate64(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bytes:
    """Return a member packed with Deflate64, which Windows writes beyond 2 GB."""
    import inflate64  # an extra: imported here so that gansmith starts without it

    packed = _packed(archive, member, MAX_FILE_BYTES)
    inflater, out = inflate64.Inflater(), bytearray()
    for start in range(0, len(packed), 1 << 12):
        out += inflater.inflate(packed[start : start + (1 << 12)])
        if len(out) > member.file_size:
            raise ImageError("image.unreadable", "its size differs from what the archive says")
    return _checked(bytes(out), member)


class _XzStream(io.RawIOBase):
    """A .xz or .lzma file as a stream of bytes; the decompressor's memory is limited."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file, self._decoder = file, self._new()

    @staticmethod
    def _new() -> lzma.LZMADecompressor:
        return lzma.LZMADecompressor(memlimit=MAX_DECODER_BYTES)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while True:
            if self._decoder.eof:  # another stream may follow
                rest = self._decoder.unused_data.lstrip(b"\0") or self._file.read(1 << 16).lstrip(b"\0")
                if not rest:
                    return 0
                self._decoder, packed = self._new(), rest
            else:
                packed = self._file.read(1 << 16) if self._decoder.needs_input else b""
                if not packed and self._decoder.needs_input:
                    raise EOFError("the compressed data end early")
            data = self._decoder.decompress(packed, len(buffer))
            if data:
                buffer[: len(data)] = data
                return len(data)


class _Bounded:
    """An unpacked archive; ``too_large`` is raised beyond so many bytes."""

    def __init__(self, file: IO[bytes], limit: int, too_large: DataError) -> None:
        self._file, self._limit, self._too_large, self._at = file, limit, too_large, 0

    def tell(self) -> int:
        return self._at

    def seek(self, place: int) -> int:
        self._refuse(place)
        self._at = self._file.seek(place)
        return self._at

    def read(self, size: int) -> bytes:
        self._refuse(self._at + size)
        data = self._file.read(size)
        self._at += len(data)
        return data

    def _refuse(self, place: int) -> None:
        if place > self._limit:
            raise self._too_large


class _Tar(tarfile.TarFile):
    """A .tar that knows whether its end was marked."""

    has_end = True  # False: the file ended where a member or a block of zeros was due


class _Member(tarfile.TarInfo):
    """A member of a .tar; names and other facts in blocks of their own are limited."""

    @classmethod
    def fromtarfile(cls, archive: tarfile.TarFile) -> Self:
        try:
            return super().fromtarfile(archive)
        except tarfile.HeaderError as problem:
            if isinstance(archive, _Tar) and type(problem).__name__ == "EmptyHeaderError":
                archive.has_end = False
            if not archive.offset or type(problem).__name__ in TAR_ENDS:
                raise
            what = f"the entry at byte {archive.offset:,} cannot be read ({problem})"
            raise tarfile.ReadError(what) from problem  # else tarfile ends here as if the archive did

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        found = super().frombuf(buf, encoding, errors)
        if found.type in TAR_HEADERS and found.size > MAX_TAR_HEADER_BYTES:
            raise ValueError(f"facts of a file take more than {MAX_TAR_HEADER_BYTES >> 20} MB")
        return found


def _at_another_tar(file: Any) -> bool:
    """Go past the zeros at the end of a .tar to one that was appended, as by ``cat a.tar b.tar``; False if none was."""
    while block := file.read(tarfile.BLOCKSIZE):
        if any(block):
            file.seek(file.tell() - len(block))
            try:
                return bool(_Member.frombuf(block, "utf-8", "surrogateescape"))
            except tarfile.HeaderError:  # something else
                return False
    return False


class TarSource(_Archive):
    """A .tar of a folder of images; one that is compressed is read from front to back.

    A locator is the place and size of a member's content, or its number and PACKED.
    """

    has_end = True  # False: the file ends without the zeros that mark the end of a .tar; known after the members

    def _walk(self) -> Iterator[tuple[tuple[int, int], tarfile.TarFile, tarfile.TarInfo]]:
        """Yield (locator, open archive, member) from front to back; DataError for a damaged archive."""
        try:
            with self._open() as file:
                start = file.read(6)
                file.seek(0)
                limit = max(FREE_BYTES, MAX_RATIO * self._size())
                mode: Any = "r:"
                unpacked: Any = file
                if start.startswith(b"\x1f\x8b"):
                    unpacked = gzip.GzipFile(fileobj=file)
                elif start.startswith(b"BZh"):
                    unpacked = bz2.BZ2File(file)
                elif start == b"\xfd7zXZ\0" or self.path.suffix == ".lzma":
                    unpacked, mode = io.BufferedReader(_XzStream(file), 1 << 16), "r|"
                what = f"more than {FREE_BYTES // 10**9} GB, over {MAX_RATIO} times its own size"
                bounded: Any = unpacked if unpacked is file else _Bounded(unpacked, limit, self._too_large(what))
                ordinals, another = itertools.count(), True
                while another:
                    with _Tar.open(fileobj=bounded, mode=mode, encoding="utf-8", tarinfo=_Member) as archive:
                        for member in archive:
                            plain = (member.offset_data, max(0, member.size))
                            yield plain if unpacked is file else (next(ordinals), PACKED), archive, member
                            kept: Any = archive
                            kept.members.clear()  # tarfile keeps all, about 1 KB each
                            if len(archive.pax_headers) > MAX_TAR_HEADERS:
                                raise ValueError(f"it has more than {MAX_TAR_HEADERS} facts for all files")
                    self.has_end = archive.has_end
                    another = mode == "r:" and _at_another_tar(bounded)
        except (GansmithError, MemoryError):
            raise
        except Exception as problem:  # tarfile and the decompressors raise many types
            raise self._damaged(problem) from problem

    def _notes(self) -> list[str]:
        return [] if self.has_end else [no_end_note(f"'{printable(self.path.name)}'")]

    def can_pick(self, item: Item) -> bool:
        """Say that it is, unless the .tar is compressed."""
        return super().can_pick(item) and item.locator[1] != PACKED

    def _members(self) -> Iterator[tuple[str, int, bool, Any]]:
        for locator, _, member in self._walk():
            if not member.isdir():
                yield member.name, max(0, member.size), member.isreg() and not member.issparse(), locator

    def _stream_files(self, items: Sequence[Item]) -> Iterator[tuple[int, Callable[[], Payload]]]:
        """Yield members in the archive's order, already read."""
        if items and items[0].locator[1] != PACKED:
            yield from self._read_plain([item.locator for item in items])
            return
        wanted = {item.locator: position for position, item in enumerate(items)}
        for locator, archive, member in self._walk():
            if locator not in wanted:
                continue
            if member.size > MAX_FILE_BYTES:
                yield wanted[locator], _refusing(member.size)
                continue
            try:
                file = archive.extractfile(member)
                data = file.read() if file else b""
            except MemoryError:
                raise
            except Exception as problem:  # many types here too
                raise self._damaged(problem) from problem
            yield wanted[locator], given(data)

    def _read_plain(self, places: Sequence[tuple[int, int]]) -> Iterator[tuple[int, Callable[[], Payload]]]:
        """Yield members of a .tar that is not compressed, each from its place: no header is read again."""
        try:
            with self._open() as file:
                for position in sorted(range(len(places)), key=places.__getitem__):
                    start, size = places[position]
                    if size > MAX_FILE_BYTES:
                        yield position, _refusing(size)
                        continue
                    file.seek(start)
                    data = file.read(size)
                    if len(data) < size:
                        raise EOFError("unexpected end of data")
                    yield position, given(data)
        except (GansmithError, MemoryError):
            raise
        except Exception as problem:  # fsspec's file systems raise many types
            raise self._damaged(problem) from problem
