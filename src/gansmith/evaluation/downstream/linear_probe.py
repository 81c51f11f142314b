"""Linear probe: classify with few labels on a discriminator's features, and on baselines."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gansmith.core.errors import GansmithError
from gansmith.core.events import OnProgress, PlainLines, Progress
from gansmith.core.html import ShownAsLines
from gansmith.core.randomness import derive_seed, epoch_order
from gansmith.data.base import ImageData
from gansmith.evaluation.downstream.labelled_data import Parts, draw_of_each
from gansmith.evaluation.downstream.logistic_regression import Linear, fit_linear
from gansmith.evaluation.downstream.seeds import gain_over, percent, table
from gansmith.imaging.tensors import to_float
from gansmith.inference.model import Model

TEST_AT_ONCE = 2000  # images
PCA_IMAGES, PCA_NUMBERS = 5000, 50
OURS, UNTRAINED, PIXELS, PCA = "discriminator", "untrained discriminator", "pixels", f"PCA of pixels, {PCA_NUMBERS}"
OTHERS = (UNTRAINED, PIXELS, PCA)

Extract = Callable[[np.ndarray], np.ndarray]  # uint8 (N, H, W, C) -> float32 (N, F)


@dataclass(frozen=True)
class Probe(ShownAsLines):
    """Test accuracies of linear classifiers by features and labels a class, one for each seed."""

    per_class: tuple[int, ...]
    accuracies: dict[str, dict[int, tuple[float, ...]]]
    widths: dict[str, int]  # numbers of features
    strengths: dict[str, dict[int, tuple[float, ...]]]  # of the L2 penalty, as chosen
    words: str  # sentence on the test images

    def lines(self) -> list[str]:
        """Return the table, and a sentence for each number of labels."""
        head = ["features", "numbers", *(f"{count} a class" for count in self.per_class)]
        rows = [
            [name, f"{self.widths[name]:,}", *map(percent, found.values())] for name, found in self.accuracies.items()
        ]
        seeds = len(next(iter(self.accuracies[OURS].values())))
        title = f"test accuracy in %, mean and deviation over {seeds} draws of the labelled images; {self.words}"
        return [title, *table(head, rows), *self.sentences()]

    def sentences(self) -> list[str]:
        """Compare the discriminator's features with the baselines, one sentence for each number of labels."""
        out = []
        for count in self.per_class:
            differences = [self._against(other, count) for other in OTHERS]
            out.append(f"with {count} labels a class the discriminator's features are {', '.join(differences)}")
        return out

    def _against(self, other: str, count: int) -> str:
        gain = gain_over(self.accuracies[OURS][count], self.accuracies[other][count])
        return f"{gain.verdict} {other.partition(',')[0]} ({gain})"

    def to_json(self) -> dict[str, Any]:
        """Return the probe as JSON values."""
        return {**asdict(self), "sentences": self.sentences()}


def probe(
    model: Model,
    parts: Parts,
    *,
    per_class: Sequence[int] = (10, 50, 100),
    seeds: int = 5,
    layers: Sequence[str] = (),
    on_progress: OnProgress | None = None,
) -> Probe:
    """Return the test accuracy of linear classifiers on the discriminator's features and on three baselines.

    Each seed draws ``per_class`` labelled images of each class. A classifier sees no other labels: a part of these
    images chooses its penalty. The baselines are pixels, the first 50 principal components of 5,000 unlabelled images,
    and for each seed an untrained discriminator of the same shape. Raises DataError for too few images.
    """
    counts = tuple(sorted(set(per_class)))
    if not counts or counts[0] < 2:
        raise GansmithError(
            "cli.per_class_out_of_range",
            "--per-class: at least 2 images of each class are needed\n  for example 10,50,100",
        )
    if seeds < 2:
        raise GansmithError("cli.seeds_too_few", f"--seeds {seeds}: a deviation needs at least 2\n  for example 5")
    report = on_progress or PlainLines().show
    drawn = [draw_of_each(parts.train, counts[-1], seed) for seed in range(seeds)]
    basis = principal_components(parts.train)
    kinds: dict[str, Callable[[int], Extract]] = {
        OURS: lambda _: lambda images: model.discriminator_features(images, layers),
        UNTRAINED: lambda seed: _untrained(model, seed, layers),
        PIXELS: lambda _: as_numbers,
        PCA: lambda _: lambda images: _project(images, *basis),
    }
    found = Probe(counts, {name: {} for name in kinds}, {}, {name: {} for name in kinds}, parts.words)
    for kind, (name, make) in enumerate(kinds.items()):
        rows = []
        for seed, chosen in enumerate(drawn):
            report(Progress(f"learning from {name}", kind * seeds + seed, len(kinds) * seeds))
            rows.append(_learn(make(seed), parts, chosen, counts, one_scale=name == PCA))
        found.widths[name] = len(rows[0][0][0].weight)
        for place, count in enumerate(counts):
            found.accuracies[name][count] = tuple(right[place] for _, right in rows)
            found.strengths[name][count] = tuple(learnt[place].strength for learnt, _ in rows)
    report(Progress("learning", len(kinds) * seeds, len(kinds) * seeds))
    return found


