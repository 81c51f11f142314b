"""Train set-ups for the same processor time and evaluate their samples by rules.md."""

# Run: python benchmarks/flagship/run.py SET-UP ... --out DIR --cpu-sec 360 [--seeds 0 1 2] [--judge choose report]
# A SET-UP is `a`, `b`, `auto`, or a recipe (name or file), with overrides: `auto conditional=false`, `r3gan-tiny`. Each
# run is a process of its own. It adds a line to OUT/results.jsonl and its first 100 samples to OUT/grids. --cpu-sec is
# the sum over all cores: 360 are 180 s on 2 cores. --table prints the table of OUT.

import argparse
import json
import os
import shlex
import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from typing import Any

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent)]
CALIBRATION_SEC, SAMPLES, SAMPLE_BATCH = 6.0, 10_000, 100
DATA = "fashion-mnist"


def cpu_sec() -> float:
    """Return the processor seconds of this process and its children, over all cores."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def fitted(
    name: str,
    overrides: tuple[str, ...],
    source: str,
    seed: int,
    budget: float,
    root: Path | None,
    holdout: float = 0.0,
) -> tuple[Any, float]:
    """Return the recipe, which `auto` plans for data and budget, and the kimg that fit into the budget.

    Speed is measured as for `--minutes`, but in processor time.
    """
    from gansmith.core.runtime import start_runtime
    from gansmith.data.batches import BatchStream
    from gansmith.recipes.load import load_recipe
    from gansmith.recipes.recipe import Recipe
    from gansmith.runs.length import Budget
    from gansmith.runs.options import RunOptions
    from gansmith.training.planning.planner import propose
    from gansmith.training.prepare import prepare
    from gansmith.training.state import RunState
    from gansmith.training.step import train_step

    runtime = start_runtime("cpu", "auto")

    def reach(recipe: Recipe) -> float:
        found = prepare(recipe, RunOptions(source, holdout=holdout, data_root=root), runtime, lambda _: None)
        loaded, data = found.recipe, found.data
        state = RunState.fresh(loaded, data.spec, seed, runtime)
        stream = BatchStream(data, loaded.batch_size, seed, runtime, mirror=loaded.data.mirror)
        train_step(state, stream, runtime, state.moment(1e6))
        start, first = cpu_sec(), state.iteration
        while cpu_sec() - start < CALIBRATION_SEC:
            train_step(state, stream, runtime, state.moment(1e6))
        return state.images_per_iteration / 1000 * (state.iteration - first) / (cpu_sec() - start) * budget

    if name == "auto":  # as in `gansmith train`, except for the clock
        length = Budget(kimg=reach(load_recipe("compact")))
        options = RunOptions(source, length, overrides=overrides, holdout=holdout, data_root=root)
        recipe = propose(options, runtime, lambda _: None)[0].recipe
    else:
        recipe = load_recipe(name, overrides)
    return recipe, reach(recipe)


def train_recipe(
    recipe: str, overrides: tuple[str, ...], seed: int, budget: float, root: Path | None
) -> dict[str, Any]:
    """Train a recipe in gansmith's loop; return uint8 samples, requested labels, kimg and processor seconds."""
    import numpy as np
    import torch

    from gansmith.core.randomness import sample_labels, sample_latents
    from gansmith.core.runtime import start_runtime
    from gansmith.data.batches import BatchStream
    from gansmith.data.open import open_data
    from gansmith.imaging.tensors import to_uint8
    from gansmith.methods.base import Fixed
    from gansmith.training.state import RunState
    from gansmith.training.step import train_step

    loaded, kimg = fitted(recipe, overrides, DATA, seed, budget, root)
    runtime, data = start_runtime("cpu", "auto"), open_data(DATA, root=root)
    state = RunState.fresh(loaded, data.spec, seed, runtime)
    stream = BatchStream(data, loaded.batch_size, seed, runtime, mirror=loaded.data.mirror)
    start = cpu_sec()
    while state.kimg < kimg:
        train_step(state, stream, runtime, state.moment(kimg))
    used = cpu_sec() - start
    networks, classes = state.preview_networks().eval(), len(data.spec.classes)
    conditional, images, asked = bool(state.method.num_classes), [], []
    with torch.no_grad():
        for at in range(0, SAMPLES, SAMPLE_BATCH):
            labels = sample_labels(at, SAMPLE_BATCH, classes) if conditional else None
            latents = torch.from_numpy(sample_latents(seed, at, SAMPLE_BATCH, loaded.method.latent_dim))
            fixed = Fixed(latents, None if labels is None else torch.from_numpy(labels), 8)
            images.append(to_uint8(state.method.preview(networks, fixed)))
            asked += [] if labels is None else labels.tolist()
    return {"images": np.concatenate(images), "kimg": state.kimg, "cpu_sec": used, "asked": asked}


