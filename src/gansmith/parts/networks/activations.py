"""Record the hidden feature maps of a network during a call."""

from collections.abc import Callable
from itertools import pairwise
from typing import TypeVar

from torch import Tensor, nn

OutT = TypeVar("OutT")


def hidden_maps(network: nn.Module, call: Callable[[], OutT]) -> tuple[OutT, dict[str, Tensor]]:
    """Run ``call``, which calls the network; return its result and the feature maps of hidden layers by layer name.

    Hidden layers are all convolutions and linear layers except the last one, in the order of their calls. The feature
    map of a layer is the input of the next one: its output after norm and activation.
    """
    inputs_of: list[tuple[str, Tensor]] = []

    def record(name: str) -> Callable[[nn.Module, tuple[Tensor, ...]], None]:
        return lambda _, inputs: inputs_of.append((name, inputs[0]))

    layers = [(name, each) for name, each in network.named_modules() if isinstance(each, nn.Conv2d | nn.Linear)]
    hooks = [each.register_forward_pre_hook(record(name)) for name, each in layers]
    try:
        out = call()
    finally:
        for hook in hooks:
            hook.remove()
    return out, {layer: next_input for (layer, _), (_, next_input) in pairwise(inputs_of)}
