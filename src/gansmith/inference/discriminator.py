"""A discriminator at work: what it thinks of images, and what its hidden layers see in them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gansmith.core.errors import ModelError, unknown_name
from gansmith.data.base import DataSpec
from gansmith.imaging.images import to_float
from gansmith.methods.capabilities import LatentSampler
from gansmith.parts.networks.activations import hidden_maps
from gansmith.parts.networks.base import ValueRange, range_from_signed

GRID_SIDE = 4  # to which maps are pooled


@dataclass(frozen=True)
class TrainedDiscriminator:
    """A trained discriminator of images as ``spec`` says, asked in batches of one size.

    An image's answer does not depend on how many others are asked about. Images are uint8 (N, H, W, C).
    """

    method: LatentSampler
    discriminator: nn.Module
    spec: DataSpec
    batch: int

    def opinions(self, images: np.ndarray, label: int | None) -> np.ndarray:
        """Return P(real), or a raw score, float32 (N,); ModelError for images of another shape."""

        def opinion(part: Tensor, labels: Tensor | None) -> Tensor:
            return self.method.score(self.discriminator, part, labels).reshape(len(part), -1).mean(1)

        return self._ask(opinion, images, label)

    @cached_property
    def layers(self) -> dict[str, int]:
        """Return the names of the hidden layers, and how many numbers each has once it is pooled."""
        shape = (1, self.spec.height, self.spec.width, self.spec.channels)
        labels = torch.zeros(1, dtype=torch.long, device=self._device) if self.method.num_classes else None
        with torch.no_grad():
            _, seen = self._look(to_float(np.zeros(shape, np.uint8)).to(self._device), labels)
        return {name: pooled(activation).shape[1] for name, activation in seen.items()}

    def features(self, images: np.ndarray, layers: Sequence[str] = (), label: int | None = None) -> np.ndarray:
        """Return what the hidden ``layers`` named, or all, see in images, float32 (N, F): pooled, side by side.

        A conditional discriminator is asked with each label in turn, and the mean is returned: so no label is needed
        and none leaks into the features; or with one ``label``. Raises ModelError for a name that is no hidden layer.
        Source: Radford et al. 2016, arXiv:1511.06434, section 5.1.
        Differs: none where 4 divides the sides of the maps; see ``pooled``.
        """
        if not self.layers:
            raise ModelError(
                "model.no_hidden_layers",
                "this discriminator has no hidden layers: it is one layer, or its layers are unusual ones",
            )
        for name in layers:
            if name not in self.layers:
                raise ModelError("model.unknown_layer", unknown_name("hidden layer", name, self.layers))

        def feature(part: Tensor, labels: Tensor | None) -> Tensor:
            seen = self._look(part, labels)[1]
            return torch.cat([pooled(seen[name]) for name in layers or self.layers], 1)

        if label is not None or not self.method.num_classes:
            return self._ask(feature, images, label)
        total = self._ask(feature, images, 0)
        for other in range(1, self.method.num_classes):
            total += self._ask(feature, images, other)
        return total / self.method.num_classes

    @property
    def _device(self) -> torch.device:
        return next(self.discriminator.parameters()).device

    def _look(self, images: Tensor, labels: Tensor | None) -> tuple[Tensor, dict[str, Tensor]]:
        return look_inside(self.discriminator, images, labels, self.method.config.discriminator.value_range)

    @torch.no_grad()
    def _ask(
        self, question: Callable[[Tensor, Tensor | None], Tensor], images: np.ndarray, label: int | None
    ) -> np.ndarray:
        wanted = (self.spec.height, self.spec.width, self.spec.channels)
        if images.dtype != np.uint8 or images.shape[1:] != wanted or not len(images):
            raise ModelError(
                "model.images_shape", f"images must be uint8 {('N', *wanted)}, got {images.dtype} {images.shape}"
            )
        labels = None if label is None else torch.full((self.batch,), label, device=self._device)
        out = []
        for start in range(0, len(images), self.batch):
            places = np.arange(start, start + self.batch).clip(max=len(images) - 1)
            out.append(question(to_float(images[places]).to(self._device), labels).float().cpu().numpy())
        return np.concatenate(out)[: len(images)]


def look_inside(
    network: nn.Module, images: Tensor, labels: Tensor | None, value_range: ValueRange
) -> tuple[Tensor, dict[str, Tensor]]:
    """Return the logits of images (N, C, H, W) in [-1, 1], and what each hidden layer makes of them, by its name.

    The last layer gives the logit; see ``hidden_maps`` for the others.
    """
    return hidden_maps(network, lambda: network(range_from_signed(images, value_range), labels))


def pooled(activation: Tensor) -> Tensor:
    """Return (N, F) of a layer's activation: maps (N, C, H, W) max-pooled to 4 x 4 and flattened, others as they are.

    Sides that 4 does not divide are pooled in windows that overlap; maps smaller than 4 x 4 stay as they are.
    """
    if activation.ndim == 4:
        activation = F.adaptive_max_pool2d(activation, [min(GRID_SIDE, side) for side in activation.shape[2:]])
    return activation.flatten(1)
