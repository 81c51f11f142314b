"""Points in the plane: their coordinates are the features."""

import hashlib
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from gansmith.core.errors import MetricError
from gansmith.core.events import OnProgress
from gansmith.imaging.images import POINT
from gansmith.imaging.tensors import to_float
from gansmith.parts.extractors.base import DataInfo, Extractor, ExtractorPart, extractors

NEAR = 3.0  # standard deviations


@extractors.register("points")
class Points(ExtractorPart):
    """The two coordinates in [-1, 1]; with labels, the class of a point is the one with the nearest mean.

    A point within 3 deviations of that mean is in its mode, others are in no mode. Means, and one deviation for all
    modes and axes, are estimated from the training points.
    Source: Srivastava et al. 2017, arXiv:1705.07761 (points within 3 deviations of a mode).
    """

    def open(self, data: DataInfo, weights: Path | None, on_progress: OnProgress) -> Extractor:
        """Load it; MetricError for images that are not points."""
        if (data.height, data.width, data.channels) != POINT:
            raise MetricError(
                "metric.images_unfit_for_extractor",
                "extractor 'points' takes points in the plane, not images\n  pass --features own",
            )
        images, labels = data.read()
        if labels is None or not data.classes:
            return Extractor("points", "none", "not at all", (), lambda images: (coordinates(images), None))
        points, modes = coordinates(images), torch.from_numpy(labels)
        count = len(data.classes)
        sums = torch.zeros(count, 2).index_add_(0, modes, points)
        centres = sums / torch.bincount(modes, minlength=count)[:, None].clamp(min=1)
        limit = NEAR * float((points - centres[modes]).square().mean().sqrt())

        def extract(images: np.ndarray) -> tuple[Tensor, Tensor | None]:
            seen = coordinates(images)
            return seen, torch.nn.functional.one_hot(torch.cdist(seen, centres).argmin(1), count).float()

        def mode_of(features: Tensor, probabilities: Tensor) -> Tensor:
            distance, nearest = torch.cdist(features, centres).min(1)
            return torch.where(distance <= limit, nearest, -1)

        sha256 = hashlib.sha256(centres.numpy().tobytes() + np.float32(limit).tobytes()).hexdigest()
        return Extractor("points", sha256, "not at all", data.classes, extract, count, mode_of)


def coordinates(images: np.ndarray) -> Tensor:
    """Return float32 (N, 2), x and y in [-1, 1], of uint8 (N, 1, 2, 1)."""
    return to_float(images).flatten(1)
