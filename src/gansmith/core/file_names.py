"""Names of files and classes as printable text, and back to paths."""

# A file system holds names as bytes. Python shows bytes that its locale does not know as lone surrogates, which no
# encoder writes. Here names become text that is the same under every locale, and that every file format can hold.

import os
import re
import unicodedata
from pathlib import Path

# Control characters, line separators, marks that turn the direction of text, and surrogates.
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_ESCAPED_BYTE = re.compile(rb"\\x([0-9a-f]{2})")


def escaped(name: str | bytes | Path) -> str:
    r"""Return a name as UTF-8 text; bytes that are not UTF-8 and control characters become ``\xf1``.

    ``path_of`` turns the result back into a path.
    """
    raw = name if isinstance(name, bytes) else _bytes_of(str(name))
    text = raw.decode("utf-8", "backslashreplace")
    return _UNPRINTABLE.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def shown(text: str) -> str:
    """Return lines of text without control characters but tabs: they may reach a terminal."""
    return "\n".join("\t".join(map(escaped, line.split("\t"))) for line in text.split("\n"))


def printable(name: str | bytes | Path) -> str:
    """Return a name as ``escaped`` does, in Unicode's composed form (NFC), so that equal names are equal text."""
    if isinstance(name, str) and name.isascii() and name.isprintable():  # millions of rows of a table pass here
        return name
    return unicodedata.normalize("NFC", escaped(name))


def path_of(text: str | Path) -> Path:
    """Return the path that a text names; the text may come from ``escaped``, or from another locale."""
    raw = _bytes_of(str(text))
    path = in_home(os.fsdecode(raw))
    if path.exists():
        return path
    unescaped = in_home(os.fsdecode(_ESCAPED_BYTE.sub(lambda found: bytes([int(found[1], 16)]), raw)))
    return unescaped if unescaped != path and unescaped.exists() else path


def in_home(path: str | Path) -> Path:
    """Return a path with ``~`` replaced by the home folder; unchanged where there is none, or ``~`` begins a name."""
    return Path(os.path.expanduser(path))  # Path.expanduser raises an error there


def can_be_path(text: str) -> bool:
    """Say whether the locale can write a text as the name of a file."""
    try:
        os.fsencode(text)
    except UnicodeEncodeError:
        return False
    return True


def _bytes_of(name: str) -> bytes:
    """Return a name as the bytes on disk: a surrogate from the file system is one byte, other text is UTF-8."""
    try:
        return name.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:  # a surrogate that stands for no byte, as JSON can hold
        return name.encode("utf-8", "backslashreplace")
