"""Use one home for so many minutes as a person does in a day: train, kill, resume, evaluate, sample, clean, verify."""

# Run: python benchmarks/mixed_use.py [--minutes 30] [--seed 0] [--table benchmarks/mixed_use.md]. Each round trains a
# tiny run, kills it, resumes it to the end and uses it in every way. The verbs run in forks of this process; the uses
# that keep a process (sample, load, evaluate) also run in this process, whose memory must not grow. After each round
# nothing may be left in the temporary folder, in shared memory, or of half-built data in the cache, and each finished
# run must be whole.

import argparse
import contextlib
import os
import random
import shutil
import signal
import statistics
import sys
import tempfile
import time
import warnings
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

import numpy as np

from forked import Forked
from gansmith import api
from gansmith.core.errors import GansmithWarning
from gansmith.inference.load import load_model
from gansmith.runs.checkpoint import list_checkpoints
from gansmith.runs.log import read_rows
from small_runs import small

RECIPES = ("mlp-small", "dcgan", "sngan")
SNAPSHOTS = ("monitor.snapshot_kimg=0.1", "monitor.images=100", "monitor.reference=100")
STEPS, MOST_RUNS = 40, 3


class Home:
    """A home folder with data, runs, a cache and a temporary folder, all its own."""

    def __init__(self, place: Path, seed: int) -> None:
        self.place, self.draw, self.faults, self.counts = place, random.Random(seed), list[str](), dict[str, int]()
        for name in ("tmp", "cache", "runs", "out"):
            (place / name).mkdir()
        os.environ.update(GANSMITH_CACHE=str(place / "cache"), TMPDIR=str(place / "tmp"))
        tempfile.tempdir = None
        images = np.random.default_rng(0).integers(0, 256, (256, 8, 8, 1), np.uint8)
        np.savez(place / "data.npz", images=images)

    def verb(self, *words: object, codes: tuple[int, ...] = (0,), kill_after: float | None = None) -> None:
        """Run a verb in a fork; note a fault if it ends otherwise than it should."""
        self.counts[str(words[0])] = self.counts.get(str(words[0]), 0) + 1
        (self.place / "errors").unlink(missing_ok=True)
        child = Forked(words, self.place / "errors", {})
        if kill_after is not None:
            time.sleep(kill_after)
            with contextlib.suppress(ProcessLookupError):
                os.kill(child.pid, signal.SIGKILL)
        child.communicate()
        if child.returncode not in codes:
            said = (self.place / "errors").read_text()[-600:]
            self.faults.append(f"{' '.join(map(str, words))}: ended with {child.returncode}: {said}")

    def round(self, number: int) -> None:
        """Train, kill, resume, and use a run; then clean up."""
        recipe, run = self.draw.choice(RECIPES), self.place / "runs" / f"run-{number}"
        words = ["train", self.place / "data.npz", "--recipe", recipe, "--steps", STEPS, "--device", "cpu"]
        words += ["--out", run, "checkpoints=5", "log_rows=10", "previews=4", *SNAPSHOTS, *small(recipe)]
        self.verb(*words, codes=(0, -9), kill_after=self.draw.uniform(0.2, 4))
        if not any((each / "manifest.json").exists() for each in list_checkpoints(run / "checkpoints")):
            shutil.rmtree(run, ignore_errors=True)
            self.verb(*words)
        else:
            before = read_rows(run / "log.jsonl")
            self.verb("resume", run)
            after = read_rows(run / "log.jsonl")
            saved = max(int(each.name) for each in list_checkpoints(run / "checkpoints"))
            if saved < STEPS or len(after) < len(before):
                self.faults.append(f"{run}: ends at {saved} with {len(after)} rows, {len(before)} before the kill")
        self.verb("verify", run)
        self.verb("repair", run)
        self.verb("sample", run, "--num", 9, "--out", self.place / "out" / f"{number}.png")
        self.verb("evaluate", run, "--num", 100, "--features", "untrained", "--on-training")
        self.verb("diagnose", run)
        if number % 3 == 0:
            self.verb("data", "clean")
        model = load_model(run, "cpu")
        model.sample(16)
        api.diagnose(run)
        for old in sorted((self.place / "runs").iterdir(), key=lambda each: int(each.name[4:]))[:-MOST_RUNS]:
            shutil.rmtree(old)
        for out in (self.place / "out").iterdir():
            out.unlink()
        self.look(number)

    def look(self, number: int) -> None:
        """Note what is left where nothing should be."""
        left = [
            each for each in (self.place / "tmp").iterdir() if not each.name.startswith("torchinductor_")
        ]  # torch's
        left += [*(self.place / "cache").rglob("*.tmp"), *(self.place / "runs").rglob(".*.tmp")]
        left += [path for path in (self.place / "cache").rglob(".building-*") if number % 3 == 0]
        left += [
            path for path in Path("/dev/shm").iterdir() if path.name not in BEFORE and path.name.startswith("torch")
        ]
        left += [
            Path(os.readlink(f"/proc/self/fd/{each}")) for each in os.listdir("/proc/self/fd") if self._is_ours(each)
        ]
        if left:
            self.faults.append(f"round {number}: left behind: {', '.join(map(str, left[:5]))}")

    def _is_ours(self, descriptor: str) -> bool:
        with contextlib.suppress(OSError):
            return os.readlink(f"/proc/self/fd/{descriptor}").startswith(str(self.place))
        return False


BEFORE = {path.name for path in Path("/dev/shm").iterdir()}


def resident_mb() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--table", type=Path)
    args = parser.parse_args()
    warnings.simplefilter("ignore", GansmithWarning)
    start, memory, number = time.monotonic(), list[float](), 0
    with tempfile.TemporaryDirectory() as folder:
        home = Home(Path(folder), args.seed)
        while time.monotonic() < start + 60 * args.minutes:
            home.round(number)
            number += 1
            memory.append(resident_mb())
            print(f"round {number}: {memory[-1]:.0f} MiB, {len(home.faults)} faults", flush=True)
    third = max(1, len(memory) // 3)
    grown = statistics.median(memory[-third:]) - statistics.median(memory[third : 2 * third] or memory)
    lines = [
        "# Mixed use\n",
        f"`python benchmarks/mixed_use.py --minutes {args.minutes:g} --seed {args.seed}` wrote this page after"
        f" {number} rounds.\n",
        f"- verbs: {', '.join(f'{name} {count}' for name, count in sorted(home.counts.items()))}",
        f"- faults (a verb that fails, a row or checkpoint lost, a file left behind): {len(home.faults)}",
        f"- memory of the process that stays: {memory[0]:.0f} MiB after the first round, {memory[-1]:.0f} MiB after the"
        f" last; the median of the last third is {grown:+.1f} MiB from that of the second",
    ]
    print("\n".join([*lines, *home.faults]))
    if args.table:
        args.table.write_text("\n".join(lines) + "\n")
    sys.exit(bool(home.faults))


if __name__ == "__main__":
    main()
