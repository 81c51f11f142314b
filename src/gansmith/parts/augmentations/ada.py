"""ADA: flips, rotations, shifts, scales, colours; their probability follows overfitting."""

import math
from collections.abc import Callable, Mapping
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from gansmith.core.noise import Noise
from gansmith.core.schedules import Moment, Share, value_at
from gansmith.parts.augmentations.base import Augmentation, Draws, augmentations, without_color
from gansmith.parts.augmentations.recolour import brightened, gray_and_chroma_scaled, hue_turned, recolour
from gansmith.parts.augmentations.warp import shift, stretch, turn, warp

Group = Literal["blit", "geometry", "color"]
SHIFT, SCALE_LOG2, BRIGHTNESS, CONTRAST_LOG2, SATURATION_LOG2 = 0.125, 0.2, 0.2, 0.5, 1.0
MAX_DEVIATIONS = 5.0  # limit of normal draws: a uniform draw of 0 would become infinite


@augmentations.register("ada")
class Ada(Augmentation):
    """The augmentations of StyleGAN2-ADA: each is applied with probability p, which follows D's overfitting.

    blit: x-flip; quarter turns; shifts by whole pixels, up to an eighth of the side.
    geometry: scale 2^N(0, .2); rotations by any angle before and after a change of aspect 2^N(0, .2), each with
    probability 1 - sqrt(1 - p); shifts N(0, 1/8) of the side.
    color: brightness N(0, .2), contrast 2^N(0, .5), luma flip, hue, saturation 2^N(0, 1).

    p += sign(r - target) images / (1000 adapt_kimg) every ``interval`` iterations, with r = E[sign D(T(x))] over the
    real images since the last change. p is 0 until ``start_kimg``. For losses without a boundary (wasserstein,
    relativistic) r = E[sign(D(T(x)) - D(T(G(z))))] over pairs: closer to 1 for the same D, so p is a little larger.

    Gray images have no hue and no saturation. A fourth channel (alpha) moves with the others but keeps its values.
    Source: Karras et al. 2020, arXiv:2006.06676, section 3 and appendix B; fixed or scheduled p as in Huang et al. 2024
    (R3GAN), arXiv:2501.05441, table of hyper-parameters.
    Differs: p can start late (``start_kimg``) and stays below ``max_probability``: above it augmentations leak into
    the generated images (the paper's fig. 4). The low-pass filter of the warp is symmetric (see ``warp``). Images are
    mirrored at the edge instead of the centre of the last pixel, as often as needed.
    """

    policy: tuple[Group, ...] = Field(("blit", "geometry", "color"), min_length=1, description="operations by group")
    probability: Share | None = Field(None, description="fixed p, or a ramp; null: p adapts")
    target: float = Field(0.6, ge=0, le=1, description="r above this raises p, r below lowers it")
    interval: int = Field(4, ge=1, description="iterations between two changes of p")
    adapt_kimg: float = Field(500.0, gt=0, description="kimg in which p can rise from 0 to 1")
    start_kimg: float = Field(0.0, ge=0, description="kimg before p adapts: early, D is sure because G is poor")
    max_probability: float = Field(0.8, ge=0, lt=1, description="largest p that adapting reaches")

    def geometric(self) -> "Ada":
        """Return a copy without color; RecipeError if nothing is left."""
        return without_color(self, self.policy, "blit,geometry")

    @property
    def changes(self) -> bool:
        """Say whether p adapts or is scheduled."""
        return not isinstance(self.probability, float)

    def initial_state(self) -> dict[str, Tensor]:
        """Return p, the sum of signs, the number of logits in it, and the real images shown; all 0-d."""
        names = ("p", "signs", "logits", "images") if self.probability is None else ()
        return {name: torch.zeros(()) for name in names}

    def probability_at(self, state: Mapping[str, Tensor], moment: Moment) -> Tensor | float:
        """Return p, 0-d."""
        return state["p"] if self.probability is None else value_at(self.probability, moment)

    def observe(self, state: Mapping[str, Tensor], margins: Tensor, noise: Noise, moment: Moment) -> None:
        """Change p if an interval has ended, from sums over all processes; then count these logits."""
        if self.probability is not None:
            return
        if noise.repeat == 0 and noise.iteration % self.interval == 0:
            r = state["signs"] / state["logits"].clamp(min=1)
            step = (r - self.target).sign() * state["images"] / (1000 * self.adapt_kimg * moment.stretch)
            if moment.kimg >= self.start_kimg * moment.stretch:
                state["p"].add_(step).clamp_(0, self.max_probability)
            for name in ("signs", "logits", "images"):
                state[name].zero_()
        state["signs"] += (margins > 0).sum() - (margins < 0).sum()  # logits that are not finite count as neither
        state["logits"] += margins.numel()
        state["images"] += noise.batch_size

    def __call__(self, images: Tensor, draws: Draws, probability: Tensor | float = 1.0) -> Tensor:
        """Return images of the same shape."""
        p = torch.as_tensor(probability, dtype=images.dtype, device=images.device)
        drawn = draws("ada", 28).to(images.dtype)
        blit, geometry, color = (
            _Dice(part, p if name in self.policy else torch.zeros_like(p))
            for name, part in zip(("blit", "geometry", "color"), drawn.split([7, 11, 10], 1), strict=True)
        )
        if "blit" in self.policy or "geometry" in self.policy:
            inverse = _blit(blit, *images.shape[2:]) @ _geometry(geometry, *images.shape[2:])
            images = _only_where(blit.changed | geometry.changed, warp, images, inverse)
        if "color" in self.policy:
            matrices = _color(color)
            images = _only_where(color.changed, recolour, images, matrices)
        return images


