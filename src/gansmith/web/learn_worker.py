"""The child process of the place Learn: trains a small GAN and writes pictures to stdout."""

# ``python -m gansmith.web.learn_worker`` reads commands as JSON lines from stdin and writes JSON lines to stdout. It
# ends when stdin is closed, so it never outlives the server. It trains with gansmith's own recipes and ``train_step``.

import hashlib
import json
import os
import queue
import sys
import threading
import time
from base64 import b64encode
from collections.abc import Callable
from contextlib import redirect_stdout, suppress
from statistics import NormalDist
from typing import Annotated, Any, Literal, Protocol, TextIO

import numpy as np
import torch
from pydantic import Field, ValidationError, model_validator
from torch import Tensor, nn

from gansmith.core.errors import GansmithError, RecipeError, unknown_name
from gansmith.core.randomness import derive_seed, sample_latents
from gansmith.core.registry import FrozenModel, Part, Registry
from gansmith.core.runtime import Runtime, set_threads
from gansmith.data.base import DataSpec, DataSummary, ImageData
from gansmith.data.batches import BatchStream
from gansmith.data.datasets.base import named_set
from gansmith.data.datasets.points import Points
from gansmith.data.open import open_data
from gansmith.imaging.images import POINT
from gansmith.imaging.tensors import to_float, to_uint8
from gansmith.methods.latent import LatentConfig, LatentMethod
from gansmith.parts.constraints.base import constraints
from gansmith.parts.extractors.base import Extractor
from gansmith.parts.extractors.fashion import Fashion
from gansmith.parts.losses.base import losses
from gansmith.parts.networks.base import range_from_signed, signed_from
from gansmith.parts.networks.mlp import MLP
from gansmith.parts.optimizers.adam import Adam
from gansmith.parts.optimizers.base import optimizers
from gansmith.parts.penalties.base import penalties
from gansmith.recipes.load import load_recipe
from gansmith.recipes.recipe import Recipe
from gansmith.training.state import RunState
from gansmith.training.step import train_step

FRAME_SEC, FRAME_REST = 1 / 15, 2.0  # least time between two pictures; on a busy machine so many times a picture's own
SURVEY_SEC = 0.7  # between two counts of modes
NONE = "none"
DRAWN, SPOT = "drawn", "one-spot"
GARMENTS = "fashion-sample"
MOST_DRAWN = 2000
SHOWN, SURVEYED, REAL_SHOWN, ARROWS = 400, 1500, 1000, 60  # points
GARMENTS_SHOWN, GARMENTS_SURVEYED = 36, 200
REACH, HEAT_SIDE, BINS = 1.2, 40, 20  # the picture shows [-1.2, 1.2]; heat map and histogram have so many cells a side
NET_2D, NET_1D = 17, 129  # latents a side of the net that G stretches over the plane
NEAR, FAIR = 0.12, 0.25  # a mode is found if a quarter of its fair share of points is nearer to it than this
CALIBRATING, PASSING = 600, 0.95  # real garments on either side of a limit; the share that it lets pass
SLOWEST = 0.05  # iterations a second


def _choices(registry: "Registry[Any]") -> dict[str, str]:
    """Return the parts of a family by name, each with the first line of its docstring."""
    return {name: (registry.get(name).__doc__ or "").partition("\n")[0] for name in registry.names()}


def _text(part: type[Part], field: str) -> str:
    return part.model_fields[field].description or field


def _known(kind: str, name: str, allowed: dict[str, str]) -> None:
    if name not in allowed:
        raise RecipeError("recipe.unknown_part", unknown_name(kind, name, allowed))


Width = Annotated[int, Field(ge=2, le=512)]
Layers = Annotated[int, Field(ge=1, le=5)]
Rate = Annotated[float, Field(ge=1e-6, le=0.3)]
LIVE: dict[str, Any] = {"live": True}  # taken over by the networks as they are; every other change starts anew


