"""Let G move ten times for each move of D, and count what kinds of clothes are left."""

import numpy as np
from lesson import BLUE, ORANGE, Game, Judge, Page, begin, main, plots

from gansmith.images import make_grid

FAKES = 2000
SMALL_STEPS = 4  # times as many iterations for mlp-small, whose networks are smaller and learn more slowly


def variety(images: np.ndarray) -> float:
    """Return the mean distance of two images chosen at random: root mean square of the difference, in gray levels."""
    flat = images.reshape(len(images), -1).astype(np.float64)
    return float(np.sqrt(((flat[::2] - flat[1::2]) ** 2).mean(1)).mean())


def row(name: str, images: np.ndarray, judge: Judge) -> tuple[str, ...]:
    """Return a line of the table."""
    shares = judge.kinds(images) / len(images)
    found = str(int((shares > 0.01).sum()))
    return name, found, f"{shares.max():.0%}", f"{variety(images):.0f}", f"{judge.distance(images):.0f}"


def play(game: Game, steps: int) -> np.ndarray:
    """Train on, and return fakes."""
    for _ in range(steps):
        game.step()
    return game.samples(FAKES)


def lesson(page: Page) -> None:
    """Train a balanced game and one that is not, show both and count; then the same with smaller networks."""
    balanced = begin("batch_size=64", recipe="vanilla")
    hasty = begin("batch_size=64", "generator_steps=10", recipe="vanilla")
    judge, third = Judge(balanced.data), page.steps // 3
    shown = {
        "G moves once for each D": play(balanced, page.steps),
        f"G moves ten times: step {page.steps - third}": play(hasty, page.steps - third),
        f"the same run, {third} steps later": play(hasty, third),
    }
    figure, axes = plots(3, 2, height=2.4, gridspec_kw={"height_ratios": [1, 1.1]})
    for column, (name, images) in enumerate(shown.items()):
        upper, lower = axes[:, column]
        upper.imshow(make_grid(images[:36], 6)[..., 0], cmap="gray", vmin=0, vmax=255, interpolation="nearest")
        upper.axis("off")
        upper.set_title(name, fontsize=9)
        lower.bar(range(10), 100 * judge.kinds(images) / FAKES, color=ORANGE if column else BLUE)
        lower.axhline(10, color="black", linewidth=0.8, linestyle=":")
        lower.set_ylim(0, 70)
        lower.set_xticks(range(10), balanced.data.spec.classes, rotation=90, fontsize=7.5)
    axes[1, 0].set_ylabel(f"% of {FAKES:,} fakes")
    page.figure(figure, "collapse")
    real = balanced.data.read(range(0, len(balanced.data), 5))
    rows = [row(name, images, judge) for name, images in {"real images": real, **shown}.items()]
    for moves in (1, 10):
        images = play(begin(f"generator_steps={moves}"), SMALL_STEPS * page.steps)
        rows.append(row(f"mlp-small, G moves {moves} x, step {SMALL_STEPS * page.steps:,}", images, judge))
    head = ("", "kinds above 1 %", "share of the commonest", "two images differ by (gray levels)", "distance from real")
    page.table("collapse", head, rows)
    print(f"the judge is right on {judge.accuracy:.1%} of images it has not seen")


if __name__ == "__main__":
    main(lesson, 300)
