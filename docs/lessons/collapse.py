"""Train with ten steps of G for each step of D, and count the classes of clothes that remain."""

import numpy as np
from lesson import BLUE, ORANGE, ClothesClassifier, Page, Run, main, plots, start

from gansmith.imaging.images import make_grid

FAKES = 2000
SMALL_STEPS = 4  # mlp-small gets four times as many steps: its networks are smaller and learn more slowly


def variety(images: np.ndarray) -> float:
    """Return the mean difference between two random images: root mean square, in gray levels."""
    flat = images.reshape(len(images), -1).astype(np.float64)
    return float(np.sqrt(((flat[::2] - flat[1::2]) ** 2).mean(1)).mean())


def row(name: str, images: np.ndarray, classifier: ClothesClassifier) -> tuple[str, ...]:
    """Return a line of the table."""
    shares = classifier.count_classes(images) / len(images)
    found = str(int((shares > 0.01).sum()))
    return name, found, f"{shares.max():.0%}", f"{variety(images):.0f}", f"{classifier.distance(images):.0f}"


def train(run: Run, steps: int) -> np.ndarray:
    """Train for more steps, and return fakes."""
    for _ in range(steps):
        run.step()
    return run.samples(FAKES)


def lesson(page: Page) -> None:
    """Train a balanced and an unbalanced run and count the classes; repeat with smaller networks."""
    balanced = start("batch_size=64", recipe="vanilla")
    hasty = start("batch_size=64", "generator_steps=10", recipe="vanilla")
    classifier, third = ClothesClassifier(balanced.data), page.steps // 3
    shown = {
        "G moves once for each D": train(balanced, page.steps),
        f"G moves ten times: step {page.steps - third}": train(hasty, page.steps - third),
        f"the same run, {third} steps later": train(hasty, third),
    }
    figure, axes = plots(3, 2, height=2.4, gridspec_kw={"height_ratios": [1, 1.1]})
    for column, (name, images) in enumerate(shown.items()):
        upper, lower = axes[:, column]
        upper.imshow(make_grid(images[:36], 6)[..., 0], cmap="gray", vmin=0, vmax=255, interpolation="nearest")
        upper.axis("off")
        upper.set_title(name, fontsize=9)
        lower.bar(range(10), 100 * classifier.count_classes(images) / FAKES, color=ORANGE if column else BLUE)
        lower.axhline(10, color="black", linewidth=0.8, linestyle=":")
        lower.set_ylim(0, 70)
        lower.set_xticks(range(10), balanced.data.spec.classes, rotation=90, fontsize=7.5)
    axes[1, 0].set_ylabel(f"% of {FAKES:,} fakes")
    page.figure(figure, "collapse")
    real = balanced.data.read(range(0, len(balanced.data), 5))
    rows = [row(name, images, classifier) for name, images in {"real images": real, **shown}.items()]
    for moves in (1, 10):
        images = train(start(f"generator_steps={moves}"), SMALL_STEPS * page.steps)
        rows.append(row(f"mlp-small, G moves {moves} x, step {SMALL_STEPS * page.steps:,}", images, classifier))
    head = (
        "",
        "classes above 1 %",
        "share of the largest class",
        "two images differ by (gray levels)",
        "distance from real",
    )
    page.table("collapse", head, rows)
    print(f"accuracy of the classifier on unseen images: {classifier.accuracy:.1%}")


if __name__ == "__main__":
    main(lesson, 300)
