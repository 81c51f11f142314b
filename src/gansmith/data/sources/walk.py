"""The one walk through a folder of images: which files belong to it, which do not, and why."""

import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gansmith.core.errors import DataError
from gansmith.core.file_names import escaped, printable
from gansmith.core.plain_files import open_plain
from gansmith.data.base import left_out_line
from gansmith.imaging.deep_files import SCIENCE_ENDINGS
from gansmith.imaging.images import ENDINGS, TIFF_STARTS, image_endings

ARRAY_ENDINGS = (".npy", ".npz", *SCIENCE_ENDINGS)
LONGEST_ENDING = 12
START_BYTES = 348  # of a file, which tell its format: NIfTI's mark is the last of them
# The first bytes of formats, and their endings.
STARTS = (
    (b"\xff\xd8\xff", ".jpg"), (b"\x89PNG\r\n\x1a\n", ".png"), (b"GIF8", ".gif"), (b"\x93NUMPY", ".npy"),
    (b"\0\0\0\x0cjP  ", ".jp2"), *((start, ".tif") for start in TIFF_STARTS),
)  # fmt: skip
# Folders and files that systems and programs leave beside images, in lower case. Names with a dot in front are hidden.
RUBBISH_FOLDERS = frozenset({
    "__macosx", "@eadir", "@recycle", "@__thumb", "@tmp", "#recycle", "#snapshot", "$recycle.bin", "recycler",
    "system volume information", "lost+found", "__pycache__", "network trash folder", "temporary items", "found.000",
    "lightroom previews.lrdata",
})  # fmt: skip
RUBBISH_FILES = frozenset(
    {"thumbs.db", "ehthumbs.db", "ehthumbs_vista.db", "desktop.ini", "dicomdir", "icon\r", "icon\\r"}
)
BROKEN_LINK = "broken link"
HUB_CACHE = {"blobs", "refs", "snapshots"}  # of Hugging Face: snapshots link to blobs
RUN_FILES = ("run.json", "model.json")  # pictures that a run wrote are not data


@dataclass
class LeftOut:
    """What is not read, counted by ending and reason: {noun: number}, and the names of single files."""

    counts: Counter[str] = field(default_factory=Counter)
    seen: set[str] = field(default_factory=set)

    def add(self, noun: str, once: str = "") -> None:
        """Count a file or folder; with ``once`` only the first with that name."""
        if not once or once not in self.seen:
            self.counts[noun] += 1
        self.seen.add(once)


def rubbish_noun(name: str, *, is_folder: bool) -> str:
    """Return what a name that does not belong to a data set is called, "" for one that may belong to it."""
    if is_folder and name.lower() in RUBBISH_FOLDERS:
        return f"{name} folder"
    if not is_folder and name.lower() in RUBBISH_FILES:
        return f"{printable(name)} file"
    if name.startswith("."):
        return f"hidden {'folder' if is_folder else 'file'}"
    return ""


def ending_of(name: str) -> str:
    """Return the ending of a file's name in lower case, also .nii.gz; "" without one."""
    stem, dot, last = name[name.rfind("/") + 1 :].rpartition(".")  # PurePosixPath takes four times as long
    if not (stem and last):
        return ""
    ending = dot + last.lower()
    if ending in (".gz", ".bz2", ".xz"):
        _, dot, before = stem.lstrip(".").rpartition(".")
        ending = dot + before.lower() + ending if dot else ending
    return ending if len(ending) <= LONGEST_ENDING else ""


def ending_by_content(start: bytes) -> str:
    """Return the usual ending of an image or array file, by its first 348 bytes; "" for other files."""
    if start[128:132] == b"DICM":
        return ".dcm"
    if start[344:348] in (b"n+1\0", b"ni1\0"):
        return ".nii"
    if start[:4] == b"RIFF" and start[8:12] == b"WEBP":
        return ".webp"
    if start[4:8] == b"ftyp":
        return {b"avif": ".avif", b"avis": ".avif", b"heic": ".heic", b"mif1": ".heic"}.get(start[8:12], "")
    if start[:2] == b"BM" and start[6:10] == bytes(4):
        return ".bmp"
    return next((ending for magic, ending in STARTS if start.startswith(magic)), "")


def images_among(
    names: Sequence[tuple[str, Any]], read_starts: Callable[[Sequence[Any]], Iterable[tuple[int, bytes]]]
) -> tuple[list[tuple[str, Any]], bool]:
    """Return the (name, locator) of the files that are images, and whether they are arrays; pictures come first.

    Endings decide. Files whose name has none, one of digits, such as those of DICOM, or one with more behind it
    (.jpg?w=300, .jpg_large), are told by their first bytes: ``read_starts`` yields (position, content) of some
    locators, at least 348 bytes of each file.
    """
    pictures = image_endings()
    unclear = [entry for entry in names if _is_unclear(ending_of(entry[0]), pictures)]
    kinds = {entry[0]: ending_of(entry[0]) for entry in names}
    for position, content in read_starts([locator for _, locator in unclear]) if unclear else ():
        kinds[unclear[position][0]] = ending_by_content(content[:START_BYTES])
    for wanted in (pictures, ARRAY_ENDINGS):
        if found := [entry for entry in names if kinds[entry[0]] in wanted]:
            return found, wanted is ARRAY_ENDINGS
    return [], False


