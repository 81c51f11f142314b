"""Known modes: how many samples cover, and how evenly."""

from typing import ClassVar

import torch
from torch import Tensor

from gansmith.parts.metrics.base import Evidence, Finding, Metric, jackknife, metrics, over_sets


def histogram(modes: Tensor, num_modes: int) -> Tensor:
    """Return float64 (K,): the number of images in each mode, from modes (N,); -1 is in no mode."""
    return torch.bincount(modes[modes >= 0], minlength=num_modes).double()


def divergence(counts: Tensor) -> float:
    """Return KL(p || uniform) in nats of counts (K,): log K + sum p log p; log K if all counts are 0."""
    shares = counts.double() / counts.sum().clamp(min=1)
    return float(torch.tensor(float(len(counts)), dtype=torch.float64).log() + torch.xlogy(shares, shares).sum())


@metrics.register("modes")
class Modes(Metric):
    """Coverage of K known modes by N samples; all numbers depend on N.

    ``modes``: the modes with at least one sample. ``kl``: the divergence of their histogram from uniform, in nats; real
    images have about (K - 1) / 2N by chance. ``in_modes``: the share of samples in any mode, if the extractor leaves
    some out.
    Source: Metz et al. 2017, arXiv:1611.02163, section 3.3.1; Srivastava et al. 2017, arXiv:1705.07761.
    Differs: KL to uniform, the true distribution, instead of the predicted histogram of real images.
    """

    least: ClassVar[int] = 100
    best: ClassVar[dict[str, str]] = {"modes": "high", "kl": "low", "in_modes": "high"}

    def missing(self, evidence: Evidence) -> str:
        """Say whether modes are unknown."""
        if evidence.real.modes is None or any(side.modes is None for side in evidence.fake):
            return "needs data of known modes, such as stacked-fashion or gaussians-25"
        return super().missing(evidence)

    def measure(self, evidence: Evidence) -> Finding:
        """Return the numbers over the sets of samples; as facts those of the real images."""
        total, real = evidence.num_modes, evidence.real.modes
        sides = [side.modes for side in evidence.fake if side.modes is not None]
        assert real is not None
        counts, of_real, count = [histogram(modes, total) for modes in sides], histogram(real, total), len(sides[0])
        covered = [float((each > 0).sum()) for each in counts]
        numbers = {"modes": over_sets(covered, count), "kl": over_sets([divergence(each) for each in counts], count)}
        words = f"{numbers['modes'].value:,.0f} of {total:,} modes are made by {count:,} samples, KL to uniform"
        words += f" {numbers['kl'].value:.3f}; {len(real):,} real images show {int((of_real > 0).sum()):,},"
        words += f" KL {divergence(of_real):.3f}"
        if any(bool((modes < 0).any()) for modes in (real, *sides)):
            shown = (sides[0] >= 0).double()
            numbers["in_modes"] = jackknife(lambda kept: float(shown[kept].mean()), count)
            words += f"; {numbers['in_modes'].value:.1%} of samples lie in a mode"
            words += f", {float((real >= 0).double().mean()):.1%} of real ones"
        facts = {"modes": total, "real_modes": int((of_real > 0).sum()), "real_kl": round(divergence(of_real), 6)}
        return Finding(numbers, facts, (words,))
