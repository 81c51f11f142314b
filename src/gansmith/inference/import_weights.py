"""Import weights of other programs: DCGANs and fully connected GANs become model folders."""

# Layers are matched in order, since every program names them in its own way. Sizes (latents, widths, image) are read
# from the weights, the rest comes from the recipe. A transposed convolution of 1 x 1 latents (N, z, 1, 1) becomes the
# linear layer that computes the same; embedded labels become one-hot labels.

import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from math import isqrt
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from gansmith.core.errors import ModelError, counted, some_of
from gansmith.core.plain_files import parse_json, refuse_damaged_tensors
from gansmith.core.tensor_files import load_tensors
from gansmith.data.base import DataSpec
from gansmith.inference import unpickle
from gansmith.inference.model import Model
from gansmith.inference.model_record import make_record, model_errors
from gansmith.methods.capabilities import latent_fields
from gansmith.recipes.load import load_recipe
from gansmith.recipes.recipe import Recipe

KINDS = ("dcgan", "mlp")  # of networks
GENERATOR, DISCRIMINATOR = "generator", "discriminator"
PICKLED = (".pth", ".pt", ".bin", ".ckpt")
SECONDS, BASE_BYTES, BYTES_PER_BYTE = 60, 4 * 2**30, 6  # limits of the process that opens a pickled file
MAX_BYTES = 4 * 2**30
SHOWN = 4  # layers that a message names


@dataclass(frozen=True)
class _Layer:
    """A layer of a file: its name, and its tensors by their own names."""

    name: str
    tensors: Mapping[str, Tensor]

    @property
    def weight(self) -> Tensor:
        """Return the weights."""
        return self.tensors["weight"]

    @property
    def is_norm(self) -> bool:
        """Say whether this is a norm layer."""
        return self.weight.ndim == 1

    @property
    def is_embedding(self) -> bool:
        """Say whether this is an embedding of labels."""
        return self.weight.ndim == 2 and "bias" not in self.tensors and "emb" in self.name.lower()


def import_weights(
    weights: str | Path | Sequence[str | Path],
    recipe: str = "dcgan",
    *,
    overrides: Sequence[str] = (),
    classes: Sequence[str] = (),
    labels_first: bool = False,
) -> Model:
    """Return a model with the weights of another program; ``Model.save`` writes its folder.

    ``weights`` are one or two files with a generator and a discriminator: .safetensors, or .pth, .pt, .bin and .ckpt
    through torch's weights-only loader in a process with limits. ``recipe`` names the networks, which are ``dcgan`` or
    ``mlp``; ``overrides`` are its KEY=VALUE for facts that weights do not show, such as padding=0 or size=32x48.
    A network with labels takes them one-hot or embedded, behind the latents; with ``labels_first`` before them.
    ``classes`` are their names. Raises ModelError for a file that cannot be read or is refused, and for layers that do
    not match.
    """
    files = [Path(weights)] if isinstance(weights, str | Path) else [Path(file) for file in weights]
    if not files:
        raise ModelError("import.not_found", "no file with weights is given\n  pass a .safetensors or .pth file")
    before = load_recipe(recipe, tuple(overrides))
    found: dict[str, list[_Layer]] = {}
    extra: dict[str, list[str]] = {}
    for file in files:
        for layers, others in _networks_in(file):
            side = DISCRIMINATOR if layers[-1].weight.shape[0] == 1 else GENERATOR
            if side in found:
                raise ModelError("import.two_of_a_kind", f"'{file}' holds a second {side}\n  pass one of each")
            found[side], extra[side] = layers, others
    sizes: dict[str, Any] = {}
    for side, layers in found.items():
        sizes |= _sizes(layers, side, before, len(classes), str(files[0]))
    num_classes = sizes.pop("classes", 0)
    if getattr(before.method, "conditional", False) and not num_classes:
        raise ModelError(
            "import.classes",
            f"recipe '{recipe}' has labels, but '{files[0]}' shows no number of classes"
            "\n  pass their names: --classes; or pass conditional=false",
        )
    words = [f"{name}={'null' if value is None else value}".replace("True", "true") for name, value in sizes.items()]
    chosen = load_recipe(recipe, (*words, *overrides))
    names = tuple(classes) or tuple(map(str, range(num_classes)))
    if len(names) != num_classes and getattr(before.method, "conditional", False):
        raise ModelError(
            "import.classes",
            f"got names of {len(names)} classes, but the weights have {num_classes}\n  name each class once: --classes",
        )
    side_px = str(chosen.data.size).split("x")
    spec = DataSpec(files[0].stem, int(side_px[0]), int(side_px[-1]), chosen.data.channels or 1, 0, names, "")
    with torch.device("meta"):
        networks = chosen.method.build(spec).networks
    tensors = {}
    for side, layers in found.items():
        labels = _Labels(num_classes, labels_first and side == GENERATOR)
        tensors[side] = _matched(layers, extra[side], networks[side], labels, str(files[0]))
    return Model(make_record(chosen.name, chosen.method, spec, 0, 0.0), tensors, "cpu")


