"""Verdicts on a run's health, with reasons, from its log rows and snapshots."""

# Log rows hold D's scores and how far weights move; snapshots hold metrics of samples. A GAN's losses decide nothing
# here: D may be right about every fake while the generator still improves.

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from gansmith.core.errors import some_of
from gansmith.core.events import VerdictName
from gansmith.evaluation.thresholds import Thresholds, gone, is_shown, rare
from gansmith.runs.log import Row, measure

HEALTHY: Final = "healthy"

TITLES: dict[str, str] = {
    HEALTHY: "healthy",
    "memorization": "memorization (overfitting)",
    "full_collapse": "full mode collapse",
    "partial_collapse": "partial mode collapse",
    "generator_wins": "G wins",
    "discriminator_wins": "D wins",
    "oscillating": "oscillating",
    "diverged": "diverged",
    "stalled": "stalled",
    "lagging_average": "the average lags",
    "grainy": "grainy",
    "blurred": "blurred",
}
HOPELESS = ("full_collapse", "diverged")  # patience ends these at once, and rollbacks are for them
STEADY = 3  # snapshots over which a mode's share is averaged
COLLAPSES = ("full_collapse", "partial_collapse")


@dataclass(frozen=True)
class Verdict:
    """The state of a run, since when, and the reasons."""

    name: VerdictName
    reasons: tuple[str, ...] = ()
    began_kimg: float | None = None

    @property
    def title(self) -> str:
        """Return the name in words."""
        return TITLES[self.name]

    @property
    def message(self) -> str:
        """Return title, beginning and reasons in one line."""
        since = "" if self.began_kimg is None else f" since {self.began_kimg:,.1f} kimg"
        return f"{self.title}{since}: {'; '.join(self.reasons)}"


class _Moment:
    """What was known at one snapshot: all snapshots until then, and the log rows since the snapshot before."""

    def __init__(
        self, rows: Sequence[Row], snapshots: Sequence[Row], index: int, limits: Thresholds, alone: bool = False
    ) -> None:
        snapshot, before = snapshots[index], snapshots[index - 1]["iteration"] if index else -1
        logged = [row for row in rows if "event" not in row and row["iteration"] < snapshot["iteration"]]
        # The snapshot at the end may follow another at once, with no row between them.
        since = [row for row in logged if row["iteration"] >= before] or logged[-1:]
        self.kimg, self.limits, self.alone = float(snapshot["kimg"]), limits, alone
        self.modes = snapshot.get("modes", {})
        until = snapshots[: index + 1]
        self.fd = np.array([measure(each, "fd") for each in until])
        self.diversity = np.array([measure(each, "diversity") for each in until])
        self.lost = np.array([len(gone(each, limits)) / max(1, len(self.modes)) for each in until])
        self.raw_fd, self.averaged_fd = measure(snapshot, "raw_fd"), measure(snapshot, "averaged_fd")
        self.texture, self.flat = measure(snapshot, "texture"), measure(snapshot, "texture_median")
        self.relative = self.fd[-1] / max(float(snapshot.get("fd_of_one", np.nan)), 1e-12)
        self.copies = measure(snapshot, "copies")
        self.epoch = max((row.get("epoch") or 0.0 for row in since), default=0.0)
        self.accuracy_real, self.accuracy_fake = _mean(since, "accuracy_real"), _mean(since, "accuracy_fake")
        at_chance = self.accuracy_real + self.accuracy_fake < limits.at_chance
        share = limits.rarely_made if at_chance else limits.made_below
        self.gone, self.rare = gone(snapshot, limits), rare(until[-STEADY:], share, limits)
        self.is_steady = alone or len(until) >= STEADY
        self.update_generator = _mean(since, "update_generator")
        self.update_discriminator = _mean(since, "update_discriminator")

    @property
    def improves(self) -> bool:
        """Say whether one of the last two snapshots has a better fd than all before; True for the first three.

        While fd improves, few verdicts are raised: early on every generator makes few modes and fools a young D.
        """
        if len(self.fd) < 4:
            return not self.alone
        return bool(self.fd[-2:].min() < (1 - self.limits.better) * self.fd[:-2].min())

    def describe(self, modes: Sequence[str]) -> str:
        """Return a sentence that names modes as missing."""

        def named(mode: str) -> str:
            shown = is_shown(self.modes[mode][0], len(self.modes), self.limits)
            return mode if shown else f"{mode} (hardly a training image shows it)"

        names = some_of([named(mode) for mode in modes], 4)
        return f"{len(modes)} of {len(self.modes)} modes are missing from the samples or rare: {names}"


