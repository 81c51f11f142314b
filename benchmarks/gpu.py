"""Try gansmith on a GPU unattended: speed, memory, gradients, resume, R3GAN, two processes."""

# Run: python benchmarks/gpu.py [--minutes 8] [--out gpu-results] [--faces avatars64.zip] [--device cpu] [--tiny]
# The first line names what is skipped. Rows go into OUT/gpu.json as they come, and previews of R3GAN into OUT/*.png.
# The parts run in order of value until the time is over. Each runs in a process of its own, so that a crash or a CUDA
# error costs one row. The same command again measures the rows that are missing or failed, and continues unfinished
# runs. --tiny tries all of it on tiny networks; a test does so on the CPU.

import argparse
import gc
import json
import multiprocessing
import os
import re
import shutil
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from gansmith import api
from gansmith.core import runtime as runtimes
from gansmith.core.atomic_files import commit_json
from gansmith.core.events import Event
from gansmith.core.runtime import Runtime, pick_device, start_runtime
from gansmith.core.version import __version__
from gansmith.data.base import ImageData, random_images
from gansmith.data.batches import BatchStream
from gansmith.data.datasets.base import data_sets
from gansmith.data.sources.domains import DOMAINS
from gansmith.parts.losses.base import losses
from gansmith.parts.penalties.base import penalties
from gansmith.recipes.load import load_recipe
from gansmith.recipes.recipe import Recipe
from gansmith.runs.checkpoint import list_checkpoints, load_latest
from gansmith.runs.folder import RunFolder
from gansmith.training.memory import needed_mb
from gansmith.training.state import RunState
from gansmith.training.step import train_step

Row = dict[str, Any]
NETWORKS: dict[str, tuple[str, tuple[str, ...]]] = {  # a generator: its recipe, and changes to it
    "r3gan": ("r3gan-small", ()),
    "dcgan": ("dcgan", ()),
    "compact": ("compact", ()),
    "sngan_resnet": ("sngan", ()),
    "mlp": ("vanilla", ()),
    "unet": ("translate", ("method.task=denoise",)),
    "cyclegan_resnet": ("unpaired", ()),
    "srresnet": ("srgan", ()),
    "rrdb": ("srgan", ("method.generator={kind: rrdb}",)),
}
FROM_LATENTS = ("r3gan", "dcgan", "compact", "sngan_resnet", "mlp")
BATCH, BATCH_OF_TRANSLATORS = 64, 16
TINY = {
    "base_channels": "4", "max_channels": "16", "hidden": "[16]", "blocks": "1", "latent_dim": "4", "pool_size": "4",
    "fixed_images": "8", "batch_size": "8",
}  # fmt: skip
CYCLE = 4  # steps that are counted or timed at once: the intervals of these recipes' penalties divide it
GRACE_SEC = 5.0  # a part that does not end in its time is killed after so many seconds more
TRAIN_MINUTES = 1.5  # of each of the two R3GAN runs, at most 19 % of --minutes


@dataclass(frozen=True)
class Bench:
    """The options of this run, and where it stands."""

    device: str
    tiny: bool
    out: Path
    faces: Path | None
    train_minutes: float
    deadline: float = 0.0  # of the present part, by time.monotonic
    tried: frozenset[str] = frozenset()  # keys of rows that need no new try

    @property
    def is_gpu(self) -> bool:
        return self.device == "cuda"

    def left(self) -> float:
        return self.deadline - time.monotonic()


@dataclass(frozen=True)
class Case:
    """One row: its key, the work, and the seconds below which it is not begun."""

    key: str
    work: Callable[[], Row]
    least_sec: float = 1.0


