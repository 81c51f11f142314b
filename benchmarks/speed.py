"""Compare the speed of gansmith's training step with other loops, on the same networks."""

# Run: python benchmarks/speed.py [CASE ...] [--rounds N] [--clock cpu] | --sizes
# Same networks, same batch size, sides in turns, each in a process of its own that first measures its rate of matrix
# products.
# - plain: the loop of tutorials. A Dataset of PIL images with ToTensor and Normalize behind a DataLoader, contiguous
#   NCHW, new fakes for each phase, D's gradients computed in G's phase too, default Adam.
# - plain, shared: the same, but G's phase reuses D's fakes.
# - lightning: the GAN of Lightning's manual for manual optimization, which reuses fakes; if the package is installed.
# - fresh fakes, share_fakes: gansmith, in fp32, and in bf16 if the processor has the instructions.

import argparse
import copy
import importlib.util
import multiprocessing
import os
import statistics
import time
from collections.abc import Callable, Iterator
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset
from torch.utils.flop_counter import FlopCounterMode
from torchvision import transforms

from gansmith.core.runtime import Runtime, cpu_has_bf16, start_runtime
from gansmith.data.base import DataOptions, ImageData
from gansmith.data.batches import BatchStream
from gansmith.data.open import open_data
from gansmith.recipes.load import load_recipe, parse_recipe
from gansmith.recipes.recipe import Recipe
from gansmith.training.state import RunState
from gansmith.training.step import train_step

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
    "dcgan32": (partial(load_recipe, "dcgan", ("batch_size=128",)), DataOptions(size=32, channels=3), 3),
    "dcgan64": (partial(load_recipe, "dcgan", ("batch_size=128",)), DataOptions(size=64, channels=3), 1),
    "b32": (partial(load_recipe, PLAIN_DCGAN), DataOptions(size=32, channels=3), 12),
    "b28": (partial(load_recipe, PLAIN_DCGAN), DataOptions(size=28, channels=1), 20),
    "linear": (partial(parse_recipe, LINEAR, where="linear"), DataOptions(size=28, channels=1), 40),
}
HAS_LIGHTNING = importlib.util.find_spec("lightning") is not None
KINDS = (
    "plain",
    "plain, shared",
    *(("lightning",) if HAS_LIGHTNING else ()),
    "fresh fakes",
    "share_fakes",
    *(("fresh fakes, bf16", "share_fakes, bf16") if cpu_has_bf16() else ()),
)
SIZES, BATCHES = (28, 32, 64, 128), (16, 64, 256)
CLOCKS: dict[str, Callable[[], float]] = {
    "wall": time.perf_counter,
    "cpu": lambda: time.process_time() / torch.get_num_threads(),  # for machines that others use too
}
MATRIX_SIDE, PRODUCTS = 1024, 20


class PilImages(Dataset):
    """An ImageFolder whose files are already decoded, which favours the plain loop."""

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
    """The training loop of tutorials."""

    def __init__(self, state: RunState, data: ImageData, shares: bool) -> None:
        self.generator, self.discriminator = (
            copy.deepcopy(state.method.networks[name]).to(memory_format=torch.contiguous_format)
            for name in ("generator", "discriminator")
        )
        adam = state.recipe.optimizers["default"]
        self.optimizers = [
            torch.optim.Adam(net.parameters(), lr=adam.lr, betas=(adam.beta1, adam.beta2))
            for net in (self.generator, self.discriminator)
        ]
        self.batch_size, self.latent_dim = state.recipe.batch_size, state.recipe.method.latent_dim
        self.shares, self.criterion = shares, nn.BCEWithLogitsLoss()
        self.real_label = getattr(state.recipe.method.loss, "real_label", 1.0)
        self.loader = DataLoader(PilImages(data), self.batch_size, shuffle=True, drop_last=True)
        self.batches = self.endless(self.loader)

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
        if not self.shares:
            fake = self.generator(torch.randn(self.batch_size, self.latent_dim))
        logits = self.discriminator(fake)
        loss = self.criterion(logits, torch.ones_like(logits))
        loss.backward()
        optimizer_g.step()
        self.last = (loss_real.item() + loss_fake.item(), loss.item())


