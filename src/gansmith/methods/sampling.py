"""Generate images from fixed inputs in padded batches of one size."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from gansmith.core.shared_work import in_shares
from gansmith.imaging.images import padded_batches
from gansmith.imaging.tensors import to_stored
from gansmith.methods.base import Fixed

UINT8 = np.dtype(np.uint8)


@torch.no_grad()
def generate(
    preview: Callable[[nn.ModuleDict, Fixed], Tensor],
    networks: nn.ModuleDict,
    fixed: Fixed,
    batch: int,
    kind: np.dtype[Any] = UINT8,
) -> np.ndarray:
    """Return images for fixed inputs, generated in evaluation mode in padded batches of one size.

    They are stored pixels (N, H, W, C) of type ``kind``: ``DataSpec.stored_type``. Inside of ``shared_by`` the
    processes share the batches.
    """
    device = next(networks.parameters()).device
    was_training = [module for module in networks.modules() if module.training]
    networks.eval()

    def made(places: np.ndarray) -> tuple[np.ndarray]:
        inputs, labels = fixed.inputs[places].to(device), fixed.labels
        padded = replace(fixed, inputs=inputs, labels=None if labels is None else labels[places].to(device))
        with torch.random.fork_rng([]):
            torch.default_generator.manual_seed(int(places[0]))  # for networks that draw random numbers
            return (to_stored(preview(networks, padded), kind),)

    try:
        out = in_shares([*padded_batches(len(fixed.inputs), batch)], made)
    finally:
        for module in was_training:
            module.training = True
    return np.concatenate([images for (images,) in out])[: len(fixed.inputs)]
