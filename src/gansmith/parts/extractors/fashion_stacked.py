"""The Fashion-MNIST classifier on each of three channels, for 1,000 modes."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from gansmith.core.errors import MetricError, counted
from gansmith.core.events import OnProgress
from gansmith.parts.extractors.base import DataInfo, Extractor, ExtractorPart, extractors
from gansmith.parts.extractors.fashion import CLASSES, SIDE, Fashion

CHANNELS = 3


@extractors.register("fashion_stacked")
class FashionStacked(ExtractorPart):
    """The extractor ``fashion`` on red, green and blue: 3 x 128 features, 1,000 modes.

    The mode is 100 r + 10 g + b of the three classes. In real test images 90 % of the channels are classified right, so
    all three in about 73 % of images. Wrong modes still fill the histogram evenly, because classes are drawn evenly.
    Source: Metz et al. 2017, arXiv:1611.02163, section 3.3.1.
    """

    def open(self, data: DataInfo, weights: Path | None, on_progress: OnProgress) -> Extractor:
        """Load it; MetricError for images that do not have three channels and 28 to 32 px."""
        if (
            data.values is not None
            or data.channels != CHANNELS
            or not all(SIDE <= side <= 32 for side in (data.height, data.width))
        ):
            raise MetricError(
                "metric.images_unfit_for_extractor",
                f"extractor 'fashion_stacked' takes images of 28 to 32 px with 3 channels, got {data.height} x"
                f" {data.width} px with {counted(data.channels, 'channel')}"
                "\n  pass --features own, which is trained on your images",
            )
        one = Fashion().load()

        def extract(images: np.ndarray) -> tuple[Tensor, Tensor | None]:
            seen = [one.extract(np.ascontiguousarray(images[..., channel, None])) for channel in range(CHANNELS)]
            return torch.cat([each[0] for each in seen], 1), torch.cat(
                [each[1] for each in seen if each[1] is not None], 1
            )

        sha256, resize = one.sha256, f"each channel, {one.resize}"
        return Extractor("fashion_stacked", sha256, resize, (), extract, len(CLASSES) ** CHANNELS, stacked_modes)


def stacked_modes(features: Tensor, probabilities: Tensor) -> Tensor:
    """Return the modes, int64 (N,): 100 r + 10 g + b of the predicted classes, from probabilities (N, 30)."""
    classes = probabilities.view(-1, CHANNELS, len(CLASSES)).argmax(2)
    places = len(CLASSES) ** torch.arange(CHANNELS - 1, -1, -1)
    return (classes * places).sum(1)
