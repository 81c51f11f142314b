"""Tables of file names and labels: .csv, .tsv, .jsonl and .json, with a header or without."""

import codecs
import csv
import io
import re
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain, islice
from pathlib import PurePosixPath
from typing import IO, Any
from urllib.parse import unquote

from gansmith.core.errors import DataError, counted
from gansmith.core.file_names import printable
from gansmith.core.plain_files import parse_json
from gansmith.data.base import Listing
from gansmith.data.sources.measurements import are_measurements
from gansmith.data.sources.zip_names import guessed_encoding
from gansmith.imaging.images import image_endings

TABLE_ENDINGS = (".csv", ".tsv", ".jsonl", ".json")
FILE_COLUMNS = ("file", "filename", "file_name", "image", "path")
LABEL_COLUMNS = (
    "label",
    "class",
    "category",
    "labels",
    "target",
    "class_name",
    "label_name",
    "breed",
    "dx",
    "diagnosis",
)
SPLIT_COLUMNS = ("split", "subset", "partition", "fold", "phase", "usage")  # parts of a set, not classes
MOST_PARTS = 10
CAPTION_COLUMNS = ("text", "caption", "captions", "prompt", "description", "title", "alt", "alt_text")
MAX_TABLE_BYTES = 512 * 10**6
LONGEST_ROW = 2**20  # characters
SAMPLED_ROWS, SAMPLED_CELLS = 1000, 10**6  # from which the columns are told, whichever is reached first
LONGEST_LABEL = 200  # characters; a longer text is no class
MISSING = frozenset({"nan", "<na>", "#n/a", "null", "\\n"})  # what programs write for a label that is not there
PREFACE_ROWS = 20  # from which the separator of a table is told, and before which its header begins
# The first bytes of files that are no text, and what they are.
NO_TEXTS = (
    (b"PK\3\4", "an Excel file or an archive"), (b"\xd0\xcf\x11\xe0", "an Excel file"),
    (b"\x1f\x8b", "packed with gzip"),
    (b"PAR1", "a Parquet file"), (b"SQLite", "a database of SQLite"), (b"BZh", "packed with bzip2"),
    (b"\x89PNG", "an image"), (b"\xff\xd8\xff", "an image"), (b"GIF8", "an image"), (b"%PDF", "a PDF"),
    (b"\x93NUMPY", "an array of NumPy"), (b"MATLAB", "a file of MATLAB"),
    (b"\x89HDF", "an HDF5 file"), (b"\x80\x04", "a pickle"),
)  # fmt: skip
UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")
ONE_HOT = -1  # the position of labels that have a column each
MOST_JSON_BYTES = 64 * 10**6
START_BYTES = 1 << 18  # from which the encoding is told
MENDED_BY_HAND = ("data.unreadable_table", "data.two_labels", "data.ambiguous_file_name", "data.table_too_large")
FEW_LABELS = 20  # so many different labels are classes, however few images there are


@dataclass(frozen=True)
class LabelTable:
    """A table that may label images."""

    where: str  # its name in messages
    open: Callable[[], IO[bytes]]
    columns: tuple[str, str] | None = None  # names of the columns of files and of labels, if the user named them
    is_asked: bool = True  # False: a table that names no image is left alone

    @property
    def name(self) -> str:
        """Return the name of the file."""
        return PurePosixPath(self.where).name


def label_by_table(listing: Listing, table: LabelTable, remarks: list[str]) -> Listing | None:
    """Return the images that a table names, with the table's labels.

    Labels that look like measurements, names or captions are no classes, unless the user named the column. None, with
    a remark, for a table that is not asked for and is unclear or names none of the images. Raises DataError for any
    other table that cannot be read, is unclear, or names none of the images.
    """
    try:
        return _by_table(listing, table)
    except DataError as problem:
        if table.is_asked:
            raise
        reason = {"data.table_names_no_image": "it names none of the images"}.get(problem.code)
        told, _, remedy = str(problem).removeprefix(f"'{table.where}' ").partition("\n")
        if problem.code not in MENDED_BY_HAND:
            remedy = f"--labels '{table.where}:FILECOLUMN:LABELCOLUMN' reads it"
        advice = "" if reason else f"; {' '.join(remedy.split())}"
        remarks.append(f"'{table.where}' is not used: {reason or told}{advice}")
        return None


