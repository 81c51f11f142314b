"""Translations of a data set, with sources, targets and baseline."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gansmith.core.events import OnProgress, Progress, silent
from gansmith.core.noise import Noise
from gansmith.core.randomness import derive_seed
from gansmith.data.base import ImageData
from gansmith.imaging.tensors import to_float, to_stored
from gansmith.inference.model import Model
from gansmith.methods.base import Fixed
from gansmith.methods.capabilities import Translator, has_targets, reverses
from gansmith.methods.sampling import generate
from gansmith.parts.tasks.base import Task, viewable
from gansmith.parts.tasks.upscale import enlarged

MEAN_OF = 2_000  # training images
AT_ONCE = 256  # images


@dataclass(frozen=True)
class TranslatedPairs:
    """Images, stored pixels (N, H, W, C), all in the same order."""

    sources: np.ndarray  # at the size of the targets
    baseline_name: str
    baseline: np.ndarray
    results: np.ndarray
    targets: np.ndarray


def translate_pairs(
    model: Model,
    data: ImageData,
    places: np.ndarray,
    mean: Tensor | None,
    *,
    seed: int,
    raw: bool,
    on_progress: OnProgress = silent,
) -> TranslatedPairs:
    """Translate the images at ``places`` of a data set.

    ``mean`` (C,) is the mean colour of the training images, None if it is unknown. A seed draws the same sources for
    every model.
    """
    method = model.method
    assert has_targets(method)
    name, found, kind = "", [], data.spec.stored_type
    for start in range(0, len(places), AT_ONCE):
        on_progress(Progress("translations", start, len(places)))
        part = places[start : start + AT_ONCE]
        positions = range(start, start + len(part))
        noise = Noise(derive_seed("translate", seed), 0, 0, "task", 0, positions, len(places), torch.device("cpu"))
        source, target = method.split(to_float(data.read(part)), noise)
        name, instead = _baseline(method.task, source, target, mean)
        shown = F.interpolate(viewable(source, target.shape[1]), target.shape[2:], mode="nearest")
        results = _through(model, method, method.translators[0], source, raw)
        found.append((to_stored(shown, kind), to_stored(instead, kind), results, to_stored(target, kind)))
    sources, baseline, results, targets = (np.concatenate(images) for images in zip(*found, strict=True))
    return TranslatedPairs(sources, name, baseline, results, targets)


def there_and_back(
    model: Model, images: np.ndarray, *, reverse: bool, raw: bool, on_progress: OnProgress = silent
) -> tuple[np.ndarray, np.ndarray]:
    """Return translations of images (N, H, W, C) of a domain, and the translations translated back.

    Translations stay floats on the way back, as in training: rounding them would add to the cycle error.
    """
    method = model.method
    assert reverses(method)
    first, second = method.translators[::-1] if reverse else method.translators
    there, back = [], []
    for start in range(0, len(images), AT_ONCE):
        on_progress(Progress("translations", start, len(images)))
        source = to_float(images[start : start + AT_ONCE])
        there.append(_through(model, method, first, source, raw))
        back.append(_through(model, method, first, source, raw, then=second))
    return np.concatenate(there), np.concatenate(back)


def mean_colour(training: ImageData) -> Tensor:
    """Return the mean colour (C,) in [-1, 1] of at most 2,000 images, evenly spaced over the data set."""
    places = np.linspace(0, len(training) - 1, min(MEAN_OF, len(training))).astype(np.int64)
    parts = [to_float(training.read(part)).mean((2, 3)) for part in np.array_split(places, -(-len(places) // AT_ONCE))]
    return torch.cat(parts).mean(0)


def _through(model: Model, method: Translator, name: str, source: Tensor, raw: bool, then: str = "") -> np.ndarray:
    """Pass sources (N, S, h, w) through one generator, and then through a second if given; stored pixels."""
    chain = [each for each in (name, then) if each]

    def work(networks: nn.ModuleDict, fixed: Fixed) -> Tensor:
        now = fixed.inputs
        for each in chain:
            now = method.translate(networks[each], now)
        return now

    networks = nn.ModuleDict({each: model.network(f"{each}-raw" if raw else each) for each in chain})
    kind = model.record.data.stored_type
    return generate(work, networks, Fixed(source, None, 1), model.record.sample_batch, kind)


def _baseline(task: Task | None, source: Tensor, target: Tensor, mean: Tensor | None) -> tuple[str, Tensor]:
    """Return name and images of the baseline: what is possible without a generator."""
    if task is not None:
        return task.baseline(source, target.shape[1], mean)
    if source.shape[2:] != target.shape[2:]:
        return "bicubic", enlarged(source, *target.shape[2:])
    return "the source", viewable(source, target.shape[1])
