"""How far generated images are from one that is looked for."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gansmith.imaging.images import to_float
from gansmith.inference.discriminator import look_inside
from gansmith.inference.inversion.target import Target
from gansmith.inference.model import Model
from gansmith.methods.base import Fixed

NORM_WEIGHT, REALISM_WEIGHT = 0.01, 0.02
NEAR_PX, NEAR_WEIGHT = 7, 4.0  # a known pixel counts up to 5 times: by the share of missing ones in a square around it
TINY = 1e-8


class Distance:
    """Compares images with a target where it is known: their pixels, and what the discriminator sees in them.

    Both are squares, and each is divided by its mean over random latents, so that they count alike whatever the images
    and the network are. What the discriminator sees is the input of each of its layers but the first; what is missing
    is gray there. Added are (|z| - sqrt(dim))^2, because the norm of Gaussian latents hardly differs from sqrt(dim),
    and, with a mask, softplus(-D(G(z))).
    Source: Yeh et al. 2017, arXiv:1607.07539, sections 3.2 to 3.4, for images with a hole.
    Differs: squares in place of absolute values; pixels far from the hole count too; features and the norm are new.
    """

    def __init__(self, model: Model, target: Target, *, raw: bool = False) -> None:
        self._method = model.latent_method("invert")
        self._networks = nn.ModuleDict({"generator": model.network("generator-raw" if raw else "generator")})
        self._discriminator = model.networks.get("discriminator")
        self.device = next(self._networks.parameters()).device
        self._known = torch.from_numpy(target.known)[None, None].float().to(self.device)
        self._wanted = to_float(target.image[None]).to(self.device) * self._known
        self._weights = _pixel_weights(self._known)
        self._fills = target.missing is not None
        self._goals: dict[int, list[Tensor]] = {}  # what the discriminator sees in the target, by label
        self._scales = torch.ones(2, 1, device=self.device)

    @property
    def compared(self) -> str:
        """Say what is compared."""
        if self._discriminator is None:
            return "pixels alone, because these weights have no discriminator; pass the model's folder for more"
        return "pixels, and what the discriminator sees"

    @torch.no_grad()
    def calibrate(self, images: Tensor, labels: Tensor | None, batch: int) -> Tensor:
        """Make 1 the mean distance of these images (N, C, H, W) of random latents; return their distances (N,)."""
        parts = []
        for start in range(0, len(images), batch):
            told = None if labels is None else labels[start : start + batch].to(self.device)
            parts.append(self._parts(images[start : start + batch].to(self.device), told))
        everything = torch.cat(parts, 1)
        self._scales = everything.mean(1, keepdim=True).clamp(min=TINY)
        return (everything / self._scales).sum(0)

    def __call__(self, latents: Tensor, labels: Tensor | None) -> Tensor:
        """Return what is to be made small, (N,): how far the images are, and how implausible latents and images are."""
        images = self._method.preview(self._networks, Fixed(latents, labels, 8))
        total = (self._parts(images, labels) / self._scales).sum(0)
        total = total + NORM_WEIGHT * (latents.norm(dim=1) - latents.shape[1] ** 0.5) ** 2
        if self._fills and self._discriminator is not None:
            logits, _ = self._look(self._discriminator, images, labels)
            total = total + REALISM_WEIGHT * F.softplus(-logits.reshape(len(images), -1)).mean(1)
        return total

    def _parts(self, images: Tensor, labels: Tensor | None) -> Tensor:
        """Return (2, N): the distances of pixels and of features, the latter 0 without a discriminator."""
        images = images * self._known
        pixels = ((images - self._wanted) ** 2 * self._weights).mean((1, 2, 3))
        if self._discriminator is None:
            return torch.stack([pixels, torch.zeros_like(pixels)])
        _, found = self._look(self._discriminator, images, labels)
        goals = self._seen_in_target(self._discriminator, labels)
        each = [
            ((one - goal) ** 2).flatten(1).mean(1) / (goal**2).flatten(1).mean(1).clamp(min=TINY)
            for one, goal in zip(found, goals, strict=True)
        ]
        return torch.stack([pixels, torch.stack(each).mean(0)])

    @torch.no_grad()
    def _seen_in_target(self, discriminator: nn.Module, labels: Tensor | None) -> list[Tensor]:
        numbers = [-1] if labels is None else labels.tolist()
        for number in set(numbers) - self._goals.keys():
            label = None if labels is None else torch.tensor([number], device=self.device)
            self._goals[number] = self._look(discriminator, self._wanted, label)[1]
        return [torch.cat(layer) for layer in zip(*(self._goals[number] for number in numbers), strict=True)]

    def _look(self, discriminator: nn.Module, images: Tensor, labels: Tensor | None) -> tuple[Tensor, list[Tensor]]:
        """Return the logits, and what each hidden layer makes of the images; the logits again where there is none."""
        value_range = self._method.config.discriminator.value_range
        logits, seen = look_inside(discriminator, images, labels, value_range)
        return logits, list(seen.values()) or [logits]


def _pixel_weights(known: Tensor) -> Tensor:
    """Return (1, 1, H, W) with mean 1: 0 where missing, more beside a hole than far from it."""
    missing = F.avg_pool2d(1 - known, NEAR_PX, 1, NEAR_PX // 2, count_include_pad=False)
    weights = known * (1 + NEAR_WEIGHT * missing)
    return weights / weights.mean()
