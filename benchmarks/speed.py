"""Images a second of gansmith's training step against the plain tutorial loop: same networks, same batch, in turns.

The plain loop: a Dataset of PIL images with ToTensor and Normalize behind a DataLoader, contiguous NCHW, new fakes
for each phase, D's gradients computed in G's phase too, default Adam. Run: python benchmarks/speed.py [CASE ...] [--rounds N]
"""

import argparse
import copy
import os
import statistics
import time
from collections.abc import Callable, Iterator

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from gansmith.batches import BatchStream
from gansmith.data.base import DataOptions, ImageData, open_data
from gansmith.engine import Engine
from gansmith.recipe import Recipe, load_recipe, parse_recipe
from gansmith.run_state import RunState
from gansmith.training import train_step

LINEAR = """
name: linear
method:
  kind: latent
  generator: {kind: mlp, hidden: [256, 512, 1024], norm: batch, norm_output: true, bias: false}
  discriminator: {kind: mlp, hidden: [1024, 512, 256]}
  loss: {kind: non_saturating, real_label: 0.9}
optimizers: {default: {kind: adam, lr: 2.0e-4, beta1: 0.9}}
batch_size: 128
epochs: 1
"""
CASES: dict[str, tuple[Callable[[], Recipe], DataOptions, int]] = {
    # name: recipe, data, steps in a round
    "dcgan32": (lambda: load_recipe("dcgan"), DataOptions(size=32, channels=3), 3),
    "dcgan64": (lambda: load_recipe("dcgan"), DataOptions(size=64, channels=3), 1),
    "default28": (lambda: load_recipe("default"), DataOptions(size=28, channels=1), 20),
    "linear": (lambda: parse_recipe(LINEAR, where="linear"), DataOptions(size=28, channels=1), 40),
}


class PilImages(Dataset):
    """What ImageFolder is to a tutorial, with the files already decoded: that favours the plain loop."""

    def __init__(self, data: ImageData) -> None:
        pixels = data.read(np.arange(min(2000, len(data))))
        mode = pixels[0].squeeze()
        self.images = [Image.fromarray(each.squeeze()) for each in pixels] if mode.ndim else []
        mean = (0.5,) * data.spec.channels
        self.transform = transforms.Compose([transforms.ToTensor(), transforms.Normalize(mean, mean)])

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> Tensor:
        return self.transform(self.images[index])


class PlainLoop:
    """The loop that tutorials teach."""

    def __init__(self, state: RunState, data: ImageData) -> None:
        self.generator = copy.deepcopy(state.method.networks["generator"]).to(memory_format=torch.contiguous_format)
        self.discriminator = copy.deepcopy(state.method.networks["discriminator"]).to(
            memory_format=torch.contiguous_format
        )
        adam = state.recipe.optimizers["default"]
        self.optimizers = [
            torch.optim.Adam(net.parameters(), lr=adam.lr, betas=(adam.beta1, adam.beta2))
            for net in (self.generator, self.discriminator)
        ]
        self.batch_size, self.latent_dim = state.recipe.batch_size, state.recipe.method.latent_dim
        self.criterion = nn.BCEWithLogitsLoss()
        self.real_label = getattr(state.recipe.method.loss, "real_label", 1.0)
        loader = DataLoader(PilImages(data), self.batch_size, shuffle=True, drop_last=True)
        self.batches = self.endless(loader)

    @staticmethod
    def endless(loader: DataLoader) -> Iterator[Tensor]:
        while True:
            yield from loader

    def step(self) -> None:
        optimizer_g, optimizer_d = self.optimizers
        real = next(self.batches)
        optimizer_d.zero_grad()
        logits = self.discriminator(real)
        loss_real = self.criterion(logits, torch.full_like(logits, self.real_label))
        loss_real.backward()
        fake = self.generator(torch.randn(self.batch_size, self.latent_dim))
        logits = self.discriminator(fake.detach())
        loss_fake = self.criterion(logits, torch.zeros_like(logits))
        loss_fake.backward()
        optimizer_d.step()
        optimizer_g.zero_grad()
        fake = self.generator(torch.randn(self.batch_size, self.latent_dim))
        logits = self.discriminator(fake)
        loss = self.criterion(logits, torch.ones_like(logits))
        loss.backward()
        optimizer_g.step()
        self.last = (loss_real.item() + loss_fake.item(), loss.item())


def ours(state: RunState, data: ImageData) -> Callable[[], None]:
    engine = Engine(torch.device("cpu"))
    stream = BatchStream(data, state.recipe.batch_size, 0, engine, mirror=False)
    return lambda: train_step(state, stream, engine, state.moment(1e6))


def clock(step: Callable[[], None], steps: int) -> float:
    start = time.perf_counter()
    for _ in range(steps):
        step()
    return (time.perf_counter() - start) / steps


def compare(name: str, rounds: int) -> None:
    make, options, steps = CASES[name]
    recipe = make()
    data = open_data("fashion-sample", options)
    engine = Engine(torch.device("cpu"))
    sides: dict[str, Callable[[], None]] = {}
    for label, share in (("fresh fakes", False), ("share_fakes", True)):
        method = recipe.method.model_copy(update={"share_fakes": share})
        sides[label] = ours(RunState.fresh(recipe.model_copy(update={"method": method}), data.spec, 0, engine), data)
    plain = PlainLoop(RunState.fresh(recipe, data.spec, 0, engine), data)
    seconds: dict[str, list[float]] = {label: [] for label in ("plain", *sides)}
    for step in (plain.step, *sides.values()):
        clock(step, 2)
    for _ in range(rounds):
        seconds["plain"].append(clock(plain.step, steps))
        for label, step in sides.items():
            seconds[label].append(clock(step, steps))
    for label in sides:
        ratios = [a / b for a, b in zip(seconds["plain"], seconds[label], strict=True)]
        speed = {side: recipe.batch_size / statistics.median(seconds[side]) for side in ("plain", label)}
        print(
            f"{name:10} {label:12} {speed['plain']:8.0f} {speed[label]:8.0f} img/s   ratio median "
            f"{statistics.median(ratios):.2f} (min {min(ratios):.2f}, max {max(ratios):.2f})",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cases", nargs="*", default=[*CASES])
    parser.add_argument("--rounds", type=int, default=7)
    args = parser.parse_args()
    print(f"{os.cpu_count()} cores, {torch.get_num_threads()} threads, torch {torch.__version__}")
    print(f"{'case':10} {'gansmith':12} {'plain':>8} {'ours':>8}")
    for name in args.cases:
        compare(name, args.rounds)


if __name__ == "__main__":
    main()
