"""Whole runs at a size that takes a second: how they are made small, stopped, and compared."""

import os
import re
import shutil
import signal
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest
import torch

from gansmith import api
from gansmith.core.events import Event
from gansmith.core.noise import Noise
from gansmith.data.base import DataSpec
from gansmith.data.sources.domains import Domains
from gansmith.imaging.images import to_pil
from gansmith.recipes.load import load_recipe, recipe_names
from gansmith.reporting import run_results
from gansmith.reporting.curves import draw_curves
from gansmith.reporting.film import write_film
from gansmith.runs.checkpoint import Checkpoint, load_latest
from gansmith.runs.folder import RunFolder
from gansmith.runs.length import RunLength
from gansmith.runs.record import DataRecord, Numerics, RunRecord
from gansmith.training import trainer as training

SMALL = {
    "size": "8",
    "batch_size": "8",
    "hidden": "[16]",
    "base_channels": "4",
    "max_channels": "16",
    "latent_dim": "4",
    "blocks": "1",
    "pool_size": "4",
    "fixed_images": "8",
    "task": "denoise",
}
# Rows after 4, 8, 12; pictures after 3, 6, 9, 12; checkpoints of the plan after 6, 12: a stop at 9 is in the midst.
STEPS = 12
# No looks: whether there is time for them depends on the machine's speed.
RHYTHM = ("log_rows=3", "previews=4", "checkpoints=2", "ema_half_life_kimg=0.05", "monitor.snapshot_kimg=0")
PAUSE_AT = 9
# Looks at every checkpoint, of few images; ``small`` has batches of 8.
MONITORED = ("monitor.snapshot_kimg=0.001", "monitor.images=100", "monitor.reference=100", "checkpoints=6")
# G learns for half of the run, then each step takes its weights so far that all its outputs are 0 or 1 on any machine.
COLLAPSING = ("optimizers.generator={kind: adam, lr: {start: 3.0e-3, end: 1.0e+3, begin: 0.5, until: 0.51}}",)
# The draws of one phase, for the first three images of a global batch of eight.
NOISE = Noise(
    seed=1,
    salt=0,
    iteration=2,
    phase="discriminator",
    repeat=0,
    positions=range(3),
    batch_size=8,
    device=torch.device("cpu"),
)


@cache
def _fields_made_small(name: str) -> tuple[str, ...]:
    text = load_recipe(name).to_yaml()
    return tuple(key for key in SMALL if re.search(rf"\b{key}:", text))


def small(name: str, *more: str) -> list[str]:
    """Return the overrides that make a recipe tiny: of ``SMALL`` those whose fields it has."""
    return [*(f"{key}={SMALL[key]}" for key in _fields_made_small(name)), *more]


@cache
def distinct_recipes() -> tuple[str, ...]:
    """Return one recipe of each combination of method, networks, norms, penalties, constraints, steps and optimizers.

    Others differ from one of these in numbers and in the loss, which is arithmetic without a state.
    """
    found: dict[str, str] = {}
    for name in recipe_names():
        recipe = load_recipe(name, tuple(small(name))).model_dump(mode="json")
        method, optimizers = recipe["method"], recipe["optimizers"]
        networks = [method.get(side) or {} for side in ("generator", "discriminator")]
        parts = [
            method["kind"],
            [(network.get("kind"), network.get("norm")) for network in networks],
            *([part["kind"] for part in method.get(family, ())] for family in ("penalties", "constraints")),
            (method.get("augment") or {}).get("kind"),
            method.get("conditional"),
            method.get("discriminator_steps"),
            [(key, optimizer["kind"]) for key, optimizer in optimizers.items()],
        ]
        found.setdefault(repr(parts), name)
    return tuple(found.values())


def domains_from(source: Path) -> Domains:
    """Return the names of an array of images and of a second one, made of their negatives, as two domains."""
    other = source.with_name("negative.npz")
    if not other.exists():
        np.savez(other, images=255 - np.load(source)["images"][:-5])
    return Domains(str(source), str(other))


class Listener:
    """Keeps the events of a run, and hands them on."""

    def __init__(self, then: Callable[[Event], None] = lambda _: None) -> None:
        self.events: list[Event] = []
        self._then = then

    def __call__(self, event: Event) -> None:
        self.events.append(event)
        self._then(event)

    def said(self, kind: str) -> list[str]:
        return [event.message for event in self.events if event.kind == kind]


FAST_RECIPES = ("mlp-small", "dcgan", "translate")


def few_in_the_fast_lane(recipes: Iterable[str]) -> list[Any]:
    """Return the recipes as parameters of a test, all but a few of them marked as slow."""
    return [name if name in FAST_RECIPES else pytest.param(name, marks=pytest.mark.slow) for name in recipes]


