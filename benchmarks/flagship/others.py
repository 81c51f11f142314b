"""Train set-ups on the other data of rules.md (faces, few, modes) and evaluate them."""

# Run: python benchmarks/flagship/others.py TASK SET-UP ... --out DIR [--faces avatars64.zip] [--cpu-sec 3600] [--seed
# 0]
# A TASK is `faces` (5,000 drawn faces, a tenth held out), `few` (500 of them, 500 held out) or `modes` (stacked
# Fashion-MNIST). A SET-UP is a recipe with overrides, as for run.py. It is trained with `gansmith train` and evaluated
# with `gansmith evaluate`. The length in kimg is what the processor seconds allow on one thread, by a measurement of a
# few seconds; the snapshots come on top. Each run adds a line to OUT/results.jsonl, and its folder is kept.

import argparse
import json
import shlex
import subprocess
import sys
import time
import zipfile
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parent)]
FEW = 1_000  # half of them for training, half held out


def few_of(faces: Path, folder: Path) -> Path:
    """Return a folder with FEW files of an archive, at equal distances."""
    if not folder.is_dir():
        with zipfile.ZipFile(faces) as archive:
            names = sorted(name for name in archive.namelist() if name.endswith((".png", ".jpg")))
            for name in names[:: len(names) // FEW][:FEW]:
                archive.extract(name, folder)
    return folder


def main() -> None:
    from run import fitted

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("task", choices=("faces", "few", "modes"))
    parser.add_argument("setups", nargs="+", help="recipes, each with its overrides in one quoted word")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--faces", type=Path)
    parser.add_argument("--cpu-sec", type=float, default=3600.0)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    if args.task != "modes" and args.faces is None:
        parser.error(f"task {args.task} needs --faces avatars64.zip")
    holdout, num, against, metrics = {
        "faces": (0.1, 5_000, [], "frechet,sliced_wasserstein,density_coverage,memorization"),
        "few": (0.5, 5_000, [], "frechet,sliced_wasserstein,density_coverage,memorization"),
        "modes": (0.0, 10_000, ["stacked-fashion:test"], "modes"),
    }[args.task]
    source = {"faces": args.faces, "few": args.out / "few", "modes": "stacked-fashion"}[args.task]
    if args.task == "few":
        few_of(args.faces, args.out / "few")
    for setup in args.setups:
        name, *overrides = shlex.split(setup)
        recipe, kimg = fitted(name, tuple(overrides), str(source), args.seed, args.cpu_sec, None, holdout)
        stamp = f"{args.task}-{name}-{args.seed}-{time.strftime('%H%M%S')}"
        args.out.mkdir(parents=True, exist_ok=True)
        written, run = args.out / f"{stamp}.yaml", args.out / stamp
        written.write_text(recipe.to_yaml())
        words = [sys.executable, "-m", "gansmith"]
        length = ["--kimg", f"{kimg:.1f}", "--seed", str(args.seed), "--holdout", str(holdout)]
        start = time.monotonic()
        subprocess.run(
            [*words, "train", str(source), "--recipe", str(written), "--out", str(run), *length, "--precision", "auto"],
            check=True,
        )
        wall = time.monotonic() - start
        judged = subprocess.run(
            [*words, "evaluate", str(run), *against, "-n", str(num), "--metrics", metrics, "--json"],
            check=True,
            stdout=subprocess.PIPE,
        )
        numbers = json.loads(judged.stdout.splitlines()[-1])["numbers"]
        line = {"task": args.task, "setup": setup, "seed": args.seed, "budget": args.cpu_sec, "kimg": round(kimg, 1)}
        line.update(wall_sec=round(wall, 1), run=stamp, numbers=numbers)
        with open(args.out / "results.jsonl", "a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