def _by_table(listing: Listing, table: LabelTable) -> Listing:
    names = _Names(listing)
    encoding, is_guess = _encoding_of(table)
    rows = _rows(table, encoding)
    sample = list(_sampled(rows))
    has_header, file, label = _columns(sample, names, table)
    if label == ONE_HOT:
        head, label = sample[0], len(sample[0])
        sample, rows = [head], _with_the_one(chain(sample[1:], rows), head, file)
    first = next((row[file] for row in sample[has_header:] if len(row) > file and row[file]), "")
    labels: dict[int, str] = {}
    unmatched, without, parts = 0, set[int](), Counter[str]()
    split = next((at for at, name in enumerate(sample[0]) if name.lower() in SPLIT_COLUMNS), -1) if has_header else -1
    for row in chain(sample[has_header:], rows):
        if len(row) <= file or not row[file]:
            continue
        position = names.find(row[file], table.where)
        if position is None:
            unmatched += 1
            continue
        if len(row) <= label or not row[label] or row[label].lower() in MISSING:
            without.add(position)
            continue
        if 0 <= split < len(row):
            parts[_cut(row[split])] += 1
        text = sys.intern(printable(row[label]))
        if labels.setdefault(position, text) != text:
            raise DataError(
                "data.two_labels",
                f"'{table.where}' gives '{row[file]}' two labels: {_cut(labels[position])} and {_cut(text)}"
                "\n  keep one row for each image",
            )
    without -= labels.keys()
    title = sample[0][label] if has_header and label < len(sample[0]) else ""
    if not labels and without:
        raise DataError(
            "data.table_without_labels",
            f"'{table.where}' has no label for the {len(without):,} images that it names: column"
            f" '{_cut(title or str(label + 1))}' is empty"
            f"\n  name the column: --labels '{table.where}:FILECOLUMN:LABELCOLUMN'",
        )
    if not labels:
        named = f"its first row names '{_cut(first)}'" if first else "it has no rows"
        raise DataError(
            "data.table_names_no_image",
            f"'{table.where}' names none of the {len(listing.items):,} images: {named}, the first image is"
            f" '{listing.items[0].name}'\n  write file names as they are in the folder, rename the table, or pass"
            " --labels FILE:FILECOLUMN:LABELCOLUMN",
        )
    reason = ""
    if table.columns is None:
        reason = (
            f"captions in column '{title}'" if title.lower() in CAPTION_COLUMNS else no_classes(list(labels.values()))
        )
    if reason:
        command = f"--labels '{table.where}:FILECOLUMN:LABELCOLUMN'"
        return replace(listing, notes=(f"no labels: '{table.where}' has {reason}; {command} takes them as classes",))
    notes = [f"{counted(unmatched, 'row')} of {table.name} without an image"] if unmatched else []
    if is_guess:
        notes.append(f"{table.name} is read as {encoding}, a guess, because it is not UTF-8")
    if 1 < len(parts) <= MOST_PARTS and split != label:
        told = ", ".join(f"{part} {count:,}" for part, count in parts.most_common())
        notes.append(f"column '{sample[0][split]}' of {table.name} is not used, so all parts are trained on: {told}")
    if alike := spelled_alike(labels.values()):
        notes.append(f"classes that differ only in letters or spaces: {alike}")
    missing = f"no row in {table.name}" if not without else f"no label in {table.name}"
    found = with_labels(listing, labels, table.where, missing)
    return replace(found, notes=(*found.notes, *notes))


def spelled_alike(labels: Iterable[str]) -> str:
    """Return labels that are one but for capitals and spaces, such as "Cat, cat"; "" if there are none."""
    spelled: dict[str, set[str]] = defaultdict(set)
    for label in set(labels):
        spelled[re.sub(r"[\s_-]+", " ", label).casefold()].add(label)
    groups = sorted(sorted(group) for group in spelled.values() if len(group) > 1)
    return "; ".join(", ".join(map(_cut, group)) for group in groups[:4])


