"""The only conversion between stored pixels (N, H, W, C) and float (N, C, H, W) in [-1, 1]."""

# Stored pixels are uint8, uint16, or float32 that is in [-1, 1] already: ``values.py``.

from typing import Any

import numpy as np
import torch
from torch import Tensor


def to_float(images: np.ndarray | Tensor) -> Tensor:
    """Convert stored pixels (N, H, W, C) to float32 (N, C, H, W) in [-1, 1], channels_last in memory."""
    tensor = torch.from_numpy(images) if isinstance(images, np.ndarray) else images
    if tensor.dtype == torch.float32:
        return tensor.permute(0, 3, 1, 2)
    half = 127.5 if tensor.dtype == torch.uint8 else 32767.5
    return tensor.to(torch.float32).div_(half).sub_(1).permute(0, 3, 1, 2)


def to_stored(images: Tensor, kind: np.dtype[Any]) -> np.ndarray:
    """Convert float (N, C, H, W) in [-1, 1] to stored pixels (N, H, W, C) of a type, rounded and clipped."""
    images = images.detach()
    if kind == np.uint8:
        return uint8_pixels(images).cpu().numpy()
    values = images.float().clamp(-1, 1).permute(0, 2, 3, 1).contiguous().cpu().numpy()
    return values if kind == np.float32 else ((values + 1) * np.float32(32767.5)).round().astype(np.uint16)


def to_uint8(images: Tensor) -> np.ndarray:
    """Convert float (N, C, H, W) in [-1, 1] to uint8 (N, H, W, C), rounded and clipped."""
    return uint8_pixels(images.detach()).cpu().numpy()


def uint8_pixels(images: Tensor) -> Tensor:
    """Convert as ``to_uint8``, and keep a tensor."""
    scaled = images.float().add(1).mul(127.5).round_().clamp_(0, 255)
    return scaled.to(torch.uint8).permute(0, 2, 3, 1).contiguous()


def unit_values(images: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """Convert float (N, C, H, W) in [-1, 1] to values (N, H, W, C) between ``low`` and ``high``, (1,) or (C,)."""
    return (images.float().clamp(-1, 1).permute(0, 2, 3, 1) + 1) * ((high - low) / 2) + low


def to_levels(image: Tensor) -> np.ndarray:
    """Convert float (C, H, W) in [-1, 1] to float32 (H, W, C) in 0 to 255, clipped but not rounded, to blend later."""
    return ((image + 1) * 127.5).clamp(0, 255).permute(1, 2, 0).cpu().numpy()
