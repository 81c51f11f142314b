"""Measure how OpenMP's spinning and the number of threads affect speed: alone, beside busy processes, beside a run."""

# Run: python benchmarks/threads.py [--rounds 3] [--spins default 30000 1000] [--threads 2 1]
# OpenMP's threads wait for each other at the end of each operator. GNU's library lets them spin, which is fast, but on
# a core that another process wants it takes time from the thread that is waited for. GOMP_SPINCOUNT sets the number of
# turns. Each setting is measured alone, beside one busy process a core, and beside a second run with that setting.

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
SPINS = ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")


def measure() -> float:
    """Return images a second of ``compact`` in batches of 64 on random images."""
    from gansmith.core.runtime import start_runtime
    from gansmith.data.base import random_images
    from gansmith.recipes.load import load_recipe
    from gansmith.training.prepare import measure_speed

    data = random_images((28, 28, 1), NUM)
    recipe = load_recipe("compact", ("batch_size=64",))
    return measure_speed(recipe, data, start_runtime("cpu", "auto"), SECONDS).img_per_sec


@contextmanager
def beside(what: str, environment: dict[str, str]) -> Iterator[None]:
    """Run busy processes, one a core, or a second run inside the block; or nothing."""
    commands = {
        "nothing": [],
        "a busy process a core": [["-c", "while True: pass"]] * (os.cpu_count() or 1),
        "a second run": [[__file__, "--child", "--forever"]],
    }
    burners = [
        subprocess.Popen([sys.executable, *words], env=environment, stdout=subprocess.DEVNULL)
        for words in commands[what]
    ]
    time.sleep(5.0 if what == "a second run" else 0.5)  # it imports torch
    try:
        yield
    finally:
        for burner in burners:
            burner.kill()
            burner.wait()


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--spins", nargs="+", default=["default", "30000", "1000"])
    parser.add_argument("--threads", nargs="+", type=int, default=[os.cpu_count() or 1, 1])
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--forever", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        while True:
            print(measure())
            if not args.forever:
                return
    clean = {name: value for name, value in os.environ.items() if name not in SPINS}
    settings = [(spins, threads) for spins in args.spins for threads in args.threads]
    for what in ("nothing", "a busy process a core", "a second run"):
        found: dict[tuple[str, int], list[float]] = {setting: [] for setting in settings}
        for _ in range(args.rounds):
            for spins, threads in settings:
                more = {"OMP_NUM_THREADS": str(threads)} | ({} if spins == "default" else {"GOMP_SPINCOUNT": spins})
                with beside(what, {**clean, **more}):
                    child = [sys.executable, __file__, "--child"]
                    out = subprocess.run(child, env={**clean, **more}, check=True, stdout=subprocess.PIPE, text=True)
                found[spins, threads].append(float(out.stdout))
        first = statistics.median(found[settings[0]])
        for (spins, threads), speeds in found.items():
            middle, each = statistics.median(speeds), ", ".join(f"{speed:,.0f}" for speed in speeds)
            speed = f"{middle:6,.0f} images per second, {middle / first:.2f} x ({each})"
            print(f"beside {what}: {threads} threads, spin count {spins:>8}: {speed}", flush=True)


if __name__ == "__main__":
    main()
