"""Strike small runs with seeded faults, resume each, and compare its end with the run that was never struck."""

# Run: python benchmarks/soak.py [--count 200] [--seed 0] [--jobs soak.jsonl] [--table benchmarks/soak.md]
# An injection is a fault (SIGKILL, SIGKILL with a torn file, full disk, error of the disk, SIGTERM) at one operation
# (fsync, rename, mkdir, row of the log, step) of one recipe with 1 process, or of one of 2 processes; after a third of
# the kills a file is emptied, as by a power cut, or a bit of the newest checkpoint is flipped. Results are appended to
# the file of jobs, so a soak that was ended goes on where it was. Counted are runs that lost more than one interval
# between checkpoints, and runs whose last checkpoint or log differs from the reference without a message.

import argparse
import contextlib
import hashlib
import json
import os
import random
import shutil
import socket
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

import numpy as np

from gansmith import api
from gansmith.runs.checkpoint import list_checkpoints, load_latest
from gansmith.runs.folder import RunFolder
from injection import FAULTS, Injector, cut_power, flip_newest
from small_runs import RHYTHM, STEPS, small

RECIPES = ("mlp-small", "dcgan", "sngan", "translate", "srresnet")
INTERVAL = 6  # iterations between checkpoints: RHYTHM has two in STEPS
MOST_OPERATIONS = (110, 16)  # of the first and the second process; a later one strikes nothing
LIMIT_SEC, MOST_RESUMES = 300, 6
WRITE_RESULTS = api.write_results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=Path, default=Path("soak.jsonl"))
    parser.add_argument("--table", type=Path, default=Path(__file__).with_name("soak.md"))
    parser.add_argument("--minutes", type=float, default=1e9, help="end after so long; a later start goes on")
    args = parser.parse_args()
    done = {row["number"] for row in read(args.jobs)}
    end = time.monotonic() + 60 * args.minutes
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        os.environ["GANSMITH_CACHE"] = str(place / "cache")
        images = np.random.default_rng(0).integers(0, 256, (96, 8, 8, 1), np.uint8)
        np.savez(place / "tiny.npz", images=images)
        warm_up(place)
        references: dict[tuple[str, int], dict[str, str]] = {}
        for number in range(args.count):
            if number in done or time.monotonic() > end:
                continue
            row = one(number, args.seed, place, references)
            with args.jobs.open("a") as file:
                file.write(json.dumps(row) + "\n")
            print(row, flush=True)
            if len(read(args.jobs)) % 10 == 0:
                args.table.write_text(table(read(args.jobs), args.count, args.seed))
    args.table.write_text(table(read(args.jobs), args.count, args.seed))


def warm_up(place: Path) -> None:
    """Train each recipe once in this process: its forks then need not import what it did, which is 6/7 of a run."""
    for recipe in RECIPES:
        work(place, place / f"warm-{recipe}", recipe)