class Settings(FrozenModel):
    """The settings of a session: choices of a recipe, with the bounds of an interactive toy."""

    data: Literal["ring-8", "gaussians-25", "swiss-roll", "one-spot", "drawn", "fashion-sample"] = "ring-8"
    points: tuple[tuple[float, float], ...] = Field((), max_length=MOST_DRAWN, description="of data 'drawn'")
    seed: int = Field(0, ge=0, le=2**31)
    loss: str = Field("relativistic", description="what D and G minimise", json_schema_extra=LIVE)
    penalty: str = Field("r1", description="a term that keeps D smooth", json_schema_extra=LIVE)
    penalty_weight: float = Field(0.005, ge=0, le=100, description="its weight", json_schema_extra=LIVE)
    constraint: str = Field(NONE, description="of D's weights", json_schema_extra=LIVE)
    lr_generator: Rate = Field(2e-3, description="learning rate of G", json_schema_extra=LIVE)
    lr_discriminator: Rate = Field(2e-3, description="learning rate of D", json_schema_extra=LIVE)
    beta1: float = Field(0.0, ge=0, le=0.95, description=_text(Adam, "beta1"), json_schema_extra=LIVE)
    optimizer_generator: str = Field("adam", description="how a gradient of G becomes a step")
    optimizer_discriminator: str = Field("adam", description="how a gradient of D becomes a step")
    discriminator_steps: int = Field(
        1, ge=1, le=10, description=_text(LatentConfig, "discriminator_steps"), json_schema_extra=LIVE
    )
    generator_steps: int = Field(
        1, ge=1, le=20, description=_text(LatentConfig, "generator_steps"), json_schema_extra=LIVE
    )
    batch_size: int = Field(64, ge=8, le=256, description="real points in a step of D", json_schema_extra=LIVE)
    width_generator: Width = Field(64, description="neurons in each layer of G")
    width_discriminator: Width = Field(64, description="neurons in each layer of D")
    layers_generator: Layers = Field(3, description="hidden layers of G")
    layers_discriminator: Layers = Field(3, description="hidden layers of D")
    latent_dim: int = Field(2, ge=1, le=128, description=_text(LatentConfig, "latent_dim"))
    noise: Literal["gaussian", "uniform"] = Field("gaussian", description=_text(MLP, "noise"))
    averaged: bool = Field(False, description="show the averaged weights (EMA) of G", json_schema_extra=LIVE)

    @model_validator(mode="after")
    def _parts(self) -> "Settings":
        _known("loss", self.loss, _choices(losses))
        _known("optimizer", self.optimizer_generator, _choices(optimizers))
        _known("optimizer", self.optimizer_discriminator, _choices(optimizers))
        _known("penalty", self.penalty, {NONE: "", **_choices(penalties)})
        _known("constraint", self.constraint, {NONE: "", **_choices(constraints)})
        if self.data == DRAWN and len(self.points) < 2:
            raise ValueError("a drawing needs at least 2 points")
        return self

    def recipe(self) -> Recipe:
        """Return the recipe that these settings stand for."""
        is_image = self.data == GARMENTS
        values = load_recipe("mlp-small" if is_image else "toy").model_dump(mode="json")
        networks = {
            side: {**values["method"][side], "hidden": [width] * layers}
            for side, width, layers in (
                ("generator", self.width_generator, self.layers_generator),
                ("discriminator", self.width_discriminator, self.layers_discriminator),
            )
        }
        networks["generator"]["noise"] = self.noise
        values["method"] |= networks | {
            "loss": self.loss,
            "penalties": [] if self.penalty == NONE else [{"kind": self.penalty, "weight": self.penalty_weight}],
            "constraints": [] if self.constraint == NONE else [self.constraint],
            "latent_dim": self.latent_dim,
            "discriminator_steps": self.discriminator_steps,
            "generator_steps": self.generator_steps,
            "share_fakes": False,
        }
        momentum: dict[str, dict[str, float]] = {"rmsprop": {}, "sgd": {"momentum": self.beta1}}
        betas = {"beta1": self.beta1, "beta2": 0.99}
        each = {
            side: {"kind": kind, "lr": rate, **momentum.get(kind, betas)}
            for side, kind, rate in (
                ("generator", self.optimizer_generator, self.lr_generator),
                ("discriminator", self.optimizer_discriminator, self.lr_discriminator),
            )
        }
        return Recipe.model_validate(
            {
                **values,
                "name": "learn",
                "batch_size": self.batch_size,
                "optimizers": {"default": each["generator"], **each},
            }
        )

    def needs_restart(self, after: "Settings") -> bool:
        """Say whether a change to ``after`` needs new networks, data or optimizers."""
        live = {name for name, field in type(self).model_fields.items() if field.json_schema_extra == LIVE}
        return any(getattr(self, name) != getattr(after, name) for name in type(self).model_fields if name not in live)

    @classmethod
    def form(cls) -> dict[str, Any]:
        """Return the JSON Schema, with the choices of each family of parts, for the page's controls."""
        schema = cls.model_json_schema()
        families = {
            "loss": _choices(losses),
            "penalty": {NONE: "No penalty.", **_choices(penalties)},
            "constraint": {NONE: "No constraint.", **_choices(constraints)},
            "optimizer_generator": _choices(optimizers),
            "optimizer_discriminator": _choices(optimizers),
        }
        for name, choices in families.items():
            schema["properties"][name] |= {"enum": list(choices), "help": choices}
        return schema


