"""Names in .zip files, and tables, that are not UTF-8: which code page they were written in."""

# A .zip marks names in UTF-8; other names are bytes of the code page of the machine that packed them. Python reads them
# as code page 437, so that no byte is lost.

import re
import struct
import unicodedata
import zipfile
from collections.abc import Sequence
from zlib import crc32

UTF8_FLAG, UNICODE_PATH = 0x800, 0x7075
# Code pages of Asia with the bytes of their most used characters: first bytes of two, in the order of the guess.
CODE_PAGES = (
    ("gbk", ((0xB0, 0xD7),), 0xA1),
    ("cp932", ((0x82, 0x83), (0x88, 0x97)), 0x40),
    ("big5", ((0xA4, 0xC6),), 0x40),
    ("cp949", ((0xB0, 0xC8),), 0xA1),
)
FEWEST_KOREAN = 5  # different characters: half of those of Chinese texts lie outside the range of Korean ones
CYRILLIC = ("cp866", "cp1251")
MOST_SAMPLED = 2000  # names from which the code page is guessed
COMMON_SHARE = 0.8  # of the characters, for a guess


def decoded_names(members: Sequence[zipfile.ZipInfo], asked: str | None) -> tuple[list[str], str]:
    """Return the names of members, and a note on the code page if one was guessed."""
    told = [_unicode_path(member) for member in members]
    raw = [
        b"" if name or member.flag_bits & UTF8_FLAG else _bytes_of(member)
        for member, name in zip(members, told, strict=True)
    ]
    unmarked = [name for name in raw if not name.isascii()]
    if not unmarked:
        return [name or member.filename for member, name in zip(members, told, strict=True)], ""
    encoding = asked or _guess(unmarked[:MOST_SAMPLED])
    names = [
        (known or member.filename) if name.isascii() else name.decode(encoding, "backslashreplace")
        for member, name, known in zip(members, raw, told, strict=True)
    ]
    if asked or encoding == "utf-8":
        return names, ""
    first = next(name for name, packed in zip(names, raw, strict=True) if not packed.isascii())
    return names, f"names in the archive are read as {encoding}, a guess ('{first}'); --zip-encoding sets another"


def _unicode_path(member: zipfile.ZipInfo) -> str:
    """Return the name in UTF-8 that Info-ZIP and others write beside the name in a code page; "" without one."""
    at, extra = 0, member.extra
    while at + 4 <= len(extra):
        kind, size = struct.unpack_from("<HH", extra, at)
        field = extra[at + 4 : at + 4 + size]
        # The sum tells whether the name in the code page was changed since.
        if kind == UNICODE_PATH and field[:1] == b"\1" and field[1:5] == struct.pack("<L", crc32(_bytes_of(member))):
            return field[5:].decode("utf-8", "backslashreplace")
        at += 4 + size
    return ""


def _bytes_of(member: zipfile.ZipInfo) -> bytes:
    """Return a name as it was packed; empty if Python has not read it as code page 437."""
    try:
        return member.orig_filename.encode("cp437")
    except UnicodeEncodeError:
        return b""


def _guess(names: Sequence[bytes]) -> str:
    """Return UTF-8 if all names are, else the code page whose most used characters they have, else cp437."""
    return guessed_encoding(b"\n".join(names)) or "cp437"


def guessed_encoding(text: bytes) -> str:
    """Return the encoding of a text, "" if no guess is likely: UTF-8, or the code page whose characters it has."""
    if _decodes(text, "utf-8"):
        return "utf-8"
    fitting = [
        encoding
        for encoding, common, least_second in CODE_PAGES
        if _decodes(text, encoding) and _common_share(text, common, least_second) >= COMMON_SHARE
    ]
    if (
        fitting[:1] == ["gbk"]
        and "cp949" in fitting
        and len({*filter(_is_wide, text.decode("cp949"))}) >= FEWEST_KOREAN
    ):
        return "cp949"
    if fitting:
        return fitting[0]
    for encoding in CYRILLIC:
        words = re.findall("[^\x00-\x7f]+", text.decode(encoding, "replace"))
        if re.fullmatch("[\u0400-\u04ff]+", "".join(words)) and sum(map(len, words)) >= 3 * len(words):
            return encoding
    return "cp1252" if _is_all_letters(text, "cp1252") and not _is_all_letters(text, "cp437") else ""


def _is_all_letters(text: bytes, encoding: str) -> bool:
    """Say whether the characters beyond ASCII are plain letters."""
    return all(
        letter.isascii() or unicodedata.category(letter) in ("Lu", "Ll", "Lo")
        for letter in text.decode(encoding, "replace")
    )


def _is_wide(letter: str) -> bool:
    return not letter.isascii()


def _decodes(text: bytes, encoding: str) -> bool:
    try:
        text.decode(encoding)
    except UnicodeDecodeError:
        return False
    return True


def _common_share(text: bytes, common: Sequence[tuple[int, int]], least_second: int) -> float:
    """Return the share of two-byte characters that are among the most used ones."""
    at = total = hits = 0
    while at < len(text):
        if text[at] < 0x80 or at + 1 == len(text):
            at += 1
            continue
        total += 1
        hits += text[at + 1] >= least_second and any(low <= text[at] <= high for low, high in common)
        at += 2
    return hits / total if total else 0.0
