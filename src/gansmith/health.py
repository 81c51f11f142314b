"""What the numbers of a run say about its health: verdicts with reasons, from its rows and its looks.

Rows tell what D thinks and how far weights move; looks (``watch.py``) judge samples. A GAN's losses decide nothing
here: D may be right about every fake of a generator that still improves.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gansmith.registry import FrozenModel

HEALTHY = "healthy"
Row = dict[str, Any]

TITLES = {
    HEALTHY: "healthy",
    "memorising": "memorising (overfitting)",
    "full_collapse": "full mode collapse",
    "partial_collapse": "partial mode collapse",
    "generator_wins": "G wins",
    "discriminator_wins": "D wins",
    "oscillating": "oscillating",
    "diverged": "diverged",
    "stalled": "stalled",
}
HOPELESS = ("full_collapse", "diverged")  # patience ends these at once, and rollbacks are for them
COLLAPSES = ("full_collapse", "partial_collapse")


class Thresholds(FrozenModel):
    """Where a verdict begins. Chosen on runs of benchmarks/health, which also says how often they are right."""

    copies: float = 0.4  # share of samples nearer to a training image than such images are to each other
    collapsed_diversity: float = 0.5  # distance between samples over that between real images
    fallen: float = 0.7  # diversity over the largest before, under which variety was lost
    collapsed_kinds: float = 0.6  # share of the kinds of images that are gone
    lost_kinds: float = 0.1
    made_below: float = 0.15  # of its share of the real images, under which a kind counts as gone
    asleep: float = 1e-6  # change of a network's weights in a step, over their norm
    fooled: float = 0.15  # D's accuracy on fakes below which G wins
    sure: float = 0.97  # D's accuracy on both sides above which it wins, where samples are poor and do not improve
    poor: float = 0.35  # fd over that of one average image, above which samples are poor
    blown_up: float = 2.0  # fd over the best one before
    worthless: float = 1.5  # fd over that of one average image
    better: float = 0.03  # a lower fd is an improvement if it is lower by this share
    swing: float = 0.3  # mean change of fd from look to look over its mean
    turns: int = 5  # looks that the swing is measured on


@dataclass(frozen=True)
class Verdict:
    """What a run suffers from, since when, and shown by what."""

    name: str
    reasons: tuple[str, ...] = ()
    began_kimg: float | None = None

    @property
    def title(self) -> str:
        """Return the name in words."""
        return TITLES[self.name]

    @property
    def message(self) -> str:
        """Return everything in one line."""
        since = "" if self.began_kimg is None else f" since {self.began_kimg:,.1f} kimg"
        return f"{self.title}{since}: {'; '.join(self.reasons)}"


def measure(row: Row, name: str) -> float:
    """Return a number of a look, whatever protocol its column's name carries; NaN where it is absent."""
    column = column_of(row, name)
    return float(row[column]) if column else float("nan")


def column_of(row: Row, name: str) -> str:
    """Return the column of ``fd``, ``coverage``, ``diversity``, ``copies`` or ``missing`` (fd2k_own_train), or ""."""
    start = re.compile(r"(fd|fid)\d" if name == "fd" else rf"{name}\d")
    return next((column for column in row if start.match(column)), "")


def gone(row: Row, limits: Thresholds) -> list[str]:
    """Return the names of the kinds of images that a look found hardly any sample of."""
    kinds = row.get("kinds", {})
    even = 1 / max(1, len(kinds))  # what a class that has no training image is measured by
    return [name for name, (real, fake) in kinds.items() if fake < limits.made_below * (real or even)]


def best_look(looks: Sequence[Row]) -> Row | None:
    """Return the look with the lowest Fréchet distance."""
    return min(looks, key=lambda row: measure(row, "fd"), default=None)