def _is_unclear(ending: str, pictures: Sequence[str]) -> bool:
    """Say whether an ending does not tell what a file is."""
    known, *more = re.split(r"[?&_!:@%;=,-]", ending, maxsplit=1)
    return not ending.strip(".0123456789") or (bool(more) and known in pictures)


def ending_noun(name: str) -> str:
    """Return the noun by which a file of another kind is counted."""
    ending = ending_of(name)
    return f"{ending} file" if ending else "extensionless file"


def walk_folder(top: str | Path, left_out: LeftOut) -> Iterator[tuple[str, "os.DirEntry[str]"]]:
    """Yield (printable name below ``top``, entry) of every file that may belong to a data set.

    Links are followed, and each folder is read once, under its own name if it has one below ``top``. Hidden and rubbish
    entries, links that lead nowhere or in a circle, closed folders, and folders of runs and models are counted in
    ``left_out``. DataError if ``top`` is closed.
    """
    waiting: list[tuple[str, str]] = [("", str(top))]
    links: list[tuple[str, str]] = []  # to folders
    seen: set[tuple[int, int]] = set()
    while waiting or links:
        prefix, folder = (waiting or links).pop()
        try:
            status = os.stat(folder)
            with os.scandir(folder) as listed:
                entries = sorted(listed, key=lambda entry: entry.name)
        except OSError as problem:
            if prefix:
                left_out.add("unreadable folder")
                continue
            raise DataError(
                "data.unreadable_folder",
                f"folder '{escaped(folder)}' cannot be read: {problem.strerror}"
                "\n  check its permissions, or pass another folder",
            ) from problem
        if (status.st_dev, status.st_ino) in seen:
            left_out.add("repeated or circular link")
            continue
        seen.add((status.st_dev, status.st_ino))
        if prefix and any(entry.name in RUN_FILES for entry in entries):
            left_out.add("folder of a run or model", prefix)
            continue
        if prefix and not entries:
            left_out.add(f"empty {prefix.split('/')[-2]} folder" if ending_of(prefix[:-1]) else "empty folder")
        is_hub_cache = {entry.name for entry in entries} >= HUB_CACHE
        for entry in entries:
            try:
                is_folder, is_file = entry.is_dir(), entry.is_file()
            except OSError:  # a link that points to itself, or into a closed folder
                is_folder = is_file = False
            name = printable(os.fsencode(entry.name))
            if noun := rubbish_noun(name, is_folder=is_folder):
                left_out.add(noun)
            elif is_hub_cache and name in HUB_CACHE and name != "snapshots":
                left_out.add(f"{name} folder")
            elif is_folder:
                (links if entry.is_symlink() else waiting).append((f"{prefix}{name}/", entry.path))
            elif is_file:
                yield prefix + name, entry
            else:
                left_out.add(BROKEN_LINK if entry.is_symlink() else "special file")


def belonging(names: Iterable[tuple[str, Any]], left_out: LeftOut) -> list[tuple[str, Any]]:
    """Return (printable name, locator) of the files of an archive, without parts of a name that leave the archive."""
    found: list[tuple[str, Any]] = []
    for name, locator in names:
        parts = [printable(part) for part in name.replace("\\", "/").split("/") if part not in ("", ".", "..")]
        for depth, part in enumerate(parts):
            is_folder = depth < len(parts) - 1
            if noun := rubbish_noun(part, is_folder=is_folder):
                left_out.add(noun, "/".join(parts[: depth + 1]))
                break
        else:
            if parts:
                found.append(("/".join(parts), locator))
    return found


def image_files(path: Path, on_left_out: Callable[[str, str], None] = lambda *_: None) -> list[Path]:
    """Return a file itself, or the image files below a folder, sorted; DataError without any.

    The same files as in training belong to a folder; ``on_left_out`` gets the folder and what is left out of it.
    """
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise DataError(
            "data.path_not_found", f"'{escaped(path)}' does not exist\n  pass image files or folders of them"
        )
    left_out = LeftOut()
    names = [(name, Path(entry.path)) for name, entry in walk_folder(path, left_out)]
    images, _ = images_among(names, _file_starts)
    found = [file for _, file in images]
    taken = {name for name, _ in images}
    for name, _ in names:
        if name not in taken:
            left_out.add(ending_noun(name))
    if not found:
        others = f"; {left_out_line(left_out.counts)}" if left_out.counts else ""
        raise DataError(
            "data.empty",
            f"no images in '{escaped(path)}' and its sub-folders{others}\n  image files end in {', '.join(ENDINGS)}"
            "\n  pass image files, or folders that contain some",
        )
    if left_out.counts:
        on_left_out(escaped(path), left_out_line(left_out.counts).removeprefix("left out: "))
    return sorted(found)


def is_image_file(path: Path) -> bool:
    """Say whether a file is an image or an array, by its ending, or by its first bytes if it has none."""
    return bool(images_among([(path.name, path)], _file_starts)[0])


def is_array_file(path: Path) -> bool:
    """Say whether a file is a .npy, .npz, DICOM or NIfTI file, by its ending, or by its first bytes without one."""
    return images_among([(path.name, path)], _file_starts)[1]


def _file_starts(files: Sequence[Path]) -> Iterator[tuple[int, bytes]]:
    """Yield the position of each file, and its first bytes; no bytes of a file that cannot be read."""
    for position, path in enumerate(files):
        try:
            with open_plain(path) as file:
                yield position, file.read(START_BYTES)
        except OSError:
            yield position, b""
