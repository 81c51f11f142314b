"""What reaches G through a discriminator with ReLU, and through one with LeakyReLU."""

import numpy as np
import torch
from lesson import BLUE, ORANGE, Game, Page, begin, main, plots
from torch import nn

SEEDS, FAKES = (0, 1, 2), 256
NAMES = {0.0: "ReLU", 0.2: "LeakyReLU 0.2"}


def gradient_at_fakes(game: Game) -> tuple[float, float, float]:
    """Return the mean norm of d logit / d G(z), the share of fakes where it is 0, and the share of silent units.

    A unit is silent when it is below 0 for every one of the fakes: with ReLU nothing passes it.
    """
    images = torch.from_numpy(game.samples(FAKES)).permute(0, 3, 1, 2).float().div(255).requires_grad_()
    below = []

    def note(module: nn.Module, inputs: tuple[torch.Tensor]) -> None:
        below.append((inputs[0] < 0).all(0))

    layers = [each for each in game.discriminator.modules() if isinstance(each, nn.LeakyReLU)]
    hooks = [each.register_forward_pre_hook(note) for each in layers]
    logits = game.discriminator(images)
    for hook in hooks:
        hook.remove()
    (gradient,) = torch.autograd.grad(logits.sum(), images)
    norms = gradient.flatten(1).norm(dim=1)
    return float(norms.mean()), float((norms == 0).float().mean()), float(torch.cat(below).float().mean())


def lesson(page: Page) -> None:
    """Train with both slopes from the same seeds; measure on the way."""
    every = max(1, page.steps // 20)
    measured = {leak: [] for leak in NAMES}
    for leak, runs in measured.items():
        for seed in SEEDS:
            game = begin("discriminator.hidden=[128, 128, 128, 128]", f"discriminator.leak={leak}", seed=seed)
            rows = []
            for step in range(page.steps + 1):
                if step % every == 0:
                    rows.append((step, *gradient_at_fakes(game)))
                game.step()
            runs.append(np.array(rows))
    figure, axes = plots(2, height=2.7)
    for (leak, runs), colour in zip(measured.items(), (ORANGE, BLUE), strict=True):
        for axis, column in zip(axes[0], (1, 3), strict=True):
            for number, run in enumerate(runs):
                axis.plot(run[:, 0], run[:, column], color=colour, alpha=0.8, label=NAMES[leak] if not number else None)
    axes[0, 0].set_yscale("log")
    axes[0, 0].set_ylabel("norm of the slope of D's logit\nat the pixels of a fake, mean")
    axes[0, 1].set_ylabel("share of D's units that are\nbelow 0 for every fake")
    axes[0, 0].legend(frameon=False)
    for axis in axes[0]:
        axis.set_xlabel("training steps (100 images each)")
    page.figure(figure, "leaky")
    rows = []
    for leak, runs in measured.items():
        first, last = np.mean([run[0] for run in runs], 0), np.array([run[-1] for run in runs])
        low, high = last[:, 1].min(), last[:, 1].max()
        rows.append((NAMES[leak], f"{first[1]:.2g}", f"{low:.2g} to {high:.2g}",
                     f"{last[:, 2].mean():.1%}", f"{last[:, 3].mean():.0%}"))  # fmt: skip
    head = ("D's activation", "slope at the first step", f"slope after {page.steps:,} steps", "fakes with slope 0",
            "silent units")  # fmt: skip
    page.table("leaky", head, rows)


if __name__ == "__main__":
    main(lesson, 1500)