def _only_where(
    changed: Tensor, change: Callable[[Tensor, Tensor], Tensor], images: Tensor, matrices: Tensor
) -> Tensor:
    """Return images (N, C, H, W), with ``change(images, matrices)`` applied where ``changed`` (N,) is true.

    A CPU skips the other images, nearly all of them if p is near 0. A GPU changes all images and then selects: reading
    ``changed`` first would stall it.
    """
    if images.device.type != "cpu":
        return torch.where(changed[:, None, None, None], change(images, matrices), images)
    rows = changed.nonzero().squeeze(1)
    return images.index_copy(0, rows, change(images[rows], matrices[rows])) if len(rows) else images


class _Dice:
    """The random numbers (N, K) of several operations: for each, one that decides if it is applied, then its own."""

    def __init__(self, draws: Tensor, probability: Tensor) -> None:
        self._columns, self._probability = iter(draws.unbind(1)), probability
        self.changed = torch.zeros(len(draws), dtype=torch.bool, device=draws.device)

    def roll(self, *numbers: Callable[[Tensor], Tensor], probability: Tensor | None = None) -> list[Tensor]:
        """Return ``number(draw)`` (N,) for each number of one operation; 0 where the operation is not applied."""
        is_done = next(self._columns) < (self._probability if probability is None else probability)
        out = [torch.where(is_done, number(next(self._columns)), 0.0) for number in numbers]
        for each in out:
            self.changed = self.changed | (each != 0)
        return out

    @property
    def one_of_two_tries(self) -> Tensor:
        """Return the probability for each of two tries, so that at least one of them succeeds with probability p."""
        return 1 - (1 - self._probability).sqrt()


def _blit(dice: _Dice, height: int, width: int) -> Tensor:
    """Return inverse matrices (N, 3, 3) of flips, quarter turns and shifts by whole pixels."""
    (flip,) = dice.roll(_one_of(2))
    (turns,) = dice.roll(_one_of(4))
    right, down = dice.roll(lambda u: (_even(u, SHIFT) * width).round(), lambda u: (_even(u, SHIFT) * height).round())
    return stretch(1 - 2 * flip, torch.ones_like(flip)) @ turn(turns * (math.pi / 2)) @ shift(right, down)


def _geometry(dice: _Dice, height: int, width: int) -> Tensor:
    """Return inverse matrices (N, 3, 3) of scales, rotations and shifts."""
    (size,) = dice.roll(lambda u: _normal(u) * SCALE_LOG2)
    (before,) = dice.roll(_angle, probability=dice.one_of_two_tries)
    (aspect,) = dice.roll(lambda u: _normal(u) * SCALE_LOG2)
    (after,) = dice.roll(_angle, probability=dice.one_of_two_tries)
    right, down = dice.roll(lambda u: _normal(u) * SHIFT * width, lambda u: _normal(u) * SHIFT * height)
    size, aspect = size.exp2(), aspect.exp2()
    scaled = stretch(1 / size, 1 / size) @ turn(before) @ stretch(1 / aspect, aspect) @ turn(after)
    return scaled @ shift(right, down)


def _color(dice: _Dice) -> Tensor:
    """Return matrices (N, 4, 4) of colour changes."""
    (brightness,) = dice.roll(lambda u: _normal(u) * BRIGHTNESS)
    (contrast,) = dice.roll(lambda u: _normal(u) * CONTRAST_LOG2)
    (flip,) = dice.roll(_one_of(2))
    (hue,) = dice.roll(_angle)
    (saturation,) = dice.roll(lambda u: _normal(u) * SATURATION_LOG2)
    one, contrast = torch.ones_like(flip), contrast.exp2()
    matrices = gray_and_chroma_scaled(contrast, contrast) @ brightened(brightness)
    matrices = gray_and_chroma_scaled(1 - 2 * flip, one) @ matrices
    return gray_and_chroma_scaled(one, saturation.exp2()) @ hue_turned(hue) @ matrices


def _one_of(count: int) -> Callable[[Tensor], Tensor]:
    return lambda uniform: (uniform * count).floor()


def _even(uniform: Tensor, reach: float) -> Tensor:
    return (2 * uniform - 1) * reach


def _angle(uniform: Tensor) -> Tensor:
    return _even(uniform, math.pi)


def _normal(uniform: Tensor) -> Tensor:
    return torch.special.ndtri(uniform).clamp(-MAX_DEVIATIONS, MAX_DEVIATIONS)
