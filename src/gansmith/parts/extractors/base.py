"""The base class of feature extractors, and their input and output."""

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from gansmith.core.events import OnProgress
from gansmith.core.registry import Part, Registry
from gansmith.core.shared_work import in_shares
from gansmith.imaging.values import PixelValues

BATCH = 256  # images


@dataclass(frozen=True)
class DataInfo:
    """The size of the images to evaluate, and the training images that an extractor may learn from."""

    height: int
    width: int
    channels: int
    classes: tuple[str, ...]  # (): unlabelled
    fingerprint: str  # of the training images
    read: Callable[[], tuple[np.ndarray, np.ndarray | None]]  # training images, stored pixels (N, H, W, C), labels (N,)
    cache: Path  # folder for learnt or downloaded weights
    values: PixelValues | None = None  # the meaning of stored pixels; None: ordinary 8-bit images


@dataclass(frozen=True)
class Extractor:
    """A loaded extractor, with the fields that identify it in a protocol."""

    name: str
    sha256: str  # of its weights
    resize: str  # sentence: how images are resized
    classes: tuple[str, ...]  # of its probabilities; (): none
    extract: Callable[
        [np.ndarray], tuple[Tensor, Tensor | None]
    ]  # stored pixels (N, H, W, C) -> (N, F), (N, K) or None
    num_modes: int = 0  # modes that it distinguishes; 0: none
    mode_of: Callable[[Tensor, Tensor], Tensor] | None = (
        None  # (N, F), (N, K) -> mode of each image, int64 (N,); -1: none
    )

    @torch.no_grad()
    def __call__(self, images: np.ndarray, on_step: Callable[[int], None] = lambda _: None) -> tuple[Tensor, Tensor]:
        """Return float32 features (N, F) and class probabilities (N, K) of stored pixels (N, H, W, C).

        K is 0 without classes. ``on_step`` gets the number of images done. Inside of ``shared_by`` the processes share
        the batches.
        """

        def extracted(start: int) -> tuple[np.ndarray, np.ndarray]:
            features, probabilities = self.extract(images[start : start + BATCH])
            on_step(min(start + BATCH, len(images)))
            known = features.new_empty(len(features), 0) if probabilities is None else probabilities
            return features.cpu().numpy(), known.cpu().numpy()

        found = in_shares(range(0, len(images), BATCH), extracted)
        return tuple(torch.from_numpy(np.concatenate(each)) for each in zip(*found, strict=True))  # type: ignore[return-value]


class ExtractorPart(Part):
    """An extractor with its options."""

    @abstractmethod
    def open(self, data: DataInfo, weights: Path | None, on_progress: OnProgress) -> Extractor:
        """Load the extractor; MetricError for images of another kind, and for weights that are not available."""


extractors: Registry[ExtractorPart] = Registry("extractor", "gansmith.parts.extractors")
