"""Convert images between uint8 (N, H, W, C) and float (N, C, H, W) in [-1, 1]; no other file does."""

import numpy as np
import torch
from torch import Tensor


def to_float(images: np.ndarray | Tensor) -> Tensor:
    """Convert uint8 (N, H, W, C) to float32 (N, C, H, W) in [-1, 1], channels_last in memory."""
    tensor = torch.from_numpy(images) if isinstance(images, np.ndarray) else images
    return tensor.to(torch.float32).div_(127.5).sub_(1).permute(0, 3, 1, 2)


def to_uint8(images: Tensor) -> np.ndarray:
    """Convert float (N, C, H, W) in [-1, 1] to uint8 (N, H, W, C), rounded and clipped."""
    return uint8_pixels(images.detach()).cpu().numpy()


def uint8_pixels(images: Tensor) -> Tensor:
    """Convert as ``to_uint8``, and keep a tensor."""
    scaled = images.float().add(1).mul(127.5).round_().clamp_(0, 255)
    return scaled.to(torch.uint8).permute(0, 2, 3, 1).contiguous()


def to_levels(image: Tensor) -> np.ndarray:
    """Convert float (C, H, W) in [-1, 1] to float32 (H, W, C) in 0 to 255, clipped but not rounded, to blend later."""
    return ((image + 1) * 127.5).clamp(0, 255).permute(1, 2, 0).cpu().numpy()
