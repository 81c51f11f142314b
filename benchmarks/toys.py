"""Count modes and good samples of five losses on 25 Gaussians, three seeds each."""

# Run: python benchmarks/toys.py [--data gaussians-25] [--seeds 0,1,2] [--only NAME] [--pictures DIR]
# Each run is the recipe toy with another loss and penalty; networks, optimizer, batch size and length are the same. A
# sample is good if it lies within 3 standard deviations of a mode. A mode is found if the good samples near it are at
# least a quarter of its even share (of 10,000 samples, 100 for each of 25). Samples come from averaged weights.

import argparse
import shutil
import tempfile
import time
from pathlib import Path

import numpy as np

from gansmith import api
from gansmith.data.datasets.base import data_sets
from gansmith.data.datasets.points import DEVIATION
from gansmith.imaging.tensors import to_float

LOSSES = {
    "minimax": ("loss=minimax", "penalties=[]"),
    "non-saturating": ("loss=non_saturating", "penalties=[]"),
    "wasserstein + gradient penalty": ("loss=wasserstein", "penalties=[{kind: gradient_penalty, weight: 1}]"),
    "wasserstein + gradient penalty, 5 critic steps": (
        "loss=wasserstein",
        "penalties=[{kind: gradient_penalty, weight: 1}]",
        "discriminator_steps=5",
    ),
    "relativistic + R1": (),
}
GOOD, FOUND, SAMPLES = 3.0, 0.25, 10_000


def modes_and_share(points: np.ndarray, centres: np.ndarray, deviation: float) -> tuple[int, float]:
    """Return the number of modes (K, 2) that points (N, 2) find, and the share of good points.

    Source: Srivastava et al. 2017, arXiv:1705.07761. Differs: there, one good sample is enough to find a mode.
    """
    distances = np.linalg.norm(points[:, None] - centres, axis=2)
    good = distances.min(1) <= GOOD * deviation
    counts = np.bincount(distances.argmin(1)[good], minlength=len(centres))
    return int((counts >= FOUND * len(points) / len(centres)).sum()), float(good.mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="gaussians-25", choices=("gaussians-25", "ring-8"))
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--only", choices=tuple(LOSSES))
    parser.add_argument("--kimg", type=float)
    parser.add_argument("--pictures", type=Path, help="folder for the last preview of each loss's first seed")
    args = parser.parse_args()
    centres, seeds = data_sets.get(args.data)().centres(), [int(seed) for seed in args.seeds.split(",")]
    print("| loss | modes found, by seed | good samples, by seed | processor-seconds |\n|---|---|---|---|")
    for name, overrides in LOSSES.items():
        if args.only not in (None, name):
            continue
        modes, shares, seconds = [], [], []
        for seed in seeds:
            with tempfile.TemporaryDirectory() as folder:
                start = time.process_time()
                quiet = ("previews=1", "checkpoints=1", "monitor.snapshot_kimg=0", *overrides)
                run = api.train(args.data, recipe="toy", overrides=quiet, kimg=args.kimg, seed=seed, device="cpu",
                                precision="fp32", out=Path(folder) / "run")  # fmt: skip
                seconds.append(time.process_time() - start)
                points = to_float(run.model("cpu").sample(SAMPLES).images).flatten(1).numpy()
                if args.pictures and seed == seeds[0]:
                    args.pictures.mkdir(parents=True, exist_ok=True)
                    last = sorted((run.folder / "samples").glob("*-ema.png"))[-1]
                    shutil.copyfile(
                        last,
                        args.pictures / f"{args.data}-{'-'.join(name.replace('+', '').replace(',', '').split())}.png",
                    )
            found, share = modes_and_share(points, centres, DEVIATION)
            modes.append(str(found))
            shares.append(f"{share:.0%}")
        print(f"| {name} | {', '.join(modes)} | {', '.join(shares)} | {np.median(seconds):.0f} |", flush=True)


if __name__ == "__main__":
    main()