class _Now:
    """What was known at one look: numbers of all looks until then, and D's opinions since the look before."""

    def __init__(
        self, rows: Sequence[Row], looks: Sequence[Row], index: int, limits: Thresholds, alone: bool = False
    ) -> None:
        look, before = looks[index], looks[index - 1]["iteration"] if index else -1
        since = [row for row in rows if "event" not in row and before <= row["iteration"] < look["iteration"]]
        self.kimg, self.limits, self.kinds, self.alone = float(look["kimg"]), limits, look.get("kinds", {}), alone
        until = looks[: index + 1]
        self.fd = np.array([measure(each, "fd") for each in until])
        self.diversity = np.array([measure(each, "diversity") for each in until])
        self.lost = np.array([len(gone(each, limits)) / max(1, len(self.kinds)) for each in until])
        self.relative = self.fd[-1] / max(float(look.get("fd_of_one", np.nan)), 1e-12)
        self.copies, self.gone = measure(look, "copies"), gone(look, limits)
        self.accuracy_real, self.accuracy_fake = _mean(since, "accuracy_real"), _mean(since, "accuracy_fake")
        self.update_generator = _mean(since, "update_generator")
        self.update_discriminator = _mean(since, "update_discriminator")

    @property
    def improves(self) -> bool:
        """Say whether one of the last two looks was better than all before; the first looks are given the time.

        A run that improves is accused of little: early on every generator makes few kinds, and fools a young D.
        """
        if len(self.fd) < 4:
            return not self.alone
        return bool(self.fd[-2:].min() < (1 - self.limits.better) * self.fd[:-2].min())

    @property
    def which(self) -> str:
        """Return in words what is gone."""
        names = [name + ("" if self.kinds[name][0] else " (no training image shows it)") for name in self.gone[:4]]
        shown = ", ".join(names) + (f" and {len(self.gone) - 4} more" if len(self.gone) > 4 else "")
        return f"{len(self.gone)} of {len(self.kinds)} kinds of images are hardly ever made: {shown}"


def _mean(rows: Sequence[Row], name: str) -> float:
    values = [row[name] for row in rows if row.get(name) is not None]
    return float(np.mean(values)) if values else float("nan")


def _memorising(now: _Now, limits: Thresholds) -> str:
    text = f"{now.copies:.0%} of the samples are nearer to a training image than such images are to each other"
    return text if now.copies > limits.copies else ""


def _d_sleeps(now: _Now, limits: Thresholds) -> str:
    return "D's weights hardly move: nothing tells G what is wrong" if now.update_discriminator < limits.asleep else ""


def _g_sleeps(now: _Now, limits: Thresholds) -> str:
    return "G's weights hardly move" if now.update_generator < limits.asleep else ""


def _full_collapse(now: _Now, limits: Thresholds) -> str:
    """A generator that has yet to learn is no collapse: variety is lost, or it never came and nothing improves."""
    fell = now.diversity[-1] < limits.fallen * now.diversity.max() or now.lost[-1] > now.lost.min()
    if now.improves and not fell:
        return ""
    if now.diversity[-1] < limits.collapsed_diversity:
        return f"samples differ from each other {now.diversity[-1]:.0%} as much as real images do"
    return now.which if now.lost[-1] > limits.collapsed_kinds else ""


def _generator_wins(now: _Now, limits: Thresholds) -> str:
    fooled = now.accuracy_fake < limits.fooled and not now.improves
    return f"D takes {1 - now.accuracy_fake:.0%} of the fakes for real" if fooled else ""


def _discriminator_wins(now: _Now, limits: Thresholds) -> str:
    right = min(now.accuracy_real, now.accuracy_fake)
    if right > limits.sure and now.relative > limits.poor and not now.improves:
        return f"D is right about {right:.0%} of the images, and samples are poor and do not get better"
    return ""


def _oscillating(now: _Now, limits: Thresholds) -> str:
    recent = now.fd[-limits.turns :]
    steps = np.diff(recent)
    if len(recent) < limits.turns:
        return ""
    swing, turns = float(np.abs(steps).mean() / recent.mean()), int((np.sign(steps[1:]) != np.sign(steps[:-1])).sum())
    if swing > limits.swing and turns >= len(steps) // 2:
        return f"fd goes up and down by {swing:.0%} from look to look"
    return ""


