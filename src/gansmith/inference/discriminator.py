"""A trained discriminator: scores of images, and features from its hidden layers."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gansmith.core.errors import ModelError, unknown_name
from gansmith.data.base import DataSpec
from gansmith.imaging.tensors import to_float
from gansmith.methods.capabilities import LatentSampler
from gansmith.parts.networks.activations import hidden_maps
from gansmith.parts.networks.base import ValueRange, range_from_signed

POOLED_SIDE = 4  # feature maps are pooled to 4 x 4


@dataclass(frozen=True)
class TrainedDiscriminator:
    """A trained discriminator for stored pixels (N, H, W, C) of the size and channels in ``spec``.

    It always runs in batches of ``batch`` images, so an image's scores do not depend on the other images.
    """

    method: LatentSampler
    discriminator: nn.Module
    spec: DataSpec
    batch: int

    def scores(self, images: np.ndarray, label: int | None) -> np.ndarray:
        """Return P(real), or a raw logit, float32 (N,); ModelError for images of another shape."""

        def score(part: Tensor, labels: Tensor | None) -> Tensor:
            return self.method.score(self.discriminator, part, labels).reshape(len(part), -1).mean(1)

        return self._in_batches(score, images, label)

    @cached_property
    def layer_widths(self) -> dict[str, int]:
        """Return the number of features of each hidden layer, by its name."""
        shape = (1, self.spec.height, self.spec.width, self.spec.channels)
        labels = torch.zeros(1, dtype=torch.long, device=self._device) if self.method.num_classes else None
        with torch.no_grad():
            _, activations = self._forward(to_float(np.zeros(shape, self.spec.stored_type)).to(self._device), labels)
        return {name: pool_activation(activation).shape[1] for name, activation in activations.items()}

    def features(self, images: np.ndarray, layers: Sequence[str] = (), label: int | None = None) -> np.ndarray:
        """Return the pooled activations of the named hidden layers (default: all), concatenated to float32 (N, F).

        A conditional discriminator runs with each label in turn, and the features are the mean: no label is needed and
        none leaks into them. ``label`` uses that label input alone. Raises ModelError for an unknown hidden layer.
        Source: Radford et al. 2016, arXiv:1511.06434, section 5.1.
        Differs: none if 4 divides the sides of the maps; see ``pool_activation``.
        """
        if not self.layer_widths:
            raise ModelError(
                "model.no_hidden_layers",
                "this discriminator has no hidden layers to take features from: it has one layer, or layers of an "
                "unknown type\n  use another model",
            )
        for name in layers:
            if name not in self.layer_widths:
                raise ModelError("model.unknown_layer", unknown_name("hidden layer", name, self.layer_widths))

        def feature(part: Tensor, labels: Tensor | None) -> Tensor:
            activations = self._forward(part, labels)[1]
            return torch.cat([pool_activation(activations[name]) for name in layers or self.layer_widths], 1)

        if label is not None or not self.method.num_classes:
            return self._in_batches(feature, images, label)
        total = self._in_batches(feature, images, 0)
        for other in range(1, self.method.num_classes):
            total += self._in_batches(feature, images, other)
        return total / self.method.num_classes

    @property
    def _device(self) -> torch.device:
        return next(self.discriminator.parameters()).device

    def _forward(self, images: Tensor, labels: Tensor | None) -> tuple[Tensor, dict[str, Tensor]]:
        return logits_and_activations(self.discriminator, images, labels, self.method.config.discriminator.value_range)

    @torch.no_grad()
    def _in_batches(
        self, function: Callable[[Tensor, Tensor | None], Tensor], images: np.ndarray, label: int | None
    ) -> np.ndarray:
        """Apply a function of image tensors and labels to all images; the last batch repeats its last image."""
        wanted = (self.spec.height, self.spec.width, self.spec.channels)
        if images.dtype != self.spec.stored_type or images.shape[1:] != wanted or not len(images):
            raise ModelError(
                "model.images_shape",
                f"images must be {self.spec.stored_type} (N, {', '.join(map(str, wanted))}), got {images.dtype}"
                f" {images.shape}",
            )
        labels = None if label is None else torch.full((self.batch,), label, device=self._device)
        out = []
        for start in range(0, len(images), self.batch):
            rows = np.arange(start, start + self.batch).clip(max=len(images) - 1)
            out.append(function(to_float(images[rows]).to(self._device), labels).float().cpu().numpy())
        return np.concatenate(out)[: len(images)]


def logits_and_activations(
    network: nn.Module, images: Tensor, labels: Tensor | None, value_range: ValueRange
) -> tuple[Tensor, dict[str, Tensor]]:
    """Return the logits of images (N, C, H, W) in [-1, 1], and the activation of each hidden layer by its name.

    ``hidden_maps`` says which layers are hidden.
    """
    return hidden_maps(network, lambda: network(range_from_signed(images, value_range), labels))


def pool_activation(activation: Tensor) -> Tensor:
    """Return an activation as features (N, F): maps (N, C, H, W) are max-pooled to 4 x 4 and flattened.

    If 4 does not divide a side, its windows overlap. Maps smaller than 4 x 4 and other activations are not pooled.
    """
    if activation.ndim == 4:
        activation = F.adaptive_max_pool2d(activation, [min(POOLED_SIDE, side) for side in activation.shape[2:]])
    return activation.flatten(1)
