"""Which classes do samples look like? A vote of the 5 nearest real images (Euclidean, pixels), for the built-in data.

Run: python benchmarks/class_vote.py MODEL [--num 1000]
"""

import argparse

import numpy as np

from gansmith import api
from gansmith.data.base import DataOptions, open_data

NEIGHBOURS = 5


def vote(samples: np.ndarray, real: np.ndarray, labels: np.ndarray, num_classes: int) -> np.ndarray:
    """Return the class, int64 (N,), that most of a sample's nearest real images have; the nearest breaks ties."""
    flat = real.reshape(len(real), -1).astype(np.float32)
    squares = (flat**2).sum(1)
    out = []
    for chunk in np.array_split(samples.reshape(len(samples), -1).astype(np.float32), max(1, len(samples) // 250)):
        distances = squares - 2 * chunk @ flat.T
        nearest = np.argpartition(distances, NEIGHBOURS, axis=1)[:, :NEIGHBOURS]
        for row, places in zip(distances, nearest, strict=True):
            ordered = labels[places[np.argsort(row[places])]]
            counts = np.bincount(ordered, minlength=num_classes)
            out.append(next(label for label in ordered if counts[label] == counts.max()))
    return np.array(out)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model")
    parser.add_argument("--num", type=int, default=1000)
    args = parser.parse_args()
    model = api.load(args.model)
    spec = model.record.data
    data = open_data("fashion-sample", DataOptions(size=(spec.height, spec.width), channels=spec.channels))
    samples = model.sample(args.num, seed=1).images
    found = vote(samples, data.read(np.arange(len(data))), data.labels, len(data.spec.classes))
    shares = np.bincount(found, minlength=len(data.spec.classes)) / args.num
    for name, share in zip(data.spec.classes, shares, strict=True):
        print(f"{name:12} {share:6.1%}")
    print(f"{(shares >= 0.02).sum()} of {len(shares)} classes have 2 % or more of {args.num:,} samples")


if __name__ == "__main__":
    main()