def with_labels(listing: Listing, labels: Mapping[int, str], where: str, reason: str) -> Listing:
    """Return the images that have a label, {position: label}; ``reason`` says why others have none."""
    classes = tuple(sorted(set(labels.values()), key=lambda label: (natural(label), label)))
    number = {name: index for index, name in enumerate(classes)}
    items = tuple(replace(item, label=number[labels[at]]) for at, item in enumerate(listing.items) if at in labels)
    missing = len(listing.items) - len(items)
    notes = [f"{counted(missing, 'image')} left out: {reason}"] if missing else []
    return replace(listing, items=items, classes=classes, notes=(f"labels: {where}", *notes))


def no_classes(labels: Sequence[str]) -> str:
    """Return why the labels of images are no classes: "198 different numbers .."; "" if they may be classes."""
    values, count = sorted(set(labels)), len(labels)
    if any(len(value) > LONGEST_LABEL for value in values):
        return f"texts of up to {max(map(len, values)):,} characters, which look like captions"
    if len(values) <= FEW_LABELS:
        return ""
    numbers = [number for value in values if (number := _number(value)) is not None]
    if len(numbers) == len(values):
        low, high = min(numbers), max(numbers)
        is_dense = all(number.is_integer() for number in numbers) and high - low < 1.5 * len(values)
        if not is_dense or count < 2 * len(values):
            return (
                f"{len(values):,} different numbers from {low:g} to {high:g} for {count:,} images, which look like"
                " measurements"
            )
    elif are_measurements(values):
        return f"{len(values):,} different measurements, such as {_cut(values[0])} and {_cut(values[-1])}"
    if len(values) > count / 2:
        return f"{len(values):,} different labels for {count:,} images, which look like names or captions"
    return ""


def natural(label: str) -> tuple[tuple[int, int, str], ...]:
    """Return a sort key that puts 2 before 10; a run of digits may have any length."""
    parts = [part for part in re.split(r"(\d+)", label) if part]
    return tuple((1, len(part.lstrip("0")), part.lstrip("0")) if part.isdecimal() else (0, 0, part) for part in parts)


def _number(text: str) -> float | None:
    """Return a text as a finite number; None for other texts."""
    if not re.fullmatch(r"[+-]?(\d+[.,]?\d*|[.,]\d+)([eE][+-]?\d+)?", text[:40]):
        return None
    return float(text[:40].replace(",", "."))


def _cut(text: str, most: int = 60) -> str:
    text = printable(text)
    return text if len(text) <= most else text[:most] + "..."


class _Names:
    """The positions of images by every tail of their path, with and without the ending."""

    def __init__(self, listing: Listing) -> None:
        self._endings = image_endings()
        self._found: dict[str, list[int]] = defaultdict(list)
        self._folded: dict[str, list[int]] | None = None  # made when a name is not found as written
        for at, item in enumerate(listing.items):
            for tail in _tails(item.name):
                self._found[tail].append(at)
                self._found[str(PurePosixPath(tail).with_suffix(""))].append(at)

    def has(self, file: str) -> bool:
        """Say whether a text names an image."""
        tails = _tails(printable(file))
        is_known = any(tail in self._found for tail in tails) or self._other(tails) is not None
        return is_known or ((decoded := unquote(file)) != file and self.has(decoded))

    def find(self, file: str, where: str) -> int | None:
        """Return the position of the image that the longest matching tail of a path names; None without one."""
        tails = _tails(printable(file))
        for tail in tails:
            at = self._found.get(tail)
            if at is not None and len(set(at)) > 1:
                raise DataError(
                    "data.ambiguous_file_name",
                    f"'{file}' in '{where}' matches {len(set(at))} images\n  add its folder: folder/{tail}",
                )
            if at is not None:
                return at[0]
        other = self._other(tails)
        return self.find(decoded, where) if other is None and (decoded := unquote(file)) != file else other

    def _other(self, tails: Sequence[str]) -> int | None:
        """Return the one image with a name in other letters (a, A), another ending, or other zeros before a number."""
        if self._folded is None:
            self._folded = defaultdict(list)
            for name, at in self._found.items():
                self._folded[_folded(name)] += at
        for tail in tails:
            stem, dot, ending = tail.rpartition(".")
            stems = [stem] if dot and "." + ending.lower() in self._endings else []
            for name in (tail, *stems):
                folded = self._folded.get(_folded(name))
                if folded is not None and len(set(folded)) == 1:
                    return folded[0]
        return None


