"""What is read from looks at a run (``watch.py``): numbers by name, kinds of images, and the limits of verdicts."""

from collections.abc import Sequence

import numpy as np

from gansmith.core.registry import FrozenModel
from gansmith.runs.log import Row


class Thresholds(FrozenModel):
    """Where a verdict begins. Chosen on runs of benchmarks/health, which also says how often they are right."""

    copies: float = 0.4  # share of samples nearer to a training image than such images are to each other
    collapsed_diversity: float = 0.5  # distance between samples over that between real images
    fallen: float = 0.7  # diversity over the largest before, under which variety was lost
    collapsed_kinds: float = 0.6  # share of the kinds of images that are gone
    lost_kinds: float = 0.1
    made_below: float = 0.15  # of its share of the real images, under which a kind counts as gone
    rarely_made: float = 0.3  # the same while D is at chance
    at_chance: float = 1.05  # sum of D's accuracies on real and fake, under which D is at chance
    shown_below: float = 0.05  # of an even share of the real images, under which they do not show a kind
    asleep: float = 1e-6  # change of a network's weights in a step, over their norm
    fooled: float = 0.15  # D's accuracy on fakes below which G wins
    sure: float = 0.9  # D's accuracy on both sides above which it wins, where samples are poor and do not improve
    by_heart: float = 0.8  # D's accuracy on real images above which it knows them by heart, having seen them often
    often_epochs: float = 200  # how often it has then seen each
    poor: float = 0.3  # fd over that of one average image, above which samples are poor
    blown_up: float = 2.0  # fd over the best one before
    worthless: float = 1.5  # fd over that of one average image
    better: float = 0.03  # a lower fd is an improvement if it is lower by this share
    swing: float = 0.3  # mean change of fd from look to look over its mean
    turns: int = 5  # looks that the swing is measured on


def gone(row: Row, limits: Thresholds) -> list[str]:
    """Return the names of the kinds of images that a look found hardly any sample of."""
    return rare([row], limits.made_below, limits)


def is_shown(real: float, num_kinds: int, limits: Thresholds) -> bool:
    """Say whether a kind's share of the real images is more than what a classifier's mistakes make."""
    return real >= limits.shown_below / num_kinds


def rare(looks: Sequence[Row], share: float, limits: Thresholds) -> list[str]:
    """Return the kinds whose mean share of the samples is below ``share`` of what it should be.

    That is its share of the real images, or an even one where they do not show the kind.
    """
    kinds, out = looks[-1].get("kinds", {}), []
    for name, (real, _) in kinds.items():
        made = float(np.mean([look["kinds"][name][1] for look in looks]))
        if made < share * (real if is_shown(real, len(kinds), limits) else 1 / len(kinds)):
            out.append(name)
    return out