def card(bench: Bench) -> Iterator[Case]:
    """The device, and its rate of matrix products."""

    def about() -> Row:
        row: Row = {"gansmith": __version__, "torch": torch.__version__, "python": sys.version.split()[0]}
        if bench.is_gpu:
            found = torch.cuda.get_device_properties(0)
            row |= {"name": found.name, "memory_gib": round(found.total_memory / 2**30, 1)}
            row |= {"capability": f"{found.major}.{found.minor}", "cuda": torch.version.cuda}
        return row

    yield Case("card/about", about)
    for name, dtype in (("bf16", torch.bfloat16), ("fp32", torch.float32)):
        yield Case(f"card/{name}", lambda dtype=dtype: {"tflops": product_rate(bench, dtype) / 1e12})


def product_rate(bench: Bench, dtype: torch.dtype) -> float:
    """Return the operations per second of a large matrix product."""
    side, runtime = (8192 if bench.is_gpu else 256), start_runtime(bench.device, "fp32")
    left, right = (torch.randn(side, side, device=runtime.device, dtype=dtype) for _ in range(2))
    products = 0
    for _ in range(3):
        left @ right
    runtime.synchronize()
    start = time.perf_counter()
    while products < 20 or time.perf_counter() - start < (0.05 if bench.tiny else 0.5):
        left @ right
        products += 1
        if products % 20 == 0:
            runtime.synchronize()
    runtime.synchronize()
    return 2 * side**3 * products / (time.perf_counter() - start)


def gradients(bench: Bench) -> Iterator[Case]:
    """Gradients of every loss and penalty compared with the CPU's: the largest difference over the largest gradient."""
    cases: dict[str, Row] = {
        **{f"loss {name}": {"loss": name} for name in losses.names()},
        **{f"penalty {name}": {"penalties": [name]} for name in penalties.names()},
        "augment ada": {"augment": {"kind": "ada", "probability": 0.8}},
        "augment diffaugment": {"augment": "diffaugment"},
    }

    def compared(fields: Row) -> Row:
        here = phase_gradients(fields, start_runtime("cpu", "fp32"), bench.tiny)
        row: Row = {}
        for name, allowed in (("worst_as_is", torch.backends.cudnn.allow_tf32), ("worst_without_tf32", False)):
            with torch.backends.cudnn.flags(enabled=True, allow_tf32=allowed):
                there = phase_gradients(fields, start_runtime(bench.device, "fp32"), bench.tiny)
            row[name] = max(float((there[key] - here[key]).abs().max() / here[key].abs().max()) for key in here)
        return row

    for name, fields in cases.items():
        yield Case(f"gradients/{name}", lambda fields=fields: compared(fields))


def phase_gradients(fields: Row, runtime: Runtime, tiny: bool) -> dict[str, Tensor]:
    """Return, for each phase and network, all gradients of the first step as one vector on the CPU."""
    side, channels = (8, 4) if tiny else (32, 32)
    network = {"kind": "dcgan", "base_channels": channels, "norm": "none"}
    method = {"kind": "latent", "generator": network, "discriminator": network, "latent_dim": 16, **fields}
    optimizers = {"default": {"kind": "adam", "lr": 2e-3}}
    recipe = Recipe.model_validate(
        {"name": "gradients", "method": method, "optimizers": optimizers, "batch_size": 8, "epochs": 1}
    )
    data = random_images((side, side, 3), 64)
    state = RunState.fresh(recipe, data.spec, 1, runtime)
    batch, moment = BatchStream(data, 8, 5, runtime, mirror=False).read(0), state.moment(1.0)
    out = {}
    for phase in state.method.phases:
        for name, each in state.trainable.items():
            for parameter in each:
                parameter.requires_grad_(name in phase.trains)
        state.method.loss(phase, batch, state.noise(phase, phase.repeats - 1, runtime), moment).total.backward()
        for name in phase.trains:
            grads = [parameter.grad for parameter in state.trainable[name] if parameter.grad is not None]
            out[f"{phase.name} {name}"] = torch.cat([grad.flatten().cpu() for grad in grads])
    return out