def _folded(name: str) -> str:
    """Return a name in small letters; a number without the zeros before it."""
    return name.lstrip("0") or "0" if name.isdecimal() else name.casefold()


def _tails(name: str) -> list[str]:
    """Return the tails of a path, longest first: a/b/c.png, b/c.png, c.png."""
    if "://" in name:
        name = re.split(r"[?#]", name, maxsplit=1)[0]
    if "/" not in name and "\\" not in name:
        return [name]
    parts = [part for part in re.split(r"/|\\(?!x[0-9a-f]{2})", name) if part not in ("", ".", "..")]
    return ["/".join(parts[start:]) for start in range(len(parts))]


def _columns(sample: list[list[str]], names: _Names, table: LabelTable) -> tuple[int, int, int]:
    """Return whether there is a header (0 or 1), and the positions of the columns of files and labels.

    The column of files is the one that names most images. The column of labels has a usual name, or is the only other
    one whose values repeat.
    """
    if not sample:
        return 0, 0, 1
    head = [cell.lower() for cell in sample[0]]
    if table.columns is not None:
        file_column, label_column = table.columns
        at = (_named_column(sample[0], name, table.where) for name in (file_column, label_column))
        return 1, next(at), next(at)
    width = max(map(len, sample))
    if width == 1 and not table.where.endswith(".json"):
        raise DataError(
            "data.table_columns",
            f"'{table.where}' has one column: {_cut(sample[0][0], 24)}, ..."
            "\n  a table of labels needs a column of file names and a column of labels, with a comma or tab between",
        )
    # Numbers of classes may be names of images too: the different ones are counted.
    hits = [len({row[at] for row in sample if len(row) > at and names.has(row[at])}) for at in range(width)]
    usual = [at for at, name in enumerate(head) if name in FILE_COLUMNS]
    if max(hits):
        file = hits.index(max(hits))
        has_header = not names.has(sample[0][file]) if len(sample[0]) > file else True
    else:
        file = usual[0] if usual else 0
        has_header = bool(usual) or any(name in LABEL_COLUMNS for name in head)
    others = [at for at in range(width) if at != file]
    labels = [at for at in others if at < len(head) and head[at] in LABEL_COLUMNS] if has_header else []
    if len(labels) == 1:
        return int(has_header), file, labels[0]
    if len(others) == 1 and (has_header or max(hits)):
        return int(has_header), file, others[0]
    rows = sample[has_header:]
    if not labels and not has_header and others:
        return 0, file, others[0]  # without a header: the first column beside the files
    if not labels and has_header and _are_one_hot(rows, others):
        return 1, file, ONE_HOT
    repeated = [at for at in labels or others if _repeats([row[at] for row in rows if len(row) > at])]
    if not labels and len(repeated) == 1:
        return int(has_header), file, repeated[0]
    shown = ", ".join(_cut(cell, 24) for cell in sample[0][:8])
    raise DataError(
        "data.table_columns",
        f"cannot tell which column of '{table.where}' holds the labels: {shown}"
        f"\n  name the columns: --labels '{table.where}:FILECOLUMN:LABELCOLUMN'",
    )


def _are_one_hot(rows: list[list[str]], columns: Sequence[int]) -> bool:
    """Say whether columns are one for each class: 0 or 1, and a single 1 in each row."""
    values = [[_number(row[at]) if at < len(row) else None for at in columns] for row in rows]
    is_single = all({*row} == {0.0, 1.0} and row.count(1.0) == 1 for row in values)
    return len(columns) > 1 and bool(rows) and is_single


def _with_the_one(rows: Iterator[list[str]], head: Sequence[str], file: int) -> Iterator[list[str]]:
    """Yield rows with the name of the column that has the 1 at their end; an empty text where there is none."""
    for row in rows:
        ones = [at for at, cell in enumerate(row[: len(head)]) if at != file and _number(cell) == 1]
        yield [*row[: len(head)], *[""] * (len(head) - len(row)), head[ones[0]] if len(ones) == 1 else ""]


def _repeats(values: Sequence[str]) -> bool:
    """Say whether the values of a column may be classes: they repeat."""
    filled = [value for value in values if value]
    return bool(filled) and not no_classes(filled) and (len(filled) < 4 or len(set(filled)) <= len(filled) / 2)


