"""Compare a step's time with its floor at the rate of matrix products; time its operators."""

# Run: python benchmarks/profile_step.py RECIPE [KEY=VALUE ...] [--size 28] [--channels 1] [--precision bf16]
# The floor is the step's operations over the rate of a large matrix product. Times are processor time of one thread, so
# other jobs on the machine matter less. Operators are timed in a separate pass, which slows the step; shares are of the
# plain step's time.

import argparse
import time
from collections import defaultdict
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from gansmith.core.runtime import start_runtime
from gansmith.data.base import DataOptions
from gansmith.data.batches import BatchStream
from gansmith.data.open import open_data
from gansmith.recipes.load import load_recipe
from gansmith.training.state import RunState
from gansmith.training.step import train_step
from speed import peak

STEPS = 16  # a multiple of the intervals of the recipes' lazy penalties
FAMILIES = (
    ("convolution_backward", "gradients of convolutions"),
    ("convolution", "convolutions"),
    ("batch_norm", "batch norm, both ways"),
    ("leaky_relu", "activations, both ways"),
    ("threshold", "activations, both ways"),
    ("relu", "activations, both ways"),
    ("tanh", "activations, both ways"),
    ("mm", "linear layers"),
    ("adam", "Adam"),
    ("foreach_lerp", "averages"),
    ("copy", "casts and copies"),
    ("clone", "casts and copies"),
)


class OperatorTimes(TorchDispatchMode):
    """Sums processor time and calls of each family of operators."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds: dict[str, float] = defaultdict(float)
        self.calls: dict[str, int] = defaultdict(int)

    def __torch_dispatch__(self, operator: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        start = time.thread_time()
        out = operator(*args, **(kwargs or {}))
        took = time.thread_time() - start
        family = next((words for part, words in FAMILIES if part in str(operator)), "the rest")
        self.seconds[family] += took
        self.calls[family] += 1
        return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("recipe")
    parser.add_argument("overrides", nargs="*")
    parser.add_argument("--size", type=int, default=28)
    parser.add_argument("--channels", type=int, default=1)
    parser.add_argument("--precision", default="auto")
    args = parser.parse_args()
    torch.set_num_threads(1)
    runtime = start_runtime("cpu", args.precision)
    data = open_data("fashion-sample", DataOptions(size=args.size, channels=args.channels))
    recipe = load_recipe(args.recipe, tuple(args.overrides))
    state = RunState.fresh(recipe, data.spec, 0, runtime)
    stream = BatchStream(data, recipe.batch_size, 0, runtime, mirror=False)

    def steps() -> float:
        start = time.thread_time()
        for _ in range(STEPS):
            train_step(state, stream, runtime, state.moment(1e6))
        return (time.thread_time() - start) / STEPS

    steps()
    took = min(steps() for _ in range(3))
    with FlopCounterMode(display=False) as counter:
        steps()
    with OperatorTimes() as times:
        steps()
    rate = peak(torch.bfloat16 if runtime.precision == "bf16" else torch.float32, time.thread_time)
    operations = counter.get_total_flops() / STEPS
    floor = operations / rate
    what = f"{args.recipe}, {args.size} px, channels {args.channels}, batch {recipe.batch_size}, {runtime.precision}"
    print(f"{what}, 1 thread")
    print(f"operations of a step {operations / 1e9:.3g} G, products {rate / 1e9:,.0f} G/s: floor {floor * 1e3:.2f} ms")
    print(
        f"measured {took * 1e3:.2f} ms, {recipe.batch_size / took:,.0f} images a second: {floor / took:.0%} of the rate"
    )
    for family, seconds in sorted(times.seconds.items(), key=lambda each: -each[1]):
        each = seconds / STEPS
        print(f"  {family:28} {each * 1e3:7.2f} ms {each / took:5.0%} {times.calls[family] / STEPS:7.1f} calls")
    between = took - sum(times.seconds.values()) / STEPS
    print(f"  {'Python and autograd between':28} {between * 1e3:7.2f} ms {between / took:5.0%}")


if __name__ == "__main__":
    main()
