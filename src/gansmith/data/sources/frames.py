"""The frames of stacks and animations as single images."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial

from gansmith.core.errors import DataError, counted
from gansmith.data.base import DataOptions, Frame, Item, Listing, Payload, Source
from gansmith.imaging.deep_files import axes_notes, frames_of, open_any
from gansmith.imaging.images import ImageError, Pages

FIRST, ALL, EVERY = "first", "all", "every:"
MOST_FRAMES = 10_000_000  # of a whole source


def step_of(frames: str) -> int:
    """Return the distance of two frames that are used: 1 for "all", N for "every:N"."""
    return int(frames.removeprefix(EVERY)) if frames.startswith(EVERY) else 1


class FramesOf:
    """A source whose files are stacks or animations: each item is one frame, named FILE#NUMBER.

    Of a source that is ``one_file`` of images, as an array is, each item is a frame already.
    """

    def __init__(self, source: Source, options: DataOptions, *, one_file: bool = False) -> None:
        self._source, self._options, self._one_file = source, options, one_file
        self.name, self.location, self.items_per_job = source.name, source.location, source.items_per_job

    def stamp(self) -> str:
        """Return the source's own stamp."""
        return self._source.stamp()

    def scan(self) -> Listing:
        """List the frames of all files; reads every file once. DataError for more than ten million frames."""
        listing, step = self._source.scan(), step_of(self._options.frames)
        if self._one_file:
            every = tuple(Item(item.name, item.label, (item, None)) for item in listing.items[::step])
            left = len(listing.items) - len(every)
            more = (f"frames={self._options.frames}: {left:,} of {len(listing.items):,} images not used",)
            return replace(listing, items=every, notes=(*listing.notes, *(more if left else ())))
        found: list[tuple[Sequence[Pages], str]] = [([0], "")] * len(listing.items)  # of the frames of each file
        for position, read in self._source.stream(listing.items):
            found[position] = self._frames(read)
        numbers = [pages for pages, _ in found]
        counts = [len(each) for each in numbers]
        if sum(-(-count // step) for count in counts) > MOST_FRAMES:
            raise DataError(
                "data.too_many_frames",
                f"'{self.location}' has {sum(counts):,} frames, and frames={self._options.frames} would take more than"
                f" {MOST_FRAMES:,}\n  take fewer: frames=every:N",
            )
        items = []
        for item, frames in zip(listing.items, numbers, strict=True):
            digits, is_one = len(str(len(frames) - 1)), len(frames) == 1
            for at in range(0, len(frames), step):
                name = item.name if is_one else f"{item.name}#{at:0{digits}d}"
                items.append(Item(name, item.label, (item, None if is_one else frames[at])))
        many = sum(count > 1 for count in counts)
        taken = sum(-(-count // step) for count in counts if count > 1)
        unused = sum(counts) - (len(counts) - many) - taken
        of = f"{counted(taken, 'frame')} of {counted(many, 'file')} with several frames"
        note = f"frames={self._options.frames}: {of}"
        counted_frames = [note + (f", {unused:,} not used" if unused else "")] if many else []
        # A file of one frame is read as a whole, and its axes are told of with it.
        texts = [text for pages, text in found if len(pages) > 1]
        return replace(listing, items=tuple(items), notes=(*listing.notes, *axes_notes(texts), *counted_frames))

    def _frames(self, read: Callable[[], Payload]) -> tuple[Sequence[Pages], str]:
        try:
            payload = read()
            if not isinstance(payload, bytes):
                return [0], ""
            opened, _ = open_any(payload, self._options.max_pixels)
            return frames_of(payload, opened)
        except ImageError:
            return [0], ""

    def stream(self, items: Sequence[Item]) -> Iterator[tuple[int, Callable[[], Payload]]]:
        """Yield functions that read frames; each file is read once for all its frames."""
        places: dict[Item, list[int]] = {}
        for place, item in enumerate(items):
            places.setdefault(item.locator[0], []).append(place)
        files = list(places)
        for position, read in self._source.stream(files):
            shared = _ReadOnce(read)
            for place in places[files[position]]:
                yield place, partial(_frame, shared, items[place].locator[1])


class _ReadOnce:
    """Reads a file when its first frame is asked for, and keeps its bytes as long as a frame may be."""

    def __init__(self, read: Callable[[], Payload]) -> None:
        self._read = read
        self._payload: Payload | None = None

    def __call__(self) -> Payload:
        if self._payload is None:
            self._payload = self._read()
        return self._payload


def _frame(read: Callable[[], Payload], pages: Pages | None) -> Payload:
    payload = read()
    return payload if pages is None or not isinstance(payload, bytes) else Frame(payload, pages)