def _named_column(head: Sequence[str], name: str, where: str) -> int:
    """Return the position of a column by its name, or by its number from 1; DataError for another."""
    found = [at for at, cell in enumerate(head) if cell.lower() == name.lower()]
    if len(found) == 1:
        return found[0]
    if name.isdecimal() and 0 < int(name[:6]) <= len(head):
        return int(name) - 1
    raise DataError(
        "data.unknown_column",
        f"'{where}' has no column '{name}'\n  its columns: {', '.join(_cut(cell, 24) for cell in head[:12])}",
    )


def _rows(table: LabelTable, encoding: str) -> Iterator[list[str]]:
    """Yield the rows of a table, stripped, without empty ones; DataError for a file that is no table."""
    try:
        with table.open() as file:
            text = _as_text(file, table.where, encoding)
            name = table.name.lower()
            read = _json_rows if name.endswith(".jsonl") else _json_file_rows if name.endswith(".json") else _csv_rows
            for number, row in enumerate(read(text), 1):
                if any("\0" in cell for cell in row):
                    raise _unreadable(table.where, f"row {number:,} has NUL bytes")
                if any(row):
                    yield row
    except DataError:
        raise
    except (csv.Error, ValueError, OSError) as problem:  # ValueError: text that is not UTF-8, or no JSON
        raise _unreadable(table.where, str(problem)) from problem


def _sampled(rows: Iterator[list[str]]) -> Iterator[list[str]]:
    cells = characters = 0
    for row in islice(rows, SAMPLED_ROWS):
        yield row
        cells += len(row)
        characters += sum(map(len, row))
        if cells > SAMPLED_CELLS or characters > 16 * LONGEST_ROW:
            return


def _unreadable(where: str, reason: str) -> DataError:
    return DataError("data.unreadable_table", f"'{where}' cannot be read: {reason}\n  save it as CSV in UTF-8")


def _encoding_of(table: LabelTable) -> tuple[str, bool]:
    """Return the encoding of a table, and whether it is a guess: UTF-8, UTF-16, or a code page."""
    try:
        with table.open() as file:
            start = file.read(START_BYTES)
    except OSError as problem:
        raise _unreadable(table.where, str(problem)) from problem
    if kind := next((kind for first, kind in NO_TEXTS if start.startswith(first)), ""):
        raise _unreadable(table.where, f"it is {kind}")
    if start[:2] in UTF16_MARKS:
        return "utf-16", False
    even, odd = start[:1000:2].count(0), start[1:1000:2].count(0)
    if max(even, odd) > len(start[:1000]) / 4 and min(even, odd) * 10 < max(even, odd):  # no mark, but Latin letters
        return "utf-16-le" if odd > even else "utf-16-be", False
    try:
        codecs.getincrementaldecoder("utf-8")().decode(start)
    except UnicodeDecodeError:
        guess = guessed_encoding(start[: start.rfind(b"\n") + 1] or start)
        return (guess, True) if guess else ("utf-8-sig", False)
    return "utf-8-sig", False


def _as_text(file: IO[bytes], where: str, encoding: str) -> io.TextIOWrapper:
    """Return a file as text; DataError if it is too large."""
    if file.seekable():
        size = file.seek(0, io.SEEK_END)
        file.seek(0)
        if size > MAX_TABLE_BYTES:
            raise DataError(
                "data.table_too_large",
                f"'{where}' has {size / 10**6:,.0f} MB, over the limit of {MAX_TABLE_BYTES // 10**6} MB for a table"
                "\n  keep only the rows and columns of these images",
            )
    return io.TextIOWrapper(file, encoding, newline="")


def _csv_rows(text: io.TextIOWrapper) -> Iterator[list[str]]:
    left = LONGEST_ROW
    first = list(islice(iter(partial(text.readline, LONGEST_ROW), ""), PREFACE_ROWS))
    delimiter = max(",;\t|", key=lambda each: sum(line.count(each) for line in first))

    def lines() -> Iterator[str]:
        nonlocal left
        for line in chain(first, iter(partial(text.readline, LONGEST_ROW), "")):
            left -= len(line)
            if left < 0 or len(line) == LONGEST_ROW:
                raise csv.Error(f"a row has more than {LONGEST_ROW:,} characters")
            yield line

    def rows() -> Iterator[list[str]]:
        nonlocal left
        has_spaces = all(delimiter not in line for line in first) and any(len(line.split()) > 1 for line in first)
        parted = map(_parted_at_spaces(), lines()) if has_spaces else csv.reader(lines(), delimiter=delimiter)
        for row in parted:
            left = LONGEST_ROW
            yield [cell.strip() for cell in row]

    yield from _without_preface(rows())


