"""Metrics of a snapshot: a small evaluation during training."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gansmith.core.metric_name import TRAIN, MetricName
from gansmith.core.randomness import derive_seed, epoch_order, sample_latents
from gansmith.data.base import ImageData
from gansmith.evaluation.features import data_info_of, default_extractor, features_of
from gansmith.methods.base import Fixed
from gansmith.methods.capabilities import LatentSampler
from gansmith.methods.latent import labels_by_share
from gansmith.monitoring.thresholds import Thresholds, gone
from gansmith.parts.extractors.base import Extractor, extractors
from gansmith.parts.extractors.own import Own
from gansmith.parts.metrics.base import radii, squared_distances
from gansmith.parts.metrics.bins import cluster
from gansmith.parts.metrics.density_coverage import coverage
from gansmith.parts.metrics.diversity import mean_distance
from gansmith.parts.metrics.frechet import Moments, frechet_distance, moments
from gansmith.parts.metrics.memorisation import nearest
from gansmith.recipes.recipe import MonitorOptions

NEIGHBOURS = 5


MOST_GROUPS, IMAGES_PER_GROUP = 40, 20


RARE = 0.02  # share of training images that lie this near to another by chance


def open_snapshot_extractor(data: ImageData, name: str | None) -> Extractor:
    """Return the extractor of that name, or the best one that is there without training or download."""
    domain = data_info_of(data)
    if name is None:
        name = default_extractor(data.spec)
        if name == "own" and not Own().kept_at(domain).is_file():
            name = "untrained"
    return extractors.parse(name).open(domain, None, lambda *_: None)


@dataclass(frozen=True)
class Modes:
    """The kinds of images in a data set: its classes, or clusters where the extractor knows no classes."""

    names: tuple[str, ...]
    centres: Tensor | None  # (K, F) of clusters
    real: Tensor  # (K,) share of the real images

    @classmethod
    def find(cls, data: ImageData, order: np.ndarray, features: Tensor, classes: Tensor | None) -> "Modes":
        """Return the kinds of images at ``order``, of which ``classes`` (N,) are predicted, or None."""
        if classes is not None:
            return cls(data.spec.classes, None, _shares(classes, len(data.spec.classes)))
        count = max(2, min(MOST_GROUPS, len(features) // IMAGES_PER_GROUP))
        centres = cluster(features, count, 0)
        home, labels = squared_distances(features, centres).argmin(1), data.read_labels(order)
        names = [f"group {number + 1}" for number in range(len(centres))]
        if labels is not None:  # a number alone would tell a person nothing
            for number in range(len(names)):
                inside = labels[(home == number).numpy()]
                mostly = data.spec.classes[np.bincount(inside).argmax()] if len(inside) else "empty"
                names[number] += f" (mostly {mostly})"
        return cls(tuple(names), centres, _shares(home, len(centres)))

    def of(self, features: Tensor, probabilities: Tensor) -> dict[str, list[float]]:
        """Return the share of real images and of samples of each kind, by name."""
        home = probabilities.argmax(1) if self.centres is None else squared_distances(features, self.centres).argmin(1)
        made = _shares(home, len(self.names))
        pairs = zip(self.names, self.real.tolist(), made.tolist(), strict=True)
        return {name: [round(real, 5), round(fake, 5)] for name, real, fake in pairs}


def _shares(kinds: Tensor, count: int) -> Tensor:
    return torch.bincount(kinds, minlength=count).double() / len(kinds)


@dataclass(frozen=True)
class SnapshotEvaluator:
    """What real images look like to an extractor: computed once, for comparing samples with it at every look."""

    extractor: Extractor
    features: Tensor  # (R, F) of training images
    moments: Moments
    radii: Tensor  # (M,) of the first M features, as many as there are samples at most
    near: float  # distance to the nearest other training image that RARE of them are under
    distance: float  # mean distance of two real images
    kinds: Modes

    @classmethod
    def open(cls, data: ImageData, extractor: Extractor, options: MonitorOptions) -> "SnapshotEvaluator":
        """Return it for the training images, at most ``options.reference`` of them."""
        order = epoch_order(0, 0, len(data))[: options.reference]
        features, probabilities = features_of(data, order, extractor, lambda *_: None)
        some = features[: options.images]
        neighbours = min(len(features) - 1, NEIGHBOURS)
        known = bool(extractor.classes) and extractor.classes == data.spec.classes
        return cls(
            extractor=extractor,
            features=features,
            moments=moments(features),
            radii=radii(squared_distances(some, some), min(neighbours, len(some) - 1)),
            near=float(radii(squared_distances(some, features), 1).sqrt().quantile(RARE)),
            distance=mean_distance(some),
            kinds=Modes.find(data, order, features, probabilities.argmax(1) if known else None),
        )

    def look(self, images: np.ndarray) -> dict[str, Any]:
        """Return a look at uint8 (N, H, W, C) samples: its numbers, their names carrying the protocol, and ``modes``.

        ``fd_of_one`` is the Fréchet distance that one average image, over and over, would get: the trace of the real
        covariance. ``copies`` is above what is expected by chance.
        """
        features, probabilities = self.extractor(images)
        real = self.features[: len(self.radii)]
        near = float((nearest(features, self.features)[0] < self.near).double().mean())
        kinds = self.kinds.of(features, probabilities)
        numbers = {
            "fd": frechet_distance(self.moments, moments(features)),
            "coverage": coverage(squared_distances(real, features), self.radii),
            "diversity": mean_distance(features) / max(self.distance, 1e-12),
            "copies": max(0.0, (near - RARE) / (1 - RARE)),
            "missing": len(gone({"modes": kinds}, Thresholds())) / len(kinds),
        }
        named = {
            str(MetricName(metric, len(images), self.extractor.name, split=TRAIN)): round(value, 6)
            for metric, value in numbers.items()
        }
        return {**named, "fd_of_one": round(float(self.moments.covariance.trace()), 6), "modes": kinds}


def draws_of_looks(method: LatentSampler, data: ImageData, options: MonitorOptions, seed: int) -> Fixed:
    """Return the latents of every look, and labels as often as the data have them where the method is told labels."""
    latents = sample_latents(derive_seed("watch", seed), 0, options.images, method.config.latent_dim)
    if not method.num_classes:
        return Fixed(latents, None, 8)
    return Fixed(latents, labels_by_share(data.class_frequencies, options.images, method.num_classes, seed), 8)
