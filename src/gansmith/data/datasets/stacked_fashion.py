"""Stacked Fashion-MNIST: three gray images as red, green and blue; 10 x 10 x 10 modes."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np
from pydantic import Field

from gansmith.core.randomness import derive_seed
from gansmith.data.base import Item, Listing, Payload, Source
from gansmith.data.datasets.base import DataSetPart, FileSet, register
from gansmith.data.datasets.fashion_sample import FashionSample
from gansmith.data.datasets.mnist import FashionMnist

VERSION = 1  # of the images that a seed gives


class StackedSource:
    """Colour images whose channels are gray images of another source, drawn at random with replacement.

    There are no labels: with 1,000 classes a recipe would become conditional, which is not the purpose.
    """

    def __init__(self, gray: Source, name: str, location: str, count: int, seed: int) -> None:
        self._gray, self._count, self._seed = gray, count, seed
        self.name, self.location, self.items_per_job = name, location, gray.items_per_job
        self._listing = Listing(())

    def stamp(self) -> str:
        """Return the stamp of the gray images, with the count and the seed of the draws."""
        return f"{VERSION} {self._count} {self._seed} {self._gray.stamp()}"

    def scan(self) -> Listing:
        """Draw three gray images for each image and list the results."""
        self._listing = self._gray.scan()
        draws = np.random.Generator(np.random.Philox(derive_seed("stacked", self._seed)))
        chosen = draws.integers(0, len(self._listing.items), (self._count, 3)).tolist()
        items = tuple(Item(f"{row:08d}", -1, tuple(three)) for row, three in enumerate(chosen))
        return Listing(
            items,
            (),
            {},
            (*self._listing.notes, f"each image stacks three of {len(self._listing.items):,} gray images"),
        )

    def stream(self, items: Sequence[Item]) -> Iterator[tuple[int, Callable[[], Payload]]]:
        """Yield functions that return uint8 (H, W, 3)."""
        readers = dict(self._gray.stream(self._listing.items))

        def read(three: tuple[int, int, int]) -> np.ndarray:
            return np.concatenate([np.asarray(readers[each]()) for each in three], axis=2)

        for position, item in enumerate(items):
            yield position, lambda three=item.locator: read(three)  # type: ignore[misc]


@register("stacked-fashion")
class StackedFashion(FileSet):
    """Three random images of fashion-mnist as red, green and blue: a test for dropped modes.

    Source: Metz et al. 2017, arXiv:1611.02163, section 3.3.1, and Srivastava et al. 2017, arXiv:1705.07761, which stack
    MNIST. Differs: clothes instead of digits, which are harder to tell apart; 60,000 images, drawn once.
    """

    about: ClassVar[str] = "three images of fashion-mnist as red, green, blue: 1,000 modes; 28 x 28; no labels"
    licence: ClassVar[str] = "MIT"
    count: int | None = Field(None, ge=1, le=1_000_000, description="number of images; null: as many as the split has")
    seed: int = 0

    @property
    def _gray(self) -> FashionMnist:
        return FashionMnist(split=self.split, root=self.root)

    def files_go_to(self) -> Path:
        """Return the folder of fashion-mnist."""
        return self._gray.files_go_to()

    def found(self) -> Sequence[Path]:
        """Return fashion-mnist's files of the split; empty if they are not found."""
        return self._gray.found()

    def source(self) -> StackedSource:
        """Return the split's stacked images as a source."""
        count = self.count or {"train": 60_000, "test": 10_000}[self.split]
        return StackedSource(self._gray.source(), self.slug, self.title, count, self.seed)


@register("stacked-fashion-sample")
class StackedFashionSample(DataSetPart):
    """Three random images of the built-in fashion-sample as red, green and blue.

    Source: see stacked-fashion; the gray images are 1,000 of each class of fashion-mnist's training split.
    """

    about: ClassVar[str] = "three images of fashion-sample as red, green, blue: 1,000 modes; 28 x 28; built in"
    licence: ClassVar[str] = "MIT"
    count: int = Field(20_000, ge=1, le=1_000_000, description="number of images")
    seed: int = 0

    def source(self) -> StackedSource:
        """Return the stacked images as a source."""
        return StackedSource(FashionSample().source(), self.kind, self.kind, self.count, self.seed)