class View(Protocol):
    """What a person sees of one kind of data."""

    def first(self) -> dict[str, Any]:
        """Return the values that stay the same while the networks learn."""

    def frame(self, generator: nn.Module) -> dict[str, Any]:
        """Return the values of one picture."""

    def survey(self, generator: nn.Module) -> dict[str, Any]:
        """Return values that take longer, such as the number of modes."""


class Session:
    """A GAN in training, and the pictures of it."""

    def __init__(self, settings: Settings) -> None:
        self.settings, self.runtime = settings, Runtime(torch.device("cpu"))
        self.data = _open(settings)
        self.state = self._fresh(settings)
        self.view: View = PlaneView(self) if self.data.spec.is_points else GarmentView(self)
        self.phase = ""  # the phase of the last step that ran alone
        self._alone = 0  # steps that ran alone: two of them are a round
        self._use(settings)

    @property
    def method(self) -> LatentMethod:
        """Return the networks and losses."""
        method: Any = self.state.method
        return method

    @property
    def generator(self) -> nn.Module:
        """Return the generator that is shown."""
        if self.settings.averaged:
            return self.state.averages["generator"].network
        return self.method.networks["generator"]

    def change(self, settings: Settings) -> bool:
        """Take over other settings, with the same networks if that is possible; say whether it started anew."""
        if restart := self.settings.needs_restart(settings):
            self.__init__(settings)  # type: ignore[misc]
        else:
            before, self.state = self.state, self._fresh(settings)
            # What a resume does: the state of the run so far, and new settings from here on.
            self.state.restore(before.tensors(self.runtime), before.values(), self.runtime)
            self._use(settings)
        return restart

    def step(self, phase: str = "") -> None:
        """Run one iteration of gansmith's own training step, or one phase of it alone."""
        self.phase, everything = phase, self.method.phases
        self._alone += bool(phase)
        if phase:
            self.method.phases = tuple(each for each in everything if each.name == phase)
        try:
            train_step(self.state, self._stream, self.runtime, self.state.moment(1e9))
        finally:
            self.method.phases = everything

    def train(self, rounds: int) -> None:
        """Run iterations that nobody sees; the next picture shows nothing of their means."""
        for _ in range(rounds):
            self.step()
        self.state.meter.take(self.runtime)

    def fakes(self, latents: Tensor, generator: nn.Module) -> Tensor:
        """Return images (N, C, H, W) in [-1, 1]."""
        return signed_from(generator(latents, None), self.method.config.generator.value_range)

    def logits(self, images: Tensor) -> Tensor:
        """Return D's logits (N,) of images in [-1, 1]."""
        value_range = self.method.config.discriminator.value_range
        return self.method.networks["discriminator"](range_from_signed(images, value_range), None)

    def push(self, fakes: Tensor, real: Tensor) -> Tensor:
        """Return the direction in which G's loss pushes each fake, minus its gradient: the same shape as ``fakes``."""
        moved = fakes.detach().requires_grad_()
        with torch.no_grad():
            real_logits = self.logits(real) if self.method.config.loss.generator_needs_real else None
        total = self.method.config.loss.generator(real_logits, self.logits(moved)) * len(moved)
        (gradient,) = torch.autograd.grad(total, moved)
        return -gradient

    @torch.no_grad()
    def opinion(self, images: Tensor, level: tuple[float, float]) -> np.ndarray:
        """Return D's opinion of images as 0 (fake) to 1 (real), float32 (N,).

        Where the loss gives probabilities it is P(real); else the sigmoid of the logits, centred and scaled by
        ``level``: the mean and the deviation of the logits of real images and fakes.
        """
        logits = self.logits(images).float()
        if not self.method.config.loss.logits_are_probabilities:
            logits = 2 * (logits - level[0]) / max(level[1], 1e-6)
        return logits.sigmoid().numpy()

    @torch.no_grad()
    def level(self, *sides: Tensor) -> tuple[float, float]:
        """Return mean and standard deviation of the logits of several sets of images."""
        logits = torch.cat([self.logits(side) for side in sides]).float()
        return float(logits.mean()), float(logits.std())

    def frame(self) -> dict[str, Any]:
        """Return the values of one picture."""
        means = {name: _finite(value) for name, value in self.state.meter.take(self.runtime).items()}
        at = {
            "iteration": self.state.iteration,
            "round": self.state.iteration - (self._alone + 1) // 2,
            "kimg": round(self.state.kimg, 3),
            "phase": self.phase,
        }
        was_training = self.generator.training
        self.generator.eval()
        try:
            return {"kind": "frame", **at, "means": means, **self.view.frame(self.generator)}
        finally:
            self.generator.train(was_training)

    def first(self) -> dict[str, Any]:
        """Return the values that a page needs once for each start."""
        method = self.method.config
        facts = {
            "boundary": method.loss.boundary,
            "probability": method.loss.logits_are_probabilities,
            "weights": {n: sum(p.numel() for p in net.parameters()) for n, net in self.method.networks.items()},
        }
        return {"kind": "started", "settings": self.settings.model_dump(mode="json"), **facts, **self.view.first()}

    def survey(self) -> dict[str, Any]:
        """Return values that take longer than a picture."""
        iteration = self.state.iteration
        return {"kind": "survey", "iteration": iteration, **self.view.survey(self.generator)}

    def _fresh(self, settings: Settings) -> RunState:
        recipe = settings.recipe()
        decided = recipe.data.with_format(self.data.spec.height, self.data.spec.width, self.data.spec.channels)
        recipe = recipe.model_copy(update={"data": decided})
        return RunState.fresh(recipe, self.data.spec, settings.seed, self.runtime)

    def _use(self, settings: Settings) -> None:
        self.settings = settings
        seed = derive_seed("data", settings.seed, 0)
        self._stream = BatchStream(self.data, settings.batch_size, seed, self.runtime, mirror=False)


