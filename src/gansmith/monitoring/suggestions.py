"""What helps against a verdict: changes of this recipe that it takes, the likeliest first."""

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
SMALLEST_CHANNELS, LARGEST_CHANNELS = 8, 512
WGAN_GP = ("loss=wasserstein", "penalties=[gradient_penalty]", "discriminator.norm=none", "discriminator_steps=5")
R1 = ("discriminator.norm=none", "penalties=[{kind: r1, weight: 1, interval: 8}]")


@dataclass(frozen=True)
class Suggestion:
    """Something to try: overrides of the recipe, or options of ``gansmith train``, or ``longer`` training, or words."""

    words: str
    overrides: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
    longer: bool = False


def remedies(verdict: str, recipe: Recipe, spec: DataSpec) -> list[Suggestion]:
    """Return what to try against a verdict: every override fits the recipe and the data, and changes something."""
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
    """What a recipe says, by name; None for what its method does not have."""

    def __init__(self, recipe: Recipe, spec: DataSpec) -> None:
        self.recipe, self.spec = recipe, spec
        written = recipe.model_dump(mode="json")
        self.method: dict[str, Any] = written["method"]
        self.optimizers: dict[str, Any] = written["optimizers"]
        self.loss = self.method.get("loss") or {}

    def rate(self, network: str) -> float:
        """Return a network's learning rate, of a ramp the highest."""
        return max(values_of(self.recipe.optimizer_for(network).lr))

    def with_rate(self, network: str, lr: float) -> tuple[str, ...]:
        """Return the override that gives one network a learning rate."""
        values = self.optimizers.get(network, self.optimizers["default"])
        text = yaml.safe_dump(
            {**values, "lr": float(f"{lr:.3g}")}, default_flow_style=True, width=1000, sort_keys=False
        )
        return (f"optimizers.{network}={text.strip()}",)

    def calmer(self, network: str, other: str) -> Suggestion:
        """Return a lower rate for a network: the other's where it is above that, else half of it."""
        mine, its = self.rate(network), self.rate(other)
        side = "G" if network == "generator" else "D"
        if 0 < its < mine:
            return Suggestion(f"for {side} no higher learning rate than the other's", self.with_rate(network, its))
        return Suggestion(f"half the learning rate for {side}", self.with_rate(network, mine / 2))

    def faster(self, network: str, other: str) -> Suggestion:
        """Return a higher rate for a network: the other's where it is below that, else twice its own."""
        mine, its = self.rate(network), self.rate(other)
        side = "G" if network == "generator" else "D"
        if mine < its:
            return Suggestion(f"for {side} the learning rate of the other", self.with_rate(network, its))
        return Suggestion(f"twice the learning rate for {side}", self.with_rate(network, 2 * mine))

    def calmer_both(self) -> Suggestion:
        """Return half of all learning rates, or the lower of two that differ much for both."""
        low, high = sorted((self.rate("generator"), self.rate("discriminator")))
        if 0 < low < high / 2:
            return self.calmer(*_first_faster(self))
        if len(self.optimizers) == 1:
            return Suggestion("half the learning rates", (f"lr={low / 2:.3g}",))
        each = [self.with_rate(name, self.rate(name) / 2)[0] for name in ("generator", "discriminator")]
        return Suggestion("half the learning rates", tuple(each))

    def sized(self, network: str, factor: float) -> tuple[str, ...]:
        """Return the override that makes a network wider or narrower, or () where it is as far as it goes."""
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


def _memorising(now: _Values) -> Iterator[Suggestion]:
    yield Suggestion("more images: nothing helps as much")
    yield Suggestion("end where samples are best", options=("--patience", "3"))
    if not now.method.get("augment"):
        yield Suggestion("augment what D sees", ("augment=diffaugment",))
    if not now.recipe.data.mirror:
        yield Suggestion("mirrored images too, where left and right do not matter", ("mirror=true",))
    if smaller := now.sized("generator", 0.5):
        yield Suggestion("a smaller generator", smaller)


