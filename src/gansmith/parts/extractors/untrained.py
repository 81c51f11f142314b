"""An extractor that was never trained: random convolutions, for a glance at any domain at once."""

from functools import partial
from pathlib import Path

import torch
from torch import nn

from gansmith.core.events import OnProgress
from gansmith.parts.extractors.base import DataInfo, Extractor, ExtractorPart, extractors
from gansmith.parts.extractors.convnet import ConvNet, folded, input_side, look, weights_digest


@extractors.register("untrained")
class Untrained(ExtractorPart):
    """The network of ``own`` with the weights it starts from: the same for all images of a size and number of channels.

    It needs no training and no download. It sees textures, colours and layout, and knows nothing of objects.
    Source: the randomly initialised embeddings of Naeem et al. 2020, arXiv:2002.09797, section 3.
    """

    seed: int = 0

    def open(self, domain: DataInfo, weights: Path | None, on_progress: OnProgress) -> Extractor:
        """Return it."""
        side = input_side(domain.height, domain.width)
        with torch.random.fork_rng([]):
            torch.manual_seed(self.seed)
            network = ConvNet(side, domain.channels, 0).to(memory_format=torch.channels_last)
            for module in network.modules():
                if isinstance(module, nn.Conv2d):  # so that signals keep their size from layer to layer
                    nn.init.kaiming_normal_(module.weight)
        network.eval().requires_grad_(False)
        resize = f"{side} px, bicubic, antialiased"
        return Extractor("untrained", weights_digest(network), resize, (), partial(look, folded(network), side))
