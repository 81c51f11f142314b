"""What methods with a discriminator share: the fakes that it sees, what it minimises, and its opinions in the log."""

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor, nn

from gansmith.core.errors import RecipeError
from gansmith.core.randomness import Noise
from gansmith.core.schedules import Moment, value_at
from gansmith.data.base import DataSpec
from gansmith.methods.base import Terms
from gansmith.parts.augmentations.base import Augmentation, Draws
from gansmith.parts.losses.base import AdversarialLoss
from gansmith.parts.networks.base import Network
from gansmith.parts.penalties.base import Critic, Penalty, Scored

FakesT = TypeVar("FakesT")
USUAL_P = 0.1  # of augmentations that adapt: with 500 images up to 0.06 in 10 minutes of a core, 0.07 to 0.16 in 40


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


@dataclass(frozen=True)
class Augmenter:
    """A recipe's augmentation, or none, before one discriminator."""

    augmentation: Augmentation | None
    state: dict[str, Tensor]  # the method's, in which what adapts begins with ``augment_``
    side: str = ""  # and ends with this, where a method has several discriminators

    def __post_init__(self) -> None:
        if self.augmentation is not None:
            initial = self.augmentation.initial_state().items()
            self.state.update({f"augment_{name}{self.side}": tensor for name, tensor in initial})

    def critic(self, judge: Critic, noise: Noise, purpose: str, moment: Moment) -> Critic:
        """Return ``judge`` with images (k * noise.count, C, H, W) augmented; draws differ for every call and image."""
        augmentation, calls = self.augmentation, itertools.count()
        if augmentation is None:
            return judge

        def critic(images: Tensor) -> Tensor:
            draws = _draws(noise, f"{purpose}/{next(calls)}", images.shape[0] // noise.count)
            with torch.autocast(images.device.type, enabled=False):  # places and colours need more than 8 bits
                images = augmentation(images.float(), draws, augmentation.probability_at(self._own(), moment))
            return judge(images)

        return critic

    def observe(self, loss: AdversarialLoss, scored: Scored, noise: Noise, moment: Moment) -> dict[str, Tensor]:
        """Let the augmentation adapt to D's logits, and return ``augment_p`` for the log where it can change."""
        if self.augmentation is None:
            return {}
        own, real, fake = self._own(), scored.real_logits.detach().float(), scored.fake_logits.detach().float()
        self.augmentation.observe(own, real - (fake if loss.boundary is None else loss.boundary), noise, moment)
        if not self.augmentation.changes:
            return {}
        return {"augment_p": torch.as_tensor(self.augmentation.probability_at(own, moment), device=real.device).clone()}

    def _own(self) -> dict[str, Tensor]:
        assert self.augmentation is not None
        return {name: self.state[f"augment_{name}{self.side}"] for name in self.augmentation.initial_state()}


def assume_augmented(state: Mapping[str, Tensor]) -> None:
    """Set p of augmentations that adapt to what it often comes to: it begins at 0, where a CPU warps no image."""
    for name, tensor in state.items():
        if name.startswith("augment_p"):
            tensor.fill_(USUAL_P)


def _draws(noise: Noise, purpose: str, copies: int) -> Draws:
    def draw(name: str, *shape: int) -> Tensor:
        roles = [f"augment/{purpose}/{copy}/{name}" for copy in range(copies)]
        return torch.cat([noise.uniform(role, *shape) for role in roles])

    return draw


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
    loss: AdversarialLoss,
    scored: Scored,
    penalties: Sequence[Penalty],
    critic: Critic,
    augmenter: Augmenter,
    noise: Noise,
    moment: Moment,
) -> Terms:
    """Return D's loss with the weighted penalties that are due, ``penalty_KIND`` in the log, and its opinions.

    The augmentation is told of them, and has ``augment_p`` in the log where it changes.
    """
    total = loss.discriminator(scored.real_logits.float(), scored.fake_logits.float())
    log = {"loss_discriminator": total.detach(), **opinions(loss, scored.real_logits, scored.fake_logits)}
    for each in penalties:
        paid = value_at(each.weight, moment) * each.interval * each(critic, scored, noise)
        log[f"penalty_{each.kind}"] = paid.detach()
        total = total + paid
    return Terms(total, {**log, **augmenter.observe(loss, scored, noise, moment)})


def refuse_batch_statistics(discriminator: Network, penalties: Sequence[Penalty]) -> None:
    """Raise RecipeError where penalties would get gradients that mix images."""
    if penalties and discriminator.has_batch_statistics:
        raise RecipeError(
            "recipe.penalty_with_batch_norm",
            f"penalty '{penalties[0].kind}' needs the gradient of each image alone, and discriminator "
            f"'{discriminator.kind}' mixes the images of a batch in its batch norm"
            "\n  pass discriminator.norm=none",
        )


def refuse_points(data: DataSpec, *parts: Network | None, augment: Augmentation | None = None) -> None:
    """Raise RecipeError where parts that look at neighbouring pixels would get points in the plane."""
    if data.is_points and augment is not None:
        raise RecipeError(
            "recipe.augmentation_of_points",
            f"'{data.name}' has points in the plane, and augmentation '{augment.kind}' needs images"
            "\n  pass augment=null",
        )
    for network in parts:
        if data.is_points and network is not None and not network.takes_points:
            raise RecipeError(
                "recipe.network_of_points",
                f"'{data.name}' has points in the plane, and network '{network.kind}' needs images"
                "\n  pass --recipe toy, or networks that take points: generator=mlp discriminator=mlp",
            )
