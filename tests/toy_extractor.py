"""A fast extractor for tests: fixed random projections of the pixels."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from gansmith.plugins import DataInfo, Extractor, ExtractorPart, extractors


@contextmanager
def registered_toy(levels: Callable[[Tensor], Tensor], *, tells_classes: bool) -> Iterator[None]:
    """Register it as ``toy``; ``levels`` maps pixels of 0 to 255 (N, P) before they are projected."""

    @extractors.register("toy")
    class Toy(ExtractorPart):
        """Random projections."""

        def open(self, data: DataInfo, weights: Path | None, on_progress) -> Extractor:
            pixels = data.height * data.width * data.channels
            lines = torch.randn(pixels, 6, generator=torch.Generator().manual_seed(0))

            def extract(images: np.ndarray) -> tuple[Tensor, Tensor | None]:
                features = levels(torch.from_numpy(images.reshape(len(images), -1)).float()) @ lines
                return features, features[:, : len(data.classes)].softmax(1) if tells_classes else None

            return Extractor("toy", "f" * 64, "none", data.classes if tells_classes else (), extract)

    yield
    del extractors._parts["toy"]
