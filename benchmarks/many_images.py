"""How long until the first batch of 50,000 PNGs, and do 200,000 samples take constant memory?"""

# Run: python benchmarks/many_images.py [--images 50000] [--rounds 3] [--samples 200000] [--size 64] [--folder DIR]
# Start: time and peak memory from the opened Python to the first batch of 64, and to all batches of one epoch, each in
# a process of its own, in turns: gansmith with an empty cache and with a full one, torchvision's ImageFolder behind a
# DataLoader with 0 and 2 workers. Imports are not counted: they depend on what else a program needs. Seconds of the
# processor say more than seconds of the clock where other processes are at work; those of workers are not counted.
# Samples: `gansmith sample -n N --out FOLDER` of a small untrained model, peak memory at 1 % and at all.

import argparse
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

BATCH, SIDE = 64, 64
SIDES = ("gansmith, first start", "gansmith, second start", "ImageFolder, 0 workers", "ImageFolder, 2 workers")


def write_images(folder: Path, count: int) -> None:
    """Write ``count`` smooth PNGs of 64 px in ten classes."""
    for number in range(count):
        random = np.random.default_rng(number)
        small = Image.fromarray(random.integers(0, 256, (8, 8, 3), np.uint8))
        place = folder / f"class{number % 10}"
        place.mkdir(parents=True, exist_ok=True)
        small.resize((SIDE, SIDE), Image.Resampling.BICUBIC).save(place / f"{number:06d}.png", compress_level=1)


def peak_mb() -> float:
    """Return the most memory of this process and its children together, in MiB."""
    own, children = (resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return (own + children) / 1024


def measure(side: str, folder: Path) -> dict[str, float]:
    """Return the seconds to the first batch and of one epoch, by clock and processor, and the peak memory in MiB."""
    if side.startswith("gansmith"):
        from gansmith.core.runtime import start_runtime
        from gansmith.data.base import DataOptions
        from gansmith.data.batches import BatchStream
        from gansmith.data.open import open_data

        runtime = start_runtime("cpu")
        start, begun = time.perf_counter(), time.process_time()
        data = open_data(folder, DataOptions())
        stream = BatchStream(data, BATCH, 0, runtime, mirror=False)
        batches, count = (stream.read(draw) for draw in range(len(data) // BATCH)), len(data)
    else:
        import torch
        from torch.utils.data import DataLoader
        from torchvision import datasets, transforms

        torch.set_num_threads(1)
        start, begun = time.perf_counter(), time.process_time()
        change = transforms.Compose([transforms.ToTensor(), transforms.Normalize([0.5] * 3, [0.5] * 3)])
        images = datasets.ImageFolder(str(folder), change)
        workers = int(side.split()[1])
        batches = iter(DataLoader(images, BATCH, shuffle=True, num_workers=workers, drop_last=True))
        count = len(images)
    next(batches)
    first, first_cpu = time.perf_counter() - start, time.process_time() - begun
    for _ in batches:
        pass
    epoch, epoch_cpu = time.perf_counter() - start, time.process_time() - begun
    cpu = {"first batch, CPU s": first_cpu, "first epoch, CPU s": epoch_cpu}
    return {"images": count, "first batch, s": first, "first epoch, s": epoch, **cpu, "peak, MB": peak_mb()}


def in_child(side: str, folder: Path, cache: Path) -> dict[str, float]:
    """Measure one side in a process of its own."""
    environment = {**os.environ, "GANSMITH_CACHE": str(cache), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, __file__, "--side", side, "--folder", str(folder)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def starts(folder: Path, rounds: int) -> None:
    """Print a table of starts, medians over rounds."""
    found: dict[str, list[dict[str, float]]] = {side: [] for side in SIDES}
    with tempfile.TemporaryDirectory() as caches:
        for number in range(rounds):
            cache = Path(caches) / str(number)
            for side in SIDES:
                found[side].append(in_child(side, folder, cache))
                print(number, side, found[side][-1], file=sys.stderr, flush=True)
            shutil.rmtree(cache)
    names = [name for name in found[SIDES[0]][0] if name != "images"]
    print("| | " + " | ".join(names) + " |\n|---" * 1 + "|---" * len(names) + "|")
    for side, rows in found.items():
        print(
            f"| {side} | " + " | ".join(f"{statistics.median(row[name] for row in rows):,.1f}" for name in names) + " |"
        )


def samples(count: int, size: int) -> None:
    """Print time and peak memory of a hundredth of the samples and of all."""
    with tempfile.TemporaryDirectory() as folder:
        write_images(Path(folder) / "images", 40)
        gansmith = [sys.executable, "-m", "gansmith"]
        small = [
            "--recipe",
            "dcgan",
            f"size={size}",
            "base_channels=8",
            "batch_size=8",
            "--steps",
            "2",
            "--device",
            "cpu",
        ]
        run = f"{folder}/run"
        subprocess.run([*gansmith, "train", f"{folder}/images", *small, "--out", run], check=True, capture_output=True)
        for number in (count // 100, count):
            out = Path(folder) / "out"
            start = time.perf_counter()
            child = subprocess.Popen([*gansmith, "sample", run, "-n", str(number), "--out", str(out)])
            _, status, used = os.wait4(child.pid, 0)
            seconds, files = time.perf_counter() - start, sum(1 for _ in out.rglob("*.png"))
            print(
                f"{number:,} samples: {seconds:,.0f} s, peak {used.ru_maxrss / 1024:,.0f} MB, {files:,} files, {status}"
            )
            shutil.rmtree(out)


def main() -> None:
    """Run the benchmark, or one side of it in this process."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=50_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--samples", type=int, default=200_000)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--side")
    asked = parser.parse_args()
    if asked.side:
        print(json.dumps(measure(asked.side, asked.folder)))
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = asked.folder or Path(temporary)
        if asked.images and not any(folder.glob("class*")):
            write_images(folder, asked.images)
        if asked.images:
            starts(folder, asked.rounds)
    if asked.samples:
        samples(asked.samples, asked.size)


if __name__ == "__main__":
    main()
