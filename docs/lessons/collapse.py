"""Let G move ten times for each move of D, and count what kinds of clothes are left."""

import numpy as np
from lesson import BLUE, ORANGE, Game, Judge, Page, begin, main, plots

from gansmith.images import make_grid

FAKES = 2000


def variety(images: np.ndarray) -> float:
    """Return the mean distance of two images chosen at random: root mean square of the difference, in gray levels."""
    flat = images.reshape(len(images), -1).astype(np.float64)
    return float(np.sqrt(((flat[::2] - flat[1::2]) ** 2).mean(1)).mean())


def lesson(page: Page) -> None:
    """Train a balanced game and one that is not; show grids and histograms."""
    games: dict[str, Game] = {
        "G moves once for each move of D": begin(),
        "G moves ten times": begin("generator_steps=10"),
    }
    judge = Judge(games["G moves ten times"].data)
    figure, axes = plots(2, 2, height=2.7, gridspec_kw={"height_ratios": [1.25, 1]})
    data = next(iter(games.values())).data
    real = data.read(range(0, len(data), 5))
    rows = [("real images", 10, f"{judge.kinds(real).max() / len(real):.0%}", f"{variety(real):.0f}", "0")]
    for column, ((name, game), colour) in enumerate(zip(games.items(), (BLUE, ORANGE), strict=True)):
        for _ in range(page.steps):
            game.step()
        images = game.samples(FAKES)
        kinds = judge.kinds(images) / FAKES
        upper, lower = axes[:, column]
        upper.imshow(make_grid(images[:32], 8)[..., 0], cmap="gray", vmin=0, vmax=255, interpolation="nearest")
        upper.axis("off")
        upper.set_title(name, fontsize=10)
        lower.bar(range(10), 100 * kinds, color=colour)
        lower.axhline(10, color="black", linewidth=0.8, linestyle=":")
        lower.set_ylim(0, 100)
        lower.set_ylabel(f"% of {FAKES:,} fakes")
        lower.set_xticks(range(10), data.spec.classes, rotation=60, ha="right", fontsize=7.5)
        found = int((kinds > 0.01).sum())
        rows.append((name, found, f"{kinds.max():.0%}", f"{variety(images):.0f}", f"{judge.distance(images):.0f}"))
    page.figure(figure, "collapse")
    head = ("", "kinds with more than 1 %", "share of the commonest kind", "difference of two images (gray levels)",
            "distance from real")  # fmt: skip
    page.table("collapse", head, rows)
    print(f"the judge is right on {judge.accuracy:.1%} of images it has not seen")


if __name__ == "__main__":
    main(lesson, 2000)