def _worthless(now: _Now, limits: Thresholds) -> str:
    if now.relative > limits.worthless and not now.improves:
        return f"fd is {now.fd[-1]:.3g}: one average image, over and over, would get {now.fd[-1] / now.relative:.3g}"
    return ""


def _blown_up(now: _Now, limits: Thresholds) -> str:
    best = float(now.fd.min())
    if now.fd[-1] > limits.blown_up * best and now.relative > limits.poor:
        return f"fd is {now.fd[-1]:.3g}, after {best:.3g} at its best"
    return ""


def _partial_collapse(now: _Now, limits: Thresholds) -> str:
    """Kinds may come late: while samples are poor and improve, or from look to look."""
    coming = (len(now.lost) > 1 and now.lost[-1] < now.lost[-2]) or (now.improves and now.relative > limits.poor)
    return now.which if now.lost[-1] >= limits.lost_kinds and not coming else ""


def _stalled(now: _Now, limits: Thresholds) -> str:
    if now.relative > limits.poor and not now.improves:
        return f"fd is {now.fd[-1]:.3g} and does not get better; it was {now.fd.min():.3g} at its best"
    return ""


@dataclass(frozen=True)
class _Rule:
    """What leads to a verdict, and how many looks in a row it must hold."""

    verdict: str
    reason: Callable[[_Now, Thresholds], str]  # "" where it does not hold
    looks: int
    needs_history: bool = False  # a look alone cannot show it


RULES = (  # the first that holds is the verdict
    _Rule("generator_wins", _d_sleeps, 2),
    _Rule("stalled", _g_sleeps, 2),
    _Rule("memorising", _memorising, 2),
    _Rule("full_collapse", _full_collapse, 2),
    _Rule("discriminator_wins", _discriminator_wins, 3, needs_history=True),
    _Rule("oscillating", _oscillating, 2, needs_history=True),
    _Rule("diverged", _worthless, 2),
    _Rule("partial_collapse", _partial_collapse, 3),
    _Rule("diverged", _blown_up, 2, needs_history=True),
    _Rule("generator_wins", _generator_wins, 3),
    _Rule("stalled", _stalled, 3, needs_history=True),
)


def judge(rows: Sequence[Row], looks: Sequence[Row], limits: Thresholds | None = None) -> Verdict:
    """Return the verdict at the last look, with the look from which on it held.

    ``rows`` are those of log.jsonl, ``looks`` those of looks.jsonl in order, at least one.
    """
    limits = limits or Thresholds()
    moments = [_Now(rows, looks, index, limits) for index in range(len(looks))]
    for rule in RULES:
        held = _held(rule, moments, limits)
        if held >= rule.looks:
            return Verdict(rule.verdict, (rule.reason(moments[-1], limits),), moments[-held].kimg)
    return Verdict(HEALTHY, (_trend(moments),))


def judge_once(rows: Sequence[Row], look: Row, limits: Thresholds | None = None) -> Verdict:
    """Return the verdict of a run that was looked at once, at its end; what needs a history is never said."""
    limits = limits or Thresholds()
    now = _Now(rows, [look], 0, limits, alone=True)
    for rule in RULES:
        if not rule.needs_history and (reason := rule.reason(now, limits)):
            return Verdict(rule.verdict, (reason,))
    return Verdict(HEALTHY, (_trend([now]),))


def _held(rule: _Rule, moments: Sequence[_Now], limits: Thresholds) -> int:
    """Return how many looks in a row, up to the last, a rule held."""
    count = 0
    while count < len(moments) and rule.reason(moments[-1 - count], limits):
        count += 1
    return count


def _trend(moments: Sequence[_Now]) -> str:
    fd = moments[-1].fd
    best = int(fd.argmin())
    if best == len(fd) - 1:
        return f"fd is {fd[-1]:.3g}" + (f", the best so far; it was {fd[0]:.3g} at first" if best else "")
    return f"fd is {fd[-1]:.3g}; it was best at {moments[best].kimg:,.1f} kimg: {fd[best]:.3g}"
