"""What is wrong with a term of a loss that a plugin computed."""

from typing import Any

import torch
from torch import Tensor


def fault_of_term(result: Any, inputs: tuple[Any, ...]) -> str:
    """Return what is wrong with a term of a loss, computed from ``inputs``; "" for a 0-d tensor with a graph."""
    if not isinstance(result, Tensor):
        return f"returns a {type(result).__name__}, not a tensor"
    if result.ndim:
        return f"returns a tensor of shape {tuple(result.shape)}, not one number"
    if not result.is_floating_point():
        return f"returns a tensor of {result.dtype}, not of floating-point numbers"
    learns = any(isinstance(each, Tensor) and each.requires_grad for each in inputs)
    if learns and torch.is_grad_enabled() and not result.requires_grad:
        return "returns a tensor without a graph, as after detach() or item(): nothing could be learnt"
    return ""
