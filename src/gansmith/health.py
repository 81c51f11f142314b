"""What the numbers of a run say about its health: verdicts with reasons and remedies, from the rows of its log.

A verdict rests on two kinds of rows: the ordinary ones (what D thinks, gradients, updates) and looks, which judge samples
(``watch.py``). A GAN's losses never decide alone: D may be right about every fake of a generator that still improves.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gansmith.registry import FrozenModel

HEALTHY = "healthy"
Row = dict[str, Any]


class Thresholds(FrozenModel):
    """Where a verdict begins. Chosen on the runs of benchmarks/health, which also tell how often they are right."""

    window: int = 5  # looks, or twentieths of the rows, that "now" is made of
    collapsed_diversity: float = 0.35  # diversity of samples over that of real images
    collapsed_modes: float = 0.7  # share of modes that are made hardly ever
    lost_modes: float = 0.1
    copies: float = 0.4  # share of samples nearer to a training image than such images are to each other
    blown_up: float = 3.0  # fd over the best one so far
    not_better: float = 0.03  # an fd lower by less than this share is no gain
    sure: float = 0.97  # D's accuracy above which it wins, where samples do not improve
    fooled: float = 0.2  # D's accuracy on fakes below which G wins
    swing: float = 0.35  # mean change of fd from look to look, up and down, over its mean
    poor: float = 0.5  # fd over that of the first look, above which a run has hardly learnt


@dataclass(frozen=True)
class Verdict:
    """What a run suffers from, since when, shown by what, and what to do."""

    name: str
    reasons: tuple[str, ...] = ()
    remedies: tuple[str, ...] = ()
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


TITLES = {
    HEALTHY: "healthy",
    "diverged": "diverged",
    "full_collapse": "full mode collapse",
    "partial_collapse": "partial mode collapse",
    "memorising": "memorising",
    "generator_wins": "G wins",
    "discriminator_wins": "D wins",
    "oscillating": "oscillating",
    "stalled": "stalled",
}
HOPELESS = ("diverged", "full_collapse")  # patience ends these at once, and rollbacks are for them

REMEDIES = {
    "diverged": ("halve the learning rate", "put norm=batch or a penalty on D"),
    "full_collapse": (
        "one G step for each D step: generator_steps=1",
        "halve G's learning rate",
        "a larger batch_size",
    ),
    "partial_collapse": (
        "train longer: modes often come late",
        "a larger batch_size",
        "tell the labels: conditional=true",
    ),
    "memorising": ("more images", "stop earlier: the best checkpoint is kept", "a smaller generator"),
    "generator_wins": ("a larger D, or a higher learning rate for it", "more D steps: discriminator_steps=2"),
    "discriminator_wins": (
        "a lower learning rate for D",
        "loss=non_saturating where it was minimax",
        "label smoothing: loss.real_label=0.9",
    ),
    "oscillating": ("halve both learning rates", "beta1=0.5", "a longer average: ema_half_life_kimg=20"),
    "stalled": ("a higher learning rate for G", "a larger generator"),
}


class Looks:
    """The looks of a log in order, their columns found by what they measure whatever protocol is in their names."""

    def __init__(self, rows: Sequence[Row]) -> None:
        self.rows = [row for row in rows if fd_column(row)]
        self.kimg = [float(row["kimg"]) for row in self.rows]
        self.fd = self._values(lambda name: name.startswith(("fd", "fid")))

    def __len__(self) -> int:
        return len(self.rows)

    def of(self, measure: str) -> np.ndarray:
        """Return the values (looks,) of ``coverage``, ``diversity``, ``copies`` or ``missing``; NaN where absent."""
        return self._values(lambda name: name.startswith(measure))

    def _values(self, accept: Callable[[str], bool]) -> np.ndarray:
        found = [[value for name, value in row.items() if accept(name) and value is not None] for row in self.rows]
        return np.array([values[0] if values else np.nan for values in found], dtype=np.float64)


def fd_column(row: Row) -> str:
    """Return the name of the Fréchet distance in a row, or ""."""
    return next((name for name in row if name.startswith(("fd", "fid")) and row[name] is not None), "")


def best_look(rows: Sequence[Row]) -> Row | None:
    """Return the look with the lowest Fréchet distance."""
    looks = [row for row in rows if fd_column(row)]
    return min(looks, key=lambda row: float(row[fd_column(row)]), default=None)


def judge(rows: Sequence[Row], thresholds: Thresholds | None = None) -> Verdict:
    """Return the verdict of a log as it is now, with the moment from which it held without a break."""
    limits = thresholds or Thresholds()
    looks = Looks(rows)
    now = _at(rows, looks, limits)
    if now.name == HEALTHY:
        return now
    began = looks.kimg[-1] if len(looks) else None
    for count in range(len(looks) - 1, 0, -1):
        earlier = Looks(looks.rows[:count])
        until = [row for row in rows if float(row["kimg"]) <= earlier.kimg[-1]]
        if _at(until, earlier, limits).name != now.name:
            break
        began = earlier.kimg[-1]
    return Verdict(now.name, now.reasons, now.remedies, began)


def _at(rows: Sequence[Row], looks: Looks, limits: Thresholds) -> Verdict:
    """Return what holds at the end of these rows: the first rule that speaks, gravest first."""
    if not len(looks):
        return Verdict(HEALTHY)
    opinions = _Opinions(rows, limits.window)
    for rule in RULES:
        name, reasons = rule(looks, opinions, limits)
        if name:
            return Verdict(name, reasons, REMEDIES[name])
    return Verdict(HEALTHY, (_trend(looks, limits),))


class _Opinions:
    """What D thought lately, as means over the last rows; NaN where the log does not say."""

    def __init__(self, rows: Sequence[Row], window: int) -> None:
        plain = [row for row in rows if "event" not in row and "accuracy_fake" in row]
        recent = plain[-max(1, len(plain) * window // 20) :]
        self.accuracy_real = _mean(recent, "accuracy_real")
        self.accuracy_fake = _mean(recent, "accuracy_fake")


def _mean(rows: Sequence[Row], name: str) -> float:
    values = [row[name] for row in rows if row.get(name) is not None]
    return float(np.mean(values)) if values else float("nan")


Ruling = tuple[str, tuple[str, ...]]
NOTHING: Ruling = ("", ())


def _diverged(looks: Looks, opinions: _Opinions, limits: Thresholds) -> Ruling:
    best, last = float(np.nanmin(looks.fd)), float(looks.fd[-1])
    if len(looks) >= 3 and last > limits.blown_up * best and last > limits.poor * looks.fd[0]:
        return "diverged", (f"fd is {last:.3g}, after {best:.3g} at its best", "samples are as bad as at the start")
    return NOTHING


def _full_collapse(looks: Looks, opinions: _Opinions, limits: Thresholds) -> Ruling:
    diversity, missing = looks.of("diversity")[-1], looks.of("missing")[-1]
    if diversity < limits.collapsed_diversity:
        return "full_collapse", (f"samples differ {diversity:.0%} as much from each other as real images do",)
    if missing > limits.collapsed_modes:
        return "full_collapse", (f"{missing:.0%} of the kinds of images are hardly ever made",)
    return NOTHING


def _memorising(looks: Looks, opinions: _Opinions, limits: Thresholds) -> Ruling:
    copies = looks.of("copies")[-1]
    if copies > limits.copies:
        return "memorising", (
            f"{copies:.0%} of the samples are nearer to a training image than those are to each other",
        )
    return NOTHING


def _generator_wins(looks: Looks, opinions: _Opinions, limits: Thresholds) -> Ruling:
    if opinions.accuracy_fake < limits.fooled:
        return "generator_wins", (f"D takes {1 - opinions.accuracy_fake:.0%} of the fakes for real",)
    return NOTHING


def _discriminator_wins(looks: Looks, opinions: _Opinions, limits: Thresholds) -> Ruling:
    both = min(opinions.accuracy_real, opinions.accuracy_fake)
    if both > limits.sure and not _improves(looks, limits) and looks.fd[-1] > limits.poor * looks.fd[0]:
        return "discriminator_wins", (f"D is right about {both:.0%} of the images, and samples do not get better",)
    return NOTHING


def _partial_collapse(looks: Looks, opinions: _Opinions, limits: Thresholds) -> Ruling:
    missing = looks.of("missing")
    recent = missing[-min(3, len(missing)) :]
    if len(looks) >= 3 and float(np.min(recent)) >= limits.lost_modes:
        return "partial_collapse", (f"{missing[-1]:.0%} of the kinds of images are hardly ever made",)
    return NOTHING


def _oscillating(looks: Looks, opinions: _Opinions, limits: Thresholds) -> Ruling:
    recent = looks.fd[-limits.window - 1 :]
    steps = np.diff(recent)
    if len(steps) < limits.window:
        return NOTHING
    swing = float(np.abs(steps).mean() / recent.mean())
    turns = int((np.sign(steps[1:]) != np.sign(steps[:-1])).sum())
    if swing > limits.swing and turns >= len(steps) // 2:
        return "oscillating", (f"fd goes up and down by {swing:.0%} from look to look",)
    return NOTHING


def _stalled(looks: Looks, opinions: _Opinions, limits: Thresholds) -> Ruling:
    if len(looks) > limits.window and not _improves(looks, limits) and looks.fd[-1] > limits.poor * looks.fd[0]:
        return "stalled", (f"fd is {looks.fd[-1]:.3g}, where it began at {looks.fd[0]:.3g}",)
    return NOTHING


RULES = (
    _diverged,
    _full_collapse,
    _memorising,
    _generator_wins,
    _discriminator_wins,
    _oscillating,
    _partial_collapse,
    _stalled,
)


def _improves(looks: Looks, limits: Thresholds) -> bool:
    """Say whether the best fd of the last looks is better than any before; the first looks are given the time."""
    if len(looks) <= limits.window:
        return True
    before, lately = np.nanmin(looks.fd[: -limits.window]), np.nanmin(looks.fd[-limits.window :])
    return bool(lately < (1 - limits.not_better) * before)


def _trend(looks: Looks, limits: Thresholds) -> str:
    if len(looks) < 2:
        return f"fd is {looks.fd[-1]:.3g}"
    best = int(np.nanargmin(looks.fd))
    if _improves(looks, limits):
        return f"fd fell from {looks.fd[0]:.3g} to {looks.fd[-1]:.3g} and still falls"
    return f"fd was best at {looks.kimg[best]:,.1f} kimg ({looks.fd[best]:.3g}), now {looks.fd[-1]:.3g}"
