"""What methods with a discriminator share: its opinions in the log, and the penalties that it pays."""

from collections.abc import Sequence

from torch import Tensor

from gansmith.errors import RecipeError
from gansmith.losses.base import AdversarialLoss
from gansmith.networks.base import Network
from gansmith.penalties.base import Critic, Penalty, Scored
from gansmith.randomness import Noise
from gansmith.schedules import Moment, value_at


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


def pay(
    penalties: Sequence[Penalty], critic: Critic, scored: Scored, noise: Noise, moment: Moment
) -> dict[str, Tensor]:
    """Return the weighted penalties, ``penalty_KIND``, with their graphs."""
    return {
        f"penalty_{each.kind}": value_at(each.weight, moment) * each.interval * each(critic, scored, noise)
        for each in penalties
    }


def refuse_batch_statistics(discriminator: Network, penalties: Sequence[Penalty]) -> None:
    """Raise RecipeError where penalties would get gradients that mix images."""
    if penalties and discriminator.has_batch_statistics:
        raise RecipeError(
            f"penalty '{penalties[0].kind}' needs the gradient of each image alone, and discriminator "
            f"'{discriminator.kind}' mixes the images of a batch in its batch norm"
            "\n  pass discriminator.norm=none"
        )
