"""The metrics of a snapshot; ``training/monitor.py`` decides when one is taken."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gansmith.core.metric_name import TRAIN, MetricName
from gansmith.core.randomness import derive_seed, epoch_order, sample_latents
from gansmith.data.base import ImageData
from gansmith.evaluation.features import data_info_of, default_extractor, features_of
from gansmith.evaluation.thresholds import Thresholds, gone
from gansmith.methods.base import Fixed
from gansmith.methods.capabilities import LatentSampler
from gansmith.methods.latent import labels_by_share
from gansmith.parts.extractors.base import Extractor, extractors
from gansmith.parts.extractors.own import Own
from gansmith.parts.metrics.base import jackknife, radii, squared_distances
from gansmith.parts.metrics.bins import cluster
from gansmith.parts.metrics.density_coverage import coverage
from gansmith.parts.metrics.diversity import mean_distance
from gansmith.parts.metrics.frechet import Moments, frechet_distance, moments
from gansmith.parts.metrics.memorization import nearest
from gansmith.parts.metrics.texture import SMALLEST_SIDE, Detail, detail, texture_of
from gansmith.recipes.recipe import MonitorOptions

NEIGHBOURS = 5  # of coverage
MOST_GROUPS, IMAGES_PER_GROUP = 40, 20  # of modes that are clusters
MOST_DETAIL = 500  # images whose texture is measured
RARE = 0.02  # share of training images that are as near to another one by chance


def open_snapshot_extractor(data: ImageData, name: str | None) -> Extractor:
    """Return the extractor ``name``, or for None the best one that needs no training and no download."""
    domain = data_info_of(data)
    if name is None:
        name = default_extractor(data.spec)
        if name == "own" and not Own().kept_at(domain).is_file():
            name = "untrained"
    return extractors.parse(name).open(domain, None, lambda *_: None)


@dataclass(frozen=True)
class Modes:
    """The modes of a data set: its classes, or clusters if the extractor does not know its classes."""

    names: tuple[str, ...]
    centres: Tensor | None  # (K, F) of clusters
    real: Tensor  # (K,) share of the real images

    @classmethod
    def find(cls, data: ImageData, order: np.ndarray, features: Tensor, classes: Tensor | None) -> "Modes":
        """Return the modes of the images at ``order``: their predicted ``classes`` (N,), or for None clusters."""
        if classes is not None:
            return cls(data.spec.classes, None, _shares(classes, len(data.spec.classes)))
        count = max(2, min(MOST_GROUPS, len(features) // IMAGES_PER_GROUP))
        centres = cluster(features, count, 0)
        home, labels = squared_distances(features, centres).argmin(1), data.read_labels(order)
        names = [f"group {number + 1}" for number in range(len(centres))]
        if labels is not None:  # a number alone would mean nothing to a person
            for number in range(len(names)):
                inside = labels[(home == number).numpy()]
                mostly = data.spec.classes[np.bincount(inside).argmax()] if len(inside) else "empty"
                names[number] += f" (mostly {mostly})"
        return cls(tuple(names), centres, _shares(home, len(centres)))

    def of(self, features: Tensor, probabilities: Tensor) -> dict[str, list[float]]:
        """Return [share of real images, share of samples] of each mode, by name."""
        home = probabilities.argmax(1) if self.centres is None else squared_distances(features, self.centres).argmin(1)
        made = _shares(home, len(self.names))
        pairs = zip(self.names, self.real.tolist(), made.tolist(), strict=True)
        return {name: [round(real, 5), round(fake, 5)] for name, real, fake in pairs}


def _shares(modes: Tensor, count: int) -> Tensor:
    return torch.bincount(modes, minlength=count).double() / len(modes)


@dataclass(frozen=True)
class SnapshotEvaluator:
    """Features of training images, computed once, which samples are compared with at every snapshot."""

    extractor: Extractor
    features: Tensor  # (R, F) of training images
    moments: Moments
    radii: Tensor  # (M,) of the first M images, at most as many as samples
    near: float  # RARE of the training images are nearer than this to another one
    distance: float  # mean distance between two real images
    modes: Modes
    detail: Detail | None  # of the first training images; None for images too small to have a texture

    @classmethod
    def open(cls, data: ImageData, extractor: Extractor, options: MonitorOptions) -> "SnapshotEvaluator":
        """Compute the features of at most ``options.reference`` training images."""
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
            modes=Modes.find(data, order, features, probabilities.argmax(1) if known else None),
            detail=detail(data.read(order[:MOST_DETAIL])) if _has_texture(data) else None,
        )

    def evaluate(self, images: np.ndarray, raw: np.ndarray | None = None) -> dict[str, Any]:
        """Return the metrics of samples, uint8 (N, H, W, C), by full name, and ``modes``: the shares of each mode.

        ``fd_of_one`` is the Fréchet distance of one average image repeated N times: the trace of the covariance of real
        features. ``copies`` is the share beyond the one expected by chance. ``raw`` has images of the weights without
        averaging from the first M latents: ``raw_fd`` is their Fréchet distance, ``averaged_fd`` that of the averaged
        weights for the same latents. ``deviations`` has the jackknife's deviation of fd and texture, and the binomial
        one of coverage.
        """
        features, probabilities = self.extractor(images)
        real = self.features[: len(self.radii)]
        near = float((nearest(features, self.features)[0] < self.near).double().mean())
        shares = self.modes.of(features, probabilities)
        numbers = {
            "fd": frechet_distance(self.moments, moments(features)),
            "coverage": coverage(squared_distances(real, features), self.radii),
            "diversity": mean_distance(features) / max(self.distance, 1e-12),
            "copies": max(0.0, (near - RARE) / (1 - RARE)),
            "missing": len(gone({"modes": shares}, Thresholds())) / len(shares),
        }
        named = {
            str(MetricName(metric, len(images), self.extractor.name, split=TRAIN)): round(value, 6)
            for metric, value in numbers.items()
        }
        spread = jackknife(lambda kept: frechet_distance(self.moments, moments(features[kept])), len(images)).deviation
        covered = numbers["coverage"]
        deviations = {
            "fd": round(spread or 0.0, 6),
            "coverage": round(math.sqrt(covered * (1 - covered) / len(self.radii)), 6),
        }
        if self.detail is not None:
            found = texture_of(detail(images[: len(self.detail[0])]), self.detail)
            for name, number in found.items():
                named[str(MetricName(name, number.count, split=TRAIN))] = round(number.value, 6)
            deviations["texture"] = round(found["texture"].deviation or 0.0, 6)
        if raw is not None:
            pair = {"raw_fd": self.extractor(raw)[0], "averaged_fd": features[: len(raw)]}
            for name, some in pair.items():
                full = str(MetricName(name, len(raw), self.extractor.name, split=TRAIN))
                named[full] = round(frechet_distance(self.moments, moments(some)), 6)
        one = round(float(self.moments.covariance.trace()), 6)
        return {**named, "fd_of_one": one, "deviations": deviations, "modes": shares}


def _has_texture(data: ImageData) -> bool:
    return min(data.spec.height, data.spec.width) >= SMALLEST_SIDE


def snapshot_inputs(method: LatentSampler, data: ImageData, options: MonitorOptions, seed: int) -> Fixed:
    """Return the latents of all snapshots, with labels as frequent as in the data if the generator takes labels."""
    latents = torch.from_numpy(sample_latents(derive_seed("watch", seed), 0, options.images, method.config.latent_dim))
    if not method.num_classes:
        return Fixed(latents, None, 8)
    return Fixed(latents, labels_by_share(data.class_frequencies, options.images, method.num_classes, seed), 8)
