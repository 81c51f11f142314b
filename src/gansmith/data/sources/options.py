"""Options that decide how a source is read, applied to any source."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from gansmith.core.errors import DataError
from gansmith.data.base import DataOptions, Item, Listing, Payload, Source
from gansmith.data.sources.frames import ALL, FIRST, FramesOf

NO_LABELS, FOLDER_LABELS, NAME_LABELS = "none", "folders", "names"


def with_options(source: Source, options: DataOptions) -> Source:
    """Return a source as read under some options.

    A source that knows more options than ``labels=none`` has a method ``under``. DataError for a table of labels for a
    source that is no folder and no archive.
    """
    if getattr(source, "takes_frames", False):  # its parts do
        return _under(source, options)
    if options.frames != FIRST:
        return FramesOf(_under(source, options), options, one_file=getattr(source, "is_one_file", False))
    if getattr(source, "all_frames", False):
        return FramesOf(_under(source, options), options.model_copy(update={"frames": ALL}))
    return _under(source, options)


def _under(source: Source, options: DataOptions) -> Source:
    """Return a source as read under some options; those with ``under`` know ``frames`` for arrays alone."""
    under: Callable[[DataOptions], Source] | None = getattr(source, "under", None)
    if under is not None:
        return under(options)
    if options.labels == NO_LABELS:
        return Unlabelled(source)
    if options.labels not in (None, FOLDER_LABELS):
        what = "takes" if options.labels == NAME_LABELS else "is a table of"
        raise DataError(
            "data.table_without_files",
            f"labels={options.labels} {what} file names, but '{source.location}' has no image files"
            "\n  file names need a folder, a .zip or a .tar; to ignore the labels of the data: labels=none",
        )
    return source


class Unlabelled:
    """A source without its labels."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self.name, self.location, self.items_per_job = source.name, source.location, source.items_per_job

    def stamp(self) -> str:
        """Return the source's own stamp."""
        return self._source.stamp()

    def scan(self) -> Listing:
        """List the images without labels."""
        listing = self._source.scan()
        items = tuple(replace(item, label=-1) for item in listing.items)
        return replace(listing, items=items, classes=(), notes=(*listing.notes, "no labels: labels=none"))

    def stream(self, items: Sequence[Item]) -> Iterator[tuple[int, Callable[[], Payload]]]:
        """Yield functions that read items, as the source does."""
        return self._source.stream(items)