def resumed(bench: Bench) -> Iterator[Case]:
    """A resumed run compared with one that was never stopped, with deterministic algorithms and without."""

    def compared(deterministic: bool) -> Row:
        os.environ["CUBLAS_WORKSPACE_CONFIG"] = ":4096:8"  # cuBLAS reads it at its first product
        torch.use_deterministic_algorithms(deterministic)
        recipe, overrides = ("mlp-small", shrunk("mlp-small")) if bench.tiny else ("dcgan", ("size=32",))
        run, again = bench.out / "resume", bench.out / "resume-again"
        for folder in (run, again):
            shutil.rmtree(folder, ignore_errors=True)
        rhythm = ("checkpoints=2", "previews=1", "monitor.snapshot_kimg=0")
        with mock.patch.object(api, "write_results"):  # pictures of the run
            api.train("fashion-sample", recipe=recipe, overrides=[*overrides, *rhythm], steps=6 if bench.tiny else 60,
                      device=bench.device, out=run, progress=False)  # fmt: skip
            shutil.copytree(run, again)
            last, _ = load_latest(run / "checkpoints")
            shutil.rmtree(list_checkpoints(again / "checkpoints")[0])
            api.resume(again, progress=False)
        new, _ = load_latest(again / "checkpoints")
        assert new.values["iteration"] == last.values["iteration"]
        assert new.tensors.keys() == last.tensors.keys()
        differ = [name for name in last.tensors if not torch.equal(last.tensors[name], new.tensors[name])]
        worst = max([float((last.tensors[name] - new.tensors[name]).abs().max()) for name in differ], default=0.0)
        return {"tensors": len(last.tensors), "differ": len(differ), "largest_difference": worst}

    yield Case("resume/deterministic algorithms", lambda: compared(True), 2.0)
    yield Case("resume/default algorithms", lambda: compared(False), 2.0)


def speed_of(names: tuple[str, ...], sides: tuple[int, ...], hows: tuple[str, ...]) -> Callable[..., Iterator[Case]]:
    """Return a part that measures networks at some sides, in fp32, bf16, compiled, or compiled into CUDA graphs."""

    def part(bench: Bench) -> Iterator[Case]:
        for side in (32,) if bench.tiny else sides:
            for how in hows:
                for name in names:
                    key = f"speed/{name}/{side} px/{how}"
                    seconds = 1.0 if how in ("fp32", "bf16") or bench.tiny else 20.0
                    yield Case(key, lambda name=name, side=side, how=how: speed(bench, name, side, how), seconds)

    return part


def speed(bench: Bench, name: str, side: int, how: str) -> Row:
    """Train a network on random images; return its speed, share of the rate of products, and memory."""
    compiled = how in ("compile", "cuda graphs")
    runtime = start_runtime(bench.device, "fp32" if how == "fp32" else "bf16", compiled=compiled)
    recipe_name, changes = NETWORKS[name]
    batch = 4 if bench.tiny else BATCH if name in FROM_LATENTS else BATCH_OF_TRANSLATORS
    recipe = load_recipe(recipe_name, (*changes, f"batch_size={batch}"))
    if bench.tiny:
        recipe = load_recipe(recipe_name, (*changes, *shrunk(recipe_name, *changes), f"batch_size={batch}"))
    data = images_for(recipe, side)
    if bench.is_gpu:
        gc.collect()
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    extra = {"triton.cudagraphs": True} if how == "cuda graphs" else {}
    with mock.patch.dict(runtimes.COMPILE["options"], extra):
        state = RunState.fresh(recipe, data.spec, 0, runtime)
        domains = max(1, len(recipe.method.domains))
        stream = BatchStream(data, batch, 0, runtime, mirror=False, domains=domains)

        cycle = 1 if bench.tiny else CYCLE

        def steps() -> None:
            for _ in range(cycle):
                train_step(state, stream, runtime, state.moment(1e6))
            runtime.synchronize()

        if not compiled:
            with FlopCounterMode(display=False) as counter:
                steps()
        if not bench.tiny:
            steps()
        start, count = time.perf_counter(), 0
        while not count or time.perf_counter() - start < (0.0 if bench.tiny else 1.0):
            steps()
            count += cycle
        seconds = (time.perf_counter() - start) / count
    rows: Row = {"images_per_sec": round(state.images_per_iteration / seconds, 1), "batch": batch}
    if not compiled:
        rows["tflops"] = counter.get_total_flops() / cycle / seconds / 1e12
    return rows | {"memory_mb": round(runtime.memory_mb()), "plan_mb": round(needed_mb(recipe, data.spec, batch))}


