"""Changes of colour as one matrix for each image, and the matrices that they are made of."""

import torch
from torch import Tensor

GRAY_AXIS = 3**-0.5  # of (1, 1, 1), in each direction


def recolour(images: Tensor, matrices: Tensor) -> Tensor:
    """Return images (N, C, H, W) whose colours went through ``matrices`` (N, 4, 4), which act on (r, g, b, 1).

    Gray images take the mean of what the three colours of a gray pixel become. A fourth channel stays as it is.
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


def along_and_across(along: Tensor, across: Tensor) -> Tensor:
    """Return matrices (N, 4, 4) that multiply the gray part of colours by ``along`` (N,), the rest by ``across``."""
    out = _identities(along)
    gray = along.new_full((3, 3), 1 / 3)
    rest = torch.eye(3).to(along) - gray
    out[:, :3, :3] = along[:, None, None] * gray + across[:, None, None] * rest
    return out


def hue_turned(angle: Tensor) -> Tensor:
    """Return matrices (N, 4, 4) that turn colours about the gray axis by ``angle`` (N,), in radians."""
    out = _identities(angle)
    cross = angle.new_tensor([[0, -1, 1], [1, 0, -1], [-1, 1, 0]]) * GRAY_AXIS
    out[:, :3, :3] = (
        along_and_across(torch.ones_like(angle), angle.cos())[:, :3, :3] + angle.sin()[:, None, None] * cross
    )
    return out


def _identities(like: Tensor) -> Tensor:
    return torch.eye(4).to(like).repeat(len(like), 1, 1)
