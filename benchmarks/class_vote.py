"""Which classes do samples look like? A vote of the 5 nearest real images (Euclidean, pixels).

Run: python benchmarks/class_vote.py MODEL [DATA] [--num 1000]
DATA, the built-in images without it, must have labels. Of a conditional model the share of samples is printed that are
what was asked for, beside the same vote on real images that are left out of the neighbours.
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
    parser.add_argument("data", nargs="?", default="fashion-sample")
    parser.add_argument("--num", type=int, default=1000)
    args = parser.parse_args()
    model = api.load(args.model)
    spec = model.record.data
    data = open_data(args.data, DataOptions(size=(spec.height, spec.width), channels=spec.channels), holdout=0.1)
    real, classes = data.read(np.arange(len(data))), data.spec.classes
    samples = model.sample(args.num, seed=1)
    found = vote(samples.images, real, data.labels, len(classes))
    shares = np.bincount(found, minlength=len(classes)) / args.num
    for name, share in zip(classes, shares, strict=True):
        print(f"{name:12} {share:6.1%}")
    print(f"{(shares >= 0.02).sum()} of {len(shares)} classes have 2 % or more of {args.num:,} samples")
    if samples.labels is not None:
        held_out = data.held_out
        some = np.arange(min(args.num, len(held_out)))
        of_real = vote(held_out.read(some), real, data.labels, len(classes)) == held_out.labels[some]
        right = found == samples.labels
        print(f"{right.mean():.1%} are what was asked for; the vote is right about {of_real.mean():.1%} of real images")


if __name__ == "__main__":
    main()