def _open(settings: Settings) -> ImageData:
    """Return the data: a named set through the cache, or points in memory alone, such as a person has drawn."""
    if settings.data == SPOT:
        points = (0.3, 0.2) + 0.05 * np.random.Generator(np.random.Philox(0)).standard_normal((2000, 2))
    elif settings.data == DRAWN:
        points = np.array(settings.points, np.float64).clip(-1, 1)
    else:
        return open_data(settings.data)
    pixels = ((points + 1) * 127.5).round().astype(np.uint8).reshape(-1, *POINT)
    digest = hashlib.sha256(pixels.tobytes()).hexdigest()
    spec = DataSpec(settings.data, *POINT, len(pixels), (), digest)
    summary = DataSummary(settings.data, spec, (), {}, (), ())
    return ImageData(spec, summary, None, pixels, np.arange(len(pixels)), np.zeros((len(pixels), 2, 16), np.uint8))


class PlaneView:
    """Points in the plane: generated and real ones, D's opinion of the plane, G's net, and gradients."""

    def __init__(self, session: Session) -> None:
        self._session, dim = session, session.settings.latent_dim
        data = session.data
        some = np.linspace(0, len(data) - 1, min(len(data), REAL_SHOWN)).astype(np.int64)
        self._real = to_float(data.read(some))
        self._latents = torch.from_numpy(sample_latents(session.settings.seed, 0, SURVEYED, dim))
        axis = torch.linspace(-REACH, REACH, HEAT_SIDE)
        y, x = torch.meshgrid(axis.flip(0), axis, indexing="ij")
        self._plane = torch.stack([x, y], -1).reshape(-1, 1, 1, 2)
        self._net = _net(dim)
        self._histogram = _histogram(to_float(data.read(np.arange(len(data)))))
        named = None if session.settings.data in (DRAWN, SPOT) else named_set(session.settings.data)
        self._centres = torch.from_numpy(named.centres()).float() if isinstance(named, Points) else torch.empty(0, 2)

    def first(self) -> dict[str, Any]:
        """Return real points, the bounds of the picture, and the modes."""
        net = {0: 0, NET_1D: 1}.get(len(self._net), 2)
        plane = {"reach": REACH, "heat_side": HEAT_SIDE, "net_dimensions": net, "net_side": NET_2D}
        return {"view": "plane", "real": _points(self._real), "modes": _points(self._centres), **plane}

    def frame(self, generator: nn.Module) -> dict[str, Any]:
        """Return fakes, D's opinion of each cell of the plane, the arrows of gradients, and the net."""
        session = self._session
        with torch.no_grad():
            fakes = session.fakes(self._latents[:SHOWN], generator)
            net = session.fakes(self._net, generator) if len(self._net) else self._net
        level = session.level(self._real[:256], fakes[:256])
        real = self._real[torch.arange(SHOWN) % len(self._real)]
        push = session.push(fakes, real).flatten(1)
        lengths = push.norm(dim=1)
        return {
            "fake": _points(fakes),
            "heat": _bytes(session.opinion(self._plane, level)),
            "arrows": _points(push[:ARROWS]),
            "push": {"mean": _finite(float(lengths.mean())), "max": _finite(float(lengths.max()))},
            "net": _points(net),
        }

    @torch.no_grad()
    def survey(self, generator: nn.Module) -> dict[str, Any]:
        """Return the modes that fakes are near to, and divergences between histograms of real and fake points.

        KL is KL(real || fake) and JS the Jensen-Shannon divergence, in bits, on 20 x 20 cells.
        """
        fakes = self._session.fakes(self._latents, generator).flatten(1)
        real, fake = self._histogram, _histogram(fakes)
        mean = (real + fake) / 2
        out = {"js": (_kl(real, mean) + _kl(fake, mean)) / 2, "kl": _kl(real, fake)}
        if not len(self._centres):
            return out
        distance, home = torch.cdist(fakes, self._centres).min(1)
        counts = torch.bincount(home[distance < NEAR], minlength=len(self._centres)) / len(fakes)
        found = int((counts >= FAIR / len(self._centres)).sum())
        return {**out, "shares": [round(each, 4) for each in counts.tolist()], "found": found, "of": len(counts)}


