"""Network ``srresnet``: SRGAN's generator, which enlarges images."""

from typing import Literal

from pydantic import Field
from torch import nn

from gansmith.parts.networks.base import ImageSpec, networks, normed
from gansmith.parts.networks.super_resolution import EnlargingNetwork, Residual, doublings


@networks.register("srresnet")
class SRResNet(EnlargingNetwork):
    """Residual blocks at the size of the source; then a convolution and a pixel shuffle for each doubling.

    G: convolution 9 x 9, PReLU; B blocks (3 x 3, norm, PReLU, 3 x 3, norm) and a 3 x 3 with norm, with a skip
       connection over all of them; for each doubling 3 x 3 to four times the channels, pixel shuffle, PReLU; 9 x 9.
    Source: Ledig et al. 2017 (SRGAN), arXiv:1609.04802, figure 4 and section 2.1.1; pixel shuffle: Shi et al. 2016,
    arXiv:1609.05158; no norm: Lim et al. 2017 (EDSR), arXiv:1707.02921, section 3.1.
    Differs: no norm by default; the output is added to the bicubic enlargement of the source. ``activation: relu`` and
    ``outer_kernel: 3``, as in EDSR, take a third of the time on a CPU.
    """

    base_channels: int = Field(64, ge=1, le=1024, description="channels of all maps")
    blocks: int = Field(16, ge=1, le=128, description="residual blocks")
    norm: Literal["batch", "instance", "none"] = "none"
    activation: Literal["prelu", "relu", "leaky_relu"] = "prelu"
    outer_kernel: Literal[3, 5, 7, 9] = Field(9, description="kernel of the first and the last convolution, px")

    @property
    def has_batch_statistics(self) -> bool:
        """Say whether, in training, an image's output depends on the other images of the batch."""
        return self.norm == "batch"

    def layers(self, channels: int, spec: ImageSpec) -> nn.Sequential:
        """Return the layers from ``channels`` of the sources to the images' channels."""
        base, outer = self.base_channels, self.outer_kernel
        blocks = [Residual(*self._conv(base), self._activation(), *self._conv(base)) for _ in range(self.blocks)]
        layers = [nn.Conv2d(channels, base, outer, padding=outer // 2), self._activation()]
        layers.append(Residual(*blocks, *self._conv(base)))
        for _ in range(doublings(spec)):
            layers += [nn.Conv2d(base, 4 * base, 3, padding=1), nn.PixelShuffle(2), self._activation()]
        return nn.Sequential(*layers, nn.Conv2d(base, spec.channels, outer, padding=outer // 2))

    def _conv(self, channels: int) -> list[nn.Module]:
        conv = nn.Conv2d(channels, channels, 3, padding=1, bias=self.norm == "none")
        return [conv, *normed(self.norm, channels)]

    def _activation(self) -> nn.Module:
        if self.activation == "prelu":
            return nn.PReLU(self.base_channels)
        return nn.ReLU() if self.activation == "relu" else nn.LeakyReLU(0.2)