def _learn(
    extract: Extract, parts: Parts, drawn: np.ndarray, counts: Sequence[int], *, one_scale: bool
) -> tuple[list[Linear], list[float]]:
    """Return classifiers trained on the first ``counts`` images of each class, and their test accuracies."""
    images = torch.from_numpy(extract(parts.train.read(drawn.T.ravel())))
    labels = torch.arange(len(drawn)).repeat(drawn.shape[1])  # one of each class in turn
    classes = len(drawn)
    learnt = [
        fit_linear(images[: classes * count], labels[: classes * count], classes, one_scale=one_scale)
        for count in counts
    ]
    right = torch.zeros(len(counts), dtype=torch.float64)
    for start in range(0, len(parts.test), TEST_AT_ONCE):
        places = np.arange(start, min(start + TEST_AT_ONCE, len(parts.test)))
        asked, known = torch.from_numpy(extract(parts.test.read(places))), _labels(parts.test, places)
        right += torch.tensor([len(places) * each.accuracy(asked, known) for each in learnt])
    return learnt, (right / len(parts.test)).tolist()


def _labels(data: ImageData, places: np.ndarray) -> Tensor:
    labels = data.read_labels(places)
    assert labels is not None
    return torch.from_numpy(labels)


def as_numbers(images: np.ndarray) -> np.ndarray:
    """Return stored pixels (N, H, W, C) as float32 (N, H * W * C) in [-1, 1]."""
    if images.dtype != np.uint8:
        return to_float(images).permute(0, 2, 3, 1).reshape(len(images), -1).numpy()
    return images.reshape(len(images), -1).astype(np.float32) / np.float32(127.5) - 1


def principal_components(data: ImageData) -> tuple[np.ndarray, np.ndarray]:
    """Return mean (F,) and first principal components (F, K) of up to 5,000 images, by randomized SVD."""
    places = epoch_order(derive_seed("pca"), 0, len(data))[:PCA_IMAGES]
    pixels = torch.from_numpy(as_numbers(data.read(np.sort(places))))
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        wanted = min(PCA_NUMBERS, *pixels.shape)
        _, _, components = torch.pca_lowrank(pixels, min(wanted + 10, *pixels.shape), niter=4)
    return pixels.mean(0).numpy(), components[:, :wanted].numpy()


def _project(images: np.ndarray, mean: np.ndarray, components: np.ndarray) -> np.ndarray:
    return (as_numbers(images) - mean) @ components


def _untrained(model: Model, seed: int, layers: Sequence[str]) -> Extract:
    """Return the features of an untrained discriminator of the same shape."""
    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        fresh = model.record.method.build(model.record.data).networks
    tensors = {"discriminator": dict(fresh["discriminator"].state_dict())}
    device = str(next(model.networks["discriminator"].parameters()).device)
    untrained = Model(model.record, tensors, device)
    return lambda images: untrained.discriminator_features(images, layers)
