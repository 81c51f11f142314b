"""Ray on this machine: a killed worker, and a sweep with and without Ray, compared to the bit."""

# Run: OMP_NUM_THREADS=1 python benchmarks/on_ray.py [kill] [sweep]
# 1. A run in two workers, and the same run one of whose workers is killed: the weights have to be the same bits.
# 2. A sweep of 3 values x 2 seeds, one of which collapses, one run after the other, in Ray, and in Ray with a worker
#    that is killed in the middle of a run: the same table.

import os
import signal
import sys
import tempfile
import threading
import time
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

import torch

from gansmith import api
from gansmith.core.on_ray import run_together
from gansmith.runs.checkpoint import load_latest
from gansmith.web.run_control import lock_holder
from killed_worker import TINY, let_one_die, write_tiny

OVERRIDES = (*TINY, "checkpoints=6", "monitor.snapshot_kimg=0.001", "monitor.images=100", "monitor.reference=100")
WORDS = {"recipe": "mlp-small", "overrides": OVERRIDES, "steps": 60, "device": "cpu", "precision": "fp32"}
VARY = ["optimizers.generator={kind: adam, lr: 2e-3},{kind: adam, lr: 3e-3},{kind: adam, lr: 1e-2}"]
KILLED_AT = 25


def train(source: Path, out: Path, mark: Path | None) -> api.Run:
    """Train in this worker; with ``mark`` the second worker kills itself once, and leaves that file."""
    let_one_die(KILLED_AT, mark)
    return api.train(source, out=out, progress=False, seed=3, **WORDS)


def main() -> None:
    try:
        import ray
    except ImportError:
        sys.exit("skipped: Ray is not installed: pip install 'gansmith[ray]'")
    print(f"ray {ray.__version__}, torch {torch.__version__}, {os.cpu_count()} CPUs", flush=True)
    root = Path(tempfile.mkdtemp(prefix="gansmith-on-ray-"))
    os.environ["PYTHONPATH"] = os.pathsep.join(sys.path)  # of Ray's workers
    os.environ["GANSMITH_CACHE"] = str(root / "cache")
    source = write_tiny(root / "tiny.npz")
    wanted = sys.argv[1:] or ["kill", "sweep"]
    same = [
        compare(source, root) for name, compare in (("kill", compare_kill), ("sweep", compare_sweep)) if name in wanted
    ]
    sys.exit(0 if all(same) else 1)


def compare_kill(source: Path, root: Path) -> bool:
    """Compare a run one of whose workers is killed with an undisturbed one."""
    sides, mark = [], root / "was-killed"
    for name, killer in (("whole", None), ("killed", mark)):
        began = time.monotonic()
        run = run_together(partial(train, source, root / name, killer), "local", 2)
        checkpoint, _ = load_latest(run.folder / "checkpoints")
        starts = (run.folder / "timing.jsonl").read_text().count('"started"')
        print(f"{name}: finished {run.finished}, {starts} starts, {time.monotonic() - began:.0f} s", flush=True)
        sides.append(checkpoint.tensors)
    differ = [name for name in sides[0] if not torch.equal(sides[0][name], sides[1][name])]
    print(f"a killed worker: killed {mark.exists()}, tensors that differ: {len(differ)} of {len(sides[0])}", flush=True)
    return mark.exists() and not differ


def kill_a_worker(sweep: Path, killed: list[str]) -> None:
    """Kill the first worker of a sweep that is seen training a run that has a checkpoint."""
    for _ in range(60_000):
        for lock in sweep.rglob(".lock"):
            pid = lock_holder(lock)
            if pid is not None and any(lock.parent.glob("checkpoints/*/manifest.json")):
                os.kill(pid, signal.SIGKILL)
                killed.append(lock.parent.name)
                return
        time.sleep(0.01)


def compare_sweep(source: Path, root: Path) -> bool:
    """Compare a sweep in Ray, undisturbed and with a killed worker, with the same sweep here."""
    tables, killed = [], list[str]()
    for name, on in (("here", None), ("ray", "local"), ("ray-killed", "local")):
        began = time.monotonic()
        if name == "ray-killed":
            threading.Thread(target=kill_a_worker, args=(root / f"sweep-{name}", killed), daemon=True).start()
        found = api.sweep(source, VARY, seeds=2, out=root / f"sweep-{name}", on=on, progress=False, **WORDS)
        rows = [{**row, "minutes": 0} for row in found.table.records]
        print(f"sweep {name}: finished {found.finished}, {time.monotonic() - began:.0f} s", flush=True)
        for variant in found.table.variants:
            number = variant.number(found.table.metric)
            print(f"  {variant.letter} {number.value:.4f} +- {number.deviation:.4f}  {variant.verdicts}", flush=True)
        tables.append(rows)
    same = tables[0] == tables[1] == tables[2]
    print(f"the same table: {same}; killed: {killed}")
    return same and bool(killed)


if __name__ == "__main__":
    main()
