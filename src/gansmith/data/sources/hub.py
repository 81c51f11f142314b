"""Data sets of the Hugging Face Hub, read through the library ``datasets`` (extra ``hub``)."""

# Their address is hf:NAME[:SPLIT[:IMAGE[:LABEL]]], for example hf:cifar100:train:img:fine_label; NAME may also be a
# local folder in one of the Hub's formats. Code of a data set is never run: the library stopped doing so in version 4,
# and older versions do so only with a flag that is not set here.

import re
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from gansmith.core.errors import DataError, reason_of, unknown_name
from gansmith.core.file_names import in_home
from gansmith.data.base import Item, Listing, Payload
from gansmith.data.sources.folders_archives import file_stamp, given, read_file

HUB_PREFIX = "hf:"
LABEL_COLUMNS = ("label", "labels", "class", "category")
NO_LABELS = "none"


class HubSource:
    """One split of a data set, opened on first use; DataError if it cannot be opened or its columns are unclear."""

    items_per_job = 1  # rows that are read ahead lie in memory

    def __init__(self, address: str) -> None:
        # a colon in brackets belongs to the split: train[:1000]
        words = re.split(r":(?![^\[]*\])", address.removeprefix(HUB_PREFIX))
        if not words[0] or len(words) > 4:
            raise DataError(
                "data.hub_address", f"'{address}' is not an address of the Hub\n  write hf:NAME[:SPLIT[:IMAGE[:LABEL]]]"
            )
        name, self._split, self._image, self._label = (words + [""] * 3)[:4]
        self._name = str(in_home(name).resolve()) if in_home(name).exists() else name
        self._split = self._split or "train"
        self.location = HUB_PREFIX + ":".join([self._name, self._split, self._image, self._label]).rstrip(":")
        self.name = re.sub(r"[^\w.-]+", "-", f"{Path(name).name}-{self._split}").strip("-")

    @cached_property
    def _rows(self) -> Any:
        try:
            import datasets  # an extra: imported here so that gansmith starts without it
        except ModuleNotFoundError as problem:
            raise DataError(
                "data.hub_library_missing",
                f"'{self.location}' needs the library {problem.name}\n  install it: pip install 'gansmith[hub]'",
            ) from problem
        try:
            saved = self._saved()
            if saved is not None:
                return datasets.load_from_disk(str(saved))
            return datasets.load_dataset(self._name, split=self._split)
        except Exception as problem:  # the library and the network raise many types
            raise DataError(
                "data.hub_unreachable",
                f"'{self.location}' cannot be opened: {reason_of(problem)}"
                "\n  check its name, its splits (hf:NAME:SPLIT) and the network, or pass its files: hf:FOLDER",
            ) from problem

    def _saved(self) -> Path | None:
        """Return the folder that ``save_to_disk`` of the library wrote, if the name is one; a split has one below."""
        folder = Path(self._name)
        if (folder / "dataset_dict.json").is_file():
            folder = folder / self._split
        elif self._split != "train":
            return None
        return folder if (folder / "state.json").is_file() else None

    def stamp(self) -> str:
        """Return the sizes and times of the library's cache files."""
        return " ".join(
            f"{Path(each['filename']).name} {file_stamp(each['filename'])}" for each in self._rows.cache_files
        )

    def scan(self) -> Listing:
        """List the rows with their labels."""
        classes, labels, notes = self._labels()
        self._images()
        digits = len(str(len(self._rows)))
        items = tuple(Item(f"{row:0{digits}d}", label, row) for row, label in enumerate(labels))
        if not items:
            raise DataError(
                "data.empty", f"no images in '{self.location}': the split is empty\n  pass another split: hf:NAME:SPLIT"
            )
        return Listing(items, classes, {}, notes)

    def stream(self, items: Sequence[Item]) -> Iterator[tuple[int, Callable[[], Payload]]]:
        """Yield functions that return encoded images; gansmith decodes them within its own limits."""
        import datasets  # an extra: imported here so that gansmith starts without it

        column = self._images()
        rows = self._rows.select_columns([column])
        if isinstance(rows.features[column], datasets.Image):
            rows = rows.cast_column(column, datasets.Image(decode=False))
        for position, item in enumerate(items):
            image = rows[item.locator][column] or {"bytes": b"", "path": None}
            in_file = image["bytes"] is None and image["path"]
            yield position, partial(read_file, image["path"]) if in_file else given(image["bytes"] or b"")

    def _images(self) -> str:
        """Return the name of the image column; DataError without one, or with several."""
        import datasets  # an extra: imported here so that gansmith starts without it

        features = self._rows.features
        if self._image:
            return self._known(self._image)
        images = [name for name, kind in features.items() if isinstance(kind, datasets.Image) or _is_encoded(kind)]
        if not images:
            columns = ", ".join(features) or "none"
            raise DataError(
                "data.no_image_column",
                f"'{self.location}' has no image column\n  its columns: {columns}\n  pass a data set of images",
            )
        return self._only(images, "image", f"hf:NAME:SPLIT:{images[0]}")

    def _labels(self) -> tuple[tuple[str, ...], list[int], tuple[str, ...]]:
        """Return class names, each row's class (-1: none) and notes."""
        import datasets  # an extra: imported here so that gansmith starts without it

        features, none = self._rows.features, [-1] * len(self._rows)
        named = [name for name, kind in features.items() if isinstance(kind, datasets.ClassLabel)]
        plain = [
            name
            for name, kind in features.items()
            if name.lower() in LABEL_COLUMNS and re.match("string|u?int|bool", str(getattr(kind, "dtype", "")))
        ]
        labels = [self._known(self._label)] if self._label not in ("", NO_LABELS) else named or plain
        if not labels or self._label == NO_LABELS:
            return (), none, ()
        column = self._only(labels, "label", f"hf:NAME:SPLIT:IMAGE:{labels[0]} (or {NO_LABELS})")
        values = self._rows[column][:]
        classes = getattr(features[column], "names", None)
        if None in values or (classes and min(values) < 0):
            return (), none, (f"no labels: some rows of column '{column}' are empty",)
        if classes:
            return tuple(classes), values, (f"labels: column '{column}'",)
        known = sorted(set(values))
        number = {value: index for index, value in enumerate(known)}
        return tuple(map(str, known)), [number[value] for value in values], (f"labels: column '{column}'",)

    def _known(self, column: str) -> str:
        """Return a column's name; DataError with the nearest name if there is no such column."""
        if column not in self._rows.features:
            raise DataError(
                "data.unknown_column", f"'{self.location}': {unknown_name('column', column, self._rows.features)}"
            )
        return column

    def _only(self, columns: Sequence[str], kind: str, example: str) -> str:
        """Return the one column of a kind; DataError, with an example address, for several."""
        if len(columns) > 1:
            raise DataError(
                "data.several_columns",
                f"'{self.location}' has {len(columns)} {kind} columns: {', '.join(columns)}\n  choose one: {example}",
            )
        return columns[0]


def _is_encoded(kind: Any) -> bool:
    """Say whether a column holds images in the library's layout, though it is not declared as an image column."""
    return isinstance(kind, dict) and kind.keys() == {"bytes", "path"}