def _mean(rows: Sequence[Row], name: str) -> float:
    values = [row[name] for row in rows if row.get(name) is not None]
    return float(np.mean(values)) if values else float("nan")


def _memorization(now: _Moment, limits: Thresholds) -> str:
    text = f"{now.copies:.0%} of the samples are nearer to a training image than training images are to each other"
    return text if now.copies > limits.copies else ""


def _memorized(now: _Moment, limits: Thresholds) -> str:
    """Adaptive augmentation detects overfitting likewise, by r_t > 0.6.

    Source: Karras et al. 2020, arXiv:2006.06676, section 3.
    """
    if now.accuracy_real > limits.memorized and now.epoch > limits.often_epochs:
        return f"D has seen each image {now.epoch:,.0f} times and has memorized {now.accuracy_real:.0%} of them"
    return ""


def _d_sleeps(now: _Moment, limits: Thresholds) -> str:
    asleep = now.update_discriminator < limits.asleep
    return "D's weights hardly change, so G gets no useful gradient" if asleep else ""


def _g_sleeps(now: _Moment, limits: Thresholds) -> str:
    return "G's weights hardly change" if now.update_generator < limits.asleep else ""


def _full_collapse(now: _Moment, limits: Thresholds) -> str:
    """Variety was lost, or it never came and fd does not improve: a generator that still learns has no collapse."""
    fell = now.diversity[-1] < limits.fallen * now.diversity.max() or now.lost[-1] > now.lost.min()
    if now.improves and not fell:
        return ""
    if now.diversity[-1] < limits.collapsed_diversity:
        return f"diversity of the samples is {now.diversity[-1]:.0%} of the real images' diversity"
    return now.describe(now.gone) if now.lost[-1] > limits.collapsed_modes else ""


def _generator_wins(now: _Moment, limits: Thresholds) -> str:
    fooled = now.accuracy_fake < limits.fooled and not now.improves
    return f"D takes {1 - now.accuracy_fake:.0%} of the fakes for real" if fooled else ""


def _discriminator_wins(now: _Moment, limits: Thresholds) -> str:
    right = min(now.accuracy_real, now.accuracy_fake)
    if right > limits.sure and now.relative > limits.poor and not now.improves:
        return f"D is right about {right:.0%} of the images, and samples are poor and do not improve"
    return ""


def _oscillating(now: _Moment, limits: Thresholds) -> str:
    recent = now.fd[-limits.turns :]
    steps = np.diff(recent)
    if len(recent) < limits.turns:
        return ""
    swing, turns = float(np.abs(steps).mean() / recent.mean()), int((np.sign(steps[1:]) != np.sign(steps[:-1])).sum())
    if swing > limits.swing and turns >= len(steps) // 2:
        return f"fd rises and falls by {swing:.0%} between snapshots"
    return ""


def _worthless(now: _Moment, limits: Thresholds) -> str:
    if now.relative > limits.worthless and not now.improves:
        return f"fd is {now.fd[-1]:.3g}; repeating one average image would give {now.fd[-1] / now.relative:.3g}"
    return ""


def _blown_up(now: _Moment, limits: Thresholds) -> str:
    best = float(now.fd.min())
    if now.fd[-1] > limits.blown_up * best and now.relative > limits.poor:
        return f"fd is {now.fd[-1]:.3g}; its best value was {best:.3g}"
    return ""


def _partial_collapse(now: _Moment, limits: Thresholds) -> str:
    """Shares are averaged over snapshots: single snapshots miss a mode, and modes may come late while fd improves."""
    fewer = len(now.lost) > 1 and now.lost[-1] < now.lost[:-1].min()
    coming = now.improves and (now.relative > limits.poor or fewer)
    enough = len(now.rare) >= limits.lost_modes * len(now.modes) > 0
    return now.describe(now.rare) if now.is_steady and enough and not coming else ""


def _stalled(now: _Moment, limits: Thresholds) -> str:
    if now.relative > limits.poor and not now.improves:
        return f"fd is {now.fd[-1]:.3g} and does not improve; its best value was {now.fd.min():.3g}"
    return ""


