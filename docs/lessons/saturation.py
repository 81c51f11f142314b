"""Two losses of G, asked for their gradient against the same D, while D alone goes on learning."""

import torch
from lesson import BLUE, GRAY, ORANGE, Game, Page, begin, main, plots

from gansmith.losses.minimax import Minimax
from gansmith.losses.non_saturating import NonSaturating

START, FAKES = 300, 256  # iterations of both before G stands still; fakes for each measurement


def gradient_norms(game: Game) -> tuple[float, float, float]:
    """Return the norms of G's gradient under minimax and under the non-saturating loss, and the mean D(G(z))."""
    from gansmith.randomness import sample_latents

    parameters = list(game.generator.parameters())
    for parameter in parameters:
        parameter.requires_grad_(True)
    latents = sample_latents(2, 0, FAKES, game.method.config.latent_dim)
    logits = game.discriminator(game.generator(latents))  # both of them speak [0, 1] here
    norms = []
    for loss in (Minimax(), NonSaturating()):
        gradients = torch.autograd.grad(loss.generator(None, logits), parameters, retain_graph=True)
        norms.append(float(torch.stack([each.norm() for each in gradients]).norm()))
    return norms[0], norms[1], float(logits.detach().sigmoid().mean())


def lesson(page: Page) -> None:
    """Train both a little, stop G, let D learn on, and compare."""
    game = begin()
    for _ in range(min(START, page.steps)):
        game.step()
    d_phase = game.phase("discriminator")
    game.method.phases = (d_phase,)
    steps, minimax, non_saturating, opinions = [], [], [], []
    for step in range(page.steps + 1):
        if step % max(1, page.steps // 60) == 0 or step in (1, 2, 5):
            norms = gradient_norms(game)
            for values, value in zip((minimax, non_saturating, opinions), norms, strict=True):
                values.append(value)
            steps.append(step)
        game.step()
    figure, axes = plots(rows=2, height=2.3, sharex=True)
    upper, lower = axes[:, 0]
    upper.semilogy(steps, non_saturating, color=BLUE, label="non-saturating: -log D(G(z))")
    upper.semilogy(steps, minimax, color=ORANGE, label="minimax: log(1 - D(G(z)))")
    upper.set_ylabel("norm of G's gradient")
    upper.legend(frameon=False)
    lower.semilogy(steps, opinions, color=GRAY)
    lower.set_ylabel("mean D(G(z))")
    lower.set_xlabel("steps of D alone (100 real images each), after both learnt together for 300")
    page.figure(figure, "saturation")
    wanted = [0, len(steps) // 4, len(steps) // 2, len(steps) - 1]
    rows = [
        (f"{steps[i]:,}", f"{opinions[i]:.2g}", f"{minimax[i]:.2g}", f"{non_saturating[i]:.2g}",
         f"{non_saturating[i] / minimax[i]:,.1f}") for i in wanted
    ]  # fmt: skip
    head = ("steps of D alone", "mean D(G(z))", "gradient, minimax", "gradient, non-saturating", "ratio")
    page.table("saturation", head, rows)


if __name__ == "__main__":
    main(lesson, 600)
