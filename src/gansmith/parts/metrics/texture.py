"""Texture: fine detail of samples relative to real images, and power spectra of both."""

from typing import Any, ClassVar

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from gansmith.imaging.tensors import to_float
from gansmith.parts.metrics.base import (
    Evidence,
    Finding,
    Metric,
    Number,
    Side,
    jackknife,
    metrics,
    over_sets,
)
from gansmith.parts.metrics.sliced_wasserstein import laplacian_pyramid

SMALLEST_SIDE = 8  # px
LARGEST_STEP = 1020  # an absolute Laplacian of 255 * (4 + 4) / 2 gray levels at most
FLAT = 1e-6  # a real mean below this means that real images have no detail to compare with
GRAINY, NOISY_GROUND, BLURRED = 1.25, 6.0, 0.75  # texture, gray levels of texture_median, texture
LEVELS = ("texture_fine", "texture_middle")  # the finest two levels of the pyramid
ALPHA_LAST = (2, 4)  # channels of images whose last channel is alpha
Detail = tuple[Tensor, Tensor, Tensor]  # of ``detail``
CHUNK = 256  # images at a time


def visible(images: np.ndarray) -> Tensor:
    """Return images (N, H, W, C) as float32 (N, C, H, W) in 0 to 255, colours multiplied by an alpha channel."""
    values = 127.5 * (to_float(images) + 1)
    if values.shape[1] in ALPHA_LAST:  # colours of transparent pixels are not seen
        values = torch.cat([values[:, :-1] * values[:, -1:] / 255, values[:, -1:]], 1)
    return values


def detail(images: np.ndarray) -> Detail:
    """Return mean (N,), histogram (N, 1021) and root mean squares (N, L) of the fine detail of images (N, H, W, C).

    The mean and the histogram are those of |4 x - left - right - above - below| of each pixel and channel, in gray
    levels of 255. The root mean squares are those of the finest one or two levels of the Laplacian pyramid.
    """
    means, counts, sizes = [], [], []
    for start in range(0, len(images), CHUNK):
        values = visible(images[start : start + CHUNK])
        inner = values[:, :, 1:-1, 1:-1]
        across = values[:, :, 1:-1, :-2] + values[:, :, 1:-1, 2:]
        laplacian = (4 * inner - across - values[:, :, :-2, 1:-1] - values[:, :, 2:, 1:-1]).abs().flatten(1)
        means.append(laplacian.double().mean(1))
        rounded = laplacian.round().long().clamp(max=LARGEST_STEP)
        rounded += (LARGEST_STEP + 1) * torch.arange(len(rounded))[:, None]
        counts.append(rounded.flatten().bincount(minlength=len(values) * (LARGEST_STEP + 1)).view(len(values), -1))
        levels = laplacian_pyramid(values)[:-1][: len(LEVELS)]
        squares = [level.double().square().mean((1, 2, 3)) for level in levels]
        sizes.append(torch.stack(squares, 1).sqrt() if squares else torch.zeros(len(values), 0))
    return torch.cat(means), torch.cat(counts), torch.cat(sizes)