class GarmentView:
    """Pictures of garments with D's opinion and gradients, and the classes that a classifier sees in them."""

    def __init__(self, session: Session) -> None:
        self._session, data = session, session.data
        self._kinds: Kinds | None = None
        self._real = to_float(data.read(np.linspace(0, len(data) - 1, GARMENTS_SHOWN).astype(np.int64)))
        dim = session.settings.latent_dim
        self._latents = torch.from_numpy(sample_latents(session.settings.seed, 0, GARMENTS_SURVEYED, dim))

    def first(self) -> dict[str, Any]:
        """Return real pictures and the names of the classes."""
        side = self._session.data.spec.height
        return {
            "view": "garments",
            "side": side,
            "real": _picture(self._real),
            "classes": self._session.data.spec.classes,
        }

    def frame(self, generator: nn.Module) -> dict[str, Any]:
        """Return fakes, D's opinion of each, and the gradients of G's loss by pixel, scaled to -1..1."""
        session = self._session
        with torch.no_grad():
            fakes = session.fakes(self._latents[:GARMENTS_SHOWN], generator)
        level = session.level(self._real, fakes)
        push = session.push(fakes, self._real)
        lengths = push.flatten(1).norm(dim=1)
        return {
            "fake": _picture(fakes),
            "opinion_fake": _rounded(session.opinion(fakes, level)),
            "opinion_real": _rounded(session.opinion(self._real, level)),
            "gradient": _picture(push / push.abs().amax().clamp(min=1e-12)),
            "push": {"mean": _finite(float(lengths.mean())), "max": _finite(float(lengths.max()))},
        }

    @torch.no_grad()
    def survey(self, generator: nn.Module) -> dict[str, Any]:
        """Return the share of fakes that are garments of each class; blurs and noise are of none."""
        data = self._session.data
        if self._kinds is None:
            self._kinds = Kinds(data, len(data.spec.classes))
        kinds = self._kinds.of(to_uint8(self._session.fakes(self._latents, generator)))
        shares = torch.bincount(kinds[kinds >= 0], minlength=len(data.spec.classes)) / len(kinds)
        found = int((shares >= FAIR / len(shares)).sum())
        return {"shares": [round(each, 4) for each in shares.tolist()], "found": found, "of": len(shares)}


