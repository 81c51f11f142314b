"""Two data sets as one: the domains between which images are translated without pairs."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from gansmith.core.errors import DataError
from gansmith.data.base import Item, Listing, Payload, Source

DOMAINS = ("from", "to")
PREFIX, ARROW = "domains:", " -> "  # an address is domains:A -> B


@dataclass(frozen=True)
class Domains:
    """The names of two data sets between which images are translated; ``str`` gives their address in run.json.

    Raises DataError for two equal names, and for names that cannot be told apart in an address.
    """

    first: str
    second: str

    def __post_init__(self) -> None:
        for name in (self.first, self.second):
            if ARROW in name:
                raise DataError(
                    "data.domain_name",
                    f"'{name}' has '{ARROW}' in its name, which stands between two domains\n  rename it",
                )
        if self.first == self.second:
            raise DataError(
                "data.same_domains",
                f"--from and --to are both '{self.first}'\n  pass two data sets: there is nothing to translate",
            )

    def __str__(self) -> str:
        return f"{PREFIX}{self.first}{ARROW}{self.second}"

    @classmethod
    def parse(cls, address: str) -> "Domains":
        """Return the domains with an address; DataError for half of one."""
        parts = address.removeprefix(PREFIX).split(ARROW)
        if len(parts) != 2 or not all(parts):
            raise DataError(
                "data.domains_address", f"'{address}' does not join two data sets\n  write '{PREFIX}A{ARROW}B'"
            )
        return cls(*parts)


class TwoDomains:
    """Two sources whose images get the labels 0 (from) and 1 (to); labels of their own are ignored."""

    def __init__(self, first: Source, second: Source) -> None:
        self._sources = (first, second)
        self.location = str(Domains(first.location, second.location))
        self.name = f"{first.name}-to-{second.name}"
        self.items_per_job = min(first.items_per_job, second.items_per_job)

    def stamp(self) -> str:
        """Return a text that changes with either source."""
        return ARROW.join(source.stamp() for source in self._sources)

    def scan(self) -> Listing:
        """List the images of the first, then those of the second."""
        items: list[Item] = []
        notes: list[str] = []
        ignored = 0
        for label, (domain, source) in enumerate(zip(DOMAINS, self._sources, strict=True)):
            listing = source.scan()
            items += [Item(f"{domain}/{item.name}", label, item.locator) for item in listing.items]
            ignored += listing.ignored
            notes += [f"{domain} ({source.name}): {note}" for note in listing.notes]
            if listing.classes:
                notes.append(f"{domain} ({source.name}): its {len(listing.classes)} classes are ignored")
        return Listing(tuple(items), DOMAINS, ignored, tuple(notes))

    def stream(self, items: Sequence[Item]) -> Iterator[tuple[int, Callable[[], Payload]]]:
        """Yield readers of the first source's items, then of the second's."""
        for label, source in enumerate(self._sources):
            places = [place for place, item in enumerate(items) if item.label == label]
            for position, read in source.stream([items[place] for place in places]):
                yield places[position], read
