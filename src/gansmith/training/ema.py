"""The exponential moving average (EMA) of a network's weights; samples are made with it."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel


class Ema:
    """The exponential moving average of one network's weights and batch statistics, with a half-life in images.

    decay = 0.5 ** (images / half-life). With a warm-up of w, the half-life is at most w times the images seen so far:
    the average forgets the random initial weights quickly.
    Source: Karras et al. 2018, arXiv:1710.10196, section 5; half-life and warm-up: Karras et al. 2020,
    arXiv:2006.06676.
    Differs: batch statistics are averaged like weights.
    """

    def __init__(self, network: nn.Module) -> None:
        self._decay = 0.0
        self._averaged = AveragedModel(network, multi_avg_fn=self._average, use_buffers=True)
        self._averaged.n_averaged.fill_(1)  # the copy is the first average: torch would overwrite it otherwise
        self.network: nn.Module = self._averaged.module
        self.network.eval().requires_grad_(False)

    def _average(self, averaged: Any, current: Sequence[Tensor], _: Any) -> None:
        if averaged[0].is_floating_point():
            torch._foreach_lerp_(averaged, list(current), 1 - self._decay)
        else:
            torch._foreach_copy_(averaged, list(current))

    def update(self, network: nn.Module, images: int, seen_kimg: float, half_life_kimg: float, warmup: float) -> None:
        """Update the average after ``images`` more training images; a half-life of 0 copies the network."""
        half_life = min(half_life_kimg, warmup * seen_kimg) if warmup else half_life_kimg
        self._decay = 0.5 ** (images / 1000 / half_life) if half_life > 0 else 0.0
        self._averaged.update_parameters(network)
