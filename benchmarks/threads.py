"""Measure how OpenMP's spinning affects speed, on a quiet machine and on a busy one."""

# Run: python benchmarks/threads.py [--rounds 3] [--spins default 30000 1000]
# OpenMP's threads wait for each other at the end of each operator. GNU's library lets them spin, which is fast, but on
# a core that another process wants it takes time from the thread that is waited for. GOMP_SPINCOUNT sets the number of
# turns. Each setting is measured alone and beside one busy process a core.

import argparse
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

SECONDS = 8.0
NUM = 2_000


def measure() -> float:
    """Return images a second of ``compact`` on random images."""
    from gansmith.core.runtime import start_runtime
    from gansmith.data.base import random_images
    from gansmith.recipes.load import load_recipe
    from gansmith.training.prepare import measure_speed

    data = random_images((28, 28, 1), NUM)
    return measure_speed(load_recipe("compact"), data, start_runtime("cpu", "auto"), SECONDS)


@contextmanager
def busy(count: int) -> Iterator[None]:
    """Run ``count`` busy processes inside the block."""
    burners = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for burner in burners:
            burner.kill()
            burner.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--spins", nargs="+", default=["default", "30000", "1000"])
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        print(measure())
        return
    clean = {name: value for name, value in os.environ.items() if name not in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")}
    for others in (0, os.cpu_count() or 1):
        found: dict[str, list[float]] = {spins: [] for spins in args.spins}
        for _ in range(args.rounds):
            for spins in args.spins:
                environment = clean if spins == "default" else {**clean, "GOMP_SPINCOUNT": spins}
                with busy(others):
                    time.sleep(0.5)
                    child = [sys.executable, __file__, "--child"]
                    out = subprocess.run(child, env=environment, check=True, stdout=subprocess.PIPE, text=True)
                found[spins].append(float(out.stdout))
        first = statistics.median(found[args.spins[0]])
        for spins, speeds in found.items():
            middle, each = statistics.median(speeds), ", ".join(f"{speed:,.0f}" for speed in speeds)
            speed = f"{middle:6,.0f} images per second, {middle / first:.2f} x ({each})"
            print(f"{others} busy processes, spin count {spins:>8}: {speed}")


if __name__ == "__main__":
    main()
