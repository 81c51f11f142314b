"""The distance between images as the hidden layers of a network see them: of one in training, or of a file."""

import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load
from torch import Tensor, nn
from torch.nn import functional as F

from gansmith.core.atomic_files import METADATA_KEY
from gansmith.core.errors import RecipeError
from gansmith.data.base import DataSpec
from gansmith.methods.base import methods
from gansmith.parts.extractors.convnet import ConvNet, input_side
from gansmith.parts.networks.activations import hidden_maps
from gansmith.parts.networks.base import ImageSpec, range_from_signed

OWN_FEATURES = "discriminator"
SMALLEST = 1e-6


def feature_distance(seen: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> Tensor:
    """Return mean |a - b| / mean |b|, 0-d, over the maps a that were seen and b that were wanted.

    Each layer and each image counts alike, whatever the size of its numbers.
    Source: Wang et al. 2018 (pix2pixHD), arXiv:1711.11585, equation 4; Johnson et al. 2016, arXiv:1603.08155.
    Differs: divided by the mean of what is wanted; pix2pixHD leaves the layers' sizes as they are.
    """
    apart = []
    for name, goal in wanted.items():
        difference, size = (each.float().abs().flatten(1).mean(1) for each in (seen[name] - goal, goal))
        apart.append((difference / size.clamp(min=SMALLEST)).mean())
    return torch.stack(apart).mean()


class FeatureNetwork:
    """A network of a .safetensors file, read when it is first asked: a discriminator of gansmith's, or an extractor.

    It is no part of the model, which loads without it.
    """

    def __init__(self, path: str, spec: ImageSpec) -> None:
        self._path, self._spec = Path(path).expanduser(), spec
        self._opened: tuple[nn.Module, Callable[[Tensor], object]] | None = None

    def distance(self, made: Tensor, wanted: Tensor, digest: Tensor) -> Tensor:
        """Return the distance of images (N, C, H, W) in [-1, 1], 0-d.

        ``digest`` (32,) uint8 is the SHA-256 that the file must have; all 0: it is written there. Raises RecipeError
        for a file that cannot be used, or is another one.
        """
        network, call = self._opened or self._open(digest)
        with torch.no_grad():
            goal = hidden_maps(network, lambda: call(wanted))[1]
        return feature_distance(hidden_maps(network, lambda: call(made))[1], goal)

    def _open(self, digest: Tensor) -> tuple[nn.Module, Callable[[Tensor], object]]:
        try:
            content = self._path.read_bytes()
        except OSError as problem:
            raise self._unusable(f"it cannot be read: {problem.strerror}") from problem
        found = torch.frombuffer(bytearray(hashlib.sha256(content).digest()), dtype=torch.uint8).to(digest.device)
        if digest.any() and not torch.equal(found, digest):
            raise RecipeError(
                "recipe.features_changed",
                f"features '{self._path}' is another network than the one this run began with"
                "\n  put the old file back: a run must go on with what it was started with",
            )
        digest.copy_(found)
        try:
            network, call = self._read(content)
        except RecipeError:
            raise
        except (SafetensorError, ValueError, KeyError, TypeError, RuntimeError) as problem:
            raise self._unusable(f"it is neither: {str(problem).strip().splitlines()[-1].strip()}") from problem
        network.to(digest.device).to(memory_format=torch.channels_last).eval().requires_grad_(False)
        self._opened = network, call
        return self._opened

    def _read(self, content: bytes) -> tuple[nn.Module, Callable[[Tensor], object]]:
        """Return the network, and how images in [-1, 1] are put to it."""
        tensors = load(content)
        with safe_open(self._path, "pt") as file:
            metadata = file.metadata() or {}
        if METADATA_KEY not in metadata:
            head = tensors.get("head.weight")
            channels, side = tensors["layers.0.weight"].shape[1], input_side(self._spec.height, self._spec.width)
            extractor = ConvNet(side, channels, 0 if head is None else len(head))
            extractor.load_state_dict(tensors)
            return extractor, lambda images: extractor(self._fitted(images, channels, side, side))
        record = json.loads(metadata[METADATA_KEY])
        config, name = methods.parse(record["method"]), record["network"]
        if name != "discriminator":
            raise self._unusable(f"it holds the network '{name}'")
        with torch.device("meta"):
            method = config.build(DataSpec.from_json(record["data"]))
            shown, labels = method.example_inputs(1)[name]
        if labels is not None or shown is None:
            raise self._unusable("its discriminator wants labels")
        network, value_range = method.networks[name], config.discriminator.value_range  # type: ignore[attr-defined]
        network.load_state_dict(tensors, assign=True)
        _, channels, height, width = shown.shape
        return network, lambda images: network(
            range_from_signed(self._fitted(images, channels, height, width), value_range), None
        )

    def _fitted(self, images: Tensor, channels: int, height: int, width: int) -> Tensor:
        """Return images at the size that the network knows."""
        if channels != images.shape[1]:
            raise self._unusable(f"it sees {channels} channels, and these images have {images.shape[1]}")
        if images.shape[2:] == (height, width):
            return images
        return F.interpolate(images, (height, width), mode="bilinear", align_corners=False, antialias=True)

    def _unusable(self, reason: str) -> RecipeError:
        return RecipeError(
            "recipe.features_unusable",
            f"features '{self._path}' cannot be used: {reason}"
            "\n  allowed: the discriminator.safetensors of a model without labels, or the weights of extractor 'own'",
        )
