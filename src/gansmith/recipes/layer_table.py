"""The layer table of a network: layers, output shapes and parameters."""

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from gansmith.data.base import DataSpec
from gansmith.recipes.recipe import Recipe

MAX_KNOWN = 100  # recipes and formats whose tables are kept
_known_tables: dict[Any, dict[str, list["LayerRow"]]] = {}


@dataclass(frozen=True)
class LayerRow:
    """One layer: description, output shape without the batch, and number of parameters."""

    layer: str
    shape: tuple[int, ...]
    parameters: int


def layer_table(network: nn.Module, *inputs: Tensor | None) -> list[LayerRow]:
    """Return the layers of a network in the order of the forward pass, after a row for the input."""
    first = inputs[0]
    rows = [LayerRow("input", tuple(first.shape[1:]) if first is not None else (), 0)]
    hooks = []

    def record(module: nn.Module, _: Any, output: Tensor) -> None:
        own = sum(parameter.numel() for parameter in module.parameters())
        rows.append(LayerRow(_describe(module), tuple(output.shape[1:]), own))

    for name, module in network.named_modules():
        inside = "parametrizations." in name  # a parametrization computes a weight: no layer
        if not inside and (not list(module.children()) or hasattr(module, "parametrizations")):
            hooks.append(module.register_forward_hook(record))
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
    """Return the layer tables of a recipe's networks as lines; the networks take no memory."""
    return [line for name, rows in _layer_tables(recipe, spec).items() for line in format_table(name, rows)]


def numbers_in(recipe: Recipe, spec: DataSpec) -> tuple[int, int]:
    """Return the parameters of a recipe's networks, and the output values of all their layers for one image."""
    rows = [row for table in _layer_tables(recipe, spec).values() for row in table]
    return sum(row.parameters for row in rows), sum(math.prod(row.shape) for row in rows)


def work_in(recipe: Recipe, spec: DataSpec) -> float:
    """Return the work of a training image relative to other networks of the same kind.

    It grows with the values in all layers, and with the square root of their channels: twice the channels took about
    three times as long on a CPU.
    """
    return numbers_in(recipe, spec)[1] * max(widest_map(recipe, spec), 1) ** 0.5


def widest_map(recipe: Recipe, spec: DataSpec) -> int:
    """Return the most channels of a feature map in a recipe's networks; 0 without feature maps."""
    tables = _layer_tables(recipe, spec).values()
    return max((row.shape[0] for table in tables for row in table if len(row.shape) == 3), default=0)


def _layer_tables(recipe: Recipe, spec: DataSpec) -> dict[str, list[LayerRow]]:
    """Return the tables of a recipe's networks; a plan asks for the same ones many times, 0.1 seconds each."""
    key = (type(recipe.method), recipe.method.model_dump_json(), spec)
    if key not in _known_tables:
        with torch.device("meta"):  # networks without memory
            method = recipe.method.build(spec)
            examples = method.example_inputs(2).items()
            tables = {name: layer_table(method.networks[name], *inputs) for name, inputs in examples}
        if len(_known_tables) >= MAX_KNOWN:
            _known_tables.clear()
        _known_tables[key] = tables
    return _known_tables[key]


def example_spec(recipe: Recipe) -> DataSpec:
    """Return example data for a recipe: 64 px RGB with ten classes, unless the recipe sets size or channels."""
    height, width = recipe.data.shape or (64, 64)
    classes = recipe.method.domains or tuple(str(number) for number in range(10))
    return DataSpec("example", height, width, recipe.data.channels or 3, 10_000, classes, "")
