"""Read files that others may have made: plain files only, JSON and YAML, within limits."""

# Every reader opens files here. A named pipe would block for ever, a device has no end, and a sparse file of a few
# bytes on disk can ask for any amount of memory.

import errno
import hashlib
import json
import math
import os
import re
import stat
from collections import Counter
from collections.abc import Iterator
from io import BufferedReader
from itertools import accumulate
from pathlib import Path
from typing import Any

import yaml

from gansmith.core.file_names import escaped, shown

MAX_JSON_BYTES = 16 * 2**20  # as lists of lists they take 0.5 GB
MAX_YAML_BYTES = 2**18  # as a list of numbers they take 5 s
MAX_TEXT_BYTES = 64 * 2**20
MAX_DEPTH = 100  # of lists and mappings inside each other
MAX_DIGITS = 40  # of a whole number
SPARSE_BYTES, SPARSE_RATIO = 64 * 2**20, 16  # a larger file with fewer than 1 in 16 bytes on disk is refused
MAX_EXTENTS = 4096

_KINDS = (
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)
_STEPS = {"[": 1, "{": 1, "]": -1, "}": -1}
# Everything in a JSON text except brackets; a string without an end goes to the end of the text.
_NO_BRACKETS = re.compile(r'"(?:[^"\\]|\\(?:.|\Z))*+(?:"|\Z)|[^\[\]{}"]++', re.DOTALL)


class UnfitFileError(OSError):
    """A file that is not read: a pipe, a device or a socket, a sparse giant, or a file that is too large."""

    def __init__(self, path: str | Path, reason: str) -> None:
        super().__init__(errno.EINVAL, reason, str(path))

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.filename, self.strerror)

    def __str__(self) -> str:
        return str(self.strerror)  # messages name the file themselves


def open_plain(path: str | Path, limit: int | None = None) -> BufferedReader:
    """Open a plain file for reading; UnfitFileError for any other kind and for more than ``limit`` bytes.

    It never blocks. A file that is almost all hole is refused as well. Raises OSError as ``open`` does.
    """
    refuse_special(path, os.stat(path))  # opening a device can have an effect
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    try:
        found = os.fstat(descriptor)
        refuse_special(path, found)
        if limit is not None and found.st_size > limit:
            raise UnfitFileError(path, f"it has {found.st_size:,} bytes, and at most {limit:,} are read")
        if found.st_size > SPARSE_BYTES and found.st_blocks * 512 * SPARSE_RATIO < found.st_size:
            _refuse_sparse(path, descriptor, found.st_size)
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def refuse_special(path: str | Path, found: os.stat_result) -> None:
    """Raise UnfitFileError for a named pipe, a device and a socket, IsADirectoryError for a folder."""
    if stat.S_ISDIR(found.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    for is_kind, name in _KINDS:
        if is_kind(found.st_mode):
            raise UnfitFileError(path, f"it is {name}, not a plain file")


def _refuse_sparse(path: str | Path, descriptor: int, size: int) -> None:
    """Raise UnfitFileError if the data of a file are few; file systems that do not know holes report all as data."""
    if not hasattr(os, "SEEK_DATA"):
        return
    data = position = 0
    for _ in range(MAX_EXTENTS):
        try:
            start = os.lseek(descriptor, position, os.SEEK_DATA)
        except OSError:  # no more data
            break
        position = os.lseek(descriptor, start, os.SEEK_HOLE)
        data += position - start
    else:
        return
    if data * SPARSE_RATIO < size:
        raise UnfitFileError(path, f"it is a sparse file: {size:,} bytes, of which {data:,} are on disk")
    os.lseek(descriptor, 0, os.SEEK_SET)


def read_bytes(path: str | Path, limit: int | None = None) -> bytes:
    """Return the bytes of a plain file; raises as ``open_plain``, also if the file grows while it is read."""
    with open_plain(path, limit) as file:
        if limit is None:
            return file.read()
        size = os.fstat(file.fileno()).st_size
        data = file.read(size + 1)  # not limit + 1: so much memory would be taken first
        if len(data) > size:
            data += file.read(limit + 1 - len(data))
    if len(data) > limit:
        raise UnfitFileError(path, f"it grows while it is read, and at most {limit:,} bytes are read")
    return data


def read_text(path: str | Path, limit: int = MAX_TEXT_BYTES) -> str:
    """Return the UTF-8 text of a plain file; UnicodeDecodeError for other text, else raises as ``open_plain``."""
    return read_bytes(path, limit).decode("utf-8")


def read_json(path: str | Path, limit: int = MAX_JSON_BYTES) -> Any:
    """Return the value in a JSON file; ValueError if it is not JSON or too deep, OSError as ``open_plain``."""
    return parse_json(read_bytes(path, limit))


def parse_json(text: str | bytes) -> Any:
    """Return the value of a JSON text; ValueError if it is not JSON, nested deeper than MAX_DEPTH, or says two things.

    Numbers must be finite, and whole numbers have at most MAX_DIGITS digits; a name stands once in an object.
    """
    if isinstance(text, bytes):
        text = text.decode(json.detect_encoding(text), "surrogatepass")
    if text.count("[") + text.count("{") > MAX_DEPTH:
        brackets = _NO_BRACKETS.sub("", text)
        deepest = max(accumulate(map(_STEPS.__getitem__, brackets)), default=0)
        if deepest > MAX_DEPTH:
            raise ValueError(f"it is nested {deepest:,} levels deep, and at most {MAX_DEPTH} are read")
    value = _DECODER.decode(text)
    return _printable(value) if _CONTROL.search(text) else value


def _whole(text: str) -> int:
    if len(text) > MAX_DIGITS:
        raise ValueError(f"a number has {len(text):,} digits, and at most {MAX_DIGITS} are read")
    return int(text)


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text[:20]} is no finite number")
    return value


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        seen = Counter(name for name, _ in pairs).most_common(1)[0][0]
        raise ValueError(f"'{escaped(seen[:40])}' stands twice")
    return found