def images_for(recipe: Recipe, side: int, channels: int = 3) -> ImageData:
    """Return random images, of two classes where the recipe needs them."""
    data = random_images((side, side, channels), 256)
    if not (recipe.method.domains or getattr(recipe.method, "conditional", False)):
        return data
    return replace(data, spec=replace(data.spec, classes=DOMAINS), labels=np.arange(256) % 2)


def shrunk(recipe: str, *changes: str) -> tuple[str, ...]:
    """Return the changes that make a recipe tiny: of TINY those whose fields it has."""
    text = load_recipe(recipe, changes).to_yaml()
    return tuple(f"{key}={value}" for key, value in TINY.items() if re.search(rf"\b{key}:", text))


def r3gan_on(name: str) -> Callable[..., Iterator[Case]]:
    """Return a part that trains R3GAN on Fashion-MNIST at 32 px, or on faces at 64."""

    def part(bench: Bench) -> Iterator[Case]:
        source = fashion() if name == "fashion" else str(bench.faces)
        side = 32 if name == "fashion" else 64
        yield Case(f"r3gan/{name}", lambda: train(bench, name, source, side), 0.0)

    return part


def train(bench: Bench, name: str, source: str, side: int) -> Row:
    """Train R3GAN, or continue the run of an earlier call; previews go to OUT/NAME.png as they come."""
    folder = bench.out / f"r3gan-{name}"

    def show(event: Event) -> None:
        if event.kind == "preview":
            shutil.copyfile(event.values["grid"], bench.out / f"{name}.png")

    start = time.monotonic()
    if (folder / "run.json").exists():
        run = api.resume(folder, on_event=show, progress=False)
    else:
        shutil.rmtree(folder, ignore_errors=True)
        changes = [f"size={side}", *(shrunk("r3gan-small") if bench.tiny else ("monitor.snapshot_kimg=10",))]
        length: Row = {"steps": 4, "precision": "fp32"} if bench.tiny else {"minutes": bench.train_minutes}
        run = api.train(source, recipe="r3gan-small", overrides=changes, device=bench.device, out=folder,
                        on_event=show, progress=False, **length)  # fmt: skip
    row = {**run.summary(), "seconds": round(time.monotonic() - start, 1), "data": source}
    if run.log:
        row["img_per_sec"] = json.loads(RunFolder(folder).timing.read_text().splitlines()[-2]).get("img_per_sec")
    return row


def fashion() -> str:
    """Return Fashion-MNIST if its files are here, else the sample that gansmith has."""
    return "fashion-mnist" if data_sets.get("fashion-mnist")().is_here() else "fashion-sample"


