"""How long until the first batch of 50,000 PNGs, and do 200,000 samples take constant memory?"""

# Run: python benchmarks/many_images.py [--images 50000] [--px 64] [--rounds 3] [--samples 200000] [--size 64]
#   [--folder DIR] [--sides NAME ...] [--most N]
# Start: time and peak memory from the opened Python to the first batch of 64, and speed of the N images after it, each
# in a process of its own, in turns: gansmith with an empty cache and with a full one, from the folder, from shards, and
# streamed from shards; torchvision's ImageFolder behind a DataLoader with 0 and 2 workers; webdataset (pip install
# webdataset) with 0 and 2 workers. The shards hold the same files as the folder, which is written only for sides that
# read it. Imports are not counted: they depend on what else a program needs. Seconds of the processor say more than
# seconds of the clock where other processes are at work; those of workers are not counted.
# Samples: `gansmith sample -n N --out FOLDER` of a small untrained model, peak memory at 1 % and at all.

import argparse
import io
import json
import os
import shutil
import statistics
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader
from torchvision import datasets, transforms

from gansmith.core.runtime import Runtime
from gansmith.data.base import DataOptions
from gansmith.data.batches import BatchStream
from gansmith.data.open import open_data

BATCH, SHUFFLED, PER_SHARD, FEWEST_SHARDS, STREAM = 64, 10_000, 10_000, 8, "1G"
SIDES = (
    *(
        f"gansmith {place}, {start} start"
        for place in ("folder", "shards", "streamed")
        for start in ("first", "second")
    ),
    *(f"{other}, {workers} workers" for other in ("ImageFolder", "webdataset") for workers in (0, 2)),
)


