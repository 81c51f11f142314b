"""The quality to expect of a run, from runs that were recorded."""

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Expectation:
    """The result of a recorded run on ``count`` images after ``kimg``: in words, and as a picture in the docs."""

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
        64, 3, 5_000, 85, "5,000 drawn faces after 85 kimg: varied faces on clean grounds, some outlines broken",
        "docs/pictures/auto-avatars.jpg",
    ),
)  # fmt: skip
NEAR = 1.5  # sides that differ by at most this factor count as similar


def expectation_for(side: int, channels: int, count: int, kimg: float) -> Expectation | None:
    """Return the nearest recorded run on images of about this size; None without one.

    Among the recorded runs that are no longer than ``kimg`` it is the longest, else the shortest of all. Its words say
    how much shorter the planned run or how much smaller the data set is.
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
