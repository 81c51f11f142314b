"""Snapshots while a run trains: metrics of samples, within 5 % of the run's time."""

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from gansmith.data.base import ImageData
from gansmith.evaluation.snapshot import SnapshotEvaluator, snapshot_inputs
from gansmith.imaging.images import sample_batch
from gansmith.methods.base import Fixed
from gansmith.methods.capabilities import samples_from_latents
from gansmith.methods.sampling import generate
from gansmith.parts.extractors.base import Extractor
from gansmith.parts.metrics.base import squared_distances
from gansmith.recipes.recipe import MonitorOptions
from gansmith.runs.length import RunLength
from gansmith.runs.record import SnapshotProtocol
from gansmith.training.state import RunState
from gansmith.training.time_limit import INTERVALS, SNAPSHOT_SHARE

FEWEST_SNAPSHOTS, SHORTEST_SEC = 3, 8.0
RAW_SHARE = 0.25  # of the images: so many are also drawn with the weights without averaging
SOLVED = 2 + 11 + 4  # eigenvalue problems of a snapshot: fd, its jackknife, fd of both kinds of weights


class Monitor:
    """Evaluates the averaged generator on the same latents at every snapshot."""

    def __init__(self, state: RunState, data: ImageData, options: MonitorOptions, extractor: Extractor) -> None:
        self._options, self._batch = options, sample_batch(data.spec.height, data.spec.width)
        self._extractor, self._data, self._state = extractor, data, state
        self._evaluator: SnapshotEvaluator | None = None
        assert samples_from_latents(state.method)
        self._fixed = snapshot_inputs(state.method, data, options, state.seed)

    def evaluate(self) -> dict[str, Any]:
        """Return the metrics of the present generator, by column of snapshots.jsonl."""
        return self.open_reference().evaluate(self._generate(self._fixed), self._generate_raw())

    def open_reference(self) -> SnapshotEvaluator:
        """Return the evaluator; the first call computes the features of the reference set."""
        if self._evaluator is None:
            self._evaluator = SnapshotEvaluator.open(self._data, self._extractor, self._options)
        return self._evaluator

    def protocol(self) -> SnapshotProtocol:
        """Return everything that the metrics depend on apart from the generator."""
        return SnapshotProtocol(
            features=self._extractor.name,
            features_sha256=self._extractor.sha256,
            num_fake=self._options.images,
            num_real=min(self._options.reference, len(self._data)),
            reference="training images",
            weights="averaged",
        )

    def cost_sec(self) -> tuple[float, float]:
        """Return estimated seconds for the reference set, and for each snapshot, measured on one batch of each."""
        few = _first(self._fixed, self._batch)
        real, fake = min(self._options.reference, len(self._data)), self._options.images
        images = self._generate(few)
        width = self._extractor(images)[0].shape[1]  # the first call of anything takes longer
        draw = _seconds(lambda: self._generate(few)) / len(images)
        extract = _seconds(lambda: self._extractor(images)) / len(images)
        some, all_real = torch.ones(fake // 4, width), torch.ones(real, width)
        compare = 4 * _seconds(lambda: squared_distances(some, all_real).sqrt().min(1))
        solve = _seconds(lambda: torch.linalg.eigvalsh(torch.eye(width, dtype=torch.float64)))
        drawn = fake * (draw + extract) * (1 + RAW_SHARE)
        return real * extract + 3 * compare, drawn + 2 * compare + SOLVED * solve

    def _generate(self, fixed: Fixed) -> np.ndarray:
        kind = self._data.spec.stored_type
        return generate(self._state.method.preview, self._state.preview_networks(), fixed, self._batch, kind)

    def _generate_raw(self) -> np.ndarray | None:
        """Return images of the first latents by the weights without averaging; None for a run without an average."""
        if not self._state.averages:
            return None
        fixed = _first(self._fixed, max(2, round(RAW_SHARE * self._options.images)))
        return generate(self._state.method.preview, self._state.method.networks, fixed, self._batch)


def _first(fixed: Fixed, count: int) -> Fixed:
    """Return the first ``count`` inputs."""
    labels = None if fixed.labels is None else fixed.labels[:count]
    return replace(fixed, inputs=fixed.inputs[:count], labels=labels)


def choose_interval(length: RunLength, options: MonitorOptions, img_per_sec: float, monitor: Monitor | None) -> int:
    """Return the iterations between snapshots, a multiple of the iterations between checkpoints; 0 for no snapshots.

    ``options.snapshot_kimg`` sets the interval. Without it, snapshots are as frequent as SNAPSHOT_SHARE of the run's
    time allows, and there are none if that is too little for FEWEST_SNAPSHOTS. INTERVALS has few values, so that the
    same run on the same machine has the same snapshots.
    """
    if monitor is None or options.snapshot_kimg == 0:
        return 0
    if options.snapshot_kimg is not None:
        per_kimg = length.iterations / length.schedule_kimg
        return length.checkpoint_every * max(1, round(options.snapshot_kimg * per_kimg / length.checkpoint_every))
    seconds = length.limit.seconds if length.limit else length.schedule_kimg * 1000 / max(img_per_sec, 1e-9)
    if seconds < SHORTEST_SEC:
        return 0
    first, each = monitor.cost_sec()
    allowed, checkpoints = (SNAPSHOT_SHARE * seconds - first) / each, length.iterations / length.checkpoint_every
    fitting = (interval for interval in INTERVALS if FEWEST_SNAPSHOTS <= checkpoints / interval <= allowed)
    return length.checkpoint_every * next(fitting, 0)


def _seconds(work: Callable[[], Any]) -> float:
    """Return the median time of five calls: other processes make some of such short calls many times longer."""
    times = []
    for _ in range(5):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return sorted(times)[2]