def _networks_in(file: Path) -> list[tuple[list[_Layer], list[str]]]:
    """Return the layers of each network in a file, in its order, and its tensors that are of no layer with weights."""
    if not file.is_file():
        raise ModelError("import.not_found", f"'{file}' is not a file\n  pass a .safetensors or .pth file")
    if file.suffix.lower() not in (".safetensors", *PICKLED):
        raise ModelError(
            "import.unknown_ending", f"'{file}' has an unknown extension\n  allowed: .safetensors, {', '.join(PICKLED)}"
        )
    if file.stat().st_size > MAX_BYTES:
        raise ModelError("import.too_large", f"'{file}' has {file.stat().st_size:,} bytes; allowed: {MAX_BYTES:,}")
    with model_errors(str(file)):
        tensors = _read(file) if file.suffix.lower() == ".safetensors" else _unpickled(file)
    networks: dict[str, dict[str, dict[str, Tensor]]] = {}
    for key, tensor in tensors.items():
        if tensor.is_complex() or not tensor.isfinite().all():
            what = "complex numbers" if tensor.is_complex() else "numbers that are not finite"
            raise ModelError(
                "import.not_finite", f"tensor '{key}' of '{file}' holds {what}\n  no image can be made of it"
            )
        part, _, name = key.rpartition("/")
        layer, _, own = name.removeprefix("module.").rpartition(".")
        networks.setdefault(part, {}).setdefault(layer, {})[own] = tensor.float()
    out = []
    for layers in networks.values():
        named = [_Layer(name, each) for name, each in layers.items() if "weight" in each and each["weight"].ndim > 0]
        if any(not each.is_norm and not each.is_embedding for each in named):
            ordered = [*(each for each in named if each.is_embedding), *(e for e in named if not e.is_embedding)]
            rest = {name: each for name, each in layers.items() if "weight" not in each}
            others = [(f"{name}.{own}".strip("."), each[own]) for name, each in rest.items() for own in each]
            out.append((ordered, [f"{name} ({_shape(tensor)})" for name, tensor in others if tensor.ndim]))
    if not out:
        raise ModelError(
            "import.no_weights",
            f"'{file}' holds no linear layer and no convolution\n  pass the state dict of a generator or discriminator",
        )
    return out


def _read(file: Path) -> dict[str, Tensor]:
    """Return the tensors of a .safetensors file in the order of the layers: as noted, else by name and number."""
    noted = refuse_damaged_tensors(file).get(unpickle.ORDER)
    tensors = load_tensors(file)
    if noted is None:  # the file sorts its names: main.10 before main.2
        words = {name: re.findall(r"\d+|\D+", name) for name in tensors}
        order = sorted(words, key=lambda name: [(int(w), "") if w.isdigit() else (0, w) for w in words[name]])
    else:
        order = parse_json(noted)
    return {name: tensors[name] for name in order}


