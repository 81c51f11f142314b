"""Two hosts, made of network namespaces: a killed worker, a host that is cut off for 20 s, a host that joins."""

# Run as root: python benchmarks/two_hosts.py [killed] [cut] [joins] [slow]
# Each host has an address of its own, one process and one thread; they share the disk. What went wrong is compared with
# an undisturbed run on both: a killed worker and a cut end with the same bits; a host that joins changes the number of
# processes, and with it the rounding of sums. slow: seconds of a step over links of some speeds (tc tbf), with the
# gradients sent in one piece after the backward, in buckets during it, and in buckets in bf16.

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

import numpy as np
import torch
from torch import Tensor

from gansmith import api
from gansmith.runs.checkpoint import load_latest
from killed_worker import TINY, let_one_die, write_tiny

STEPS, STEP_SEC = 300, 0.1
KILLED_AT, CUT_AT, JOINS_AT = 125, 100, 100
CUT_SEC = 20.0
PORT = 29411
HOSTS = {"a": "10.177.0.1", "b": "10.177.0.2"}
SPEEDS = ("", "1gbit", "200mbit")  # "": as fast as the machine lets them
SENT = {"one": ("fp32", 2**40), "buckets": ("fp32", 2**20), "bf16": ("bf16", 2**20)}
TIMED = 12  # steps, the first three left out


def shell(*words: str) -> None:
    subprocess.run(words, check=True, capture_output=True)


@contextmanager
def two_hosts() -> Iterator[None]:
    """Make two namespaces that a cable joins."""
    for name in HOSTS:
        subprocess.run(["ip", "netns", "del", f"gansmith-{name}"], check=False, capture_output=True)
        shell("ip", "netns", "add", f"gansmith-{name}")
    try:
        shell("ip", "link", "add", "gan-a", "netns", "gansmith-a", "type", "veth", "peer", "name", "gan-b", "netns", "gansmith-b")  # fmt: skip # noqa: E501
        for name, address in HOSTS.items():
            within = ("ip", "netns", "exec", f"gansmith-{name}", "ip")
            shell(*within, "addr", "add", f"{address}/24", "dev", f"gan-{name}")
            for link in ("lo", f"gan-{name}"):
                shell(*within, "link", "set", link, "up")
        yield
    finally:
        for name in HOSTS:
            subprocess.run(["ip", "netns", "del", f"gansmith-{name}"], check=False)


def start(name: str, nodes: str, run: str, words: list[str], log: Path) -> subprocess.Popen[bytes]:
    """Start torchrun with one process on a host."""
    command = [
        "ip", "netns", "exec", f"gansmith-{name}", sys.executable, "-m", "torch.distributed.run", "--nnodes", nodes,
        "--nproc-per-node", "1", "--max-restarts", "3", "--rdzv-backend", "c10d", "--rdzv-id", run,
        "--rdzv-endpoint", f"{HOSTS['a']}:{PORT}", "--rdzv-conf", f"is_host={int(name == 'a')},last_call_timeout=2",
        "--local-addr", HOSTS[name], __file__, *words,
    ]  # fmt: skip
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": f"gan-{name}"}
    if ":" in nodes:  # torch 2.14 does not tell a host that joins the address of the store that the others share
        environment["TORCH_DISABLE_SHARE_RDZV_TCP_STORE"] = "1"
    with log.open("ab") as told:
        return subprocess.Popen(command, env=environment, stdout=told, stderr=told)


def work(source: str, out: str, mark: str) -> None:
    """Train in a process of torchrun; with ``mark`` the second one kills itself once, and leaves that file."""
    let_one_die(KILLED_AT, Path(mark) if mark else None, step_sec=STEP_SEC)
    api.train(
        source, recipe="mlp-small", overrides=(*TINY, "checkpoints=30", "monitor.snapshot_kimg=0"), steps=STEPS,
        device="cpu", precision="fp32", seed=3, out=out, progress=False,
    )  # fmt: skip


def time_steps(source: str, out: str, sent: str) -> None:
    """Train a larger network in a process of torchrun, and write the seconds of its steps."""
    from gansmith.core import processes
    from gansmith.training import trainer

    precision, processes.BUCKET_BYTES = SENT[sent]
    step, seconds = trainer.train_step, []
    torch.set_num_threads(1)

    def timed(*arguments):
        began = time.perf_counter()
        step(*arguments)
        seconds.append(time.perf_counter() - began)

    trainer.train_step = timed
    api.train(
        source, recipe="dcgan", overrides=(
            "size=32", "batch_size=32", "generator.base_channels=64", "discriminator.base_channels=64",
            "monitor.snapshot_kimg=0", f"sent_gradients={precision}", "fixed_images=4", "previews=1", "checkpoints=1",
        ), steps=TIMED, device="cpu", precision="fp32", seed=3, out=out, progress=False,
    )  # fmt: skip
    if os.environ["RANK"] == "0":
        Path(f"{out}.json").write_text(json.dumps(seconds))


