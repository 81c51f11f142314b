"""Count the classes that samples look like, by a vote of the 5 nearest real images."""

# Run: python benchmarks/class_vote.py MODEL [DATA] [--num 1000]
# Nearest means Euclidean distance of pixels. DATA needs labels; without it, the built-in images are used. For a
# conditional model the script also prints the share of samples whose vote equals the requested class, and the same
# share of held-out real images.

import argparse

import numpy as np

from gansmith import api
from gansmith.data.base import DataOptions
from gansmith.data.open import open_data

NEIGHBOURS = 5


def vote(samples: np.ndarray, real: np.ndarray, labels: np.ndarray, num_classes: int) -> np.ndarray:
    """Return the most frequent class among each sample's nearest real images, int64 (N,); the nearest breaks ties."""
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
        print(f"{right.mean():.1%} of samples have the requested class by this vote,")
        print(f"which is right for {of_real.mean():.1%} of held-out real images")


if __name__ == "__main__":
    main()
