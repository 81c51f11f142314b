"""Sums of latents: what some images have, without what others have, with what a third group has."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from gansmith.core.errors import GansmithError, ModelError
from gansmith.core.randomness import derive_seed, per_image
from gansmith.imaging.captions import beside, captioned, framed, sign, stacked, tile
from gansmith.inference.latents import (
    BESIDE,
    Latents,
    Seed,
    Seeds,
    class_weights,
    draw,
    find_latents,
    join,
    listed,
    refuse_points,
)
from gansmith.inference.model import Model
from gansmith.inference.samples import Picture

SHOWN = 5  # images of a term; more are averaged, and not drawn
NOISE = 0.5  # standard deviations
VANISHED = 1e-5  # of a term's norm
SIGNS = {1: "+", -1: "-"}


@dataclass(frozen=True)
class Term:
    """Some images, their mean latent, and what is drawn of them, uint8 (N, H, W, C) with the mean last."""

    sign: int  # 1 or -1
    latents: Latents
    mean: Latents
    images: np.ndarray


@dataclass(frozen=True)
class Sum:
    """Terms, the latent that they add up to, and uint8 (9, H, W, C) around it, with it in the middle."""

    terms: tuple[Term, ...]
    latents: Latents
    images: np.ndarray

    def sheet(self) -> Picture:
        """Return the figure: a column for each term, its mean image at the bottom, and the sum to the right."""
        parts = [part for term in self.terms for part in (sign(SIGNS[term.sign]), _column(term))]
        tiles = [tile(image) for image in self.images]
        square = stacked([beside(tiles[start : start + 3]) for start in (0, 3, 6)])
        parts += [sign("="), captioned(square, "in the middle the sum, around it with noise")]
        return Picture(framed(beside(parts[1:])))

    def save(self, out: str | Path) -> tuple[Path, Path]:
        """Write the figure (.png), and the sum's latent beside it (.latent.safetensors); return both paths."""
        path = self.sheet().save(out)
        return path, self.latents.save(path.with_suffix(BESIDE))


def arithmetic(
    model: Model,
    plus: Seed | Sequence[Seeds],
    minus: Seed | Sequence[Seeds] = (),
    *,
    label: str | int | None = None,
    truncation: float | None = None,
    raw: bool = False,
) -> Sum:
    """Return the sum of mean latents: each entry of ``plus`` and ``minus`` is a term, the mean of the images it names.

    The eight images around the sum have normal noise of half a deviation. Labels are added up like latents.
    Source: Radford et al. 2016, arXiv:1511.06434, section 6.3.2 and figure 7.
    Differs: latents are Gaussian, whose norms hardly vary. So means, as they are drawn, and the sum are brought to the
    mean norm of the latents they come from; otherwise a mean of several is pale.
    Raises GansmithError without a term to add, ModelError for what the model does not have.
    """
    refuse_points(model, "do arithmetic")
    if not plus:
        raise GansmithError(
            "cli.nothing_to_add", "nothing to add up: pass --plus, for example --plus 3,5,8 --minus 1,2,4 --plus 7,9"
        )
    pairs = zip_longest([(1, seeds) for seeds in listed(plus)], [(-1, seeds) for seeds in listed(minus)])
    terms = []
    for direction, seeds in [term for pair in pairs for term in pair if term]:
        found = find_latents(model, seeds, label=label, truncation=truncation)
        classes = None if found.classes is None else found.classes.mean(0, keepdim=True)
        mean = Latents(found.values.mean(0, keepdim=True), classes, ("mean",))
        drawn = Latents(_with_norm_of(mean.values, found.values), classes, mean.names)
        terms.append(Term(direction, found, mean, draw(model, join([found, drawn]), raw=raw)))
    total = _add(terms)
    classes = _add_classes(terms) if label is None else class_weights(model, label, 1)
    latents = Latents(total, classes, ("sum",))
    return Sum(tuple(terms), latents, draw(model, _around(latents), raw=raw))


def _add(terms: Sequence[Term]) -> Tensor:
    """Return the sum of the terms' means, (1, D); GansmithError if nothing is left."""
    total = torch.stack([term.sign * term.mean.values for term in terms]).sum(0)
    if total.norm() < VANISHED * max(term.mean.values.norm() for term in terms):
        raise GansmithError("cli.sum_of_nothing", "these images add up to nothing: what is added is taken away again")
    return _with_norm_of(total, torch.cat([term.latents.values for term in terms]))


def _add_classes(terms: Sequence[Term]) -> Tensor | None:
    """Return the sum of the terms' weights of classes without negative ones, (1, num_classes), if they have any."""
    weights = [term.sign * term.mean.classes for term in terms if term.mean.classes is not None]
    if not weights:
        return None
    classes = torch.stack(weights).sum(0).clamp(min=0)
    if classes.sum() < VANISHED:
        raise ModelError(
            "model.labels_sum_to_nothing",
            "the labels of these images add up to nothing\n  pass --label NAME for the class of all",
        )
    return classes / classes.sum()


def _with_norm_of(latent: Tensor, sources: Tensor) -> Tensor:
    """Return a latent (1, D) with the mean norm of others (N, D)."""
    return latent * (sources.norm(dim=1).mean() / latent.norm(dim=1))


def _around(latents: Latents) -> Latents:
    """Return nine latents: the one given in the middle, and eight with noise."""
    noise = per_image((latents.values.shape[1],), [derive_seed("neighbour", number) for number in range(9)])
    noise[4] = 0
    classes = None if latents.classes is None else latents.classes.expand(9, -1)
    return Latents(latents.values + NOISE * noise, classes, latents.names * 9)


def _column(term: Term) -> np.ndarray:
    """Return some images of a term and their mean one above the other, with their names."""
    names, images = term.latents.names, term.images
    tiles = [captioned(tile(image), name) for image, name in zip(images[:SHOWN], names[:SHOWN], strict=False)]
    return stacked([*tiles, captioned(tile(images[-1]), f"mean of {len(names)}")])
