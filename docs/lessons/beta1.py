"""Train one recipe with Adam's beta1 at 0.5 and at 0.9, from three seeds."""

import numpy as np
import torch
from lesson import BLUE, ORANGE, ClothesClassifier, Page, main, plots, start

from gansmith.core.randomness import sample_latents

SEEDS, EVERY = (0, 1, 2), 20


def train(beta1: float, seed: int, page: Page, classifier: ClothesClassifier) -> tuple[np.ndarray, float]:
    """Return rows (step, D(x), D(G(z)), change of 64 images of fixed latents), and the final distance from real."""
    run = start(f"beta1={beta1}", seed=seed)
    latents = torch.from_numpy(sample_latents(3, 0, 64, run.method.config.latent_dim))
    before, rows = run.images(latents), []
    for step in range(1, page.steps + 1):
        run.step()
        if step % EVERY == 0 or step == page.steps:
            means, now = run.means(), run.images(latents)
            moved = np.abs(now.astype(float) - before).mean()
            rows.append((step, means["d_real"], means["d_fake"], moved))
            before = now
    return np.array(rows), classifier.distance(run.samples(2000))


def lesson(page: Page) -> None:
    """Train all six runs; plot D(G(z)) and the change of the images of fixed latents."""
    classifier = ClothesClassifier(start().data)
    figure, axes = plots(2, height=2.8)
    table = []
    for beta1, colour in ((0.5, BLUE), (0.9, ORANGE)):
        runs = [train(beta1, seed, page, classifier) for seed in SEEDS]
        for number, (rows, _) in enumerate(runs):
            label = f"beta1 {beta1}" if number == 0 else None
            axes[0, 0].plot(rows[:, 0], rows[:, 2], color=colour, alpha=0.7, linewidth=0.9, label=label)
            axes[0, 1].plot(rows[:, 0], rows[:, 3], color=colour, alpha=0.7, linewidth=0.9)
        late = [rows[len(rows) // 2 :] for rows, _ in runs]
        swing = [rows[:, 2].std() for rows in late]
        moved = [rows[:, 3].mean() for rows in late]
        distance = [last for _, last in runs]
        cells = [f"{min(each):.3g} to {max(each):.3g}" for each in (swing, moved, distance)]
        table.append((beta1, *cells))
    axes[0, 0].set_ylabel("D(G(z)), mean of 20 steps")
    axes[0, 1].set_ylabel("change of 64 images of fixed latents\nin 20 steps (gray levels a pixel)")
    axes[0, 0].legend(frameon=False)
    for axis in axes[0]:
        axis.set_xlabel("training steps (100 images each)")
    page.figure(figure, "beta1")
    head = ("beta1", "swing of D(G(z)) (standard deviation, second half)", "change of images in 20 steps (gray levels)",
            "distance from real at the end")  # fmt: skip
    page.table("beta1", head, table)


if __name__ == "__main__":
    main(lesson, 2000)