def run_lightning(plain: PlainLoop, told: Callable[[], int], tell: Callable[[float], None]) -> None:
    """Train with Lightning's Trainer: ``told`` returns the next number of steps, ``tell`` is called after them."""
    import lightning

    class Gan(lightning.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.automatic_optimization = False
            self.generator, self.discriminator = plain.generator, plain.discriminator

        def configure_optimizers(self) -> list[torch.optim.Optimizer]:
            return plain.optimizers

        def training_step(self, real: Tensor, _: int) -> None:
            optimizer_g, optimizer_d = self.optimizers()
            fake = self.generator(torch.randn(plain.batch_size, plain.latent_dim))
            logits, fake_logits = self.discriminator(real), self.discriminator(fake.detach())
            loss_d = plain.criterion(logits, torch.full_like(logits, plain.real_label))
            loss_d = loss_d + plain.criterion(fake_logits, torch.zeros_like(fake_logits))
            optimizer_d.zero_grad()
            self.manual_backward(loss_d)
            optimizer_d.step()
            logits = self.discriminator(fake)
            loss_g = plain.criterion(logits, torch.ones_like(logits))
            optimizer_g.zero_grad()
            self.manual_backward(loss_g)
            optimizer_g.step()
            self.log_dict({"g_loss": loss_g, "d_loss": loss_d}, prog_bar=True)

    class Turns(lightning.Callback):
        left = 0

        def on_train_batch_start(self, trainer: "lightning.Trainer", *_: object) -> None:
            if self.left == 0:
                self.left = told()
                trainer.should_stop = self.left == 0

        def on_train_batch_end(self, *_: object) -> None:
            self.left -= 1
            if self.left == 0:
                tell(0.0)

    quiet = dict.fromkeys(("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"), False)
    trainer = lightning.Trainer(accelerator="cpu", max_epochs=-1, callbacks=[Turns()], **quiet)
    trainer.fit(Gan(), plain.loader)


def ours(recipe: Recipe, data: ImageData, kind: str) -> Callable[[], None]:
    """Return gansmith's step, set up as 'gansmith train' sets it up."""
    runtime = start_runtime("cpu", "bf16" if kind.endswith("bf16") else "fp32")
    method = recipe.method.model_copy(update={"share_fakes": kind.startswith("share_fakes")})
    recipe = recipe.model_copy(update={"method": method})
    state = RunState.fresh(recipe, data.spec, 0, runtime)
    stream = BatchStream(data, recipe.batch_size, 0, runtime, mirror=False)
    return lambda: train_step(state, stream, runtime, state.moment(1e6))


def peak(dtype: torch.dtype, clock: Callable[[], float]) -> float:
    """Return the operations per second of a matrix product, by the faster of torch's two libraries."""
    left, right = (torch.randn(MATRIX_SIDE, MATRIX_SIDE).to(dtype) for _ in range(2))
    pixels = left.view(64, 4, 4, MATRIX_SIDE).permute(0, 3, 1, 2)
    products = (lambda: F.linear(left, right), lambda: F.conv2d(pixels, right[..., None, None]))
    rates = []
    for product in products:
        product()
        start = clock()
        for _ in range(PRODUCTS):
            product()
        rates.append(2 * MATRIX_SIDE**3 * PRODUCTS / (clock() - start))
    return max(rates)


def worker(pipe: Connection, make: Callable[[], Recipe], options: DataOptions, kind: str, clock_name: str) -> None:
    """Build one side and run the number of steps that each message of the pipe asks for.

    Sends the rate of products and the operations of a step first, then the seconds of a step after each message.
    """
    recipe, clock = make(), CLOCKS[clock_name]
    data = open_data("fashion-sample", options)
    if kind.startswith("plain") or kind == "lightning":
        state = RunState.fresh(recipe, data.spec, 0, Runtime(torch.device("cpu")))
        plain = PlainLoop(state, data, shares="shared" in kind)
        step = plain.step
    else:
        step = ours(recipe, data, kind)
    with FlopCounterMode(display=False) as counter:
        step()
    pipe.send((peak(torch.bfloat16 if kind.endswith("bf16") else torch.float32, clock), counter.get_total_flops()))
    if kind == "lightning":
        turn = [0, 0.0]

        def told() -> int:
            turn[:] = pipe.recv(), clock()
            return turn[0]

        run_lightning(plain, told, lambda _: pipe.send((clock() - turn[1]) / turn[0]))
        return
    while steps := pipe.recv():
        start = clock()
        for _ in range(steps):
            step()
        pipe.send((clock() - start) / steps)


class Side:
    """One side, running in a process of its own."""

    def __init__(self, make: Callable[[], Recipe], options: DataOptions, kind: str, clock: str) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipe, other = context.Pipe()
        self.process = context.Process(target=worker, args=(other, make, options, kind, clock), daemon=True)
        self.process.start()
        self.peak, self.operations = self.pipe.recv()

    def run(self, steps: int) -> float:
        """Return the mean seconds of a step."""
        self.pipe.send(steps)
        return self.pipe.recv()

    def end(self) -> None:
        self.pipe.send(0)
        self.process.join()


def compare(name: str, rounds: int, clock: str) -> None:
    """Run the sides in turns; print each side's speed and its ratios to both plain loops."""
    make, options, steps = CASES[name]
    sides = {kind: Side(make, options, kind, clock) for kind in KINDS}
    for side in sides.values():
        side.run(1)
    seconds = [{kind: side.run(steps) for kind, side in sides.items()} for _ in range(rounds)]
    for kind, side in sides.items():
        median = statistics.median(turn[kind] for turn in seconds)
        ratios = [sorted(turn[plain] / turn[kind] for turn in seconds) for plain in ("plain", "plain, shared")]
        against = "  ".join(f"{statistics.median(each):5.2f} ({each[0]:.2f} to {each[-1]:.2f})" for each in ratios)
        share = side.operations / median / side.peak
        print(f"{name:10} {kind:17} {make().batch_size / median:7.0f}   {against}   {share:4.0%}", flush=True)
        side.end()


def sized(batch_size: int) -> Recipe:
    """Return set-up B (DCGAN, 32 base channels) with a batch size."""
    return load_recipe(PLAIN_DCGAN, ("base_channels=32", f"batch_size={batch_size}"))


def cost_of_sizes(clock: str, rounds: int) -> None:
    """Print images per second, and the share of the rate of products, for each size and batch."""
    kind = KINDS[-1]
    print(f"{kind}, RGB, 32 base channels: images per second, share of the rate of matrix products")
    print("px    " + "".join(f"{f'batch {batch}':>16}" for batch in BATCHES))
    for size in SIZES:
        cells = []
        for batch in BATCHES:
            options = DataOptions(size=size, channels=3)
            side = Side(partial(sized, batch), options, kind, clock)
            side.run(1)
            took = statistics.median(side.run(max(1, 8 * 28**2 * 16 // (size**2 * batch))) for _ in range(rounds))
            cells.append(f"{batch / took:8,.0f} {side.operations / took / side.peak:6.0%} ")
            side.end()
        print(f"{size:<6}" + "".join(cells), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cases", nargs="*", default=[*CASES])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--clock", choices=[*CLOCKS], default="wall", help="wall time, or processor time over threads")
    parser.add_argument("--sizes", action="store_true", help="measure speed against size and batch instead")
    args = parser.parse_args()
    print(f"{os.cpu_count()} cores, {torch.get_num_threads()} threads, torch {torch.__version__}, {args.clock} time")
    if args.sizes:
        cost_of_sizes(args.clock, args.rounds)
        return
    if not HAS_LIGHTNING:
        print("Lightning is not installed and is left out (pip install lightning)")
    print(f"{'case':10} {'side':17} {'img/s':>7}   {'x plain (least to most)':23} {'x plain, shared':20} of peak")
    for name in args.cases:
        compare(name, args.rounds, args.clock)


if __name__ == "__main__":
    main()