def _lags(now: _Moment, limits: Thresholds) -> str:
    """Weights of long ago: what they say of variety says nothing of the generator that trains."""
    if now.raw_fd < limits.lags * now.averaged_fd:
        return (
            f"the averaged weights have fd {now.averaged_fd:.3g}, the weights without averaging {now.raw_fd:.3g}: "
            "the average is over too many images"
        )
    return ""


def _grainy(now: _Moment, limits: Thresholds) -> str:
    """Grain is judged once samples are no longer poor: until then detail comes and goes."""
    if now.improves and now.relative > limits.poor:
        return ""
    if now.texture > limits.grainy:
        return f"the samples have {now.texture:.2f} times the fine detail of real images"
    if now.flat > limits.noisy_ground and now.texture > 1:
        return f"flat grounds are noisy: the median of the fine detail is {now.flat:.0f} gray levels above real images"
    return ""


def _blurred(now: _Moment, limits: Thresholds) -> str:
    if now.texture < limits.blurred and not now.improves:
        return f"the samples have {now.texture:.2f} times the fine detail of real images"
    return ""


@dataclass(frozen=True)
class _Rule:
    """A verdict, the check that leads to it, and for how many snapshots in a row the check must hold."""

    verdict: VerdictName
    reason: Callable[[_Moment, Thresholds], str]  # "" where it does not hold
    snapshots: int
    needs_history: bool = False  # one snapshot alone cannot show it


RULES = (  # the first that holds is the verdict
    _Rule("stalled", _g_sleeps, 2),  # before the next: a D that a sleeping G never challenges sleeps too
    _Rule("generator_wins", _d_sleeps, 2),
    _Rule("lagging_average", _lags, 2),
    _Rule("memorization", _memorization, 2),
    _Rule("memorization", _memorized, 2),
    _Rule("full_collapse", _full_collapse, 2),
    _Rule("discriminator_wins", _discriminator_wins, 3, needs_history=True),
    _Rule("oscillating", _oscillating, 2, needs_history=True),
    _Rule("diverged", _worthless, 2),
    _Rule("partial_collapse", _partial_collapse, 1),
    _Rule("diverged", _blown_up, 2, needs_history=True),
    _Rule("generator_wins", _generator_wins, 3),
    _Rule("stalled", _stalled, 3, needs_history=True),
    _Rule("grainy", _grainy, 3),
    _Rule("blurred", _blurred, 3),
)


def diagnose(rows: Sequence[Row], snapshots: Sequence[Row], limits: Thresholds | None = None) -> Verdict:
    """Return the verdict at the last snapshot, and the kimg of the snapshot at which it began.

    ``rows`` are those of log.jsonl, ``snapshots`` those of snapshots.jsonl in order, at least one.
    """
    limits = limits or Thresholds()
    moments = [_Moment(rows, snapshots, index, limits) for index in range(len(snapshots))]
    for rule in RULES:
        held = _held(rule, moments, limits)
        if held >= rule.snapshots:
            return Verdict(rule.verdict, (rule.reason(moments[-1], limits),), moments[-held].kimg)
    return Verdict(HEALTHY, _trend(moments))


def diagnose_once(rows: Sequence[Row], snapshot: Row, limits: Thresholds | None = None) -> Verdict:
    """Return the verdict of a run with a single snapshot, made at its end; rules that need a history are left out."""
    limits = limits or Thresholds()
    now = _Moment(rows, [snapshot], 0, limits, alone=True)
    for rule in RULES:
        if not rule.needs_history and (reason := rule.reason(now, limits)):
            return Verdict(rule.verdict, (reason,))
    return Verdict(HEALTHY, _trend([now]))


def _held(rule: _Rule, moments: Sequence[_Moment], limits: Thresholds) -> int:
    """Return for how many snapshots in a row, up to the last, a rule held."""
    count = 0
    while count < len(moments) and rule.reason(moments[-1 - count], limits):
        count += 1
    return count


def _trend(moments: Sequence[_Moment]) -> tuple[str, ...]:
    """Return the trend of fd, and the modes that are still missing if they are many."""
    now = moments[-1]
    best, lost = int(now.fd.argmin()), now.limits.lost_modes * len(now.modes)
    text = f"fd is {now.fd[-1]:.3g}"
    if best < len(now.fd) - 1:
        text += f"; it was best at {moments[best].kimg:,.1f} kimg: {now.fd[best]:.3g}"
    elif best:
        text += f", the best so far; the first snapshot had {now.fd[0]:.3g}"
    return (text, f"so far {now.describe(now.gone)}") if len(now.gone) >= lost > 0 else (text,)
