"""Train `auto` for some minutes of two cores and keep its picture and numbers for `plan` and docs/minutes.md."""

# Run: python scripts/train_for_minutes.py DATA --minutes 10 --of "drawn faces" [--seed 0] [--out runs/minutes]
# A minute of two cores is 120 processor seconds, so that other work on the machine does not shorten the run. The script
# adds a line to src/gansmith/training/planning/seen.jsonl, or replaces the line of the same images and minutes, and
# writes its picture into docs/pictures/minutes. Look at the picture, and say in `words` of that line what one sees.

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import torch

import gansmith
from gansmith.evaluation.evaluate import EvaluationOptions
from gansmith.runs.folder import RunFolder

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "benchmarks" / "flagship"), str(ROOT / "scripts")]

SEEN = ROOT / "src" / "gansmith" / "training" / "planning" / "seen.jsonl"
PICTURES = ROOT / "docs" / "pictures" / "minutes"
SHOWN, COLUMNS = 40, 10
METRICS = ("texture", "frechet", "density_coverage", "sliced_wasserstein")
KEPT = ("texture", "texture_median", "fd", "coverage", "swd")


def main() -> None:
    """Read the command line, train, and keep the line."""
    from run import fitted

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data")
    parser.add_argument("--minutes", type=float, required=True)
    parser.add_argument("--of", required=True, help="what the images show")
    parser.add_argument("--words", default="", help="what one sees in the picture")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--set", nargs="*", default=[], help="KEY=VALUE")
    parser.add_argument("--out", type=Path, default=Path("runs/minutes"))
    args = parser.parse_args()
    torch.set_num_threads(1)
    run = args.out / f"{Path(args.data).stem}-{args.minutes:g}-{args.seed}"
    if not (run / "model").exists():
        recipe, kimg = fitted("auto", tuple(args.set), args.data, args.seed, 120 * args.minutes, None)
        args.out.mkdir(parents=True, exist_ok=True)
        written = run.with_suffix(".yaml")
        written.write_text(recipe.to_yaml())
        gansmith.train(args.data, recipe=str(written), kimg=kimg, seed=args.seed, device="cpu", out=run)
    line = seen(run, args.minutes, args.of, args.words)
    lines = [json.loads(text) for text in SEEN.read_text().splitlines()] if SEEN.exists() else []
    lines = [each for each in lines if each["picture"] != line["picture"]] + [line]
    lines.sort(key=lambda each: (each["channels"] > 1, each["side"], -each["count"], each["minutes"]))
    SEEN.write_text("".join(f"{json.dumps(each)}\n" for each in lines))
    print(json.dumps(line))


def seen(run: Path, minutes: float, of: str, words: str) -> dict[str, Any]:
    """Write the picture of a run; return its line."""
    from run_for_docs import write_picture

    record, model = RunFolder.open(run).record, gansmith.load(run / "model")
    spec, side = record.data.spec, max(record.data.spec.height, record.data.spec.width)
    options = EvaluationOptions(num=1_000, on_training=True, metrics=METRICS)
    found = gansmith.evaluate(run, options=options, device="cpu", out=run / "evaluation")[0].numbers
    numbers = {name.split("1k")[0]: round(value.value, 3) for name, value in found.items()}
    by_class = 8 * len(model.classes)  # a row for each class
    grid = model.sample(by_class or SHOWN, seed=0).grid(8 if by_class else COLUMNS)
    PICTURES.mkdir(exist_ok=True)
    stem = f"{'gray' if spec.channels == 1 else 'colour'}-{spec.count}-{side}-px-{minutes:g}-min"
    picture = PICTURES / write_picture(grid.array, PICTURES / stem)
    return {
        "side": side, "channels": spec.channels, "count": spec.count, "of": of, "words": words, "minutes": minutes,
        "kimg": round(record.length.schedule_kimg, 1), "seed": record.seed, "cpu": record.numerics.cpu,
        "numbers": {key: numbers[key] for key in KEPT if key in numbers},
        "picture": str(picture.relative_to(ROOT)),
    }  # fmt: skip


if __name__ == "__main__":
    main()
