"""Run one training step and list every tensor with its shape and range."""

import torch
from lesson import Page, main, start
from torch import Tensor

from gansmith.parts.networks.base import range_from_signed, signed_from


def shape(tensor: Tensor) -> str:
    """Return the shape of a tensor as text."""
    return "(" + ", ".join(map(str, tensor.shape)) + ")" if tensor.dim() else "one number"


def span(tensor: Tensor) -> str:
    """Return the range of a tensor's values as text."""
    values = tensor.detach()
    return f"{values.min():.2f} to {values.max():.2f}" if tensor.dim() else f"{values:.3f}"


def received(network: torch.nn.Module) -> str:
    """Return how many of a network's parameter tensors have a gradient."""
    parameters = list(network.parameters())
    return f"{sum(p.grad is not None for p in parameters)} of {len(parameters)} tensors"


def lesson(page: Page) -> None:
    """Write the tables of D's turn and of G's turn."""
    run = start()
    config, loss = run.method.config, run.method.config.loss
    generator, discriminator = run.generator, run.discriminator
    noise = run.state.noise(run.phase("discriminator"), 0, run.runtime)
    real = run.stream.read(0).images
    latents = noise.normal("latents", config.latent_dim)
    for parameter in generator.parameters():  # D's turn: G only makes images
        parameter.requires_grad_(False)
    fake = signed_from(generator(latents), config.generator.value_range)
    seen = range_from_signed(real, config.discriminator.value_range)
    real_logits = discriminator(seen)
    fake_logits = discriminator(range_from_signed(fake, config.discriminator.value_range))
    loss_d = loss.discriminator(real_logits, fake_logits)
    loss_d.backward()
    rows = [
        ("real images x, as training keeps them", shape(real), span(real)),
        ("x, as this D takes them", shape(seen), span(seen)),
        ("latents z", shape(latents), span(latents)),
        ("fakes G(z)", shape(fake), span(fake)),
        ("logits of x", shape(real_logits), span(real_logits)),
        ("logits of G(z)", shape(fake_logits), span(fake_logits)),
        ("D(x), the sigmoid of the logits", shape(real_logits), span(real_logits.sigmoid())),
        ("loss of D", shape(loss_d), span(loss_d)),
        ("gradients in D", received(discriminator), ""),
        ("gradients in G", received(generator), ""),
    ]
    page.table("one-step-d", ("D's turn", "shape", "values"), rows)

    for parameter in discriminator.parameters():
        parameter.grad = None
        parameter.requires_grad_(False)
    for parameter in generator.parameters():
        parameter.requires_grad_(True)
    latents = run.state.noise(run.phase("generator"), 0, run.runtime).normal("latents", config.latent_dim)
    fake = signed_from(generator(latents), config.generator.value_range)
    fake.retain_grad()
    logits = discriminator(range_from_signed(fake, config.discriminator.value_range))
    loss_g = loss.generator(None, logits)
    loss_g.backward()
    rows = [
        ("latents z, new ones", shape(latents), span(latents)),
        ("fakes G(z)", shape(fake), span(fake)),
        ("logits of G(z)", shape(logits), span(logits)),
        ("loss of G", shape(loss_g), span(loss_g)),
        ("gradient at the pixels of G(z)", shape(fake.grad), f"{fake.grad.min():.1e} to {fake.grad.max():.1e}"),
        ("gradients in D", received(discriminator), ""),
        ("gradients in G", received(generator), ""),
    ]
    page.table("one-step-g", ("G's turn", "shape", "values"), rows)


if __name__ == "__main__":
    main(lesson, 1)
