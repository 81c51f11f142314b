"""Helpers for methods with a discriminator: fakes, augmentation, D's loss, logged scores."""

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor, nn

from gansmith.core.errors import RecipeError
from gansmith.core.noise import Noise
from gansmith.core.schedules import Moment, value_at
from gansmith.data.base import DataSpec
from gansmith.methods.base import Terms
from gansmith.parts.augmentations.base import Augmentation, Draws
from gansmith.parts.losses.base import AdversarialLoss
from gansmith.parts.networks.base import Network
from gansmith.parts.penalties.base import Critic, Penalty, Scored

FakesT = TypeVar("FakesT")
# A usual p of adaptive augmentations: with 500 images up to 0.06 after 10 minutes on one core, 0.07 to 0.16 after 40.
USUAL_P = 0.1


def mean_score(loss: AdversarialLoss, side: str, logits: Tensor) -> dict[str, Tensor]:
    """Return ``d_SIDE``, the mean P(real), or, if logits are no probabilities, ``score_SIDE``, the mean logit."""
    detached = logits.detach().float()
    if loss.logits_are_probabilities:
        return {f"d_{side}": detached.sigmoid().mean()}
    return {f"score_{side}": detached.mean()}


def scores_for_log(loss: AdversarialLoss, real_logits: Tensor, fake_logits: Tensor) -> dict[str, Tensor]:
    """Return the mean scores of real and fake, and the share of each on the right side of the loss's boundary."""
    out = {**mean_score(loss, "real", real_logits), **mean_score(loss, "fake", fake_logits)}
    if (boundary := loss.boundary) is not None:
        out["accuracy_real"] = (real_logits.detach() > boundary).float().mean()
        out["accuracy_fake"] = (fake_logits.detach() < boundary).float().mean()
    return out


@dataclass(frozen=True)
class Augmenter:
    """The augmentation of one discriminator's inputs; None leaves them unchanged."""

    augmentation: Augmentation | None
    state: dict[str, Tensor]  # the method's state; names of the augmentation's tensors start with ``augment_``
    side: str = ""  # end of these names, for methods with several discriminators

    def __post_init__(self) -> None:
        if self.augmentation is not None:
            initial = self.augmentation.initial_state().items()
            self.state.update({f"augment_{name}{self.side}": tensor for name, tensor in initial})

    def critic(self, score: Critic, noise: Noise, purpose: str, moment: Moment) -> Critic:
        """Return ``score`` with augmented images (k * noise.count, C, H, W); draws differ for every call and image."""
        augmentation, calls = self.augmentation, itertools.count()
        if augmentation is None:
            return score

        def critic(images: Tensor) -> Tensor:
            draws = _draws(noise, f"{purpose}/{next(calls)}", images.shape[0] // noise.count)
            with torch.autocast(images.device.type, enabled=False):  # positions and colours need more than 8 bits
                images = augmentation(images.float(), draws, augmentation.probability_at(self._own_state(), moment))
            return score(images)

        return critic

    def observe(self, loss: AdversarialLoss, scored: Scored, noise: Noise, moment: Moment) -> dict[str, Tensor]:
        """Let the augmentation adapt to D's logits; return ``augment_p`` for the log if it can change."""
        if self.augmentation is None:
            return {}
        own, real, fake = self._own_state(), scored.real_logits.detach().float(), scored.fake_logits.detach().float()
        self.augmentation.observe(own, real - (fake if loss.boundary is None else loss.boundary), noise, moment)
        if not self.augmentation.changes:
            return {}
        return {"augment_p": torch.as_tensor(self.augmentation.probability_at(own, moment), device=real.device).clone()}

    def _own_state(self) -> dict[str, Tensor]:
        assert self.augmentation is not None
        return {name: self.state[f"augment_{name}{self.side}"] for name in self.augmentation.initial_state()}


def assume_augmented(state: Mapping[str, Tensor]) -> None:
    """Set p of adaptive augmentations to a usual value, to measure speed: at its first value, 0, no image changes."""
    for name, tensor in state.items():
        if name.startswith("augment_p"):
            tensor.fill_(USUAL_P)


def _draws(noise: Noise, purpose: str, copies: int) -> Draws:
    def draw(name: str, *shape: int) -> Tensor:
        roles = [f"augment/{purpose}/{copy}/{name}" for copy in range(copies)]
        return torch.cat([noise.uniform(role, *shape) for role in roles])

    return draw


def require_gradients(penalties: Sequence[Penalty], real: Tensor, fake: Tensor) -> None:
    """Make images require gradients if a penalty differentiates them."""
    for side, images in (("real", real), ("fake", fake)):
        if any(side in penalty.differentiates for penalty in penalties):
            images.requires_grad_()


def fakes_from(make: Callable[[], FakesT], parameters: Sequence[nn.Parameter], *, is_shared: bool) -> FakesT:
    """Return the result of ``make``, fakes for D's phase; if they are shared, with the graph that G's phase needs."""
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
    """Score real and fake images in one pass; in two if batch statistics could tell D which are real."""
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
    """Return D's loss plus the weighted penalties that are due; let the augmentation adapt.

    The log gets ``loss_discriminator``, scores, ``penalty_KIND`` and, if it can change, ``augment_p``.
    """
    total = loss.discriminator(scored.real_logits.float(), scored.fake_logits.float())
    log = {"loss_discriminator": total.detach(), **scores_for_log(loss, scored.real_logits, scored.fake_logits)}
    for each in penalties:
        weighted = value_at(each.weight, moment) * each.interval * each(critic, scored, noise)
        log[f"penalty_{each.kind}"] = weighted.detach()
        total = total + weighted
    return Terms(total, {**log, **augmenter.observe(loss, scored, noise, moment)})


def refuse_batch_statistics(discriminator: Network, penalties: Sequence[Penalty]) -> None:
    """Raise RecipeError if a penalty would use gradients that mix images."""
    if penalties and discriminator.has_batch_statistics:
        raise RecipeError(
            "recipe.penalty_with_batch_norm",
            f"penalty '{penalties[0].kind}' needs a gradient for each image, but discriminator '{discriminator.kind}' "
            "mixes the images of a batch by batch norm"
            "\n  pass discriminator.norm=none",
        )


def refuse_points(data: DataSpec, *parts: Network | None, augment: Augmentation | None = None) -> None:
    """Raise RecipeError if the data are points in the plane and a part needs images."""
    if data.is_points and augment is not None:
        raise RecipeError(
            "recipe.augmentation_of_points",
            f"'{data.name}' has points in the plane, but augmentation '{augment.kind}' needs images"
            "\n  pass augment=null",
        )
    for network in parts:
        if data.is_points and network is not None and not network.takes_points:
            raise RecipeError(
                "recipe.network_of_points",
                f"'{data.name}' has points in the plane, but network '{network.kind}' needs images"
                "\n  pass --recipe toy, or networks for points: generator=mlp discriminator=mlp",
            )
