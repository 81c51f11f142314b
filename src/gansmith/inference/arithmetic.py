"""Latent arithmetic: add and subtract the mean latents of groups of images."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

import numpy as np

from gansmith.core.errors import GansmithError, ModelError
from gansmith.core.randomness import derive_seed, per_image
from gansmith.imaging.captions import beside, captioned, framed, sign, stacked, tile
from gansmith.inference.base import TrainedModel
from gansmith.inference.latents import (
    FIGURE_LATENT_ENDING,
    Latents,
    Seed,
    Seeds,
    as_list,
    class_weights,
    draw,
    find_latents,
    join,
    refuse_points,
)
from gansmith.inference.samples import Picture

SHOWN = 5  # images of a term that the figure shows; the mean is over all
NOISE = 0.5  # standard deviations of the latents
VANISHED = 1e-5  # a sum whose norm is below this share of a term's norm counts as 0
SIGNS = {1: "+", -1: "-"}


@dataclass(frozen=True)
class Term:
    """A group of images, their mean latent, and pictures, uint8 (N + 1, H, W, C): of the images, and of the mean."""

    sign: int  # 1 or -1
    latents: Latents
    mean: Latents
    images: np.ndarray


@dataclass(frozen=True)
class Sum:
    """The terms, their sum as a latent, and pictures, uint8 (9, H, W, C): of it at index 4, and 8 around it."""

    terms: tuple[Term, ...]
    latents: Latents
    images: np.ndarray

    def sheet(self) -> Picture:
        """Return the figure: a column for each term with its mean image at the bottom, and the sum on the right."""
        parts = [part for term in self.terms for part in (sign(SIGNS[term.sign]), _column(term))]
        tiles = [tile(image) for image in self.images]
        square = stacked([beside(tiles[start : start + 3]) for start in (0, 3, 6)])
        parts += [sign("="), captioned(square, "the sum (middle), and with noise added")]
        return Picture(framed(beside(parts[1:])))

    def _repr_png_(self) -> bytes:
        return self.sheet()._repr_png_()

    def save(self, out: str | Path) -> tuple[Path, Path]:
        """Write the figure (.png) and, beside it, the sum's latent (.latent.safetensors); return both paths."""
        path = self.sheet().save(out)
        return path, self.latents.save(path.with_suffix(FIGURE_LATENT_ENDING))


def arithmetic(
    model: TrainedModel,
    plus: Seed | Sequence[Seeds],
    minus: Seed | Sequence[Seeds] = (),
    *,
    label: str | int | None = None,
    truncation: float | None = None,
    raw: bool = False,
) -> Sum:
    """Return the sum of mean latents: each entry of ``plus`` and ``minus`` names the images of one term.

    The eight images around the sum add normal noise of half a standard deviation. Class weights add up like latents.
    Raises GansmithError without ``plus`` or if the sum is 0, ModelError for an unknown label or missing weights.
    Source: Radford et al. 2016, arXiv:1511.06434, section 6.3.2 and figure 7.
    Differs: the latents are Gaussian, so their norms hardly vary, but a mean of several is shorter and its image pale.
    So drawn means and the sum are scaled to the mean norm of the latents they come from.
    """
    refuse_points(model, "do arithmetic")
    if not plus:
        raise GansmithError(
            "cli.nothing_to_add", "nothing to add: pass --plus, for example --plus 3,5,8 --minus 1,2,4 --plus 7,9"
        )
    pairs = zip_longest([(1, seeds) for seeds in as_list(plus)], [(-1, seeds) for seeds in as_list(minus)])
    terms = []
    for direction, seeds in [term for pair in pairs for term in pair if term]:
        found = find_latents(model, seeds, label=label, truncation=truncation)
        classes = None if found.classes is None else found.classes.mean(0, keepdims=True)
        mean = Latents(found.values.mean(0, keepdims=True), classes, ("mean",))
        drawn = Latents(_with_norm_of(mean.values, found.values), classes, mean.names)
        terms.append(Term(direction, found, mean, model.data.picture(draw(model, join([found, drawn]), raw=raw))))
    total = _add(terms)
    classes = _add_classes(terms) if label is None else class_weights(model, label, 1)
    latents = Latents(total, classes, ("sum",))
    return Sum(tuple(terms), latents, model.data.picture(draw(model, _around(latents), raw=raw)))


def _add(terms: Sequence[Term]) -> np.ndarray:
    """Return the sum of the terms' means, (1, D); GansmithError if it is 0."""
    total = np.stack([term.sign * term.mean.values for term in terms]).sum(0)
    if np.linalg.norm(total) < VANISHED * max(np.linalg.norm(term.mean.values) for term in terms):
        raise GansmithError(
            "cli.sum_of_nothing",
            "these images add up to 0: --minus takes away all that --plus adds\n  leave out the images that both name",
        )
    return _with_norm_of(total, np.concatenate([term.latents.values for term in terms]))


def _add_classes(terms: Sequence[Term]) -> np.ndarray | None:
    """Return the sum of the terms' class weights, negative ones set to 0, (1, num_classes); None without labels."""
    weights = [term.sign * term.mean.classes for term in terms if term.mean.classes is not None]
    if not weights:
        return None
    classes = np.stack(weights).sum(0).clip(min=0)
    if classes.sum() < VANISHED:
        raise ModelError(
            "model.labels_sum_to_nothing",
            "the labels of these images add up to 0\n  pass --label NAME to give all of them one class",
        )
    return classes / classes.sum()


def _with_norm_of(latent: np.ndarray, sources: np.ndarray) -> np.ndarray:
    """Return a latent (1, D), scaled to the mean norm of ``sources`` (N, D)."""
    return latent * (np.linalg.norm(sources, axis=1).mean() / np.linalg.norm(latent, axis=1))


def _around(latents: Latents) -> Latents:
    """Return nine latents: the given one at index 4, the others with noise added."""
    noise = per_image((latents.values.shape[1],), [derive_seed("neighbour", number) for number in range(9)])
    noise[4] = 0
    classes = None if latents.classes is None else latents.classes.repeat(9, axis=0)
    return Latents(latents.values + np.float32(NOISE) * noise, classes, latents.names * 9)


def _column(term: Term) -> np.ndarray:
    """Return a column with the first images of a term, their names, and their mean image below."""
    names, images = term.latents.names, term.images
    tiles = [captioned(tile(image), name) for image, name in zip(images[:SHOWN], names[:SHOWN], strict=False)]
    return stacked([*tiles, captioned(tile(images[-1]), f"mean of {len(names)}")])
