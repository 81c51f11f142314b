"""A pass over every image of a source: size, mode, content hash, unreadable images."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

from gansmith.core.events import OnProgress, Progress
from gansmith.data.base import Listing, Source
from gansmith.data.image_info import ImageInfo, read_info
from gansmith.data.threads import FEWEST_PIXELS, in_threads, num_workers
from gansmith.imaging.images import PIXEL_LIMIT, no_memory, quiet_readers

FEWEST_KEPT, MOST_KEPT = 16, 2_000_000  # pixels of one deep image, and of a set, from which its range is found
SAMPLED = 256  # images that are decoded to infer the number of channels


def survey(
    source: Source,
    listing: Listing,
    on_step: Callable[[], None],
    *,
    sign: bool = False,
    limit: int = PIXEL_LIMIT,
    values: bool = False,
    pairs: bool = False,
) -> list[ImageInfo]:
    """Return the info of every image, in the order of the listing; ``on_step`` is called after each.

    Every file is read and hashed. 256 images, spread evenly, are decoded; with ``sign`` all are decoded and signed, and
    with ``values`` the values of all are looked at.
    """
    count = len(listing.items)
    sample = set(range(count)) if sign else {round(step * (count - 1) / (SAMPLED - 1)) for step in range(SAMPLED)}
    infos = [ImageInfo()] * count
    keep = max(FEWEST_KEPT, MOST_KEPT // max(1, count))
    jobs = source.stream(listing.items)
    workers = num_workers(FEWEST_PIXELS)  # the size of the images is not known yet
    found = in_threads(
        lambda job: (
            job[0],
            read_info(job[1], decode=job[0] in sample, sign=sign, limit=limit, values=values, keep=keep, pairs=pairs),
        ),
        jobs,
        source.items_per_job,
        workers,
    )
    for position, info in found:
        infos[position] = replace(info, name=listing.items[position].name)
        on_step()
    return infos


@contextmanager
def reading(source: Source) -> Iterator[None]:
    """Silence the libraries while images are read, and say so if memory runs out."""
    try:
        with quiet_readers():
            yield
    except (MemoryError, RuntimeError) as problem:
        if not isinstance(problem, MemoryError) and "start new thread" not in str(problem):
            raise
        raise no_memory(f"the images of '{source.location}'") from problem


class StepCounter:
    """Reports progress in images, each of which takes ``passes`` steps."""

    def __init__(self, on_progress: OnProgress | None, total: int, passes: int = 1) -> None:
        self._on_progress, self._total, self._passes = on_progress, total, passes
        self._steps = 0

    def __call__(self) -> None:
        """Count a step."""
        self._steps += 1
        if self._on_progress is not None and self._steps % self._passes == 0:
            self._on_progress(Progress("reading images", self._steps // self._passes, self._total))

    def finish(self) -> None:
        """Report every image as done, also when fewer steps were needed."""
        if self._on_progress is not None and self._steps < self._total * self._passes:
            self._on_progress(Progress("reading images", self._total, self._total))
