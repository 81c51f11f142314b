"""The distance that inversion minimises, between generated images and a target."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gansmith.imaging.tensors import to_float
from gansmith.inference.discriminator import logits_and_activations
from gansmith.inference.inversion.target import Target
from gansmith.inference.model import Model
from gansmith.methods.base import Fixed

NORM_WEIGHT, REALISM_WEIGHT = 0.01, 0.02
NEAR_PX, NEAR_WEIGHT = 7, 4.0  # a known pixel weighs 1 + 4 times the share of missing pixels in 7 x 7 around it
TINY = 1e-8


class Distance:
    """The distance between generated images and the known pixels of a target.

    Four terms, with the weights above:
    - squared differences of pixels, divided by their mean over random latents;
    - squared differences of the discriminator's hidden activations, divided likewise; missing pixels are gray there;
    - (|z| - sqrt(dim))^2, because Gaussian latents have norms near sqrt(dim);
    - with a mask, softplus(-D(G(z))).
    Dividing by the mean makes the first two terms count equally for all images and networks.
    Source: Yeh et al. 2017, arXiv:1607.07539, sections 3.2 to 3.4, for images with a hole.
    Differs: squares instead of absolute values; pixels far from the hole count too; activations and norm are new terms.
    """

    def __init__(self, model: Model, target: Target, *, raw: bool = False) -> None:
        self._method = model.latent_method("invert")
        self._networks = nn.ModuleDict({"generator": model.network("generator-raw" if raw else "generator")})
        self._discriminator = model.networks.get("discriminator")
        self.device = next(self._networks.parameters()).device
        self._known = torch.from_numpy(target.known)[None, None].float().to(self.device)
        self._image = to_float(target.image[None]).to(self.device) * self._known
        self._weights = _pixel_weights(self._known)
        self._fills = target.missing is not None
        self._targets: dict[int, list[Tensor]] = {}  # the target's activations, by label
        self._scales = torch.ones(2, 1, device=self.device)

    @property
    def compared(self) -> str:
        """Say in words which terms are compared."""
        if self._discriminator is None:
            return "pixels only: these weights have no discriminator; pass the model's folder to compare features too"
        return "pixels and discriminator features"

    @torch.no_grad()
    def calibrate(self, images: Tensor, labels: Tensor | None, batch: int) -> Tensor:
        """Scale both distances to mean 1 over images (N, C, H, W) of random latents; return each image's sum (N,)."""
        parts = []
        for start in range(0, len(images), batch):
            part = None if labels is None else labels[start : start + batch].to(self.device)
            parts.append(self._distances(images[start : start + batch].to(self.device), part))
        distances = torch.cat(parts, 1)
        self._scales = distances.mean(1, keepdim=True).clamp(min=TINY)
        return (distances / self._scales).sum(0)

    def __call__(self, latents: Tensor, labels: Tensor | None) -> Tensor:
        """Return the sum of the four terms for each latent (N, latent_dim), (N,)."""
        images = self._method.preview(self._networks, Fixed(latents, labels, 8))
        total = (self._distances(images, labels) / self._scales).sum(0)
        total = total + NORM_WEIGHT * (latents.norm(dim=1) - latents.shape[1] ** 0.5) ** 2
        if self._fills and self._discriminator is not None:
            logits, _ = self._forward(self._discriminator, images, labels)
            total = total + REALISM_WEIGHT * F.softplus(-logits.reshape(len(images), -1)).mean(1)
        return total

    def _distances(self, images: Tensor, labels: Tensor | None) -> Tensor:
        """Return (2, N): the distances of pixels and of activations, the latter 0 without a discriminator."""
        images = images * self._known
        pixels = ((images - self._image) ** 2 * self._weights).mean((1, 2, 3))
        if self._discriminator is None:
            return torch.stack([pixels, torch.zeros_like(pixels)])
        _, found = self._forward(self._discriminator, images, labels)
        wanted = self._target_activations(self._discriminator, labels)
        each = [
            ((one - target) ** 2).flatten(1).mean(1) / (target**2).flatten(1).mean(1).clamp(min=TINY)
            for one, target in zip(found, wanted, strict=True)
        ]
        return torch.stack([pixels, torch.stack(each).mean(0)])

    @torch.no_grad()
    def _target_activations(self, discriminator: nn.Module, labels: Tensor | None) -> list[Tensor]:
        numbers = [-1] if labels is None else labels.tolist()
        for number in set(numbers) - self._targets.keys():
            label = None if labels is None else torch.tensor([number], device=self.device)
            self._targets[number] = self._forward(discriminator, self._image, label)[1]
        return [torch.cat(layer) for layer in zip(*(self._targets[number] for number in numbers), strict=True)]

    def _forward(self, discriminator: nn.Module, images: Tensor, labels: Tensor | None) -> tuple[Tensor, list[Tensor]]:
        """Return the logits and the hidden activations; without hidden layers the logits stand for them."""
        value_range = self._method.config.discriminator.value_range
        logits, activations = logits_and_activations(discriminator, images, labels, value_range)
        return logits, list(activations.values()) or [logits]


def _pixel_weights(known: Tensor) -> Tensor:
    """Return the weight of each pixel, (1, 1, H, W) with mean 1: 0 where missing, largest beside the hole."""
    missing = F.avg_pool2d(1 - known, NEAR_PX, 1, NEAR_PX // 2, count_include_pad=False)
    weights = known * (1 + NEAR_WEIGHT * missing)
    return weights / weights.mean()