def _parted_at_spaces() -> Callable[[str], list[str]]:
    """Return a function that parts lines at spaces; the name of an image at the start of a line may have some."""
    endings = "|".join(re.escape(ending) for ending in image_endings())
    name = re.compile(rf"\s*(\"?)(\S.*?(?:{endings}))\1\s+(?=\S)", re.IGNORECASE)

    def parted(line: str) -> list[str]:
        found = name.match(line)
        return [found[2], *line[found.end() :].split()] if found else line.split()

    return parted


def _without_preface(rows: Iterator[list[str]]) -> Iterator[list[str]]:
    """Yield rows without remarks before the first; a header that names all columns but the first begins with "".

    CelebA's lists begin with a number of images; its header and R's have no name for the column of files.
    """
    head = list(islice(rows, PREFACE_ROWS))
    ((width, _),) = Counter(len(row) for row in head if any(row)).most_common(1) or [(0, 0)]
    while len(head) > 1 and sum(map(bool, head[0])) < min(2, width):
        head.pop(0)
    while len(head) > 1 and head[0][:1] and head[0][0].startswith("#") and len(head[0]) != width:
        head.pop(0)
    rest = head[1:]
    if rest and len(head[0]) == width - 1 and all(len(row) == width and row[-1] for row in rest):
        head[0] = ["", *head[0]]
    yield from chain(head, rows)


def _json_file_rows(text: io.TextIOWrapper) -> Iterator[list[str]]:
    """Yield the rows of a JSON file: {file: label, ...}, or a list of objects or of [file, label]."""
    content = text.read(MOST_JSON_BYTES + 1)
    value = parse_json(content) if len(content) <= MOST_JSON_BYTES else None
    if isinstance(value, dict) and value and not any(isinstance(each, list | dict) for each in value.values()):
        yield from ([str(name), _cell(label)] for name, label in value.items())
    elif isinstance(value, list) and value and all(isinstance(each, dict) for each in value):
        keys = list(dict.fromkeys(key for each in value for key in each))
        yield keys
        yield from ([_cell(each.get(key)) for key in keys] for each in value)
    elif isinstance(value, list) and value and all(isinstance(each, list) for each in value):
        yield from ([_cell(cell) for cell in each] for each in value)
    elif isinstance(value, dict) and {"images", "annotations"} <= value.keys():
        raise csv.Error("it has annotations of COCO, several for each image: write a list of files and classes")
    else:
        raise csv.Error(f"it is no list of files and labels, or has more than {MOST_JSON_BYTES // 10**6} MB")


def _json_rows(text: io.TextIOWrapper) -> Iterator[list[str]]:
    """Yield the names of the fields, then the values of every line."""
    values = _json_lines(text)
    first = list(islice(values, SAMPLED_ROWS))  # a field may be missing in the first lines
    keys = list(dict.fromkeys(str(key) for value in first for key in value))
    if first:
        yield keys
    yield from ([_cell(value.get(key)) for key in keys] for value in chain(first, values))


def _json_lines(text: io.TextIOWrapper) -> Iterator[dict[Any, Any]]:
    number = 0
    while line := text.readline(LONGEST_ROW):
        number += 1
        if not line.strip():
            continue
        try:
            value = parse_json(line)
        except ValueError as problem:
            raise csv.Error(f"line {number:,} is no JSON: {_cut(line.strip(), 24)}") from problem
        if not isinstance(value, dict):
            raise csv.Error("a line is no JSON object")
        yield value


def _cell(value: Any) -> str:
    """Return a value of JSON as the cell of a table, also of a list of one; "" for other lists and objects."""
    if isinstance(value, list) and len(value) == 1 and not isinstance(value[0], list | dict):
        value = value[0]
    return "" if value is None or isinstance(value, list | dict) else str(value).strip()
