"""Suggestions against a verdict: changes that fit the recipe, the most likely to help first."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
import yaml

from gansmith.core.errors import GansmithError
from gansmith.core.schedules import values_of
from gansmith.data.base import DataSpec
from gansmith.recipes.load import override
from gansmith.recipes.recipe import Recipe

LARGEST_BATCH = 512
MOST_OF_LENGTH = 0.03  # of a run, for the half-life of the average
SMALLEST_CHANNELS, LARGEST_CHANNELS = 8, 512
WGAN_GP = ("loss=wasserstein", "penalties=[gradient_penalty]", "discriminator.norm=none", "discriminator_steps=5")
R1 = ("discriminator.norm=none", "penalties=[{kind: r1, weight: 1, interval: 8}]")


@dataclass(frozen=True)
class Suggestion:
    """One thing to try, in words and as overrides of the recipe, options of ``gansmith train`` or longer training."""

    words: str
    overrides: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
    longer: bool = False


def suggest(verdict: str, recipe: Recipe, spec: DataSpec) -> list[Suggestion]:
    """Return suggestions against a verdict; their overrides fit the recipe and the data, and change something."""
    candidates = list(FOR[verdict](_Values(recipe, spec))) if verdict in FOR else []
    return [each for each in candidates if not each.overrides or _fits(recipe, each.overrides, spec)]


def _fits(recipe: Recipe, overrides: tuple[str, ...], spec: DataSpec) -> bool:
    try:
        changed = override(recipe, overrides)
        with torch.device("meta"):
            changed.method.build(spec)
    except GansmithError:
        return False
    return changed != recipe


class _Values:
    """The values of a recipe, and suggestions that need several of them."""

    def __init__(self, recipe: Recipe, spec: DataSpec) -> None:
        self.recipe, self.spec = recipe, spec
        written = recipe.model_dump(mode="json")
        self.method: dict[str, Any] = written["method"]
        self.optimizers: dict[str, Any] = written["optimizers"]
        self.loss = self.method.get("loss") or {}

    def rate(self, network: str) -> float:
        """Return a network's learning rate, the highest one of a ramp."""
        return max(values_of(self.recipe.optimizer_for(network).lr))

    def with_rate(self, network: str, lr: float) -> tuple[str, ...]:
        """Return the override that gives one network a learning rate."""
        values = self.optimizers.get(network, self.optimizers["default"])
        text = yaml.safe_dump(
            {**values, "lr": float(f"{lr:.3g}")}, default_flow_style=True, width=1000, sort_keys=False
        )
        return (f"optimizers.{network}={text.strip()}",)

    def calmer(self, network: str, other: str) -> Suggestion:
        """Suggest a lower learning rate for a network: the other network's if that is lower, else half."""
        mine, its = self.rate(network), self.rate(other)
        side, rival = "GD" if network == "generator" else "DG"
        if 0 < its < mine:
            return Suggestion(f"lower {side}'s learning rate to {rival}'s", self.with_rate(network, its))
        return Suggestion(f"halve {side}'s learning rate", self.with_rate(network, mine / 2))

    def faster(self, network: str, other: str) -> Suggestion:
        """Suggest a higher learning rate for a network: the other network's if that is higher, else double."""
        mine, its = self.rate(network), self.rate(other)
        side, rival = "GD" if network == "generator" else "DG"
        if mine < its:
            return Suggestion(f"raise {side}'s learning rate to {rival}'s", self.with_rate(network, its))
        return Suggestion(f"double {side}'s learning rate", self.with_rate(network, 2 * mine))

    def calmer_both(self) -> Suggestion:
        """Suggest half of each learning rate, or the lower one for both networks if they differ more than twofold."""
        low, high = sorted((self.rate("generator"), self.rate("discriminator")))
        if 0 < low < high / 2:
            return self.calmer(*_first_faster(self))
        if len(self.optimizers) == 1:
            return Suggestion("halve the learning rates", (f"lr={low / 2:.3g}",))
        each = [self.with_rate(name, self.rate(name) / 2)[0] for name in ("generator", "discriminator")]
        return Suggestion("halve the learning rates", tuple(each))

    def sized(self, network: str, factor: float) -> tuple[str, ...]:
        """Return the override that multiplies a network's width; () beyond SMALLEST_CHANNELS or LARGEST_CHANNELS."""
        config = self.method.get(network) or {}
        if config.get("base_channels"):
            channels = int(config["base_channels"] * factor)
            inside = SMALLEST_CHANNELS <= channels <= LARGEST_CHANNELS
            return (f"{network}.base_channels={channels}",) if inside else ()
        if "hidden" in config:
            return (f"{network}.hidden={[max(SMALLEST_CHANNELS, int(width * factor)) for width in config['hidden']]}",)
        return ()


def _first_faster(values: _Values) -> tuple[str, str]:
    pair = ("generator", "discriminator")
    return pair if values.rate(pair[0]) > values.rate(pair[1]) else (pair[1], pair[0])


def _memorization(now: _Values) -> Iterator[Suggestion]:
    yield Suggestion("add images: nothing helps as much")
    yield Suggestion("stop when samples no longer improve", options=("--patience", "3"))
    if not now.method.get("augment"):
        yield Suggestion("augment the discriminator's inputs", ("augment=diffaugment",))
    if not now.recipe.data.mirror:
        yield Suggestion("add mirrored images, if left and right do not matter", ("mirror=true",))
    if smaller := now.sized("generator", 0.5):
        yield Suggestion("use a smaller generator", smaller)