class Kinds:
    """Says which garment a picture shows, if it shows one.

    The classifier always names a class, of blurs and noise too. So a picture counts only if it is at least as sure, and
    at least as near to a real garment of that class, as 95 % of other real garments of the class are.
    """

    def __init__(self, data: ImageData, num_classes: int) -> None:
        self._classifier: Extractor = Fashion().load()
        some = data.read(np.linspace(0, len(data) - 1, 2 * CALIBRATING).astype(np.int64))
        self._features, self._real, _ = self._seen(some[::2])
        features, named, surety = self._seen(some[1::2])
        distance, groups = self._distance(features, named), [named == each for each in range(num_classes)]
        self._least_sure = torch.stack([surety[group].quantile(1 - PASSING) for group in groups])
        self._farthest = torch.stack([distance[group].quantile(PASSING) for group in groups])

    def of(self, images: np.ndarray) -> Tensor:
        """Return the class of each image (N, H, W, C), -1 where it shows no garment."""
        features, named, surety = self._seen(images)
        shows = (surety >= self._least_sure[named]) & (self._distance(features, named) <= self._farthest[named])
        return torch.where(shows, named, -1)

    def _seen(self, images: np.ndarray) -> tuple[Tensor, Tensor, Tensor]:
        """Return features, the most likely class of each image, and its probability."""
        features, probabilities = self._classifier(images)
        surety, named = probabilities.max(1)
        return features, named, surety

    def _distance(self, features: Tensor, named: Tensor) -> Tensor:
        """Return how far each image is from the nearest real garment of its class, in features."""
        return torch.cdist(features, self._features).where(named[:, None] == self._real, torch.inf).amin(1)


def _net(dim: int) -> Tensor:
    """Return latents on a grid of equally likely cells, (K, dim): G stretches it over the plane; none above 2."""
    if dim > 2:
        return torch.empty(0, dim)
    side = NET_1D if dim == 1 else NET_2D
    places = torch.tensor([NormalDist().inv_cdf((each + 0.5) / side) for each in range(side)])
    return torch.cartesian_prod(*[places] * dim).reshape(-1, dim)


def _histogram(points: Tensor) -> Tensor:
    cells = ((points.reshape(-1, 2) + REACH) / (2 * REACH) * BINS).long().clamp(0, BINS - 1)
    counts = torch.bincount(cells[:, 0] * BINS + cells[:, 1], minlength=BINS * BINS).double()
    return counts / counts.sum()


def _kl(one: Tensor, other: Tensor) -> float:
    """Return KL(one || other) in bits; a cell that the other lacks counts as a thousandth of a mean cell."""
    floor = 1e-3 / len(other)
    some = one > 0
    return round(float((one[some] * (one[some] / other[some].clamp(min=floor)).log2()).sum()), 4)


def _points(tensor: Tensor) -> list[int]:
    """Return points as thousandths: x, y, x, y, ..."""
    return (tensor.detach().flatten() * 1000).nan_to_num(0, 1e6, -1e6).clamp(-1e6, 1e6).round().int().tolist()


def _bytes(values: np.ndarray) -> str:
    return b64encode((np.nan_to_num(values) * 255).round().clip(0, 255).astype(np.uint8).tobytes()).decode()


def _picture(images: Tensor) -> str:
    return b64encode(to_uint8(images.nan_to_num()).tobytes()).decode()


def _rounded(values: np.ndarray) -> list[float]:
    return np.nan_to_num(values).round(3).tolist()


def _finite(value: float) -> float | None:
    return float(f"{value:.5g}") if np.isfinite(value) else None