def train_tutorial(seed: int, budget: float, root: Path | None) -> dict[str, Any]:
    """Train set-up A until the budget is used; return what train_recipe does, resized to 28 px."""
    import numpy as np
    import torch
    from PIL import Image
    from torch import nn
    from torch.utils.data import DataLoader, Dataset
    from torchvision import transforms

    from gansmith.data.open import open_data

    torch.manual_seed(seed)
    data = open_data(DATA, root=root)
    pixels, width, batch = data.read(np.arange(len(data)))[..., 0], 64, 128
    change = transforms.Compose([transforms.Resize(32), transforms.ToTensor(), transforms.Normalize((0.5,), (0.5,))])

    class Clothes(Dataset):
        def __len__(self) -> int:
            return len(pixels)

        def __getitem__(self, index: int) -> torch.Tensor:
            return change(Image.fromarray(pixels[index]))

    def up(before: int, after: int, stride: int, padding: int) -> list[nn.Module]:
        grow = nn.ConvTranspose2d(before, after, 4, stride, padding, bias=False)
        return [grow, nn.BatchNorm2d(after), nn.ReLU(True)]

    last = nn.ConvTranspose2d(width, 1, 4, 2, 1, bias=False)
    generator = nn.Sequential(
        *up(100, 4 * width, 1, 0), *up(4 * width, 2 * width, 2, 1), *up(2 * width, width, 2, 1), last, nn.Tanh()
    )
    layers: list[nn.Module] = [nn.Conv2d(1, width, 4, 2, 1, bias=False), nn.LeakyReLU(0.2, True)]
    for before, after in ((width, 2 * width), (2 * width, 4 * width)):
        layers += [nn.Conv2d(before, after, 4, 2, 1, bias=False), nn.BatchNorm2d(after), nn.LeakyReLU(0.2, True)]
    discriminator = nn.Sequential(*layers, nn.Conv2d(4 * width, 1, 4, 1, 0, bias=False), nn.Sigmoid())
    for module in (*generator.modules(), *discriminator.modules()):
        if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
            nn.init.normal_(module.weight, 0, 0.02)
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.weight, 1, 0.02)
            nn.init.zeros_(module.bias)
    loader = DataLoader(Clothes(), batch, shuffle=True, drop_last=True)
    criterion = nn.BCELoss()
    optimizer_g, optimizer_d = (
        torch.optim.Adam(net.parameters(), 2e-4, betas=(0.5, 0.999)) for net in (generator, discriminator)
    )
    start, seen = cpu_sec(), 0
    while cpu_sec() - start < budget:
        for real in loader:
            discriminator.zero_grad()
            logits = discriminator(real).flatten()
            criterion(logits, torch.ones(batch)).backward()
            fake = generator(torch.randn(batch, 100, 1, 1))
            criterion(discriminator(fake.detach()).flatten(), torch.zeros(batch)).backward()
            optimizer_d.step()
            generator.zero_grad()
            criterion(discriminator(fake).flatten(), torch.ones(batch)).backward()
            optimizer_g.step()
            seen += batch
            if cpu_sec() - start >= budget:
                break
    used = cpu_sec() - start
    generator.eval()
    with torch.no_grad():
        made = torch.cat([generator(torch.randn(SAMPLE_BATCH, 100, 1, 1)) for _ in range(SAMPLES // SAMPLE_BATCH)])
        small = nn.functional.interpolate(made, (28, 28), mode="bicubic", antialias=True)
    images = ((small.clamp(-1, 1) + 1) * 127.5).round().byte().permute(0, 2, 3, 1).numpy()
    return {"images": images, "kimg": seen / 1000, "cpu_sec": used, "asked": []}


def run_one(args: argparse.Namespace) -> None:
    """Train one set-up with one seed, evaluate its samples, and add its line."""
    import numpy as np
    import torch
    from judges import TEST, TrainedDiscriminator

    from gansmith.data.open import open_data
    from gansmith.imaging.images import make_grid, save_png
    from gansmith.parts.metrics.base import Evidence, Side
    from gansmith.parts.metrics.sliced_wasserstein import SlicedWasserstein

    (setup,), (seed,) = args.setups, args.seeds
    name, *overrides = shlex.split(setup)
    start = time.monotonic()
    if name == "a":
        made = train_tutorial(seed, args.cpu_sec, args.data_root)
    else:
        recipe = str(HERE / "b.yaml") if name == "b" else name
        made = train_recipe(recipe, tuple(overrides), seed, args.cpu_sec, args.data_root)
    wall, images, asked = time.monotonic() - start, made.pop("images"), made.pop("asked")
    line: dict[str, Any] = {"setup": setup, "seed": seed, "budget": args.cpu_sec, **made, "wall_sec": round(wall, 1)}
    line["cpu"] = torch.backends.cpu.get_cpu_capability()  # speeds of these machines differ by up to 4 times
    for judge_name in args.judge:
        judge = TrainedDiscriminator(judge_name, args.out / "judges", args.data_root)
        line[f"fd_{judge_name}"] = round(judge.distance(images), 3)
        if asked:
            line[f"as_asked_{judge_name}"] = round(float((judge.look(images)[1] == np.array(asked)).mean()), 4)
    test = open_data(TEST, root=args.data_root)
    sides = [Side(each, torch.zeros(len(each), 1)) for each in (test.read(np.arange(len(test))), images)]
    found = SlicedWasserstein().measure(Evidence(sides[0], (sides[1],)))
    line["swd"] = round(float(found.numbers["swd"].value), 3)
    args.out.mkdir(parents=True, exist_ok=True)
    (args.out / "grids").mkdir(exist_ok=True)
    save_png(
        make_grid(images[:100], 10),
        args.out / "grids" / f"{len(table_lines(args.out)):03d}-{name.split('/')[-1]}-{seed}.png",
    )
    with open(args.out / "results.jsonl", "a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")
    print(json.dumps(line), flush=True)


def table_lines(out: Path) -> list[dict[str, Any]]:
    """Return the results of earlier runs."""
    path = out / "results.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.is_file() else []


def table(out: Path) -> str:
    """Return a table of set-ups by machine and budget: the median of each number, and the number of each seed."""
    rows: dict[tuple[str, float, str], list[dict[str, Any]]] = {}
    for line in table_lines(out):
        rows.setdefault((line["cpu"], line["budget"], line["setup"]), []).append(line)
    text = [
        "| machine | seconds on 2 cores | set-up | kimg | fd choose | fd report | swd | as asked |",
        "|---" * 8 + "|",
    ]
    for (cpu, budget, setup), lines in sorted(rows.items()):

        def shown(key: str, lines: list[dict[str, Any]] = lines) -> str:
            values = [line[key] for line in lines if key in line]
            listed = ", ".join(f"{value:.3g}" for value in values)
            return f"**{median(values):.3g}** ({listed})" if len(values) > 1 else listed

        keys = ("kimg", "fd_choose", "fd_report", "swd", "as_asked_report")
        cells = [cpu, f"{budget / 2:g}", f"`{setup}`", *(shown(key) for key in keys)]
        text.append("| " + " | ".join(cells) + " |")
    return "\n".join(text)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("setups", nargs="*", help="a, b, auto, or a recipe; with overrides in one quoted word")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--cpu-sec", type=float, default=360.0)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--judge", nargs="+", choices=("choose", "report"), default=["choose"])
    parser.add_argument("--data-root", type=Path)
    parser.add_argument("--table", action="store_true")
    args = parser.parse_args()
    if args.table:
        print(table(args.out))
    elif len(args.setups) == len(args.seeds) == 1:
        run_one(args)
    else:
        place = ["--data-root", str(args.data_root)] if args.data_root else []
        for seed in args.seeds:
            for setup in args.setups:
                words = [sys.executable, __file__, setup, "--out", str(args.out), "--cpu-sec", str(args.cpu_sec)]
                subprocess.run([*words, "--seeds", str(seed), "--judge", *args.judge, *place], check=True)


if __name__ == "__main__":
    main()
