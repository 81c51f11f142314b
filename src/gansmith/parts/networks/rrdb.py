"""Network ``rrdb``: ESRGAN's generator, which enlarges images."""

import torch
from pydantic import Field
from torch import Tensor, nn

from gansmith.parts.networks.base import ImageSpec, networks
from gansmith.parts.networks.super_resolution import EnlargingNetwork, Residual, doublings

SLOPE = 0.2  # of LeakyReLU
DENSE_BLOCKS = 3  # in a residual-in-residual block


@networks.register("rrdb")
class RRDB(EnlargingNetwork):
    """Dense blocks inside residual blocks at the size of the source; then nearest-neighbour doublings.

    G: convolution 3 x 3; B blocks of three dense blocks each and a 3 x 3, with a skip connection over all of them; for
       each doubling nearest neighbours, 3 x 3, LeakyReLU .2; then 3 x 3, LeakyReLU .2, 3 x 3.
    Dense block: five 3 x 3, each with all maps before it as input. The first four, with LeakyReLU, add
       ``growth_channels`` maps each. A block adds ``residual_share`` times its output to its input.
    Source: Wang et al. 2018 (ESRGAN), arXiv:1809.00219, section 3.1 and figure 4.
    Differs: 8 blocks instead of 23; torch's initial weights instead of smaller ones; the output is added to the bicubic
    enlargement of the source.
    """

    base_channels: int = Field(64, ge=1, le=1024, description="channels between blocks")
    growth_channels: int = Field(32, ge=1, le=512, description="maps that each convolution of a dense block adds")
    blocks: int = Field(8, ge=1, le=128, description="residual-in-residual blocks, of 15 convolutions each")
    residual_share: float = Field(
        0.2, gt=0, le=1, description="factor of a block's output before it is added to its input"
    )

    def layers(self, channels: int, spec: ImageSpec) -> nn.Sequential:
        """Return the layers from ``channels`` of the sources to the images' channels."""
        base = self.base_channels
        dense = [[DenseBlock(self) for _ in range(DENSE_BLOCKS)] for _ in range(self.blocks)]
        blocks = [Residual(*each, share=self.residual_share) for each in dense]
        layers: list[nn.Module] = [_conv(channels, base), Residual(*blocks, _conv(base, base))]
        for _ in range(doublings(spec)):
            layers += [nn.Upsample(scale_factor=2), _conv(base, base), nn.LeakyReLU(SLOPE)]
        return nn.Sequential(*layers, _conv(base, base), nn.LeakyReLU(SLOPE), _conv(base, spec.channels))


class DenseBlock(nn.Module):
    """Maps (N, C, h, w) plus a share of the output of five convolutions, each with all maps before it as input."""

    def __init__(self, config: RRDB) -> None:
        super().__init__()
        base, growth = config.base_channels, config.growth_channels
        self.growing = nn.ModuleList([_conv(base + index * growth, growth) for index in range(4)])
        self.last, self.share = _conv(base + 4 * growth, base), config.residual_share
        self.activation = nn.LeakyReLU(SLOPE)

    def forward(self, maps: Tensor) -> Tensor:
        """Return the block's output."""
        collected = [maps]
        for conv in self.growing:
            collected.append(self.activation(conv(torch.cat(collected, 1))))
        return maps + self.share * self.last(torch.cat(collected, 1))


def _conv(before: int, after: int) -> nn.Conv2d:
    return nn.Conv2d(before, after, 3, padding=1)
