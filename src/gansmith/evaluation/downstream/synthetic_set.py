"""A labelled synthetic set: samples of each class that pass filters."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gansmith.core.errors import GansmithError, ModelError, unknown_name
from gansmith.core.events import OnProgress, PlainLines, Progress
from gansmith.core.html import ShownAsLines
from gansmith.core.randomness import derive_seed, epoch_order, sample_latents
from gansmith.data.base import ImageData
from gansmith.evaluation.downstream.seeds import table
from gansmith.evaluation.features import data_info_of, default_extractor
from gansmith.inference.latents import refuse_points
from gansmith.inference.model import Model
from gansmith.inference.samples import Samples, check_samples_path
from gansmith.parts.extractors.base import extractors
from gansmith.parts.extractors.convnet import resized
from gansmith.parts.metrics.memorization import nearest

FILTERS = ("classifier", "discriminator", "duplicates")
MOST_BLOCKS = 10  # of candidates for a class
LEAST_BLOCK = 64  # candidates drawn at a time, at least
LOWEST_SHARE = 0.2  # of the candidates of a class: those with lower scores fail
RARE = 0.01  # share of real images that are as near to another one
PIXELS_SIDE, REAL_ASKED = 16, 1000

Fails = Callable[[np.ndarray, int], np.ndarray]  # images and class -> which images fail, bool (N,)


@dataclass
class Tally:
    """Candidates of one class: drawn, kept, and by filter those that failed and those dropped for it."""

    drawn: int = 0
    kept: int = 0
    found: dict[str, int] = field(default_factory=lambda: dict.fromkeys(FILTERS, 0))
    dropped: dict[str, int] = field(default_factory=lambda: dict.fromkeys(FILTERS, 0))


@dataclass(frozen=True)
class Augmentation(ShownAsLines):
    """A synthetic set and how it was filtered."""

    samples: Samples
    per_class: int
    filters: tuple[str, ...]  # those that dropped images; the others are only counted
    tallies: dict[str, Tally]  # by class

    def lines(self) -> list[str]:
        """Return a table of failed and kept candidates, and the classes with too few images."""
        head = ["class", "candidates", *(name if name in self.filters else f"({name})" for name in FILTERS), "kept"]
        rows = []
        for name, tally in self.tallies.items():
            found = [f"{tally.found[each] / tally.drawn:.1%}" for each in FILTERS]
            rows.append([name, f"{tally.drawn:,}", *found, f"{tally.kept:,}"])
        drawn = sum(tally.drawn for tally in self.tallies.values())
        dropped = [f"{sum(t.dropped[name] for t in self.tallies.values()):,} by {name}" for name in self.filters]
        out = [
            "share of candidates that failed each filter; filters in brackets dropped nothing",
            *table(head, rows),
            f"{drawn:,} candidates; dropped: {', '.join(dropped) or 'none'} (by the first filter that failed)",
        ]
        short = [name for name, tally in self.tallies.items() if tally.kept < self.per_class]
        if short:
            out.append(
                f"classes with fewer than {self.per_class:,} images, because the filters dropped most candidates: "
                f"{', '.join(short)}"
            )
        return out

    def to_json(self) -> dict[str, Any]:
        """Return counts and filters as JSON values, without the images."""
        tallies = {name: vars(tally) for name, tally in self.tallies.items()}
        return {"per_class": self.per_class, "filters": list(self.filters), "classes": tallies}


def check_augment(model: Model, per_class: int, filters: Sequence[str], out: str | Path) -> None:
    """Raise GansmithError for a model, number, filter or path that does not work, before any work is done."""
    if check_samples_path(out).suffix.lower() == ".png":
        raise GansmithError(
            "output.unknown_ending", "a synthetic set cannot be a PNG picture\n  allowed: x.npz, x.zip or a folder"
        )
    refuse_points(model, "augment")
    if not model.latent_method("augment").num_classes:
        raise ModelError(
            "model.no_labels",
            "this model takes no labels, and a synthetic set needs them"
            "\n  train a conditional one: gansmith train DATA --recipe conditional, or conditional=true",
        )
    if per_class < 1:
        raise GansmithError("cli.per_class_out_of_range", f"--per-class {per_class} is below 1\n  for example 1000")
    for name in filters:
        if name not in FILTERS:
            raise GansmithError("cli.unknown_filter", unknown_name("filter", name, FILTERS))


def augment(
    model: Model,
    data: ImageData,
    per_class: int,
    *,
    filters: Sequence[str] = FILTERS,
    seed: int = 0,
    on_progress: OnProgress | None = None,
) -> Augmentation:
    """Return ``per_class`` samples of each class that pass ``filters``, fewer if most candidates fail.

    All three filters are counted, whether they are used or not. A sample fails

    - classifier: if a network trained on ``data`` takes it for another class;
    - discriminator: if its score is in the lowest fifth of its class;
    - duplicates: if it is nearer to an image of ``data`` than 99 % of these are to each other, in pixels at most 16 px.

    Raises ModelError if model and data have different classes.
    """
    if data.spec.classes != model.classes:
        raise ModelError(
            "model.classes_differ",
            f"'{model.record.name}' knows the classes {', '.join(model.classes[:5])}, but '{data.spec.name}' has "
            f"{', '.join(data.spec.classes[:5]) or 'none'}\n  pass the data set that it was trained on",
        )
    tell = on_progress or PlainLines().show
    checks: dict[str, Fails] = {
        "classifier": _classifier(data, tell),
        "discriminator": _discriminator(model),
        "duplicates": _duplicates(data),
    }
    images, labels, tallies = [], [], {}
    for number, name in enumerate(model.classes):
        tell(Progress("samples", number, len(model.classes)))
        kept, tallies[name] = _of_class(model, number, per_class, checks, filters, seed)
        images += kept
        labels += [number] * len(kept)
    tell(Progress("samples", len(model.classes), len(model.classes)))
    if not images:
        raise GansmithError(
            "model.filters_left_none",
            "no sample passed the filters\n  pass fewer of them, for example --filters classifier",
        )
    samples = Samples(np.stack(images), np.array(labels, np.int64), model.classes, values=model.data.values)
    return Augmentation(samples, per_class, tuple(name for name in FILTERS if name in filters), tallies)


def _of_class(
    model: Model, number: int, per_class: int, checks: Mapping[str, Fails], filters: Sequence[str], seed: int
) -> tuple[list[np.ndarray], Tally]:
    """Return the samples of a class that pass, in the order they were drawn."""
    tally, kept = Tally(), list[np.ndarray]()
    block, latent_dim = max(LEAST_BLOCK, per_class), model.latent_method("augment").config.latent_dim
    while tally.kept < per_class and tally.drawn < MOST_BLOCKS * block:
        latents = sample_latents(derive_seed("augment", seed, number), tally.drawn, block, latent_dim)
        candidates = model.draw(latents, torch.full((block,), number))
        fails = {name: check(candidates, number) for name, check in checks.items()}
        for place, candidate in enumerate(candidates):
            if tally.kept == per_class:
                break
            tally.drawn += 1
            wanting = [name for name in FILTERS if fails[name][place]]
            for name in wanting:
                tally.found[name] += 1
            reason = next((name for name in wanting if name in filters), None)
            if reason is not None:
                tally.dropped[reason] += 1
            else:
                tally.kept += 1
                kept.append(candidate)
    return kept, tally


def _classifier(data: ImageData, on_progress: OnProgress) -> Fails:
    extractor = extractors.parse(default_extractor(data.spec)).open(data_info_of(data), None, on_progress)

    def fails(images: np.ndarray, number: int) -> np.ndarray:
        _, probabilities = extractor(images)
        return (probabilities.argmax(1) != number).numpy()

    return fails


def _discriminator(model: Model) -> Fails:
    limits: dict[int, float] = {}  # by class, from its first candidates

    def fails(images: np.ndarray, number: int) -> np.ndarray:
        scores = model.score(images, number)
        return scores < limits.setdefault(number, float(np.quantile(scores, LOWEST_SHARE)))

    return fails


def _duplicates(data: ImageData) -> Fails:
    real = torch.cat([_small(data.read(part)) for part in np.array_split(np.arange(len(data)), len(data) // 2048 + 1)])
    order = torch.from_numpy(epoch_order(derive_seed("duplicates"), 0, len(data)))
    asked = order[: min(REAL_ASKED, len(order) // 2)]
    others = order[len(asked) :]
    limit = nearest(real[asked], real[others])[0].quantile(RARE)

    def fails(images: np.ndarray, _: int) -> np.ndarray:
        return (nearest(_small(images), real)[0] < limit).numpy()

    return fails


def _small(images: np.ndarray) -> Tensor:
    return resized(images, min(PIXELS_SIDE, *images.shape[1:3])).flatten(1)
