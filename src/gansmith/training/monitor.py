"""Looks at a run while it trains: samples judged at checkpoints, within a small share of the run's time."""

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from gansmith.data.base import ImageData
from gansmith.evaluation.snapshot import SnapshotEvaluator, draws_of_looks
from gansmith.methods.base import Fixed
from gansmith.methods.capabilities import samples_from_latents
from gansmith.methods.sampling import generate, sample_batch
from gansmith.parts.extractors.base import Extractor
from gansmith.parts.metrics.base import squared_distances
from gansmith.recipes.recipe import MonitorOptions
from gansmith.runs.length import RunLength
from gansmith.training.state import RunState

SHARE = 0.04  # of the run's time, as predicted; with what predictions miss it stays below 5 %
RHYTHMS = (1, *(factor * 2**power for power in range(20) for factor in (2, 3)))  # checkpoints from look to look
FEWEST_LOOKS, SHORTEST_SEC = 3, 8.0


class Monitor:
    """Draws the same latents at every look and judges what the averaged generator makes of them."""

    def __init__(self, state: RunState, data: ImageData, options: MonitorOptions, extractor: Extractor) -> None:
        self._options, self._batch = options, sample_batch(data.spec.height, data.spec.width)
        self._extractor, self._data, self._state = extractor, data, state
        self._eye: SnapshotEvaluator | None = None
        assert samples_from_latents(state.method)
        self._fixed = draws_of_looks(state.method, data, options, state.seed)

    def look(self) -> dict[str, Any]:
        """Return a look at the generator as it is now."""
        if self._eye is None:
            self._eye = SnapshotEvaluator.open(self._data, self._extractor, self._options)
        return self._eye.look(self._generate(self._fixed))

    def protocol(self) -> dict[str, Any]:
        """Return what the numbers depend on apart from the generator."""
        return {
            "features": self._extractor.name,
            "features_sha256": self._extractor.sha256,
            "num_fake": self._options.images,
            "num_real": min(self._options.reference, len(self._data)),
            "reference": "training images",
            "weights": "averaged",
        }

    def cost_sec(self) -> tuple[float, float]:
        """Return about how long the look at real images takes, and each look at samples, from one batch of each."""
        labels = self._fixed.labels
        few = replace(self._fixed, inputs=self._fixed.inputs[: self._batch], labels=labels if labels is None else
                      labels[: self._batch])  # fmt: skip
        real, fake = min(self._options.reference, len(self._data)), self._options.images
        images = self._generate(few)
        width = self._extractor(images)[0].shape[1]  # the first of anything takes longer
        draw = _seconds(lambda: self._generate(few)) / len(images)
        see = _seconds(lambda: self._extractor(images)) / len(images)
        some, all_real = torch.ones(fake // 4, width), torch.ones(real, width)
        compare = 4 * _seconds(lambda: squared_distances(some, all_real).sqrt().min(1))
        solve = _seconds(lambda: torch.linalg.eigvalsh(torch.eye(width, dtype=torch.float64)))
        return real * see + 3 * compare, fake * (draw + see) + 2 * compare + 3 * solve

    def _generate(self, fixed: Fixed) -> np.ndarray:
        return generate(self._state.method.preview, self._state.preview_networks(), fixed, self._batch)


def choose_interval(plan: RunLength, options: MonitorOptions, img_per_sec: float, watch: Monitor | None) -> int:
    """Return every how many iterations to look, a multiple of those between checkpoints; 0 for never.

    As often as ``options.look_kimg`` says, else as SHARE of the run's time allows, and never where that is too little
    for FEWEST_LOOKS. Few rhythms are allowed, so that the same run on the same machine has the same looks.
    """
    if watch is None or options.look_kimg == 0:
        return 0
    if options.look_kimg is not None:
        per_kimg = plan.iterations / plan.schedule_kimg
        return plan.checkpoint_every * max(1, round(options.look_kimg * per_kimg / plan.checkpoint_every))
    seconds = plan.schedule_kimg * 1000 / max(img_per_sec, 1e-9)
    if seconds < SHORTEST_SEC:
        return 0
    first, each = watch.cost_sec()
    allowed, planned = (SHARE * seconds - first) / each, plan.iterations / plan.checkpoint_every
    fitting = (rhythm for rhythm in RHYTHMS if FEWEST_LOOKS <= planned / rhythm <= allowed)
    return plan.checkpoint_every * next(fitting, 0)


def _seconds(work: Callable[[], Any]) -> float:
    """Return the median time of five: other processes make some of such short times many times as long."""
    times = []
    for _ in range(5):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return sorted(times)[2]
