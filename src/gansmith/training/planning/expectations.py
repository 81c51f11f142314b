"""The quality to expect of a run, from runs that were recorded."""

import json
from dataclasses import dataclass, replace
from functools import cache
from math import log
from pathlib import Path

SEEN = Path(__file__).with_name("seen.jsonl")  # a line for each run, written by scripts/train_for_minutes.py
NEAR = 1.5  # sides that differ by at most this factor count as similar


@dataclass(frozen=True)
class Expectation:
    """The result of a recorded run on ``count`` images after ``kimg``: in words, and as a picture in the docs."""

    side: int  # px, the longer
    channels: int
    count: int
    kimg: float
    words: str
    picture: str


@cache
def seen_runs() -> tuple[Expectation, ...]:
    """Return the recorded runs."""
    lines = [json.loads(text) for text in SEEN.read_text(encoding="utf-8").splitlines()]
    return tuple(
        Expectation(
            line["side"], line["channels"], line["count"], line["kimg"],
            f"{line['count']:,} {line['of']} after {line['kimg']:,.0f} kimg: {line['words']}", line["picture"],
        )
        for line in lines
    )  # fmt: skip


def expectation_for(side: int, channels: int, count: int, kimg: float) -> Expectation | None:
    """Return the nearest recorded run on images of about this size; None without one.

    Among those on the nearest number of images it is the longest that is no longer than ``kimg``, else the shortest of
    all. Its words say how much shorter the planned run or how much smaller the data set is.
    """
    near = [
        seen for seen in seen_runs() if 1 / NEAR <= side / seen.side <= NEAR and (channels == 1) == (seen.channels == 1)
    ]
    if not near:
        return None
    nearest = min(near, key=lambda each: abs(log(count / each.count))).count
    near = [seen for seen in near if seen.count == nearest]
    shorter = [seen for seen in near if seen.kimg <= kimg]
    seen = max(shorter, key=lambda each: each.kimg) if shorter else min(near, key=lambda each: each.kimg)
    words = seen.words
    if seen.kimg > kimg:
        words += f". Your run is shorter ({kimg / seen.kimg:.0%} of {seen.kimg:,.0f} kimg): expect lower quality"
    if count < seen.count / 2:
        words += f". Your data set is smaller ({count:,} images): expect less variety"
    return replace(seen, words=words)