@contextmanager
def with_results(film: Callable[..., None] = write_film, curves: Callable[..., None] = draw_curves) -> Iterator[None]:
    """Have runs inside end with this film and these curves, in tests otherwise with the quick ones below."""
    with mock.patch.multiple(run_results, write_film=film, draw_curves=curves):
        yield


def quick_film(frames: list[Path], captions: list[str], gif: Path, mp4: Path) -> None:
    """Stand in for the film, whose encoder takes longer than a small run."""
    for path in (gif, mp4):
        shutil.copyfile(frames[-1], path)


def quick_curves(rows: list[dict[str, Any]], path: Path) -> None:
    """Stand in for the curves, which take matplotlib longer than a small run."""
    to_pil(np.zeros((8, 8, 1), np.uint8)).save(path, "PNG")


@contextmanager
def stopping_at(iteration: int | None) -> Iterator[None]:
    """Ask a run inside to stop, as Ctrl-C does, within the step that ends an iteration."""
    step = training.train_step

    def interrupted(state: Any, *arguments: Any) -> None:
        step(state, *arguments)
        if state.iteration == iteration:
            os.kill(os.getpid(), signal.SIGINT)

    with mock.patch.object(training, "train_step", interrupted):
        yield


def source_for(recipe: str, source: Path) -> Path | Domains:
    """Return what a recipe of gansmith's trains on: an array, or that and another as two domains."""
    return domains_from(source) if recipe in recipe_names() and _has_domains(recipe) else source


@cache
def _has_domains(recipe: str) -> bool:
    return bool(load_recipe(recipe).method.domains)


def train(source: Path, out: Path, recipe: str, *overrides: str, stop_at: int | None = None, **more: Any) -> api.Run:
    if "overrides" not in more:  # a file of a plugin's parts cannot be read before the plugin
        more["overrides"] = small(recipe, *RHYTHM, *overrides)
    words = {"steps": STEPS, "seed": 3, "precision": "fp32", **more}  # so that numbers are alike on every machine
    with stopping_at(stop_at):
        return api.train(source_for(recipe, source), recipe=recipe, out=out, device="cpu", **words)


def resume(folder: Path, *, stop_at: int | None = None, **more: Any) -> api.Run:
    with stopping_at(stop_at):
        return api.resume(folder, **more)


def record_of(length: RunLength, **more: Any) -> RunRecord:
    """Return the record of a run that no training has made."""
    spec = DataSpec("tiny", 8, 8, 1, 96, (), "")
    values = {"data": DataRecord(source="tiny.npz", holdout=0.0, spec=spec), "seed": 0, **more}
    numerics = Numerics(torch="", threads=1, cpu="", device="cpu", precision="fp32")
    return RunRecord(gansmith="", created="", length=length, numerics=numerics, **values)


def newest(folder: Path) -> Checkpoint:
    return load_latest(RunFolder(folder).checkpoints)[0]


def differing(left: dict[str, torch.Tensor], right: dict[str, torch.Tensor]) -> list[str]:
    """Return the names that are on one side only, or whose tensors are not the same bits."""
    names = left.keys() | right.keys()
    return sorted(n for n in names if n not in left or n not in right or not torch.equal(left[n], right[n]))


def assert_same_run(left: Path, right: Path) -> None:
    """Fail unless two runs have the same newest checkpoint and the same log, to the bit."""
    a, b = newest(left), newest(right)
    assert len(a.tensors) > 10
    other = differing(a.tensors, b.tensors)
    assert other == [], f"tensors differ: {other}"
    names = (a.values | b.values).keys() - {"log_sizes", "log_sums", "record", "used_sec"}
    assert not (other := [name for name in names if a.values[name] != b.values[name]]), other
    for one, two in zip(left_log := lines_of(left), right_log := lines_of(right), strict=False):
        assert one == two, f"log.jsonl differs:\n{one}\n{two}"
    assert len(left_log) == len(right_log), f"log.jsonl has {len(left_log)} and {len(right_log)} lines"
    assert a.values["log_sizes"]["log.jsonl"] == b.values["log_sizes"]["log.jsonl"]
    assert RunFolder(left).read_snapshots() == RunFolder(right).read_snapshots()
    assert names_of_pictures(left) == names_of_pictures(right)
    for name in names_of_pictures(left):
        assert (left / "samples" / name).read_bytes() == (right / "samples" / name).read_bytes(), name


def lines_of(folder: Path) -> list[bytes]:
    return RunFolder(folder).log.read_bytes().splitlines(keepends=True)


def names_of_pictures(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "samples").iterdir())