def compare_links(root: Path) -> None:
    """Print the median seconds of a step over each link."""
    for number, speed in enumerate(SPEEDS):
        for name in HOSTS:
            within = ("ip", "netns", "exec", f"gansmith-{name}", "tc", "qdisc")
            if number > 1:
                shell(*within, "del", "dev", f"gan-{name}", "root")
            if speed:
                shell(*within, "add", "dev", f"gan-{name}", "root", "tbf", "rate", speed, "burst", "256kb", "latency", "400ms")  # fmt: skip # noqa: E501
        found = []
        for sent in SENT:
            out = root / f"{speed or 'free'}-{sent}"
            words = ["--time", str(root / "tiny.npz"), str(out), sent]
            started = [start(each, "2", out.name, words, root / f"{out.name}.log") for each in HOSTS]
            if any(each.wait(timeout=600) for each in started):
                sys.exit((root / f"{out.name}.log").read_text()[-3000:])
            found.append(f"{sent} {np.median(json.loads(Path(f'{out}.json').read_text())[3:]):.2f} s")
        print(f"link {speed or 'without a limit'}: {', '.join(found)}", flush=True)


def reached(out: Path, iteration: int, deadline_sec: float = 120) -> None:
    """Wait until a run has a checkpoint of so many iterations."""
    end = time.monotonic() + deadline_sec
    while not any(int(each.name) >= iteration for each in (out / "checkpoints").glob("0*")):
        if time.monotonic() > end:
            sys.exit(f"'{out}' did not reach iteration {iteration}")
        time.sleep(0.2)


def cut_off(out: Path) -> None:
    """Take the cable of host b away for a while in the middle of a run."""
    reached(out, CUT_AT)
    link = ("ip", "netns", "exec", "gansmith-b", "ip", "link", "set", "gan-b")
    shell(*link, "down")
    time.sleep(CUT_SEC)
    shell(*link, "up")


def train(
    root: Path,
    name: str,
    *,
    joins: bool = False,
    mark: bool = False,
    meanwhile: Callable[[Path], None] | None = None,
) -> dict[str, Tensor]:
    """Train on both hosts, of which the second may join later; return the last checkpoint's tensors."""
    out, log, began = root / name, root / f"{name}.log", time.monotonic()
    words = ["--work", str(root / "tiny.npz"), str(out), str(root / f"{name}.mark") if mark else ""]
    nodes = "1:2" if joins else "2"
    started = [start("a", nodes, name, words, log)]
    if joins:
        reached(out, JOINS_AT)
    started.append(start("b", nodes, name, words, log))
    if meanwhile is not None:
        meanwhile(out)
    try:
        codes = [each.wait(timeout=300) for each in started]
    except subprocess.TimeoutExpired:
        print(log.read_text()[-3000:])
        sys.exit(f"{name}: no end within 300 s")
    finally:
        for each in started:
            each.kill()
    if any(codes):
        print(log.read_text()[-3000:])
        sys.exit(f"{name}: exit codes {codes}")
    events = [json.loads(line) for line in (out / "timing.jsonl").read_text().splitlines() if '"event"' in line]
    starts = ", ".join(f"{each['iteration']} at {each['utc'][11:19]}" for each in events if each["event"] == "started")
    print(f"{name}: {time.monotonic() - began:.0f} s; started at iteration {starts}", flush=True)
    if mark:
        print(f"  killed at {time.strftime('%H:%M:%S', time.gmtime((root / f'{name}.mark').stat().st_mtime))}")
    return load_latest(out / "checkpoints")[0].tensors


def compare(whole: dict[str, Tensor], other: dict[str, Tensor]) -> tuple[int, float]:
    """Return how many tensors differ, and the largest difference over the largest value of its tensor."""
    differ = [name for name in whole if not torch.equal(whole[name], other[name])]
    pairs = [(whole[name].double(), other[name].double()) for name in differ]
    errors = [float((one - two).abs().max() / one.abs().max().clamp_min(1e-9)) for one, two in pairs]
    return len(differ), max(errors, default=0.0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cases", nargs="*", default=["killed", "cut", "joins"])
    parser.add_argument("--work", nargs=3, metavar=("SOURCE", "OUT", "MARK"))
    parser.add_argument("--time", nargs=3, metavar=("SOURCE", "OUT", "SENT"))
    given = parser.parse_args()
    if given.work or given.time:
        (work if given.work else time_steps)(*(given.work or given.time))
        return
    if os.geteuid() != 0:
        sys.exit("skipped: only root may make network namespaces")
    with tempfile.TemporaryDirectory(prefix="gansmith-hosts-") as folder, two_hosts():
        root = Path(folder)
        os.environ["GANSMITH_CACHE"] = str(root / "cache")
        write_tiny(root / "tiny.npz")
        if "slow" in given.cases:
            compare_links(root)
        if given.cases == ["slow"]:
            return
        whole = train(root, "whole")
        found = {}
        if "killed" in given.cases:
            found["a killed worker"] = compare(whole, train(root, "killed", mark=True)), 0
        if "cut" in given.cases:
            found[f"a host cut off for {CUT_SEC:.0f} s"] = compare(whole, train(root, "cut", meanwhile=cut_off)), 0
        if "joins" in given.cases:
            found["a host that joins"] = compare(whole, train(root, "joins", joins=True)), 1e-4
        for name, ((differ, error), _) in found.items():
            print(f"{name}: {differ} of {len(whole)} tensors differ, by at most {error:.1e}")
        sys.exit(0 if all(error <= allowed for (_, error), allowed in found.values()) else 1)


if __name__ == "__main__":
    main()
