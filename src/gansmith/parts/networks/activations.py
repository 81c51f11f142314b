"""What the hidden layers of a network see."""

from collections.abc import Callable
from itertools import pairwise
from typing import TypeVar

from torch import Tensor, nn

OutT = TypeVar("OutT")


def hidden_maps(network: nn.Module, call: Callable[[], OutT]) -> tuple[OutT, dict[str, Tensor]]:
    """Return what a call of the network returns, and what each hidden layer made in it, by the layer's name.

    Layers are convolutions and linear layers in the order in which they are called, all but the last. What one makes
    is what the next is given: its output after norm and activation.
    """
    given: list[tuple[str, Tensor]] = []

    def keep_for(name: str) -> Callable[[nn.Module, tuple[Tensor, ...]], None]:
        return lambda _, inputs: given.append((name, inputs[0]))

    layers = [(name, each) for name, each in network.named_modules() if isinstance(each, nn.Conv2d | nn.Linear)]
    hooks = [each.register_forward_pre_hook(keep_for(name)) for name, each in layers]
    try:
        out = call()
    finally:
        for hook in hooks:
            hook.remove()
    return out, {before: seen for (before, _), (_, seen) in pairwise(given)}
