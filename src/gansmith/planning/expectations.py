"""What runs of a size and a length have made: for a person who is about to wait as long. Only what was seen is here."""

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Expectation:
    """What came of a run on ``count`` images after ``kimg``, in words and as a picture of the documentation."""

    side: int  # px, the longer
    channels: int
    count: int
    kimg: float
    words: str
    picture: str


SEEN = (
    Expectation(
        28, 1, 60_000, 250,
        "60,000 garments after 260 kimg: every class, clear shapes (lower left without labels, lower right with)",
        "docs/pictures/flagship.png",
    ),
    Expectation(
        64, 3, 4_500, 140, "4,500 drawn faces after 142 kimg: varied faces, some grain in hair, unclear glasses",
        "docs/pictures/auto-avatars.jpg",
    ),
)  # fmt: skip
NEAR = 1.5  # a side that is at most so many times another is like it


def expectation_for(side: int, channels: int, count: int, kimg: float) -> Expectation | None:
    """Return what comes nearest of runs on images of about this size; None where nothing was seen.

    It is the longest that is no longer, else the shortest; its words tell how much less the images or the length are.
    """
    near = [seen for seen in SEEN if 1 / NEAR <= side / seen.side <= NEAR and (channels == 1) == (seen.channels == 1)]
    if not near:
        return None
    shorter = [seen for seen in near if seen.kimg <= kimg]
    seen = max(shorter, key=lambda each: each.kimg) if shorter else min(near, key=lambda each: each.kimg)
    words = seen.words
    if seen.kimg > kimg:
        words += f". Your run is shorter ({kimg / seen.kimg:.0%} of {seen.kimg:,.0f} kimg): expect lower quality"
    if count < seen.count / 2:
        words += f". Your data set is smaller ({count:,} images): expect less variety"
    return replace(seen, words=words)
