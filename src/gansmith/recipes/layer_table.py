"""The table of a network's layers and the shapes between them."""

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from gansmith.data.base import DataSpec
from gansmith.recipes.recipe import Recipe


@dataclass(frozen=True)
class LayerRow:
    """One layer: what it is, the shape that leaves it (without the batch), and its parameters."""

    layer: str
    shape: tuple[int, ...]
    parameters: int


def layer_table(network: nn.Module, *inputs: Tensor | None) -> list[LayerRow]:
    """Return the layers of a network in the order in which inputs pass them, the input first."""
    first = inputs[0]
    rows = [LayerRow("input", tuple(first.shape[1:]) if first is not None else (), 0)]
    hooks = []

    def note(module: nn.Module, _: Any, output: Tensor) -> None:
        own = sum(parameter.numel() for parameter in module.parameters())
        rows.append(LayerRow(_describe(module), tuple(output.shape[1:]), own))

    for name, module in network.named_modules():
        inside = "parametrizations." in name  # how a weight is computed is no layer
        if not inside and (not list(module.children()) or hasattr(module, "parametrizations")):
            hooks.append(module.register_forward_hook(note))
    with torch.no_grad():
        network(*inputs)
    for hook in hooks:
        hook.remove()
    return rows


def format_table(title: str, rows: list[LayerRow]) -> list[str]:
    """Return the table as aligned lines of text."""
    cells = [
        (row.layer, " x ".join(map(str, row.shape)) or "1", f"{row.parameters:,}" if row.parameters else "")
        for row in rows
    ]
    widths = [max(len(cell[column]) for cell in cells) for column in range(3)]
    total = sum(row.parameters for row in rows)
    lines = [f"{title}: {total:,} parameters"]
    lines += [f"  {a:<{widths[0]}}  {b:>{widths[1]}}  {c:>{widths[2]}}".rstrip() for a, b, c in cells]
    return lines


def _describe(module: nn.Module) -> str:
    name = type(module).__name__.removeprefix("Parametrized").removeprefix("Strided")  # same layer, faster gradients
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
        groups = f" groups {module.groups}" if module.groups > 1 else ""
        return f"{name} {module.kernel_size[0]}x{module.kernel_size[1]} stride {module.stride[0]}{groups}"
    if isinstance(module, nn.LeakyReLU):
        return f"{name} {module.negative_slope:g}"
    return name


def describe_networks(recipe: Recipe, spec: DataSpec) -> list[str]:
    """Return the table of layer shapes of a recipe's networks as lines."""
    with torch.device("meta"):
        method = recipe.method.build(spec)
        lines: list[str] = []
        for name, inputs in method.example_inputs(2).items():
            lines += format_table(name, layer_table(method.networks[name], *inputs))
    return lines


def numbers_in(recipe: Recipe, spec: DataSpec) -> tuple[int, int]:
    """Return how many parameters a recipe's networks have, and how many values leave their layers for one image."""
    rows = _all_layers(recipe, spec)
    return sum(row.parameters for row in rows), sum(math.prod(row.shape) for row in rows)


def widest_map(recipe: Recipe, spec: DataSpec) -> int:
    """Return the channels of the widest map in a recipe's networks; 0 where they have no maps."""
    return max((row.shape[0] for row in _all_layers(recipe, spec) if len(row.shape) == 3), default=0)


def _all_layers(recipe: Recipe, spec: DataSpec) -> list[LayerRow]:
    with torch.device("meta"):
        method = recipe.method.build(spec)
        inputs = method.example_inputs(2).items()
        return [row for name, given in inputs for row in layer_table(method.networks[name], *given)]


def example_spec(recipe: Recipe) -> DataSpec:
    """Return what a recipe would be trained on where it leaves that to the data: 64 px RGB, ten classes."""
    height, width = recipe.data.shape or (64, 64)
    classes = recipe.method.domains or tuple(str(number) for number in range(10))
    return DataSpec("example", height, width, recipe.data.channels or 3, 10_000, classes, "")