def two_processes(bench: Bench) -> Iterator[Case]:
    """Two processes on one device, over gloo, compared with one process."""

    def compared() -> Row:
        recipe = "mlp-small" if bench.tiny else "r3gan-tiny"  # without batch statistics
        changes = ["checkpoints=1", "previews=1", "monitor.snapshot_kimg=0", "fixed_images=4"]
        changes += shrunk(recipe) if bench.tiny else ["size=32"]
        steps, folders = 4 if bench.tiny else 50, {count: bench.out / f"processes-{count}" for count in (1, 2)}
        for folder in folders.values():
            shutil.rmtree(folder, ignore_errors=True)
        start = time.monotonic()
        with mock.patch.object(api, "write_results"):
            api.train("fashion-sample", recipe=recipe, overrides=changes, steps=steps, device=bench.device,
                      precision="fp32", out=folders[1], progress=False)  # fmt: skip
        between = time.monotonic()
        launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
        words = ["fashion-sample", "--recipe", recipe, "--steps", str(steps), "--device", bench.device, *changes]
        command = [*launcher, "-m", "gansmith", "train", *words, "--precision", "fp32", "--out", str(folders[2])]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as started:
            try:
                said, _ = started.communicate(timeout=max(1.0, bench.left()))
            except subprocess.TimeoutExpired:
                started.terminate()
                raise
        end = time.monotonic()
        if started.returncode:
            raise RuntimeError(f"two processes ended with code {started.returncode}: {said[-2000:]}")
        one, two = (load_latest(folder / "checkpoints")[0].tensors for folder in folders.values())
        worst = max(float((one[name] - two[name]).abs().max()) for name in one if name.startswith("networks/"))
        row = {"largest_difference_of_weights": worst}
        return row | {"seconds_of_1": round(between - start, 1), "seconds_of_2_with_start": round(end - between, 1)}

    yield Case("processes/2 on one device", compared, 5.0)


ALL = tuple(NETWORKS)
PARTS: dict[str, tuple[Callable[[Bench], Iterator[Case]], float]] = {  # by value; each with its share of the time
    "card": (card, 0.1),
    "gradients": (gradients, 0.12),
    "speed at 64 px": (speed_of(ALL, (64,), ("bf16", "fp32")), 0.2),
    "resume": (resumed, 0.12),
    "R3GAN on fashion": (r3gan_on("fashion"), 0.22),
    "R3GAN on faces": (r3gan_on("faces"), 0.22),
    "processes": (two_processes, 0.15),
    "speed at other sizes": (speed_of(ALL, (32, 128, 256), ("bf16", "fp32")), 0.3),
    "speed, compiled": (speed_of(("r3gan", "dcgan", "compact"), (64,), ("compile",)), 0.5),
    "speed, CUDA graphs": (speed_of(("r3gan", "dcgan", "compact"), (64,), ("cuda graphs",)), 0.5),
}


def skipped(bench: Bench) -> dict[str, str]:
    """Return the parts that this machine or the options leave out, with reasons."""
    out = {}
    if not bench.is_gpu:
        out |= {"speed, compiled": "no GPU", "speed, CUDA graphs": "no GPU"}
    if bench.tiny:
        out["speed at other sizes"] = "--tiny"
    if bench.faces is None:
        out["R3GAN on faces"] = "no --faces avatars64.zip"
    return out


def work(pipe: Connection, part: str, bench: Bench) -> None:
    """Run the cases of a part that are not tried yet; send each key, and then its row."""
    os.dup2(2, 1)  # standard output is the table
    for case in PARTS[part][0](bench):
        if case.key in bench.tried:
            continue
        if bench.left() < case.least_sec:
            return
        pipe.send((case.key, None))
        try:
            row = case.work()
        except Exception as problem:
            place = traceback.extract_tb(problem.__traceback__)[-1]
            text = f"{type(problem).__name__}: {problem} ({Path(place.filename).name}:{place.lineno})"
            pipe.send((case.key, {"error": text[:2000]}))
            if "CUDA" in text:  # the process may not be able to use the GPU any more: a new one goes on
                sys.exit(1)
            continue
        pipe.send((case.key, row))
    pipe.send((None, None))


