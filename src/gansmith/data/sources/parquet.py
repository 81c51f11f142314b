""".parquet files with a column of encoded images, on a disk or in object storage."""

import json
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import PurePosixPath
from typing import Any

from gansmith.core.errors import DataError, counted, reason_of, some_of, why_not
from gansmith.core.file_names import escaped, printable
from gansmith.data.base import Item, Listing, Payload
from gansmith.data.sources.folders_archives import given
from gansmith.data.sources.hub import LABEL_COLUMNS
from gansmith.data.sources.label_tables import no_classes
from gansmith.data.sources.stored_file import StoredFile
from gansmith.imaging.images import ImageError

PARQUET_SUFFIX = ".parquet"
IMAGE_COLUMNS = ("image", "img", "images", "jpg", "jpeg", "png", "webp")  # the first of these; else the only one
ROWS_AT_ONCE = 64
MOST_NAMED = 5  # classes, in an error


class ParquetSource:
    """The rows of files, one file after the other; classes are the values of a column like "label"."""

    items_per_job = 1  # rows that are read ahead lie in memory

    def __init__(self, files: Sequence[StoredFile], location: str, notes: Sequence[str] = ()) -> None:
        self._files, self.location, self._notes = files, location, notes
        self.name = printable(PurePosixPath(files[0].location).parent.name) or "images"

    def stamp(self) -> str:
        """Return sizes and times of the files."""
        return " ".join(file.stamp() for file in self._files)

    def scan(self) -> Listing:
        """List the rows with their labels; DataError without a column of images."""
        items, values, names, unused = list[Item](), list[Any](), list[str](), dict[str, None]()
        for number, file in enumerate(self._files):
            with self._opened(file) as table:
                column = _label_column(table.schema_arrow)
                found = [None] * table.metadata.num_rows
                image = self._image_column(table.schema_arrow, file)
                if column:
                    found = table.read(columns=[column]).column(0).to_pylist()
                    own = _class_names(table.schema_arrow, column)
                    if names and own and own != names:
                        raise _other_names(file, names, own)
                    names = names or own
                else:
                    unused.update(dict.fromkeys(name for name in table.schema_arrow.names if name != image))
            stem, digits = printable(PurePosixPath(file.location).stem), len(str(len(found)))
            items += [Item(f"{stem}/{row:0{digits}d}", -1, (number, row)) for row in range(len(found))]
            values += found
        if not items:
            raise DataError("data.empty", f"no images in '{self.location}': no rows\n  pass other files")
        notes = [f"{len(self._files):,} .parquet files are read as one set"] if len(self._files) > 1 else []
        notes = [*self._notes, *notes]
        if without := values.count(None):
            if unused:
                told = f"no column is called {', '.join(LABEL_COLUMNS)}; not used: {', '.join(map(printable, unused))}"
                notes.append(f"no labels: {told}")
            elif without < len(values):
                notes.append(f"no labels: {counted(without, 'row')} of {len(values):,} have none")
            return Listing(tuple(items), (), {}, tuple(notes))
        if len({type(value) for value in values}) > 1:
            values = [str(value) for value in values]
            notes.append(f"labels: column '{column}' has texts in some files and numbers in others: all are texts here")
        if not names and (reason := no_classes([str(value) for value in values])):
            return Listing(tuple(items), (), {}, (*notes, f"no labels: column '{column}' has {reason}"))
        known = list(range(len(names))) if names else sorted(set(values))
        place = {value: at for at, value in enumerate(known)}
        if any(value not in place for value in values):
            return Listing(tuple(items), (), {}, (*notes, "no labels: some rows have none"))
        items = [Item(item.name, place[value], item.locator) for item, value in zip(items, values, strict=True)]
        return Listing(tuple(items), tuple(names) or tuple(map(str, known)), {}, tuple(notes))

    def shard_of(self, item: Item) -> int:
        """Return the number of the file that a row is in."""
        number: int = item.locator[0]
        return number

    def place_of(self, item: Item) -> str:
        """Return an item's row and file, for messages."""
        number, row = item.locator
        return f"row {row:,} in '{self._files[number].location}'"

    def stream(self, items: Sequence[Item]) -> Iterator[tuple[int, Callable[[], Payload]]]:
        """Yield rows in the order of the files, already read; only the row groups that hold them are."""
        places = dict[int, dict[int, int]]()
        for place, item in enumerate(items):
            number, row = item.locator
            places.setdefault(number, {})[row] = place
        for number, wanted in sorted(places.items()):
            file = self._files[number]
            with self._opened(file) as table:
                column = self._image_column(table.schema_arrow, file)
                rows, first = sorted(wanted), 0
                for group in range(table.metadata.num_row_groups):
                    end = first + table.metadata.row_group(group).num_rows
                    if mine := rows[bisect_left(rows, first) : bisect_left(rows, end)]:
                        yield from _rows(table, group, column, first, mine[-1], wanted)
                    first = end

    @contextmanager
    def _opened(self, file: StoredFile) -> Iterator[Any]:
        """Open a file as a table; DataError for a damaged one."""
        try:
            from pyarrow import ArrowException, parquet  # an extra: imported here so that gansmith starts without it
        except ImportError as problem:
            raise DataError(
                "data.parquet_library_missing",
                f"'{self.location}' needs the library pyarrow{why_not(problem, 'pyarrow')}"
                "\n  install it: pip install 'gansmith[parquet]'",
            ) from problem
        try:
            with file.open() as opened:
                yield parquet.ParquetFile(opened)
        except (ArrowException, OSError, EOFError) as problem:
            damage = f"it is no whole .parquet file ({reason_of(problem)})"
            is_damage = type(problem) is OSError and problem.errno is None  # of pyarrow; storage has errors of its own
            raise file.problem(EOFError() if is_damage else problem, damage) from problem

    def _image_column(self, schema: Any, file: StoredFile) -> str:
        """Return the column of encoded images; DataError unless there is one."""
        binary = [field.name for field in schema if _is_encoded(field.type)]
        found = [name for name in IMAGE_COLUMNS if name in binary][:1] or binary
        if len(found) == 1:
            return found[0]
        raise DataError(
            "data.no_image_column",
            f"'{escaped(file.location)}' has {len(found)} columns of encoded images; its columns: "
            f"{', '.join(schema.names) or 'none'}"
            f"\n  name the column of images 'image'; it holds bytes, or mappings with 'bytes'",
        )


