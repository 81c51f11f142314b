"""Shared by the lessons: a run trained step by step, a clothes classifier, figures and tables."""

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor, nn

from gansmith.core.randomness import sample_latents
from gansmith.core.runtime import Runtime
from gansmith.data.base import ImageData
from gansmith.data.batches import BatchStream
from gansmith.data.open import open_data
from gansmith.imaging.tensors import to_float
from gansmith.methods.base import Fixed, Phase
from gansmith.methods.latent import LatentMethod
from gansmith.methods.sampling import generate
from gansmith.recipes.load import load_recipe
from gansmith.training.state import RunState
from gansmith.training.step import train_step

DOCS = Path(__file__).parents[1]
BLUE, ORANGE, GRAY = "#0072B2", "#D55E00", "#6e7781"


@dataclass
class Run:
    """A generator and a discriminator in training on the built-in clothes."""

    state: RunState
    stream: BatchStream
    runtime: Runtime
    data: ImageData

    @property
    def method(self) -> LatentMethod:
        """Return the networks and losses."""
        return self.state.method

    @property
    def generator(self) -> nn.Module:
        """Return G with its current weights, not the averaged ones."""
        return self.method.networks["generator"]

    @property
    def discriminator(self) -> nn.Module:
        """Return D."""
        return self.method.networks["discriminator"]

    def step(self) -> None:
        """Run one iteration of gansmith's own training step."""
        train_step(self.state, self.stream, self.runtime, self.state.moment(1e9))

    def means(self) -> dict[str, float]:
        """Return the means of the values logged since the last call."""
        return self.state.meter.take(self.runtime)

    def phase(self, name: str) -> Phase:
        """Return a phase of the method: ``discriminator`` or ``generator``."""
        return next(phase for phase in self.method.phases if phase.name == name)

    def images(self, latents: Tensor, *, averaged: bool = False) -> np.ndarray:
        """Return uint8 (N, H, W, C) images of latents, from the current or the averaged weights of G."""
        networks = self.state.preview_networks() if averaged else self.method.networks
        return generate(self.method.preview, networks, Fixed(latents, None, 8), 64)

    def samples(self, count: int) -> np.ndarray:
        """Return uint8 (N, H, W, C) images of new latents."""
        return self.images(torch.from_numpy(sample_latents(1, 0, count, self.method.config.latent_dim)))


def start(*overrides: str, seed: int = 0, recipe: str = "mlp-small") -> Run:
    """Return a run before its first iteration."""
    chosen, data, runtime = load_recipe(recipe, overrides), open_data("fashion-sample"), Runtime(torch.device("cpu"))
    stream = BatchStream(data, chosen.batch_size, seed, runtime, mirror=False)
    return Run(RunState.fresh(chosen, data.spec, seed, runtime), stream, runtime, data)


class ClothesClassifier:
    """A small classifier of the ten classes of clothes: it counts classes, and its features give a distance."""

    def __init__(self, data: ImageData, epochs: int = 6) -> None:
        """Train on nine tenths of the images; measure the accuracy on the last tenth."""
        with torch.random.fork_rng([]):
            torch.manual_seed(0)
            body = [nn.Flatten(), nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 64), nn.ReLU()]
            self._body, self._head = nn.Sequential(*body), nn.Linear(64, 10)
            images, labels = to_float(data.read(range(len(data)))), torch.from_numpy(np.asarray(data.labels))
            order = torch.randperm(len(data))
            known, unseen = order[: len(data) * 9 // 10], order[len(data) * 9 // 10 :]
            adam = torch.optim.Adam([*self._body.parameters(), *self._head.parameters()], 1e-3)
            for _ in range(epochs):
                for batch in known[torch.randperm(len(known))].split(100):
                    adam.zero_grad()
                    nn.functional.cross_entropy(self._head(self._body(images[batch])), labels[batch]).backward()
                    adam.step()
        with torch.no_grad():
            right = self._head(self._body(images[unseen])).argmax(1) == labels[unseen]
        self.accuracy = float(right.float().mean())
        self._real = self._statistics(data.read(range(0, len(data), 5)))

    @torch.no_grad()
    def count_classes(self, images: np.ndarray) -> np.ndarray:
        """Return how many of the uint8 images it puts in each of the ten classes."""
        return np.bincount(self._head(self._body(to_float(images))).argmax(1).numpy(), minlength=10)

    def distance(self, images: np.ndarray) -> float:
        """Return the Frechet distance between these images and real ones in its 64 features; 0 means equal.

        ||m - m'||^2 + tr(C + C' - 2 (C C')^(1/2)) of means and covariances, as FID (Heusel et al. 2017,
        arXiv:1706.08500) has it. With these features it is not FID.
        """
        (mean, cov), (real_mean, real_cov) = self._statistics(images), self._real
        root = np.sqrt(np.linalg.eigvals(cov @ real_cov).real.clip(min=0)).sum()
        return float(((mean - real_mean) ** 2).sum() + np.trace(cov) + np.trace(real_cov) - 2 * root)

    @torch.no_grad()
    def _statistics(self, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        features = self._body(to_float(images)).double().numpy()
        return features.mean(0), np.cov(features, rowvar=False)


@dataclass(frozen=True)
class Page:
    """The output folder of a lesson, and its number of training steps."""

    out: Path
    steps: int

    def figure(self, figure: Figure, name: str) -> None:
        """Write a figure for the page, with few colours to keep the file small."""
        from PIL import Image

        path = self.out / "pictures" / "lessons" / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, dpi=130)
        Image.open(path).convert("RGB").quantize(96).save(path, optimize=True)
        print(f"{path}: {path.stat().st_size:,} bytes")

    def table(self, name: str, head: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
        """Write the measurements as a table that the page includes, and print it."""
        lines = ["| " + " | ".join(map(str, row)) + " |" for row in (head, ["---"] * len(head), *rows)]
        path = self.out / "questions" / "measured" / f"{name}.md"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        print("\n".join(lines))


def main(lesson: Callable[[Page], None], steps: int) -> None:
    """Run a lesson from the command line: ``--steps`` sets its length, ``--out`` the output folder."""
    parser = argparse.ArgumentParser(description=lesson.__doc__)
    parser.add_argument("--steps", type=int, default=steps, help=f"training steps (default: {steps}, as on the site)")
    parser.add_argument("--out", type=Path, default=DOCS, help="output folder (default: docs/)")
    given = parser.parse_args()
    torch.set_num_threads(1)
    lesson(Page(given.out, given.steps))


def plots(columns: int = 1, rows: int = 1, *, height: float = 2.8, **more: object) -> tuple[Figure, np.ndarray]:
    """Return a figure as wide as the page and its axes, (rows, columns)."""
    figure = Figure(figsize=(7.2, height * rows), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False, **more)
    for each in axes.flat:
        each.spines[["top", "right"]].set_visible(False)
        each.grid(alpha=0.25)
    return figure, axes
