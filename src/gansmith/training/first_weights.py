"""``--init-from``: copy the layers of a trained model that fit into a new run."""

# A layer is a module with tensors of its own. It is taken from the layer with its name if kind and shapes are equal,
# else from the first layer left over that has them, because another image size numbers the layers anew. Tensors with an
# entry for each class (embeddings, columns of one-hot labels, gains) keep the entries of the classes with equal names.
# Which tensors these are is found by trial: they are larger in networks for one class more.

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from gansmith.core.errors import ModelError, RecipeError
from gansmith.core.events import MessageEvent, OnEvent
from gansmith.data.base import DataSpec
from gansmith.inference.model import Model
from gansmith.methods.base import MethodConfig
from gansmith.parts.networks.base import Network, SpectralNorm
from gansmith.runs.record import TakenLayers
from gansmith.training.state import RunState

POWER_ITERATIONS = 15  # as many as torch runs for new weights
ESTIMATES = ("parametrizations.weight.0._u", "parametrizations.weight.0._v")  # of a spectral norm


@dataclass(frozen=True)
class _Layer:
    """A module and its own tensors by name; tensors with an entry for each class have them last in ``class_dims``."""

    module: nn.Module
    tensors: Mapping[str, Tensor]
    class_dims: Mapping[str, int]
    classes: Sequence[str]

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Return the shape of each tensor without its entries for classes."""
        out = {}
        for key, tensor in self.tensors.items():
            shape = list(tensor.shape)
            if key in self.class_dims:
                shape[self.class_dims[key]] -= len(self.classes)
            if key not in ESTIMATES:
                out[key] = tuple(shape)
        return out

    def fits(self, other: "_Layer") -> bool:
        """Say whether something can be copied from another layer."""
        # By name: each layer with a spectral norm has a class of its own.
        kinds = (type(self.module).__qualname__, type(other.module).__qualname__)
        if kinds[0] != kinds[1] or self.shapes() != other.shapes():
            return False
        return any(0 not in shape for shape in self.shapes().values()) or bool(set(self.classes) & set(other.classes))

    def take(self, other: "_Layer") -> None:
        """Copy what fits from a layer that fits."""
        shapes = self.shapes()
        for key, mine in self.tensors.items():
            its, dim = other.tensors[key], self.class_dims.get(key, other.class_dims.get(key))
            if dim is not None:
                rest = shapes[key][dim]
                mine.narrow(dim, 0, rest).copy_(its.narrow(dim, 0, rest))
                for index, name in enumerate(self.classes if key in self.class_dims else ()):
                    if key in other.class_dims and name in other.classes:
                        mine.select(dim, rest + index).copy_(its.select(dim, rest + other.classes.index(name)))
            elif mine.shape == its.shape:
                mine.copy_(its)
        if self.class_dims or other.class_dims:
            _estimate_norms(self.module)

    def described(self) -> str:
        """Return the shape of the weights in words."""
        largest = max(self.tensors.values(), key=Tensor.numel)
        biased = largest.ndim > 1 and self.tensors.get("bias") is not None
        return "x".join(map(str, largest.shape)) + " + bias" * biased


def take_weights(
    state: RunState, data: DataSpec, model: Model, address: str, on_event: OnEvent
) -> dict[str, TakenLayers]:
    """Copy a model's weights into the first state of a run; return the layers that were taken, by network.

    A network starts from the weights without EMA, its average from the average. Optimizers start new. Reports each
    network as an event. Raises ModelError, which names ``address``, if no layer fits.
    """
    mine, its = state.recipe.method, model.record.method
    my_dims, its_dims = _class_dims(mine, data), _class_dims(its, model.record.data)
    taken: dict[str, TakenLayers] = {}
    reasons = []
    for name, network in state.method.networks.items():
        source = model.networks.get(f"{name}-raw", model.networks.get(name))
        if source is None:
            continue
        kinds = _kind(its, name), _kind(mine, name)
        if kinds[0] != kinds[1]:
            reasons.append(f"its {name} is '{kinds[0]}', the recipe's is '{kinds[1]}'")
            continue
        pairs = [(network, source)]
        if name in state.averages:
            pairs.append((state.averages[name].network, model.networks.get(name, source)))
        for target, each in pairs:
            taken[name] = _take_layers(
                _layers(target, my_dims.get(name, {}), data.classes),
                _layers(each, its_dims.get(name, {}), model.classes),
            )
        reasons.append(f"{name}: {taken[name].text}")
    if not any(each.taken for each in taken.values()):
        raise ModelError(
            "model.initial_weights_unfit",
            f"--init-from {address}: none of its layers fits this recipe\n  "
            + ("; ".join(reasons) or f"it has no network {' or '.join(state.method.networks)}")
            + "\n  use a recipe with the same kind of networks, and its base_channels or hidden",
        )
    for name, each_taken in taken.items():
        on_event(MessageEvent("note", f"--init-from {address}: {name}: {each_taken.text}"))
    return taken


def _kind(method: MethodConfig, name: str) -> str:
    """Return the kind of a method's network."""
    part = getattr(method, "discriminator" if name.startswith("discriminator") else "generator", None)
    return part.kind if isinstance(part, Network) else method.kind