def _is_encoded(kind: Any) -> bool:
    """Say whether a column holds bytes, alone or in the Hub's layout."""
    if str(kind).startswith("struct"):
        return any(kind.field(at).name == "bytes" for at in range(kind.num_fields))
    return str(kind) in ("binary", "large_binary")


def _label_column(schema: Any) -> str:
    """Return the name of the column of labels, or ""."""
    plain = ("int", "uint", "string", "large_string", "bool")
    found = [
        field.name for field in schema if field.name.lower() in LABEL_COLUMNS and str(field.type).startswith(plain)
    ]
    return str(found[0]) if found else ""


def _class_names(schema: Any, column: str) -> list[str]:
    """Return the names of the classes, as the Hub writes them into the schema; [] without."""
    try:
        features = json.loads(schema.metadata[b"huggingface"])["info"]["features"]
        return [str(name) for name in features[column]["names"]]
    except (KeyError, TypeError, ValueError):
        return []


def _other_names(file: StoredFile, names: Sequence[str], own: Sequence[str]) -> DataError:
    """Return the error for a file whose numbers mean other classes than those of the files before it."""
    said = (some_of([printable(name) for name in each], MOST_NAMED) for each in (own, names))
    return DataError(
        "data.class_names_differ",
        f"'{escaped(file.location)}' has the classes {' and the files before it '.join(said)}"
        "\n  pass the files of one data set",
    )


def _rows(
    table: Any, group: int, column: str, first: int, last: int, wanted: dict[int, int]
) -> Iterator[tuple[int, Callable[[], Payload]]]:
    """Yield the wanted rows of a row group, whose first row has the number ``first``, up to the row ``last``."""
    for batch in table.iter_batches(ROWS_AT_ONCE, row_groups=[group], columns=[column]):
        for at in range(batch.num_rows):
            if (place := wanted.get(first + at)) is not None:
                value = batch.column(0)[at].as_py()
                value = value.get("bytes") if isinstance(value, dict) else value
                yield place, given(value) if value else _refusing(first + at, column, is_null=value is None)
        first += batch.num_rows
        if first > last:
            return


def _refusing(row: int, column: str, *, is_null: bool) -> Callable[[], Payload]:
    """Return a function that raises ImageError for a cell without an image."""

    def refuse() -> Payload:
        raise ImageError(
            "image.empty", f"row {row:,} of column '{printable(column)}' is {'null' if is_null else 'empty'}"
        )

    return refuse
