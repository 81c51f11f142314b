"""What methods with a discriminator share: the fakes that it sees, what it minimises, and its opinions in the log."""

from collections.abc import Callable, Sequence
from typing import TypeVar

import torch
from torch import Tensor, nn

from gansmith.data.base import DataSpec
from gansmith.errors import RecipeError
from gansmith.losses.base import AdversarialLoss
from gansmith.methods.base import Terms
from gansmith.networks.base import Network
from gansmith.penalties.base import Critic, Penalty, Scored
from gansmith.randomness import Noise
from gansmith.schedules import Moment, value_at

FakesT = TypeVar("FakesT")


def opinion(loss: AdversarialLoss, side: str, logits: Tensor) -> dict[str, Tensor]:
    """Return ``d_SIDE``, the mean P(real), or ``score_SIDE``, the mean logit, where the loss knows no probability."""
    detached = logits.detach().float()
    if loss.logits_are_probabilities:
        return {f"d_{side}": detached.sigmoid().mean()}
    return {f"score_{side}": detached.mean()}


def opinions(loss: AdversarialLoss, real_logits: Tensor, fake_logits: Tensor) -> dict[str, Tensor]:
    """Return D(x) and D(G(z)), or scores, and the share of images on the right side of the loss's boundary."""
    out = {**opinion(loss, "real", real_logits), **opinion(loss, "fake", fake_logits)}
    if (boundary := loss.boundary) is not None:
        out["accuracy_real"] = (real_logits.detach() > boundary).float().mean()
        out["accuracy_fake"] = (fake_logits.detach() < boundary).float().mean()
    return out


def require_gradients(penalties: Sequence[Penalty], real: Tensor, fake: Tensor) -> None:
    """Make the images require gradients that the penalties differentiate."""
    for side, images in (("real", real), ("fake", fake)):
        if any(side in penalty.differentiates for penalty in penalties):
            images.requires_grad_()


def fakes_from(make: Callable[[], FakesT], parameters: Sequence[nn.Parameter], *, is_shared: bool) -> FakesT:
    """Return what ``make`` makes in D's phase; if shared, with the graph that G's phase walks back through."""
    if not is_shared:
        with torch.no_grad():
            return make()
    for parameter in parameters:
        parameter.requires_grad_(True)
    fakes = make()
    for parameter in parameters:
        parameter.requires_grad_(False)
    return fakes


def score_sides(critic: Critic, discriminator: Network, real: Tensor, fake: Tensor) -> Scored:
    """Score real and fake in one pass, or one after the other where D could tell by the statistics of the batch."""
    if discriminator.has_batch_statistics:
        return Scored(real, fake, critic(real), critic(fake))
    real_logits, fake_logits = critic(torch.cat([real, fake])).chunk(2)
    return Scored(real, fake, real_logits, fake_logits)


def discriminator_terms(
    loss: AdversarialLoss, scored: Scored, penalties: Sequence[Penalty], critic: Critic, noise: Noise, moment: Moment
) -> Terms:
    """Return D's loss with the weighted penalties that are due, ``penalty_KIND`` in the log, and its opinions."""
    total = loss.discriminator(scored.real_logits.float(), scored.fake_logits.float())
    log = {"loss_discriminator": total.detach(), **opinions(loss, scored.real_logits, scored.fake_logits)}
    for each in penalties:
        paid = value_at(each.weight, moment) * each.interval * each(critic, scored, noise)
        log[f"penalty_{each.kind}"] = paid.detach()
        total = total + paid
    return Terms(total, log)


def refuse_batch_statistics(discriminator: Network, penalties: Sequence[Penalty]) -> None:
    """Raise RecipeError where penalties would get gradients that mix images."""
    if penalties and discriminator.has_batch_statistics:
        raise RecipeError(
            f"penalty '{penalties[0].kind}' needs the gradient of each image alone, and discriminator "
            f"'{discriminator.kind}' mixes the images of a batch in its batch norm"
            "\n  pass discriminator.norm=none"
        )


def refuse_points(data: DataSpec, *parts: Network | None) -> None:
    """Raise RecipeError where networks that look at neighbouring pixels would get points in the plane."""
    for network in parts:
        if data.is_points and network is not None and not network.takes_points:
            raise RecipeError(
                f"'{data.name}' has points in the plane, and network '{network.kind}' needs images"
                "\n  pass --recipe toy, or networks that take points: generator=mlp discriminator=mlp"
            )
