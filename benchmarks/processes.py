"""Compare several processes with one: gradients of each loss and penalty, and weights after many steps."""

# Run: python benchmarks/processes.py [--processes 2 4] [--steps 200]
# Tiny networks, fp32, on the CPU. Gradients are those of the second iteration. Recipes with batch norm are trained with
# sync_batchnorm=true. An error is the largest difference over the largest value of the same network. With --double
# everything is computed in float64: an error that falls with the precision is rounding, and not another arithmetic.

import argparse
import os
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from gansmith.core.noise import Noise
from gansmith.core.processes import batch_norms
from gansmith.core.runtime import Runtime, start_runtime
from gansmith.data.base import random_images
from gansmith.data.batches import Batch, BatchStream
from gansmith.parts.losses.base import losses
from gansmith.parts.penalties.base import penalties
from gansmith.recipes.load import load_recipe, recipe_names
from gansmith.recipes.recipe import Recipe
from gansmith.training.state import RunState
from gansmith.training.step import train_step
from gpu import images_for, shrunk

BATCH = 8
ELSEWHERE = ("toy",)  # points, not images


def gradient_cases() -> dict[str, Recipe]:
    """Return a recipe for each loss and each penalty."""
    network = {"kind": "dcgan", "base_channels": 4, "norm": "none"}
    method = {"kind": "latent", "generator": network, "discriminator": network, "latent_dim": 4}
    changes = {
        **{f"loss {name}": {"loss": name} for name in losses.names()},
        **{f"penalty {name}": {"penalties": [name]} for name in penalties.names()},
    }
    optimizers = {"default": {"kind": "adam", "lr": 2e-3}}
    return {
        name: Recipe.model_validate(
            {"name": "x", "method": {**method, **each}, "optimizers": optimizers, "batch_size": BATCH, "epochs": 1}
        )
        for name, each in changes.items()
    }


def gradients(recipe: Recipe, runtime: Runtime) -> dict[str, Tensor]:
    """Return the averaged gradients of the second iteration by phase and network, each as one vector."""
    data, out = random_images((8, 8, 3), 64), {}
    state = RunState.fresh(recipe, data.spec, 1, runtime)
    stream = BatchStream(data, BATCH, 5, runtime, mirror=False)
    train_step(state, stream, runtime, state.moment(1.0))
    for phase in state.method.phases:
        for name, each in state.trainable.items():
            for parameter in each:
                parameter.requires_grad_(name in phase.trains)
                parameter.grad = None
        noise = state.noise(phase, phase.repeats - 1, runtime)
        total = state.method.loss(phase, stream.read(3), noise, state.moment(1.0)).total
        with runtime.averaging_gradients([each for name in phase.trains for each in state.trainable[name]]):
            total.backward()
        for name in phase.trains:
            out[f"{phase.name}/{name}"] = torch.cat([each.grad.flatten() for each in state.trainable[name]])
    return out


class DoubleStream(BatchStream):
    """Batches in float64."""

    def read(self, draw: int) -> Batch:
        batch = super().read(draw)
        return replace(batch, images=batch.images.double())


def compute_in_double() -> None:
    """Draw noise in float64, and do not round to float32 on the way."""
    for name in ("normal", "uniform"):
        drawn = getattr(Noise, name)
        setattr(Noise, name, lambda self, *given, drawn=drawn: drawn(self, *given).double())
    # Batch norms and losses guard themselves against bf16 by .float(); flags stay float32.
    single = Tensor.float
    Tensor.float = lambda self: self.double() if self.is_floating_point() else single(self)


def trained(name: str, steps: int, runtime: Runtime, *, double: bool) -> dict[str, Tensor]:
    """Return the weights of each network of a recipe after some steps, each as one vector."""
    recipe = load_recipe(name)
    changes = [f"batch_size={BATCH}", "sync_batchnorm=true", *(["pool_size=0"] if recipe.method.domains else [])]
    recipe = load_recipe(name, (*shrunk(name), *changes))
    shape = recipe.data.shape or (16, 16)
    data = images_for(recipe, shape[0], recipe.data.channels or 3)
    state = RunState.fresh(recipe, data.spec, 1, runtime)
    kind = DoubleStream if double else BatchStream
    stream = kind(data, BATCH, 5, runtime, mirror=False, domains=max(1, len(recipe.method.domains)))
    if double:
        state.averages = {}  # they are no part of the comparison
        state.method.networks.double()
        for each in (values for optimizer in state.optimizers.values() for values in optimizer.state.values()):
            each |= {key: value.double() for key, value in each.items() if key != "step" and value.is_floating_point()}
    for _ in range(steps):
        train_step(state, stream, runtime, state.moment(steps * BATCH / 1000))
    norm = "batch norm" if batch_norms(state.method.networks) else "none"
    return {
        f"{network}/{norm}": torch.cat([parameter.detach().flatten() for parameter in each])
        for network, each in state.trainable.items()
    }


def work(out: Path, steps: int, recipes: list[str], *, double: bool) -> None:
    runtime = start_runtime("cpu", "fp32")
    torch.set_num_threads(1)
    found = {}
    if double:
        compute_in_double()
    for name, recipe in () if double or recipes else gradient_cases().items():
        found |= {f"{name}|{key}": each for key, each in gradients(recipe, runtime).items()}
    for name in (recipes or recipe_names()) if steps else ():
        if name not in ELSEWHERE:
            try:
                found |= {
                    f"recipe {name}|{key}": each for key, each in trained(name, steps, runtime, double=double).items()
                }
            except ValueError as problem:
                print(f"{name}: {problem}", file=sys.stderr)
    if runtime.is_main:
        save_file(found, out)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--processes", type=int, nargs="*", default=[2, 4])
    parser.add_argument("--steps", type=int, default=200, help="of each recipe; 0: gradients alone")
    parser.add_argument("--recipes", nargs="*", default=[], help="these alone, without gradients")
    parser.add_argument("--double", action="store_true", help="compute in float64, without gradients")
    parser.add_argument("--work", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.work:
        work(args.work, args.steps, args.recipes, double=args.double)
        return
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        for count in (1, *args.processes):
            out = Path(folder) / f"{count}.safetensors"
            launcher = (
                ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(count)] if count > 1 else []
            )
            words = [__file__, "--work", str(out), "--steps", str(args.steps), "--recipes", *args.recipes]
            words += ["--double"] if args.double else []
            subprocess.run([sys.executable, *launcher, *words], check=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
            found[count] = load_file(out)
    print(f"largest error compared with one process; weights after {args.steps} steps")
    print("| case | " + " | ".join(f"{count} processes" for count in args.processes) + " |")
    print("|---" * (len(args.processes) + 1) + "|")
    for case in dict.fromkeys(key.split("|")[0] for key in found[1]):
        keys = [key for key in found[1] if key.split("|")[0] == case]
        cells = []
        for count in args.processes:
            one, many = found[1], found[count]
            cells.append(f"{max(float((one[k] - many[k]).abs().max() / one[k].abs().max()) for k in keys):.1e}")
        normed = ", sync_batchnorm" if any(key.endswith("/batch norm") for key in keys) else ""
        print(f"| {case}{normed} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