class Worker:
    """Trains a session, draws it several times a second, and obeys commands."""

    def __init__(self, commands: "queue.Queue[dict[str, Any] | None]", write: Callable[[dict[str, Any]], None]) -> None:
        self._commands, self._write = commands, write
        self._session: Session | None = None
        self._playing, self._speed = False, 0.0  # speed: iterations a second, 0: as fast as possible
        self._pause = FRAME_SEC
        self._drawn = self._surveyed = self._stepped = self._counted_at = 0.0
        self._counted = 0
        self._starts = 0  # with new networks

    def run(self) -> None:
        """Work until the commands end."""
        self._write({"kind": "ready", "form": Settings.form()})
        while True:
            try:
                command = self._commands.get(timeout=None if not self._busy else 0 if self._due() else self._wait())
                if command is None:
                    return
                self._obey(command)
                continue
            except queue.Empty:
                pass
            assert self._session is not None
            if self._due():
                self._stepped = time.monotonic()
                self._session.step()
            self._show(time.monotonic())

    @property
    def _busy(self) -> bool:
        return self._session is not None and self._playing

    def _wait(self) -> float:
        return max(0.0, self._stepped + 1 / self._speed - time.monotonic()) if self._speed else 0.0

    def _due(self) -> bool:
        return not self._speed or time.monotonic() >= self._stepped + 1 / self._speed

    def _show(self, now: float, *, always: bool = False) -> None:
        assert self._session is not None
        if always or now - self._drawn >= self._pause:
            done, passed = self._session.state.iteration - self._counted, now - self._counted_at
            rate = done / passed if self._playing and passed > 0 else 0.0
            if passed > 1:
                self._counted, self._counted_at = self._session.state.iteration, now
            frame = self._session.frame()
            self._write({**frame, "playing": self._playing, "rate": round(rate, 1)})
            self._drawn = time.monotonic()
            self._pause = max(FRAME_SEC - (self._drawn - now), FRAME_REST * (self._drawn - now))
        if always or now - self._surveyed >= SURVEY_SEC:
            self._surveyed = now
            self._write(self._session.survey())

    def _obey(self, command: dict[str, Any]) -> None:
        """Carry out a command and answer it under its id."""
        answer: dict[str, Any] = {"kind": "answer", "id": command.get("id")}
        try:
            self._write({**answer, **self._do(command)})
        except ValidationError as problem:
            first = problem.errors(include_url=False)[0]
            place = ".".join(map(str, first["loc"])) or "settings"
            self._write(
                {
                    **answer,
                    "error": {
                        "code": "web.learn_settings",
                        "message": f"{place}: {first['msg'].removeprefix('Value error, ')}",
                    },
                }
            )
        except GansmithError as problem:
            self._write({**answer, "error": {"code": problem.code, "message": str(problem)}})
        if self._session is not None:
            self._show(time.monotonic(), always=True)

    def _do(self, command: dict[str, Any]) -> dict[str, Any]:
        done: dict[str, Any] = {}
        if "settings" in command:
            settings = Settings.model_validate(command["settings"])
            restarted = True
            if self._session is None or command.get("restart"):
                self._session = Session(settings)
                self._session.train(command.get("ahead", 0))
            else:
                restarted = self._session.change(settings)
            if restarted:
                self._starts += 1
                self._counted, self._counted_at = self._session.state.iteration, time.monotonic()
            self._write({**self._session.first(), "start": self._starts})
            done["restarted"] = restarted
        if self._session is None:
            raise GansmithError("web.learn_not_started", "nothing is being trained yet\n  send settings first")
        if "speed" in command:
            self._speed = float(command["speed"]) and max(SLOWEST, float(command["speed"]))
        if "playing" in command:
            self._playing = bool(command["playing"])
            self._counted, self._counted_at = self._session.state.iteration, time.monotonic()
        if command.get("step") in ("both", "discriminator", "generator"):
            self._playing = False
            self._session.step("" if command["step"] == "both" else command["step"])
        return {**done, "playing": self._playing}


def _read(commands: "queue.Queue[dict[str, Any] | None]", stream: TextIO) -> None:
    """Queue the commands of a stream; at its end leave at once, in the middle of a step too."""
    for line in stream:
        with suppress(json.JSONDecodeError):
            commands.put(json.loads(line))
    os._exit(0)


def main() -> None:
    """Serve the process that started this one."""
    set_threads(1)  # such small networks gain nothing from more, and other work on the machine does
    out, commands = sys.stdout, queue.Queue[dict[str, Any] | None]()
    threading.Thread(target=_read, args=(commands, sys.stdin), daemon=True).start()

    def write(message: dict[str, Any]) -> None:
        out.write(json.dumps(message, allow_nan=False, separators=(",", ":")) + "\n")
        out.flush()

    with redirect_stdout(sys.stderr), suppress(BrokenPipeError):
        Worker(commands, write).run()


if __name__ == "__main__":
    main()
