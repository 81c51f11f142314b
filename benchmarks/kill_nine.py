"""Kill a run with SIGKILL at random moments and compare its end with an unkilled run."""

# Run: python benchmarks/kill_nine.py [CASE ...] [--kills 10] [--kimg 20] [--seed 0]
#      python benchmarks/kill_nine.py --recipe dcgan size=32 base_channels=16 --kimg 5
# Compares each tensor of the last checkpoint, and log.jsonl, by SHA-256. Most kills come a random time after the
# checkpoint of a random iteration was begun: during a step, or while a checkpoint, a row, a preview or the film is
# written. The others come while the process starts: during imports, reading data, restoring. A process that has ended
# before its kill counts as not killed.

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
import time
from pathlib import Path

LAZY_R1 = "penalties=[{kind: r1, weight: 1, interval: 4}]"
EARLY, EARLY_SEC = 0.25, 8.0  # share of the kills during the start, and its length
CASES: dict[str, tuple[str, list[str]]] = {
    "mlp-small": ("mlp-small", []),
    "dcgan": ("dcgan", ["size=32", "base_channels=32"]),
    "dcgan-lazy-r1": ("dcgan", ["size=32", "base_channels=32", "discriminator.norm=none", LAZY_R1]),
}


def gansmith(*words: object) -> subprocess.Popen[bytes]:
    environ = {"OMP_NUM_THREADS": "1", **os.environ}
    return subprocess.Popen(
        [sys.executable, "-m", "gansmith", *map(str, words)],
        env=environ,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def finish(*words: object) -> float:
    """Run a command that must succeed; return its duration in seconds."""
    start = time.monotonic()
    if (code := gansmith(*words).wait()) != 0:
        sys.exit(f"gansmith {' '.join(map(str, words))}: exit code {code}")
    return time.monotonic() - start


def digests(run: Path) -> dict[str, str]:
    """Return the SHA-256 of log.jsonl, and of name, type, shape and bytes of each tensor of the last checkpoint."""
    from gansmith.runs.checkpoint import load_latest
    from gansmith.runs.folder import RunFolder

    folder = RunFolder(run)
    checkpoint, passed_over = load_latest(folder.checkpoints)
    if passed_over:
        sys.exit(f"{run}: {passed_over}")
    out = {"log.jsonl": hashlib.sha256(folder.log.read_bytes()).hexdigest()}
    for name, tensor in checkpoint.tensors.items():
        head = f"{tensor.dtype} {tuple(tensor.shape)} "
        out[name] = hashlib.sha256(head.encode() + tensor.contiguous().numpy().tobytes()).hexdigest()
    return out


def has_started(run: Path) -> bool:
    """Say whether there is a checkpoint to resume from; without one the run starts again."""
    return any(run.glob("checkpoints/*/manifest.json"))


def newest(run: Path) -> int:
    """Return the iteration of the newest checkpoint, complete or not; -1 without one."""
    return max((int(path.name) for path in run.glob("checkpoints/[0-9]*")), default=-1)


def killed_run(train: list[object], run: Path, iterations: int, args: argparse.Namespace, seconds: float) -> list[int]:
    """Train with kills, then to the end; return the iteration of the newest checkpoint at each kill."""
    draw, left = random.Random(args.seed), []
    for moment in sorted(draw.sample(range(iterations), args.kills)):
        if not has_started(run):
            shutil.rmtree(run, ignore_errors=True)
        process = gansmith("resume", run) if run.exists() else gansmith(*train, "--out", run)
        start, early = time.monotonic(), draw.random() < EARLY
        delay = draw.uniform(0, EARLY_SEC if early else 2 * seconds / args.checkpoints)
        while process.poll() is None and newest(run) < moment and not (early and time.monotonic() - start > delay):
            time.sleep(0.001)
        if not early:
            time.sleep(delay)
        process.kill()
        if process.wait() == -signal.SIGKILL:
            left.append(newest(run))
        elif process.returncode != 0:
            sys.exit(f"{run}: exit code {process.returncode} after {len(left)} kills")
    finish("resume", run) if has_started(run) else finish(*train, "--out", run)
    return left


def compare(name: str, recipe: str, words: list[str], args: argparse.Namespace, scratch: Path) -> bool:
    """Run one case and print its line; return whether everything is identical."""
    # Snapshots at fixed moments: otherwise two runs may choose different ones, and log.jsonl has rows of verdicts.
    rhythm = [f"checkpoints={args.checkpoints}", "snapshot_kimg=1", *words]
    train = ["train", args.data, "--recipe", recipe, "--kimg", args.kimg, "--seed", args.seed, *rhythm]
    whole, killed = scratch / f"{name}-whole", scratch / f"{name}-killed"
    seconds = finish(*train, "--out", whole)
    iterations = json.loads((whole / "run.json").read_text())["plan"]["iterations"]
    left = killed_run(train, killed, iterations, args, seconds)
    one, two = digests(whole), digests(killed)
    differ = sorted(key for key in one.keys() | two.keys() if one.get(key) != two.get(key))
    log = "same" if one["log.jsonl"] == two["log.jsonl"] else "DIFFERS"
    total = hashlib.sha256(json.dumps(one, sort_keys=True).encode()).hexdigest()[:16]
    same = len(one) - 1 - len([key for key in differ if key != "log.jsonl"])
    print(f"{name:<16}{iterations:>11,}{len(left):>7}{f'{same} of {len(one) - 1}':>14}{log:>11}  {total}", flush=True)
    print(f"  killed with checkpoints of {', '.join(map(str, left))}", flush=True)
    for key in differ[:10]:
        print(f"  differs: {key}", flush=True)
    return not differ and bool(left)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("words", nargs="*", metavar="CASE | KEY=VALUE", help=f"cases: {', '.join(CASES)}")
    parser.add_argument("--recipe", help="run this recipe, with KEY=VALUE changes, instead of the cases")
    parser.add_argument("--data", default="fashion-sample")
    parser.add_argument("--kimg", type=float, default=20.0)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--checkpoints", type=int, default=40)
    parser.add_argument("--seed", type=int, default=0, help="seed of the runs and of the kills")
    parser.add_argument("--keep", type=Path, help="keep the runs in this folder instead of removing them")
    args = parser.parse_args()
    changes, names = [w for w in args.words if "=" in w], [w for w in args.words if "=" not in w] or list(CASES)
    if unknown := [name for name in names if name not in CASES]:
        parser.error(f"unknown case {', '.join(unknown)}; known: {', '.join(CASES)}")
    cases = {args.recipe: (args.recipe, [])} if args.recipe else {name: CASES[name] for name in names}
    scratch = args.keep or Path(tempfile.mkdtemp(prefix="kill_nine_"))
    scratch.mkdir(parents=True, exist_ok=True)
    print(f"{'case':<16}{'iterations':>11}{'kills':>7}{'tensors same':>14}{'log.jsonl':>11}  SHA-256 of all")
    try:
        same = [compare(name, recipe, [*w, *changes], args, scratch) for name, (recipe, w) in cases.items()]
    finally:
        if args.keep is None:
            shutil.rmtree(scratch, ignore_errors=True)
    sys.exit(0 if all(same) else 1)


if __name__ == "__main__":
    main()
