"""Generate images from fixed inputs in padded batches of one size."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn

from gansmith.imaging.images import to_uint8
from gansmith.methods.base import Fixed

PIXELS_IN_A_BATCH = 65536


def sample_batch(height: int, width: int) -> int:
    """Return the batch size for all samples of this image size, 4 to 64.

    Results change slightly with the batch size. With one fixed size an image does not depend on the images beside it.
    """
    return max(4, min(64, PIXELS_IN_A_BATCH // (height * width)))


@torch.no_grad()
def generate(
    preview: Callable[[nn.ModuleDict, Fixed], Tensor], networks: nn.ModuleDict, fixed: Fixed, batch: int
) -> np.ndarray:
    """Return images uint8 (N, H, W, C) for fixed inputs, generated in evaluation mode in padded batches of one size."""
    device = next(networks.parameters()).device
    was_training = [module for module in networks.modules() if module.training]
    networks.eval()
    out = []
    try:
        for start in range(0, len(fixed.inputs), batch):
            places = torch.arange(start, start + batch).clamp_(max=len(fixed.inputs) - 1)
            inputs, labels = fixed.inputs[places].to(device), fixed.labels
            padded = replace(fixed, inputs=inputs, labels=None if labels is None else labels[places].to(device))
            with torch.random.fork_rng([]):
                torch.default_generator.manual_seed(start)  # for networks that draw random numbers
                out.append(to_uint8(preview(networks, padded)))
    finally:
        for module in was_training:
            module.training = True
    return np.concatenate(out)[: len(fixed.inputs)]
