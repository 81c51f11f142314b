"""Two domains: data sets joined for translation without pairs."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from gansmith.core.errors import DataError
from gansmith.data.base import DataOptions, Item, Listing, Payload, Source
from gansmith.data.sources.options import with_options

DOMAINS = ("from", "to")  # the class names of the two domains
DOMAINS_PREFIX, ARROW = "domains:", " -> "  # an address is domains:A -> B


@dataclass(frozen=True)
class Domains:
    """The names of two data sets between which images are translated; ``str`` returns their address for run.json.

    Raises DataError for two equal names, and for a name that contains the arrow of an address.
    """

    first: str
    second: str

    def __post_init__(self) -> None:
        for name in (self.first, self.second):
            if ARROW in name:
                raise DataError(
                    "data.domain_name",
                    f"'{name}' contains '{ARROW}', which separates two domains\n  rename it",
                )
        if self.first == self.second:
            raise DataError(
                "data.same_domains",
                f"--from and --to are both '{self.first}'\n  pass two different data sets",
            )

    def __str__(self) -> str:
        return f"{DOMAINS_PREFIX}{self.first}{ARROW}{self.second}"

    @classmethod
    def parse(cls, address: str) -> "Domains":
        """Return the domains with an address domains:A -> B; DataError for any other address."""
        parts = address.removeprefix(DOMAINS_PREFIX).split(ARROW)
        if len(parts) != 2 or not all(parts):
            raise DataError(
                "data.domains_address", f"'{address}' does not join two data sets\n  write '{DOMAINS_PREFIX}A{ARROW}B'"
            )
        return cls(*parts)


class TwoDomains:
    """Two sources as one: images get label 0 (from) or 1 (to), and their own labels are ignored."""

    takes_frames = True  # each source reads its own stacks

    def __init__(self, first: Source, second: Source) -> None:
        self._sources = (first, second)
        self.location = str(Domains(first.location, second.location))
        self.name = f"{first.name}-to-{second.name}"
        self.items_per_job = min(first.items_per_job, second.items_per_job)

    @property
    def names(self) -> tuple[str, str]:
        """Return the locations of both sources."""
        return self._sources[0].location, self._sources[1].location

    def under(self, options: DataOptions) -> "TwoDomains":
        """Return these domains as read under some options."""
        first, second = self._sources
        return TwoDomains(with_options(first, options), with_options(second, options))

    def stamp(self) -> str:
        """Return a text that changes with either source."""
        return ARROW.join(source.stamp() for source in self._sources)

    def scan(self) -> Listing:
        """List the images of the first source, then the images of the second."""
        items: list[Item] = []
        notes: list[str] = []
        ignored = Counter[str]()
        for label, (domain, source) in enumerate(zip(DOMAINS, self._sources, strict=True)):
            listing = source.scan()
            items += [Item(f"{domain}/{item.name}", label, item.locator) for item in listing.items]
            ignored.update(listing.ignored)
            notes += [
                f"{domain} ({source.name}): {note}" for note in listing.notes if not note.startswith("no labels:")
            ]
            if listing.classes:
                notes.append(f"{domain} ({source.name}): its {len(listing.classes)} classes are ignored")
        return Listing(tuple(items), DOMAINS, ignored, tuple(notes))

    def stream(self, items: Sequence[Item]) -> Iterator[tuple[int, Callable[[], Payload]]]:
        """Yield functions that read items, first of the first source, then of the second."""
        for label, source in enumerate(self._sources):
            places = [place for place, item in enumerate(items) if item.label == label]
            for position, read in source.stream([items[place] for place in places]):
                yield places[position], read
