"""Thresholds of the verdicts, and the modes that a snapshot is missing."""

from collections.abc import Sequence

import numpy as np

from gansmith.core.registry import FrozenModel
from gansmith.runs.log import Row


class Thresholds(FrozenModel):
    """Limits at which a verdict begins, chosen on the runs of benchmarks/health, which measures how often they hold."""

    copies: float = 0.4  # share of samples nearer to a training image than training images are to each other
    collapsed_diversity: float = 0.5  # distance between samples over distance between real images
    fallen: float = 0.7  # diversity over its highest value so far: below this, variety was lost
    collapsed_modes: float = 0.6  # share of the modes that are missing
    lost_modes: float = 0.1  # share of the modes that are rare
    made_below: float = 0.15  # share of samples over share of real images: below this, a mode is missing
    rarely_made: float = 0.3  # the same while D is at chance
    at_chance: float = 1.05  # sum of D's accuracies on real images and fakes: below this, D is at chance
    shown_below: float = 0.05  # share of real images over an even share: below this, they do not show a mode
    asleep: float = 1e-6  # change of a network's weights in one step over their norm
    fooled: float = 0.15  # D's accuracy on fakes: below this, G wins
    sure: float = 0.9  # D's accuracy on real images and on fakes: above this, D wins if samples stay poor
    memorized: float = 0.8  # D's accuracy on real images: above this, D has memorized them after often_epochs
    often_epochs: float = 200  # passes over the training images
    poor: float = 0.3  # fd over the fd of one average image: above this, samples are poor
    blown_up: float = 2.0  # fd over the best fd so far
    worthless: float = 1.5  # fd over the fd of one average image
    better: float = 0.03  # share by which fd has to fall to count as an improvement
    lags: float = 0.7  # fd of the raw weights over fd of the averaged ones: below this, the average lags
    grainy: float = 1.3  # texture, fine detail of samples over that of real images: above this, samples are grainy
    noisy_ground: float = 8.0  # gray levels of the median detail above real images: the same on flat grounds
    blurred: float = 0.7  # texture: below this, samples are blurred
    swing: float = 0.3  # mean change of fd between snapshots over mean fd
    turns: int = 5  # snapshots over which the swing is measured


def gone(snapshot: Row, limits: Thresholds) -> list[str]:
    """Return the names of the modes that hardly any sample of a snapshot belongs to."""
    return rare([snapshot], limits.made_below, limits)


def is_shown(real: float, num_modes: int, limits: Thresholds) -> bool:
    """Say whether a mode's share of the real images is larger than a classifier's mistakes."""
    return real >= limits.shown_below / num_modes


def rare(snapshots: Sequence[Row], share: float, limits: Thresholds) -> list[str]:
    """Return the modes whose mean share of the samples is below ``share`` of the expected share.

    A mode's expected share is its share of the real images, or an even share if the real images do not show it.
    """
    modes, out = snapshots[-1].get("modes", {}), []
    for name, (real, _) in modes.items():
        made = float(np.mean([snapshot.get("modes", {}).get(name, (0.0, 0.0))[1] for snapshot in snapshots]))
        if made < share * (real if is_shown(real, len(modes), limits) else 1 / len(modes)):
            out.append(name)
    return out