def _full_collapse(now: _Values) -> Iterator[Suggestion]:
    if now.method.get("generator_steps", 1) > 1:
        yield Suggestion("one step of G for each of D", ("generator_steps=1",))
    yield now.calmer("generator", "discriminator")
    if now.loss.get("kind") == "minimax":
        yield Suggestion("a loss that does not fade where D is sure", ("loss=non_saturating",))
    if now.method.get("generator_steps") == now.method.get("discriminator_steps") == 1:
        yield Suggestion("two steps of D for each of G", ("discriminator_steps=2",))
    if now.loss.get("kind") not in (None, "wasserstein"):
        yield Suggestion("WGAN-GP, which seldom collapses and takes longer", WGAN_GP)
    yield Suggestion("go back to the best checkpoint when it happens", options=("--on-collapse", "rollback"))


def _partial_collapse(now: _Values) -> Iterator[Suggestion]:
    yield Suggestion("longer training: rare kinds often come late", longer=True)
    if now.method.get("generator_steps", 1) > 1:
        yield Suggestion("one step of G for each of D", ("generator_steps=1",))
    if now.rate("generator") > 2 * now.rate("discriminator"):
        yield now.calmer("generator", "discriminator")
    if now.method.get("conditional") is False and len(now.spec.classes) > 1:
        yield Suggestion("tell both networks the class, so that each is asked for", ("conditional=true",))
    if now.recipe.batch_size * 2 <= LARGEST_BATCH:
        yield Suggestion(
            "larger batches, which show D more kinds at once", (f"batch_size={now.recipe.batch_size * 2}",)
        )


def _generator_wins(now: _Values) -> Iterator[Suggestion]:
    if now.method.get("generator_steps", 1) > 1:
        yield Suggestion("one step of G for each of D", ("generator_steps=1",))
    yield now.faster("discriminator", "generator")
    if now.method.get("discriminator_steps") == 1:
        yield Suggestion("two steps of D for each of G", ("discriminator_steps=2",))
    if larger := now.sized("discriminator", 2):
        yield Suggestion("a larger D", larger)


def _discriminator_wins(now: _Values) -> Iterator[Suggestion]:
    if now.loss.get("kind") == "minimax":
        yield Suggestion("a loss that does not fade where D is sure", ("loss=non_saturating",))
    yield now.calmer("discriminator", "generator")
    if now.method.get("discriminator_steps", 1) > 1 and now.loss.get("kind") != "wasserstein":
        yield Suggestion("one step of D for each of G", ("discriminator_steps=1",))
    if now.loss.get("real_label") == 1:
        yield Suggestion("one-sided label smoothing", ("loss.real_label=0.9",))
    yield Suggestion("R1, which keeps D smooth, in place of D's norm", R1)


def _oscillating(now: _Values) -> Iterator[Suggestion]:
    yield now.calmer_both()
    if any(getattr(part, "beta1", 0) not in (0, 0.5) for part in now.recipe.optimizers.values()):
        yield Suggestion("less momentum", ("beta1=0.5",))
    half_life = now.recipe.ema_half_life_kimg
    if isinstance(half_life, int | float):
        yield Suggestion("a longer average of G", (f"ema_half_life_kimg={max(10.0, 2 * half_life):g}",))


def _diverged(now: _Values) -> Iterator[Suggestion]:
    yield now.calmer_both()
    for network, side in (("generator", "G"), ("discriminator", "D")):
        if (now.method.get(network) or {}).get("norm") == "none" and not now.method.get("penalties"):
            yield Suggestion(f"batch norm in {side}", (f"{network}.norm=batch",))
    yield Suggestion("R1, which keeps D smooth, in place of D's norm", R1)
    yield Suggestion("go back to the best checkpoint when it happens", options=("--on-collapse", "rollback"))


def _stalled(now: _Values) -> Iterator[Suggestion]:
    yield now.faster("generator", "discriminator")
    if now.loss.get("kind") == "minimax":
        yield Suggestion("a loss that does not fade where D is sure", ("loss=non_saturating",))
    if larger := now.sized("generator", 2):
        yield Suggestion("a larger generator", larger)


FOR = {
    "memorising": _memorising,
    "full_collapse": _full_collapse,
    "partial_collapse": _partial_collapse,
    "generator_wins": _generator_wins,
    "discriminator_wins": _discriminator_wins,
    "oscillating": _oscillating,
    "diverged": _diverged,
    "stalled": _stalled,
}
