"""Feature distance: compare images by the hidden layers of a network."""

import hashlib
from collections.abc import Callable, Mapping

import torch
from safetensors import SafetensorError
from safetensors.torch import load
from torch import Tensor, nn
from torch.nn import functional as F

from gansmith.core.atomic_files import METADATA_KEY
from gansmith.core.errors import RecipeError
from gansmith.core.file_names import in_home
from gansmith.core.plain_files import parse_json, read_bytes, refuse_damaged_tensors
from gansmith.data.base import DataSpec
from gansmith.methods.base import methods
from gansmith.parts.extractors.convnet import ConvNet, input_side
from gansmith.parts.networks.activations import hidden_maps
from gansmith.parts.networks.base import ImageSpec, range_from_signed

OWN_FEATURES = "discriminator"
SMALLEST_SCALE = 1e-6


def feature_distance(result: Mapping[str, Tensor], target: Mapping[str, Tensor]) -> Tensor:
    """Return mean |a - b| / mean |b|, 0-d, over the feature maps a of the result and b of the target, by layer name.

    Each layer and each image has the same weight, whatever the scale of its numbers.
    Source: Wang et al. 2018 (pix2pixHD), arXiv:1711.11585, equation 4; Johnson et al. 2016, arXiv:1603.08155.
    Differs: divided by the target's mean, which pix2pixHD does not do.
    """
    distances = []
    for name, wanted in target.items():
        difference, scale = (each.float().abs().flatten(1).mean(1) for each in (result[name] - wanted, wanted))
        distances.append((difference / scale.clamp(min=SMALLEST_SCALE)).mean())
    return torch.stack(distances).mean()


class FeatureNetwork:
    """A network from a .safetensors file, read at its first use: a gansmith discriminator or the extractor ``own``.

    It is not part of the model, which loads without it.
    """

    def __init__(self, path: str, spec: ImageSpec) -> None:
        self._path, self._spec = in_home(path), spec
        self._opened: tuple[nn.Module, Callable[[Tensor], object]] | None = None

    def distance(self, results: Tensor, targets: Tensor, digest: Tensor) -> Tensor:
        """Return the feature distance of results and targets (N, C, H, W) in [-1, 1], 0-d.

        ``digest`` (32,) uint8 is the expected SHA-256 of the file; if it is all zeros, the file's is written to it.
        Raises RecipeError for an unusable or a different file.
        """
        network, call = self._opened or self._open(digest)
        with torch.no_grad():
            wanted = hidden_maps(network, lambda: call(targets))[1]
        return feature_distance(hidden_maps(network, lambda: call(results))[1], wanted)

    def _open(self, digest: Tensor) -> tuple[nn.Module, Callable[[Tensor], object]]:
        try:
            content = read_bytes(self._path)
        except OSError as problem:
            raise self._unusable(f"it cannot be read: {problem.strerror}") from problem
        found = torch.frombuffer(bytearray(hashlib.sha256(content).digest()), dtype=torch.uint8).to(digest.device)
        if digest.any() and not torch.equal(found, digest):
            raise RecipeError(
                "recipe.features_changed",
                f"features '{self._path}' is a different network from the one this run started with"
                "\n  put the old file back: a run must continue with its own feature network",
            )
        digest.copy_(found)
        try:
            network, call = self._read(content)
        except RecipeError:
            raise
        except (SafetensorError, ValueError, KeyError, TypeError, RuntimeError) as problem:
            raise self._unusable(
                f"it holds no discriminator or extractor: {str(problem).strip().splitlines()[-1].strip()}"
            ) from problem
        network.to(digest.device).to(memory_format=torch.channels_last).eval().requires_grad_(False)
        self._opened = network, call
        return self._opened

    def _read(self, content: bytes) -> tuple[nn.Module, Callable[[Tensor], object]]:
        """Return the network, and a function that calls it with images in [-1, 1]."""
        tensors, metadata = load(content), refuse_damaged_tensors(self._path)
        if METADATA_KEY not in metadata:
            head = tensors.get("head.weight")
            channels, side = tensors["layers.0.weight"].shape[1], input_side(self._spec.height, self._spec.width)
            extractor = ConvNet(side, channels, 0 if head is None else len(head))
            extractor.load_state_dict(tensors)
            return extractor, lambda images: extractor(self._fitted(images, channels, side, side))
        record = parse_json(metadata[METADATA_KEY])
        config, name = methods.parse(record["method"]), record["network"]
        if name != "discriminator":
            raise self._unusable(f"it contains the network '{name}'")
        with torch.device("meta"):
            method = config.build(DataSpec.from_json(record["data"]))
            shown, labels = method.example_inputs(1)[name]
        if labels is not None or shown is None:
            raise self._unusable("its discriminator has a label input")
        network, value_range = method.networks[name], config.discriminator.value_range  # type: ignore[attr-defined]
        network.load_state_dict(tensors, assign=True)
        _, channels, height, width = shown.shape
        return network, lambda images: network(
            range_from_signed(self._fitted(images, channels, height, width), value_range), None
        )

    def _fitted(self, images: Tensor, channels: int, height: int, width: int) -> Tensor:
        """Return images at the size of the network's input."""
        if channels != images.shape[1]:
            raise self._unusable(f"it takes {channels} channels, but these images have {images.shape[1]}")
        if images.shape[2:] == (height, width):
            return images
        return F.interpolate(images, (height, width), mode="bilinear", align_corners=False, antialias=True)

    def _unusable(self, reason: str) -> RecipeError:
        return RecipeError(
            "recipe.features_unusable",
            f"features '{self._path}' cannot be used: {reason}"
            "\n  allowed: discriminator.safetensors of a model without labels, or the weights of the extractor 'own'",
        )
