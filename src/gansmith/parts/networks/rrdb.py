"""The network of residual-in-residual dense blocks that enlarges images."""

import torch
from pydantic import Field
from torch import Tensor, nn

from gansmith.parts.networks.base import ImageSpec, networks
from gansmith.parts.networks.super_resolution import EnlargingNetwork, Residual, doublings

SLOPE = 0.2  # of LeakyReLU
DENSE_BLOCKS = 3  # in a residual-in-residual block


@networks.register("rrdb")
class RRDB(EnlargingNetwork):
    """Dense blocks inside residual blocks at the size of the source, then nearest neighbours and a convolution.

    G: 3 x 3, B blocks of three dense blocks each, 3 x 3, with a skip over all of them; for each doubling nearest
       neighbours, 3 x 3, LeakyReLU .2; 3 x 3, LeakyReLU .2, 3 x 3. Dense block: five 3 x 3, each of which sees all
       maps before it; four are LeakyReLU'd and add ``growth_channels`` maps. Blocks add ``residual_share`` of theirs.
    Source: Wang et al. 2018 (ESRGAN), arXiv:1809.00219, section 3.1 and figure 4.
    Differs: 8 blocks where the paper has 23; torch's initialisation, not a smaller one; the bicubic enlargement of the
    source is added to what the last layer makes.
    """

    base_channels: int = Field(64, ge=1, le=1024, description="channels of all maps between blocks")
    growth_channels: int = Field(32, ge=1, le=512, description="maps that a convolution of a dense block adds")
    blocks: int = Field(8, ge=1, le=128, description="residual-in-residual blocks, of 15 convolutions each")
    residual_share: float = Field(0.2, gt=0, le=1, description="of what a block adds to the maps that enter it")

    def layers(self, channels: int, spec: ImageSpec) -> nn.Sequential:
        """Return the layers from source maps of so many channels to the images' channels."""
        base = self.base_channels
        dense = [[DenseBlock(self) for _ in range(DENSE_BLOCKS)] for _ in range(self.blocks)]
        blocks = [Residual(*each, share=self.residual_share) for each in dense]
        layers: list[nn.Module] = [_conv(channels, base), Residual(*blocks, _conv(base, base))]
        for _ in range(doublings(spec)):
            layers += [nn.Upsample(scale_factor=2), _conv(base, base), nn.LeakyReLU(SLOPE)]
        return nn.Sequential(*layers, _conv(base, base), nn.LeakyReLU(SLOPE), _conv(base, spec.channels))


class DenseBlock(nn.Module):
    """Maps (N, C, h, w) plus a share of what five convolutions make, each of which sees all maps before it."""

    def __init__(self, config: RRDB) -> None:
        super().__init__()
        base, growth = config.base_channels, config.growth_channels
        self.growing = nn.ModuleList([_conv(base + index * growth, growth) for index in range(4)])
        self.last, self.share = _conv(base + 4 * growth, base), config.residual_share
        self.activation = nn.LeakyReLU(SLOPE)

    def forward(self, maps: Tensor) -> Tensor:
        """Return the changed maps."""
        seen = [maps]
        for conv in self.growing:
            seen.append(self.activation(conv(torch.cat(seen, 1))))
        return maps + self.share * self.last(torch.cat(seen, 1))


def _conv(before: int, after: int) -> nn.Conv2d:
    return nn.Conv2d(before, after, 3, padding=1)