def _full_collapse(now: _Values) -> Iterator[Suggestion]:
    if now.method.get("generator_steps", 1) > 1:
        yield Suggestion("train G for one step per step of D", ("generator_steps=1",))
    yield now.calmer("generator", "discriminator")
    if now.loss.get("kind") == "minimax":
        yield Suggestion("use a loss whose gradient does not vanish when D is sure", ("loss=non_saturating",))
    if now.method.get("generator_steps") == now.method.get("discriminator_steps") == 1:
        yield Suggestion("train D for two steps per step of G", ("discriminator_steps=2",))
    if now.loss.get("kind") not in (None, "wasserstein"):
        yield Suggestion("use WGAN-GP, which seldom collapses but takes longer", WGAN_GP)
    yield Suggestion("return to the best checkpoint when it happens", options=("--on-collapse", "rollback"))


def _partial_collapse(now: _Values) -> Iterator[Suggestion]:
    yield Suggestion("train longer: rare modes often come late", longer=True)
    if now.method.get("generator_steps", 1) > 1:
        yield Suggestion("train G for one step per step of D", ("generator_steps=1",))
    if now.rate("generator") > 2 * now.rate("discriminator"):
        yield now.calmer("generator", "discriminator")
    if now.method.get("conditional") is False and len(now.spec.classes) > 1:
        yield Suggestion("give both networks the class labels: it trains every class", ("conditional=true",))
    if now.recipe.batch_size * 2 <= LARGEST_BATCH:
        yield Suggestion(
            "use larger batches, which show D more modes at once", (f"batch_size={now.recipe.batch_size * 2}",)
        )


def _generator_wins(now: _Values) -> Iterator[Suggestion]:
    if now.method.get("generator_steps", 1) > 1:
        yield Suggestion("train G for one step per step of D", ("generator_steps=1",))
    yield now.faster("discriminator", "generator")
    if now.method.get("discriminator_steps") == 1:
        yield Suggestion("train D for two steps per step of G", ("discriminator_steps=2",))
    if larger := now.sized("discriminator", 2):
        yield Suggestion("use a larger D", larger)


def _discriminator_wins(now: _Values) -> Iterator[Suggestion]:
    if now.loss.get("kind") == "minimax":
        yield Suggestion("use a loss whose gradient does not vanish when D is sure", ("loss=non_saturating",))
    yield now.calmer("discriminator", "generator")
    if now.method.get("discriminator_steps", 1) > 1 and now.loss.get("kind") != "wasserstein":
        yield Suggestion("train D for one step per step of G", ("discriminator_steps=1",))
    if now.loss.get("real_label") == 1:
        yield Suggestion("use one-sided label smoothing", ("loss.real_label=0.9",))
    yield Suggestion("replace D's norm by R1, which keeps D smooth", R1)


def _oscillating(now: _Values) -> Iterator[Suggestion]:
    yield now.calmer_both()
    if any(getattr(part, "beta1", 0) not in (0, 0.5) for part in now.recipe.optimizers.values()):
        yield Suggestion("use less momentum", ("beta1=0.5",))
    half_life = now.recipe.ema_half_life_kimg
    if isinstance(half_life, int | float):
        yield Suggestion("average G over more images", (f"ema_half_life_kimg={max(10.0, 2 * half_life):g}",))


def _diverged(now: _Values) -> Iterator[Suggestion]:
    yield now.calmer_both()
    for network, side in (("generator", "G"), ("discriminator", "D")):
        if (now.method.get(network) or {}).get("norm") == "none" and not now.method.get("penalties"):
            yield Suggestion(f"use batch norm in {side}", (f"{network}.norm=batch",))
    yield Suggestion("replace D's norm by R1, which keeps D smooth", R1)
    yield Suggestion("return to the best checkpoint when it happens", options=("--on-collapse", "rollback"))


def _stalled(now: _Values) -> Iterator[Suggestion]:
    yield now.faster("generator", "discriminator")
    if now.loss.get("kind") == "minimax":
        yield Suggestion("use a loss whose gradient does not vanish when D is sure", ("loss=non_saturating",))
    if larger := now.sized("generator", 2):
        yield Suggestion("use a larger generator", larger)


def _lagging_average(now: _Values) -> Iterator[Suggestion]:
    half_life = now.recipe.ema_half_life_kimg
    longest = max(values_of(half_life)) if half_life else 0.0
    share = MOST_OF_LENGTH * now.recipe.kimg if now.recipe.kimg else longest / 10
    yield Suggestion("average G over fewer images", (f"ema_half_life_kimg={min(share, longest / 2) or 1:.3g}",))
    yield Suggestion("train longer: the average follows in time", longer=True)
    yield Suggestion("look at the weights without averaging: sample --raw")


def _grainy(now: _Values) -> Iterator[Suggestion]:
    if (now.method.get("discriminator") or {}).get("detail") is False:
        yield Suggestion("show D local detail, so that it sees grain", ("discriminator.detail=true",))
    yield now.calmer_both()
    yield Suggestion("train longer: late steps, with small learning rates, remove grain", longer=True)


def _blurred(now: _Values) -> Iterator[Suggestion]:
    yield Suggestion("train longer: fine detail comes last", longer=True)
    if larger := now.sized("generator", 2):
        yield Suggestion("use a larger generator", larger)
    yield now.faster("discriminator", "generator")


FOR = {
    "memorization": _memorization,
    "full_collapse": _full_collapse,
    "partial_collapse": _partial_collapse,
    "generator_wins": _generator_wins,
    "discriminator_wins": _discriminator_wins,
    "oscillating": _oscillating,
    "diverged": _diverged,
    "stalled": _stalled,
    "lagging_average": _lagging_average,
    "grainy": _grainy,
    "blurred": _blurred,
}