def run_part(part: str, bench: Bench, save: Callable[[str, Row], None]) -> bool:
    """Run a part in processes until its cases are done or its time is over; return whether all are done."""
    context, tried = multiprocessing.get_context("forkserver"), set(bench.tried)
    while True:
        pipe, other = context.Pipe()
        process = context.Process(target=work, args=(other, part, replace(bench, tried=frozenset(tried))))
        process.start()
        other.close()
        begun, done, before = None, False, len(tried)
        with suppress(EOFError):
            while pipe.poll(max(0.0, bench.left() + GRACE_SEC)):
                key, row = pipe.recv()
                if key is None:
                    done = True
                elif row is None:
                    begun = key
                    tried.add(key)
                else:
                    save(key, row)
                    begun = None
        over = bench.left() + GRACE_SEC <= 0
        if over:
            process.kill()
        process.join()
        if begun is not None:
            why = "its time was over" if over else f"its process ended with code {process.exitcode}"
            save(begun, {"error": why})
        if done or over or len(tried) == before:
            return done


def table(rows: dict[str, Row]) -> list[str]:
    """Return the speeds as the lines of a table, with the share of the rate of bf16 products."""
    peak = rows.get("card/bf16", {}).get("tflops")
    speeds = {tuple(key.split("/")[1:]): row for key, row in rows.items() if key.startswith("speed/")}
    columns = sorted({(int(side.split()[0]), how) for _, side, how in speeds}, key=lambda each: (each[0], each[1]))
    out = ["images a second (share of the rate of bf16 products)"]
    out += ["| network | " + " | ".join(f"{side} px, {how}" for side, how in columns) + " |"]
    out += ["|---" * (len(columns) + 1) + "|"]
    for name in dict.fromkeys(name for name, *_ in speeds):
        cells = []
        for side, how in columns:
            row = speeds.get((name, f"{side} px", how), {})
            share = f" ({row['tflops'] / peak:.0%})" if peak and "tflops" in row else ""
            cells.append(f"{row['images_per_sec']:,.0f}{share}" if "images_per_sec" in row else "failed" if row else "")
        out.append(f"| {name} | " + " | ".join(cells) + " |")
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=8.0)
    parser.add_argument("--out", type=Path, default=Path("gpu-results"))
    parser.add_argument("--faces", type=Path, help="a data set of faces, for example avatars64.zip")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--tiny", action="store_true", help="tiny networks, few steps: whether it runs")
    args = parser.parse_args()
    end = time.monotonic() + 60 * args.minutes
    multiprocessing.set_forkserver_preload(["torch", "gansmith.api"])  # imported once, before CUDA is started
    minutes = min(TRAIN_MINUTES, 0.19 * args.minutes)
    bench = Bench(pick_device(args.device).type, args.tiny, args.out.absolute(), args.faces, minutes)
    left_out = skipped(bench)
    print(f"{bench.device}; skipped: " + ("; ".join(f"{name} ({why})" for name, why in left_out.items()) or "nothing"))
    args.out.mkdir(parents=True, exist_ok=True)
    file = bench.out / "gpu.json"
    rows: dict[str, Row] = json.loads(file.read_text())["rows"] if file.exists() else {}
    tried = {key for key, row in rows.items() if "error" not in row}
    unfinished = []

    def save(key: str, row: Row) -> None:
        rows[key] = row
        tried.add(key)
        commit_json(file, {"device": bench.device, "tiny": bench.tiny, "skipped": left_out, "rows": rows})
        print(f"{key}: {row.get('error') or json.dumps(row)}", flush=True)

    for part, (_, share) in PARTS.items():
        if part in left_out:
            continue
        allowed = (1.0 if args.tiny else share) * 60 * args.minutes
        deadline = min(time.monotonic() + allowed, end - GRACE_SEC)
        if not run_part(part, replace(bench, deadline=deadline, tried=frozenset(tried)), save):
            unfinished.append(part)
    print("\n".join(table(rows)))
    if unfinished:
        print(f"the time was over before all of: {', '.join(unfinished)}; the same command goes on with them")
    failed = [key for key, row in rows.items() if "error" in row]
    if failed:
        print(f"failed: {', '.join(failed)}")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
