"""Run gansmith with --minutes under load that comes and goes, and compare asked and taken time."""

# Run: python benchmarks/budget.py [--runs 20] [--killed 4] [--minutes 2 5] [--at-once 2] [--seed 0] [--table]
# Runs train on fashion-sample while 0 to 4 busy loops come and go, by a script drawn from the seed. A killed run
# is killed once with SIGKILL at a random moment and resumed; its time is what the first command took up to the
# checkpoint that the second continued from, and the second command. Its twin trains undisturbed with the revisions that
# its log holds; then tensors, log and pictures are compared by SHA-256. Results are appended to budget.jsonl; a second
# call goes on with the runs that are missing there. The promise is 5 % or 20 seconds, whichever is more.

import argparse
import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple
from unittest import mock

RESULTS = Path(__file__).with_suffix(".jsonl")
MOST_LOOPS, PHASE_SEC = 4, (5.0, 30.0)
SHARE, LEAST_SEC = 0.05, 20.0  # the promise
ENVIRONMENT = dict(os.environ)  # without OMP_NUM_THREADS a run chooses its threads, and changes them with the load
ONE_TWIN = threading.Lock()


class Phase(NamedTuple):
    """Some seconds with the same number of busy loops."""

    ended: float
    loops: int
    load: float


@contextmanager
def busy(seed: int) -> Iterator[list[Phase]]:
    """Let 0 to 4 busy loops come and go during the block; the list has the phases that are over."""
    draw, done, phases = random.Random(seed), threading.Event(), list[Phase]()

    def play() -> None:
        while not done.is_set():
            number = draw.randint(0, MOST_LOOPS)
            loops = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(number)]
            done.wait(draw.uniform(*PHASE_SEC))
            phases.append(Phase(time.monotonic(), number, os.getloadavg()[0]))
            for loop in loops:
                loop.kill()
                loop.wait()

    thread = threading.Thread(target=play)
    thread.start()
    try:
        yield phases
    finally:
        done.set()
        thread.join()


def command(*words: object, kill_after: float | None = None) -> float:
    """Run gansmith, perhaps until it is killed; return the seconds that it took."""
    start = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, "-m", "gansmith", *map(str, words)],
        env=ENVIRONMENT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        code = process.wait(kill_after)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
        code = process.wait()
    if code not in (0, -signal.SIGKILL):
        sys.exit(f"gansmith {' '.join(map(str, words))}: exit code {code}")
    return time.monotonic() - start


def newest(run: Path) -> Any:
    from gansmith.runs.checkpoint import load_latest
    from gansmith.runs.folder import RunFolder

    return load_latest(RunFolder(run).checkpoints)[0]


def digests(run: Path) -> dict[str, str]:
    """Return the SHA-256 of log, snapshots, pictures and each tensor of the last checkpoint."""
    files = [run / "log.jsonl", run / "snapshots.jsonl", *sorted((run / "samples").iterdir())]
    out = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files if path.exists()}
    for name, tensor in newest(run).tensors.items():
        data = tensor.contiguous().flatten().view(-1).numpy().tobytes()
        out[name] = hashlib.sha256(f"{tensor.dtype} {tuple(tensor.shape)} ".encode() + data).hexdigest()
    return out


def train_twin(run: Path, folder: Path) -> None:
    """Train undisturbed with recipe, seed and revisions of a run."""
    from gansmith.core.events import silent
    from gansmith.core.runtime import set_threads, start_runtime
    from gansmith.recipes.load import read_run_recipe
    from gansmith.runs.folder import RunFolder
    from gansmith.runs.length import RunLength
    from gansmith.runs.log import read_rows
    from gansmith.runs.options import RunOptions
    from gansmith.training import run as running
    from gansmith.training import supervisor
    from gansmith.training.prepare import Prepared, find_data, open_for
    from gansmith.training.time_limit import Timekeeper

    record, recipe = RunFolder(run).record, read_run_recipe(run / "recipe.yaml")
    rows = [row for row in read_rows(run / "log.jsonl") if row.get("event") == "revised"]
    revised = {row["iteration"]: RunLength.from_json(row["length"]) for row in rows}
    first = next(iter(revised.values()), record.length)
    if first.revision is not None:
        planned = first.revision.planned
        kimg = planned * recipe.images_per_iteration / 1000
        first = replace(first, iterations=planned, schedule_kimg=kimg, revision=None)

    class Replay(Timekeeper):
        def revise(self, length: Any, iteration: int, *_: Any, **__: Any) -> Any:
            return revised.get(iteration)

    options = RunOptions(record.data.source, seed=record.seed)
    runtime = start_runtime(record.numerics.device, record.numerics.precision)
    set_threads(record.numerics.threads)  # the order of sums depends on it
    source = find_data(options, runtime)
    recipe, data = open_for(recipe, source, options, runtime, silent)
    around = running.Surroundings(silent, lambda *_: None, lambda *_: None)
    every = record.monitor.every if record.monitor else 0
    patches = [
        mock.patch.object(running, "Timekeeper", Replay),
        mock.patch.object(supervisor, "choose_interval", return_value=every),
    ]
    with patches[0], patches[1]:
        running.start_run(folder, Prepared(recipe, source, data, first, 0.0), options, runtime, around)