def _class_dims(method: MethodConfig, data: DataSpec) -> dict[str, dict[str, int]]:
    """Return by network the tensors with an entry for each class, and the dimension of these entries."""
    more = replace(data, classes=(*data.classes, "".join(data.classes) + "+"))
    try:
        with torch.device("meta"):
            small, large = (method.build(each).networks for each in (data, more))
    except RecipeError:  # a method of two domains has no third
        return {}
    out: dict[str, dict[str, int]] = {}
    for name, network in small.items():
        shapes = {key: tensor.shape for key, tensor in large[name].state_dict().items()}
        grown = {
            key: [dim for dim, side in enumerate(shapes[key]) if side == tensor.shape[dim] + 1]
            for key, tensor in network.state_dict().items()
            if not key.endswith(ESTIMATES)
        }
        out[name] = {key: dims[0] for key, dims in grown.items() if dims}
    return out


def _layers(network: nn.Module, class_dims: Mapping[str, int], classes: Sequence[str]) -> dict[str, _Layer]:
    """Return the layers of a network by name, in order."""
    tensors: dict[str, dict[str, Tensor]] = {}
    for key, tensor in network.state_dict().items():
        name = re.sub(r"\.parametrizations\..*|\.?[^.]+$", "", key)
        tensors.setdefault(name, {})[key.removeprefix(f"{name}.")] = tensor
    return {
        name: _Layer(
            network.get_submodule(name),
            each,
            {key: class_dims[full] for key in each if (full := f"{name}.{key}".strip(".")) in class_dims},
            classes,
        )
        for name, each in tensors.items()
    }


@torch.no_grad()
def _take_layers(mine: Mapping[str, _Layer], its: Mapping[str, _Layer]) -> TakenLayers:
    """Copy the layers that fit, and return what was taken."""
    pairs = {name: name for name, layer in mine.items() if name in its and layer.fits(its[name])}
    free = [name for name in its if name not in pairs]
    for name, layer in mine.items():
        found = next((other for other in free if layer.fits(its[other])), None) if name not in pairs else None
        if found is not None:
            pairs[name] = found
            free.remove(found)
    for name, other in pairs.items():
        mine[name].take(its[other])
    labelled = [name for name in pairs if mine[name].class_dims and its[pairs[name]].class_dims]
    return TakenLayers(
        taken=len(pairs),
        of=len(mine),
        new=tuple(
            f"{name} (model {its[name].described() if name in its else 'none'}, recipe {layer.described()})"
            for name, layer in mine.items()
            if name not in pairs
        ),
        classes=tuple(
            name for name in mine[labelled[0]].classes if name in its[pairs[labelled[0]]].classes
        ) if labelled else (),
    )  # fmt: skip


def _estimate_norms(layer: nn.Module) -> None:
    """Estimate the spectral norm of changed weights as torch does for new ones."""
    for norm in layer.modules():
        if isinstance(norm, SpectralNorm):
            was_training = layer.training
            layer.train()
            for _ in range(POWER_ITERATIONS):
                _ = layer.weight
            layer.train(was_training)
