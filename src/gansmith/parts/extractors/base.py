"""What a feature extractor is."""

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from gansmith.core.events import OnProgress
from gansmith.core.registry import Part, Registry

BATCH = 256


@dataclass(frozen=True)
class DataInfo:
    """The images that are to be judged, and what an extractor may learn from."""

    height: int
    width: int
    channels: int
    classes: tuple[str, ...]  # () without labels
    fingerprint: str  # of the training images
    read: Callable[[], tuple[np.ndarray, np.ndarray | None]]  # training images uint8 (N, H, W, C), labels (N,)
    cache: Path  # folder for what was learnt or downloaded


@dataclass(frozen=True)
class Extractor:
    """A network at work, and what identifies it in a protocol."""

    name: str
    sha256: str  # of its weights
    resize: str  # in words: how images become its input
    classes: tuple[str, ...]  # what its probabilities are of; () for none
    look: Callable[[np.ndarray], tuple[Tensor, Tensor | None]]  # uint8 (N, H, W, C) -> (N, F), (N, K) or None
    num_modes: int = 0  # how many modes it tells apart, where that is known of the data
    mode_of: Callable[[Tensor, Tensor], Tensor] | None = None  # (N, F), (N, K) -> int64 (N,); -1: none of them

    @torch.no_grad()
    def __call__(self, images: np.ndarray, on_step: Callable[[int], None] = lambda _: None) -> tuple[Tensor, Tensor]:
        """Return features (N, F) float32 and class probabilities (N, K), K = 0 without classes."""
        found = []
        for start in range(0, len(images), BATCH):
            features, probabilities = self.look(images[start : start + BATCH])
            found.append((features, features.new_empty(len(features), 0) if probabilities is None else probabilities))
            on_step(min(start + BATCH, len(images)))
        return torch.cat([pair[0] for pair in found]), torch.cat([pair[1] for pair in found])


class ExtractorPart(Part):
    """An extractor by name."""

    @abstractmethod
    def open(self, domain: DataInfo, weights: Path | None, on_progress: OnProgress) -> Extractor:
        """Return it at work; MetricError where it cannot see these images or its weights cannot be had."""


extractors: Registry[ExtractorPart] = Registry("extractor", "gansmith.parts.extractors")