_DECODER = json.JSONDecoder(object_pairs_hook=_once, parse_int=_whole, parse_float=_finite, parse_constant=_finite)


# Control characters and marks that turn the direction of text, also as JSON escapes them; line ends are no harm.
_CONTROL = re.compile(
    r"\\(?:[bf]|u(?:00[0189]|20[26]|d[89a-f]))|[\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]", re.IGNORECASE
)


def _printable(value: Any) -> Any:
    """Return a value whose texts have no control characters but line ends and tabs: they may reach a terminal."""
    if isinstance(value, str):
        return shown(value)
    if isinstance(value, list):
        return [_printable(each) for each in value]
    if isinstance(value, dict):
        return {_printable(name): _printable(each) for name, each in value.items()}
    return value


def parse_yaml(text: str) -> Any:
    """Return the value of a YAML text without anchors; ValueError or yaml.YAMLError if it cannot be read.

    Limits are MAX_YAML_BYTES and MAX_DEPTH; anchors and aliases, with which a short text is a long value, are
    AnchorError.
    """
    size = len(text.encode("utf-8", "surrogatepass"))
    if size > MAX_YAML_BYTES:
        raise ValueError(f"it has {size:,} bytes, and at most {MAX_YAML_BYTES:,} are read")
    depth = 0
    for token in yaml.scan(text):
        if isinstance(token, yaml.AnchorToken | yaml.AliasToken):
            raise AnchorError("YAML anchors and aliases are not allowed\n  repeat the value instead")
        depth += isinstance(token, _OPENING) - isinstance(token, _CLOSING)
        if depth > MAX_DEPTH:
            raise ValueError(f"it is nested more than {MAX_DEPTH} levels deep")
    return yaml.load(text, _Loader)  # noqa: S506  # as safe as the class above it


class _Loader(yaml.SafeLoader):
    """yaml.SafeLoader that refuses names that stand twice and numbers of many digits."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        found = super().construct_mapping(node, deep)
        if len(found) < len(node.value):
            seen = Counter(str(key.value) for key, _ in node.value).most_common(1)[0][0]
            raise ValueError(f"'{escaped(seen[:40])}' stands twice")
        return found

    def construct_yaml_int(self, node: yaml.ScalarNode) -> int:
        return int(super().construct_yaml_int(_of_few_digits(node)))

    def construct_yaml_float(self, node: yaml.ScalarNode) -> float:
        return _finite(str(super().construct_yaml_float(_of_few_digits(node))))


def _of_few_digits(node: yaml.ScalarNode) -> yaml.ScalarNode:
    if len(node.value) > MAX_DIGITS:  # 1:1:1:... is one number of base 60, which takes minutes
        raise ValueError(f"a number has {len(node.value):,} characters, and at most {MAX_DIGITS} are read")
    return node


_Loader.add_constructor("tag:yaml.org,2002:int", _Loader.construct_yaml_int)
_Loader.add_constructor("tag:yaml.org,2002:float", _Loader.construct_yaml_float)


class AnchorError(ValueError):
    """A YAML text with an anchor or an alias."""


_OPENING = (
    yaml.FlowSequenceStartToken,
    yaml.FlowMappingStartToken,
    yaml.BlockSequenceStartToken,
    yaml.BlockMappingStartToken,
)
_CLOSING = (yaml.FlowSequenceEndToken, yaml.FlowMappingEndToken, yaml.BlockEndToken)


def text_lines(path: str | Path, *, line_limit: int = 2**20, limit: int = 2**30) -> Iterator[tuple[int, str]]:
    """Yield (number, text) of the lines of a file, without the end of line; UnfitFileError for a line too long."""
    with open_plain(path, limit) as file:
        for number, line in enumerate(iter(lambda: file.readline(line_limit + 1), b""), 1):
            if len(line) > line_limit:
                raise UnfitFileError(path, f"line {number} has more than {line_limit:,} bytes")
            yield number, line.decode("utf-8", "replace").rstrip("\r\n")


def sha256_of(path: str | Path) -> str:
    """Return the SHA-256 of a plain file in hexadecimal; raises as ``open_plain``."""
    with open_plain(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def refuse_damaged_tensors(path: str | Path) -> dict[str, str]:
    """Return the texts in the header of a safetensors file.

    Raises ValueError if it is not as long as its header says, or the header is none; else as ``open_plain``.
    """
    with open_plain(path) as file:
        size = os.fstat(file.fileno()).st_size
        length = int.from_bytes(file.read(8), "little")
        if size < 8 or length > min(size - 8, MAX_JSON_BYTES):
            raise ValueError("it is not a safetensors file, or it is cut off")
        header = parse_json(file.read(length))
    if not isinstance(header, dict):
        raise ValueError("its header is no JSON object")
    texts = header.pop("__metadata__", {})
    if not isinstance(texts, dict) or not all(isinstance(each, str) for each in texts.values()):
        raise ValueError("its header has other metadata than texts")
    end = 0
    for name, entry in header.items():
        place = entry.get("data_offsets") if isinstance(entry, dict) else None
        if not isinstance(place, list) or len(place) != 2 or not all(type(each) is int and each >= 0 for each in place):
            raise ValueError(f"its header does not say where '{escaped(name[:80])}' is")
        end = max(end, place[1])
    if 8 + length + end != size:
        raise ValueError(f"it has {size:,} bytes, and its header describes {8 + length + end:,}")
    return texts
