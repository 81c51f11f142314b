"""Walk from one latent to another: straight (lerp), and along the sphere (slerp)."""

import numpy as np
import torch
from lesson import BLUE, GRAY, ORANGE, ClothesClassifier, Page, main, plots, start

from gansmith.core.randomness import sample_latents
from gansmith.imaging.images import make_grid
from gansmith.inference.interpolate import lerp, slerp

POINTS, PAIRS, ROWS = 11, 1000, 3


def lesson(page: Page) -> None:
    """Measure norms along both walks, and show both walks of one generator."""
    run = start("batch_size=64", recipe="vanilla")
    for _ in range(page.steps):
        run.step()
    size = run.method.config.latent_dim
    starts, ends = sample_latents(5, 0, PAIRS, size), sample_latents(6, 0, PAIRS, size)
    shares = np.linspace(0, 1, POINTS)
    walks = {way.__name__: np.stack([way(start, end, shares) for start, end in zip(starts, ends, strict=True)])
             for way in (lerp, slerp)}  # (PAIRS, POINTS, size)  # fmt: skip
    drawn = np.linalg.norm(sample_latents(7, 0, 10_000, size), axis=1)
    low, high = np.quantile(drawn, (0.005, 0.995))
    figure, axes = plots(height=2.6)
    (axis,) = axes[0]
    axis.axhspan(low, high, color=GRAY, alpha=0.25, label="where 99 % of drawn latents are")
    for (name, latents), colour in zip(walks.items(), (ORANGE, BLUE), strict=True):
        axis.plot(shares, np.linalg.norm(latents, axis=2).mean(0), color=colour, marker="o", label=name)
    axis.set_xlabel("share of the way")
    axis.set_ylabel(f"norm of the latent\nin {size} dimensions")
    axis.set_ylim(0, 14)
    axis.legend(frameon=False, loc="lower left")
    page.figure(figure, "norms")

    figure, axes = plots(rows=2, height=1.95)
    for (name, latents), axis in zip(walks.items(), axes[:, 0], strict=True):
        grid = make_grid(run.images(torch.from_numpy(latents[:ROWS].reshape(-1, size)), averaged=True), POINTS)
        axis.imshow(grid[..., 0], cmap="gray", vmin=0, vmax=255, interpolation="nearest")
        axis.set_title(name, fontsize=10, loc="left")
        axis.axis("off")
    page.figure(figure, "walks")
    classifier, rows = ClothesClassifier(run.data), []
    middles = {f"middle, {name}": latents[:, POINTS // 2] for name, latents in walks.items()}
    for name, latents in {"drawn latents": starts, **middles}.items():
        norm = np.linalg.norm(latents, axis=1)
        inside = ((norm >= low) & (norm <= high)).mean()
        images = run.images(torch.from_numpy(latents), averaged=True)
        cells = f"{norm.mean():.2f}", f"{inside:.0%}", f"{images.mean():.0f}", f"{classifier.distance(images):.0f}"
        rows.append((name, *cells))
    head = ("latents", "mean norm", f"norm between {low:.1f} and {high:.1f}", "mean gray level", "distance from real")
    page.table("walks", head, rows)


if __name__ == "__main__":
    main(lesson, 2500)