def write_shards(folder: Path, count: int, px: int) -> None:
    """Write ``count`` smooth PNGs in ten classes as folder/shards/*.tar."""
    (folder / "shards").mkdir(parents=True, exist_ok=True)
    per_shard = min(PER_SHARD, -(-count // FEWEST_SHARDS))
    for first in range(0, count, per_shard):
        with tarfile.open(folder / "shards" / f"x-{first // per_shard:05d}.tar", "w") as shard:
            for number in range(first, min(first + per_shard, count)):
                small = Image.fromarray(np.random.default_rng(number).integers(0, 256, (8, 8, 3), np.uint8))
                image = io.BytesIO()
                small.resize((px, px), Image.Resampling.BICUBIC).save(image, "PNG", compress_level=1)
                for ending, content in (("png", image.getvalue()), ("cls", str(number % 10).encode())):
                    member = tarfile.TarInfo(f"{number:07d}.{ending}")
                    member.size = len(content)
                    shard.addfile(member, io.BytesIO(content))


def write_files(folder: Path) -> None:
    """Write the PNGs of folder/shards as folder/files/CLASS/*.png."""
    for number in range(10):
        (folder / "files" / f"class{number}").mkdir(parents=True, exist_ok=True)
    for path in sorted((folder / "shards").glob("*.tar")):
        with tarfile.open(path, "r|") as shard:
            for member in shard:
                content = shard.extractfile(member)
                if content and member.name.endswith(".png"):
                    stem = member.name.removesuffix(".png")
                    (folder / "files" / f"class{int(stem) % 10}" / member.name).write_bytes(content.read())


class Memory(threading.Thread):
    """A thread that keeps the most memory of this process and its children, in MiB.

    ``peak`` is all that is resident, ``own`` leaves out mapped files such as the cache, whose pages the system can
    take back at any time.
    """

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.peak = self.own = 0.0
        self.start()

    def run(self) -> None:
        while True:
            self.look()
            time.sleep(0.1)

    def look(self) -> None:
        """Look once at the memory of now."""
        resident = own = 0
        children = Path("/proc/self/task").glob("*/children")
        for process in ["self", *" ".join(each.read_text() for each in children).split()]:
            with suppress(OSError):  # it has ended
                rows = dict(row.split(":", 1) for row in Path(f"/proc/{process}/status").read_text().splitlines())
                resident += int(rows.get("VmRSS", "0 kB").split()[0])
                own += int(rows.get("RssAnon", "0 kB").split()[0])
        self.peak, self.own = max(self.peak, resident / 1024), max(self.own, own / 1024)


def batches_of(side: str, folder: Path) -> tuple[Iterator[Any], int]:
    """Return batches of one epoch of a side, and the number of images in the set."""
    tool, _, words = side.partition(" ")
    if tool == "gansmith":
        place = words.partition(",")[0]
        options = DataOptions(stream=STREAM if place == "streamed" else None)
        data = open_data(folder / ("files" if place == "folder" else "shards"), options)
        stream = BatchStream(data, BATCH, 0, Runtime(torch.device("cpu")), mirror=False)
        return (stream.read(draw) for draw in range(len(data) // BATCH)), len(data)
    workers = int(words.split()[0])
    change = transforms.Compose([transforms.ToTensor(), transforms.Normalize([0.5] * 3, [0.5] * 3)])
    if tool == "ImageFolder,":
        images = datasets.ImageFolder(str(folder / "files"), change)
        return iter(DataLoader(images, BATCH, shuffle=True, num_workers=workers, drop_last=True)), len(images)
    import webdataset  # here: no extra of gansmith has it

    shards = sorted(map(str, (folder / "shards").glob("*.tar")))
    samples = webdataset.WebDataset(shards, shardshuffle=len(shards)).shuffle(SHUFFLED).decode("pil")
    pairs = samples.to_tuple("png", "cls").map_tuple(change, int).batched(BATCH, partial=False)
    return iter(webdataset.WebLoader(pairs, batch_size=None, num_workers=workers)), 0


def measure(side: str, folder: Path, most: int) -> dict[str, float]:
    """Return seconds to the first batch and images a second after it, by clock and processor, and the peak memory."""
    torch.set_num_threads(1)
    memory = Memory()
    start, begun = time.perf_counter(), time.process_time()
    batches, _ = batches_of(side, folder)
    next(batches)
    first, first_cpu = time.perf_counter(), time.process_time()
    count = sum(BATCH for _ in islice(batches, most // BATCH))
    memory.look()
    return {
        "first batch, s": first - start,
        "first batch, CPU s": first_cpu - begun,
        "images/s": count / (time.perf_counter() - first),
        "images per CPU s": count / (time.process_time() - first_cpu),
        "peak, MB": memory.peak,
        "of this without mapped files, MB": memory.own,
    }


def in_child(side: str, folder: Path, cache: Path, most: int) -> dict[str, float]:
    """Measure one side in a process of its own."""
    environment = {**os.environ, "GANSMITH_CACHE": str(cache), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, __file__, "--side", side, "--folder", str(folder), "--most", str(most)]
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def starts(folder: Path, rounds: int, sides: list[str], most: int) -> None:
    """Print a table of starts, medians over rounds."""
    found: dict[str, list[dict[str, float]]] = {side: [] for side in sides}
    with tempfile.TemporaryDirectory(dir=folder) as cache:
        for number in range(rounds):
            for side in sides:
                if "second" not in side:
                    shutil.rmtree(cache)
                found[side].append(in_child(side, folder, Path(cache), most))
                print(number, side, found[side][-1], file=sys.stderr, flush=True)
                Path(cache).mkdir(exist_ok=True)
    names = list(found[sides[0]][0])
    print("| | " + " | ".join(names) + " |\n|---" * 1 + "|---" * len(names) + "|")
    for side, rows in found.items():
        print(
            f"| {side} | " + " | ".join(f"{statistics.median(row[name] for row in rows):,.1f}" for name in names) + " |"
        )


def samples(count: int, size: int) -> None:
    """Print time and peak memory of a hundredth of the samples and of all."""
    with tempfile.TemporaryDirectory() as folder:
        write_shards(Path(folder), 40, 64)
        write_files(Path(folder))
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
        subprocess.run([*gansmith, "train", f"{folder}/files", *small, "--out", run], check=True, capture_output=True)
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
    parser.add_argument("--px", type=int, default=64)
    parser.add_argument("--most", type=int, default=10**9, help="images that are read after the first batch")
    parser.add_argument("--sides", nargs="*", default=SIDES)
    parser.add_argument("--side", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.side:
        print(json.dumps(measure(asked.side, asked.folder, asked.most)))
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = asked.folder or Path(temporary)
        if asked.images and not (folder / "shards").exists():
            write_shards(folder, asked.images, asked.px)
        of_files = any(side.startswith(("gansmith folder", "ImageFolder")) for side in asked.sides)
        if asked.images and of_files and not (folder / "files").exists():
            write_files(folder)
        if asked.images:
            starts(folder, asked.rounds, list(asked.sides), asked.most)
    if asked.samples:
        samples(asked.samples, asked.size)


if __name__ == "__main__":
    main()
