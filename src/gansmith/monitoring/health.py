"""What the numbers of a run say about its health: verdicts with reasons, from its rows and its looks.

Rows tell what D thinks and how far weights move; looks (``watch.py``) judge samples. A GAN's losses decide nothing
here: D may be right about every fake of a generator that still improves.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from gansmith.monitoring.thresholds import Thresholds, gone, is_shown, rare
from gansmith.runs.log import Row, measure

HEALTHY = "healthy"

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
STEADY = 3  # looks that the share of a kind is the mean of
COLLAPSES = ("full_collapse", "partial_collapse")


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


class _Now:
    """What was known at one look: numbers of all looks until then, and D's opinions since the look before."""

    def __init__(
        self, rows: Sequence[Row], looks: Sequence[Row], index: int, limits: Thresholds, alone: bool = False
    ) -> None:
        look, before = looks[index], looks[index - 1]["iteration"] if index else -1
        told = [row for row in rows if "event" not in row and row["iteration"] < look["iteration"]]
        since = [row for row in told if row["iteration"] >= before] or told[-1:]  # a look at the end may follow at once
        self.kimg, self.limits, self.kinds, self.alone = float(look["kimg"]), limits, look.get("kinds", {}), alone
        until = looks[: index + 1]
        self.fd = np.array([measure(each, "fd") for each in until])
        self.diversity = np.array([measure(each, "diversity") for each in until])
        self.lost = np.array([len(gone(each, limits)) / max(1, len(self.kinds)) for each in until])
        self.relative = self.fd[-1] / max(float(look.get("fd_of_one", np.nan)), 1e-12)
        self.copies, self.epoch = measure(look, "copies"), max((row.get("epoch", 0.0) for row in since), default=0.0)
        self.accuracy_real, self.accuracy_fake = _mean(since, "accuracy_real"), _mean(since, "accuracy_fake")
        at_chance = self.accuracy_real + self.accuracy_fake < limits.at_chance
        share = limits.rarely_made if at_chance else limits.made_below
        self.gone, self.rare = gone(look, limits), rare(until[-STEADY:], share, limits)
        self.is_steady = alone or len(until) >= STEADY
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

    def which(self, kinds: Sequence[str]) -> str:
        """Return in words which kinds are hardly made."""

        def named(kind: str) -> str:
            shown = is_shown(self.kinds[kind][0], len(self.kinds), self.limits)
            return kind if shown else f"{kind} (hardly a training image shows it)"

        more = f" and {len(kinds) - 4} more" if len(kinds) > 4 else ""
        names = ", ".join(named(kind) for kind in kinds[:4])
        return f"{len(kinds)} of {len(self.kinds)} kinds of images are hardly ever made: {names}{more}"


def _mean(rows: Sequence[Row], name: str) -> float:
    values = [row[name] for row in rows if row.get(name) is not None]
    return float(np.mean(values)) if values else float("nan")


def _memorising(now: _Now, limits: Thresholds) -> str:
    text = f"{now.copies:.0%} of the samples are nearer to a training image than such images are to each other"
    return text if now.copies > limits.copies else ""


def _by_heart(now: _Now, limits: Thresholds) -> str:
    """As adaptive augmentation tells overfitting, by r_t > 0.6: Karras et al. 2020, arXiv:2006.06676, section 3."""
    if now.accuracy_real > limits.by_heart and now.epoch > limits.often_epochs:
        return f"D has seen each image {now.epoch:,.0f} times and knows {now.accuracy_real:.0%} of them by heart"
    return ""


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
    return now.which(now.gone) if now.lost[-1] > limits.collapsed_kinds else ""


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
    """Kinds may come late, while samples are poor and improve; and now and then a look misses one."""
    coming = now.improves and now.relative > limits.poor
    enough = len(now.rare) >= limits.lost_kinds * len(now.kinds) > 0
    return now.which(now.rare) if now.is_steady and enough and not coming else ""


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
    _Rule("stalled", _g_sleeps, 2),  # before the next: a D that a sleeping G never challenges sleeps too
    _Rule("generator_wins", _d_sleeps, 2),
    _Rule("memorising", _memorising, 2),
    _Rule("memorising", _by_heart, 2),
    _Rule("full_collapse", _full_collapse, 2),
    _Rule("discriminator_wins", _discriminator_wins, 3, needs_history=True),
    _Rule("oscillating", _oscillating, 2, needs_history=True),
    _Rule("diverged", _worthless, 2),
    _Rule("partial_collapse", _partial_collapse, 1),
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
    return Verdict(HEALTHY, _trend(moments))


def diagnose_once(rows: Sequence[Row], look: Row, limits: Thresholds | None = None) -> Verdict:
    """Return the verdict of a run that was looked at once, at its end; what needs a history is never said."""
    limits = limits or Thresholds()
    now = _Now(rows, [look], 0, limits, alone=True)
    for rule in RULES:
        if not rule.needs_history and (reason := rule.reason(now, limits)):
            return Verdict(rule.verdict, (reason,))
    return Verdict(HEALTHY, _trend([now]))


def _held(rule: _Rule, moments: Sequence[_Now], limits: Thresholds) -> int:
    """Return how many looks in a row, up to the last, a rule held."""
    count = 0
    while count < len(moments) and rule.reason(moments[-1 - count], limits):
        count += 1
    return count


def _trend(moments: Sequence[_Now]) -> tuple[str, ...]:
    """Return where fd stands, and the kinds of images that are still to come, if there are many."""
    now = moments[-1]
    best, lost = int(now.fd.argmin()), now.limits.lost_kinds * len(now.kinds)
    text = f"fd is {now.fd[-1]:.3g}"
    if best < len(now.fd) - 1:
        text += f"; it was best at {moments[best].kimg:,.1f} kimg: {now.fd[best]:.3g}"
    elif best:
        text += f", the best so far; it was {now.fd[0]:.3g} at first"
    return (text, f"so far {now.which(now.gone)}") if len(now.gone) >= lost > 0 else (text,)
