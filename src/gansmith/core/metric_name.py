"""Names of measured numbers, such as ``fd2k_own_train``: built and parsed here alone."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

UNCOUNTED = ("psnr", "ssim", "l1", "feature_distance", "colourfulness_ratio", "colourfulness", "cycle_error", "change")
"""Metrics of translations: means over images, so that their names carry no number of images."""

# Left out after a count: the Fréchet distance of its features is fid10k, its kernel distance kid10k.
INCEPTION = "inception"
TRAIN = "train"
_TEXT = re.compile(
    rf"(?:(?P<uncounted>{'|'.join(UNCOUNTED)})|(?P<metric>\D+?)(?P<count>\d+)(?P<thousands>k?))"
    rf"(?:_(?P<extractor>.+?))??(?:_(?P<direction>[a-z]_to_[a-z]))?(?:_(?P<split>{TRAIN}))?"
)


@dataclass(frozen=True)
class MetricName:
    """The name of a number: the metric, and the part of its protocol that numbers must share to be compared.

    Its text is ``metric count _ extractor _ direction _ split``, of which all but the metric can be absent:
    ``fd2k_own_train``, ``fid10k``, ``swd500``, ``ssim_a_to_b``.
    """

    metric: str  # fd, coverage, psnr; no digits unless it is one of UNCOUNTED
    count: int | None = None  # images on the fake side
    extractor: str = ""  # "" for a metric without features, and in parsed names for Inception unless the metric is fd
    direction: str = ""  # of a model that translates both ways: a_to_b or b_to_a
    split: str = ""  # "train": measured against training images

    def __post_init__(self) -> None:
        if self.metric not in UNCOUNTED and re.search(r"\d", self.metric):
            raise ValueError(f"metric '{self.metric}' has a digit in its name, where the number of images begins")

    @property
    def label(self) -> str:
        """Return the metric as it is written: the Fréchet distance of Inception's features is ``fid``."""
        return "fid" if (self.metric, self.extractor) == ("fd", INCEPTION) else self.metric

    @property
    def short(self) -> str:
        """Return metric and count: ``fd2k``, ``fid10k``, ``psnr``."""
        if self.count is None:
            return self.label
        return f"{self.label}{self.count // 1000}k" if self.count % 1000 == 0 else f"{self.label}{self.count}"

    def __str__(self) -> str:
        extractor = "" if self.extractor == INCEPTION and self.count is not None else self.extractor
        return "_".join(part for part in (self.short, extractor, self.direction, self.split) if part)

    @classmethod
    def parse(cls, text: str) -> "MetricName | None":
        """Return the name that a text is, None for other columns of a log: ``kimg``, ``fd_of_one``."""
        found = _TEXT.fullmatch(text)
        if found is None:
            return None
        metric, count, extractor = found["uncounted"] or found["metric"], None, found["extractor"] or ""
        if found["count"]:
            count = int(found["count"]) * (1000 if found["thousands"] else 1)
        if metric == "fid":
            metric, extractor = "fd", extractor or INCEPTION
        return cls(metric, count, extractor, found["direction"] or "", found["split"] or "")


def column_of(columns: Iterable[str], metric: str) -> str:
    """Return the first column that holds a metric, whatever its protocol: ``fd2k_own_train`` for ``fd``; "" if none."""
    for column in columns:
        name = MetricName.parse(column)
        if name is not None and name.metric == metric:
            return column
    return ""
