"""Looks at a run while it trains: samples judged at checkpoints, within a small share of the run's time."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from gansmith.data.base import ImageData
from gansmith.extractors.base import Extractor, extractors
from gansmith.extractors.own import Own
from gansmith.looks import Thresholds, gone
from gansmith.methods.base import Fixed
from gansmith.methods.latent import LatentMethod, labels_by_share
from gansmith.metrics.base import radii, squared_distances
from gansmith.metrics.bins import cluster
from gansmith.metrics.density_coverage import coverage
from gansmith.metrics.diversity import mean_distance
from gansmith.metrics.frechet import Moments, frechet_distance, moments
from gansmith.metrics.memorisation import nearest
from gansmith.plan import Plan
from gansmith.preview import generate, sample_batch
from gansmith.randomness import derive_seed, epoch_order, sample_latents
from gansmith.recipe import WatchOptions
from gansmith.reference import default_extractor, domain_of, features_of
from gansmith.run_state import RunState

SHARE = 0.04  # of the run's time, as predicted; with what predictions miss it stays below 5 %
RHYTHMS = (1, *(factor * 2**power for power in range(20) for factor in (2, 3)))  # checkpoints from look to look
FEWEST_LOOKS, SHORTEST_SEC = 3, 8.0
NEIGHBOURS = 5
MOST_GROUPS, IMAGES_PER_GROUP = 40, 20
RARE = 0.02  # share of training images that lie this near to another by chance


def open_watch_extractor(data: ImageData, name: str | None) -> Extractor:
    """Return the extractor of that name, or the best one that is there without training or download."""
    domain = domain_of(data)
    if name is None:
        name = default_extractor(data.spec)
        if name == "own" and not Own().kept_at(domain).is_file():
            name = "untrained"
    return extractors.parse(name).open(domain, None, lambda *_: None)


@dataclass(frozen=True)
class Kinds:
    """The kinds of images in a data set: its classes, or clusters where the extractor knows no classes."""

    names: tuple[str, ...]
    centres: Tensor | None  # (K, F) of clusters
    real: Tensor  # (K,) share of the real images

    @classmethod
    def find(cls, data: ImageData, order: np.ndarray, features: Tensor, classes: Tensor | None) -> "Kinds":
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
class Eye:
    """What real images look like to an extractor: computed once, for comparing samples with it at every look."""

    extractor: Extractor
    features: Tensor  # (R, F) of training images
    moments: Moments
    radii: Tensor  # (M,) of the first M features, as many as there are samples at most
    near: float  # distance to the nearest other training image that RARE of them are under
    distance: float  # mean distance of two real images
    kinds: Kinds

    @classmethod
    def open(cls, data: ImageData, extractor: Extractor, options: WatchOptions) -> "Eye":
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
            kinds=Kinds.find(data, order, features, probabilities.argmax(1) if known else None),
        )

    def look(self, images: np.ndarray) -> dict[str, Any]:
        """Return a look at uint8 (N, H, W, C) samples: its numbers, their names carrying the protocol, and ``kinds``.

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
            "missing": len(gone({"kinds": kinds}, Thresholds())) / len(kinds),
        }
        named = {self._named(name, len(images)): round(value, 6) for name, value in numbers.items()}
        return {**named, "fd_of_one": round(float(self.moments.covariance.trace()), 6), "kinds": kinds}

    def _named(self, name: str, count: int) -> str:
        inception = self.extractor.name == "inception"
        short = "fid" if inception and name == "fd" else name
        number = f"{count // 1000}k" if count % 1000 == 0 else str(count)
        return f"{short}{number}{'' if inception else '_' + self.extractor.name}_train"


class Watch:
    """Draws the same latents at every look and judges what the averaged generator makes of them."""

    def __init__(self, state: RunState, data: ImageData, options: WatchOptions, extractor: Extractor) -> None:
        self._options, self._batch = options, sample_batch(data.spec.height, data.spec.width)
        self._extractor, self._data, self._state = extractor, data, state
        self._eye: Eye | None = None
        assert isinstance(state.method, LatentMethod)
        self._fixed = draws_of_looks(state.method, data, options, state.seed)

    def look(self) -> dict[str, Any]:
        """Return a look at the generator as it is now."""
        if self._eye is None:
            self._eye = Eye.open(self._data, self._extractor, self._options)
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


def draws_of_looks(method: LatentMethod, data: ImageData, options: WatchOptions, seed: int) -> Fixed:
    """Return the latents of every look, and labels as often as the data have them where the method is told labels."""
    latents = sample_latents(derive_seed("watch", seed), 0, options.images, method.config.latent_dim)
    if not method.num_classes:
        return Fixed(latents, None, 8)
    return Fixed(latents, labels_by_share(data.class_frequencies, options.images, method.num_classes, seed), 8)


def choose_rhythm(plan: Plan, options: WatchOptions, img_per_sec: float, watch: Watch | None) -> int:
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


@torch.no_grad()
def copy_weights(state: RunState) -> dict[str, list[Tensor]]:
    """Return a copy of every trained parameter by network."""
    return {name: [p.detach().clone() for p in each] for name, each in state.trainable.items()}


@torch.no_grad()
def update_ratios(state: RunState, before: dict[str, list[Tensor]]) -> dict[str, float]:
    """Return how far each network moved since ``before``, as a share of its weights' norm."""
    out = {}
    for name, each in state.trainable.items():
        moved = torch._foreach_sub([p.detach() for p in each], before[name])
        size = nn.utils.get_total_norm(before[name])
        out[f"update_{name}"] = float(nn.utils.get_total_norm(moved) / size.clamp(min=1e-12))
    return out
