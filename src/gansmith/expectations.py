"""What runs of a size and a length have made: for a person who is about to wait as long. Only what was seen is here."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Expectation:
    """What came of a run: images of ``side`` px after ``kimg``, in words and as a picture of the documentation."""

    side: int
    kimg: float
    words: str
    picture: str


SEEN = (
    Expectation(
        28, 250, "60,000 garments, 260 kimg: all kinds, as they should be; below left without labels, right with them",
        "docs/pictures/flagship.png",
    ),
    Expectation(
        64, 240, "4,500 drawn faces, 248 kimg: faces of many kinds, hair and glasses, edges still rough",
        "docs/pictures/auto-avatars.jpg",
    ),
)  # fmt: skip
NEAR = 1.5  # a side that is at most so many times another is like it


def expectation_for(side: int, kimg: float) -> Expectation | None:
    """Return the longest run of about this size that is no longer than this; None where nothing was seen."""
    near = [seen for seen in SEEN if 1 / NEAR <= side / seen.side <= NEAR and seen.kimg <= kimg]
    return max(near, key=lambda seen: seen.kimg, default=None)
