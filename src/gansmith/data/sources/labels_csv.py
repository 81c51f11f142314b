"""labels.csv, a table of file names and labels; its labels replace those of sub-folders."""

import csv
import io
import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import PurePosixPath

from gansmith.core.errors import DataError, counted
from gansmith.data.base import Listing
from gansmith.data.sources.folder_labels import parts_of

TABLE = "labels.csv"
FILE_COLUMNS = ("file", "filename", "file_name", "image", "path")
LABEL_COLUMNS = ("label", "class", "category")


def find_table(names: Sequence[str], where: str) -> str | None:
    """Return the name of the labels.csv nearest to the top, or None; DataError for two at the same depth."""
    tables = [name for name in names if (parts := parts_of(name)) and parts[-1].lower() == TABLE]
    depth = min((len(parts_of(name)) for name in tables), default=0)
    highest = [name for name in tables if len(parts_of(name)) == depth]
    if len(highest) > 1:
        raise DataError(
            "data.several_tables",
            f"'{where}' has {len(highest)} label tables: {', '.join(sorted(highest)[:4])}"
            "\n  pass one of the folders, or put one table at the top",
        )
    return highest[0] if highest else None


def label_by_table(listing: Listing, content: bytes, where: str) -> Listing:
    """Return the images that a table names, with the table's labels; DataError if it names none of them."""
    found = _positions(listing)
    labels: dict[int, str] = {}
    rows, unmatched = _rows(content, where), 0
    for file, label in rows:
        position = _look_up(found, file, where)
        if position is None:
            unmatched += 1
        elif labels.setdefault(position, label) != label:
            raise DataError(
                "data.two_labels",
                f"'{where}' gives '{file}' two labels: {labels[position]} and {label}\n  keep one row for each image",
            )
    if not labels:
        first = f"its first row names '{rows[0][0]}'" if rows else "it has no rows"
        raise DataError(
            "data.table_names_no_image",
            f"'{where}' names none of the {len(listing.items):,} images: {first}, the first image is"
            f" '{listing.items[0].name}'\n  write file names as they are in the folder, or rename the table",
        )
    classes = tuple(sorted(set(labels.values()), key=_natural))
    number = {name: index for index, name in enumerate(classes)}
    items = tuple(replace(item, label=number[labels[at]]) for at, item in enumerate(listing.items) if at in labels)
    notes = [f"labels: {where}" + (", not the sub-folders" if listing.classes else "")]
    if len(items) < len(listing.items):
        notes.append(f"{counted(len(listing.items) - len(items), 'image')} left out: no row in {TABLE}")
    if unmatched:
        notes.append(f"{unmatched:,} rows of {TABLE} name a file that is not there")
    return Listing(items, classes, listing.ignored, tuple(notes))


def _rows(content: bytes, where: str) -> list[tuple[str, str]]:
    """Return (file, label) of every row that has both; DataError for a file that is not CSV in UTF-8."""
    try:
        text = content.decode("utf-8-sig")
        delimiter = max(",;\t", key=text.partition("\n")[0].count)
        table = [
            [cell.strip() for cell in row] for row in csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
        ]
    except (UnicodeDecodeError, csv.Error) as problem:
        raise DataError(
            "data.unreadable_table", f"'{where}' cannot be read: {problem}\n  save it as CSV in UTF-8"
        ) from problem
    table = [row for row in table if any(row)]
    file, label = _columns(table[0], where) if table else (0, 1)
    head = bool(table) and _named(table[0])
    width = max(file, label)
    return [(row[file], row[label]) for row in table[head:] if len(row) > width and row[file] and row[label]]


def _named(row: Sequence[str]) -> bool:
    """Say whether a row is a header: it has the usual name of a column."""
    return any(cell.lower() in (*FILE_COLUMNS, *LABEL_COLUMNS) for cell in row)


def _columns(row: Sequence[str], where: str) -> tuple[int, int]:
    """Return the positions of the file and label columns: by the header's names, without a header the first two."""
    names = [cell.lower() for cell in row]
    if not _named(row) and len(row) > 1:
        return 0, 1
    files = [at for at, name in enumerate(names) if name in FILE_COLUMNS]
    labels = [at for at, name in enumerate(names) if name in LABEL_COLUMNS]
    if len(row) == 2 and len(files) + len(labels) == 1:  # the other column may have any name
        return (files[0], 1 - files[0]) if files else (1 - labels[0], labels[0])
    if len(files) != 1 or len(labels) != 1:
        raise DataError(
            "data.table_columns",
            f"cannot tell which columns of '{where}' hold files and labels: {', '.join(row[:8])}"
            f"\n  rename one column to {' or '.join(FILE_COLUMNS)}, and another to {' or '.join(LABEL_COLUMNS)}",
        )
    return files[0], labels[0]


def _positions(listing: Listing) -> dict[str, list[int]]:
    """Return the positions of images by every tail of their path, with and without the extension."""
    found: dict[str, list[int]] = defaultdict(list)
    for at, item in enumerate(listing.items):
        for tail in _tails(item.name):
            found[tail].append(at)
            found[str(PurePosixPath(tail).with_suffix(""))].append(at)
    return found


def _tails(name: str) -> list[str]:
    """Return the tails of a path, longest first: a/b/c.png, b/c.png, c.png."""
    parts = parts_of(name)
    return ["/".join(parts[start:]) for start in range(len(parts))]


def _look_up(found: dict[str, list[int]], file: str, where: str) -> int | None:
    """Return the position of the image that the longest matching tail of a path names; None without one."""
    for tail in _tails(file):
        if len(found.get(tail, ())) > 1:
            raise DataError(
                "data.ambiguous_file_name",
                f"'{file}' in '{where}' matches {len(found[tail])} images\n  add its folder: folder/{tail}",
            )
        if tail in found:
            return found[tail][0]
    return None


def _natural(label: str) -> tuple[tuple[int, int, str], ...]:
    """Return a sort key that puts 2 before 10."""
    return tuple((1, int(part), "") if part.isdecimal() else (0, 0, part) for part in re.split(r"(\d+)", label) if part)
