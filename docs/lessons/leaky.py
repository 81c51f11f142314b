"""Measure the gradient that reaches G through a discriminator with ReLU and with LeakyReLU."""

import numpy as np
import torch
from lesson import BLUE, ORANGE, Page, Run, main, plots, start
from torch import nn

SEEDS, FAKES = (0, 1, 2), 256
NAMES = {0.0: "ReLU", 0.2: "LeakyReLU 0.2"}
RATES = {"2e-4": "the recipe's learning rate", "1e-2": "D's learning rate fifty times as high"}
D_RATE = (
    "optimizers={{default: {{kind: adam, lr: 2e-4, beta1: 0.5}}, discriminator: {{kind: adam, lr: {}, beta1: 0.5}}}}"
)


def gradient_at_fakes(run: Run) -> tuple[float, float, float]:
    """Return the mean norm of d logit / d G(z), the share of fakes where it is 0, and the share of silent units.

    A unit is silent when it is below 0 for every fake: with ReLU no gradient passes it.
    """
    images = torch.from_numpy(run.samples(FAKES)).permute(0, 3, 1, 2).float().div(255).requires_grad_()
    below = []

    def note(module: nn.Module, inputs: tuple[torch.Tensor]) -> None:
        below.append((inputs[0] < 0).all(0))

    layers = [each for each in run.discriminator.modules() if isinstance(each, nn.LeakyReLU)]
    hooks = [each.register_forward_pre_hook(note) for each in layers]
    logits = run.discriminator(images)
    for hook in hooks:
        hook.remove()
    (gradient,) = torch.autograd.grad(logits.sum(), images)
    norms = gradient.flatten(1).norm(dim=1)
    return float(norms.mean()), float((norms == 0).float().mean()), float(torch.cat(below).float().mean())


def train(rate: str, leak: float, seed: int, steps: int) -> np.ndarray:
    """Return rows (step, slope, share of fakes with slope 0, share of silent units) of one run."""
    wide = "discriminator.hidden=[128, 128, 128, 128]"
    run, rows = start(wide, f"discriminator.leak={leak}", D_RATE.format(rate), seed=seed), []
    for step in range(steps + 1):
        if step % max(1, steps // 20) == 0:
            rows.append((step, *gradient_at_fakes(run)))
        run.step()
    return np.array(rows)


def lesson(page: Page) -> None:
    """Train with both activations, from the same seeds, at two learning rates of D; measure during the runs."""
    figure, axes = plots(2, 2, height=2.3, sharex=True, sharey="col")
    table = []
    for (rate, title), (left, right) in zip(RATES.items(), axes, strict=True):
        left.set_title(title, fontsize=10, loc="left")
        for (leak, name), colour in zip(NAMES.items(), (ORANGE, BLUE), strict=True):
            runs = [train(rate, leak, seed, page.steps) for seed in SEEDS]
            for number, run in enumerate(runs):
                label = None if number else name
                left.semilogy(run[:, 0], run[:, 1], color=colour, alpha=0.8, label=label)
                right.plot(run[:, 0], 100 * run[:, 3], color=colour, alpha=0.8)
            late = np.array([run[len(run) // 2 :].mean(0) for run in runs])
            slopes, silent = late[:, 1], late[:, 3]
            table.append((title, name, f"{slopes.min():.2g} to {slopes.max():.2g}", f"{late[:, 2].mean():.1%}",
                          f"{silent.min():.0%} to {silent.max():.0%}"))  # fmt: skip
        left.set_ylabel("slope of D's logit\nat a fake (logit / pixel)")
        right.set_ylabel("% of D's units\nsilent for every fake")
        right.set_ylim(0, 100)
    axes[0, 0].legend(frameon=False)
    for axis in axes[1]:
        axis.set_xlabel("training steps (100 images each)")
    page.figure(figure, "leaky")
    page.table(
        "leaky", ("", "D's activation", "slope, mean of the second half", "fakes with slope 0", "silent units"), table
    )


if __name__ == "__main__":
    main(lesson, 600)