def one(number: int, minutes: float, is_killed: bool, seed: int, phases: list[Phase]) -> dict[str, Any]:
    """Train one run under load, and its twin if it is killed; return the row of the results."""
    with tempfile.TemporaryDirectory(prefix="gansmith-budget-") as place:
        run, asked, began = Path(place) / "run", minutes * 60, time.monotonic()
        words = ["train", "fashion-sample", "--minutes", f"{minutes:g}", "--out", run, "--seed", number]
        if is_killed:
            draw = random.Random(seed + number)
            command(*words, kill_after=draw.uniform(0.35, 0.85) * asked)
            while not list(run.glob("checkpoints/*/manifest.json")):  # before the first checkpoint: begin anew
                shutil.rmtree(run, ignore_errors=True)
                command(*words, kill_after=draw.uniform(0.6, 0.85) * asked)
            took = newest(run).values["used_sec"] + command("resume", run)
        else:
            took = command(*words)
        beside = [phase for phase in phases if phase.ended > began]
        rows = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
        timing = [json.loads(line) for line in (run / "timing.jsonl").read_text().splitlines()]
        out = {
            "run": number, "asked_sec": asked, "took_sec": round(took, 1), "difference_sec": round(took - asked, 1),
            "within": abs(took - asked) <= max(SHARE * asked, LEAST_SEC), "killed": is_killed,
            "kimg": max(row["kimg"] for row in rows), "revisions": sum(row.get("event") == "revised" for row in rows),
            "snapshot_share": round(sum(row.get("snapshot_sec", 0.0) for row in timing) / asked, 4),
            "loops": [phase.loops for phase in beside], "load": round(fmean(phase.load for phase in beside), 1),
        }  # fmt: skip
        if is_killed:
            twin = Path(place) / "twin"
            with ONE_TWIN:
                train_twin(run, twin)
            left, right = digests(run), digests(twin)
            out["differs"] = sorted(name for name in left.keys() | right.keys() if left.get(name) != right.get(name))
    with open(RESULTS, "a") as file:
        file.write(json.dumps(out) + "\n")
    print(json.dumps(out), flush=True)
    return out


def table(rows: list[dict[str, Any]]) -> list[str]:
    """Return the results as lines of Markdown."""
    lines = ["| asked (s) | took (s) | difference (s) | load | kimg | revisions | snapshots | killed, twin |"]
    lines += ["|---|---|---|---|---|---|---|---|"]
    for row in sorted(rows, key=lambda row: (row["asked_sec"], row["run"])):
        twin = ("same bits" if not row["differs"] else f"{len(row['differs'])} differ") if row["killed"] else ""
        lines.append(
            f"| {row['asked_sec']:.0f} | {row['took_sec']:.1f} | {row['difference_sec']:+.1f} | {row['load']:.0f} | "
            f"{row['kimg']:.1f} | "
            f"{row['revisions']} | {row['snapshot_share']:.1%} | {twin} |"
        )
    kept = sum(row["within"] for row in rows)
    return [*lines, "", f"{kept} of {len(rows)} runs ended within 5 % or 20 s of the time that was asked for."]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--killed", type=int, default=4, help="how many of the runs are killed and resumed")
    parser.add_argument("--minutes", type=float, nargs=2, default=(2.0, 5.0), metavar=("LEAST", "MOST"))
    parser.add_argument("--at-once", type=int, default=1, help="runs beside each other, which share the busy loops")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", type=int, nargs="*", help="numbers of runs; default: all that are missing")
    parser.add_argument("--table", action="store_true", help="print the table of the results so far")
    args = parser.parse_args()
    rows = [json.loads(line) for line in RESULTS.read_text().splitlines()] if RESULTS.exists() else []
    if not args.table:
        least, most = args.minutes
        minutes = [round(least + (most - least) * number / max(1, args.runs - 1), 2) for number in range(args.runs)]
        killed = range(1, args.runs, max(1, args.runs // args.killed))[: args.killed] if args.killed else range(0)
        missing = [number for number in args.only or range(args.runs) if all(row["run"] != number for row in rows)]
        with busy(args.seed) as phases, ThreadPoolExecutor(args.at_once) as pool:
            rows += pool.map(lambda n: one(n, minutes[n], n in killed, args.seed, phases), missing)
    print("\n".join(table(rows)))


if __name__ == "__main__":
    main()
