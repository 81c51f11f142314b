"""Compare G's gradient under two losses, with the same D, while only D goes on learning."""

import torch
from lesson import BLUE, GRAY, ORANGE, Page, Run, main, plots, start

from gansmith.core.randomness import sample_latents
from gansmith.parts.losses.minimax import Minimax
from gansmith.parts.losses.non_saturating import NonSaturating

START, FAKES = 300, 256  # steps of both networks before G is frozen; fakes for each measurement


def gradient_norms(run: Run) -> tuple[float, float, float]:
    """Return the norms of G's gradient under minimax and under the non-saturating loss, and the mean D(G(z))."""
    parameters = list(run.generator.parameters())
    for parameter in parameters:
        parameter.requires_grad_(True)
    latents = torch.from_numpy(sample_latents(2, 0, FAKES, run.method.config.latent_dim))
    logits = run.discriminator(run.generator(latents))  # both networks work in [0, 1] here
    norms = []
    for loss in (Minimax(), NonSaturating()):
        gradients = torch.autograd.grad(loss.generator(None, logits), parameters, retain_graph=True)
        norms.append(float(torch.stack([each.norm() for each in gradients]).norm()))
    return norms[0], norms[1], float(logits.detach().sigmoid().mean())


def lesson(page: Page) -> None:
    """Train both networks, freeze G, train D alone, and compare the gradients."""
    run = start()
    for _ in range(min(START, page.steps)):
        run.step()
    d_phase = run.phase("discriminator")
    run.method.phases = (d_phase,)
    steps, minimax, non_saturating, d_fake = [], [], [], []
    for step in range(page.steps + 1):
        if step % max(1, page.steps // 60) == 0 or step in (1, 2, 5):
            norms = gradient_norms(run)
            for values, value in zip((minimax, non_saturating, d_fake), norms, strict=True):
                values.append(value)
            steps.append(step)
        run.step()
    figure, axes = plots(rows=2, height=2.3, sharex=True)
    upper, lower = axes[:, 0]
    upper.semilogy(steps, non_saturating, color=BLUE, label="non-saturating: -log D(G(z))")
    upper.semilogy(steps, minimax, color=ORANGE, label="minimax: log(1 - D(G(z)))")
    upper.set_ylabel("norm of G's gradient")
    upper.legend(frameon=False)
    lower.semilogy(steps, d_fake, color=GRAY)
    lower.set_ylabel("mean D(G(z))")
    lower.set_xlabel("steps of D alone (100 real images each), after both learnt together for 300")
    page.figure(figure, "saturation")
    wanted = [0, len(steps) // 4, len(steps) // 2, len(steps) - 1]
    rows = [
        (f"{steps[i]:,}", f"{d_fake[i]:.2g}", f"{minimax[i]:.2g}", f"{non_saturating[i]:.2g}",
         f"{non_saturating[i] / minimax[i]:,.1f}") for i in wanted
    ]  # fmt: skip
    head = ("steps of D alone", "mean D(G(z))", "gradient, minimax", "gradient, non-saturating", "ratio")
    page.table("saturation", head, rows)


if __name__ == "__main__":
    main(lesson, 600)