def read(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def one(number: int, seed: int, place: Path, references: dict) -> dict:
    """Run one injection; return what was done and found."""
    draw = random.Random(f"{seed} {number}")
    api.write_results = WRITE_RESULTS if number % 5 == 0 else lambda *_: None  # film and report take most of the time
    recipe, processes, rank = draw.choice(RECIPES), draw.choice((1, 1, 1, 2)), draw.choice((0, 1))
    rank %= processes
    fault, at, after = draw.choice(FAULTS), draw.randrange(1, MOST_OPERATIONS[rank]), draw.choice(("", "cut", "flip"))
    if (recipe, processes) not in references:
        whole = place / f"whole-{recipe}-{processes}"
        codes = train(place, whole, recipe, processes, None)
        said = (place / "errors-0").read_text()[-400:]
        assert codes == [0] * processes, f"{recipe} cannot be trained in {processes}: {codes} {said}"
        references[recipe, processes] = digests(whole)
    run = place / "run"
    shutil.rmtree(run, ignore_errors=True)
    codes = train(place, run, recipe, processes, (at, fault), rank)
    ended = codes == [0] * processes
    harm = ""
    if not ended and any(code < 0 for code in codes) and after:
        harm = (cut_power if after == "cut" else flip_newest)(run, draw)
    reached, saved = furthest(run), newest(run)
    lost = max(0, reached - saved) if saved >= 0 else reached
    resumes, messages = 0, ""
    while not ended and resumes < MOST_RESUMES:
        resumes += 1
        if saved < 0:  # killed before the first checkpoint: the run starts again
            shutil.rmtree(run, ignore_errors=True)
            codes = train(place, run, recipe, processes, None)
        else:
            codes = resume(place, run, processes)
        ended = codes == [0] * processes
        messages = (place / "errors-0").read_text()[-400:]
    missing = {Path(harm).name} if harm.startswith("samples") else set()  # a picture that we emptied is not drawn again
    wanted = {name: value for name, value in references[recipe, processes].items() if name not in missing}
    same = ended and digests(run) == wanted
    allowed = INTERVAL * (2 if "checkpoints" in harm else 1)  # the newest one was damaged by us
    return {
        "number": number, "recipe": recipe, "processes": processes, "rank": rank, "fault": fault, "at": at,
        "harm": harm,
        "reached": reached, "saved": saved, "lost": lost, "lost_too_much": lost > allowed, "resumes": resumes,
        "ended": ended, "same": same, "message": "" if same else messages,
    }  # fmt: skip


def train(
    place: Path, out: Path, recipe: str, processes: int, injection: tuple[int, str] | None, struck: int = 0
) -> list[int]:
    def struck_work(rank: int) -> int:
        if injection and rank == struck:
            Injector(*injection).install()
        return work(place, out, recipe)

    return forked(place, processes, struck_work)


def work(place: Path, out: Path, recipe: str) -> int:
    run = api.train(
        place / "tiny.npz", recipe=recipe, overrides=small(recipe, *RHYTHM), steps=STEPS, seed=3, out=out, device="cpu",
        precision="fp32", progress=False,
    )  # fmt: skip
    return 0 if run.finished else 3


def resume(place: Path, run: Path, processes: int) -> list[int]:
    return forked(place, processes, lambda rank: 0 if api.resume(run, progress=False).finished else 3)


def forked(place: Path, processes: int, work) -> list[int]:
    """Do work in forks of this process, which has imported torch; return their exit codes, negative for a signal."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    children = []
    for rank in range(processes):
        child = os.fork()
        if child == 0:
            code = 1
            try:
                if processes > 1:
                    about = {"RANK": rank, "WORLD_SIZE": processes, "LOCAL_RANK": rank, "MASTER_PORT": port}
                    os.environ.update({name: str(value) for name, value in about.items()}, MASTER_ADDR="127.0.0.1")
                errors = os.open(place / f"errors-{rank}", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
                os.dup2(errors, 2)
                os.dup2(errors, 1)
                code = work(rank)
            except BaseException as problem:
                code = 2 if isinstance(problem, ValueError | OSError) else 1
                os.write(2, f"{type(problem).__name__}: {problem}".encode())
            finally:
                os._exit(code)
        children.append(child)
    return wait(children)


def wait(children: list[int]) -> list[int]:
    """Wait for all; when one has failed, as torchrun does, end the others."""
    codes: dict[int, int] = {}
    end = time.monotonic() + LIMIT_SEC
    while len(codes) < len(children):
        for child in children:
            if child not in codes:
                ended, status = os.waitpid(child, os.WNOHANG)
                if ended:
                    codes[child] = os.waitstatus_to_exitcode(status)
        if time.monotonic() > end or any(code not in (0, 3) for code in codes.values()):
            for child in children:
                if child not in codes:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(child, 9)
        time.sleep(0.01)
    return [codes[child] for child in children]


def digests(run: Path) -> dict[str, str]:
    """Return the SHA-256 of log.jsonl, of each tensor of the last checkpoint, and of each preview."""
    folder = RunFolder(run)
    checkpoint, _ = load_latest(folder.checkpoints)
    out = {"log.jsonl": hashlib.sha256(folder.log.read_bytes()).hexdigest()}
    for name, tensor in checkpoint.tensors.items():
        out[name] = hashlib.sha256(tensor.contiguous().numpy().tobytes()).hexdigest()
    for path in [*folder.previews("ema"), *folder.previews("raw")]:
        if path.stat().st_size:
            out[path.name] = hashlib.sha256(path.read_bytes()).hexdigest()
    return out


def furthest(run: Path) -> int:
    """Return the last iteration that left a trace."""
    seen = [int(path.name[:9]) for path in RunFolder(run).previews("ema")]
    for path in (run / "log.jsonl", run / "timing.jsonl"):
        for line in path.read_text().splitlines() if path.exists() else []:
            with contextlib.suppress(ValueError, KeyError):
                seen.append(int(json.loads(line)["iteration"]))
    return max(seen, default=0)


def newest(run: Path) -> int:
    """Return the iteration of the newest whole checkpoint; -1 without one."""
    from gansmith.core.errors import CheckpointError

    with contextlib.suppress(CheckpointError):
        if list_checkpoints(run / "checkpoints"):
            return int(load_latest(run / "checkpoints")[0].folder.name)
    return -1


def table(rows: list[dict], count: int, seed: int) -> str:
    """Return the results as Markdown."""
    lines = [
        "# Soak\n",
        f"`python benchmarks/soak.py --count {count} --seed {seed}` wrote this page after {len(rows)} of {count}.\n",
        "- a checkpoint that was damaged on purpose counts as one interval more",
        f"- lost more than one interval between checkpoints: {sum(row['lost_too_much'] for row in rows)}",
        f"- ended with other tensors, log or previews than the run that was never struck: "
        f"{sum(row['ended'] and not row['same'] for row in rows)}",
        f"- could not be resumed to the end: {sum(not row['ended'] for row in rows)}",
        f"- injections after which a resume was needed: {sum(row['resumes'] > 0 for row in rows)}\n",
        "| recipe | processes | fault | injections | resumed | iterations lost, most | other end |",
        "|---|---|---|---|---|---|---|",
    ]
    groups = Counter((row["recipe"], row["processes"], row["fault"]) for row in rows)
    for key in sorted(groups):
        mine = [row for row in rows if (row["recipe"], row["processes"], row["fault"]) == key]
        resumed, lost = sum(row["resumes"] > 0 for row in mine), max(row["lost"] for row in mine)
        other = sum(not row["same"] for row in mine)
        lines.append(f"| {key[0]} | {key[1]} | {key[2]} | {len(mine)} | {resumed} | {lost} | {other} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
