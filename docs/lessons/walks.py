"""From one latent to another: straight through the middle (lerp), and along the sphere (slerp)."""

import numpy as np
import torch
from lesson import BLUE, GRAY, ORANGE, WIDE, Judge, Page, begin, main, plots
from torch import Tensor

from gansmith.images import make_grid
from gansmith.randomness import sample_latents

POINTS, PAIRS, ROWS = 11, 1000, 3


def lerp(start: Tensor, end: Tensor, share: float) -> Tensor:
    """Return the point at a share of the straight line."""
    return (1 - share) * start + share * end


def slerp(start: Tensor, end: Tensor, share: float) -> Tensor:
    """Return the point at a share of the arc between two directions.

    sin((1 - t) w) / sin w * a + sin(t w) / sin w * b, w the angle between a and b.
    Source: White 2016, arXiv:1609.04468.
    """
    cosine = (start * end).sum(-1, keepdim=True) / (start.norm(dim=-1, keepdim=True) * end.norm(dim=-1, keepdim=True))
    angle = torch.acos(cosine.clamp(-1, 1))
    return (torch.sin((1 - share) * angle) * start + torch.sin(share * angle) * end) / torch.sin(angle)


def lesson(page: Page) -> None:
    """Measure norms along both walks, and show both walks of one generator."""
    game = begin(*WIDE)
    for _ in range(page.steps):
        game.step()
    size = game.method.config.latent_dim
    starts, ends = sample_latents(5, 0, PAIRS, size), sample_latents(6, 0, PAIRS, size)
    shares = np.linspace(0, 1, POINTS)
    figure, axes = plots(height=2.6)
    (axis,) = axes[0]
    norms = {walk.__name__: torch.stack([walk(starts, ends, float(t)).norm(dim=1) for t in shares]) for walk in
             (lerp, slerp)}  # fmt: skip
    drawn = sample_latents(7, 0, 10_000, size).norm(dim=1)
    low, high = float(drawn.quantile(0.005)), float(drawn.quantile(0.995))
    axis.axhspan(low, high, color=GRAY, alpha=0.25, label="where 99 % of drawn latents are")
    for (name, values), colour in zip(norms.items(), (ORANGE, BLUE), strict=True):
        axis.plot(shares, values.mean(1), color=colour, marker="o", label=name)
    axis.set_xlabel("share of the way")
    axis.set_ylabel(f"norm of the latent\nin {size} dimensions")
    axis.set_ylim(0, 14)
    axis.legend(frameon=False, loc="lower left")
    page.figure(figure, "norms")

    figure, axes = plots(rows=2, height=1.95)
    for walk, axis in zip((lerp, slerp), axes[:, 0], strict=True):
        latents = torch.stack([walk(starts[:ROWS], ends[:ROWS], float(t)) for t in shares], 1).flatten(0, 1)
        grid = make_grid(game.pictures(latents, averaged=True), POINTS)
        axis.imshow(grid[..., 0], cmap="gray", vmin=0, vmax=255, interpolation="nearest")
        axis.set_title(walk.__name__, fontsize=10, loc="left")
        axis.axis("off")
    page.figure(figure, "walks")
    judge, rows = Judge(game.data), []
    for name, latents in (("drawn latents", starts), ("middle, lerp", lerp(starts, ends, 0.5)),
                          ("middle, slerp", slerp(starts, ends, 0.5))):  # fmt: skip
        norm = latents.norm(dim=1)
        inside = ((norm >= low) & (norm <= high)).float().mean()
        images = game.pictures(latents, averaged=True)
        rows.append(
            (name, f"{norm.mean():.2f}", f"{inside:.0%}", f"{images.mean():.0f}", f"{judge.distance(images):.0f}")
        )
    head = ("latents", "mean norm", f"norm between {low:.1f} and {high:.1f}", "mean gray level", "distance from real")
    page.table("walks", head, rows)


if __name__ == "__main__":
    main(lesson, 2500)
