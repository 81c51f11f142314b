"""Find the latent directions that change images most, without labels."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from gansmith.core.errors import GansmithError, ModelError
from gansmith.imaging.captions import captioned_grid
from gansmith.imaging.values import PixelValues, picture_of
from gansmith.inference.latents import Latents, Seeds, draw, find_latents, refuse_points
from gansmith.inference.model import Model
from gansmith.inference.samples import Picture

STEPS = 7  # images in a row, with the unchanged image in the middle


@dataclass(frozen=True)
class Directions:
    """Unit directions (num, latent_dim), their strengths (num,), and stored pixels along them (num, 7, H, W, C)."""

    vectors: Tensor
    strengths: Tensor  # singular values, largest first
    images: np.ndarray
    shifts: tuple[float, ...]  # one per column, in standard deviations of the latents
    values: PixelValues | None = None  # the meaning of stored pixels; None: ordinary 8-bit images

    def sheet(self) -> Picture:
        """Return a figure with one row per direction."""
        captions = [f"d{row} {shift:+g}" for row in range(len(self.images)) for shift in self.shifts]
        images = picture_of(self.images.reshape(-1, *self.images.shape[2:]), self.values)
        return Picture(captioned_grid(images, captions, STEPS))

    def _repr_png_(self) -> bytes:
        return self.sheet()._repr_png_()


def directions(
    model: Model,
    num: int = 8,
    *,
    seeds: Seeds = 0,
    reach: float = 6.0,
    label: str | int | None = None,
    truncation: float | None = None,
    raw: bool = False,
) -> Directions:
    """Return the ``num`` latent directions that change the generator's first layer most, shown on one image.

    The first layer of mlp, dcgan, sngan_resnet and r3gan is linear, h = W z + b: a step n changes h by W n for every z.
    The unit vectors with the largest |W n| are the eigenvectors of W'W, so no samples and no labels are needed.
    Columns of W for labels, or for a layer that embeds them, are left out.
    The sign makes each direction's largest component positive. The outermost images are ``reach`` standard deviations
    from the image that ``seeds`` names.
    Source: Shen and Zhou 2021, "Closed-form factorization of latent semantics in GANs", arXiv:2007.06600, section 3.2.
    Differs: none.
    Raises ModelError for a generator without such a layer, GansmithError for a number out of range.
    """
    vectors, strengths = strongest(model, raw=raw)
    if not 1 <= num <= len(vectors):
        raise GansmithError(
            "cli.num_out_of_range",
            f"--num {num} is out of range\n  allowed: 1 to {len(vectors)}, the smaller side of the first layer",
        )
    vectors, strengths = vectors[:num], strengths[:num]
    if not 0 < reach < float("inf"):
        raise GansmithError(
            "cli.reach_out_of_range", f"--reach {reach:g} is out of range\n  allowed: above 0, for example 6"
        )
    base = find_latents(model, seeds, label=label, truncation=truncation)
    if len(base) != 1:
        raise GansmithError(
            "cli.several_images",
            f"directions are shown on one image, got {len(base)} images: {', '.join(base.names)}"
            f"\n  choose one: --seeds {base.names[0]}",
        )
    shifts = torch.linspace(-reach, reach, STEPS)
    shifts[STEPS // 2] = 0
    values = torch.from_numpy(base.values) + shifts[None, :, None] * vectors[:, None, :]
    count = num * STEPS
    classes = None if base.classes is None else base.classes.repeat(count, axis=0)
    images = draw(model, Latents(values.flatten(0, 1).numpy(), classes, base.names * count), raw=raw)
    rows = images.reshape(num, STEPS, *images.shape[1:])
    return Directions(vectors, strengths, rows, tuple(shifts.tolist()), model.data.values)


def strongest(model: Model, *, raw: bool) -> tuple[Tensor, Tensor]:
    """Return all directions of a model, the strongest first, and their strengths; ``directions`` explains them.

    Raises ModelError as ``directions`` does.
    """
    refuse_points(model, "find directions")
    weight = _first_weight(model, raw=raw).double().cpu()
    _, strengths, vectors = torch.linalg.svd(weight, full_matrices=False)
    vectors = vectors.float()
    largest = vectors.gather(1, vectors.abs().argmax(1, keepdim=True))
    return vectors * largest.sign(), strengths.float()


def _first_weight(model: Model, *, raw: bool) -> Tensor:
    """Return the weight of the first linear layer, (out, latent_dim), without its columns for labels."""
    method = model.latent_method("find directions")
    latent_dim = method.config.latent_dim
    width = latent_dim + method.num_classes
    generator = model.network("generator-raw" if raw else "generator")
    linear = [each for each in generator.modules() if isinstance(each, nn.Linear)]
    # Labels stand behind the latent, as they are or embedded by another layer, or they enter later.
    embedded = {latent_dim + each.out_features for each in linear if each.in_features == method.num_classes}
    first = linear[0] if linear else None
    if first is None or first.in_features not in {latent_dim, width, *embedded}:
        raise ModelError(
            "model.no_linear_start",
            f"generator '{method.config.generator.kind}' does not begin with a linear layer of {width} inputs"
            "\n  the directions come from that layer's weight: mlp, dcgan, sngan_resnet and r3gan have one",
        )
    return first.weight.detach()[:, : method.config.latent_dim]
