"""Looks at a run while it trains: samples judged at checkpoints, within a small share of the run's time."""

import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from gansmith.data.base import ImageData
from gansmith.extractors.base import Extractor, extractors
from gansmith.extractors.own import Own
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

SHARE = 0.04  # of the run's time
NEIGHBOURS = 5
MOST_BINS, IMAGES_PER_BIN = 40, 20
RARE = 0.02  # share of training images that lie this near to another by chance
MADE_BELOW = 0.2  # of its share of the real images, under which a kind of images counts as hardly ever made
FEWEST_LOOKS, SHORTEST_SEC = 3, 8.0


def open_watch_extractor(data: ImageData, name: str | None) -> Extractor:
    """Return the extractor of that name, or the best one that is there without training or download."""
    domain = domain_of(data)
    if name is None:
        name = default_extractor(data.spec)
        if name == "own" and not Own().kept_at(domain).is_file():
            name = "untrained"
    return extractors.parse(name).open(domain, None, lambda *_: None)


@dataclass(frozen=True)
class Eye:
    """What real images look like to an extractor, once, for comparing samples with it at every look."""

    extractor: Extractor
    moments: Moments
    features: Tensor  # (R, F) of training images
    near: float  # distance to the nearest other training image that RARE of them are under
    radii: Tensor  # (M,) of the first M features, as many as there are samples at most
    distance: float  # mean distance of two real images
    centres: Tensor | None  # of clusters, where there are no classes
    shares: Tensor  # (K,) share of real images of each class or in each cluster
    names: tuple[str, ...]

    @classmethod
    def open(cls, data: ImageData, extractor: Extractor, options: WatchOptions) -> "Eye":
        """Return it for the training images, at most ``options.reference`` of them."""
        order = epoch_order(0, 0, len(data))[: options.reference]
        features, probabilities = features_of(data, order, extractor, lambda *_: None)
        some = features[: options.images]
        others, points = min(len(features), NEIGHBOURS + 1) - 1, squared_distances(some, features)
        alone = radii(points, min(1, others)).sqrt()
        classes = extractor.classes if extractor.classes == data.spec.classes else ()
        centres = None
        if classes:
            kinds = probabilities.argmax(1)
        else:
            centres = cluster(features, max(2, min(MOST_BINS, len(features) // IMAGES_PER_BIN)), 0)
            kinds = squared_distances(features, centres).argmin(1)
        count = len(classes) if centres is None else len(centres)
        return cls(
            extractor=extractor,
            moments=moments(features),
            features=features,
            near=float(alone.quantile(RARE)),
            radii=radii(squared_distances(some, some), others),
            distance=mean_distance(some),
            centres=centres,
            shares=torch.bincount(kinds, minlength=count).double() / len(kinds),
            names=classes or tuple(f"group {number + 1}" for number in range(count)),
        )

    def look(self, images: np.ndarray) -> tuple[dict[str, float], list[float]]:
        """Return the numbers of uint8 (N, H, W, C) samples by short name, and the share of each kind of images."""
        features, probabilities = self.extractor(images)
        real = self.features[: len(self.radii)]
        across = squared_distances(real, features)
        copies = float((nearest(features, self.features)[0] < self.near).double().mean()) - RARE
        kinds = probabilities.argmax(1) if self.centres is None else squared_distances(features, self.centres).argmin(1)
        made = torch.bincount(kinds, minlength=len(self.shares)).double() / len(kinds)
        present = self.shares > 0
        missing = (made < MADE_BELOW * self.shares)[present].double().mean()
        numbers = {
            "fd": frechet_distance(self.moments, moments(features)),
            "coverage": coverage(across, self.radii),
            "diversity": mean_distance(features) / max(self.distance, 1e-12),
            "copies": max(0.0, copies),
            "missing": float(missing),
        }
        return {name: round(value, 6) for name, value in numbers.items()}, [round(v, 5) for v in made.tolist()]


class Watch:
    """Draws the same latents at every look and judges what the averaged generator makes of them."""

    def __init__(self, state: RunState, data: ImageData, options: WatchOptions, extractor: Extractor) -> None:
        self._options, self._batch = options, sample_batch(data.spec.height, data.spec.width)
        self._extractor, self._data, self._state = extractor, data, state
        self._eye: Eye | None = None
        assert isinstance(state.method, LatentMethod)
        seed, count = derive_seed("watch", state.seed), options.images
        latents = sample_latents(seed, 0, count, state.method.config.latent_dim)
        classes = state.method.num_classes
        labels = labels_by_share(data.class_frequencies, count, classes, state.seed) if classes else None
        self._fixed = Fixed(latents, labels, 8)

    @property
    def eye(self) -> Eye:
        """Return what real images look like; they are looked at when it is first asked for."""
        if self._eye is None:
            self._eye = Eye.open(self._data, self._extractor, self._options)
        return self._eye

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

    def look(self) -> tuple[dict[str, float], dict[str, Any]]:
        """Return the columns of a log row, their names carrying the protocol, and the facts of a look."""
        images = self._generate(self._fixed)
        found, made = self.eye.look(images)
        count = self._options.images
        stamp = f"{f'{count // 1000}k' if count % 1000 == 0 else count}_{self._extractor.name}_train"
        facts = {"kinds": list(self.eye.names), "real": [round(v, 5) for v in self.eye.shares.tolist()], "fake": made}
        return {f"{name}{stamp}": value for name, value in found.items()}, facts

    def cost_sec(self) -> tuple[float, float]:
        """Return about how long the look at real images takes, and each look at samples, from one batch of each."""
        few = Fixed(self._fixed.inputs[: self._batch], None, 8)
        if self._fixed.labels is not None:
            few = Fixed(few.inputs, self._fixed.labels[: self._batch], 8)
        self._generate(few)  # the first of anything takes longer
        start = time.perf_counter()
        images = self._generate(few)
        one = (time.perf_counter() - start) / len(images)
        self._extractor(images)
        start = time.perf_counter()
        self._extractor(images)
        other = (time.perf_counter() - start) / len(images)
        start = time.perf_counter()
        count, width = min(self._options.reference, len(self._data)), self._extractor(images[:2])[0].shape[1]
        squared_distances(torch.ones(self._options.images // 4, width), torch.ones(count, width)).min(1)
        arithmetic = 8 * (time.perf_counter() - start) + 0.02
        return count * other + 2 * arithmetic, self._options.images * (one + other) + arithmetic

    def _generate(self, fixed: Fixed) -> np.ndarray:
        return generate(self._state.method.preview, self._state.preview_networks(), fixed, self._batch)


def choose_interval(plan: Plan, options: WatchOptions, img_per_sec: float, watch: Watch | None) -> int:
    """Return every how many iterations to look, a multiple of those between checkpoints; 0 for never.

    As often as ``options.look_kimg`` says, else as SHARE of the run's time allows, and never where that is too little
    for FEWEST_LOOKS.
    """
    if watch is None or options.look_kimg == 0:
        return 0
    per_kimg = plan.iterations / plan.schedule_kimg
    if options.look_kimg is not None:
        return plan.checkpoint_every * max(1, round(options.look_kimg * per_kimg / plan.checkpoint_every))
    seconds = plan.schedule_kimg * 1000 / max(img_per_sec, 1e-9)
    if seconds < SHORTEST_SEC:
        return 0
    first, each = watch.cost_sec()
    allowed = int((SHARE * seconds - first) / each)
    if allowed < FEWEST_LOOKS:
        return 0
    planned = max(1, plan.iterations // plan.checkpoint_every)
    return plan.checkpoint_every * -(-planned // allowed)


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