def _unpickled(file: Path) -> dict[str, Tensor]:
    """Return the tensors of a pickled file; ModelError if the loader refuses it, or it passes a limit."""
    memory = BASE_BYTES + BYTES_PER_BYTE * file.stat().st_size
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "tensors.safetensors"
        words = [sys.executable, unpickle.__file__, str(file.resolve()), str(target), str(memory), str(SECONDS)]
        try:
            done = subprocess.run(words, capture_output=True, text=True, timeout=2 * SECONDS, check=False)  # noqa: S603
        except subprocess.TimeoutExpired as problem:
            raise ModelError(
                "import.refused",
                f"'{file}' took longer than {2 * SECONDS} s to read"
                "\n  save the state dict alone: torch.save(net.state_dict(), FILE)",
            ) from problem
        if done.returncode != 0 or not target.is_file():
            reason = " ".join(done.stderr.split())[:160] if done.returncode == unpickle.REFUSED else "it passed a limit"
            raise ModelError(
                "import.refused",
                f"'{file}' was refused by torch's weights-only loader: {reason or 'no reason given'}"
                "\n  save the state dict alone: torch.save(net.state_dict(), FILE)",
            )
        return _read(target)


def _sizes(layers: list[_Layer], side: str, recipe: Recipe, known_classes: int, where: str) -> dict[str, Any]:
    """Return the sizes that the weights of one side show, as overrides of the recipe, and the number of classes."""
    method, part = latent_fields(recipe.method), getattr(recipe.method, side, None)
    if method is None or part is None or part.kind not in KINDS:
        raise ModelError(
            "import.other_networks",
            f"recipe '{recipe.name}' has other networks than {' and '.join(KINDS)}\n  pass --recipe dcgan or vanilla",
        )
    embeddings = [layer.weight for layer in layers if layer.is_embedding]
    rest = [layer for layer in layers if not layer.is_embedding]
    steps = [layer for layer in rest if not layer.is_norm]
    first, last = steps[0].weight, steps[-1].weight
    if (last.ndim == 4) != (part.kind == "dcgan"):
        raise ModelError(
            "import.other_networks",
            f"'{where}' ends with a {'convolution' if last.ndim == 4 else 'linear layer'}, but the {side} of recipe "
            f"'{recipe.name}' is '{part.kind}'\n  pass --recipe {'dcgan' if last.ndim == 4 else 'vanilla'}",
        )
    inputs = first.shape[0 if side == GENERATOR and first.ndim == 4 else 1]
    given = (part.kind == "mlp" and method.latent_dim) or inputs
    num_classes = 0
    if method.conditional:
        num_classes = embeddings[0].shape[0] if embeddings else known_classes or max(0, inputs - given)
    elif embeddings:
        raise ModelError(
            "import.labels",
            f"'{where}' has embedded labels, but recipe '{recipe.name}' has none\n  pass --recipe conditional",
        )
    inputs -= embeddings[0].shape[1] if embeddings else num_classes
    is_normed = [index + 1 < len(rest) and rest[index + 1].is_norm for index, each in enumerate(rest) if each in steps]
    biased = ["bias" in layer.tensors for layer in steps]
    out: dict[str, Any] = {"classes": num_classes} if method.conditional else {}
    head = f"method.{side}"
    out[f"{head}.norm"] = "batch" if any(is_normed[:-1]) else "none"
    if side == GENERATOR:
        out["latent_dim"] = inputs
    if part.kind == "mlp":
        pixels = last.shape[0] if side == GENERATOR else inputs
        channels = recipe.data.channels or (1 if isqrt(pixels) ** 2 == pixels else 3)
        out |= {"channels": channels, "size": recipe.data.size or isqrt(pixels // channels)}
        out |= {f"{head}.hidden": [step.weight.shape[0] for step in steps[:-1]], f"{head}.bias": any(biased)}
        return out | {f"{head}.norm_output": is_normed[-1]}
    bias = True if all(biased) else False if not any(biased) else None
    rows = (
        last.shape[2]
        if side == DISCRIMINATOR
        else first.shape[2]
        if first.ndim == 4
        else isqrt(first.shape[0] // steps[1].weight.shape[0])
    )
    for _ in steps[1:]:
        rows = 2 * rows if part.padding else 2 * rows + 2
    widest = last.shape[0] if side == GENERATOR else first.shape[0]
    out |= {
        "channels": last.shape[1] if side == GENERATOR else inputs,
        "size": rows,
        f"{head}.base_channels": widest,
        f"{head}.bias": bias,
    }
    return out | {f"{head}.norm_first": is_normed[0]} if side == DISCRIMINATOR else out


def _matched(
    layers: list[_Layer], others: list[str], network: nn.Module, labels: "_Labels", where: str
) -> dict[str, Tensor]:
    """Return the tensors of a network from the layers of a file; ModelError, which lists what does not match.

    ``others`` are tensors that no layer holds.
    """
    embedding = next((layer.weight for layer in layers if layer.is_embedding), None)
    sources = [layer for layer in layers if not layer.is_embedding]
    targets: dict[str, dict[str, Tensor]] = {}
    for key, tensor in network.state_dict().items():
        name, _, own = key.rpartition(".")
        targets.setdefault(name, {})[own] = tensor
    kinds = [each["weight"].ndim == 1 for each in targets.values()]
    matcher = SequenceMatcher(None, [layer.is_norm for layer in sources], kinds, autojunk=False)
    wrong: list[str] = []
    out: dict[str, Tensor] = {}
    names = list(targets)
    for tag, start, end, at, until in matcher.get_opcodes():
        if tag != "equal":
            wrong += [f"extra: {layer.name} ({_shape(layer.weight)})" for layer in sources[start:end]]
            wrong += [f"missing: {_shape(targets[name]['weight'])} for {name}" for name in names[at:until]]
            continue
        for layer, name in zip(sources[start:end], names[at:until], strict=True):
            got = _converted(layer, targets[name], labels if layer is sources[0] else _Labels(0, False), embedding)
            for own, tensor in targets[name].items():
                if own == "num_batches_tracked":
                    got.setdefault(own, torch.zeros((), dtype=torch.long))
                    got[own] = got[own].long()
                if own not in got:
                    wrong.append(f"{layer.name}: no {own}")
                elif got[own].shape != tensor.shape:
                    wrong.append(f"{layer.name}.{own}: {_shape(got[own])}, the recipe has {_shape(tensor)}")
            wrong += [f"{layer.name}: extra {own}" for own in got if own not in targets[name]]
            out |= {f"{name}.{own}": tensor.contiguous() for own, tensor in got.items()}
    hint = "pass another --recipe, or KEY=VALUE such as padding=0 or size=32x48"
    if others and not wrong:
        hint = "remove spectral norm or weight norm from the network before you save its state dict"
    wrong += [f"extra: {each}" for each in others]
    if wrong:
        raise ModelError(
            "import.unfit",
            f"'{where}' does not fit the recipe: {counted(len(wrong), 'difference')}"
            f"\n  {some_of(wrong, SHOWN, '; ')}\n  {hint}",
        )
    return out


@dataclass(frozen=True)
class _Labels:
    """The label input of a network's first layer."""

    count: int  # classes
    first: bool  # before the other inputs


def _converted(
    layer: _Layer, target: Mapping[str, Tensor], labels: _Labels, embedding: Tensor | None
) -> dict[str, Tensor]:
    """Return the tensors of a layer in the form of ``target``, as far as one is known."""
    out = dict(layer.tensors)
    weight, bias, wanted = layer.weight, out.get("bias"), target["weight"]
    if wanted.ndim == 2 and weight.ndim == 4:  # transposed convolution of 1 x 1 maps: (z, C, h, w) -> (h w C, z)
        out["weight"] = weight.permute(2, 3, 1, 0).reshape(-1, weight.shape[0])
        if bias is not None:
            out["bias"] = bias.repeat(weight.shape[2] * weight.shape[3])
    elif labels.count and weight.ndim == 2:
        count = labels.count if embedding is None else embedding.shape[1]
        of_labels = weight[:, :count] if labels.first else weight[:, weight.shape[1] - count :]
        others = weight[:, count:] if labels.first else weight[:, : weight.shape[1] - count]
        out["weight"] = torch.cat([others, of_labels if embedding is None else of_labels @ embedding.T], 1)
    return out


def _shape(tensor: Tensor) -> str:
    return "x".join(map(str, tensor.shape)) or "a number"