def spectrum(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return frequencies in cycles per pixel, and the mean power of images (N, H, W, C) around each of them.

    The power of the channels, in gray levels squared, is averaged over rings of the two-dimensional spectrum. Without
    a window, the image's opposite borders would add detail of their own.
    """
    rows, columns = images.shape[1:3]
    window = torch.from_numpy(np.outer(np.hanning(rows + 2)[1:-1], np.hanning(columns + 2)[1:-1])).float()
    radius = torch.hypot(torch.fft.fftfreq(rows)[:, None], torch.fft.rfftfreq(columns))
    width = 1 / min(rows, columns)
    ring = (radius / width).round().long()
    weight = torch.full((columns // 2 + 1,), 2.0)  # the other half of the spectrum of a real signal is the same
    weight[0] = 1.0
    if columns % 2 == 0:
        weight[-1] = 1.0
    total = torch.zeros(rows, columns // 2 + 1, dtype=torch.float64)
    for start in range(0, len(images), CHUNK):
        values = visible(images[start : start + CHUNK])
        values = (values - values.mean((2, 3), keepdim=True)) * window
        total += torch.fft.rfft2(values).abs().square().mean(1).double().sum(0)
    weights = weight.expand_as(radius).double()
    power = torch.zeros(int(ring.max()) + 1, dtype=torch.float64).index_add_(
        0, ring.flatten(), (weights * total).flatten()
    )
    share = torch.zeros_like(power).index_add_(0, ring.flatten(), weights.flatten())
    energy = len(images) * float(window.square().sum())
    return width * np.arange(1, len(power)), (power / share / energy).numpy()[1:]


def median_of(histogram: Tensor) -> float:
    """Return the median of values from the counts (K,) of 0, 1, ..."""
    filled = histogram.cumsum(0)
    return float(torch.searchsorted(filled, filled[-1:].double() / 2))


def texture_of(fake: Detail, real: Detail) -> dict[str, Number]:
    """Return ``texture`` and ``texture_median`` of N images and N real ones, with jackknife deviations."""
    count = min(len(fake[0]), len(real[0]))
    found = _jackknifed(fake, real, count)
    return {name: found[name] for name in ("texture", "texture_median")}


def is_grainy(texture: float, median: float) -> bool:
    """Say whether samples with these numbers have clearly more fine detail than real images."""
    return texture > GRAINY or (median > NOISY_GROUND and texture > 1)


def is_blurred(texture: float) -> bool:
    """Say whether samples with this ratio have clearly less fine detail than real images."""
    return texture < BLURRED


@metrics.register("texture")
class Texture(Metric):
    """Fine detail of samples relative to real images: 1 is as real, above 1 is grain, below 1 is blur.

    ``texture`` is the ratio of the mean absolute Laplacians of 4 neighbours, ``texture_median`` the difference of their
    medians in gray levels, which shows grain on flat grounds. ``texture_fine`` and ``texture_middle`` are the ratios of
    the root mean squares of the finest two levels of a Laplacian pyramid.
    Source: Laplacian pyramid: Burt and Adelson 1983; spectra of samples: Durall et al. 2020, arXiv:2003.01826.
    """

    least: ClassVar[int] = 20
    by_features: ClassVar[bool] = False
    best: ClassVar[dict[str, str]] = {
        "texture": "one",
        "texture_median": "zero",
        "texture_fine": "one",
        "texture_middle": "one",
    }

    most: int = Field(1000, ge=20)

    def missing(self, evidence: Evidence) -> str:
        """Say whether the images are too small, or the real ones have no detail."""
        if min(evidence.real.images.shape[1:3]) < SMALLEST_SIDE:
            return f"needs images of at least {SMALLEST_SIDE} x {SMALLEST_SIDE} px"
        return super().missing(evidence)

    def measure(self, evidence: Evidence) -> Finding:
        """Return the four numbers; as facts both means and medians, and the power spectra of both sides."""
        count = min(self.most, len(evidence.real), *(len(side) for side in evidence.fake))
        real = detail(evidence.real.images[:count])
        fakes = [detail(side.images[:count]) for side in evidence.fake]
        if len(fakes) == 1:
            numbers = _jackknifed(fakes[0], real, count)
        else:
            by_set = [_compare(fake, real, torch.arange(count)) for fake in fakes]
            numbers = {name: over_sets([each[name] for each in by_set], count) for name in by_set[0]}
        return Finding(numbers, _facts(evidence.real, evidence.fake[0], real, fakes[0], count), _words(numbers))


def _jackknifed(fake: Detail, real: Detail, count: int) -> dict[str, Number]:
    """Return each number with its jackknife deviation, which leaves out the same share of both sides."""
    names = list(_compare(fake, real, torch.arange(count)))

    def of(name: str) -> Number:
        return jackknife(lambda kept: _compare(fake, real, kept)[name], count)

    return {name: of(name) for name in names}


def _compare(fake: Detail, real: Detail, kept: Tensor) -> dict[str, float]:
    ratio = float(fake[0][kept].mean()) / max(float(real[0][kept].mean()), FLAT)
    out = {"texture": ratio, "texture_median": median_of(fake[1][kept].sum(0)) - median_of(real[1][kept].sum(0))}
    sizes = (side[2][kept].square().mean(0).sqrt() for side in (fake, real))
    for name, ours, theirs in zip(LEVELS, *(size.tolist() for size in sizes), strict=False):
        out[name] = ours / max(theirs, FLAT)
    return out


def _facts(
    real: Side,
    fake: Side,
    real_detail: Detail,
    fake_detail: Detail,
    count: int,
) -> dict[str, Any]:
    """Return mean, median and power spectrum of both sides, as JSON values."""
    frequencies, real_power = spectrum(real.images[:count])
    _, fake_power = spectrum(fake.images[:count])
    both = (("real", real_detail, real_power), ("fake", fake_detail, fake_power))
    return {
        "frequencies": [round(float(value), 5) for value in frequencies],
        **{f"power_{name}": [float(f"{value:.5g}") for value in power] for name, _, power in both},
        **{f"mean_{name}": round(float(side[0].mean()), 3) for name, side, _ in both},
        **{f"median_{name}": median_of(side[1].sum(0)) for name, side, _ in both},
    }


def _words(numbers: dict[str, Number]) -> tuple[str, ...]:
    """Say whether the samples are grainy or blurred, if they are."""
    found, flat = numbers["texture"], numbers["texture_median"].value
    if is_grainy(found.value, flat):
        return (
            f"the samples are grainy: {found.value:.2f} times the fine detail of real images, and"
            f" {flat:+.0f} gray levels in the median",
        )
    if is_blurred(found.value):
        return (f"the samples are blurred: {found.value:.2f} times the fine detail of real images",)
    return ()
