"""Study whether synthetic images help: train classifiers on both, test on real images."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gansmith.core.errors import GansmithError
from gansmith.core.events import OnProgress, PlainLines, Progress
from gansmith.core.html import ShownAsLines
from gansmith.data.base import ImageData
from gansmith.data.mirroring import UNLIKE, mirror_shares
from gansmith.data.signatures import thumbnail
from gansmith.evaluation.downstream.labelled_data import Parts, draw_of_each
from gansmith.evaluation.downstream.seeds import gain_over, percent, table
from gansmith.imaging.images import to_pil
from gansmith.inference.model import Model
from gansmith.inference.samples import Samples
from gansmith.parts.extractors.convnet import (
    BATCH,
    ConvNet,
    Vary,
    extract,
    input_side,
    shifted,
    train_on_labels,
)

REAL, CLASSIC, BOTH, SYNTHETIC = "real", "real, varied", "real + synthetic", "synthetic only"
ALL = "all"
MOST_THUMBNAILS = 5000

Labelled = tuple[np.ndarray, np.ndarray]  # images uint8 (N, H, W, C), labels int64 (N,)


@dataclass(frozen=True)
class Study(ShownAsLines):
    """Test accuracies by training set and by real images a class ("10", ..., "all"), one for each seed."""

    counts: tuple[str, ...]
    accuracies: dict[str, dict[str, tuple[float, ...]]]  # "synthetic only" has "all" alone
    kimg: int
    num_synthetic: int
    trained_on: int  # labelled images that the generator was trained on
    words: tuple[str, ...]  # how real images were varied, and a sentence on the test images

    def lines(self) -> list[str]:
        """Return the table and its summary."""
        head = ["training set", *(name if name == ALL else f"{name} a class" for name in self.counts)]
        rows = [[kind, *map(percent, found.values())] for kind, found in self.accuracies.items() if kind != SYNTHETIC]
        synthetic = self.accuracies[SYNTHETIC][ALL]
        rows.append([SYNTHETIC, *[percent(synthetic)] * len(self.counts)])
        seeds = f"{len(synthetic)} seeds, {self.kimg} kimg each, {self.num_synthetic:,} synthetic images"
        return [
            f"test accuracy in %, mean and deviation over {seeds}",
            *self.words,
            *table(head, rows),
            self.sentence(),
        ]

    def sentence(self) -> str:
        """Say where synthetic images helped or harmed by more than the band, and how many labels they rest on."""
        against = ((REAL, "real ones alone"), (CLASSIC, "real ones varied"))
        gains = [f"against {what} {self._where(kind)}" for kind, what in against]
        alone = f"synthetic ones alone reach {percent(self.accuracies[SYNTHETIC][ALL])} % (CAS)"
        rests = f"generator and filters had learnt from {self.trained_on:,} labelled images"
        return f"real and synthetic images together are {'; '.join(gains)}; {alone}; {rests}"

    def _where(self, kind: str) -> str:
        """Say for which numbers of real images adding synthetic ones beats ``kind``."""
        gains = {name: gain_over(self.accuracies[BOTH][name], self.accuracies[kind][name]) for name in self.counts}
        groups = {
            "better": [f"{name} ({gain})" for name, gain in gains.items() if gain.is_clear and gain.mean > 0],
            "worse": [f"{name} ({gain})" for name, gain in gains.items() if gain.is_clear and gain.mean < 0],
            "not clearly different": [f"{name} ({gain})" for name, gain in gains.items() if not gain.is_clear],
        }
        return ", ".join(f"{verdict} with {' and '.join(names)}" for verdict, names in groups.items() if names)

    def to_json(self) -> dict[str, Any]:
        """Return the study as JSON values."""
        return {**asdict(self), "sentence": self.sentence()}


def check_study(parts: Parts, per_class: Sequence[int], seeds: int, kimg: int) -> None:
    """Raise GansmithError for numbers out of range, before any work is done."""
    if seeds < 2 or kimg < 1:
        raise GansmithError(
            "cli.study_out_of_range",
            f"a study needs --seeds of 2 or more and --kimg of 1 or more, got {seeds} and {kimg}",
        )
    if min(per_class, default=1) < 1:
        raise GansmithError(
            "cli.real_out_of_range", "--real 0: a class needs at least one image\n  for example --real 10,50,100"
        )
    draw_of_each(parts.train, max(per_class, default=0), 0, option="--real")


def study(
    model: Model,
    parts: Parts,
    synthetic: Samples,
    *,
    per_class: Sequence[int] = (10, 50, 100),
    seeds: int = 3,
    kimg: int = 30,
    on_progress: OnProgress | None = None,
) -> Study:
    """Train small classifiers on four kinds of training sets; return their accuracies on real test images.

    - real: ``per_class`` images of each class, and all images;
    - real, varied: the same, shifted and, if that suits the data, mirrored;
    - real + synthetic: half a batch of each;
    - synthetic only.

    Each classifier is shown ``kimg`` thousand images. A seed draws the real images and the initial weights. Raises
    DataError for too few images.
    Source: Ravuri and Vinyals 2019, arXiv:1905.10887, section 3, for synthetic images alone (CAS).
    Differs: a network of 0.3 M weights in place of a ResNet-50.
    """
    check_study(parts, per_class, seeds, kimg)
    real, made = parts.train, _labelled(synthetic)
    counts = tuple(map(str, sorted(set(per_class))))
    drawn = [draw_of_each(real, max(per_class, default=0), seed) for seed in range(seeds)]
    vary, how = _classic(real)
    found: dict[str, dict[str, tuple[float, ...]]] = {kind: {} for kind in (REAL, CLASSIC, BOTH, SYNTHETIC)}
    report, done, total = on_progress or PlainLines().show, 0, seeds * (3 * (len(counts) + 1) + 1)

    def accuracy(images: Labelled, seed: int, vary: Vary) -> float:
        nonlocal done
        report(Progress("training classifiers", done, total))
        done += 1
        network = train_on_labels(*images, len(model.classes), kimg, lambda _: None, seed=seed, vary=vary)
        return _tested(network, parts.test)

    for name in (*counts, ALL):
        rows = []
        for seed in range(seeds):
            chosen = np.arange(len(real)) if name == ALL else drawn[seed][:, : int(name)].ravel()
            some = _read(real, chosen)
            sets = ((some, _as_is), (some, vary), (_in_halves(some, made), _as_is))
            rows.append([accuracy(images, seed, change) for images, change in sets])
        for place, kind in enumerate((REAL, CLASSIC, BOTH)):
            found[kind][name] = tuple(row[place] for row in rows)
    found[SYNTHETIC][ALL] = tuple(accuracy(made, seed, _as_is) for seed in range(seeds))
    report(Progress("training classifiers", total, total))
    return Study((*counts, ALL), found, kimg, len(synthetic), model.record.data.count, (how, parts.words))


def _labelled(samples: Samples) -> Labelled:
    assert samples.labels is not None
    return samples.images, samples.labels


def _read(data: ImageData, places: np.ndarray) -> Labelled:
    labels = data.read_labels(places)
    assert labels is not None
    return data.read(places), labels


def _in_halves(one: Labelled, other: Labelled) -> Labelled:
    """Join two sets with the smaller one repeated, so that half of all images come from each."""
    count = max(len(one[1]), len(other[1]))
    repeated = [(images[np.arange(count) % len(images)], np.resize(labels, count)) for images, labels in (one, other)]
    return np.concatenate([images for images, _ in repeated]), np.concatenate([labels for _, labels in repeated])


def _as_is(images: Tensor, _: torch.Generator) -> Tensor:
    return images


def _classic(data: ImageData) -> tuple[Vary, str]:
    """Return how real images are varied, as function and sentence; mirrored only if that changes no class."""
    places = np.linspace(0, len(data) - 1, min(len(data), MOST_THUMBNAILS)).astype(int)
    images, labels = _read(data, places)
    shares = mirror_shares([thumbnail(to_pil(image)) for image in data.spec.picture(images)], labels.tolist())
    unlike = [data.spec.classes[number] for number, share in shares.items() if share > UNLIKE]
    if unlike or not shares:
        why = f"mirrored {', '.join(unlike)} would be unlike the data" if unlike else "too few images to tell"
        return shifted, f"varied: shifted by up to a tenth; not mirrored ({why})"

    def vary(images: Tensor, draws: torch.Generator) -> Tensor:
        flipped = torch.rand(len(images), 1, 1, 1, generator=draws) < 0.5
        return shifted(torch.where(flipped, images.flip(3), images), draws)

    return vary, "varied: shifted by up to a tenth, half of them mirrored"


@torch.no_grad()
def _tested(network: ConvNet, data: ImageData) -> float:
    right, side = 0, input_side(data.spec.height, data.spec.width)
    for start in range(0, len(data), BATCH):
        images, labels = _read(data, np.arange(start, min(start + BATCH, len(data))))
        _, probabilities = extract(network, side, images)
        assert probabilities is not None
        right += int((probabilities.argmax(1).numpy() == labels).sum())
    return right / len(data)
