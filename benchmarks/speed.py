"""Images a second of gansmith's training step against the plain tutorial loop: same networks, same batch, in turns.

The plain loop: a Dataset of PIL images with ToTensor and Normalize behind a DataLoader, contiguous NCHW, new fakes
for each phase, D's gradients computed in G's phase too, default Adam. Each side runs in a process of its own. Where the
processor has instructions for bf16, ``--precision bf16`` is measured too.

Run: python benchmarks/speed.py [CASE ...] [--rounds N]
"""

import argparse
import copy
import multiprocessing
import os
import statistics
import time
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from gansmith.batches import BatchStream
from gansmith.data.base import DataOptions, ImageData, open_data
from gansmith.engine import Engine, cpu_has_bf16, start_engine
from gansmith.recipe import Recipe, load_recipe, parse_recipe
from gansmith.run_state import RunState
from gansmith.training import train_step

PLAIN_DCGAN = str(Path(__file__).parent / "flagship" / "b.yaml")
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
    "dcgan32": (lambda: load_recipe("dcgan", ("batch_size=128",)), DataOptions(size=32, channels=3), 3),
    "dcgan64": (lambda: load_recipe("dcgan", ("batch_size=128",)), DataOptions(size=64, channels=3), 1),
    "default32": (lambda: load_recipe(PLAIN_DCGAN), DataOptions(size=32, channels=3), 12),
    "default28": (lambda: load_recipe(PLAIN_DCGAN), DataOptions(size=28, channels=1), 20),
    "linear": (lambda: parse_recipe(LINEAR, where="linear"), DataOptions(size=28, channels=1), 40),
}
KINDS = ("plain", "fresh fakes", "share_fakes", *(("share_fakes, bf16",) if cpu_has_bf16() else ()))


class PilImages(Dataset):
    """What ImageFolder is to a tutorial, with the files already decoded: that favours the plain loop."""

    def __init__(self, data: ImageData) -> None:
        pixels = data.read(np.arange(min(2000, len(data))))
        self.images = [Image.fromarray(each.squeeze()) for each in pixels]
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


def ours(recipe: Recipe, data: ImageData, kind: str) -> Callable[[], None]:
    """Return gansmith's step, set up as 'gansmith train' does."""
    engine = start_engine("cpu", "bf16" if kind.endswith("bf16") else "fp32")
    method = recipe.method.model_copy(update={"share_fakes": kind.startswith("share_fakes")})
    recipe = recipe.model_copy(update={"method": method})
    state = RunState.fresh(recipe, data.spec, 0, engine)
    stream = BatchStream(data, recipe.batch_size, 0, engine, mirror=False)
    return lambda: train_step(state, stream, engine, state.moment(1e6))


def worker(pipe: Connection, name: str, kind: str) -> None:
    """Build one side and run as many steps as the other end of the pipe asks for; answer with seconds for a step."""
    make, options, _ = CASES[name]
    recipe = make()
    data = open_data("fashion-sample", options)
    if kind == "plain":
        step = PlainLoop(RunState.fresh(recipe, data.spec, 0, Engine(torch.device("cpu"))), data).step
    else:
        step = ours(recipe, data, kind)
    while steps := pipe.recv():
        start = time.perf_counter()
        for _ in range(steps):
            step()
        pipe.send((time.perf_counter() - start) / steps)


def compare(name: str, rounds: int) -> None:
    """Run the sides in turns, each in a process of its own, and print the ratios of neighbours."""
    batch_size, steps = CASES[name][0]().batch_size, CASES[name][2]
    context = multiprocessing.get_context("spawn")
    pipes, processes = {}, []
    for kind in KINDS:
        pipes[kind], other = context.Pipe()
        processes.append(context.Process(target=worker, args=(other, name, kind), daemon=True))
        processes[-1].start()

    def clock(kind: str, count: int) -> float:
        pipes[kind].send(count)
        return pipes[kind].recv()

    for kind in KINDS:
        clock(kind, 3)
    seconds = [{kind: clock(kind, steps) for kind in KINDS} for _ in range(rounds)]
    for kind in KINDS[1:]:
        ratios = [turn["plain"] / turn[kind] for turn in seconds]
        speed = {side: batch_size / statistics.median(turn[side] for turn in seconds) for side in ("plain", kind)}
        print(
            f"{name:10} {kind:17} {speed['plain']:8.0f} {speed[kind]:8.0f} img/s   ratio median "
            f"{statistics.median(ratios):.2f} (min {min(ratios):.2f}, max {max(ratios):.2f})",
            flush=True,
        )
    for kind, process in zip(KINDS, processes, strict=True):
        pipes[kind].send(0)
        process.join()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cases", nargs="*", default=[*CASES])
    parser.add_argument("--rounds", type=int, default=9)
    args = parser.parse_args()
    print(f"{os.cpu_count()} cores, {torch.get_num_threads()} threads, torch {torch.__version__}")
    print(f"{'case':10} {'gansmith':17} {'plain':>8} {'ours':>8}")
    for name in args.cases:
        compare(name, args.rounds)


if __name__ == "__main__":
    main()
