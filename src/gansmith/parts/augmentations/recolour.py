"""Colour transforms as one 4 x 4 matrix for each image."""

import torch
from torch import Tensor

GRAY_AXIS = 3**-0.5  # each component of the unit vector along (1, 1, 1)


def recolour(images: Tensor, matrices: Tensor) -> Tensor:
    """Return images (N, C, H, W) with ``matrices`` (N, 4, 4) applied to each pixel's (r, g, b, 1).

    A gray pixel is treated as an equal mix of three colours, and the mean of the result is kept. A fourth channel does
    not change.
    """
    colours, alpha = images[:, :3], images[:, 3:]
    turned, shift = matrices[:, :3, :3], matrices[:, :3, 3:]
    if colours.shape[1] == 3:
        out = (turned @ colours.flatten(2) + shift).view_as(colours)
        return torch.cat([out, alpha], 1)
    gain, shift = (each.sum((1, 2)) / 3 for each in (turned, shift))
    return images * gain[:, None, None, None] + shift[:, None, None, None]


def brightened(by: Tensor) -> Tensor:
    """Return matrices (N, 4, 4) that add ``by`` (N,) to every colour."""
    out = _identities(by)
    out[:, :3, 3] = by[:, None]
    return out


def gray_and_chroma_scaled(gray_gain: Tensor, chroma_gain: Tensor) -> Tensor:
    """Return matrices (N, 4, 4) that multiply the gray part of colours by one gain (N,), the rest by another (N,)."""
    out = _identities(gray_gain)
    gray = gray_gain.new_full((3, 3), 1 / 3)
    chroma = torch.eye(3).to(gray_gain) - gray
    out[:, :3, :3] = gray_gain[:, None, None] * gray + chroma_gain[:, None, None] * chroma
    return out


def hue_turned(angle: Tensor) -> Tensor:
    """Return matrices (N, 4, 4) that rotate colours about the gray axis by ``angle`` (N,), in radians."""
    out = _identities(angle)
    cross = angle.new_tensor([[0, -1, 1], [1, 0, -1], [-1, 1, 0]]) * GRAY_AXIS
    out[:, :3, :3] = (
        gray_and_chroma_scaled(torch.ones_like(angle), angle.cos())[:, :3, :3] + angle.sin()[:, None, None] * cross
    )
    return out


def _identities(like: Tensor) -> Tensor:
    return torch.eye(4).to(like).repeat(len(like), 1, 1)
