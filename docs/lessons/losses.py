"""Compare losses with image quality: the recipe, and the recipe with a slow discriminator."""

import numpy as np
from lesson import BLUE, GRAY, ORANGE, ClothesClassifier, Page, main, plots, start

SLOW = "optimizers={default: {kind: adam, lr: 2e-4, beta1: 0.5}, discriminator: {kind: adam, lr: 2e-6, beta1: 0.5}}"
RUNS = {"the recipe": (), "D's learning rate a hundredth": (SLOW,)}


def lesson(page: Page) -> None:
    """Train both; plot the two losses, and below them the distance from real images."""
    classifier = ClothesClassifier(start().data)
    figure, axes = plots(2, 2, height=2.1, sharex=True, sharey="row")
    table, every = [], max(1, page.steps // 24)
    for column, (name, overrides) in enumerate(RUNS.items()):
        run, rows = start(*overrides), []
        for step in range(1, page.steps + 1):
            run.step()
            if step % every == 0 or step == page.steps:
                means = run.means()
                distance = classifier.distance(run.samples(1000))
                rows.append((step, means["loss_discriminator"], means["loss_generator"], distance))
        values = np.array(rows)
        upper, lower = axes[:, column]
        upper.set_title(name, fontsize=10)
        upper.plot(values[:, 0], values[:, 1], color=BLUE, label="loss of D")
        upper.plot(values[:, 0], values[:, 2], color=ORANGE, label="loss of G")
        lower.plot(values[:, 0], values[:, 3], color=GRAY)
        lower.set_xlabel("training steps (100 images each)")
        middle, last = values[len(values) // 2], values[-1]
        for when, row in (("halfway", middle), ("at the end", last)):
            table.append((name, when, *(f"{value:.2f}" for value in row[1:3]), f"{row[3]:.0f}"))
    axes[0, 0].set_ylabel("loss")
    axes[0, 0].legend(frameon=False)
    axes[1, 0].set_ylim(0, None)
    axes[1, 0].set_ylabel("distance from real\n(smaller is better)")
    page.figure(figure, "losses")
    page.table("losses", ("run", "when", "loss of D", "loss of G", "distance from real"), table)


if __name__ == "__main__":
    main(lesson, 2400)
