"""An untrained extractor, random convolutions, for any images without delay."""

from functools import partial
from pathlib import Path

import torch
from torch import nn

from gansmith.core.events import OnProgress
from gansmith.parts.extractors.base import DataInfo, Extractor, ExtractorPart, extractors
from gansmith.parts.extractors.convnet import ConvNet, extract, folded, input_side, weights_digest


@extractors.register("untrained")
class Untrained(ExtractorPart):
    """The network of ``own`` with random weights, equal for all images of the same size and channels.

    It needs no training and no download. It sees textures, colours and layout, but no objects.
    Source: the randomly initialised embeddings of Naeem et al. 2020, arXiv:2002.09797, section 3.
    """

    seed: int = 0

    def open(self, data: DataInfo, weights: Path | None, on_progress: OnProgress) -> Extractor:
        """Load it."""
        side = input_side(data.height, data.width)
        with torch.random.fork_rng([]):
            torch.manual_seed(self.seed)
            network = ConvNet(side, data.channels, 0).to(memory_format=torch.channels_last)
            for module in network.modules():
                if isinstance(module, nn.Conv2d):  # keeps the scale of activations from layer to layer
                    nn.init.kaiming_normal_(module.weight)
        network.eval().requires_grad_(False)
        resize = f"{side} px, bicubic, antialiased"
        return Extractor("untrained", weights_digest(network), resize, (), partial(extract, folded(network), side))
